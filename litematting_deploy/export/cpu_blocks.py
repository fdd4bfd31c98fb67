"""The mobile block for runtimes on a CPU: the same function with a third of the memory traffic.

As exported, a block's hidden maps, 4 to 6 times as wide as its input, go through memory some twenty times, most of them
for group norms. Three identities save that:

- The first norm follows a 1x1 convolution, y = W x. The statistics of y are those of x through W: with K the covariance
  of x (channels x channels), the variance of y_c is w_c K w_c. So scale and shift are known before y is computed: the
  scale goes into the weights. x without its mean is what K is of, and what is convolved. The shift, or a part of it, is
  one more column of the weights, for one more channel of x that is 1 everywhere: adding it takes no pass of its own.
- All else up to the second norm, and all after it, concerns a few rows at a time. The block runs in strips of rows
  that stay in the cache, and stores only the depthwise convolution's output in between.
- The activation of s y + t is s times that of y + t / s for s > 0, be it ReLU or LeakyReLU. So the scale of the second
  norm goes into the weights of the projection. The sign of s, which is that of the norm's weight, goes into the
  depthwise convolution. ReLU of y + t is the maximum of y and -t, and t more: one pass instead of two, and what the
  next convolution makes of t is known.

Maps no larger than a strip stay in the cache anyway: their blocks are left as they are, for nodes are what opening a
session takes its time for.

No variance is the mean square less the square of the mean where the mean may be much larger than the deviations: both
are then of one size with their own rounding, as in a photo of a white wall. Most are of values without their mean. What
ReLU makes of y + t lacks the positive part of t, and y has no mean: channels that are on everywhere stay near y, and
those that are off everywhere are 0. So their mean squares say enough, in one pass less. Long sums are sums of rows'
sums.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import onnx_ir as ir
from onnxscript.rewriter import pattern

from . import large_convolutions, norms
from .norms import Op, average, channels_hw, numbers, reshape, row_statistics, scale_and_mean

STRIP_BYTES = 8 << 20
"""Of a strip's hidden map: a quarter of a common last-level cache."""

_LEAST = 1e-12
"""Of a norm's weights, so that there is something to divide by; next to its bias, nothing."""


@dataclass(frozen=True)
class _Activation:
    """An activation of the sum of x (N, D, L) and a shift t (N, D, 1), as nodes.

    split: returns the part of t that is added to x before `inside`, and the part that its result lacks, or None.
    inside: takes x with the former, and the latter. outside: takes x and t, and returns its result and what that lacks
    (N, D, 1), or None.
    """

    split: Callable[[ir.Value], tuple[ir.Value, ir.Value | None]]
    inside: Callable[[ir.Value, ir.Value | None], ir.Value]
    outside: Callable[[ir.Value, ir.Value], tuple[ir.Value, ir.Value | None]]


@dataclass(frozen=True)
class Strip:
    """Rows `first` up to `last` of the padded input make `rows` rows of output."""

    first: int
    last: int
    rows: int


def strips(height: int, stride: int, rows: int) -> list[Strip]:
    """A 3x3 convolution over `height` padded rows in strips of `rows` output rows; the last takes what is left."""
    # Padding is in `height` already.
    out_height = (height - 3) // stride + 1
    found = []
    for top in range(0, out_height, rows):
        stop = min(top + rows, out_height)
        # A stride of 2 may leave a row over, which the last strip takes along.
        last = height if stop == out_height else (stop - 1) * stride + 3
        found.append(Strip(top * stride, last, stop - top))
    return found


def rows_in(budget: int, row_bytes: int, rows: int) -> int:
    """How many rows go into one of the fewest equal strips of at most `budget` bytes (but of one row at least)."""
    strips = math.ceil(rows / max(1, budget // row_bytes))
    return math.ceil(rows / strips)


class _Norm(NamedTuple):
    """weight and bias of a group norm, and what it makes in the graph."""

    weight: ir.Value
    bias: ir.Value
    made: ir.Value


def rules() -> list[pattern.RewriteRule]:
    """Blocks with the residual first: the shorter pattern would fit there, too. Then all norms that are left."""
    blocks = [_block_rule(activation, residual) for residual in (True, False) for activation in ("Relu", "LeakyRelu")]
    return [*blocks, norms.rule(norms.as_affine), *large_convolutions.rules()]


def _fills_strips(x: ir.Value) -> bool:
    channels, height, width = channels_hw(x)
    return 4 * channels * height * width > STRIP_BYTES


def _block_rule(activation: str, residual: bool) -> pattern.RewriteRule:
    other: dict[str, Any] = {"_allow_other_attributes": True}

    def block(op: Op, x: Any, w1: Any, g1: Any, b1: Any, w2: Any, g2: Any, b2: Any, w3: Any, g3: Any, b3: Any) -> Any:
        y = op.Conv(x, w1, kernel_shape=[1, 1], pads=[1, 1, 1, 1], **other)
        y = op.GroupNormalization(y, g1, b1, **other, _outputs=["norm1"])
        y = getattr(op, activation)(y, **other, _outputs=["active"])
        y = op.Conv(y, w2, kernel_shape=[3, 3], pads=[0, 0, 0, 0], **other)
        y = op.GroupNormalization(y, g2, b2, **other, _outputs=["norm2"])
        y = getattr(op, activation)(y, **other)
        y = op.Conv(y, w3, kernel_shape=[1, 1], pads=[0, 0, 0, 0], **other)
        y = op.GroupNormalization(y, g3, b3, **other, _outputs=["norm3"])
        return op.Add(x, y) if residual else y

    def folded(op: Op, active: ir.Value, **values: ir.Value) -> ir.Value:
        node = active.producer()
        assert node is not None  # the pattern matched it
        made = [_Norm(values[f"g{index}"], values[f"b{index}"], values[f"norm{index}"]) for index in (1, 2, 3)]
        kernels = [values[f"w{index}"] for index in (1, 2, 3)]
        activate = _relu(op) if activation == "Relu" else _leaky_relu(op, node.attributes)
        return _block(op, values["x"], kernels, made, activate, residual)

    def large(_context: Any, norm1: ir.Value, **_: ir.Value) -> bool:
        return _fills_strips(norm1)

    return pattern.RewriteRule(block, folded, large)


def _relu(op: Op) -> _Activation:
    """max(x + t, 0) is max(x, -t) and t more, and max(x + min(t, 0), -max(t, 0)) and max(t, 0) more."""

    def split(shift: ir.Value) -> tuple[ir.Value, ir.Value | None]:
        positive = op.Relu(shift)
        return op.Sub(shift, positive), positive

    def inside(x: ir.Value, positive: ir.Value | None) -> ir.Value:
        return op.Max(x, op.Neg(positive))

    def outside(x: ir.Value, shift: ir.Value) -> tuple[ir.Value, ir.Value | None]:
        return op.Max(x, op.Neg(shift)), shift

    return _Activation(split, inside, outside)


def _leaky_relu(op: Op, attributes: Any) -> _Activation:
    def alone(x: ir.Value, _: ir.Value | None = None) -> ir.Value:
        return op.LeakyRelu(x, **attributes)

    return _Activation(lambda shift: (shift, None), alone, lambda x, shift: (alone(op.Add(x, shift)), None))


def _block(
    op: Op, x: ir.Value, kernels: list[ir.Value], made: list[_Norm], activate: _Activation, residual: bool
) -> ir.Value:
    """The block in strips; kernels and norms of expansion, depthwise convolution and projection."""
    (channels, height, _), (hidden, out_height, out_width) = channels_hw(x), channels_hw(made[1].made)
    _, padded_height, padded_width = channels_hw(made[0].made)
    stride = height // out_height
    padded = op.Pad(x, numbers(op, 0, 0, 1, 1, 0, 1, 1, 1))
    pixels, mean = _centred_and_one(op, padded, channels, padded_height * padded_width)
    expansion, lacking = _folded_expansion(op, pixels, mean, kernels[0], made[0], activate)
    sign = _sign(op, made[1].weight, hidden)
    # Signs are exact, and so is what they turn around.
    depthwise = op.Mul(kernels[1], sign)

    def piece(strip: Strip) -> ir.Value:
        y = pixels
        if strip.rows < out_height:
            y = op.Slice(
                y, *(numbers(op, value) for value in (strip.first * padded_width, strip.last * padded_width, 2))
            )
        y = activate.inside(op.MatMul(expansion, y), lacking)
        y = reshape(op, y, 0, hidden, strip.last - strip.first, padded_width)
        y = op.Conv(y, depthwise, group=hidden, kernel_shape=[3, 3], strides=[stride, stride], pads=[0, 0, 0, 0])
        return reshape(op, y, 0, hidden, strip.rows * out_width)

    plan = strips(padded_height, stride, rows_in(STRIP_BYTES, 4 * hidden * stride * padded_width, out_height))
    pieces = [piece(strip) for strip in plan]
    if lacking is not None:
        lacking = op.Mul(lacking, reshape(op, op.ReduceSum(depthwise, numbers(op, 1, 2, 3)), hidden, 1))
    projection, middle = _folded_projection(op, pieces, lacking, sign, kernels[2], made[1])

    def projected(y: ir.Value) -> tuple[ir.Value, ir.Value | None]:
        y, less = activate.outside(y, middle)
        return op.MatMul(projection, y), less

    # What ReLU lacks is the same in all strips.
    parts, (less, *_) = zip(*map(projected, pieces), strict=True)
    joined = parts[0] if len(parts) == 1 else op.Concat(*parts, axis=2)
    offset = None if less is None else op.MatMul(projection, less)
    channels, _, _ = channels_hw(made[2].made)
    result = norms.as_affine(op, reshape(op, joined, 0, channels, out_height, out_width), *made[2], offset)
    return op.Add(x, result) if residual else result


def _centred_and_one(op: Op, x: ir.Value, channels: int, pixels: int) -> tuple[ir.Value, ir.Value]:
    """x (N, C + 1, H, W) without its channels' means, as (N, C + 1, H W), and these means (N, C + 1, 1).

    The last channel, 0 in x, is 1 in the result: what a matrix has in its last column is added.
    """
    mean = average(op, average(op, x, 3), 2)
    one = op.Constant(value_floats=[0.0] * channels + [1.0])
    centred = op.Sub(x, op.Sub(mean, reshape(op, one, channels + 1, 1, 1)))
    return reshape(op, centred, 0, channels + 1, pixels), reshape(op, mean, 0, channels + 1, 1)


def _folded_expansion(
    op: Op, pixels: ir.Value, mean: ir.Value, kernel: ir.Value, norm: _Norm, activate: _Activation
) -> tuple[ir.Value, ir.Value | None]:
    """(N, D, C + 1): the 1x1 convolution with its norm's scale in it; in the last column, the shift.

    pixels: (N, C + 1, L), padded, without their mean (N, C + 1, 1), and the last channel 1.
    """
    hidden, height, width = channels_hw(norm.made)
    kernel = reshape(op, kernel, hidden, -1)
    padded = op.Pad(kernel, numbers(op, 0, 0, 0, 1))
    means = op.MatMul(padded, mean)
    products = op.MatMul(padded, op.MatMul(pixels, op.Transpose(pixels, perm=[0, 2, 1])))
    share = op.Mul(padded, op.Constant(value_float=1 / (height * width)))
    variances = op.Relu(op.ReduceSum(op.Mul(products, share), numbers(op, 2), keepdims=1))
    scale, removed = scale_and_mean(op, (means, variances), norm.weight, norm.made)
    shift = op.Add(op.Mul(op.Sub(means, removed), scale), reshape(op, norm.bias, hidden, 1))
    inside, lacking = activate.split(shift)
    return op.Concat(op.Mul(kernel, scale), inside, axis=2), lacking


def _sign(op: Op, weight: ir.Value, channels: int) -> ir.Value:
    """1 for each channel, -1 where the norm turns it around: (D, 1, 1, 1)."""
    one, other = (op.Constant(value_float=value) for value in (1.0, -1.0))
    negative = op.Less(reshape(op, weight, channels, 1, 1, 1), op.Constant(value_float=0.0))
    return op.Where(negative, other, one)


def _folded_projection(
    op: Op, pieces: Sequence[ir.Value], lacking: ir.Value | None, sign: ir.Value, kernel: ir.Value, norm: _Norm
) -> tuple[ir.Value, ir.Value]:
    """(N, C, D): the 1x1 convolution with the scale of the norm before it; (N, D, 1): what to add before.

    pieces: strips (N, D, rows W) of what the norm takes, each channel times its `sign` (D, 1, 1, 1).
    """
    hidden, _, width = channels_hw(norm.made)
    sign = reshape(op, sign, hidden, 1, 1)
    statistics = row_statistics if lacking is None else norms.plain_row_statistics
    parts = zip(*(statistics(op, piece, width) for piece in pieces), strict=True)
    means, variances = (part[0] if len(part) == 1 else op.Concat(*part, axis=2) for part in parts)
    if lacking is not None:
        means = op.Add(means, reshape(op, lacking, 0, hidden, 1, 1))
    weight = op.Max(op.Abs(norm.weight), op.Constant(value_float=_LEAST))
    scale, removed = scale_and_mean(op, (op.Mul(means, sign), variances), weight, norm.made)
    shift = op.Sub(op.Div(reshape(op, norm.bias, hidden, 1), scale), op.Mul(removed, reshape(op, sign, hidden, 1)))
    if lacking is not None:
        shift = op.Add(shift, lacking)
    folded = op.Mul(reshape(op, kernel, -1, hidden), reshape(op, scale, 0, 1, hidden))
    return folded, shift
