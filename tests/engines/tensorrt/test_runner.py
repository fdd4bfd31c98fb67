"""Running TensorRT engines: what is checked before there is a device, and, where there is one, the run itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from litematting_deploy import Matter, load_engine
from litematting_deploy.engines import Gpu
from litematting_deploy.engines.tensorrt.runner import TensorRTArtefact
from litematting_deploy.errors import ArtefactError, DependencyError, DeviceError, UsageError
from litematting_deploy.runtime.cuda import open_cuda
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE, example_patch
from litematting_deploy.sidecar import sidecar_path
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, Run, assert_one_line, called, run

ADA = Gpu(0, "an RTX 4090", (8, 9), 1)


def gpu() -> bool:
    try:
        open_cuda()
    except (DeviceError, DependencyError):
        return False
    return True


@pytest.fixture(scope="session")
def small_engine(small_onnx: Path, shared: Path) -> Path:
    """The dynamic-batch export of 64x64 patches, built for 8.9 by `ltm-build`."""
    path = shared / "small-ada.engine"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            result = run("ltm-build", small_onnx, "--backend", "tensorrt-rtx", "--sm", "8.9", "-o", path)
            assert result.code == 0, result.err
    return path


def edited(path: Path, folder: Path, **changes: object) -> Path:
    """A copy whose sidecar says something else."""
    target = folder / "model.engine"
    shutil.copy(path, target)
    content = json.loads(sidecar_path(path).read_text()) | changes
    sidecar_path(target).write_text(json.dumps(content))
    return target


def matted(engine: Path, folder: Path, *options: str, block: str = "") -> Run:
    job: tuple[str | Path, ...] = ("ltm-infer", EXAMPLE, EXAMPLE_TRIMAP, "-o", folder / "a.png", "--engine", engine)
    return run(*job, *options, block=block) if block else called(*job, *options)


@pytest.mark.skipif(gpu(), reason="there is a GPU here")
def test_without_a_driver_one_line_says_what_to_install(small_engine: Path, tmp_path: Path) -> None:
    assert_one_line(matted(small_engine, tmp_path), 1, "no CUDA driver", "install NVIDIA's driver")
    assert_one_line(matted(small_engine, tmp_path), 1, ".onnx with --device cpu in place of", small_engine.name)
    assert not (tmp_path / "a.png").exists()


def test_without_tensorrt_one_line_names_the_extra(small_engine: Path, tmp_path: Path) -> None:
    result = matted(small_engine, tmp_path, block="tensorrt_rtx")
    assert_one_line(result, 1, "needs tensorrt_rtx", "not installed", "[rtx-cu13]")
    full = edited(small_engine, tmp_path, backend="tensorrt")
    assert_one_line(matted(full, tmp_path, block="tensorrt"), 1, "needs tensorrt,", "[trt-cu13]")
    if gpu():
        pytest.skip("without cuda-python the driver is not reached")
    assert_one_line(matted(small_engine, tmp_path, block="cuda"), 1, "needs cuda", "[cuda13]")


def without_sidecar(engine: Path, folder: Path) -> Path:
    return Path(shutil.copy(engine, folder / "bare.engine"))


def damaged(engine: Path, folder: Path) -> Path:
    path = edited(engine, folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("made", "options", "code", "words"),
    [
        (lambda _, folder: folder / "no.engine", "", 1, ["no.engine: no such engine file"]),
        (
            lambda engine, _: engine,
            "--device cpu",
            2,
            ["--device must be cuda, cuda:N or auto", "got 'cpu'; an ONNX file runs"],
        ),
        (
            lambda engine, _: engine,
            "--device tensorrt",
            2,
            ["--device must be cuda, cuda:N or auto for a TensorRT engine"],
        ),
        (lambda engine, _: engine, "--precision fp16", 2, ["--precision applies only to a checkpoint on a GPU"]),
        (lambda *_: SHIPPED_ENGINE, "--trust", 2, ["--trust applies only to a TensorRT engine"]),
        (without_sidecar, "", 1, ["bare.engine: has no sidecar bare.engine.json", "--trust"]),
        (damaged, "", 1, ["model.engine: its SHA-256 is", "ltm-build", "--sm 8.9"]),
        (damaged, "--trust", 1, ["model.engine: its SHA-256 is"]),  # a sidecar is believed
        (
            lambda engine, folder: edited(engine, folder, backend_version="1.0.0.1"),
            "",
            1,
            ["built by tensorrt-rtx 1.0.0.1, but ", " is installed; build it again"],
        ),
    ],
    ids=[
        *("missing", "on the CPU", "by ONNX Runtime", "precision", "an ONNX trusted"),
        *("no sidecar", "damaged", "damaged and trusted", "another version"),
    ],
)
def test_a_mistake_is_reported_before_a_missing_driver(
    small_engine: Path, tmp_path: Path, made: Callable[[Path, Path], Path], options: str, code: int, words: list[str]
) -> None:
    assert_one_line(matted(made(small_engine, tmp_path), tmp_path, *options.split()), code, *words)


def test_another_architecture_is_refused_before_it_is_loaded(small_engine: Path) -> None:
    artefact = TensorRTArtefact(small_engine)
    with pytest.raises(ArtefactError, match=r"for compute capability 8\.9, but an H200 has 9\.0; .*ltm-build"):
        artefact.open(Gpu(0, "an H200", (9, 0), 1), None)


@pytest.mark.skipif(gpu(), reason="there is a GPU here")
@pytest.mark.parametrize("trusted", [False, True])
def test_what_the_real_runtime_says_without_a_driver(small_engine: Path, tmp_path: Path, trusted: bool) -> None:
    path = small_engine
    if trusted:
        path = tmp_path / "bare.engine"
        shutil.copy(small_engine, path)
    with pytest.raises(
        (ArtefactError, DeviceError), match=r"tensorrt-rtx .* cannot load it on an RTX 4090.*CUDA driver"
    ):
        TensorRTArtefact(path, trust=trusted).open(ADA, None)


@pytest.mark.gpu
@pytest.mark.skipif(not gpu(), reason="no CUDA device here")
@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-3), ("fp16", 5e-3)])
def test_an_engine_built_here_runs_here(tmp_path: Path, precision: str, limit: float) -> None:
    onnx, engine = tmp_path / "m.onnx", tmp_path / "m.engine"
    size = ("--height", "256", "--width", "256", "--precision", precision)
    assert run("ltm-export", SHIPPED_CHECKPOINT, "-o", onnx, *size).code == 0
    built = run("ltm-build", onnx, "-o", engine, timeout_s=580)
    if "installed" in built.err or "builds for" in built.err:
        pytest.skip(built.err)
    assert built.code == 0, built.err
    inputs = example_patch((256, 256))
    with load_engine(onnx) as host, load_engine(engine, batch=2) as device:
        wanted = host.run(**inputs)
        for _ in range(4):
            assert np.abs(device.run(**inputs) - wanted).max() <= limit
    with pytest.raises(UsageError, match="must be between 1 and 8"):
        load_engine(engine, batch=9)


@pytest.mark.gpu
@pytest.mark.skipif(not gpu(), reason="no CUDA device here")
def test_the_device_path_equals_the_host_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no CUDA device")
    from litematting_deploy.images.mask import read_trimap
    from litematting_deploy.images.photo import read_image

    image, trimap = read_image(EXAMPLE), read_trimap(EXAMPLE_TRIMAP)
    with Matter.load(SHIPPED_CHECKPOINT, patch_hw=(256, 256)) as matter:
        wanted = matter(image, trimap, dtype=np.uint8)
    with Matter.load(SHIPPED_CHECKPOINT, device="cuda", patch_hw=(256, 256)) as matter:
        first = matter(image, trimap, dtype=np.uint8)
        assert np.abs(first.astype(int) - wanted).max() <= 1
        for alpha in matter.sequence([(image, trimap)] * 4, dtype=np.uint8):
            np.testing.assert_array_equal(alpha, first)
        on_device = matter(torch.from_numpy(image).cuda(), torch.from_numpy(trimap).cuda(), dtype=np.uint8)
        np.testing.assert_array_equal(torch.as_tensor(on_device, device="cuda").cpu().numpy(), first)
