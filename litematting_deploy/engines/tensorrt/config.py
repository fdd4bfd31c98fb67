"""TensorRT's builder configuration from a profile: flags, limits, batches, targets, timing cache."""

import warnings
from pathlib import Path
from typing import Any

from ...errors import DeviceError, OutputError, UsageError
from ...files import replace_file
from .network import Network
from .profile import BuildProfile
from .version import TensorRT

RTX_ARCHITECTURES = ("8.6", "8.9", "12.0")
"""RTX 30, 40 and 50."""

_COMPATIBILITY = {"ampere+": "AMPERE_PLUS", "same-capability": "SAME_COMPUTE_CAPABILITY"}


def targets(tensorrt: TensorRT, profile: BuildProfile, capability: tuple[int, int] | None) -> tuple[str, ...]:
    """The compute capabilities to build for; `capability` is that of the GPU here, if there is one.

    Raises `DeviceError` where the build needs a GPU, `UsageError` where this TensorRT cannot aim at one.
    """
    own = f"{capability[0]}.{capability[1]}" if capability else None
    if own is None and (profile.refit or not tensorrt.is_rtx):
        what, fix = "building", "build with `backend=tensorrt-rtx`"
        if tensorrt.is_rtx:
            what, fix = "building a refittable engine", "leave it out"
        raise DeviceError(
            f"{tensorrt.backend} {tensorrt.version}: {what} needs an NVIDIA GPU, its driver and "
            f"cuda-bindings, which were not found; {fix}, or build on a machine that has them"
        )
    if not tensorrt.is_rtx:
        return (str(own),)
    wanted = profile.architectures or ((own,) if own else RTX_ARCHITECTURES)
    if profile.layers is not None and len(wanted) > 1:
        raise UsageError(
            f"`layers` requires a single target; got `architectures={' '.join(wanted)}`; name one, such as "
            f"`architectures={wanted[-1]}`",
            parameter="layers",
        )
    known = _known(tensorrt)
    unknown = [text for text in wanted if text not in known]
    if unknown and wanted != (own,):
        raise UsageError(
            f"`architectures={' '.join(unknown)}`: {tensorrt.backend} {tensorrt.version} builds only for "
            f"{', '.join(known)}; for another GPU, use `backend=tensorrt` on a machine that has it",
            parameter="architectures",
        )
    return wanted


def _known(tensorrt: TensorRT) -> dict[str, Any]:
    """Compute capability to what TensorRT for RTX calls it."""
    members = tensorrt.module.ComputeCapability.__members__
    return {f"{name[2:-1]}.{name[-1]}": value for name, value in members.items() if name.startswith("SM")}


def configure(
    tensorrt: TensorRT, builder: Any, network: Network, profile: BuildProfile, architectures: tuple[str, ...]
) -> Any:
    """The `IBuilderConfig`. Raises `UsageError` where the profile contradicts the network."""
    module, config = tensorrt.module, builder.create_builder_config()
    if not profile.tf32:
        config.clear_flag(module.BuilderFlag.TF32)  # it is on by default
    if profile.refit:
        config.set_flag(module.BuilderFlag.REFIT)
    if profile.workspace_mib is not None:
        config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, profile.workspace_mib << 20)
    if profile.optimization_level is not None:
        config.builder_optimization_level = profile.optimization_level
    if profile.hardware_compatibility != "none":
        level = _COMPATIBILITY[profile.hardware_compatibility]
        if not hasattr(module.HardwareCompatibilityLevel, level):  # 10.3 lacks the one, 10.9 has both
            raise UsageError(
                f"`hardware_compatibility={profile.hardware_compatibility}`: {tensorrt.backend} {tensorrt.version} "
                "does not support it; leave it out, or build with a newer version",
                parameter="hardware_compatibility",
            )
        config.hardware_compatibility_level = getattr(module.HardwareCompatibilityLevel, level)
    if profile.layers is not None:
        config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    if profile.timing_cache is not None:
        attach_timing_cache(config, profile.timing_cache)
    batches = profile.batches(network.batch)
    if network.batch is None:
        shapes = builder.create_optimization_profile()
        for index in range(network.definition.num_inputs):
            tensor = network.definition.get_input(index)
            shapes.set_shape(tensor.name, *[(count, *tuple(tensor.shape)[1:]) for count in batches])
        if config.add_optimization_profile(shapes) < 0:
            raise UsageError(f"batches {batches}: rejected by {tensorrt.backend} ({tensorrt.log.summary()})")
    if tensorrt.is_rtx:
        _aim(tensorrt, config, architectures)
    return config


def _aim(tensorrt: TensorRT, config: Any, architectures: tuple[str, ...]) -> None:
    known, current = _known(tensorrt), tensorrt.module.ComputeCapability.CURRENT
    config.num_compute_capabilities = len(architectures)
    for index, text in enumerate(architectures):
        if not config.set_compute_capability(known.get(text, current), index):
            raise UsageError(
                f"`architectures={text}` is rejected by {tensorrt.backend} ({tensorrt.log.summary()})",
                parameter="architectures",
            )


def attach_timing_cache(config: Any, path: Path) -> None:
    """Give a configuration what an earlier build measured; one it cannot use begins anew."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise OutputError(f"{path}: the timing cache cannot be read: {error.strerror}; choose another") from error
    cache = config.create_timing_cache(content)
    if cache is None or not config.set_timing_cache(cache, False):
        warnings.warn(
            f"{path}: the timing cache belongs to another TensorRT version or GPU and is started over", stacklevel=2
        )
        config.set_timing_cache(config.create_timing_cache(b""), False)


def keep_timing_cache(config: Any, path: Path) -> None:
    """Write what this build measured, and what it found in the cache, for the next one."""
    replace_file(path, bytes(memoryview(config.get_timing_cache().serialize())))
