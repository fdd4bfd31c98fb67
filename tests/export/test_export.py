"""ltm-export, and what it leaves."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from litematting_deploy.errors import ToleranceError
from litematting_deploy.export import graph
from litematting_deploy.export.exporter import export_onnx
from litematting_deploy.export.scenes import OF_EVERY_EXPORT
from litematting_deploy.export.spec import ExportSpec, Pooling, Recipe, read_recipe
from litematting_deploy.files import sha256
from litematting_deploy.model import ModelConfig, load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from litematting_deploy.sidecar import sidecar_path
from tests.conftest import ROOT, assert_one_line, called, golden, golden_inputs, run

CHANNELS = {"image": 3, "trimap": 3, "guide": 2, "alpha": 1}
SMALL = ("--height", "64", "--width", "64")


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize("name", ["net_256x384", "net_320x320"])
def test_equals_the_published_network(name: str, exports: Callable[..., Path]) -> None:
    case = golden(name)
    height, width = case["trimap"].shape
    path = exports(str(case["salt"]), "--height", str(height), "--width", str(width), "--batch", "2")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (alpha,) = session.run(
        ["alpha"], {name: np.repeat(array, 2, axis=0) for name, array in golden_inputs(case).items()}
    )
    error = np.abs(alpha[:, 0] - case["alpha"])
    assert error.max() <= 1e-3
    assert error.mean() <= 1e-5


def test_graph_keeps_the_contract(small_onnx: Path) -> None:
    proto = onnx.load(small_onnx)
    onnx.checker.check_model(proto, full_check=True)
    shapes = {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {name: ["batch", channels, 64, 64] for name, channels in CHANNELS.items()}
    assert all(
        value.type.tensor_type.elem_type == TensorProto.FLOAT for value in (*proto.graph.input, *proto.graph.output)
    )
    assert proto.opset_import[0].version >= 21
    assert all(tensor.data_location != TensorProto.EXTERNAL for tensor in proto.graph.initializer)
    operators = Counter(node.op_type for node in proto.graph.node)
    assert operators["GroupNormalization"] == 120
    assert not proto.functions


def test_nothing_of_this_machine_is_in_the_file(small_onnx: Path) -> None:
    content = small_onnx.read_bytes() + sidecar_path(small_onnx).read_bytes()
    for trace in (str(ROOT), str(Path.home()), str(small_onnx.parent), "site-packages", "stack_trace", '.py"', "File "):
        assert trace.encode() not in content


def test_sidecar_and_metadata_say_where_it_came_from(small_onnx: Path, checkpoints: Callable[[str], Path]) -> None:
    sidecar = json.loads(sidecar_path(small_onnx).read_text())
    assert sidecar["sha256"] == sha256(small_onnx)
    assert sidecar["checkpoint_sha256"] == sha256(checkpoints(""))
    assert sidecar["patch_hw"] == [64, 64]
    assert sidecar["batch"] is None
    assert (sidecar["precision"], sidecar["pooling"], sidecar["opset"]) == ("fp32", "matmul", 21)
    assert {"torch", "onnx", "onnxruntime", "litematting-deploy"} <= set(sidecar["versions"])
    checks = {f"{sample}, {region}" for sample in ("random", "example photo") for region in ("unknown", "known")}
    assert {check.rpartition(", ")[0] for check in set(sidecar["differences"]) - checks} == set(OF_EVERY_EXPORT)
    assert checks < set(sidecar["differences"])
    assert all(0 < values["mean"] < values["maximum"] < 1e-3 for values in sidecar["differences"].values())
    metadata = {entry.key: json.loads(entry.value) for entry in onnx.load(small_onnx).metadata_props}
    assert metadata["litematting.checkpoint_sha256"] == sidecar["checkpoint_sha256"]
    assert metadata["litematting.patch_hw"] == [64, 64]


@pytest.mark.slow
@pytest.mark.heavy
def test_adaptive_pooling_gives_the_same_alpha(exports: Callable[..., Path], small_onnx: Path) -> None:
    rng = np.random.default_rng(1)
    inputs = {name: rng.random((2, CHANNELS[name], 64, 64), np.float32) for name in ("image", "trimap", "guide")}
    alphas = [
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, inputs)[0]
        for path in (small_onnx, exports("", *SMALL, "--pooling", "adaptive"))
    ]
    np.testing.assert_allclose(alphas[0], alphas[1], atol=1e-3)


def test_above_the_tolerance_nothing_is_left(
    tmp_path: Path, checkpoints: Callable[[str], Path], small_onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "build_graph", lambda *_: onnx.load(small_onnx))  # which takes its time
    spec = ExportSpec(height=64, width=64, tolerance=1e-12)
    with pytest.raises(ToleranceError, match=r"model\.onnx: not written.* 1e-12.*`tolerance`"):
        export_onnx(checkpoints(""), tmp_path / "model.onnx", spec)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
@pytest.mark.parametrize(("pooling", "average"), [("conv", "Conv"), ("matmul", "MatMul")])
def test_half_precision_keeps_what_must_be_float32(pooling: Pooling, average: str) -> None:
    spec = ExportSpec(64, 64, 2, precision="fp16", pooling=pooling, norm="group")
    model = load_checkpoint(SHIPPED_CHECKPOINT, ModelConfig(pooling=pooling))
    proto = onnx.shape_inference.infer_shapes(graph.build_graph(model, spec), data_prop=True)
    types = {value.name: value.type.tensor_type.elem_type for value in proto.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    by_operator: dict[str, set[int]] = {}
    for node in proto.graph.node:
        by_operator.setdefault(node.op_type, set()).add(types.get(node.input[0], 0))
        if node.op_type == "GroupNormalization":
            stash = [attribute.i for attribute in node.attribute if attribute.name == "stash_type"]
            assert stash == [TensorProto.DOUBLE]  # float32 cannot tell the variance of a flat map from its own rounding
    kernels = [node.input[1] for node in proto.graph.node if node.op_type == "Conv"]
    exact = {name for name in kernels if name in model.state_dict() and types[name] == TensorProto.FLOAT}
    assert exact == {"layer0.0.weight", "out.4.weight"}, "the first stage and the last convolution"
    assert by_operator["GroupNormalization"] == {TensorProto.FLOAT16, TensorProto.FLOAT}
    assert by_operator["Softmax"] == {TensorProto.FLOAT}
    assert by_operator["ReduceMean"] == {TensorProto.FLOAT}
    averages = [
        node
        for node in proto.graph.node
        if node.op_type == average
        and any(types.get(name) == TensorProto.FLOAT for name in node.input)
        and not exact.intersection(node.input)
    ]
    # for key and value one over all columns and one for the rows of each scale, two for each rectangle of the LSRPPM
    assert len(averages) == 2 * (1 + 4) + 2 * 6
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
        assert value.type.tensor_type.shape.dim[0].dim_value == 2


def test_recipe_options_and_output_beside_the_checkpoint(small_onnx: Path, checkpoints: Callable[[str], Path]) -> None:
    """As `small_onnx` is made: height from the recipe, width and batch from options that go before it."""
    assert small_onnx == checkpoints("").with_suffix(".onnx")
    assert "width = 96\nbatch = 2" in small_onnx.with_name("recipe.toml").read_text()
    sidecar = json.loads(sidecar_path(small_onnx).read_text())
    assert (sidecar["patch_hw"], sidecar["batch"]) == ([64, 64], None)


def test_recipe_values(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('height = 64\nbatch = 4\nprecision = "fp16"\ntolerance = 1\noutput = "a/b.onnx"\n')
    wanted = Recipe(height=64, batch=4, precision="fp16", tolerance=1, output=tmp_path / "a" / "b.onnx")
    assert read_recipe(path) == wanted
    (tmp_path / "inside").symlink_to("a")
    path.write_text('output = "inside/b.onnx"')
    assert read_recipe(path).output == tmp_path / "inside" / "b.onnx"


@pytest.mark.parametrize("recipe", sorted((ROOT / "export").glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_that_come_with_the_project_are_read(recipe: Path) -> None:
    assert read_recipe(recipe).output is not None or recipe.stem == "shipped"  # next to its checkpoint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("height = 100", "height must be a multiple of 32 up to 4096, for example 96; got 100"),
        ("hieght = 64\nwidth = 64\n", "unknown key 'hieght'"),
        ('height = "64"', "height must be an integer; got '64'"),
        ("batch = true", "batch must be an integer; got True"),
        ("batch = 0", "batch must be between 1 and 1024, or dynamic; got 0"),
        ('precision = "int4"', "one of fp32, fp16, int8"),
        ("tolerance = -1", "tolerance must be above 0 and up to 1, such as 0.001; got -1.0"),
        ("tolerance = inf", "up to 1"),
        ("tolerance = nan", "tolerance must be above 0 and up to 1, such as 0.001; got nan"),
        ('output = "away/m.onnx"', "in the folder of bad.toml or below"),
        ("output = 3", "output must be a file name; got 3"),
        ("height =", "cannot be read as a recipe"),
        ('output = "../m.onnx"', "in the folder of bad.toml or below"),
        ('output = "/m.onnx"', "in the folder of bad.toml or below"),
        ("height = " + "[\n" * 5000, "nested too deep"),
        ("height" + ".a" * 20 + " = 1", "nested deeper than 6 levels"),
        ("height" + ".a" * 30000 + " = 1", "a line is longer than 1000 bytes"),
        ("height = " + "1" * 900 + "\n" * 70000, "larger than 65536 bytes"),
        ("height = 0x" + "f" * 900, "more than 64 bits"),
    ],
)
def test_a_recipe_that_is_wrong_is_refused_in_one_line_that_names_the_file(
    tmp_path: Path, content: str, words: str
) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "away").symlink_to(tmp_path)
    (tmp_path / "recipes" / "bad.toml").write_text(content)
    assert_one_line(called("ltm-export", "m.pth", "--recipe", tmp_path / "recipes" / "bad.toml"), 2, "bad.toml", words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("FOLDER/no.pth", 1, ("no.pth", "no such checkpoint")),
        ("ROOT/README.md", 1, ("README.md", "a checkpoint must end in")),
        ("MODEL -o FOLDER/x.engine", 2, ("x.engine", "--output must end in .onnx")),
        ("MODEL -o FOLDER/no/x.onnx", 1, ("x.onnx", "cannot be written")),
        ("MODEL --batch many", 2, ("many", "expected a number or dynamic")),
        ("MODEL --height 50", 2, ("--height must be a multiple of 32", "got 50")),
        ("MODEL --norm folded --precision fp16", 2, ("--norm folded", "--precision fp16", "--norm batch")),
        ("MODEL --weights-beside -o FOLDER/x.onnx", 2, ("--weights-beside",)),
    ],
    ids=[
        "a checkpoint that is not there",
        "a file that is no checkpoint",
        "an output that is no ONNX",
        "a folder that is not there",
        "a batch that is no number",
        "a height that no patch has",
        "a norm of another precision",
        "weights in another folder",
    ],
)
def test_an_export_that_cannot_be_is_refused_in_one_line(
    arguments: str, code: int, words: tuple[str, ...], tmp_path: Path, checkpoints: Callable[[str], Path]
) -> None:
    places = {"FOLDER": str(tmp_path), "ROOT": str(ROOT), "MODEL": str(checkpoints(""))}
    given = re.sub("|".join(places), lambda found: places[found[0]], arguments).split()
    assert_one_line(called("ltm-export", *given), code, *words)
    assert list(tmp_path.iterdir()) == []


def test_without_pytorch_the_extra_is_named(tmp_path: Path, checkpoints: Callable[[str], Path]) -> None:
    missing = run("ltm-export", checkpoints(""), "-o", tmp_path / "x.onnx", block="torch")
    assert_one_line(missing, 1, "torch", "[export]")


@pytest.mark.parametrize("name", ["a[/b].safetensors", "a\x1b]0;title\x07.pth"], ids=["markup", "escape"])
def test_names_that_are_markup_or_commands_to_a_terminal_are_printed_as_text(name: str, tmp_path: Path) -> None:
    result = called("ltm-export", tmp_path / name, "-o", tmp_path / "x.onnx")
    assert_one_line(result, 1, "no such checkpoint")
    assert "\x1b" not in result.err


def test_shipped_graph_holds_no_weights_but_refers_to_the_one_checkpoint() -> None:
    proto = onnx.load(SHIPPED_ENGINE, load_external_data=False)
    outside = [tensor for tensor in proto.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    assert len(outside) == 374
    locations = {entry.value for tensor in outside for entry in tensor.external_data if entry.key == "location"}
    assert locations == {SHIPPED_CHECKPOINT.name}
    inside = [tensor for tensor in proto.graph.initializer if tensor.data_location != TensorProto.EXTERNAL]
    assert sum(numpy_helper.to_array(tensor).size for tensor in inside) < 50_000  # averaging matrices and shapes


@pytest.mark.slow
@pytest.mark.heavy
def test_shipped_graph_computes_what_the_shipped_checkpoint_says() -> None:
    from litematting_deploy.runtime.loading import load_engine
    from litematting_deploy.runtime.shipped import example_patch

    inputs = example_patch((640, 640))
    with load_engine() as shipped, load_engine(SHIPPED_CHECKPOINT) as reference:
        np.testing.assert_allclose(shipped.run(**inputs), reference.run(**inputs), atol=1e-3)


class Clip(OpRun):
    """A clamp as GPUs have it: of NaN and a number, the minimum and the maximum are the number."""

    op_domain = ""

    def _run(self, x: Any, least: Any, most: Any) -> tuple[Any]:
        return (np.fmin(np.fmax(x, least), most),)


def what_follows(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The part of a graph that depends on one value, float32, and on nothing else but weights."""
    known = {name, *(tensor.name for tensor in proto.graph.initializer)}
    nodes: list[onnx.NodeProto] = []
    for node in proto.graph.node:
        if set(node.input) <= known and (nodes or name in node.input):
            nodes.append(node)
            known |= set(node.output)
    value = onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    part = onnx.helper.make_graph(nodes, "part", [value], proto.graph.output, proto.graph.initializer)
    return onnx.helper.make_model(part, opset_imports=proto.opset_import, ir_version=proto.ir_version)


@pytest.mark.parametrize("form", ["gpu", "group"])
def test_the_clamp_hides_nothing_that_is_not_finite(
    form: str, checkpoints: Callable[[str], Path], request: pytest.FixtureRequest
) -> None:
    """Not in ONNX Runtime, and not where the clamp of NaN is 0; what is finite is limited to 0..1 as before."""
    if form == "gpu":
        spec = ExportSpec(height=64, width=64, batch=1, precision="fp16")
        proto = graph.build_graph(load_checkpoint(checkpoints("")), spec)
    else:
        proto = onnx.load(request.getfixturevalue("small_onnx"))
    (bias,) = (tensor for tensor in proto.graph.initializer if tensor.name.endswith("out.4.bias"))
    rng = np.random.default_rng(0)
    inputs = {name: rng.random((1, count, 64, 64), np.float32) for name, count in CHANNELS.items() if name != "alpha"}
    before = [node.input[0] for node in proto.graph.node if node.op_type == "Clip"][-1]
    hiding = ReferenceEvaluator(what_follows(proto, before), new_ops=[Clip])
    for value, wanted in ((np.nan, np.nan), (np.inf, np.inf), (-np.inf, -np.inf), (9e9, 1), (-9e9, 0)):
        bias.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(bias.dims), value, np.float32), bias.name))
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_array_equal(session.run(["alpha"], inputs)[0], np.float32(wanted))
        (alpha,) = hiding.run(None, {before: np.full((1, 1, 64, 64), value, np.float32)})
        np.testing.assert_array_equal(alpha, np.float32(wanted))
