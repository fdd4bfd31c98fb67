"""ltm-infer as a user runs it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from litematting_deploy import Matter
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, assert_one_line, called, golden, run, stand_in


def save(path: Path, array: NDArray[Any]) -> Path:
    Image.fromarray(array).save(path)
    return path


def load(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, text
    return int(found[1])


def save_photo(folder: Path) -> tuple[Path, Path]:
    """Save a small crop of the example around the stem, and its trimap."""
    box = slice(1000, 1160), slice(600, 800)
    return save(folder / "photo.png", load(EXAMPLE)[box]), save(folder / "trimap.png", load(EXAMPLE_TRIMAP)[box])


@pytest.fixture
def photo(tmp_path: Path) -> tuple[Path, Path]:
    """A small crop of the example around the stem, and its trimap."""
    return save_photo(tmp_path)


def shipped_graph_of(weights: dict[str, NDArray[np.float32]], path: Path) -> Path:
    """The shipped graph with other weights in the places of those that it reads from the shipped checkpoint."""
    with SHIPPED_CHECKPOINT.open("rb") as file:
        begin = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(begin - 8))
    names = {begin + entry["data_offsets"][0]: name for name, entry in header.items() if name != "__metadata__"}
    graph = onnx.load(SHIPPED_ENGINE, load_external_data=False)
    for tensor in graph.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            (offset,) = (int(entry.value) for entry in tensor.external_data if entry.key == "offset")
            tensor.CopyFrom(onnx.numpy_helper.from_array(weights[names[offset]].reshape(tensor.dims), tensor.name))
    # Slopes of PReLU are at most 1 in the shipped weights, where it is the maximum of x and x times its slope.
    made_by = {name: node for node in graph.graph.node for name in node.output}
    for node in graph.graph.node:
        product = made_by.get(node.input[1]) if node.op_type == "Max" else None
        if product is not None and product.op_type == "Mul" and product.input[0] == node.input[0]:
            node.op_type, node.input[1] = "PRelu", product.input[1]
    onnx.save(graph, path)
    return path


def assert_golden(name: str, engine: Path, folder: Path, exact: float) -> None:
    """`ltm-infer` gives the published alpha to one level, and to the level in a share of the unknown pixels."""
    case = golden(name)
    result = run(
        "ltm-infer",
        save(folder / "image.png", case["image"]),
        save(folder / "trimap.png", case["trimap"]),
        *("-o", folder / "alpha.png", "--published", "--engine", engine),
    )
    assert result.code == 0, result.err
    assert f"{len(case['tiles_yx'])} patches" in result.out
    difference = np.abs(load(folder / "alpha.png").astype(int) - case["alpha"])
    assert difference.max() <= 1
    assert (difference[case["trimap"] == 128] == 0).mean() >= exact


@pytest.mark.slow
def test_published_crop_and_stitch_with_the_shipped_graph(tmp_path: Path) -> None:
    """Whose folded norms round otherwise; with weights that are not trained, each alpha hangs on the last bits."""
    engine = shipped_graph_of(stand_in(str(golden("tiles_552x800")["salt"])), tmp_path / "golden.onnx")
    assert_golden("tiles_552x800", engine, tmp_path, 0.98)


@pytest.mark.slow
@pytest.mark.heavy
@pytest.mark.parametrize("name", ["tiles_552x800", "tiles_896x1360"])
def test_published_crop_and_stitch(name: str, exports: Callable[..., Path], tmp_path: Path) -> None:
    engine = exports(str(golden(name)["salt"]), "--batch", "1", "--norm", "batch")
    assert_golden(name, engine, tmp_path, 0.99)


def test_adaptive_plans_run_fewer_patches(photo: tuple[Path, Path], small_onnx: Path, tmp_path: Path) -> None:
    common = ("--engine", small_onnx, "--verbose")
    alphas, counts = [], []
    for options in ((), ("--plan", "adaptive", "--margin", "12"), ("--plan", "grid")):
        result = run("ltm-infer", *photo, "-o", tmp_path / "a.png", *common, *options)
        assert result.code == 0, result.err
        alphas.append(load(tmp_path / "a.png").astype(int))
        counts.append(number(r": (\d+) patches of 64x64, ", result.err))
        placement = "grid, step 32" if "grid" in options else "adaptive, margin 12"
        assert f"plan: {placement}, refined: {counts[-1]} patches" in result.err
        assert f"{counts[-1]} patch" in result.out
        if "grid" not in options:
            grid = number(r"a full grid would run (\d+)", result.err)
    assert counts[0] == counts[1] < counts[2] == grid
    assert np.abs(alphas[0] - alphas[1]).max() <= 1
    assert np.abs(alphas[0] - alphas[2]).max() > 1, "stand-in weights differ from patch to patch"


def test_verbose_tells_what_will_run(photo: tuple[Path, Path], small_onnx: Path, tmp_path: Path) -> None:
    result = run("ltm-infer", *photo, "-o", tmp_path / "a.png", "--engine", small_onnx, "--step", "64", "--verbose")
    assert result.code == 0, result.err
    engine, plan = result.err.strip().splitlines()
    assert engine.startswith("engine: onnxruntime-cpu")
    assert plan.endswith("of 12 skipped")
    assert plan.startswith("plan: grid, step 64, refined: ")
    assert " patches of 64x64, " in plan


@pytest.mark.slow
def test_shipped_weights_and_cutout(photo: tuple[Path, Path], tmp_path: Path) -> None:
    image, trimap = photo
    result = run("ltm-infer", image, trimap, "-o", tmp_path / "a.png", "--cutout", tmp_path / "c.png")
    assert result.code == 0, result.err
    assert result.err == ""
    for words in ("a.png and ", "c.png: 200x160 in ", "1 patch (full grid: 1)", "onnxruntime-cpu", "on cpu", "640x640"):
        assert words in result.out.replace("\n", " ")
    alpha, cutout, known = load(tmp_path / "a.png"), load(tmp_path / "c.png"), load(trimap)
    assert (alpha[known == 0] == 0).all()
    assert (alpha[known == 255] == 255).all()
    assert len(np.unique(alpha)) > 50
    np.testing.assert_array_equal(cutout[:, :, 3], alpha)
    soft = (alpha > 30) & (alpha < 220)
    assert np.abs(cutout[soft][:, :3].astype(int) - load(image)[soft]).mean() > 3, "the plain photo is no cut-out"


def test_checkpoint_as_engine_gives_the_same_alpha(photo: tuple[Path, Path], tmp_path: Path) -> None:
    """Of a photo and of two that are flat: a black and a white one, unknown throughout."""
    photos, trimaps = tmp_path / "p", tmp_path / "t"
    for folder, file in zip((photos, trimaps), photo, strict=True):
        folder.mkdir()
        shutil.copy(file, folder / f"photo{file.suffix}")
    for name, level in (("black", 0), ("white", 255)):
        Image.new("RGB", (64, 64), (level,) * 3).save(photos / f"{name}.png")
        Image.new("L", (64, 64), 128).save(trimaps / f"{name}.png")
    for name, engine in (("onnx", SHIPPED_ENGINE), ("torch", SHIPPED_CHECKPOINT)):
        result = run("ltm-infer", photos, trimaps, "-o", tmp_path / name, "--engine", engine)
        assert result.code == 0, result.err
    assert "pytorch-eager" in result.out
    for name in ("photo.png", "black.png", "white.png"):
        onnx, torch = (load(tmp_path / folder / name).astype(int) for folder in ("onnx", "torch"))
        assert np.abs(onnx - torch).max() <= 1, name


@pytest.mark.parametrize("adaptive", [False, True])
def test_mask_does_both(photo: tuple[Path, Path], tmp_path: Path, small_onnx: Path, adaptive: bool) -> None:
    image, trimap = photo
    mask = save(tmp_path / "mask.png", (load(trimap) > 0).astype(np.uint8) * 255)
    band = ("--unknown", *(("5%", "--adaptive") if adaptive else ("9",)))
    both = run("ltm-infer", image, "--mask", mask, *band, "-o", tmp_path / "b.png", "--engine", small_onnx)
    made = run("ltm-trimap", mask, "-o", tmp_path / "made.png", *band, *(("--image", image) if adaptive else ()))
    steps = run("ltm-infer", image, tmp_path / "made.png", "-o", tmp_path / "s.png", "--engine", small_onnx)
    assert (both.code, made.code, steps.code) == (0, 0, 0)
    assert set(np.unique(load(tmp_path / "made.png"))) == {0, 128, 255}
    np.testing.assert_array_equal(load(tmp_path / "b.png"), load(tmp_path / "s.png"))


@pytest.mark.slow
@pytest.mark.heavy
def test_half_precision_on_photos(half_onnx: Path) -> None:
    """fp16 against the fp32 PyTorch model with the shipped weights, on the example and the golden images."""
    photos = {name: golden(name) for name in ("net_256x384", "net_320x320")}
    photos["example"] = {"image": load(EXAMPLE), "trimap": load(EXAMPLE_TRIMAP)}
    with (
        Matter.load(half_onnx, step=320) as actual,
        Matter.load(SHIPPED_CHECKPOINT, patch_hw=(320, 320), step=320) as wanted,
    ):
        for name, case in photos.items():
            difference = actual(case["image"], case["trimap"]) - wanted(case["image"], case["trimap"])
            assert 0 < np.abs(difference).max() <= 5e-3, name


def test_nothing_unknown_is_refused(tmp_path: Path, photo: tuple[Path, Path], small_onnx: Path) -> None:
    trimap = save(tmp_path / "sure.png", np.where(load(photo[1]) == 128, np.uint8(255), load(photo[1])))
    arguments = (photo[0], trimap, "-o", tmp_path / "a.png", "--engine", small_onnx)
    refused = run("ltm-infer", *arguments)
    assert_one_line(refused, 1, "sure.png", "no unknown pixels", "give it as --mask", "--allow-no-unknown")
    assert not (tmp_path / "a.png").exists()
    result = run("ltm-infer", *arguments, "--allow-no-unknown")
    assert_one_line(result, 0, "sure.png", "no unknown pixels")
    assert "0 patches" in result.out
    np.testing.assert_array_equal(load(tmp_path / "a.png"), load(trimap))


def test_step_batch_and_encoding(tmp_path: Path, photo: tuple[Path, Path], small_onnx: Path) -> None:
    labels = save(tmp_path / "labels.png", (load(photo[1]).astype(int) // 127).astype(np.uint8))
    common = ("--engine", small_onnx, "--step", "64")
    first = run("ltm-infer", *photo, "-o", tmp_path / "1.png", *common)
    second = run(
        "ltm-infer", photo[0], labels, "-o", tmp_path / "2.png", *common, "--batch", "5", "--trimap-encoding", "labels"
    )
    assert (first.code, second.code) == (0, 0), second.err
    assert np.abs(load(tmp_path / "1.png").astype(int) - load(tmp_path / "2.png")).max() <= 1


def test_names_with_spaces_and_unicode_and_deep_files(tmp_path: Path, small_onnx: Path) -> None:
    folder = tmp_path / "Löwenzahn und Rauch"
    folder.mkdir()
    image = save(folder / "ein bild.png", load(EXAMPLE)[:70, :90])
    deep = save(folder / "trimap 16.png", np.full((70, 90), 128 * 257, np.uint16))
    result = run("ltm-infer", image, deep, "-o", folder / "älpha.tif", "--engine", small_onnx)
    assert result.code == 0, result.err
    assert load(folder / "älpha.tif").shape == (70, 90)


def test_one_pixel(tmp_path: Path, small_onnx: Path) -> None:
    image = save(tmp_path / "i.png", np.full((1, 1, 3), 99, np.uint8))
    trimap = save(tmp_path / "t.png", np.full((1, 1), 128, np.uint8))
    assert run("ltm-infer", image, trimap, "-o", tmp_path / "a.png", "--engine", small_onnx).code == 0
    assert load(tmp_path / "a.png").shape == (1, 1)


def test_onnx_without_sidecar_warns(tmp_path: Path, photo: tuple[Path, Path], small_onnx: Path) -> None:
    (tmp_path / "lonely.onnx").write_bytes(small_onnx.read_bytes())
    result = run("ltm-infer", *photo, "-o", tmp_path / "a.png", "--engine", tmp_path / "lonely.onnx")
    assert_one_line(result, 0, "warning", "lonely.onnx: has no sidecar lonely.onnx.json")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a photo, its trimap, and files that are wrong in many ways."""
    folder = tmp_path_factory.mktemp("damaged")
    photo, trimap = save_photo(folder)
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("cannot be read as an image")
    (folder / "cut.png").write_bytes(photo.read_bytes()[:2000])
    (folder / "bad.onnx").write_bytes(b"not a graph")
    (folder / "bad.pth").write_bytes(b"not a checkpoint")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "x").mkdir()
    save(folder / "other.png", load(trimap)[:50])
    save(folder / "strange.png", (load(trimap) // 2).astype(np.uint8))
    save(folder / "dark.png", (load(trimap) > 0).astype(np.uint8))
    return folder


OUT = "-o alpha.png"
PAIR = f"photo.png trimap.png {OUT}"
SMALL = f"{PAIR} --engine {{small}}"
WRONG_JOBS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "a photo must be there": (f"absent.png trimap.png {OUT}", 1, ("absent.png", "no such file")),
    "an empty file is no photo": (f"empty.png trimap.png {OUT}", 1, ("empty.png", "an image (0 bytes)")),
    "a text is no photo": (f"text.png trimap.png {OUT}", 1, ("text.png", "cannot be read as an image")),
    "a photo must be whole": (f"cut.png trimap.png {OUT}", 1, ("cut.png", "truncated")),
    "a folder has no single trimap": (f". trimap.png {OUT}", 1, ("a folder",)),
    "a name may be too long for a photo": (
        f"{'a' * 300}.png trimap.png {OUT}", 1, ("aaa.png", "no such file or folder"),
    ),
    "a trimap has the size of its photo": (
        f"photo.png other.png {OUT}", 1, ("other.png", "200x50", "photo.png is 200x160"),
    ),
    "a trimap has three values": (f"photo.png strange.png {OUT}", 1, ("strange.png", "64 (", "--trimap-encoding")),
    "a mask has sure foreground": (f"photo.png --mask dark.png {OUT}", 1, ("dark.png", "brightest value is 1")),
    "large photos are refused": (
        f"{PAIR} --max-megapixels 0.01", 1, ("photo.png", "0.032 megapixels", "--max-megapixels"),
    ),
    "an engine must be there": (f"{PAIR} --engine no.onnx", 1, ("no.onnx", "no such engine", "ltm-export")),
    "an engine is a graph": (f"{PAIR} --engine bad.onnx", 1, ("bad.onnx", "cannot load it")),
    "a checkpoint holds weights": (f"{PAIR} --engine bad.pth", 1, ("bad.pth", "damaged or not a PyTorch checkpoint")),
    "a trimap is no engine": (f"{PAIR} --engine trimap.png", 1, ("trimap.png", "not an engine; give a checkpoint")),
    "a GPU must be there": (f"{PAIR} --device cuda", 1, ("cuda", "onnxruntime")),
    "a device must exist": (f"{PAIR} --device quantum", 2, ("--device must be cpu, cuda", "quantum")),
    "the folder of results must be there": ("photo.png trimap.png -o no/a.png", 1, ("a.png", "cannot be written")),
    "a link in circles is no result": ("photo.png trimap.png -o loop.png", 1, ("loop.png", "cannot be written")),
    "a name may be too long for a result": (f"photo.png trimap.png -o {'a' * 300}.png", 1, ("cannot be written",)),
    "results are not JPEG": ("photo.png trimap.png -o alpha.jpg", 2, ("alpha.jpg", ".png")),
    "a photo is not overwritten": ("photo.png trimap.png -o photo.png", 2, ("photo.png", "overwrite an input")),
    "two results are two files": (f"{PAIR} --cutout alpha.png", 2, ("alpha.png", "two results would have this name")),
    "two names of one file are one file": (f"{PAIR} --cutout ./x/../alpha.png", 2, ("two results",)),
    "a trimap or a mask is given": (f"photo.png {OUT}", 2, ("TRIMAP", "--mask")),
    "not both are given": (f"{PAIR} --mask trimap.png", 2, ("TRIMAP", "--mask")),
    "a result is asked for": ("photo.png trimap.png", 2, ("--output",)),
    "a step is at least 1": (f"{SMALL} --step 0", 2, ("--step must be between 1 and 64", "shorter side", "got 0")),
    "a margin is less than half a patch": (
        f"{SMALL} --plan adaptive --margin 32", 2, ("--margin must be", "less than half", "(64); got 32"),
    ),
    "a grid has no margin": (f"{SMALL} --margin 9 --plan grid", 2, ("--margin", "--plan grid; use")),
    "a step makes a grid, which has no margin": (f"{SMALL} --margin 9 --step 9", 2, ("--margin", "--step; use")),
    "an adaptive plan has no step": (f"{SMALL} --plan adaptive --step 9", 2, ("--step", "--plan adaptive; use")),
    "the published plan is a grid": (
        f"{PAIR} --plan adaptive --published", 2, ("--published", "--plan adaptive; use"),
    ),
    "a plan must exist": (f"{PAIR} --plan random", 2, ("random", "adaptive", "grid")),
    "a batch is at least 1": (f"{SMALL} --batch 0", 2, ("--batch must be 1 or more; got 0",)),
    "the published plan has patches of 640": (f"{SMALL} --published", 2, ("--published", "64x64", "ltm-export", "640")),
    "the published plan has a step of 320": (f"{PAIR} --published --step 64", 2, ("--step must be 320", "got 64")),
    "an option must exist": (f"{PAIR} --nonsense", 2, ("--nonsense", "--help")),
    "a band is around a mask": (f"{PAIR} --unknown 9", 2, ("--unknown applies only to a mask",)),
    "an adaptive band is around a mask": (f"{PAIR} --adaptive", 2, ("--adaptive applies only to a mask",)),
    "an encoding is of a trimap": (
        f"photo.png --mask trimap.png {OUT} --trimap-encoding labels", 2, ("--trimap-encoding applies only to a",),
    ),
    "an engine has patches of one size": (
        f"{SMALL} --patch 96x64", 2, ("--patch must be 64x64", "got 96x64", "ltm-export"),
    ),
    "a patch has height and width": (f"{SMALL} --patch wide", 2, ("'wide'", "640x640")),
}  # fmt: skip


@pytest.mark.parametrize(("line", "code", "words"), WRONG_JOBS.values(), ids=WRONG_JOBS)
def test_a_wrong_job_is_one_line_and_writes_nothing(
    damaged: Path, small_onnx: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int, words: tuple[str, ...]
) -> None:
    monkeypatch.chdir(damaged)
    before = set(damaged.rglob("*"))
    assert_one_line(called("ltm-infer", *line.format(small=small_onnx).split()), code, *words)
    assert set(damaged.rglob("*")) == before


def test_needs_neither_torch_nor_tensorrt(photo: tuple[Path, Path], tmp_path: Path) -> None:
    blocked = "torch,onnx,onnxscript,safetensors,tensorrt,tensorrt_rtx,cuda"
    assert run("ltm-infer", *photo, "-o", tmp_path / "a.png", block=blocked).code == 0
    result = run("ltm-infer", *photo, "-o", tmp_path / "b.png", block="onnxruntime")
    assert_one_line(result, 1, "onnxruntime", "[cpu]")
    result = run("ltm-infer", *photo, "-o", tmp_path / "b.png", "--engine", SHIPPED_CHECKPOINT, block="torch")
    assert_one_line(result, 1, "torch", "[export]")


def test_help_names_every_option() -> None:
    result = run("ltm-infer", "--help")
    assert result.code == 0
    for option in (
        "--engine",
        "--published",
        "--plan",
        "--margin",
        "--step",
        "--batch",
        "--device",
        "--cutout",
        "--mask",
        "--unknown",
        "--foreground",
        "--background",
        "--depth",
        "--exposure",
        "--premultiplied",
    ):
        assert option in result.out
