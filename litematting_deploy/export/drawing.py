"""An ONNX graph under construction: tensors with NumPy's operators, each of which adds a node.

Tracing a model through PyTorch's exporter takes minutes for graphs of thousands of small nodes; writing the nodes takes
no time.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import onnx
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper

Shape = tuple[int | None, ...]
"""None is the batch, which may be any number."""


class Drawing:
    """The nodes and initializers of a graph, in the order in which they were added.

    prefix: of the names that are given to them.
    """

    def __init__(self, opset: int, prefix: str = "") -> None:
        self.opset, self.prefix = opset, prefix
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[Any, ...], str] = {}

    def input(self, name: str, shape: Sequence[int | str], dtype: DTypeLike = np.float32) -> "Tensor":
        """Add an input; a name in place of a number lets that axis have any length."""
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return Tensor(self, name, (None, *(axis for axis in shape[1:] if isinstance(axis, int))), np.dtype(dtype))

    def weight(self, name: str, values: NDArray[Any]) -> "Tensor":
        """Return the initializer of a name, which is added on its first use."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return Tensor(self, name, values.shape, values.dtype)

    def constant(self, values: Any, dtype: DTypeLike) -> "Tensor":
        """Return an unnamed constant; equal ones are the same initializer."""
        array = np.asarray(values, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        name = self._constants.setdefault(key, f"{self.prefix}constant_{len(self._constants)}")
        return self.weight(name, array)

    def add(
        self, operator: str, inputs: Sequence["Tensor"], shape: Shape, dtype: Any = None, **attributes: Any
    ) -> "Tensor":
        """Add a node and return its result, which has the type of the first input unless `dtype` says otherwise."""
        name = f"{self.prefix}{operator}_{len(self.nodes)}"
        names = [tensor.name for tensor in inputs]
        self.nodes.append(helper.make_node(operator, names, [name], name=f"node_{name}", **attributes))
        return Tensor(self, name, shape, np.dtype(inputs[0].dtype if dtype is None else dtype))

    def model(self, result: "Tensor", name: str, shape: Sequence[int | str]) -> onnx.ModelProto:
        """Return the graph whose one output is `result`, under `name`."""
        nodes = [*self.nodes, helper.make_node("Identity", [result.name], [name], name=f"node_{name}")]
        if self.nodes[-1].output[0] == result.name:
            nodes = list(self.nodes)
            nodes[-1].output[0] = name
        output = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))
        graph = helper.make_graph(nodes, "litematting", self.inputs, [output], list(self.initializers.values()))
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            ir_version=10,
            producer_name="litematting-deploy",
        )


class Tensor:
    """A value of a graph.

    shape: as far as it is known; the batch is None. dtype: of NumPy.
    """

    def __init__(self, drawing: Drawing, name: str, shape: Shape, dtype: Any) -> None:
        self.drawing = drawing
        self.name = name
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def _ints(self, *values: int) -> "Tensor":
        return self.drawing.constant(values, np.int64)

    def _with(self, operator: str, other: Any, swapped: bool = False) -> "Tensor":
        if not isinstance(other, Tensor):
            other = self.drawing.constant(other, self.dtype)
        pair = (other, self) if swapped else (self, other)
        return self.drawing.add(operator, pair, _broadcast(self.shape, other.shape))

    def __add__(self, other: Any) -> "Tensor":
        return self._with("Add", other)

    def __sub__(self, other: Any) -> "Tensor":
        return self._with("Sub", other)

    def __mul__(self, other: Any) -> "Tensor":
        return self._with("Mul", other)

    def __rmul__(self, other: Any) -> "Tensor":
        return self._with("Mul", other, swapped=True)

    def __truediv__(self, other: Any) -> "Tensor":
        return self._with("Div", other)

    def __neg__(self) -> "Tensor":
        return self.apply("Neg")

    def __matmul__(self, other: "Tensor") -> "Tensor":
        shape = (*_broadcast(self.shape[:-2], other.shape[:-2]), self.shape[-2], other.shape[-1])
        return self.drawing.add("MatMul", (self, other), shape)

    def apply(self, operator: str, *others: "Tensor", **attributes: Any) -> "Tensor":
        """Return the result of an operator that keeps the shape."""
        return self.drawing.add(operator, (self, *others), self.shape, **attributes)

    def maximum(self, other: "Tensor") -> "Tensor":
        """Return the larger of the two, element by element."""
        return self._with("Max", other)

    def cast(self, dtype: Any) -> "Tensor":
        """Return the same values in another type."""
        if self.dtype == np.dtype(dtype):
            return self
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.drawing.add("Cast", (self,), self.shape, dtype, to=kind)

    def clip(self, least: float, most: float) -> "Tensor":
        """Return the values limited to a range."""
        return self.apply("Clip", *(self.drawing.constant(value, self.dtype) for value in (least, most)))

    def reshape(self, *shape: int) -> "Tensor":
        """Return another shape; -1 comes first and is whatever the batch makes of it."""
        known = tuple(None if axis < 0 else axis for axis in shape)
        return self.drawing.add("Reshape", (self, self._ints(*shape)), known)

    def transpose(self, *axes: int) -> "Tensor":
        """Return the axes in another order."""
        return self.drawing.add("Transpose", (self,), tuple(self.shape[axis] for axis in axes), perm=list(axes))

    def mean(self, *axes: int) -> "Tensor":
        """Return the mean along axes, which stay with length 1."""
        return self._reduce("ReduceMean", axes)

    def sum(self, *axes: int) -> "Tensor":
        """Return the sum along axes, which stay with length 1."""
        return self._reduce("ReduceSum", axes)

    def _reduce(self, operator: str, axes: tuple[int, ...]) -> "Tensor":
        shape = tuple(1 if index in axes else axis for index, axis in enumerate(self.shape))
        return self.drawing.add(operator, (self, self._ints(*axes)), shape, keepdims=1)

    def window(self, axis: int, start: int, stop: int, step: int = 1) -> "Tensor":
        """Return the part of an axis from `start` up to `stop`."""
        shape = list(self.shape)
        shape[axis] = -((start - stop) // step)
        parts: list[Tensor] = [self, *(self._ints(value) for value in (start, stop, axis, step))]
        return self.drawing.add("Slice", parts, tuple(shape))

    def crop(self, top: int, left: int, height: int, width: int) -> "Tensor":
        """Return a window of a map (N, C, H, W)."""
        parts = (self, self._ints(top, left), self._ints(top + height, left + width), self._ints(2, 3))
        return self.drawing.add("Slice", parts, (*self.shape[:2], height, width))

    def pad(self, top: int = 1, left: int = 1, bottom: int = 1, right: int = 1) -> "Tensor":
        """Return a map (N, C, H, W) with zeros around, one pixel unless told."""
        height, width = self.hw
        pads = self._ints(0, 0, top, left, 0, 0, bottom, right)
        return self.drawing.add("Pad", (self, pads), (*self.shape[:2], height + top + bottom, width + left + right))

    def expand(self, *shape: int) -> "Tensor":
        """Return the values repeated along axes of length 1."""
        return self.drawing.add("Expand", (self, self._ints(*shape)), _broadcast(self.shape, shape))

    def enlarge(self, height: int, width: int, mode: str) -> "Tensor":
        """Return a map (N, C, H, W) resampled to another size, `nearest` for whole factors or `linear`."""
        how = {"nearest": "asymmetric", "linear": "half_pixel"}[mode]
        _, before, across = self.chw
        scales = self.drawing.constant([1, 1, _scale(before, height), _scale(across, width)], np.float32)
        made = self.drawing.add(
            "Resize",
            (self, scales),
            (*self.shape[:2], height, width),
            mode=mode,
            coordinate_transformation_mode=how,
            nearest_mode="floor",
        )
        self.drawing.nodes[-1].input[:] = [self.name, "", scales.name]
        return made

    @property
    def chw(self) -> tuple[int, int, int]:
        """Channels, height and width of a map (N, C, H, W)."""
        return cast(tuple[int, int, int], self.shape[1:])

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width of a map (N, C, H, W)."""
        return self.chw[1:]


def concat(tensors: Sequence[Tensor], axis: int) -> Tensor:
    """Return tensors joined along an axis."""
    shape = list(tensors[0].shape)
    lengths = [tensor.shape[axis] for tensor in tensors]
    shape[axis] = sum(length for length in lengths if length is not None)
    return tensors[0].drawing.add("Concat", tensors, tuple(shape), axis=axis)


def convolve(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of x (N, C, H, W) with a kernel (D, C / groups, kh, kw), be it constant or computed."""
    top, left = (padding, padding) if isinstance(padding, int) else padding
    (height, width), (out, _, rows, columns) = x.hw, cast(tuple[int, int, int, int], kernel.shape)
    shape = (None, out, (height + 2 * top - rows) // stride + 1, (width + 2 * left - columns) // stride + 1)
    return x.drawing.add(
        "Conv",
        (x, kernel) if bias is None else (x, kernel, bias),
        shape,
        kernel_shape=[rows, columns],
        pads=[top, left, top, left],
        strides=[stride, stride],
        group=groups,
    )


def _scale(length: int, wanted: int) -> np.float32:
    """Return the least scale that makes `wanted` of a length, for ONNX rounds down. Sizes would be of all axes."""
    scale = np.float32(wanted / length)
    while length * float(scale) < wanted:  # in float64, where a product in float32 may be rounded up
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _broadcast(first: Sequence[int | None], second: Sequence[int | None]) -> Shape:
    length = max(len(first), len(second))
    pairs = zip((1,) * (length - len(first)) + tuple(first), (1,) * (length - len(second)) + tuple(second), strict=True)
    return tuple(b if a == 1 else a for a, b in pairs)
