"""ONNX Runtime: as an engine on the CPU, and through its CUDA and TensorRT providers on memory of a device."""

import ctypes
import importlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .._optional import install, require
from ..errors import ArtefactError, DependencyError, DeviceError, UsageError, first_line
from ..files import asset
from ..sidecar import Sidecar, check_sidecar
from ..system import core_count
from .base import CHANNELS, Batch, Described, Engine, check_contract, check_origin
from .device import DEFAULT_BATCH, DeviceArtefact, DeviceEngine, Gpu, cache_path, checked_batch
from .layer_times import LayerTime, read_onnxruntime
from .onnx_files import gathered

# ONNX Runtime's errors have nothing but Exception in common.
_ERROR_NAMES = (
    *("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf"),
    *("NoSuchFile", "NotImplemented", "RuntimeException"),
)
Providers: TypeAlias = list[tuple[str, dict[str, str]]]
"""Names and options of execution providers: the first runs a graph, the others single operators that it lacks."""

GROUP_NORM = asset("group_norm.onnx")
"""A function that computes a group norm in float32, by recipes/group_norm.py."""

# A node's operator as it lies in a file, and as many bytes that name the function, in a domain of its own.
_NODE, _FUNCTION = b"\x22\x12GroupNormalization", b"\x22\x09GroupNorm\x3a\x07centred"

_WEIGHTS_BESIDE = "session.model_external_initializers_file_folder_path"  # of a model that is given as bytes
HOST = ("CPUExecutionProvider", dict[str, str]())
# name of a device -> the execution provider that is meant
_PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


class InSession(Described):
    """What engines on the CPU and on a GPU share: a session of a file that keeps the contract.

    fixed_batch: the only number of patches that the file takes, None for any.
    """

    def __init__(self, ort: Any, path: Path, sidecar: Sidecar | None, session: Any) -> None:
        """session: of `open_session`. Raises `ArtefactError` where the file breaks its sidecar or the contract."""
        self._path, self.version, self._session = path, ort.__version__, session
        self._errors = errors(ort)
        self.patch_hw, self.fixed_batch = _contract(path, session)
        metadata = session.get_modelmeta().custom_metadata_map
        check_origin(path, sidecar, metadata, self.patch_hw, self.fixed_batch)
        self.precision = sidecar.precision if sidecar else "unknown"

    def close(self) -> None:
        """Drop the session."""
        self._session, self.closed = None, True


class OnnxRuntimeEngine(InSession, Engine):
    """An exported ONNX in ONNX Runtime on the CPU."""

    def __init__(self, path: Path, threads: int | None = None, profile: Path | None = None) -> None:
        """threads: all cores by default. profile: where `layer_times` may write.

        Raises `ArtefactError` when the file breaks its sidecar or the contract.
        """
        ort: Any = require("onnxruntime", "cpu", "running an ONNX")
        sidecar = check_sidecar(path)
        session = open_session(ort, path, [HOST], threads, sidecar=sidecar, profile=profile)
        super().__init__(ort, path, sidecar, session)
        self.name, self.device, self.batch = "onnxruntime-cpu", "cpu", self.fixed_batch

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        try:
            return np.asarray(self._session.run(["alpha"], {"image": image, "trimap": trimap, "guide": guide})[0])
        except self._errors as error:
            raise self.failure(len(image), error) from error

    def layer_times(self, inputs: Mapping[str, Batch], warmup: int, runs: int) -> tuple[LayerTime, ...]:
        """Return the time of each layer, once, of an engine opened with `profile`. Raises `DependencyError`."""
        onnx: Any = require("onnx", "export", "naming the stages of layers")
        for _ in range(warmup + runs):
            self.run(**inputs)
        nodes = onnx.load(self._path, load_external_data=False).graph.node
        stages = {name: node.name.partition("/")[0] for node in nodes if "/" in node.name for name in node.output}
        return read_onnxruntime(json.loads(Path(self._session.end_profiling()).read_bytes()), warmup, stages)


class OnnxRuntimeArtefact(DeviceArtefact):
    """An exported ONNX for ONNX Runtime on a GPU."""

    def __init__(self, path: Path, kind: str) -> None:
        """kind: `cuda` or `tensorrt`, the provider that runs it.

        Raises `ArtefactError` where the sidecar disagrees, `DeviceError` where the wheel lacks the provider.
        """
        self.path, self.kind = path, kind
        self.ort = provider_runtime(kind)
        self.sidecar = check_sidecar(path)

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        """Open a session on the stream of `gpu`. Raises `ArtefactError`, `DeviceError` or `UsageError`."""
        return _OnnxRuntimeDevice(self, gpu, batch)


class _OnnxRuntimeDevice(InSession, DeviceEngine):
    """One session, bound to device memory. It allocates beside us, and does not say how much."""

    capturable = False  # single operators may run on the CPU
    device_bytes = None

    def __init__(self, artefact: OnnxRuntimeArtefact, gpu: Gpu, batch: int | None) -> None:
        kind, shared = artefact.kind, {"device_id": str(gpu.index), "user_compute_stream": str(gpu.stream)}
        providers = [(_PROVIDERS["cuda"], {**shared, "use_tf32": "0"}), HOST]  # fp32 means what it says
        if kind == "tensorrt":
            providers.insert(0, (_PROVIDERS["tensorrt"], {**shared, **_kept_engines(artefact, gpu, batch)}))
        session = open_session(artefact.ort, artefact.path, providers, sidecar=artefact.sidecar, float64=kind != "cuda")
        super().__init__(artefact.ort, artefact.path, artefact.sidecar, session)
        self.name, self.device = f"onnxruntime-{kind}", f"{kind}:{gpu.index}"
        if kind == "tensorrt" and self.precision == "fp32":
            self.precision = "tf32"  # this provider has no option that turns it off
        self.batch = checked_batch(batch, self.fixed_batch, str(artefact.path))
        # For fewer patches than ever before, the TensorRT provider builds its engine again, in the middle of a photo.
        self.least = 1 if self.fixed_batch is None and kind == "cuda" else None
        self._gpu = gpu
        self._options = artefact.ort.RunOptions()
        self._options.add_run_config_entry("disable_synchronize_execution_providers", "1")  # the stream keeps the order

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        """Put one run on the stream that the session was opened for. Raises `UsageError` for another one."""
        count = count or self.batch
        if stream != self._gpu.stream:
            raise UsageError(f"{self.name}: opened for stream {self._gpu.stream}, but asked to run on {stream}")
        binding = self._session.io_binding()
        for name, address in addresses.items():
            bind = binding.bind_output if name == "alpha" else binding.bind_input
            bind(name, "cuda", self._gpu.index, np.float32, (count, CHANNELS[name], *self.patch_hw), address)
        try:
            self._session.run_with_iobinding(binding, self._options)
        except self._errors as error:
            raise self.failure(count, error) from error


def open_session(
    ort: Any,
    path: Path,
    providers: Providers,
    threads: int | None = None,
    *,
    sidecar: Sidecar | None = None,
    float64: bool = True,
    profile: Path | None = None,
    plugins: Sequence[Any] = (),
) -> Any:
    """Return a session of an ONNX, whatever network that is.

    threads: on the CPU, all cores that this process may use by default. float64: group norms may compute in it.
    profile: begins the file of its profiler, if any. plugins: devices of ONNX Runtime, by which the first of the
    providers comes that is no part of its wheel.
    sidecar: of the ONNX, where it has one; it vouches for weights that lie elsewhere, see `onnx_files.gathered`.

    Raises `ArtefactError` for a file that does not load, `DeviceError` where another than the first provider starts.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised as well; its log would print what a file says as it is
    options.enable_mem_pattern = False  # its plan nearly doubles the memory of a 640x640 patch and saves no time
    if threads is None and core_count() < (os.cpu_count() or 1):
        threads = core_count()  # by itself it binds a thread to every core, also to those that others were given
    if threads is not None:
        options.intra_op_num_threads = threads
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    if plugins:
        options.add_provider_for_devices(plugins, {})
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        with gathered(path, sidecar) as file:
            model: str | bytes = str(file)
            if not float64:
                model = without_float64(file.read_bytes())
                options.add_session_config_entry(_WEIGHTS_BESIDE, str(file.parent))
            session = ort.InferenceSession(model, options, None if plugins else providers, enable_fallback=0)
        # Damaged texts raise where they are read.
        sorted(tensor.name for tensor in (*session.get_inputs(), *session.get_outputs()))
        str(session.get_modelmeta().custom_metadata_map)
    except (*errors(ort), ValueError, RuntimeError) as error:
        no_text = isinstance(error, UnicodeDecodeError)
        reason = "it contains names that are not valid text" if no_text else first_line(error)
        raise ArtefactError(
            f"{path}: ONNX Runtime cannot load it: the file is damaged or not for this device; export it or "
            f"download it again ({reason})"
        ) from error
    started, wanted = session.get_providers()[0], providers[0][0]
    if started != wanted:
        raise DeviceError(
            f"{path}: {wanted} did not start, so ONNX Runtime fell back to {started}; check the driver and the CUDA "
            "libraries, or use `device=cpu`"
        )
    return session


def without_float64(model: bytes) -> bytes:
    """Return an ONNX whose group norms compute in float32, and are as exact on maps that are nearly flat.

    A GroupNormalization node has its sums in float64, because CPUs take the variance as the mean square less the
    square of the mean, in which float32 loses everything; ONNX Runtime does the same on GPUs, which are slow at it. So
    the nodes become calls of `GROUP_NORM`. Protobuf merges what lies one behind the other: that adds a function.
    """
    calling = model.replace(_NODE, _FUNCTION)
    return model if calling == model else calling + GROUP_NORM.read_bytes()


def errors(ort: Any) -> tuple[Any, ...]:
    """Return the types of ONNX Runtime's errors."""
    return tuple(getattr(ort.capi.onnxruntime_pybind11_state, name) for name in _ERROR_NAMES)


def provider_runtime(kind: str) -> Any:
    """Return the onnxruntime module if it has the execution provider for `kind`, `cuda` or `tensorrt`.

    Raises `DependencyError` or `DeviceError`.
    """
    ort: Any = require("onnxruntime", "gpu", "running an ONNX")
    provider = _PROVIDERS[kind]
    if provider not in ort.get_available_providers():
        raise DeviceError(
            f"`device={kind}`: the installed onnxruntime {ort.__version__} has no {provider}; replace it: "
            f"pip uninstall onnxruntime, then {install('gpu')}"
        )
    if hasattr(ort, "preload_dlls"):  # finds CUDA and cuDNN where their wheels are
        ort.preload_dlls()
    if kind == "tensorrt":
        load_tensorrt(ort)
    return ort


def load_tensorrt(ort: Any) -> int:
    """Load the TensorRT that this onnxruntime is linked against, from its wheel or else the system's.

    Returns its version as TensorRT writes it, 101401 for 10.14.1. Raises `DependencyError` naming what is missing.
    """
    (provider,) = Path(ort.__file__).parent.glob("capi/*onnxruntime_providers_tensorrt.*")  # lib....so, ....dll
    wanted = re.findall(
        rb"\0(lib(?:nvinfer|nvonnxparser)\.so\.\d+|(?:nvinfer|nvonnxparser)_\d+\.dll)(?=\0)", provider.read_bytes()
    )
    try:
        folder = Path(str(importlib.import_module("tensorrt_libs").__file__)).parent
    except ImportError:
        folder = Path("none")
    version = 0
    for name in sorted({found.decode() for found in wanted}):  # the parser needs the library before it
        try:
            library = ctypes.CDLL(str(folder / name) if (folder / name).exists() else name)
        except OSError as error:
            there = ", ".join(sorted(path.name for path in folder.glob("*nvinfer[._]*"))) or "no TensorRT"
            raise DependencyError(
                f"`device=tensorrt`: onnxruntime {ort.__version__} needs {name}, and {there} is installed: "
                f"{install('gpu-trt')} ({first_line(error)})"
            ) from None
        if hasattr(library, "getInferLibVersion"):
            version = library.getInferLibVersion()
    return version


def _kept_engines(artefact: OnnxRuntimeArtefact, gpu: Gpu, batch: int | None) -> dict[str, str]:
    """Return the options that keep built engines for the next process: building them takes minutes.

    Only for a model whose sidecar holds the hashes of all its weights, and unless the cache folder cannot be written.
    """
    if artefact.sidecar is None:
        return {}
    model = (artefact.sidecar.sha256, artefact.sidecar.checkpoint_sha256, batch or DEFAULT_BATCH)
    versions = (artefact.ort.__version__, load_tensorrt(artefact.ort))
    folder = cache_path("onnxruntime-tensorrt", gpu, model, versions)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return {}
    return {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}


def _contract(path: Path, session: Any) -> tuple[tuple[int, int], int | None]:
    """Return the patch size, and the batch where that is fixed."""
    tensors = {tensor.name: tensor for tensor in [*session.get_inputs(), *session.get_outputs()]}
    patch_hw = check_contract(path, {name: (item.shape, item.type) for name, item in tensors.items()}, "tensor(float)")
    batch = tensors["image"].shape[0]
    return patch_hw, batch if isinstance(batch, int) else None
