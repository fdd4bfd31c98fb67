"""The convolutions of the decoder's largest maps for runtimes on a CPU: the same sums in fewer products or passes.

- A map that is enlarged twice (nearest) has blocks of 2x2 equal pixels, of which a 3x3 convolution sees 2x2. So in each
  of four phases of the output (even or odd rows, even or odd columns) it is a 2x2 convolution of the small map, with
  sums of the weights. What was joined to the enlarged map is convolved with stride 2, for each phase by itself.
- A convolution to one channel leaves most of a vector register empty. Several rows at once fill it: with a kernel
  taller by these rows and a stride as long, whose results are as many channels.
- PReLU with slopes up to 1 is the maximum of x and x times its slope: ONNX Runtime's own node branches on every value.
"""

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnxscript.rewriter import pattern

from .norms import Op, channels_hw, numbers, reshape

ROWS = 8
"""Rows at once of a map of one channel: as many as a register of AVX has values."""

_3X3: dict[str, Any] = {"strides": [1, 1], "dilations": [1, 1], "group": 1, "pads": [1, 1, 1, 1], "auto_pad": "NOTSET"}

_PHASES = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])
"""(phase, 2, 3): which of three rows of a kernel see the former and the latter of two rows of the small map."""


def rules() -> list[pattern.RewriteRule]:
    return [
        pattern.RewriteRule(_conv_of_enlarged, _phases, _is_enlarged_twice),
        pattern.RewriteRule(_conv, _several_rows, _fits_rows),
        pattern.RewriteRule(_prelu, _maximum, _slopes_up_to_1),
    ]


def _constant(op: Op, values: NDArray[Any], like: ir.Value) -> ir.Value:
    """The values in the type of `like`."""
    assert like.dtype is not None
    return op.Constant(value=ir.tensor(values.astype(like.dtype.numpy())))


def _conv_of_enlarged(op: Op, x: Any, scales: Any, skip: Any, weight: Any, bias: Any) -> Any:
    enlarged = op.Resize(x, None, scales, mode="nearest", _allow_other_attributes=True, _outputs=["enlarged"])
    return op.Conv(op.Concat(enlarged, skip, axis=1), weight, bias, **_3X3, _allow_other_attributes=True)


def _is_enlarged_twice(_context: Any, x: ir.Value, enlarged: ir.Value, weight: ir.Value, **_: ir.Value) -> bool:
    small_hw, large_hw = channels_hw(x)[1:], channels_hw(enlarged)[1:]
    return tuple(2 * side for side in small_hw) == large_hw and weight.shape is not None and weight.shape[2:] == (3, 3)


def _phases(op: Op, x: ir.Value, skip: ir.Value, weight: ir.Value, bias: ir.Value, **_: ir.Value) -> ir.Value:
    (channels, height, width), skip_channels = channels_hw(x), channels_hw(skip)[0]
    parts: Any = op.Split(weight, numbers(op, channels, skip_channels), axis=1, _outputs=2)
    of_x, of_skip = parts

    def phase(row: int, column: int) -> ir.Value:
        rows, columns = _constant(op, _PHASES[row], weight), _constant(op, _PHASES[column].T, weight)
        pads = [1 - row, 1 - column, row, column]
        kernel = op.MatMul(rows, op.MatMul(of_x, columns))
        from_x = op.Conv(x, kernel, bias, kernel_shape=[2, 2], pads=pads)
        from_skip = op.Conv(skip, of_skip, kernel_shape=[3, 3], strides=[2, 2], pads=pads)
        return reshape(op, op.Add(from_x, from_skip), 0, 0, 1, height * width)

    # Two transpositions that move whole rows are faster than one of single values, or than DepthToSpace.
    y = op.Concat(*itertools.starmap(phase, itertools.product((0, 1), repeat=2)), axis=2)
    y = op.Transpose(reshape(op, y, 0, 0, 2, 2, height * width), perm=[0, 1, 2, 4, 3])
    y = op.Transpose(reshape(op, y, 0, 0, 2, height, 2 * width), perm=[0, 1, 3, 2, 4])
    return reshape(op, y, 0, 0, 2 * height, 2 * width)


def _conv(op: Op, x: Any, weight: Any, bias: Any) -> Any:
    return op.Conv(x, weight, bias, **_3X3, _allow_other_attributes=True)


def _fits_rows(_context: Any, x: ir.Value, weight: ir.Value, **_: ir.Value) -> bool:
    height = channels_hw(x)[1]
    return weight.shape is not None and weight.shape[0] == 1 and weight.shape[2:] == (3, 3) and height % ROWS == 0


def _several_rows(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value) -> ir.Value:
    _, height, width = channels_hw(x)
    shifted = np.stack([np.eye(ROWS + 2, 3, -row) for row in range(ROWS)])[:, None]
    kernels = op.MatMul(_constant(op, shifted, weight), weight)
    biases = op.Expand(bias, numbers(op, ROWS))
    y = op.Conv(x, kernels, biases, kernel_shape=[ROWS + 2, 3], strides=[ROWS, 1], pads=[1, 1, 1, 1])
    return reshape(op, op.Transpose(y, perm=[0, 2, 1, 3]), 0, 1, height, width)


def _prelu(op: Op, x: Any, slope: Any) -> Any:
    return op.PRelu(x, slope)


def _slopes_up_to_1(_context: Any, slope: ir.Value, **_: ir.Value) -> bool:
    return slope.const_value is not None and bool((slope.const_value.numpy() <= 1).all())


def _maximum(op: Op, x: ir.Value, slope: ir.Value) -> ir.Value:
    return op.Max(x, op.Mul(x, slope))
