"""Normalisation as the published network chooses it."""

from torch import Tensor, nn
from torch.nn import functional

from .config import Norm

EPSILON = 1e-5


class GroupNormAsBatchNorm(nn.GroupNorm):
    """GroupNorm as statistics by reductions and one batch norm over (1, N C, H, W).

    ONNX Runtime has no CPU kernel for GroupNormalization and expands it into element-wise passes and long sums in
    float32; this form is shorter there, and sums rows before it sums the rows' means, which keeps more digits. It has
    no gradient: for inference and export only.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of any float type; the statistics are float32."""
        count, channels, height, width = x.shape
        # Fixed numbers where there are any: a dynamic batch then leaves fewer operators in an exported graph.
        rows = x.float().reshape(-1, self.num_groups, channels // self.num_groups * height, width)
        mean = rows.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
        deviation = rows - mean
        variance = (deviation * deviation).mean(dim=3).mean(dim=2)
        normalised = functional.batch_norm(
            x.reshape(1, -1, height, width),
            self._per_channel(mean),
            self._per_channel(variance),
            self.weight.repeat(count),
            self.bias.repeat(count),
            eps=self.eps,
        )
        return normalised.reshape(-1, channels, height, width)

    def _per_channel(self, statistic: Tensor) -> Tensor:
        """One value a group to one a channel, flat."""
        groups = statistic.reshape(-1, 1)
        return groups.expand(-1, self.num_channels // self.num_groups).reshape(-1)


def normalisation(channels: int, norm: Norm, groups: int | None = None) -> nn.Module:
    """GroupNorm with `groups`, or the first of 32, 16, 8, 4 that divides `channels`; BatchNorm for `norm="batch"`."""
    if norm == "batch":
        return nn.BatchNorm2d(channels, eps=EPSILON)
    if groups is None:
        groups = next(count for count in (32, 16, 8, 4) if channels % count == 0)
    return (GroupNormAsBatchNorm if norm == "group-as-batch" else nn.GroupNorm)(groups, channels, eps=EPSILON)
