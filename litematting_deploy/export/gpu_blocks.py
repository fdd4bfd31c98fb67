"""Norms and mobile blocks for compilers on GPUs, such as TensorRT: the same function with less memory traffic.

A GPU spends its time on passes over maps, and a compiler makes one kernel of a convolution, an addition and an
activation behind it, or of a chain of element-wise operations. A norm is neither: its statistics need the whole map
first. What was measured with TensorRT for RTX is in benchmarks/NOTES.md; what follows from it:

- The norm after a block's 1x1 expansion costs no pass. Its statistics are those of the input through the kernel: with K
  the covariance of the input (channels x channels) and w the kernel's rows, the variance of a group is the mean of
  w K w. So scale and shift are known before, the scale goes into the kernel, and the shift is its bias.
- For that, a block's input is without its channels' means and with its padding: a `Centred` map. The kernel that adds a
  block's result to its input writes it so.
- Other norms take three kernels (row statistics, the statistics of a group, scale and shift with whatever follows),
  whatever the width of the group; TensorRT's own needs groups of some widths, and has no LeakyReLU in it. Wide groups
  before a ReLU stay one GroupNormalization node.

Variances are of what is left without the mean, in float32, as in `norms`.
"""

import math
from typing import Any

import numpy as np
from torch import nn

from ..model.layers import EPSILON, MobileBlock
from .drawing import Drawing, Tensor, concat, convolve
from .gpu_maps import (
    F32,
    Activation,
    Affine,
    Centred,
    Joined,
    Map,
    activation,
    bordered,
    mean_of_parts,
    of_groups,
    padded_share,
    relu,
    scaled,
    size_of,
)

LARGE_MAP = 3 << 20
"""Values of a block's hidden map from which on the covariance pays for its kernels."""

_WHOLE_GROUP = 15_000
"""Values of a group up to which one kernel takes its statistics at once."""

_UNROLLED = 4
"""Channels of a group up to which its mean is a few additions, and so goes into whatever kernel needs it."""

_WHOLE_CHANNEL = 10_000
"""Values of a channel up to which one kernel takes its statistics at once."""

_MOST_UNROLLED = 18
"""The same, where that saves a kernel on a small map."""

_NARROWEST = 8
"""Channels of a group from which on TensorRT makes one kernel of its norm, if they are an even number of 32 groups."""


class Blocks:
    """The layers of one model in a graph.

    dtype: of the maps. one: whether the batch is 1, so that a kernel can be scaled by what a patch's statistics say.
    """

    def __init__(self, model: nn.Module, drawing: Drawing, dtype: Any, one: bool) -> None:
        self.drawing = drawing
        self.dtype = dtype
        self.one = one
        self._names = {id(tensor): name for name, tensor in model.named_parameters()}

    def weight(self, parameter: Any, *shape: int, dtype: Any = None) -> Tensor:
        """Return a parameter as an initializer with its name, in another shape and type than it has."""
        values = parameter.detach().double().numpy().astype(self.dtype if dtype is None else dtype)
        return self.drawing.weight(self._names[id(parameter)], values.reshape(shape or values.shape))

    def convolved(self, x: Tensor, layer: Any, padding: int | tuple[int, int] | None = None) -> Tensor:
        """Return a convolution as it is in the model, in the type of x; `padding` in place of its own."""
        bias = None if layer.bias is None else self.weight(layer.bias, dtype=x.dtype)
        own = (int(layer.padding[0]), int(layer.padding[1]))
        return convolve(
            x,
            self.weight(layer.weight, dtype=x.dtype),
            bias,
            stride=layer.stride[0],
            padding=own if padding is None else padding,
            groups=layer.groups,
        )

    def adjusted(self, x: Tensor, layer: Any, scale: Tensor, shift: Tensor, activate: Activation) -> Tensor:
        """Return a convolution without its bias, scaled, shifted by (N, D, 1, 1) each, and activated."""
        if self.one:
            kernel = self.weight(layer.weight, dtype=F32) * scale.reshape(layer.out_channels, 1, 1, 1)
            y = convolve(x, kernel.cast(self.dtype), stride=layer.stride[0], groups=layer.groups)
            return activate(y + shift.cast(self.dtype))
        y = convolve(x, self.weight(layer.weight).cast(self.dtype), stride=layer.stride[0], groups=layer.groups)
        return activate(scaled(y, scale, shift)).cast(self.dtype)

    # Norms

    def _affine(self, mean: Tensor, variance: Tensor, norm: Any) -> tuple[Tensor, Tensor]:
        """Return scale and shift (N, C, 1, 1) of a norm, from the statistics (N, G, 1) of its groups."""
        groups, channels = norm.num_groups, norm.num_channels
        weight, bias = (
            self.weight(part, 1, groups, channels // groups, dtype=F32) for part in (norm.weight, norm.bias)
        )
        scale = weight / (variance + EPSILON).apply("Sqrt")
        shift = bias - mean * scale
        return scale.reshape(-1, channels, 1, 1), shift.reshape(-1, channels, 1, 1)

    def normalised(self, y: Tensor, norm: Any) -> Affine:
        """Return y (N, C, H, W) as its norm makes it, with the means of its channels."""
        (channels, height, across), groups = y.chw, norm.num_groups
        width = channels // groups
        values = y.cast(F32)
        if height * across <= _WHOLE_CHANNEL and width <= _MOST_UNROLLED:
            means = values.mean(2, 3)
            apart = values - means
            variances = (apart * apart).mean(2, 3)
        else:
            means = values.mean(3)
            apart = values - means
            variances = (apart * apart).mean(3)
            if width > _UNROLLED:
                scale, shift = self._affine(*of_groups(means, variances, groups, width * height), norm)
                return Affine(y, scale, shift, means.mean(2) * scale + shift)
            # Means of channels are taken relative to the first: their squares would drown the differences.
            first = means.window(2, 0, 1)
            apart = means - first
            moved, squares = apart.mean(2), (variances + apart * apart).mean(2)
            means, variances = first + moved, squares - moved * moved
        scale, shift = self._affine(*of_groups(means, variances, groups, width, unrolled=True), norm)
        return Affine(y, scale, shift, means * scale + shift)

    def norm(self, y: Tensor, norm: Any, activate: Activation | None = None) -> Tensor:
        """Return a norm with the activation behind it, float32."""
        (channels, height, width), groups = y.chw, norm.num_groups
        if channels // groups * height * width > _WHOLE_GROUP:
            result = self.normalised(y, norm).values()
        else:
            values = y.cast(F32).reshape(-1, groups, channels // groups * height, width)
            mean = values.mean(2, 3)
            apart = values - mean
            variance = (apart * apart).mean(2, 3)
            scale, shift = self._affine(mean.reshape(-1, groups, 1), variance.reshape(-1, groups, 1), norm)
            result = scaled(y, scale, shift)
        return result if activate is None else activate(result)

    def active_norm(self, y: Tensor, norm: Any, layer: Any) -> Tensor:
        """Return a norm and the activation behind it, in the graph's precision, as the one node where that is one
        kernel."""
        width = norm.num_channels // norm.num_groups
        if (
            y.chw[1] * y.chw[2] * width > _WHOLE_GROUP
            and isinstance(layer, nn.ReLU)
            and norm.num_groups == 32
            and width >= _NARROWEST
            and width % 2 == 0
        ):
            parameters = (self.weight(norm.weight), self.weight(norm.bias))
            return relu(y.apply("GroupNormalization", *parameters, num_groups=norm.num_groups, epsilon=norm.eps))
        return self.norm(y, norm, activation(layer)).cast(self.dtype)

    def norm_of_product(self, x: Centred, layer: Any, norm: Any) -> tuple[Tensor, Tensor]:
        """Return scale and shift (N, D, 1, 1) of a 1x1 convolution of x less its centre, so that both are its norm."""
        groups, channels = norm.num_groups, layer.in_channels
        width = layer.out_channels // groups
        # Constants of the graph are computed in float64: they cost nothing there.
        rows = layer.weight.detach().double().numpy().reshape(groups, width, channels)
        apart = rows - rows.mean(axis=1, keepdims=True)
        constant = self.drawing.constant
        row = x.centre.reshape(-1, 1, channels)
        if layer.bias is not None:  # as one more channel, which is 1 everywhere
            bias = layer.bias.detach().double().numpy().reshape(groups, width, 1)
            apart = np.concatenate([apart, bias - bias.mean(axis=1, keepdims=True)], axis=2)
            row = concat([row, row.window(2, 0, 1) * 0 + 1], 2)
        distance = (constant(apart.reshape(1, groups * width, -1), F32) * row).sum(2).reshape(-1, groups, width)
        within = np.einsum("gpi,gpj->gij", rows, rows).reshape(1, groups, -1) / width
        covariance = self._covariance(x).reshape(-1, 1, within.shape[2]) * constant(within, self.dtype).cast(F32)
        # The covariance lacks the means, whose part is added here.
        between = mean_of_parts(distance * distance)
        variance = covariance.sum(2).reshape(-1, groups, 1) + between
        weight, bias_of_norm = (self.weight(part, 1, groups, width, dtype=F32) for part in (norm.weight, norm.bias))
        scale = weight / (relu(variance) + EPSILON).apply("Sqrt")
        shift = bias_of_norm + distance * scale
        return scale.reshape(-1, groups * width, 1, 1), shift.reshape(-1, groups * width, 1, 1)

    def _covariance(self, x: Centred) -> Tensor:
        """Return the covariance (N, C, C) of a centred map, float32: a product for every two rows, and their mean.

        The product may be rounded to half precision: two rows sum up to what that holds, and errors average out.
        """
        channels, height, width = x.values.chw
        assert height % 2 == 0
        parts, chunk = height // 2, 2 * width
        # A power of two changes no digit, and half precision ends at 65504.
        shrunk = 2.0 ** -round(math.log2(chunk))
        pixels = x.values.transpose(0, 2, 3, 1).reshape(-1, chunk, channels)
        products = (pixels.transpose(0, 2, 1) * shrunk) @ pixels
        mean = products.cast(F32).reshape(-1, parts, channels, channels).mean(1)
        return mean * (1 / (shrunk * chunk))

    # Maps

    def plain(self, x: Map) -> Tensor:
        """Return a map as a tensor in the graph's precision."""
        return x if isinstance(x, Tensor) else self.exact(x).cast(self.dtype)

    def exact(self, x: Map) -> Tensor:
        """Return a map, float32."""
        if isinstance(x, Centred):
            return x.plain()
        if isinstance(x, Affine):
            return x.values()
        assert isinstance(x, Tensor)
        return x.cast(F32)

    def _mean(self, x: Map) -> Tensor:
        return x.cast(F32).mean(2, 3) if isinstance(x, Tensor) else x.mean

    def centred(self, x: Map) -> Centred:
        """Return a map as the covariance needs it."""
        if isinstance(x, Centred):
            return x
        if isinstance(x, Joined):
            return self._centred_join(x)
        mean = self._mean(x)
        height, width = size_of(x)
        centre = mean * padded_share(height, width)
        inner = x.values(centre) if isinstance(x, Affine) else x.cast(F32) - centre
        return Centred(bordered(inner, centre).cast(self.dtype), centre, mean)

    def join(self, x: Map, skip: Map) -> Joined:
        """Enlarge x (N, C, H, W) twice, nearest, and put `skip` behind it."""
        values = self.exact(x)
        height, width = values.hw
        return Joined(values.enlarge(2 * height, 2 * width, "nearest"), skip, self._mean(x))

    def _centred_join(self, x: Joined) -> Centred:
        share = padded_share(*x.large.hw)
        centre, mean = x.mean * share, self._mean(x.skip)
        skip_centre = mean * share
        left = bordered(x.large - centre, centre)
        if isinstance(x.skip, Centred):
            right = x.skip.values.cast(F32)
        else:
            right = bordered(self.exact(x.skip) - skip_centre, skip_centre)
        return Centred(
            concat([left, right], 1).cast(self.dtype), concat([centre, skip_centre], 1), concat([x.mean, mean], 1)
        )

    def padded(self, x: Map) -> Tensor:
        """Return a map with one pixel of zeros around, in the graph's precision."""
        if isinstance(x, Joined):
            skip = x.skip
            right = skip.values.cast(F32) + skip.centre if isinstance(skip, Centred) else self.exact(skip).pad()
            return concat([x.large.pad(), right], 1).cast(self.dtype)
        return self.plain(x).pad()

    # Blocks

    def stage(self, blocks: Any, x: Map) -> Map:
        """Return what mobile blocks make of a map."""
        for block in blocks:
            assert isinstance(block, MobileBlock)
            height, width = size_of(x)
            hidden: Any = block.conv[0]
            large = hidden.out_channels * height * width >= LARGE_MAP
            x = self._large_block(block, self.centred(x)) if large else self._block(block, x)
        return x

    def _block(self, block: Any, x: Map) -> Tensor:
        layers: Any = block.conv
        expand, norm1, active, depthwise, norm2, _, project, norm3 = layers
        if isinstance(x, Joined):
            joined = concat([x.large, self.exact(x.skip)], 1).cast(self.dtype)
            y = self.convolved(joined, expand, 1)
        else:
            x = self.plain(x)
            y = self.convolved(x, expand, 1)
        y = self.active_norm(y, norm1, active)
        y = self.active_norm(self.convolved(y, depthwise), norm2, active)
        y = self.norm(self.convolved(y, project), norm3)
        return (y + self.exact(x) if block.residual else y).cast(self.dtype)

    def _large_block(self, block: Any, x: Centred) -> Affine | Centred:
        layers: Any = block.conv
        expand, norm1, active, depthwise, norm2, _, project, norm3 = layers
        y = self.adjusted(x.values, expand, *self.norm_of_product(x, expand, norm1), activation(active))
        y = self.active_norm(self.convolved(y, depthwise), norm2, active)
        result = self.normalised(self.convolved(y, project), norm3)
        if not block.residual:
            return result
        moved = result.mean * padded_share(*result.y.hw)
        values = result.values().pad() - moved + x.values.cast(F32)
        return Centred(values.cast(self.dtype), x.centre + moved, x.mean + result.mean)
