"""The mobile block for runtimes on a CPU: the same function with a third of the memory traffic.

As exported, a block's hidden maps, 4 to 6 times as wide as its input, go through memory some twenty times, most of them
for group norms. Two identities save that:

- The first norm follows a 1x1 convolution, y = W x. The moments of y are those of x through W: with M the second
  moments of x (channels x channels), the mean square of y_c is w_c M w_c. So scale and shift are known before y is
  computed: the scale goes into the weights.
- All else up to the second norm, and all after it, concerns a few rows at a time. The block runs in strips of rows
  that stay in the cache, and stores only the depthwise convolution's output in between.

Maps no larger than a strip stay in the cache anyway: their blocks are left as they are, and their norms take the form
with the fewest nodes, for these are what opening a session takes its time for.

The moments are plain sums of squares. In float32 this is as exact as the norms of ONNX Runtime where a group's mean is
not many times its deviation, as behind a convolution; the exporter's comparison with the model decides.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

from . import norms
from .norms import Op, average, channels_hw, moments, normalised, numbers, reshape, scale_and_shift

STRIP_BYTES = 8 << 20
"""Of a strip's hidden map: a quarter of a common last-level cache."""

Activate = Callable[[ir.Value], ir.Value]


@dataclass(frozen=True)
class Strip:
    """Rows `first` up to `last` of the padded input make `rows` rows of output."""

    first: int
    last: int
    rows: int


def strips(height: int, stride: int, rows: int) -> list[Strip]:
    """A 3x3 convolution over `height` padded rows in strips of `rows` output rows; the last takes what is left."""
    out_height = (height - 3) // stride + 1
    found = []
    for top in range(0, out_height, rows):
        stop = min(top + rows, out_height)
        last = height if stop == out_height else (stop - 1) * stride + 3
        found.append(Strip(top * stride, last, stop - top))
    return found


def rows_in(budget: int, row_bytes: int, rows: int) -> int:
    """How many rows go into one of the fewest equal strips of at most `budget` bytes (but of one row at least)."""
    strips = math.ceil(rows / max(1, budget // row_bytes))
    return math.ceil(rows / strips)


@dataclass(frozen=True)
class _Norm:
    """weight and bias of a group norm, and what it makes in the graph."""

    weight: ir.Value
    bias: ir.Value
    made: ir.Value

    @property
    def values(self) -> tuple[ir.Value, ir.Value, ir.Value]:
        return self.weight, self.bias, self.made


def rules() -> list[pattern.RewriteRule]:
    """Blocks with the residual first: the shorter pattern would fit there, too. Then all norms that are left."""
    blocks = [_block_rule(activation, residual) for residual in (True, False) for activation in ("Relu", "LeakyRelu")]
    return [*blocks, norms.rule(_by_size)]


def _by_size(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
    form = norms.as_affine if _fills_strips(norm) else norms.as_instance
    return form(op, x, weight, bias, norm)


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
        attributes = node.attributes

        def activate(x: ir.Value) -> ir.Value:
            result: ir.Value = getattr(op, activation)(x, **attributes)
            return result

        made = [_Norm(values[f"g{index}"], values[f"b{index}"], values[f"norm{index}"]) for index in (1, 2, 3)]
        kernels = [values[f"w{index}"] for index in (1, 2, 3)]
        return _block(op, values["x"], kernels, made, activate, residual)

    def large(_context: Any, norm1: ir.Value, **_: ir.Value) -> bool:
        return _fills_strips(norm1)

    return pattern.RewriteRule(block, folded, large)


def _block(
    op: Op, x: ir.Value, kernels: list[ir.Value], made: list[_Norm], activate: Activate, residual: bool
) -> ir.Value:
    """The block in strips; kernels and norms of expansion, depthwise convolution and projection."""
    (channels, height, _), (hidden, out_height, out_width) = channels_hw(x), channels_hw(made[1].made)
    _, padded_height, padded_width = channels_hw(made[0].made)
    stride = height // out_height
    pixels = reshape(op, op.Pad(x, numbers(op, 0, 0, 1, 1, 0, 0, 1, 1)), 0, channels, padded_height * padded_width)
    expansion, shift = _folded_expansion(op, pixels, kernels[0], made[0])

    def piece(strip: Strip) -> ir.Value:
        y = pixels
        if strip.rows < out_height:
            y = op.Slice(
                y, *(numbers(op, value) for value in (strip.first * padded_width, strip.last * padded_width, 2))
            )
        y = activate(op.Add(op.MatMul(expansion, y), shift))
        y = reshape(op, y, 0, hidden, strip.last - strip.first, padded_width)
        y = op.Conv(y, kernels[1], group=hidden, kernel_shape=[3, 3], strides=[stride, stride], pads=[0, 0, 0, 0])
        return reshape(op, y, 0, hidden, strip.rows * out_width)

    plan = strips(padded_height, stride, rows_in(STRIP_BYTES, 4 * hidden * stride * padded_width, out_height))
    pieces = [piece(strip) for strip in plan]
    scale, middle = _over_strips(op, pieces, [strip.rows / out_height for strip in plan], made[1])
    channels, _, _ = channels_hw(made[2].made)
    projection = reshape(op, kernels[2], channels, hidden)
    projected = [op.MatMul(projection, activate(op.Add(op.Mul(piece, scale), middle))) for piece in pieces]
    joined = projected[0] if len(projected) == 1 else op.Concat(*projected, axis=2)
    result = reshape(op, normalised(op, joined, *made[2].values), 0, channels, out_height, out_width)
    return op.Add(x, result) if residual else result


def _folded_expansion(op: Op, pixels: ir.Value, kernel: ir.Value, norm: _Norm) -> tuple[ir.Value, ir.Value]:
    """(N, D, C): the 1x1 convolution with its norm's scale in it; (N, D, 1): the shift. pixels: (N, C, L), padded."""
    hidden, height, width = channels_hw(norm.made)
    kernel = reshape(op, kernel, hidden, -1)
    mean = op.MatMul(kernel, average(op, pixels, 2))
    products = op.MatMul(kernel, op.MatMul(pixels, op.Transpose(pixels, perm=[0, 2, 1])))
    share = op.Mul(kernel, op.Constant(value_float=1 / (height * width)))
    square = op.ReduceSum(op.Mul(products, share), numbers(op, 2), keepdims=1)
    scale, shift = scale_and_shift(op, (mean, square), *norm.values)
    return op.Mul(kernel, scale), shift


def _over_strips(op: Op, pieces: list[ir.Value], shares: list[float], norm: _Norm) -> tuple[ir.Value, ir.Value]:
    """Scale and shift of a norm over all strips, which are these shares of the image."""
    means, squares = zip(*(moments(op, piece) for piece in pieces), strict=True)
    weights = reshape(op, op.Constant(value_floats=shares), -1, 1)
    mean, square = (op.MatMul(op.Concat(*parts, axis=2), weights) for parts in (means, squares))
    return scale_and_shift(op, (mean, square), *norm.values)
