"""An ONNX to a TensorRT engine, checked before, whole or not at all."""

import os
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ... import __version__
from ...errors import ArtefactError, DeviceError, UsageError, counted
from ...files import ENGINE_SUFFIX, ONNX_SUFFIX, check_writable, has_suffix, replace_file, replacing, sha256
from ...parameters import path_text
from ...sidecar import EngineSidecar, Sidecar, check_sidecar, sidecar_path, write_sidecar
from ...system import command_line
from . import layers
from . import version as trt
from .config import configure, keep_timing_cache, targets
from .layers_page import page
from .network import Network, parse
from .profile import BuildProfile
from .progress import Progress, interruptible, monitor
from .version import TensorRT

TURING = "7.5"
LARGE_MB = 200
"""An engine above this is warned about: it is far larger than any in engines/README.md."""
_TRTEXEC_LEVELS = {"ampere+": "ampere+", "same-capability": "sameComputeCapability"}
INPUT_CHANNELS = {"image": 3, "trimap": 3, "guide": 2}


@dataclass(frozen=True)
class Built:
    """What was written. seconds: of parsing and building. table: of its layers, where the profile asked for them."""

    path: Path
    sidecar: EngineSidecar
    seconds: float
    table: layers.LayerTable | None = None


def build_engine(
    onnx: str | Path,
    output: str | Path,
    profile: BuildProfile = BuildProfile(),
    progress: Progress | None = None,
) -> Built:
    """Build the engine of an exported ONNX and write it with its sidecar.

    The precision is that of the ONNX; fp32 means without TF32 unless the profile says `tf32`. Ctrl-C stops the build
    at its next step. Raises `ArtefactError` (its notes: what the parser minds, one line each), `DependencyError`,
    `DeviceError`, `OutputError` or `UsageError`, and leaves nothing under the final names.
    """
    source, target = Path(path_text("onnx", onnx)), Path(path_text("output", output))
    backend = profile.backend or trt.installed_backend()
    profile = replace(profile, backend=backend)
    _check_files(source, target, profile)
    tensorrt = trt.load(backend, "building an engine")
    architectures = targets(tensorrt, profile, trt.gpu_capability())
    sidecar = check_sidecar(source)
    if sidecar is None:
        warnings.warn(f"{source}: has no sidecar {sidecar_path(source).name}, so its origin is unknown", stacklevel=2)
    started = time.perf_counter()
    network, plan, config = _build(tensorrt, source, sidecar, profile, architectures, progress)
    seconds = time.perf_counter() - started
    for message in tensorrt.log.warnings:
        warnings.warn(f"{tensorrt.backend}: {message}", stacklevel=2)
    described = _describe(source, target, tensorrt, network, profile, architectures, sidecar)
    with replacing(target) as draft:
        draft.write_bytes(plan)
        described = replace(described, sha256=sha256(draft))
        write_sidecar(target, described)
    if profile.timing_cache is not None:
        keep_timing_cache(config, profile.timing_cache)
    table = None
    if profile.layers is not None:
        found = layers.read_log(tensorrt.log.layers) if tensorrt.is_rtx else layers.inspected(tensorrt, plan)
        command = _same_with_trtexec(source, target, described, network.batch)
        table = _table(found, network, profile, described, command)
        text = page(table) if profile.layers.suffix.lower() == ".html" else table.as_json()
        replace_file(profile.layers, text.encode())
    megabytes = target.stat().st_size / 1e6
    if megabytes > LARGE_MB:
        warnings.warn(
            f"{target}: {megabytes:.0f} MB is unusually large (above {LARGE_MB} MB) for {', '.join(architectures)}; "
            "build for other `architectures`, or for one at a time",
            stacklevel=2,
        )
    return Built(target, described, seconds, table)


def _check_files(source: Path, target: Path, profile: BuildProfile) -> None:
    if not has_suffix(source, ONNX_SUFFIX):
        raise UsageError(f"{source}: expected an .onnx to build from; export a checkpoint with ltm-export")
    if not os.path.isfile(source):  # also of a name that is longer than any
        raise ArtefactError(f"{source}: no such file; export one with ltm-export")
    if not has_suffix(target, ENGINE_SUFFIX):
        raise UsageError(f"{target}: the output of a build must end in .engine")
    if profile.layers is not None and profile.layers.suffix.lower() not in (".json", ".html"):
        raise UsageError(f"`layers` must end in .json or .html; got {profile.layers}", parameter="layers")
    written = [
        path for path in (target, sidecar_path(target), profile.timing_cache, profile.layers) if path is not None
    ]
    places = [os.path.realpath(path) for path in (source, sidecar_path(source), *written)]
    for path in written:
        if places.count(os.path.realpath(path)) > 1:
            raise UsageError(f"{path}: two files of this build would have this name; choose another for one of them")
        check_writable(path)


def _build(
    tensorrt: TensorRT,
    source: Path,
    sidecar: Sidecar | None,
    profile: BuildProfile,
    architectures: tuple[str, ...],
    progress: Progress | None,
) -> tuple[Network, Any, Any]:
    """The network, the serialised plan, and the configuration it was built with."""
    with interruptible() as interrupted:
        builder = tensorrt.builder()
        _check_int8(source, tensorrt, sidecar)
        network = parse(tensorrt, builder, source, sidecar)
        _check_precision(source, network, profile, sidecar)
        _warn_of_batch(source, network, profile, sidecar)
        if tensorrt.is_rtx and TURING in architectures:
            _check_turing(source, network, sidecar)
        config = configure(tensorrt, builder, network, profile, architectures)
        watch = config.progress_monitor = monitor(tensorrt.module, progress, interrupted)
        plan = builder.build_serialized_network(network.definition, config)
        del watch  # it had to live until here: TensorRT does not hold it
        if interrupted():
            raise KeyboardInterrupt
        if plan is None:
            raise DeviceError(
                f"{source}: {tensorrt.backend} {tensorrt.version} could not build an engine for "
                f"{', '.join(architectures)}: {tensorrt.log.summary()}; allow more `workspace_mib`, choose other "
                "targets, or export with other options"
            )
        if progress is not None:
            progress(1.0, "")
    return network, plan, config


def _check_precision(source: Path, network: Network, profile: BuildProfile, sidecar: Sidecar | None) -> None:
    if profile.tf32 and network.precision != "fp32":
        again = replace(sidecar, precision="fp32", quantisation=None).export_command() if sidecar else "ltm-export"
        raise UsageError(
            f"`tf32` applies only to fp32, and {source} is {network.precision}; leave it out, or export the model "
            f"in fp32: {again}",
            parameter="tf32",
        )


def _warn_of_batch(source: Path, network: Network, profile: BuildProfile, sidecar: Sidecar | None) -> None:
    """Warn where a profile asks for other batches than the fixed one of an ONNX, which the engine keeps."""
    asked = {name: getattr(profile, name) for name in ("min_batch", "opt_batch", "max_batch")}
    if network.batch is not None and not {*asked.values()} <= {None, network.batch}:
        given = ", ".join(f"`{name}={value}`" for name, value in asked.items() if value is not None)
        again = "ltm-export"
        if sidecar is not None:
            # The form "gpu" has no stages to choose and pools by matrix products, which Turing lacks.
            drawable = not sidecar.float32 and sidecar.pooling != "conv"
            again = replace(sidecar, batch=None, norm="gpu" if drawable else sidecar.norm).export_command()
        warnings.warn(
            f"{source}: takes exactly {counted(network.batch, 'patch')} at a time, so {given} has no effect; for "
            f"other batches, export the model again with a dynamic batch: {again}",
            stacklevel=2,
        )


def _check_int8(source: Path, tensorrt: TensorRT, sidecar: Sidecar | None) -> None:
    """Raise `UsageError` for an ONNX in INT8 whose biases are, too, which TensorRT's parser refuses."""
    if sidecar is not None and sidecar.precision == "int8" and sidecar.norm != "gpu":
        again = replace(sidecar, norm="gpu").export_command()
        raise UsageError(
            f"{source}: is an INT8 export for CPUs, with int32 biases, which {tensorrt.backend} does not support; "
            f"export it for a GPU: {again}"
        )


def _check_turing(source: Path, network: Network, sidecar: Sidecar | None) -> None:
    """Raise `UsageError` for what TensorRT for RTX lacks on Turing, products of float32."""
    if network.float32_products:
        again = "ltm-export in fp16 with `pooling=conv`"
        if sidecar is not None:
            other = replace(sidecar, precision="fp16", pooling="conv", norm="group", quantisation=None)
            again = other.export_command()
        raise UsageError(
            f"`architectures={TURING}`: tensorrt-rtx does not support float32 matrix products there, and {source} "
            f"has {len(network.float32_products)} (the first is {network.float32_products[0]}); export without "
            f"them: {again}",
            parameter="architectures",
        )


def _table(
    found: tuple[layers.Layer, ...], network: Network, profile: BuildProfile, sidecar: EngineSidecar, command: str
) -> layers.LayerTable:
    """Return the table of an engine's layers, with an estimate where the profile has a GPU's figures."""
    (height, width), batch = sidecar.patch_hw, network.batch or 1
    sums = layers.totals(found, network.norms, height * width * batch)
    rate = profile.fp16_tflops if network.precision in ("fp16", "int8") else profile.fp32_tflops
    if network.precision == "int8" and rate is not None:
        rate *= 2  # of products in INT8 on all these GPUs, and a bound for the others
    guess = None
    if profile.bandwidth_gb_s is not None and rate is not None:
        name = profile.gpu or "the profile's GPU"
        guess = layers.estimate(name, profile.bandwidth_gb_s, rate, sums.bytes, network.operations * batch)
    return layers.LayerTable(
        engine=sidecar.file,
        backend=f"{sidecar.backend} {sidecar.backend_version}",
        architecture=", ".join(sidecar.architectures),
        patch_hw=sidecar.patch_hw,
        batch=batch,
        operations=network.operations * batch,
        command=command,
        totals=sums,
        estimate=guess,
        layers=found,
    )


def _same_with_trtexec(source: Path, target: Path, sidecar: EngineSidecar, fixed: int | None) -> str:
    """Return the command of NVIDIA's own tool that builds the same engine and saves its layers, to run from here."""
    rtx = sidecar.backend == "tensorrt-rtx"
    words = [
        "tensorrt_rtx" if rtx else "trtexec",
        f"--onnx={source}",
        f"--saveEngine={target.with_suffix('.trtexec.engine')}",
    ]
    if rtx:
        words.append(f"--computeCapabilities={','.join(sidecar.architectures).replace('.', '')}")
    else:
        words.append("--stronglyTyped")
    if sidecar.precision != "tf32":
        words.append("--noTF32")
    if sidecar.hardware_compatibility != "none":
        words.append(f"--hardwareCompatibilityLevel={_TRTEXEC_LEVELS[sidecar.hardware_compatibility]}")
    if sidecar.refittable:
        words.append("--refit")
    if sidecar.workspace_mib is not None:
        words.append(f"--memPoolSize=workspace:{sidecar.workspace_mib}")
    if sidecar.optimization_level is not None:
        words.append(f"--builderOptimizationLevel={sidecar.optimization_level}")
    if fixed is None:
        for option, count in zip(("minShapes", "optShapes", "maxShapes"), sidecar.batches, strict=True):
            size = "x".join(map(str, sidecar.patch_hw))
            shapes = (f"{name}:{count}x{channels}x{size}" for name, channels in INPUT_CHANNELS.items())
            words.append(f"--{option}={','.join(shapes)}")
    words += ["--profilingVerbosity=detailed", "--exportLayerInfo=layers.json", "--skipInference"]
    return command_line([*words, "--verbose"] if rtx else words)


def _describe(
    source: Path,
    target: Path,
    tensorrt: TensorRT,
    network: Network,
    profile: BuildProfile,
    architectures: tuple[str, ...],
    sidecar: Sidecar | None,
) -> EngineSidecar:
    return EngineSidecar(
        file=target.name,
        sha256="",
        source=source.name,
        source_sha256=sha256(source),
        backend=tensorrt.backend,
        backend_version=tensorrt.version,
        architectures=architectures,
        patch_hw=network.patch_hw,
        batches=profile.batches(network.batch),
        precision="tf32" if profile.tf32 else network.precision,
        hardware_compatibility=profile.hardware_compatibility,
        refittable=profile.refit,
        workspace_mib=profile.workspace_mib,
        optimization_level=profile.optimization_level,
        checkpoint=sidecar.checkpoint if sidecar else None,
        checkpoint_sha256=sidecar.checkpoint_sha256 if sidecar else None,
        versions={"litematting-deploy": __version__, tensorrt.backend: tensorrt.version},
    )
