"""Which rules rewrite the graph for each form of group norm."""

import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, RemoveUnusedNodesPass
from onnxscript.rewriter import RewriteRuleSet, pattern

from . import cpu_blocks, norms
from .spec import Norm

_RULES: dict[Norm, list[pattern.RewriteRule]] = {  # "gpu" is drawn, not rewritten
    "group": [],
    "instance": [norms.rule(norms.as_instance)],
    "batch": [norms.rule(norms.as_batch)],
    "folded": cpu_blocks.rules(),
}


def spell_norms(model: ir.Model, form: Norm) -> None:
    """Replace every GroupNormalization of the graph by the form, in place."""
    for rule in _RULES[form]:
        RewriteRuleSet([rule]).apply_to_model(model)
    CommonSubexpressionEliminationPass()(model)  # each replacement brings its own constants
    _reshape_weights(model.graph)
    RemoveUnusedNodesPass()(model)


def _reshape_weights(graph: ir.Graph) -> None:
    """Give weights the shapes in which the rules use them, which spares whoever loads the graph these nodes."""
    for weight in graph.initializers.values():
        users = weight.consumers()
        if len(users) != 1 or users[0].op_type != "Reshape" or users[0].inputs[0] is not weight:
            continue
        target = users[0].inputs[1]
        shape = None if target is None else ir.convenience.get_const_tensor(target)
        if shape is not None and weight.const_value is not None:
            values = weight.const_value.numpy().reshape(shape.numpy())
            weight.const_value, weight.shape = ir.tensor(values, name=weight.name), ir.Shape(values.shape)
            ir.convenience.replace_all_uses_with(users[0].outputs[0], weight)
            graph.remove(users[0], safe=True)
