"""The forms of group norm in a graph: equal functions of the same weights, for runtimes that differ in what is fast.

`group` stays one GroupNormalization node. `batch` and `instance` spell it out around BatchNormalization and
InstanceNormalization; `folded` goes further, see `cpu_blocks`.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import onnx_ir as ir
from onnxscript.rewriter import pattern


class Op(Protocol):
    """What makes nodes in a replacement: `op.Add(x, y)`."""

    def __getattr__(self, operator: str) -> Callable[..., ir.Value]: ...


_TINY = 1e-20
"""Below every variance but 0, and what keeps 0 / 0 away."""

Statistics: TypeAlias = tuple[ir.Value, ir.Value]
"""Mean and variance of equally large parts of each channel."""


def numbers(op: Op, *values: int) -> ir.Value:
    """An int64 vector."""
    return op.Constant(value_ints=list(values))


def reshape(op: Op, x: ir.Value, *shape: int) -> ir.Value:
    """0 keeps an axis, -1 takes what is left."""
    return op.Reshape(x, numbers(op, *shape))


def average(op: Op, x: ir.Value, axis: int) -> ir.Value:
    """The mean along one axis, which stays with length 1."""
    return op.ReduceMean(x, numbers(op, axis), keepdims=1)


_LARGE = 160 * 160
"""Pixels of a map from which on one BatchNormalization scales and shifts it; a quarter of the shipped patch's sides."""


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


def row_statistics(op: Op, x: ir.Value, width: int) -> Statistics:
    """Return the statistics of the rows of x (N, C, H W): mean and variance (N, C, H, 1).

    The variance is of what is left after the mean is taken off. The mean square minus the square of the mean is as
    large as its rounding where a map is nearly flat. A row at a time, sums are short, and keep more digits of float32.
    """
    rows = reshape(op, x, 0, 0, -1, width)
    mean = average(op, rows, 3)
    deviation = op.Sub(rows, mean)
    return mean, average(op, op.Mul(deviation, deviation), 3)


def plain_row_statistics(op: Op, x: ir.Value, width: int) -> Statistics:
    """Return `row_statistics` of x (N, C, H W) whose means are small beside its deviations, or both nothing.

    x is squared as the matrix it is: as a map it might be squared in the layout of the convolution that made it, and
    the square be brought into order like x.
    """
    mean = average(op, reshape(op, x, 0, 0, -1, width), 3)
    return mean, op.Relu(op.Sub(average(op, reshape(op, op.Mul(x, x), 0, 0, -1, width), 3), op.Mul(mean, mean)))


def scale_and_mean(op: Op, statistics: Statistics, weight: ir.Value, norm: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The (N, C, 1) by which `norm` multiplies its channels, and the means (N, C, 1) that it takes off before.

    statistics: of equal parts of each channel, (N, C, parts, ...).
    """
    (groups, epsilon), (channels, _, _) = groups_and_epsilon(norm), channels_hw(norm)
    means, variances = (reshape(op, values, 0, groups, -1) for values in statistics)
    mean = average(op, means, 2)
    apart = op.Sub(means, mean)
    variance = average(op, op.Add(variances, op.Mul(apart, apart)), 2)
    deviation = op.Sqrt(op.Add(variance, op.Constant(value_float=epsilon)))
    scale = op.Div(reshape(op, weight, 1, groups, channels // groups), deviation)
    mean = op.Expand(mean, numbers(op, 1, 1, channels // groups))
    return reshape(op, scale, 0, channels, 1), reshape(op, mean, 0, channels, 1)


def _by_group(op: Op, x: ir.Value, norm: ir.Value) -> ir.Value:
    """x (N, C, H, W) as (N, groups, rows, W), where the rows are those of all channels of the group."""
    (groups, _), (channels, height, width) = groups_and_epsilon(norm), channels_hw(norm)
    return x if groups == channels else reshape(op, x, -1, groups, channels // groups * height, width)


def _whole_mean(op: Op, rows: ir.Value) -> ir.Value:
    """The mean (N, G, 1, 1) of (N, G, rows, W)."""
    return average(op, average(op, rows, 3), 2)


def as_batch(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
    """Statistics by reductions, and one BatchNormalization over (1, N C, H, W) of what is left without the mean.

    As in `as_affine`, the mean of what is left is taken off too, so that the mean's rounding does not count.
    """
    rows = _by_group(op, x, norm)
    centred = op.Sub(rows, _whole_mean(op, rows))
    variance = _whole_mean(op, op.Mul(centred, centred))
    return _batch_normalised(op, centred, weight, bias, _whole_mean(op, centred), variance, norm)


def _batch_normalised(
    op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, mean: ir.Value, variance: ir.Value, norm: ir.Value
) -> ir.Value:
    """BatchNormalization of x, which has as many values as (N, C, H, W), by the groups' mean and variance."""
    (groups, epsilon), (channels, height, width) = groups_and_epsilon(norm), channels_hw(norm)
    per_group = channels // groups
    to_channels = op.Concat(op.Shape(x, start=0, end=1), numbers(op, groups, per_group), axis=0)

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
    """One InstanceNormalization over (N, groups, C / groups H, W), then scale and shift of the channels.

    ONNX Runtime's takes mean and variance as one long sum each in float32. Where a map is nearly flat, the mean's
    rounding is many deviations; so the mean is taken off before. What is left of it, and the variance's rounding, which
    is a factor, are found from the result's own mean and variance, and go into shift and scale.
    """
    (groups, epsilon), (channels, height, width) = groups_and_epsilon(norm), channels_hw(norm)
    one, zero = (op.Constant(value_floats=[value] * groups) for value in (1.0, 0.0))
    rows = _by_group(op, x, norm)
    centred = op.Sub(rows, _whole_mean(op, rows))
    variance = _whole_mean(op, op.Mul(centred, centred))
    normalised = op.InstanceNormalization(centred, one, zero, epsilon=epsilon)
    left, found = _whole_mean(op, normalised), _whole_mean(op, op.Mul(normalised, normalised))
    # A flat map's variances are 0, and what divided it was the root of epsilon.
    tiny, its_variance = (op.Constant(value_float=value) for value in (_TINY, _TINY / epsilon))
    divisor = op.Div(op.Add(variance, tiny), op.Add(found, its_variance))
    factor = op.Sqrt(op.Div(divisor, op.Add(variance, op.Constant(value_float=epsilon))))
    scale = op.Mul(reshape(op, weight, 1, groups, channels // groups, 1), factor)
    shift = op.Sub(reshape(op, bias, 1, groups, channels // groups, 1), op.Mul(left, scale))
    scale, shift = (reshape(op, value, -1, channels, 1, 1) for value in (scale, shift))
    return op.Add(op.Mul(reshape(op, normalised, -1, channels, height, width), scale), shift)


def as_affine(
    op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value, offset: ir.Value | None = None
) -> ir.Value:
    """Statistics by reductions, and one BatchNormalization of what is left without the mean, or two passes over it.

    offset: (N, C, 1), what is to be added to x (N, C, H, W) before; it goes into the mean that is taken off.
    """
    (groups, epsilon), (channels, height, width) = groups_and_epsilon(norm), channels_hw(norm)
    if offset is None:
        rows = _by_group(op, x, norm)
        centred = op.Sub(rows, _whole_mean(op, rows))
        # A flat map is divided by the root of epsilon, which makes the rounding of its mean 300 times as large, and a
        # hundred norms follow. The mean of what is left without it is small, and so is its rounding.
        left = _whole_mean(op, centred)
    else:
        offset = reshape(op, offset, 0, channels, 1, 1)
        means = reshape(op, op.Add(_whole_mean(op, x), offset), 0, groups, -1)
        mean = op.Expand(average(op, means, 2), numbers(op, 1, 1, channels // groups))
        centred = _by_group(op, op.Sub(x, op.Sub(reshape(op, mean, 0, channels, 1, 1), offset)), norm)
        left = None
    variance = _whole_mean(op, op.Mul(centred, centred))
    # What a BatchNormalization needs around it takes as long to open as it saves in several runs over a small map.
    if height * width >= _LARGE:
        left = op.Constant(value_floats=[0.0] * groups) if left is None else left
        return _batch_normalised(op, centred, weight, bias, left, variance, norm)
    deviation = op.Sqrt(op.Add(variance, op.Constant(value_float=epsilon)))
    scale = op.Div(reshape(op, weight, 1, groups, channels // groups, 1), deviation)
    shift = reshape(op, bias, 1, groups, channels // groups, 1)
    shift = shift if left is None else op.Sub(shift, op.Mul(left, scale))
    scale, shift = reshape(op, scale, -1, channels, 1, 1), reshape(op, shift, -1, channels, 1, 1)
    if groups < channels:
        centred = reshape(op, centred, -1, channels, height, width)
    return op.Add(op.Mul(centred, scale), shift)


def rule(form: Callable[..., ir.Value]) -> pattern.RewriteRule:
    """The rule that spells every GroupNormalization as `form` does, in float32 whatever the type around it."""

    def group_norm(op: Op, x: Any, weight: Any, bias: Any) -> Any:
        return op.GroupNormalization(x, weight, bias, _allow_other_attributes=True, _outputs=["norm"])

    def spelled(op: Op, x: ir.Value, weight: ir.Value, bias: ir.Value, norm: ir.Value) -> ir.Value:
        if x.dtype == ir.DataType.FLOAT:
            return form(op, x, weight, bias, norm)
        x, weight, bias = (op.Cast(value, to=ir.DataType.FLOAT) for value in (x, weight, bias))
        return op.Cast(form(op, x, weight, bias, norm), to=ir.DataType.FLOAT16)

    return pattern.RewriteRule(group_norm, spelled)
