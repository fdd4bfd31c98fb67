"""Which rules rewrite the graph for each form of group norm."""

import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, RemoveUnusedNodesPass
from onnxscript.rewriter import RewriteRuleSet, pattern

from . import folded, norms
from .spec import Norm

_RULES: dict[Norm, list[pattern.RewriteRule]] = {
    "group": [],
    "instance": [norms.rule(norms.as_instance)],
    "batch": [norms.rule(norms.as_batch)],
    "folded": [*folded.rules(), norms.rule(norms.as_affine)],
}


def spell_norms(model: ir.Model, form: Norm) -> None:
    """Replace every GroupNormalization of the graph by the form, in place."""
    for rule in _RULES[form]:
        RewriteRuleSet([rule]).apply_to_model(model)
    CommonSubexpressionEliminationPass()(model)  # each replacement brings its own constants
    RemoveUnusedNodesPass()(model)
