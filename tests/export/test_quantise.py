"""INT8: which convolutions are quantised, what the graph says of it, and when the export is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from litematting_deploy.errors import InputError, LiteMattingError, ToleranceError, UsageError
from litematting_deploy.export import quantise as room
from litematting_deploy.export.graph import build_graph
from litematting_deploy.export.quantise import quantise
from litematting_deploy.export.spec import ExportSpec
from litematting_deploy.model import LiteMatting, load_checkpoint
from litematting_deploy.model.samples import Calibration, Scene
from litematting_deploy.runtime.shipped import EXAMPLE_IMAGE, SHIPPED_CHECKPOINT
from litematting_deploy.sidecar import Quantisation, Sidecar, sidecar_path
from litematting_deploy.training.calibration import calibration_scenes, drawn_scenes, photo_patches
from tests.conftest import ROOT, assert_one_line, called, run

SIDE = 32
SHAPES = {"image": (1, 3, 64, 96), "trimap": (1, 3, 64, 96), "guide": (1, 2, 64, 96)}
FLAT = ExportSpec(SIDE, SIDE, 1, "int8", norm="group", tolerance=1.0)


class Mean(torch.nn.Module):
    """The mean of red, green and blue: what the graph of `toy` computes in float."""

    def forward(self, image: torch.Tensor, trimap: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        del trimap, guide
        return image.mean(dim=1, keepdim=True)


REFERENCE: LiteMatting = Mean()  # type: ignore[assignment]


def toy(spread: float) -> onnx.ModelProto:
    """Return a graph of two stages: `good/` bears INT8; `bad/` adds and takes off `spread`, which INT8 does not bear.

    A depthwise convolution and one with a kernel that is computed lie between.
    """
    tensors = {
        "mean": np.full((3, 3, 1, 1), 1 / 3),
        "each": np.ones((3, 1, 1, 1)),
        "up": np.full((1, 4, 1, 1), 1 / 3),
        "computed": np.ones((1, 1, 1, 1)),
        "one": np.ones(1),
        "spread": np.full((1, 1, SIDE, SIDE), spread),
        "minus": np.full(1, spread / 3),
    }
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()]
    nodes = [
        helper.make_node("Conv", ["image", "mean"], ["a"], name="good/first"),
        helper.make_node("Conv", ["a", "each"], ["b"], name="good/depthwise", group=3),
        helper.make_node("Mul", ["computed", "one"], ["kernel"], name="good/kernel"),
        helper.make_node("Concat", ["spread", "b"], ["c"], name="bad/concat", axis=1),
        helper.make_node("Conv", ["c", "up"], ["d"], name="bad/second"),
        helper.make_node("Conv", ["d", "kernel"], ["e"], name="bad/computed"),
        helper.make_node("Sub", ["e", "minus"], ["alpha"], name="bad/off"),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, SIDE, SIDE])
        for name, channels in (("image", 3), ("trimap", 3), ("guide", 2), ("alpha", 1))
    ]
    graph = helper.make_graph(nodes, "toy", values[:3], values[3:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def scenes(count: int, seed: int) -> list[Scene]:
    """Return noise whose alpha is half its mean, unknown everywhere, so that the model in float32 has an error."""
    rng = np.random.default_rng(seed)
    found: list[Scene] = []
    for _ in range(count):
        image = rng.random((1, 3, SIDE, SIDE), np.float32)
        trimap = np.zeros_like(image)
        trimap[:, 1] = 1
        guide = np.zeros((1, 2, SIDE, SIDE), np.float32)
        found.append(({"image": image, "trimap": trimap, "guide": guide}, image[0].mean(0) * np.float32(0.9)))
    return found


def calibration() -> Calibration:
    tuning = scenes(3, seed=1)
    return Calibration("noise", [inputs for inputs, _ in tuning], tuning, iter(scenes(4, seed=2)), (3, 3, 4))


def test_what_bears_it_is_quantised_and_nothing_else() -> None:
    made, facts = quantise(toy(spread=0.0), FLAT, calibration(), REFERENCE, "m.onnx")
    onnx.checker.check_model(made, full_check=True)
    assert (facts.convolutions, facts.of, facts.float_stages) == (2, 4, ())
    assert 0.9 < facts.sad / facts.fp32_sad < 1.02
    weights = {tensor.name: tensor for tensor in made.graph.initializer}
    scales = {node.output[0]: node for node in made.graph.node if node.op_type == "DequantizeLinear"}
    convolutions = {node.name: node for node in made.graph.node if node.op_type == "Conv"}
    for name in ("good/first", "bad/second"):
        kernel = scales[convolutions[name].input[1]]
        stored, scale, zero = (numpy_helper.to_array(weights[each]) for each in kernel.input)
        assert stored.dtype == np.int8
        assert scale.shape == (len(stored),)  # for each channel
        assert not zero.any()  # symmetric
        assert np.abs(stored).max() == 64  # two products fit 16 bits, which is what processors without VNNI have
        zero = numpy_helper.to_array(weights[scales[convolutions[name].input[0]].input[2]])
        assert zero.dtype == np.int8
        assert not zero.any()
    assert convolutions["good/depthwise"].input[1] == "each"
    assert convolutions["bad/computed"].input[1] == "kernel"
    # Only the convolution reads its quantised input: the node before it is what it was.
    assert [node.input[0] for node in made.graph.node if node.name == "good/first_input"] == ["image"]


def test_behind_a_group_norm_a_convolution_is_quantised_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """ONNX infers no type there."""
    monkeypatch.setattr(room, "_AIM", 100.0)
    monkeypatch.setattr(room, "MOST_WORSE", 100.0)
    proto = toy(spread=0.0)
    index, second = next((at, node) for at, node in enumerate(proto.graph.node) if node.name == "bad/second")
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "ones"))
    norm = helper.make_node("GroupNormalization", ["c", "ones", "ones"], ["n"], name="bad/norm", num_groups=4)
    proto.graph.node.insert(index, norm)
    second.input[0] = "n"
    made, facts = quantise(proto, FLAT, calibration(), REFERENCE, "m.onnx")
    restored = {node.output[0] for node in made.graph.node if node.op_type == "DequantizeLinear"}
    assert {*next(node for node in made.graph.node if node.name == "bad/second").input[:2]} <= restored
    assert facts.convolutions == 2


def test_a_stage_that_hurts_stays_in_float() -> None:
    """Beside 40, values of 0 to 1 have three levels."""
    made, facts = quantise(toy(spread=40.0), FLAT, calibration(), REFERENCE, "m.onnx")
    assert (facts.convolutions, facts.float_stages) == (1, ("bad",))
    assert next(node for node in made.graph.node if node.name == "bad/second").input[1] == "up"


@pytest.mark.parametrize(("spread", "runs", "phases"), [(0.0, 17, 3), (40.0, 23, 5)], ids=["all", "one stage left"])
def test_progress_counts_all_runs_of_the_network(spread: float, runs: int, phases: int) -> None:
    """Three patches for ranges, three to tune and four to judge, in float32 and INT8; two stages alone on three."""
    told: list[tuple[float, str]] = []
    quantise(toy(spread), FLAT, calibration(), REFERENCE, "m.onnx", lambda *now: told.append(now))
    names = list(dict.fromkeys(phase for _, phase in told))
    assert len(names) == phases
    assert (names[0], names[-1]) == ("measuring the ranges of activations", "evaluating on other scenes")
    assert len(told) - phases == runs
    assert told[0][0] == 0
    assert told[-1][0] == 1


def test_too_much_sad_is_refused_with_the_layers_that_cost_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_AIM", 100.0)  # all of it passes where layers are chosen
    with pytest.raises(ToleranceError, match=r"^m.onnx: not written: in INT8, the SAD on drawn scenes is [\d.]+% above that of fp32 .*, more than 2%; these layers cost most: bad [\d.]+%, good [\d.]+%; "):  # fmt: skip # noqa: E501
        quantise(toy(spread=40.0), FLAT, calibration(), REFERENCE, "m.onnx")


def test_scenes_without_a_patch_are_refused() -> None:
    with pytest.raises(UsageError, match="`calibration` contains no patch"):
        quantise(toy(spread=0.0), FLAT, Calibration("none", [], [], []), REFERENCE, "m.onnx")


def test_drawn_scenes_are_what_the_network_takes_and_depend_on_the_seed() -> None:
    (first, alpha), (again, _), (other, _) = (
        next(iter(drawn_scenes([EXAMPLE_IMAGE], (64, 96), 1, s))) for s in (1, 1, 2)
    )
    assert {name: array.shape for name, array in first.items()} == SHAPES
    assert alpha.shape == (64, 96)
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    np.testing.assert_array_equal(first["trimap"].sum(axis=1), 1)
    np.testing.assert_array_equal(alpha[first["trimap"][0, 2] > 0], 1)  # sure foreground is foreground
    np.testing.assert_allclose(first["image"] * 255, np.rint(first["image"] * 255), atol=1e-4)  # as a photo has it
    np.testing.assert_array_equal(first["image"], again["image"])
    assert not np.array_equal(first["image"], other["image"])


def test_drawn_scenes_are_drawn_when_they_are_needed_and_judge_others_than_they_choose_on() -> None:
    drawn = calibration_scenes("drawn", (64, 96))
    assert (drawn.name, drawn.counts) == ("drawn", (24, 12, 48))
    (chosen, _), (judged, _) = next(iter(drawn.tuning)), next(iter(drawn.judged))
    np.testing.assert_array_equal(next(iter(drawn.ranges))["image"], chosen["image"])
    assert not np.array_equal(chosen["image"], judged["image"])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of a photo with its trimap, and of another with its mask."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for kind, ending in (("", "jpg"), ("_trimap", "png"), ("_mask", "png")):
        with Image.open(ROOT / "examples" / f"dandelion{kind}.{ending}") as picture:
            part = picture.crop((600, 1000, 800, 1160))
        for name in ("one_trimap", "two_mask"):  # a photo with its trimap, another with its mask
            if name.endswith(kind):
                part.save(folder / f"{name[:3]}{kind}.{ending}")
    assert len(list(folder.iterdir())) == 4
    return folder


def test_photos_with_trimaps_or_masks_set_the_ranges(photos: Path) -> None:
    made = calibration_scenes(photos, (64, 96))
    assert (made.name, made.counts) == ("photos", (2, 12, 48))
    for patch in made.ranges:
        assert {name: array.shape for name, array in patch.items()} == SHAPES
        assert 0.1 < patch["trimap"][0, 1].mean() < 0.9


def test_a_photo_without_trimap_and_mask_is_named_with_what_to_add(photos: Path) -> None:
    Image.new("RGB", (64, 64)).save(photos / "other.jpg")
    with pytest.raises(InputError, match=r"no trimap or mask for other.jpg; next to NAME.jpg, add NAME_trimap.png"):
        photo_patches(photos, (64, 96))


def test_a_trimap_without_its_photo_is_named(photos: Path) -> None:
    Image.new("L", (64, 64), 128).save(photos / "other_trimap.png")
    with pytest.raises(InputError, match=r"no photo for other_trimap.png; add it .*, or move these files out"):
        photo_patches(photos, (64, 96))


@pytest.mark.parametrize(
    ("size", "levels", "words"),
    [
        ((64, 65), (128,), r": is 64x65, but its photo is 64x64; the sizes must match"),
        ((64, 65), (128, 7), r": is 64x65, but its photo is 64x64; the sizes must match"),
        ((64, 64), (255,), r": has no unknown pixels, .* unknown band"),
        ((64, 64), (0, 1, 2, 3, 5, 128), r": a trimap contains only 0, 128, 255; this one also contains 1, 2, 3, 5; "),
    ],
    ids=["another size", "both", "all known", "antialiased"],
)
def test_a_trimap_that_is_wrong_is_named_with_a_way_out_that_exports_have(
    photos: Path, size: tuple[int, int], levels: tuple[int, ...], words: str
) -> None:
    Image.new("RGB", (64, 64)).save(photos / "other.jpg")
    values = np.resize(np.array(levels, np.uint8), size[::-1])
    Image.fromarray(values).save(photos / "other_trimap.png")
    with pytest.raises(InputError, match=f"other_trimap.png{words}") as raised:
        photo_patches(photos, (64, 96))
    assert "`" not in str(raised.value), "ltm-export has no options for it"


def test_a_mask_that_needs_an_option_is_refused_with_another_way_out(photos: Path) -> None:
    Image.new("RGB", (64, 64)).save(photos / "other.jpg")
    Image.new("L", (64, 64), 90).save(photos / "other_mask.png")
    options = ("--precision", "int8", "--calibration", photos)
    result = called("ltm-export", SHIPPED_CHECKPOINT, "-o", photos / "m.onnx", *options)
    words = "save a plain mask, or a trimap as NAME_trimap.png"
    assert_one_line(result, 1, "other_mask.png: its brightest value is 90 of 255", "calibration has no options", words)


@pytest.mark.parametrize("source", ["none", b"none", 3], ids=["no folder", "bytes", "number"])
def test_a_source_of_scenes_that_is_wrong_is_an_error_about_the_calibration(source: Any, tmp_path: Path) -> None:
    given = tmp_path / source if isinstance(source, str) else source
    with pytest.raises(LiteMattingError) as raised:
        calibration_scenes(given, (64, 96))
    assert raised.value.parameter == "calibration"


INT8, DRAWN = ("--precision", "int8"), ("--calibration", "drawn")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (INT8, 2, ("--precision int8 requires --calibration", "photos with trimaps or masks")),
        (DRAWN, 2, ("--calibration requires --precision int8; got --precision fp32",)),
        ((*INT8, *DRAWN, "--norm", "folded"), 2, ("--norm folded", "--precision int8")),
        ((*INT8, *DRAWN, "--weights-beside"), 2, ("--weights-beside", "--precision int8 rounds some")),
        ((*INT8, "--calibration", "{folder}/empty"), 1, ("empty: contains no images",)),
        ((*INT8, "--calibration", "{folder}/none"), 1, ("none: no such folder",)),
    ],
    ids=["no scenes", "not int8", "folded norms", "weights beside", "folder without photos", "no folder"],
)
def test_an_export_in_int8_that_cannot_be_is_refused_in_one_line_and_writes_nothing(
    options: tuple[str, ...], code: int, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    given = [option.format(folder=tmp_path) for option in options]
    assert_one_line(called("ltm-export", SHIPPED_CHECKPOINT, "-o", tmp_path / "m.onnx", *given), code, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.mark.slow
@pytest.mark.heavy
def test_the_command_and_what_it_leaves(tmp_path: Path) -> None:
    size = ("--height", "64", "--width", "64", "--batch", "1", "--norm", "gpu")
    model = tmp_path / "m.onnx"
    int8 = ("--precision", "int8", "--calibration", "drawn")
    result = run("ltm-export", SHIPPED_CHECKPOINT, "-o", model, *size, *int8, block="lightning,tensorboard")
    assert result.code == 0, result.err
    assert "convolutions in INT8" in result.out
    assert "ltm-export: 0% done; measuring the ranges of activations\n" in result.err
    assert "100% done; comparing with the PyTorch model" in result.err
    facts = json.loads(sidecar_path(model).read_text())
    assert (facts["precision"], facts["quantisation"]["calibration"]) == ("int8", "drawn")
    assert facts["quantisation"]["sad"] <= 1.02 * facts["quantisation"]["fp32_sad"]
    spec = ExportSpec(64, 64, 1, "int8", norm="gpu")
    plain = build_graph(load_checkpoint(SHIPPED_CHECKPOINT), spec).ByteSize()
    assert model.stat().st_size < 0.8 * plain
    built = run("ltm-build", model, "--backend", "tensorrt-rtx", "--sm", "8.9")
    assert built.code == 0, built.err
    assert ", int8, tensorrt-rtx" in built.out


def test_the_command_that_makes_it_again_names_the_calibration() -> None:
    facts = Quantisation("drawn", 1, 2, (), 1.0, 1.0)
    sidecar = Sidecar("m.onnx", "", "c.pth", "", (64, 64), 1, "int8", "matmul", "gpu", 21, quantisation=facts)
    assert sidecar.export_command().endswith("precision=int8 pooling=matmul norm=gpu calibration=drawn`")
