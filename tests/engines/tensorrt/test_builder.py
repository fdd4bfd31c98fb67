"""Building with the real tensorrt_rtx on the real network."""

import dataclasses
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from litematting_deploy import build_engine
from litematting_deploy.engines.tensorrt import builder as build
from litematting_deploy.engines.tensorrt import version as trt
from litematting_deploy.engines.tensorrt.config import (
    attach_timing_cache,
    configure,
    keep_timing_cache,
    targets,
)
from litematting_deploy.engines.tensorrt.layers import inspected
from litematting_deploy.engines.tensorrt.network import Network, parse
from litematting_deploy.engines.tensorrt.profile import BuildProfile
from litematting_deploy.engines.tensorrt.progress import Meter
from litematting_deploy.errors import ArtefactError, DeviceError, UsageError
from litematting_deploy.export.graph import build_graph
from litematting_deploy.export.spec import ExportSpec
from litematting_deploy.files import sha256
from litematting_deploy.model import load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT, SHIPPED_ENGINE
from litematting_deploy.sidecar import check_engine_sidecar, check_sidecar, sidecar_path

ADA = BuildProfile(backend="tensorrt-rtx", architectures=("8.9",))


@pytest.fixture
def rtx() -> trt.TensorRT:
    return trt.load("tensorrt-rtx", "a test")


@pytest.fixture
def network(rtx: trt.TensorRT, small_onnx: Path) -> Network:
    return parse(rtx, rtx.builder(), small_onnx, check_sidecar(small_onnx))


def copy_of(artefact: Path, folder: Path) -> Path:
    """An artefact with its sidecar, to be damaged."""
    for path in (artefact, sidecar_path(artefact)):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / artefact.name


def tiny(path: Path, nodes: list[onnx.NodeProto], outputs: tuple[str, ...] = ("alpha",)) -> Path:
    """A graph with the inputs of the contract and any nodes."""
    inputs = {"image": 3, "trimap": 3, "guide": 2}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", inputs.get(name, 1), 64, 64])
        for name in (*inputs, *outputs)
    }
    graph = helper.make_graph(nodes, "g", [values[name] for name in inputs], [values[name] for name in outputs])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def test_full_precision_for_one_architecture(
    tmp_path: Path, small_onnx: Path, rtx: trt.TensorRT, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[float, str]] = []
    built = build_engine(small_onnx, tmp_path / "m.engine", ADA, lambda done, phase: seen.append((done, phase)))
    sidecar = check_engine_sidecar(built.path)
    assert sidecar == built.sidecar
    assert {path.name for path in tmp_path.iterdir()} == {"m.engine", "m.engine.json"}
    assert built.path.read_bytes()[:4] == b"vtrt", "a plain plan, as trtexec writes it"
    assert sidecar.sha256 == sha256(built.path)
    assert sidecar.source_sha256 == sha256(small_onnx)
    assert (sidecar.backend, sidecar.backend_version) == ("tensorrt-rtx", rtx.version)
    assert (sidecar.architectures, sidecar.patch_hw, sidecar.batches) == (("8.9",), (64, 64), (1, 1, 8))
    assert (sidecar.precision, sidecar.refittable, sidecar.hardware_compatibility) == ("fp32", False, "none")
    assert sidecar.checkpoint == "standin.safetensors"
    assert 10_000_000 < built.path.stat().st_size < 100_000_000
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < 0.1
    assert fractions[-1] == 1
    assert len({phase for _, phase in seen}) > 3
    if trt.gpu_capability() is None:
        with pytest.raises(DeviceError, match=r"layer information needs a GPU .*cudaError 35"):
            inspected(rtx, built.path.read_bytes())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.heavy
def test_half_precision_for_turing_too(tmp_path: Path, turing_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LARGE_MB", 1)
    profile = BuildProfile(backend="tensorrt-rtx", architectures=("75", "8.6", "89", "12.0"))
    large = r"m.engine: \d+ MB is unusually large \(above 1 MB\) for 7.5, 8.6, 8.9, 12.0; "
    with pytest.warns(UserWarning, match=large):
        built = build_engine(turing_onnx, tmp_path / "m.engine", profile)
    assert built.sidecar.architectures == ("7.5", "8.6", "8.9", "12.0")
    assert (built.sidecar.precision, built.sidecar.batches) == ("fp16", (2, 2, 2))
    assert built.sidecar.runs_on((7, 5))
    assert not built.sidecar.runs_on((9, 0))


@pytest.mark.slow
@pytest.mark.heavy
def test_half_precision_as_published(tmp_path: Path, exports: Callable[..., Path]) -> None:
    """640x640, batch 1 to 8, for RTX 20, 30, 40 and 50 in one engine."""
    model = exports("", "--precision", "fp16", "--pooling", "conv", "--tolerance", "1")
    profile = BuildProfile(backend="tensorrt-rtx", architectures=("7.5", "8.6", "8.9", "12.0"))
    built = build_engine(model, tmp_path / "m.engine", profile)
    assert (built.sidecar.patch_hw, built.sidecar.batches, built.sidecar.precision) == ((640, 640), (1, 1, 8), "fp16")
    assert built.path.stat().st_size < build.LARGE_MB * 1e6
    assert all(map(built.sidecar.runs_on, [(7, 5), (8, 6), (8, 9), (12, 0)]))


def test_turing_has_no_float32_products(tmp_path: Path, small_onnx: Path) -> None:
    profile = BuildProfile(backend="tensorrt-rtx", architectures=("8.9", "7.5"))
    with pytest.raises(UsageError) as failure:
        build_engine(small_onnx, tmp_path / "m.engine", profile)
    message = str(failure.value)
    assert "`architectures=7.5`: tensorrt-rtx does not support float32 matrix products" in message
    assert "ltm-export standin.safetensors" in message
    assert "precision=fp16 pooling=conv" in message
    assert list(tmp_path.iterdir()) == []


def test_network_is_what_was_exported(rtx: trt.TensorRT, network: Network) -> None:
    assert (network.patch_hw, network.batch, network.precision) == ((64, 64), None, "fp32")
    assert len(network.float32_products) == 24
    shipped = parse(rtx, rtx.builder(), SHIPPED_ENGINE, check_sidecar(SHIPPED_ENGINE))  # its weights lie beside it
    assert (shipped.patch_hw, shipped.batch, shipped.precision) == ((640, 640), None, "fp32")


def test_configuration(rtx: trt.TensorRT, network: Network) -> None:
    def made(architectures: tuple[str, ...] = ("8.9",), **options: Any) -> Any:
        profile = dataclasses.replace(BuildProfile(backend="tensorrt-rtx"), **options)
        return configure(rtx, rtx.builder(), network, profile, architectures)

    flags, plain = rtx.module.BuilderFlag, made()
    assert not plain.get_flag(flags.TF32)
    assert not plain.get_flag(flags.REFIT)
    assert plain.num_optimization_profiles == 1
    assert (plain.num_compute_capabilities, plain.get_compute_capability(0).name) == (1, "SM89")
    full = made(("8.6", "12.0"), tf32=True, refit=True, workspace_mib=64, optimization_level=2, layers=Path("l.json"))
    assert full.get_flag(flags.TF32)
    assert full.get_flag(flags.REFIT)
    assert full.get_memory_pool_limit(rtx.module.MemoryPoolType.WORKSPACE) == 64 << 20
    assert full.builder_optimization_level == 2
    assert full.profiling_verbosity == rtx.module.ProfilingVerbosity.DETAILED
    assert [full.get_compute_capability(index).name for index in range(2)] == ["SM86", "SM120"]


def test_a_compatibility_that_an_older_tensorrt_lacks_is_refused(rtx: trt.TensorRT) -> None:
    class Levels:
        AMPERE_PLUS = 1

    class Older:
        def __getattr__(self, name: str) -> Any:
            return Levels if name == "HardwareCompatibilityLevel" else getattr(rtx.module, name)

    older = dataclasses.replace(rtx, backend="tensorrt", version="10.3.0", module=Older())
    profile = BuildProfile(backend="tensorrt", hardware_compatibility="same-capability")
    with pytest.raises(UsageError, match=r"=same-capability`: tensorrt 10\.3\.0 does not support it"):
        configure(older, rtx.builder(), Network(None, (64, 64), 1, "fp32", (), 0, (), ()), profile, ("9.0",))


def test_targets(rtx: trt.TensorRT) -> None:
    profile, enterprise = BuildProfile(backend="tensorrt-rtx"), dataclasses.replace(rtx, backend="tensorrt")
    assert targets(rtx, profile, None) == ("8.6", "8.9", "12.0")
    assert targets(rtx, profile, (8, 9)) == ("8.9",)
    assert targets(rtx, profile, (9, 0)) == ("9.0",), "asked of TensorRT as the current GPU"
    assert targets(rtx, ADA, (12, 0)) == ("8.9",)
    assert targets(enterprise, BuildProfile(backend="tensorrt"), (9, 0)) == ("9.0",)
    with pytest.raises(UsageError, match=r"`architectures=9\.0`: .* builds only for 7\.5, 8\.0, 8\.6, 8\.9, 12\.0"):
        targets(rtx, BuildProfile(backend="tensorrt-rtx", architectures=("9.0", "8.9")), (9, 0))
    with pytest.raises(DeviceError, match=r"building needs an NVIDIA GPU.*`backend=tensorrt-rtx`"):
        targets(enterprise, profile, None)
    with pytest.raises(DeviceError, match=r"refittable.*needs an NVIDIA GPU.*leave it out"):
        targets(rtx, dataclasses.replace(profile, refit=True), None)


@pytest.mark.slow
@pytest.mark.heavy
def test_the_form_for_gpus_with_any_number_of_patches(tmp_path: Path) -> None:
    """TensorRT for RTX stopped with an internal error at two sums of other lengths that were added."""
    spec = ExportSpec(64, 64, precision="fp16", norm="gpu")
    onnx.save(build_graph(load_checkpoint(SHIPPED_CHECKPOINT), spec), tmp_path / "m.onnx")
    with pytest.warns(UserWarning, match="has no sidecar"):
        built = build_engine(tmp_path / "m.onnx", tmp_path / "m.engine", ADA)
    assert (built.sidecar.batches, built.sidecar.precision) == ((1, 1, 8), "fp16")


@pytest.mark.heavy
def test_tf32_is_for_full_precision(tmp_path: Path, turing_onnx: Path) -> None:
    with pytest.raises(UsageError, match=r"`tf32` applies only to fp32, and .* is fp16; .*precision=fp32"):
        build_engine(turing_onnx, tmp_path / "m.engine", dataclasses.replace(ADA, tf32=True))


def test_fixed_batch(tmp_path: Path, rtx: trt.TensorRT, small_onnx: Path) -> None:
    proto = onnx.load(small_onnx)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param == "batch":
                dimension.dim_value = 2
    path = tmp_path / "fixed.onnx"
    onnx.save(proto, path)
    builder = rtx.builder()
    network = parse(rtx, builder, path, None)
    assert network.batch == 2
    assert configure(rtx, builder, network, BuildProfile(), ("8.9",)).num_optimization_profiles == 0
    with (
        pytest.warns(UserWarning, match="has no sidecar"),
        pytest.warns(
            UserWarning, match=r"takes exactly 2 patches at a time, so `max_batch=8` has no effect; .* a dynamic batch"
        ),
    ):
        built = build_engine(path, tmp_path / "m.engine", dataclasses.replace(ADA, max_batch=8))
    assert built.sidecar.batches == (2, 2, 2)


def test_every_node_that_the_parser_minds_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["image"], ["a"], name="first"),
        helper.make_node("Frobnicate", ["guide"], ["alpha"], name="second", domain="acme"),
    ]
    path = tiny(tmp_path / "odd.onnx", nodes)
    with (
        pytest.warns(UserWarning, match="has no sidecar"),
        pytest.raises(ArtefactError, match=r"does not support 2 of its nodes \(Det, Frobnicate\); export") as failure,
    ):
        build_engine(path, tmp_path / "m.engine", ADA)
    first, second = failure.value.__notes__
    assert first.startswith("node 0 'first' (Det): UNSUPPORTED_NODE")
    assert second.startswith("node 1 'second' (Frobnicate): ")
    assert "Plugin not found" in second
    assert [path.name for path in tmp_path.iterdir()] == ["odd.onnx"]


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("matte", "has guide, image, matte, trimap, expected inputs image, trimap, guide and output alpha"),
        ("alpha", r"alpha is \[-1, 3, 64, 64\] FLOAT, expected \[-1, 1, 64, 64\] FLOAT"),
    ],
    ids=["names", "shape"],
)
def test_other_networks_are_refused(tmp_path: Path, rtx: trt.TensorRT, output: str, words: str) -> None:
    path = tiny(tmp_path / "other.onnx", [helper.make_node("Relu", ["image"], [output])], (output,))
    with pytest.raises(ArtefactError, match=words):
        parse(rtx, rtx.builder(), path, None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            lambda onnx: onnx.read_bytes()[:100_000],
            "the file is damaged, or its weights are not in the same folder.*Failed to parse",
        ),
        (lambda _: SHIPPED_ENGINE.read_bytes(), "its weights are not in the same folder.*Failed to import initializer"),
    ],
    ids=["cut short", "without its weights"],
)
def test_damaged_files_are_refused(
    tmp_path: Path, rtx: trt.TensorRT, small_onnx: Path, content: Callable[[Path], bytes], words: str
) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content(small_onnx))
    with pytest.raises(ArtefactError, match=words):
        parse(rtx, rtx.builder(), path, None)


def test_onnx_that_its_sidecar_does_not_know(tmp_path: Path, small_onnx: Path) -> None:
    path = copy_of(small_onnx, tmp_path)
    said = json.loads(sidecar_path(path).read_text())
    sidecar_path(path).write_text(json.dumps({**said, "precision": "fp16"}))
    with pytest.raises(ArtefactError, match="precision is fp32 in the file, but fp16 in its sidecar; export it again"):
        build_engine(path, tmp_path / "m.engine", ADA)
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ArtefactError, match=r"its SHA-256 is .* damaged, edited or mixed up; export it again"):
        build_engine(path, tmp_path / "m.engine", ADA)
    assert not list(tmp_path.glob("*.engine*"))


def test_failed_build_keeps_the_old_engine(tmp_path: Path, small_onnx: Path) -> None:
    old = tmp_path / "m.engine"
    old.write_bytes(b"old")
    with pytest.raises(DeviceError, match=r"could not build an engine for 8\.9: .*OutOfMemory.*`workspace_mib`"):
        build_engine(small_onnx, old, dataclasses.replace(ADA, workspace_mib=1))
    assert old.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [old]


def test_interrupt_stops_the_build_and_leaves_nothing(tmp_path: Path, small_onnx: Path) -> None:
    calls = 0

    def press(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build_engine(small_onnx, tmp_path / "m.engine", ADA, press)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert calls < 30, "the build went on"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*Timing cache:DeprecationWarning")
def test_timing_cache_is_kept(tmp_path: Path, rtx: trt.TensorRT) -> None:
    """With the calls as TensorRT for RTX still has them, where they do nothing else."""
    path, builder = tmp_path / "t.cache", rtx.builder()
    for _ in range(2):
        config = builder.create_builder_config()
        attach_timing_cache(config, path)
        keep_timing_cache(config, path)
        assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


def test_phases_within_phases_are_one_fraction() -> None:
    meter = Meter()
    meter.start("build", None, 4)
    meter.step("build", 0)
    assert meter.fraction == 0.25
    meter.start("tune", "build", 2)
    meter.step("tune", 0)
    assert meter.fraction == 0.375
    assert meter.innermost == "tune"
    meter.finish("tune")
    assert meter.fraction == 0.375, "it never falls"
    assert meter.innermost == "build"
    meter.step("build", 3)
    assert meter.fraction == 1
    meter.finish("build")
    assert (meter.fraction, meter.innermost) == (1, "")
