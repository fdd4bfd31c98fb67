"""Long-Short Range Pyramid Pooling Module (paper section 3.2, figures 3c, 4 and 5)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import ModelConfig
from .layers import normalisation
from .pooling import Size, adaptive_average

# name: (pool size, kernel), height first; None spans the whole axis
BRANCHES: dict[str, tuple[Size, tuple[int, int]]] = {
    "conv1": ((5, 5), (3, 3)),
    "conv2": ((13, 13), (3, 3)),
    "conv3": ((1, None), (1, 3)),
    "conv4": ((None, 1), (3, 1)),
    "conv5": ((15, 7), (5, 3)),
    "conv6": ((7, 15), (3, 5)),
    "conv7": ((23, 11), (7, 3)),
    "conv8": ((11, 23), (3, 7)),
}
PAIRS = (("conv1", "conv2"), ("conv5", "conv6"), ("conv7", "conv8"), ("conv3", "conv4"))


def _conv_norm_relu(
    in_channels: int, out_channels: int, kernel: tuple[int, int], config: ModelConfig
) -> tuple[nn.Module, nn.Module, nn.Module]:
    padding = (kernel[0] // 2, kernel[1] // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=padding, bias=False)
    return conv, normalisation(out_channels, config.norm), nn.ReLU()


class LongShortRangePyramidPooling(nn.Module):
    """Eight pools of differing reach, merged in pairs; attribute names as published."""

    def __init__(self, config: ModelConfig, channels: int = 320) -> None:
        super().__init__()
        self.form = config.pooling
        inner = channels // 8
        self.trans = nn.Sequential(
            *_conv_norm_relu(channels, channels // 2, (1, 1), config),
            *_conv_norm_relu(channels // 2, inner, (1, 1), config),
        )
        for name, (_, kernel) in BRANCHES.items():
            self.add_module(name, nn.Sequential(*_conv_norm_relu(inner, inner, kernel, config)))
        self.conv = nn.Sequential(*_conv_norm_relu(inner, inner, (3, 3), config))

    def _branch(self, x: Tensor, name: str) -> Tensor:
        pooled = adaptive_average(x, BRANCHES[name][0], self.form)
        return functional.interpolate(
            self.get_submodule(name)(pooled), size=x.shape[2:], mode="bilinear", align_corners=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 320, h, w) at 1/32 -> (N, 160, h, w)."""
        x = self.trans(x)
        merged = [self.conv(functional.relu(self._branch(x, a) + self._branch(x, b))) for a, b in PAIRS]
        return torch.cat(merged, dim=1)
