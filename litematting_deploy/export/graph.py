"""The model as an ONNX graph: traced through a view with a float32 border, and never changed itself."""

import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..model import LiteMatting, ModelConfig
from .gpu_network import draw
from .half import EXACT, converted
from .rewriting import spell_norms
from .spec import ExportSpec

OPSET = 21
TRACED_BATCH = 2  # of a dynamic batch; 1 would be taken for a constant
_STAGE = re.compile(r"((?:layer|uper|out|gfnb|ppm|dfpool)\w*)\.")
_INPUTS = {"image": 3, "trimap": 3, "guide": 2}


class _Float32Border(nn.Module):
    """A model with float32 in and out, whatever it computes in, whose clamp is in float32 and hides nothing.

    A clamp may turn NaN into 0 and infinity into 1, as TensorRT's does: what is not finite goes around it.
    """

    def __init__(self, model: LiteMatting, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.dtype = dtype

    def forward(self, image: Tensor, trimap: Tensor, guide: Tensor) -> Tensor:
        inputs = (tensor.to(self.dtype) for tensor in (image, trimap, guide))
        alpha = self.model.unclamped(*inputs).float()
        return torch.where(alpha.abs() <= torch.finfo(alpha.dtype).max, alpha.clamp(0, 1), alpha)


def build_graph(model: LiteMatting, spec: ExportSpec) -> onnx.ModelProto:
    """Return the ONNX of a model.

    model: built with the spec's form of pooling; it is left as it is.
    spec: patch size, batch, precision and form of norm.

    In INT8 this is the graph in float, whose convolutions `quantise` takes.
    Initializers bear the names of the state dict; nothing of the exporting machine is left in the graph.
    """
    if spec.norm_form == "gpu":
        if replace(model.config, pooling="adaptive") != ModelConfig():
            raise UsageError(
                "`norm=gpu` supports only the full network, and this checkpoint is a variant of it; use `norm=group`",
                parameter="norm",
            )
        kind = np.dtype(np.float16 if spec.half else np.float32)
        drawn = draw(model, spec.patch_hw, spec.batch, kind, OPSET)
        _name_stages(drawn)
        return drawn
    dtype = torch.float16 if spec.half else torch.float32
    exact = (*EXACT, *spec.float32) if spec.half else ()
    inner = converted(model, exact, torch.float32, dtype)
    if spec.half:
        _end_in_float32(inner, model)
    view = _Float32Border(inner, dtype).eval()
    batch = spec.batch or TRACED_BATCH
    sample = tuple(torch.rand(batch, channels, *spec.patch_hw) for channels in _INPUTS.values())
    dynamic = ({0: torch.export.Dim("batch")},) * len(_INPUTS) if spec.batch is None else None
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            view,
            sample,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(_INPUTS),
            output_names=["alpha"],
            dynamic_shapes=dynamic,
        )
    assert program is not None  # it is, with dynamo
    spell_norms(program.model, spec.norm_form)
    proto: onnx.ModelProto = program.model_proto
    _strip(proto)
    _name_stages(proto)
    _double_statistics(proto)
    return proto


def _end_in_float32(half: LiteMatting, model: LiteMatting) -> None:
    """Let the last convolution of a model in half precision compute in float32, with the weights of `model`.

    Half precision has 4,096 levels between 1/4 and 1, and an alpha of 16 bits 49,152: rounded before the border, it is
    off by up to 16 of these.
    """
    last, original = (cast(nn.Sequential, each.out)[-1] for each in (half, model))
    last.float().load_state_dict(original.state_dict())
    last.register_forward_pre_hook(lambda _, inputs: tuple(each.float() for each in inputs))


def _double_statistics(proto: onnx.ModelProto) -> None:
    """Let whoever expands a GroupNormalization sum in float64, as ONNX Runtime does.

    It takes the variance as the mean square less the square of the mean, which float32 cannot tell from its own
    rounding on a nearly flat map: fp16 exports were off by 1.4e-2 there. On other maps float32 sums are off by 2e-6,
    which 120 norms in a row amplify. TensorRT, which has a kernel for the node, passes over the attribute.
    """
    for node in proto.graph.node:
        for attribute in node.attribute:
            if node.op_type == "GroupNormalization" and attribute.name == "stash_type":
                attribute.i = onnx.TensorProto.DOUBLE


def _strip(proto: onnx.ModelProto) -> None:
    """Remove what the exporter tells of this machine (paths, stack traces), and the view's prefix of the names."""
    for item in (proto, proto.graph):
        _clear(item)
    for collection in (proto.functions, proto.graph.input, proto.graph.output, proto.graph.value_info):
        for entry in collection:
            _clear(entry)
    names = {name: name.removeprefix("model.") for name in (tensor.name for tensor in proto.graph.initializer)}
    for tensor in proto.graph.initializer:
        _clear(tensor)
        tensor.name = names[tensor.name]
    for node in proto.graph.node:
        _clear(node)
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)


def _name_stages(proto: onnx.ModelProto) -> None:
    """Put the stage before each node's name: that of the last weight which a node took, as `layer2/Conv_7`."""
    weights, stage = {tensor.name for tensor in proto.graph.initializer}, "input"
    for node in proto.graph.node:
        for name in node.input:
            if name in weights and (found := _STAGE.match(name)):
                stage = found[1]
        node.name = f"{stage}/{node.name or node.op_type}"


def _clear(item: Any) -> None:
    item.doc_string = ""
    if hasattr(item, "metadata_props"):
        del item.metadata_props[:]


def describe(proto: onnx.ModelProto, properties: Mapping[str, str]) -> None:
    """Write properties into the metadata of a graph."""
    onnx.helper.set_model_props(proto, dict(properties))
