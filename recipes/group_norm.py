"""Write a group norm in float32 as an ONNX function into the package: what GPUs run in place of a node with float64.

python recipes/group_norm.py
"""

import onnx

from litematting_deploy.engines.onnxruntime import GROUP_NORM

_TEXT = """
<domain: "centred", opset_import: ["" : 21]>
GroupNorm <num_groups, epsilon, stash_type> (x, weight, bias) => (y)
{
  values = Cast <to = 1> (x)
  weights = Cast <to = 1> (weight)
  offsets = Cast <to = 1> (bias)
  shape = Shape (values)
  batch = Shape <end = 1> (values)
  width = Shape <start = 3> (values)
  number = Constant <value_int: int = @num_groups> ()
  tiny = Constant <value_float: float = @epsilon> ()
  one = Constant <value_ints: ints = [1]> ()
  two = Constant <value_ints: ints = [2]> ()
  three = Constant <value_ints: ints = [3]> ()
  rest = Constant <value_ints: ints = [-1]> ()
  groups = Reshape (number, one)
  of_rows = Concat <axis = 0> (batch, groups, rest, width)
  rows = Reshape (values, of_rows)
  means = ReduceMean (rows, three)
  mean = ReduceMean (means, two)
  apart = Sub (rows, mean)
  squares = Mul (apart, apart)
  variances = ReduceMean (squares, three)
  variance = ReduceMean (variances, two)
  more = Add (variance, tiny)
  deviation = Sqrt (more)
  of_channels = Concat <axis = 0> (groups, rest, one)
  of_groups = Reshape (weights, of_channels)
  scales = Div (of_groups, deviation)
  of_scale = Concat <axis = 0> (batch, rest, one, one)
  scale = Reshape (scales, of_scale)
  centred = Reshape (apart, shape)
  scaled = Mul (centred, scale)
  of_shift = Concat <axis = 0> (rest, one, one)
  shift = Reshape (offsets, of_shift)
  normalised = Add (scaled, shift)
  y = CastLike (normalised, x)
}
"""


def fragment() -> onnx.ModelProto:
    """Return an ONNX of nothing but the function, which takes the statistics of rows and of these, without the mean.

    Sums of the length of a row keep more digits of float32 than one sum over a group.
    """
    function = onnx.parser.parse_function(_TEXT)
    return onnx.ModelProto(functions=[function], opset_import=[onnx.helper.make_opsetid(function.domain, 1)])


if __name__ == "__main__":
    GROUP_NORM.write_bytes(fragment().SerializeToString())
