"""TensorRT engines, those of TensorRT for RTX included, on memory of the device."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ArtefactError, DeviceError
from ...files import cache_folder, keep_cached, read_cached, sha256
from ...sidecar import EngineSidecar, check_engine_sidecar, sidecar_path
from ..base import CHANNELS, check_batch, check_contract
from ..device import DeviceArtefact, DeviceEngine, Gpu
from . import version as trt


class TensorRTArtefact(DeviceArtefact):
    """An `.engine` file whose sidecar matches it and the TensorRT that is installed."""

    def __init__(self, path: Path, trust: bool = False) -> None:
        """trust: take a file without a sidecar, with whichever TensorRT is installed.

        The sidecar's hash tells damage and mix-ups, not an attacker: an engine is code, and who can change it can
        change the sidecar. Raises `ArtefactError` or `DependencyError`.
        """
        trusted = trust and not sidecar_path(path).exists()
        self.path = path
        self.sidecar: EngineSidecar | None = None if trusted else check_engine_sidecar(path)
        backend = trt.installed_backend() if self.sidecar is None else self.sidecar.backend
        self.tensorrt = trt.load(backend, "running an engine")
        if self.sidecar is not None and self.sidecar.backend_version != self.tensorrt.version:
            raise ArtefactError(
                f"{path}: built by {backend} {self.sidecar.backend_version}, installed is {self.tensorrt.version}; "
                f"build it again: {self.sidecar.build_command()}"
            )

    def open(self, gpu: Gpu, batch: int | None) -> DeviceEngine:
        """Load the engine on `gpu`. Raises `ArtefactError` where it was built for others, or is damaged."""
        sidecar = self.sidecar
        if sidecar is not None and not sidecar.runs_on(gpu.capability):
            raise ArtefactError(
                f"{self.path}: built for compute capability {', '.join(sidecar.architectures)}, {gpu.name} has "
                f"{gpu.capability[0]}.{gpu.capability[1]}; build it for that: {sidecar.build_command()}"
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
        check_batch(batch, str(self._path), most, "choose a smaller one or build it again for more")
        self.batch = best if batch is None else max(batch, least)  # what a run lacks is padded
        self.name, self.version = self._tensorrt.backend, self._tensorrt.version
        self.device = f"cuda:{gpu.index}"
        self.precision = artefact.sidecar.precision if artefact.sidecar else "unknown"
        self.device_bytes = self._engine.device_memory_size_v2 + self._path.stat().st_size
        self.capturable = not self._tensorrt.is_rtx  # TensorRT for RTX records its own graph
        self._cache: _RuntimeCache | None = None
        self._context = self._create_context(gpu)
        self._addresses: dict[str, int] = {}

    def _create_context(self, gpu: Gpu) -> Any:
        """Return the execution context for `batch` patches; TensorRT for RTX gets its cache. Raises `DeviceError`."""
        engine, module = self._engine, self._tensorrt.module
        if self._tensorrt.is_rtx:
            configuration = engine.create_runtime_config()
            configuration.cuda_graph_strategy = module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            # One batch size serves everything, so its kernels are compiled now rather than in the middle of a photo.
            eager = module.DynamicShapesKernelSpecializationStrategy.EAGER
            configuration.dynamic_shapes_kernel_specialization_strategy = eager
            self._cache = _RuntimeCache(self._path, gpu, configuration)
            context = engine.create_execution_context(configuration)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise DeviceError(
                f"{self._path}: no execution context, most likely for want of device memory: it takes "
                f"{self.device_bytes or 0:,} bytes ({self._log.summary()})"
            )
        for name in ("image", "trimap", "guide"):
            shape = (self.batch, CHANNELS[name], *self.patch_hw)
            if not context.set_input_shape(name, shape):
                raise ArtefactError(f"{self._path}: refuses {name} of {shape} ({self._log.summary()})")
        return context

    def enqueue(self, addresses: Mapping[str, int], stream: int) -> None:
        """Put one run on a stream; addresses are set only where they change, which a recorded graph needs."""
        if dict(addresses) != self._addresses:
            for name, address in addresses.items():
                if not self._context.set_tensor_address(name, address):
                    raise DeviceError(f"{self._path}: {name} at {address:#x} was refused ({self._log.summary()})")
            self._addresses = dict(addresses)
        if not self._context.execute_async_v3(stream):
            raise DeviceError(f"{self._path}: the run of {self.batch} patches failed ({self._log.summary()})")

    def close(self) -> None:
        """Keep what was compiled, and drop context, engine and runtime."""
        if self._cache is not None:
            self._cache.save()
        self._cache = self._context = self._engine = self._runtime = None
        self.closed = True


class _RuntimeCache:
    """What TensorRT for RTX compiles at first use, kept for the next start in the user's cache folder."""

    def __init__(self, engine: Path, gpu: Gpu, configuration: Any) -> None:
        """Give the cache, with what is on disk, to a runtime configuration. Raises `DeviceError`."""
        capability = "".join(map(str, gpu.capability))
        self._name = f"rtx-{sha256(engine)[:32]}-sm{capability}.bin"
        self._cache, self._loaded = configuration.create_runtime_cache(), read_cached(self._name)
        if self._loaded:
            self._cache.deserialize(self._loaded)
        if not configuration.set_runtime_cache(self._cache):
            raise DeviceError(
                f"{cache_folder() / self._name}: TensorRT for RTX refuses its runtime cache; delete the file"
            )

    def save(self) -> None:
        """Keep what is new for the next start."""
        content = bytes(self._cache.serialize())
        if content != self._loaded:
            keep_cached(self._name, content)


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
