"""TensorRT engines, those of TensorRT for RTX included, on memory of the device."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ...errors import ArtefactError, DeviceError
from ...files import keep_cached, read_cached, sha256
from ...sidecar import EngineSidecar, check_engine_sidecar, found_sidecar
from ...system import driver_version
from ..base import CHANNELS, check_batch, check_contract
from ..device import DeviceArtefact, DeviceEngine, Gpu, cache_path
from ..layer_times import LayerTime
from . import version as trt
from .layers import Layer, read_inspector


class TensorRTArtefact(DeviceArtefact):
    """An `.engine` file whose sidecar matches it and the TensorRT that is installed."""

    def __init__(self, path: Path, trust: bool = False) -> None:
        """trust: take a file without a sidecar, with whichever TensorRT is installed.

        The sidecar's hash tells damage and mix-ups, not an attacker: an engine is code, and who can change it can
        change the sidecar. Raises `ArtefactError` or `DependencyError`.
        """
        trusted = trust and not found_sidecar(path).exists()
        self.path = path
        self.sidecar: EngineSidecar | None = None if trusted else check_engine_sidecar(path)
        backend = trt.installed_backend() if self.sidecar is None else self.sidecar.backend
        self.tensorrt = trt.load(backend, "running an engine")
        if self.sidecar is not None and self.sidecar.backend_version != self.tensorrt.version:
            raise ArtefactError(
                f"{path}: built by {backend} {self.sidecar.backend_version}, but {self.tensorrt.version} is "
                f"installed; build it again: {self.sidecar.build_command()}"
            )

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        """Load the engine on `gpu`. Raises `ArtefactError` where it was built for others, or is damaged."""
        sidecar = self.sidecar
        if sidecar is not None and not sidecar.runs_on(gpu.capability):
            raise ArtefactError(
                f"{self.path}: built for compute capability {', '.join(sidecar.architectures)}, but {gpu.name} has "
                f"{gpu.capability[0]}.{gpu.capability[1]}; build it for this GPU: {sidecar.build_command()}"
            )
        return _TensorRTEngine(self, gpu, batch)


class _TensorRTEngine(DeviceEngine):
    """A deserialised engine with one execution context."""

    def __init__(self, artefact: TensorRTArtefact, gpu: Gpu, batch: int | None) -> None:
        self._path, self._tensorrt = artefact.path, artefact.tensorrt
        self._log = self._tensorrt.logger()
        # `engine_host_code_allowed` stays off, as it is by default: nothing in a plan runs on the host.
        self._runtime = self._tensorrt.module.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(self._path.read_bytes())
        if self._engine is None:
            raise ArtefactError(
                f"{self._path}: {self._tensorrt.backend} {self._tensorrt.version} cannot load it on {gpu.name}; "
                f"build it again with ltm-build ({self._log.summary()})"
            )
        self.patch_hw, (least, best, most) = _contract(self._path, self._engine)
        check_batch(batch, str(self._path), most, "choose a smaller one, or build it again for more")
        self.batch = best if batch is None else max(batch, least)
        self.least = least if least < self.batch else None  # what a run lacks to that is padded
        self.name, self.version = self._tensorrt.backend, self._tensorrt.version
        self.device = f"cuda:{gpu.index}"
        self.precision = artefact.sidecar.precision if artefact.sidecar else "unknown"
        scratch = "device_memory_size_v2" if hasattr(self._engine, "device_memory_size_v2") else "device_memory_size"
        self.device_bytes = getattr(self._engine, scratch) + self._path.stat().st_size  # TensorRT 10.0 has the latter
        self.capturable = not self._tensorrt.is_rtx  # TensorRT for RTX records its own graph
        # In this order, in which they are freed where nobody calls `close`: the context may run from the cache.
        self._context, self._cache = self._create_context(gpu)
        self._addresses: dict[str, int] = {}
        self._compiled: set[int] = set()  # numbers of patches whose kernels were kept
        self._shape(self.batch)

    def _create_context(self, gpu: Gpu) -> "tuple[Any, _RuntimeCache | None]":
        """Return the execution context for `batch` patches and the cache of TensorRT for RTX. Raises `DeviceError`."""
        engine, module = self._engine, self._tensorrt.module
        cache: _RuntimeCache | None = None
        if self._tensorrt.is_rtx:
            configuration = engine.create_runtime_config()
            configuration.cuda_graph_strategy = module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            # For each number of patches that comes, kernels are compiled once, rather than run in a slower form.
            eager = module.DynamicShapesKernelSpecializationStrategy.EAGER
            configuration.dynamic_shapes_kernel_specialization_strategy = eager
            cache = _RuntimeCache(self._path, gpu, configuration, self._log)
            context = engine.create_execution_context(configuration)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise DeviceError(
                f"{self._path}: no execution context could be created, most likely because device memory ran out: "
                f"it needs {self.device_bytes or 0:,} bytes ({self._log.summary()})"
            )
        return context, cache

    def _shape(self, count: int) -> None:
        """Have the runs from here on compute `count` patches. Raises `ArtefactError`."""
        for name in ("image", "trimap", "guide"):
            shape = (count, CHANNELS[name], *self.patch_hw)
            if not self._context.set_input_shape(name, shape):
                raise ArtefactError(f"{self._path}: rejects {name} with shape {shape} ({self._log.summary()})")
        self._count = count

    def enqueue(self, addresses: Mapping[str, int], stream: int, count: int | None = None) -> None:
        """Put one run on a stream; what a recorded graph needs unchanged is set only where it changes."""
        count = count or self.batch
        if count != self._count:
            self._shape(count)
        if dict(addresses) != self._addresses:
            for name, address in addresses.items():
                if not self._context.set_tensor_address(name, address):
                    raise DeviceError(f"{self._path}: {name} at {address:#x} was rejected ({self._log.summary()})")
            self._addresses = dict(addresses)
        if not self._context.execute_async_v3(stream):
            raise DeviceError(f"{self._path}: running {count} patches failed ({self._log.summary()})")
        if self._cache is not None and count not in self._compiled:
            self._compiled.add(count)
            self._cache.save()  # a process may end without `close`

    def layer_times(self, addresses: Mapping[str, int], stream: int, warmup: int, runs: int) -> tuple[LayerTime, ...]:
        """Return the time of each layer, of runs like those of `enqueue`.

        They have a context of their own, which records no graph: of a graph the profiler sees no layers. It makes each
        run wait for its end. Raises `DeviceError`.
        """
        module: Any = self._tensorrt.module
        spent: dict[str, list[float]] = {}

        class Profiler(module.IProfiler):  # type: ignore[misc]  # the module is known at run time only
            def report_layer_time(self, layer_name: str, ms: float) -> None:
                spent.setdefault(layer_name, []).append(ms)

        profiler, configured = Profiler(), []
        if self._tensorrt.is_rtx:
            configured = [self._engine.create_runtime_config()]
            configured[0].cuda_graph_strategy = module.CudaGraphStrategy.DISABLED
        context = self._engine.create_execution_context(*configured)
        if context is None:
            raise DeviceError(
                f"{self._path}: no second execution context for profiling could be created ({self._log.summary()})"
            )
        context.profiler = profiler
        for name, address in addresses.items():
            if name != "alpha":
                context.set_input_shape(name, (self.batch, CHANNELS[name], *self.patch_hw))
            context.set_tensor_address(name, address)
        for _ in range(warmup + runs):
            if not context.execute_async_v3(stream):
                raise DeviceError(f"{self._path}: a profiled run failed ({self._log.summary()})")
        said = self._engine.create_engine_inspector().get_engine_information(module.LayerInformationFormat.JSON)
        known = {layer.name: layer for layer in read_inspector(str(said))}
        layers = {name: known.get(name, Layer(name, "element-wise", "", "unknown", (), (), ())) for name in spent}
        return tuple(
            LayerTime(name, layers[name].kind, layers[name].stage, median(times[warmup:]))
            for name, times in spent.items()
        )

    def close(self) -> None:
        """Keep what was compiled, and drop context, engine and runtime."""
        if self._cache is not None:
            self._cache.save()
        self._context = None  # before its cache, from which it may run
        self._cache = self._engine = self._runtime = None
        self.closed = True


class _RuntimeCache:
    """What TensorRT for RTX compiles at first use, kept for the next start in the user's cache folder."""

    def __init__(self, engine: Path, gpu: Gpu, configuration: Any, log: Any) -> None:
        """Give the cache, with what is on disk, to a runtime configuration, and warn where TensorRT refuses that.

        TensorRT takes it only for the product and the driver that it was made with, so both are in its name.
        """
        self._path = cache_path("rtx", gpu, sha256(engine), driver_version()).with_suffix(".bin")
        self._kept = read_cached(self._path.name)  # nothing where it cannot be read: it is compiled again
        self._cache = configuration.create_runtime_cache()
        if self._kept and not (self._cache.deserialize(self._kept) and configuration.set_runtime_cache(self._cache)):
            warnings.warn(
                f"{self._path}: TensorRT for RTX rejects this cache and compiles the engine again ({log.summary()})",
                stacklevel=2,
            )
            self._kept, self._cache = b"", configuration.create_runtime_cache()
        if not self._kept and not configuration.set_runtime_cache(self._cache):
            raise DeviceError(f"{engine}: TensorRT for RTX does not accept a runtime cache ({log.summary()})")

    def save(self) -> None:
        """Keep what is new; a cache folder that cannot be written costs the next start its compilation."""
        content = bytes(self._cache.serialize())
        if content != self._kept:
            keep_cached(self._path.name, content)
            self._kept = content


def _contract(path: Path, engine: Any) -> tuple[tuple[int, int], tuple[int, int, int]]:
    """Return patch size, and least, best and most patches at a time, of an engine.

    Raises `ArtefactError` for one that does not keep the contract.
    """
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    tensors = {name: (tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name).name) for name in names}
    patch_hw = check_contract(path, tensors, "FLOAT")
    for name in names:
        mode, layout = engine.get_tensor_mode(name).name, engine.get_tensor_format(name).name
        if (mode, layout) != ("OUTPUT" if name == "alpha" else "INPUT", "LINEAR"):
            raise ArtefactError(f"{path}: {name} is an {mode} in {layout} layout; build it again with ltm-build")
    least, best, most = (int(next(iter(shape))) for shape in engine.get_tensor_profile_shape("image", 0))
    return patch_hw, (least, best, most)
