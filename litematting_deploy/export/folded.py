"""The mobile block for runtimes on a CPU: the same function with a third of the memory traffic.

As exported, a block's hidden maps, 4 to 6 times as wide as its input, go through memory some twenty times, most of them
for group norms. Two identities save that:

- The first norm follows a 1x1 convolution, y = W x. The moments of y are those of x through W: with M the second
  moments of x (channels x channels), the mean square of y_c is w_c M w_c. So scale and shift are known before y is
  computed, and go into the weights and a row for a constant one.
- All else up to the second norm, and all after it, concerns a few rows at a time. The block runs in strips of rows
  that stay in the cache, and stores only the depthwise convolution's output in between.

The moments are plain sums of squares. In float32 this is as exact as the norms of ONNX Runtime where a group's mean is
not many times its deviation, as behind a convolution; the exporter's comparison with the model decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from .norms import Op, channels_hw, moments, numbers, reshape, rows_in, scale_and_shift

STRIP_BYTES = 8 << 20
"""Of a strip's hidden map: a quarter of a common last-level cache."""

Activate = Callable[[ir.Value], ir.Value]


@dataclass(frozen=True)
class Strip:
    """Rows `first` up to `last` of the input, padded by `above` and `below`, make `rows` rows of output."""

    stride: int
    first: int
    last: int
    above: int
    below: int
    rows: int

    @property
    def padded_rows(self) -> int:
        return self.above + self.last - self.first + self.below


def strips(height: int, stride: int, rows: int) -> list[Strip]:
    """A 3x3 convolution over `height` rows, padded by 1, in strips of `rows` output rows; the last may be shorter."""
    found = []
    for top in range(0, height // stride, rows):
        count = min(rows, height // stride - top)
        first, last = top * stride - 1, (top + count - 1) * stride + 2
        above, below = max(0, -first), max(0, last - height)
        found.append(Strip(stride, first + above, last - below, above, below, count))
    return found


@dataclass(frozen=True)
class _Norm:
    """weight and bias of a group norm, and what it makes in the graph."""

    weight: ir.Value
    bias: ir.Value
    made: ir.Value


def rules() -> list[pattern.RewriteRule]:
    """Those with the residual first: the shorter pattern would fit there, too."""
    return [_rule(activation, residual) for residual in (True, False) for activation in ("Relu", "LeakyRelu")]


def _rule(activation: str, residual: bool) -> pattern.RewriteRule:
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
        attributes = node.attributes

        def activate(x: ir.Value) -> ir.Value:
            result: ir.Value = getattr(op, activation)(x, **attributes)
            return result

        norms = [_Norm(values[f"g{index}"], values[f"b{index}"], values[f"norm{index}"]) for index in (1, 2, 3)]
        kernels = [values[f"w{index}"] for index in (1, 2, 3)]
        return _block(op, values["x"], kernels, norms, activate, residual)

    return pattern.RewriteRule(block, folded)


def _block(
    op: Op, x: ir.Value, kernels: list[ir.Value], norms: list[_Norm], activate: Activate, residual: bool
) -> ir.Value:
    """The block in strips; kernels and norms of expansion, depthwise convolution and projection."""
    expansion = _folded_expansion(op, x, kernels[0], norms[0])
    (_, height, width), (hidden, out_height, out_width) = channels_hw(x), channels_hw(norms[1].made)
    stride = height // out_height
    plan = strips(height, stride, rows_in(STRIP_BYTES, 4 * hidden * stride * (width + 2), out_height))
    pieces = [_hidden(op, x, strip, expansion, kernels[1], activate, hidden) for strip in plan]
    shares = [strip.rows / out_height for strip in plan]

    scale, shift = _over_strips(op, pieces, shares, norms[1])
    channels, _, _ = channels_hw(norms[2].made)
    projection = reshape(op, kernels[2], channels, hidden)
    projected = [op.MatMul(projection, activate(op.Add(op.Mul(piece, scale), shift))) for piece in pieces]
    scale, shift = _over_strips(op, projected, shares, norms[2])
    joined = projected[0] if len(projected) == 1 else op.Concat(*projected, axis=2)
    result = reshape(op, op.Add(op.Mul(joined, scale), shift), 0, channels, out_height, out_width)
    return op.Add(x, result) if residual else result


def _folded_expansion(op: Op, x: ir.Value, kernel: ir.Value, norm: _Norm) -> ir.Value:
    """(N, D, C + 1): the 1x1 convolution of padded x, its norm's scale in it, and the shift behind it."""
    (channels, height, width), (hidden, padded_height, padded_width) = channels_hw(x), channels_hw(norm.made)
    pixels = reshape(op, x, 0, channels, height * width)
    kernel = reshape(op, kernel, hidden, channels)
    shared = op.Mul(kernel, op.Constant(value_float=1 / (padded_height * padded_width)))
    mean = op.MatMul(shared, op.ReduceSum(pixels, numbers(op, 2), keepdims=1))
    products = op.MatMul(kernel, op.MatMul(pixels, op.Transpose(pixels, perm=[0, 2, 1])))
    square = op.ReduceSum(op.Mul(products, shared), numbers(op, 2), keepdims=1)
    scale, shift = scale_and_shift(op, (mean, square), norm.weight, norm.bias, norm.made)
    folded: ir.Value = op.Concat(op.Mul(kernel, scale), shift, axis=2)
    return folded


def _hidden(
    op: Op, x: ir.Value, strip: Strip, expansion: ir.Value, kernel: ir.Value, activate: Activate, hidden: int
) -> ir.Value:
    """(N, D, pixels): the depthwise convolution's output in one strip."""
    channels, height, width = channels_hw(x)
    if strip.last - strip.first < height:
        x = op.Slice(x, numbers(op, strip.first), numbers(op, strip.last), numbers(op, 2))
    x = op.Pad(x, numbers(op, 0, 0, strip.above, 1, 0, 0, strip.below, 1))
    one_hw = (1, strip.padded_rows, width + 2)
    count = op.Shape(x, start=0, end=1)
    ones = op.Expand(op.Constant(value_float=1.0), op.Concat(count, numbers(op, *one_hw), axis=0))
    x = reshape(op, op.Concat(x, ones, axis=1), 0, channels + 1, strip.padded_rows * (width + 2))
    y = reshape(op, activate(op.MatMul(expansion, x)), 0, hidden, strip.padded_rows, width + 2)
    y = op.Conv(y, kernel, group=hidden, kernel_shape=[3, 3], strides=[strip.stride] * 2, pads=[0, 0, 0, 0])
    return reshape(op, y, 0, hidden, strip.rows * (width // strip.stride))


def _over_strips(op: Op, pieces: list[ir.Value], shares: list[float], norm: _Norm) -> tuple[ir.Value, ir.Value]:
    """Scale and shift of a norm over all strips, which are these shares of the image."""
    means, squares = zip(*(moments(op, piece) for piece in pieces), strict=True)
    whole = []
    for parts in (means, squares):
        joined = op.Mul(op.Concat(*parts, axis=2), op.Constant(value_floats=shares))
        whole.append(op.ReduceSum(joined, numbers(op, 2), keepdims=1))
    return scale_and_shift(op, (whole[0], whole[1]), norm.weight, norm.bias, norm.made)
