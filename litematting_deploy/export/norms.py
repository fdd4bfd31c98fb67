"""The forms of group norm in a graph: equal functions of the same weights, for runtimes that differ in what is fast.

`group` stays one GroupNormalization node. `batch` and `instance` spell it out around BatchNormalization and
InstanceNormalization; `folded` goes further, see `folded`.
"""

from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern

Op = Any
"""What makes nodes in a replacement: `op.Add(x, y)`."""


def numbers(op: Op, *values: int) -> ir.Value:
    """An int64 vector."""
    constant: ir.Value = op.Constant(value_ints=list(values))
    return constant


def reshape(op: Op, x: ir.Value, *shape: int) -> ir.Value:
    """0 keeps an axis, -1 takes what is left."""
    reshaped: ir.Value = op.Reshape(x, numbers(op, *shape))
    return reshaped


def average(op: Op, x: ir.Value, axis: int) -> ir.Value:
    """The mean along one axis, which stays with length 1."""
    mean: ir.Value = op.ReduceMean(x, numbers(op, axis), keepdims=1)
    return mean


def groups_and_epsilon(norm: ir.Value) -> tuple[int, float]:
    """The attributes of the GroupNormalization that makes `norm`."""
    node = norm.producer()
    assert node is not None  # the pattern matched it
    return node.attributes["num_groups"].as_int(), node.attributes["epsilon"].as_float()


def channels_hw(x: ir.Value) -> tuple[int, int, int]:
    """Fixed channels, height and width of a value (N, C, H, W)."""
    assert x.shape is not None  # the exporter writes every shape
    _, channels, height, width = x.shape
    assert isinstance(channels, int)
    assert isinstance(height, int)
    assert isinstance(width, int)
    return channels, height, width


def moments(op: Op, x: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Mean and mean square (N, C, 1) of (N, C, L)."""
    return average(op, x, 2), average(op, op.Mul(x, x), 2)


def scale_and_shift(
    op: Op, moments: tuple[ir.Value, ir.Value], weight: ir.Value, bias: ir.Value, norm: ir.Value
) -> tuple[ir.Value, ir.Value]:
    """The (N, C, 1) by which `norm` multiplies its channels and then shifts them.

    moments: mean and mean square (N, C, 1) of each channel over all pixels.
    """
    (groups, epsilon), (channels, _, _) = groups_and_epsilon(norm), channels_hw(norm)
    mean, square = (average(op, reshape(op, moment, -1, groups, channels // groups), 2) for moment in moments)
    variance = op.Sub(square, op.Mul(mean, mean))
    deviation = op.Sqrt(op.Add(variance, op.Constant(value_float=epsilon)))
    scale = op.Div(reshape(op, weight, 1, groups, channels // groups), deviation)
    shift = op.Sub(reshape(op, bias, 1, groups, channels // groups), op.Mul(mean, scale))
    return reshape(op, scale, -1, channels, 1), reshape(op, shift, -1, channels, 1)


def normalised(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
    """`norm` of x (N, C, L) as moments, one multiplication and one addition."""
    scale, shift = scale_and_shift(op, moments(op, x), weight, bias, norm)
    result: ir.Value = op.Add(op.Mul(x, scale), shift)
    return result


def as_batch(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
    """Statistics by reductions, and one BatchNormalization over (1, N C, H, W) with these as its mean and variance.

    Rows are summed before the rows' means, which keeps more digits of float32 than one long sum.
    """
    (groups, epsilon), (channels, height, width) = groups_and_epsilon(norm), channels_hw(norm)
    per_group = channels // groups
    rows = reshape(op, x, -1, groups, per_group * height, width)
    mean = average(op, average(op, rows, 3), 2)
    deviation = op.Sub(rows, mean)
    variance = average(op, average(op, op.Mul(deviation, deviation), 3), 2)
    count = op.Shape(x, start=0, end=1)
    to_channels = op.Concat(count, numbers(op, groups, per_group), axis=0)

    def flat(statistic: ir.Value, *shape: int) -> ir.Value:
        return reshape(op, op.Expand(reshape(op, statistic, *shape), to_channels), -1)

    normalised = op.BatchNormalization(
        reshape(op, x, 1, -1, height, width),
        flat(weight, 1, groups, per_group),
        flat(bias, 1, groups, per_group),
        flat(mean, -1, groups, 1),
        flat(variance, -1, groups, 1),
        epsilon=epsilon,
    )
    return reshape(op, normalised, -1, channels, height, width)


def as_instance(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
    """One InstanceNormalization over (N, groups, C / groups H W), then scale and shift of the channels."""
    (groups, epsilon), (channels, height, width) = groups_and_epsilon(norm), channels_hw(norm)
    one, zero = (op.Constant(value_floats=[value] * groups) for value in (1.0, 0.0))
    grouped = reshape(op, x, 0, groups, channels // groups * height * width)
    normalised = op.InstanceNormalization(grouped, one, zero, epsilon=epsilon)
    scaled = op.Mul(reshape(op, normalised, -1, channels, height, width), reshape(op, weight, channels, 1, 1))
    shifted: ir.Value = op.Add(scaled, reshape(op, bias, channels, 1, 1))
    return shifted


def as_affine(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
    """Moments, and one multiplication and one addition by channel."""
    channels, height, width = channels_hw(norm)
    flat = reshape(op, x, 0, channels, height * width)
    return reshape(op, normalised(op, flat, weight, bias, norm), 0, channels, height, width)


def rule(form: Any) -> pattern.RewriteRule:
    """The rule that spells every GroupNormalization as `form` does, in float32 whatever the type around it."""

    def group_norm(op: Op, x: Any, weight: Any, bias: Any) -> Any:
        return op.GroupNormalization(x, weight, bias, _allow_other_attributes=True, _outputs=["norm"])

    def spelled(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
        if x.dtype == ir.DataType.FLOAT:
            result: ir.Value = form(op, x, weight, bias, norm)
            return result
        x, weight, bias = (op.Cast(value, to=ir.DataType.FLOAT) for value in (x, weight, bias))
        cast: ir.Value = op.Cast(form(op, x, weight, bias, norm), to=ir.DataType.FLOAT16)
        return cast

    return pattern.RewriteRule(group_norm, spelled)
