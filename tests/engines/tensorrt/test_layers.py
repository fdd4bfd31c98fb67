"""What the layers of an engine move: a builder's list as table and page, and the figures of the shipped network."""

import json
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import onnx
import pytest

from litematting_deploy import build_engine
from litematting_deploy.engines.tensorrt.layers import Layer, LayerTable, estimate, read_inspector, read_log, totals
from litematting_deploy.engines.tensorrt.profile import BuildProfile, read_profile
from litematting_deploy.errors import UsageError
from litematting_deploy.export.graph import build_graph
from litematting_deploy.export.spec import ExportSpec
from litematting_deploy.model import load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from tests.conftest import ROOT, run

MOVED = Path(__file__).with_name("moved.json")
"""Layers and bytes of each stage and kind of the shipped network: fp16, 640x640, batch 1, compute capability 8.9."""

SLACK = 1.01


def tensor(name: str, dimensions: str, dtype: str) -> str:
    return (
        f"{{ Name: {name}, Dimensions: [{dimensions}], Strides: [1], StrideOrder: [0], Datatype: {dtype}, Format: x }}"
    )


def line(name: str, kind: str, inputs: list[str], outputs: list[str], nodes: str = "") -> str:
    return (
        f"Name: {name}, LayerType: {kind}, Inputs: [{', '.join(inputs)}], Constants: [ {tensor('c', '9', 'Half')}], "
        f"Outputs: [{', '.join(outputs)}], TacticName: t_0x1, StreamId: 0, Metadata: {nodes}"
    )


LOG = [
    "Engine Layer Information:",
    line("node_Conv_1", "correlation", [tensor("a", "1,3,8,8", "Half")] * 2, [tensor("b", "1,4,8,8", "Half")],
         "[ONNX Layer: layer1/Conv_1]"),
    line("__myl_Move_myl0_1", "kgen", [], [tensor("z", "2", "Int32")]),
    line("__myl_ReluGnor_myl0_2", "kgen", [tensor("z", "2", "Int32"), tensor("b", "1,4,8,8", "Half")],
         [tensor("d", "1,4,8,8", "Float")], "[ONNX Layer: layer1/Norm_2][ONNX Layer: layer1/Relu_3]"),
    line("__myl_CastMean_myl0_3", "kgen", [tensor("d", "1,4,8,8", "Float")], [tensor("e", "1,4,1,1", "Float")],
         "[ONNX Layer: out/Norm_4]"),
    line("__myl_Mul_myl0_4", "kgen", [tensor("e", "1,4,1,1", "Float")], [tensor("f", "", "Bool")],
         "[ONNX Layer: out/Norm_4]"),
]  # fmt: skip


def test_a_builders_list() -> None:
    layers = read_log(LOG)
    assert [layer.kind for layer in layers] == ["convolution", "copy", "norm", "norm", "element-wise"]
    assert [layer.stage for layer in layers] == ["layer1", "layer1", "layer1", "out", "out"]
    # each tensor once for each layer, constants not at all
    assert [layer.bytes for layer in layers] == [
        2 * 3 * 64 + 2 * 4 * 64, 4 * 2, 4 * 2 + 2 * 4 * 64 + 4 * 4 * 64, 4 * 4 * 64 + 4 * 4, 4 * 4 + 1,
    ]  # fmt: skip
    sums = totals(layers, ["layer1/Norm_2", "out/Norm_4"], pixels=64)
    assert (sums.layers, sums.copies, sums.norms_fused, sums.norms_split) == (5, 1, 1, 1)
    assert sums.bytes == sum(layer.bytes for layer in layers)
    assert sums.float32_bytes == 2 * 4 * 4 * 64 + 2 * 4 * 4
    assert sums.gigabytes_1024 == pytest.approx(sums.bytes * 1024 * 1024 / 64 / 1e9)


def test_an_inspectors_list() -> None:
    def part(name: str, dimensions: list[int], kind: str) -> dict[str, object]:
        return {"Name": name, "Dimensions": dimensions, "Format/Datatype": kind}

    text = json.dumps(
        {
            "Layers": [
                {
                    "Name": "conv",
                    "LayerType": "CaskConvolution",
                    "Inputs": [part("a", [1, 8, 4, 4], "Channel major FP16 format where channel % 8 == 0")],
                    "Outputs": [part("b", [1, 2, 4, 4], "Row major linear FP32")],
                    "TacticName": "sm80_xmma",
                    "Metadata": "[ONNX Layer: uper4/Conv_9]",
                },
                "a name alone",
            ]
        }
    )
    first, second = read_inspector(text)
    assert (first.kind, first.stage, first.tactic, first.bytes) == ("convolution", "uper4", "sm80_xmma", 256 + 128)
    assert (second.name, second.bytes) == ("a name alone", 0)


def test_an_estimate_is_the_larger_of_memory_and_arithmetic() -> None:
    found = estimate("RTX 4090", 1000.0, 100.0, moved=3_000_000_000, operations=100_000_000_000)
    assert (found.memory_ms, found.arithmetic_ms, found.milliseconds) == (3.0, 1.0, 3.0)


@pytest.mark.parametrize("profile", sorted((ROOT / "engines").glob("*.toml")), ids=lambda path: path.stem)
def test_profiles_have_a_data_sheet(profile: Path) -> None:
    found = read_profile(profile)
    figures = (found.gpu, found.bandwidth_gb_s, found.fp16_tflops, found.fp32_tflops)
    assert all(figures) or (profile.stem == "rtx" and not any(figures))


def test_other_architectures_than_a_profiles_have_no_data_sheet() -> None:
    found = read_profile(ROOT / "engines/rtx-40.toml")
    assert found.with_options(architectures=("89",)).gpu == "RTX 4090"
    other = found.with_options(architectures=("8.6",))
    assert (other.gpu, other.bandwidth_gb_s, other.fp16_tflops, other.fp32_tflops) == (None,) * 4
    assert other.backend == found.backend


def test_layers_are_of_one_gpu(tmp_path: Path, small_onnx: Path) -> None:
    with pytest.raises(UsageError, match=r"`layers` must end in .json or .html; got l.txt"):
        build_engine(small_onnx, tmp_path / "m.engine", BuildProfile("tensorrt-rtx", layers=Path("l.txt")))
    profile = BuildProfile("tensorrt-rtx", architectures=("8.6", "8.9"), layers=tmp_path / "l.json")
    with pytest.raises(UsageError, match=r"`layers` requires a single target; got `architectures=8.6 8.9`"):
        build_engine(small_onnx, tmp_path / "m.engine", profile)


def test_a_page_and_a_table(tmp_path: Path, small_onnx: Path) -> None:
    limits = ("--workspace", "4096", "--optimization-level", "1")
    options = ("-o", tmp_path / "m.engine", "--profile", ROOT / "engines/rtx-40.toml", *limits)
    for ending in ("json", "html"):
        result = run("ltm-build", small_onnx, *options, "--layers", tmp_path / f"l.{ending}")
        assert result.code == 0, result.err
        assert re.search(
            r"^\d+ layers move \d\.\d\d GB .* of \d+ norm nodes in the ONNX, \d+ run as one kernel", result.out, re.M
        )
        assert "estimate from the data sheet of RTX 4090, not measured: " in result.out
    command = re.search("tool: (.*)", result.out)
    assert command
    words = shlex.split(command[1])
    assert words[0] == "tensorrt_rtx"
    assert f"--onnx={small_onnx}" in words
    assert f"--saveEngine={tmp_path / 'm.trtexec.engine'}" in words, "the engine just built stays as it is"
    assert {"--computeCapabilities=89", "--noTF32"} <= set(words)
    assert {"--memPoolSize=workspace:4096", "--builderOptimizationLevel=1"} <= set(words)
    assert "--minShapes=image:1x3x64x64,trimap:1x3x64x64,guide:1x2x64x64" in words
    table = json.loads((tmp_path / "l.json").read_text())
    assert table["totals"]["layers"] == len(table["layers"])
    assert table["totals"]["bytes"] == sum(layer["bytes"] for layer in table["layers"])
    assert table["totals"]["bytes"] == sum(sum(kinds.values()) for kinds in table["stages"].values())
    assert {"layer0", "layerx", "gfnb", "ppm", "uper4", "out"} <= set(table["stages"])
    shapes = {part["name"]: part for layer in table["layers"] for part in (*layer["reads"], *layer["writes"])}
    assert all(part["bytes"] >= math.prod(map(abs, part["shape"])) for part in shapes.values())
    page = (tmp_path / "l.html").read_text()
    assert not re.search(r"(?:src|href)=|url\(", page), "nothing from elsewhere"
    assert 'name="viewport"' in page
    assert page.count("<tr>") == len(table["layers"]) + 1
    assert ">Nx8x64x64 Half" in page or ">Nx3x64x64 Float" in page  # any number of patches
    assert "-1x" not in page


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*has no sidecar")
def test_the_shipped_network_moves_no_more(tmp_path: Path) -> None:
    """After an intended change, `python -m tests.engines.tensorrt.test_layers` writes the new figures."""
    table, known = shipped_table(tmp_path), json.loads(MOVED.read_text())
    grown = grown_layers(table.layers, known)
    assert not grown, "these layers move more than before, or have become more numerous:\n" + "\n".join(grown)
    assert table.totals.gigabytes_1024 <= 9
    assert table.totals.layers <= 400


def test_growth_is_told_with_its_layers() -> None:
    layers = read_log(LOG)
    known = figures(layers)
    assert grown_layers(layers, known) == []
    wider = line("__myl_ReluGnor_myl0_2", "kgen", [tensor("b", "1,4,8,9", "Half")], [tensor("d", "1,4,8,9", "Float")],
                 "[ONNX Layer: layer1/Norm_2]")  # fmt: skip
    assert grown_layers(read_log([*LOG[:3], wider, *LOG[4:]]), known) == [
        "layer1: 0.0 MB norm __myl_ReluGnor_myl0_2 (norm: 1 before, 1 now)"
    ]
    copy = line("__myl_Move_myl0_9", "kgen", [], [tensor("y", "1", "Bool")], "[ONNX Layer: layer1/Copy_9]")
    assert grown_layers(read_log([*LOG, copy]), known) == [
        "layer1: 0.0 MB copy __myl_Move_myl0_1 (copy: 1 before, 2 now)",
        "layer1: 0.0 MB copy __myl_Move_myl0_9 (copy: 1 before, 2 now)",
    ]
    less = {**known, "layer1": {**known["layer1"], "element-wise": [5, 10_000]}}
    assert grown_layers(read_log([*LOG, copy]), less) == [], "what one kind takes, another has given"


def figures(layers: Sequence[Layer]) -> dict[str, dict[str, list[int]]]:
    """Return how many layers of each stage and kind there are, and their bytes."""
    found: dict[str, dict[str, list[int]]] = {}
    for layer in layers:
        sums = found.setdefault(layer.stage, {}).setdefault(layer.kind, [0, 0])
        sums[0] += 1
        sums[1] += layer.bytes
    return found


def grown_layers(layers: Sequence[Layer], known: dict[str, dict[str, list[int]]]) -> list[str]:
    """Return a line for each layer of the kinds that grew, in the stages that have more bytes than before or,
    if the engine has more layers, more layers.

    The builder's names for layers change from build to build, so single layers cannot be compared.
    """
    told, now = [], figures(layers)
    more = _sums(now.values())[0] > _sums(known.values())[0]
    for stage, kinds in now.items():
        before = known.get(stage, {})
        (count, moved), (old_count, old_moved) = _sums([kinds]), _sums([before])
        if not (more and count > old_count) and moved <= old_moved * SLACK:
            continue
        for kind, (many, size) in kinds.items():
            old_many, old_size = before.get(kind, (0, 0))
            if many > old_many or size > old_size:
                told += [
                    f"{stage}: {layer.bytes / 1e6:.1f} MB {kind} {layer.name} ({kind}: {old_many} before, {many} now)"
                    for layer in layers
                    if (layer.stage, layer.kind) == (stage, kind)
                ]
    return told


def _sums(stages: Iterable[dict[str, list[int]]]) -> tuple[int, int]:
    """Return how many layers these stages have, and their bytes."""
    pairs = [pair for kinds in stages for pair in kinds.values()]
    return sum(count for count, _ in pairs), sum(moved for _, moved in pairs)


def shipped_table(folder: Path) -> LayerTable:
    proto = build_graph(load_checkpoint(SHIPPED_CHECKPOINT), ExportSpec(batch=1, precision="fp16"))
    onnx.save(proto, folder / "m.onnx")
    profile = BuildProfile("tensorrt-rtx", architectures=("8.9",), layers=folder / "l.json")
    table = build_engine(folder / "m.onnx", folder / "m.engine", profile).table
    assert table is not None
    return table


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        found = shipped_table(Path(temporary))
    MOVED.write_text(json.dumps(figures(found.layers), indent=1) + "\n")
