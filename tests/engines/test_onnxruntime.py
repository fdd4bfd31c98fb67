"""What ONNX Runtime is given, and what it refuses."""

import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from litematting_deploy import load_engine
from litematting_deploy.engines import Gpu
from litematting_deploy.engines import onnxruntime as engines_onnxruntime
from litematting_deploy.engines.onnxruntime import GROUP_NORM, OnnxRuntimeArtefact, _kept_engines, load_tensorrt
from litematting_deploy.errors import ArtefactError, DependencyError, DeviceError, UsageError
from litematting_deploy.runtime.shipped import SHIPPED_ENGINE, TINY_ENGINE
from litematting_deploy.sidecar import check_sidecar, sidecar_path
from tests.conftest import ROOT, Inputs


def inputs(count: int, side: int = 64) -> Inputs:
    rng = np.random.default_rng(count)
    shapes = {"image": 3, "trimap": 3, "guide": 2}
    return {name: rng.random((count, channels, side, side), np.float32) for name, channels in shapes.items()}


def copy(path: Path, folder: Path, sidecar: bool = True) -> Path:
    shutil.copy(path, folder / "model.onnx")
    if sidecar:
        shutil.copy(sidecar_path(path), folder / "model.onnx.json")
    return folder / "model.onnx"


def edit_sidecar(path: Path, **changes: object) -> None:
    content = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps({**content, **changes}))


def test_says_what_runs_where(small_onnx: Path) -> None:
    with load_engine(small_onnx) as engine:
        assert (engine.patch_hw, engine.batch, engine.precision) == ((64, 64), None, "fp32")
        assert engine.describe() == f"onnxruntime-cpu {onnxruntime.__version__} on cpu, 64x64 fp32"
        assert engine.run(**inputs(3)).shape == (3, 1, 64, 64)
    assert load_engine(small_onnx, patch_hw=(64, 64)).patch_hw == (64, 64)
    with pytest.raises(
        UsageError,
        match=r"`patch_hw` must be 64x64, .* got 512x256; export the model for that patch size with ltm-export",
    ):
        load_engine(small_onnx, patch_hw=(512, 256))


def test_alpha_that_is_not_finite_is_refused(small_onnx: Path) -> None:
    with (
        load_engine(small_onnx) as engine,
        pytest.raises(ArtefactError, match="the alpha of this image contains NaN or infinity; use another engine"),
    ):
        engine.run(**{**inputs(1), "image": np.full((1, 3, 64, 64), np.nan, np.float32)})


def test_short_batch_of_a_fixed_batch_engine_is_padded(small_onnx: Path, tmp_path: Path) -> None:
    model = onnx.load(small_onnx)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, tmp_path / "fixed.onnx")
    with pytest.warns(UserWarning, match="no sidecar"):
        fixed = load_engine(tmp_path / "fixed.onnx")
    with fixed as engine, load_engine(small_onnx) as dynamic:
        assert engine.batch == 2
        for count in (1, 2):
            np.testing.assert_allclose(engine.run(**inputs(count)), dynamic.run(**inputs(count)), atol=1e-3)
        with pytest.raises(UsageError, match="takes 1 to 2 patches at a time, got 3"):
            engine.run(**inputs(3))


def test_nothing_is_told_to_the_makers_of_onnxruntime(tmp_path: Path) -> None:
    """It would write a device id and a queue of events as soon as it is imported, but not in a CI's environment."""
    plain = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    code = "from litematting_deploy import load_engine; load_engine()"
    subprocess.run([sys.executable, "-c", code], env=plain, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (inputs(1, 96), r"image is \(1, 3, 96, 96\) float32, but onnxruntime-cpu takes \(1, 3, 64, 64\) float32"),
        (inputs(1) | {"guide": inputs(2)["guide"]}, r"guide is \(2, 2, 64, 64\)"),
        (inputs(1) | {"trimap": inputs(1)["trimap"].astype(np.float64)}, "trimap is .* float64"),
        (inputs(0), "got 0"),
    ],
    ids=["size", "count", "type", "nothing"],
)
def test_wrong_arrays_are_named(small_onnx: Path, arrays: Any, words: str) -> None:
    with load_engine(small_onnx) as engine, pytest.raises(UsageError, match=words):
        engine.run(**arrays)


def test_without_sidecar_it_loads_with_a_warning(small_onnx: Path, tmp_path: Path) -> None:
    path = copy(small_onnx, tmp_path, sidecar=False)
    with pytest.warns(UserWarning, match=r"model\.onnx: has no sidecar model\.onnx\.json"):
        engine = load_engine(path)
    with engine:
        assert engine.precision == "unknown"
        assert engine.run(**inputs(1)).shape == (1, 1, 64, 64)


def test_edited_file_is_refused_before_it_is_opened(small_onnx: Path, tmp_path: Path) -> None:
    path = copy(small_onnx, tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"model\.onnx: its SHA-256 is .*edited.*ltm-export standin\.safetensors"):
        load_engine(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch_hw": [96, 64]}, r"patch_hw is \[64, 64\] in the file, but \[96, 64\] in its sidecar"),
        ({"batch": 4}, "batch is null in the file, but 4 in its sidecar; .* batch=4 precision=fp32"),
        ({"precision": "fp16"}, "precision is .fp32. in the file, but .fp16. in its sidecar"),
        (
            {"weights_beside": True, "checkpoint_sha256": "0"},
            r"standin\.safetensors: not found, but .*; export it again",
        ),
        ({"checkpoint": "../elsewhere"}, "checkpoint is not a plain file name"),
        ({"sha256": 7}, "sha256 must be a text; got 7"),
        ({"weights_beside": True, "checkpoint": ""}, "checkpoint is not a plain file name"),
        ({"opset": None}, "opset must be an integer; got None"),
        ({"file": "m; rm -rf x", "sha256": "0"}, "ltm-export .* 'output=m; rm -rf x' height=64"),
        ({"format": 99}, "format is 99, and this version reads 1"),
        ({"patch_hw": "wide"}, "patch_hw must be a list; got 'wide'"),
        ({"surprise": 1}, "unknown key 'surprise'; a sidecar of this tool has file"),
    ],
)
def test_sidecar_that_disagrees(small_onnx: Path, tmp_path: Path, changes: dict[str, object], words: str) -> None:
    path = copy(small_onnx, tmp_path)
    edit_sidecar(path, **changes)
    with pytest.raises(ArtefactError, match=words):
        load_engine(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 50_000])
def test_sidecar_that_is_no_sidecar(small_onnx: Path, tmp_path: Path, content: bytes) -> None:
    path = copy(small_onnx, tmp_path)
    sidecar_path(path).write_bytes(content)
    with pytest.raises(ArtefactError, match=r"model\.onnx\.json: not a sidecar"):
        load_engine(path)


@pytest.mark.parametrize("content", [b"", b"no onnx at all", b"\x08\x09" * 99])
def test_damaged_file_without_sidecar(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"model\.onnx: ONNX Runtime cannot load it"):
        load_engine(path)


def stranger(path: Path, names: dict[str, list[int | str]], element: int = TensorProto.FLOAT) -> Path:
    values = {name: helper.make_tensor_value_info(name, element, shape) for name, shape in names.items()}
    output = helper.make_tensor_value_info("alpha", element, ["n", 1, *next(iter(names.values()))[2:]])
    first = next(iter(names))
    nodes = [helper.make_node("ReduceMean", [first], ["alpha"], axes=[1], keepdims=1)]
    graph = helper.make_graph(nodes, "g", list(values.values()), [output])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


GOOD: dict[str, list[int | str]] = {"image": ["n", 3, 64, 64], "trimap": ["n", 3, 64, 64], "guide": ["n", 2, 64, 64]}


@pytest.mark.parametrize(
    ("names", "element", "words"),
    [
        ({"pixels": GOOD["image"]}, TensorProto.FLOAT, "expected inputs image, trimap, guide and output alpha"),
        (GOOD | {"trimap": ["n", 1, 64, 64]}, TensorProto.FLOAT, r"trimap is \['n', 1, 64, 64\]"),
        ({name: shape[:3] for name, shape in GOOD.items()}, TensorProto.FLOAT, r"expected \(N, 3, H, W\)"),
        (GOOD, TensorProto.DOUBLE, r"tensor\(double\), expected"),
        ({name: [*shape[:2], "h", "w"] for name, shape in GOOD.items()}, TensorProto.FLOAT, "expected fixed multiples"),
    ],
    ids=["names", "channels", "dimensions", "type", "any size"],
)
def test_other_networks_are_refused(
    tmp_path: Path, names: dict[str, list[int | str]], element: int, words: str
) -> None:
    with pytest.raises(ArtefactError, match=words):
        load_engine(stranger(tmp_path / "other.onnx", names, element))


def test_weights_beside_are_checked_too(tmp_path: Path) -> None:
    from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE

    for path in (SHIPPED_CHECKPOINT, SHIPPED_ENGINE, sidecar_path(SHIPPED_ENGINE)):
        shutil.copy(path, tmp_path)
    checkpoint = tmp_path / SHIPPED_CHECKPOINT.name
    content = bytearray(checkpoint.read_bytes())
    content[-1] ^= 1
    checkpoint.write_bytes(content)
    with pytest.raises(ArtefactError, match=r"litematting\.safetensors: its SHA-256"):
        load_engine(tmp_path / SHIPPED_ENGINE.name)
    checkpoint.unlink()
    with pytest.raises(ArtefactError, match=r"litematting\.safetensors: not found, but .*; export it again"):
        load_engine(tmp_path / SHIPPED_ENGINE.name)


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda:first"])
def test_other_devices_are_refused(small_onnx: Path, device: str) -> None:
    words = "must be cpu, cuda, cuda:N, tensorrt, tensorrt:N, openvino, .*, webgpu, coreml or auto for an ONNX"
    with pytest.raises(UsageError, match=words):
        load_engine(small_onnx, device)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this onnxruntime has CUDA"
)
def test_an_onnxruntime_without_cuda_names_the_extra(small_onnx: Path) -> None:
    with pytest.raises(DeviceError, match=r"has no CUDAExecutionProvider; .*\[gpu\]"):
        load_engine(small_onnx, "cuda")


class OnHost(onnxruntime.InferenceSession):  # type: ignore[misc]  # it has no types
    """A session that says it has CUDA, and computes on the host; what runs there is written to `written`."""

    written: Path

    def __init__(self, model: Any, options: Any, providers: Any, **others: Any) -> None:
        options.optimized_model_filepath = str(self.written)
        super().__init__(model, options, ["CPUExecutionProvider"], **others)
        self.model, self.asked = model, providers

    def get_providers(self) -> list[str]:
        return [self.asked[0][0]]


@pytest.fixture
def cuda_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Opens a file as `--device cuda` does, on the host; returns the session and the graph that it runs."""
    monkeypatch.setattr(engines_onnxruntime, "provider_runtime", lambda _: onnxruntime)
    monkeypatch.setattr(OnHost, "written", tmp_path / "runs.onnx", raising=False)
    monkeypatch.setattr(onnxruntime, "InferenceSession", OnHost)

    def opened(path: Path) -> tuple[Any, onnx.ModelProto]:
        engine: Any = OnnxRuntimeArtefact(path, "cuda").open(Gpu(0, "the host", (8, 9), 1), 1)
        return engine._session, onnx.load(OnHost.written)

    return opened


def elements(proto: onnx.ModelProto) -> set[int]:
    """The types of all values of a graph."""
    proto = onnx.shape_inference.infer_shapes(proto)
    casts = {each.i for node in proto.graph.node for each in node.attribute if each.name == "to"}
    return {
        *casts,
        *(tensor.data_type for tensor in proto.graph.initializer),
        *(value.type.tensor_type.elem_type for value in proto.graph.value_info),
    }


def normed(path: Path, half: bool) -> Path:
    """A graph with the tensors of the contract, whose alpha is one channel of a group norm of its inputs."""
    model = onnx.load(TINY_ENGINE)
    graph, kind = model.graph, TensorProto.FLOAT16 if half else TensorProto.FLOAT
    del graph.node[:], graph.initializer[:]
    rng = np.random.default_rng(0)
    for name in ("weight", "bias"):
        values = rng.random(8).astype(np.float16 if half else np.float32)
        graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    for number, name in enumerate(("first", "last")):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([number]), name))
    graph.node.extend(
        [
            helper.make_node("Concat", ["image", "trimap", "guide"], ["joined"], axis=1),
            helper.make_node("Cast", ["joined"], ["x"], to=kind),
            helper.make_node("GroupNormalization", ["x", "weight", "bias"], ["y"], num_groups=2, epsilon=1e-5,
                             stash_type=TensorProto.DOUBLE),
            helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT),
            helper.make_node("Slice", ["z", "first", "last", "last"], ["alpha"]),
        ]
    )  # fmt: skip
    model.opset_import[0].version, model.ir_version = 21, 10
    onnx.save(model, path)
    return path


@pytest.mark.filterwarnings("ignore:.*has no sidecar")
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "fp16"])
def test_norms_on_cuda_have_no_float64_and_their_exactness(tmp_path: Path, cuda_session: Any, half: bool) -> None:
    """On a map that is nearly flat, where float32 loses the variance as a difference of squares."""
    path = normed(tmp_path / "normed.onnx", half)
    flat = {name: (0.75 + array / 512).astype(np.float32) for name, array in inputs(2, 32).items()}
    session, runs = cuda_session(path)
    assert TensorProto.DOUBLE not in elements(runs)
    assert "GroupNormalization" not in {node.op_type for node in runs.graph.node}
    (found,) = session.run(["alpha"], flat)
    x = np.concatenate([flat[name] for name in ("image", "trimap", "guide")], 1)
    x = x.astype(np.float16 if half else np.float32).astype(np.float64)[:, :4]
    weight, bias = (
        onnx.numpy_helper.to_array(tensor).astype(np.float64) for tensor in onnx.load(path).graph.initializer[:2]
    )
    mean, variance = x.mean(axis=(1, 2, 3), keepdims=True), x.var(axis=(1, 2, 3), keepdims=True)
    wanted = ((x - mean) / np.sqrt(variance + 1e-5))[:, :1] * weight[0] + bias[0]
    np.testing.assert_allclose(found, wanted, atol=2e-3 if half else 1e-5)


def test_weights_beside_a_file_are_found_on_cuda_and_others_are_not(tmp_path: Path, cuda_session: Any) -> None:
    session, runs = cuda_session(SHIPPED_ENGINE)
    assert isinstance(session.model, bytes)
    assert TensorProto.DOUBLE not in elements(runs)
    model = onnx.load(TINY_ENGINE)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../weights.bin"), ("offset", "0"), ("length", "32")):
        tensor.external_data.add(key=key, value=value)
    (tmp_path / "weights.bin").write_bytes(bytes(32))
    (tmp_path / "inside").mkdir()
    onnx.save(model, tmp_path / "inside" / "model.onnx")
    with pytest.raises(ArtefactError, match="ONNX Runtime cannot load it"):
        cuda_session(tmp_path / "inside" / "model.onnx")


def test_an_export_on_cuda_is_as_exact_where_it_is_flat(small_onnx: Path, cuda_session: Any) -> None:
    from litematting_deploy.export.scenes import OF_EVERY_EXPORT, scene

    with load_engine(small_onnx) as engine:
        wanted = [engine.run(**scene(name, 64, 64).network_inputs()) for name in OF_EVERY_EXPORT]
    session, runs = cuda_session(small_onnx)
    assert TensorProto.DOUBLE not in elements(runs)
    for name, alpha in zip(OF_EVERY_EXPORT, wanted, strict=True):
        found = session.run(["alpha"], scene(name, 64, 64).network_inputs())[0]
        np.testing.assert_allclose(found, alpha, atol=1e-3)


def test_the_function_in_the_package_is_what_its_recipe_writes() -> None:
    made = runpy.run_path(str(ROOT / "recipes" / "group_norm.py"))["fragment"]()
    assert made == onnx.load(GROUP_NORM)


class Wheels:
    """onnxruntime-gpu and tensorrt_libs as files, whose libraries are loaded by name. loaded: in order."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, installed: str, library: str = "lib{}.so.{}"
    ) -> None:
        """library: what a system calls one, by its name and version."""
        parser, inferring = (library.format(name, "10") for name in ("nvonnxparser", "nvinfer"))
        ending = ".dll" if library.endswith(".dll") else ".so"
        provider = folder / "onnxruntime" / "capi" / f"libonnxruntime_providers_tensorrt{ending}"
        provider.parent.mkdir(parents=True)
        provider.write_bytes(f"ELF\0{parser}\0{inferring}\0libcudart.so.13\0libnvinfer.so.9 no\0".encode())
        self.ort: Any = SimpleNamespace(__file__=str(folder / "onnxruntime" / "__init__.py"), __version__="1.31.1")
        libraries = folder / "tensorrt_libs"
        libraries.mkdir()
        for name in ("nvinfer", "nvonnxparser"):
            (libraries / library.format(name, installed)).touch()
        tensorrt_libs = SimpleNamespace(__file__=str(libraries / "__init__.py"), __spec__=None)
        monkeypatch.setitem(sys.modules, "tensorrt_libs", tensorrt_libs)
        monkeypatch.setattr("ctypes.CDLL", self._load)
        self.loaded: list[Path] = []

    def _load(self, name: str) -> Any:
        if not Path(name).exists():
            raise OSError(f"{name}: cannot open shared object file")
        self.loaded.append(Path(name))
        return SimpleNamespace(getInferLibVersion=lambda: 101401) if "nvinfer" in name else SimpleNamespace()


def test_the_tensorrt_that_onnxruntime_wants_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = Wheels(tmp_path, monkeypatch, installed="10")
    assert load_tensorrt(wheels.ort) == 101401
    assert [path.name for path in wheels.loaded] == ["libnvinfer.so.10", "libnvonnxparser.so.10"]


def test_the_tensorrt_of_windows_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = Wheels(tmp_path, monkeypatch, installed="10", library="{}_{}.dll")
    assert load_tensorrt(wheels.ort) == 101401
    assert [path.name for path in wheels.loaded] == ["nvinfer_10.dll", "nvonnxparser_10.dll"]


def test_another_tensorrt_than_onnxruntime_wants_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels = Wheels(tmp_path, monkeypatch, installed="11")
    words = r"1\.31\.1 needs libnvinfer\.so\.10, and libnvinfer\.so\.11 is installed: .*\[gpu-trt\]"
    with pytest.raises(DependencyError, match=words):
        load_tensorrt(wheels.ort)
    monkeypatch.setitem(sys.modules, "tensorrt_libs", None)
    with pytest.raises(DependencyError, match=r"needs libnvinfer\.so\.10, and no TensorRT is installed"):
        load_tensorrt(wheels.ort)


def test_engines_that_onnxruntime_builds_are_kept_by_model_version_and_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    ort = Wheels(tmp_path, monkeypatch, installed="10").ort
    sidecar = check_sidecar(SHIPPED_ENGINE)
    artefact: Any = SimpleNamespace(sidecar=sidecar, ort=ort)
    ada = Gpu(0, "an RTX 4090", (8, 9), 1)
    options = _kept_engines(artefact, ada, 2)
    assert options["trt_engine_cache_enable"] == "1"
    folder = Path(options["trt_engine_cache_path"])
    assert folder.is_dir()
    assert folder.parent == tmp_path / "cache" / "litematting-deploy"
    assert options == _kept_engines(artefact, ada, 2)
    newer = SimpleNamespace(__file__=ort.__file__, __version__="1.31.2")
    by_newer: Any = SimpleNamespace(sidecar=sidecar, ort=newer)
    unknown: Any = SimpleNamespace(sidecar=None, ort=ort)
    others = [
        _kept_engines(artefact, Gpu(0, "an L4", (8, 9), 1), 2),
        _kept_engines(by_newer, ada, 2),
    ]
    assert len({folder, *(Path(other["trt_engine_cache_path"]) for other in others)}) == 3
    assert _kept_engines(unknown, ada, 2) == {}, "its weights are not known"


@pytest.mark.parametrize(("kind", "least"), [("cuda", 1), ("tensorrt", None)])
def test_tensorrt_in_onnxruntime_always_sees_a_full_batch(
    small_onnx: Path, cuda_session: Any, monkeypatch: pytest.MonkeyPatch, kind: str, least: int | None
) -> None:
    """For fewer patches it would build its engine again."""
    del cuda_session  # which puts the host in the place of a GPU
    monkeypatch.setattr(engines_onnxruntime, "_kept_engines", lambda *_: {})
    engine = OnnxRuntimeArtefact(small_onnx, kind).open(Gpu(0, "the host", (8, 9), 1), 4)
    assert (engine.batch, engine.least) == (4, least)


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_device_path_equals_the_cpu(small_onnx: Path, device: str) -> None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is not installed")
    with load_engine(small_onnx) as cpu, load_engine(small_onnx, device, batch=2) as engine:
        assert engine.name == f"onnxruntime-{device}"
        assert engine.precision == ("fp32" if device == "cuda" else "tf32")
        for _ in range(3):
            atol = 1e-3 if device == "cuda" else 5e-2
            np.testing.assert_allclose(engine.run(**inputs(2)), cpu.run(**inputs(2)), atol=atol)
        engine.close()  # and again at the end


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.plan", r"not an engine; give a checkpoint, an \.onnx .*, an \.engine .*on a GPU"),
        ("model.onnx", "no such engine file"),
        (f"{'a' * 300}.onnx", "no such engine file"),
    ],
    ids=["another ending", "missing", "a name that is too long"],
)
def test_what_is_no_engine_file_is_refused(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ArtefactError, match=words):
        load_engine(tmp_path / name)


def test_weights_outside_the_folder_are_not_read(tmp_path: Path) -> None:
    """Not by a path upwards, an absolute one, or a link; only what lies beside the file or below."""
    (tmp_path / "inside").mkdir()
    for folder in (tmp_path, tmp_path / "inside"):
        (folder / "weights.bin").write_bytes(bytes(32))
    (tmp_path / "inside" / "link.bin").symlink_to(tmp_path / "weights.bin")
    path = tmp_path / "inside" / "model.onnx"
    for place in ("../weights.bin", str(tmp_path / "weights.bin"), "link.bin", "weights.bin"):
        model = onnx.load(TINY_ENGINE)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", "32")):
            tensor.external_data.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())
        if place == "weights.bin":
            with pytest.warns(UserWarning, match="has no sidecar"):
                load_engine(path).close()
        else:
            with pytest.raises(ArtefactError, match="ONNX Runtime cannot load it"):
                load_engine(path)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(TINY_ENGINE.read_bytes().replace(b"guide", b"gu\xfdde"))
    with pytest.raises(ArtefactError, match="contains names that are not valid text"):
        load_engine(path)


def test_what_a_graph_is_called_is_not_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A node that fails while it runs: ONNX Runtime's own log would say its name as it is."""
    model = onnx.load(TINY_ENGINE)
    name = "3\x1b]0;title\x07\nltm-infer: all is well"
    shape = onnx.numpy_helper.from_array(np.array([-1, 7]), "shape")
    model.graph.initializer.append(shape)
    output = model.graph.node[-1].output[0]
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Reshape", ["before", "shape"], ["odd"], name=name))
    model.graph.node.append(onnx.helper.make_node("Reshape", ["odd", "back"], [output]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1, 1, 32, 32]), "back"))
    onnx.save(model, tmp_path / "odd.onnx")
    with (
        pytest.warns(UserWarning, match="no sidecar"),
        pytest.raises(DeviceError),
        load_engine(tmp_path / "odd.onnx") as engine,
    ):
        engine.run(**inputs(1, 32))
    assert capfd.readouterr() == ("", "")


BOUND = """
import os
from litematting_deploy import load_engine
from litematting_deploy.runtime.shipped import TINY_ENGINE

core = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, {core})
engine = load_engine(TINY_ENGINE, "cpu")
assert all(os.sched_getaffinity(int(task)) == {core} for task in os.listdir("/proc/self/task"))
"""


@pytest.mark.skipif(sys.platform != "linux" or os.cpu_count() == 1, reason="needs Linux and two cores")
def test_no_thread_leaves_the_cores_that_the_process_is_bound_to() -> None:
    """As farms bind tasks: ONNX Runtime by itself binds threads to all cores of the machine."""
    done = subprocess.run([sys.executable, "-c", BOUND], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
