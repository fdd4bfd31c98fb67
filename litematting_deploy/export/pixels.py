"""Let an ONNX take pixels: a photo and a trimap as they are, from which the graph makes the network's inputs."""

import numpy as np
import onnx

from .drawing import Drawing, Tensor
from .spec import REACH

_STEPS = (1, 2, 4, 8, 16, 32, 29)
"""Whose sums are all distances up to `REACH`."""

_KINDS = (0, 128, 255)


def take_pixels(proto: onnx.ModelProto) -> None:
    """Let an export take image (N, H, W, 3) and trimap (N, H + 2 R, W + 2 R), both uint8, in place.

    R is `REACH`: the guide is exact, but zero beyond. Where the trimap goes on behind the image it is unknown.
    """
    graph = proto.graph
    batch, _, *sides = graph.input[0].type.tensor_type.shape.dim
    height, width = (side.dim_value for side in sides)
    count = batch.dim_value or batch.dim_param
    drawing = Drawing(proto.opset_import[0].version, "pixels/")
    image = drawing.input("image", (count, height, width, 3), np.uint8)
    trimap = drawing.input("trimap", (count, height + 2 * REACH, width + 2 * REACH), np.uint8)
    values = drawing.constant(np.reshape(_KINDS, (1, 3, 1, 1)), np.uint8)
    seen = trimap.reshape(-1, 1, *trimap.shape[1:])  # type: ignore[arg-type]  # only the batch is unknown
    kinds = drawing.add("Equal", (seen, values), (None, 3, *seen.hw), bool)
    inputs = {
        "image": image.transpose(0, 3, 1, 2).cast(np.float32) / 255,
        "trimap": kinds.crop(REACH, REACH, height, width).cast(np.float32),
        "guide": _guide(kinds.window(1, 0, 3, 2), height, width),
    }
    for node in graph.node:
        node.input[:] = [inputs[name].name if name in inputs else name for name in node.input]
    nodes = [*drawing.nodes, *graph.node]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(drawing.inputs)
    graph.initializer.extend(drawing.initializers.values())


def _guide(known: Tensor, height: int, width: int) -> Tensor:
    """Return the guide (N, 2, H, W) of where background and foreground are, (N, 2, H + 2 R, W + 2 R) bool.

    All distances are negative, so that the nearest is the maximum. Along a row they add up. Their squares grow by 1, 3,
    5, ... from one row to the next, and whoever takes as many steps finds the least sum of d² and the row's square.
    """
    drawing = known.drawing
    zero, far = (drawing.constant(value, np.float32) for value in (0, -REACH - 1))
    nearest = drawing.add("Where", (known, zero, far), known.shape, np.float32)
    for step in _STEPS:
        nearest = nearest.maximum(_pooled(nearest, 1, 2 * step + 1) - step)
    nearest = nearest.window(3, REACH, REACH + width)
    squared = -(nearest * nearest)
    for step in range(1, REACH + 1):
        squared = squared.maximum(_pooled(squared, 3, 1) - (2 * step - 1))
    squared = squared.window(2, REACH, REACH + height)
    near = drawing.add("GreaterOrEqual", (squared, drawing.constant(-(REACH**2), np.float32)), squared.shape, bool)
    return drawing.add("Where", (near, (squared * (1 / 512)).apply("Exp"), zero), squared.shape, np.float32)


def _pooled(x: Tensor, rows: int, columns: int) -> Tensor:
    """Return the maximum around each value."""
    pads = [rows // 2, columns // 2] * 2
    return x.drawing.add("MaxPool", (x,), x.shape, kernel_shape=[rows, columns], pads=pads)
