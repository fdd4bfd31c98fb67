"""A folder or numbered pattern of photos and their trimaps to results of the same names."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotFiniteError, UsageError
from ..images.background import is_image
from ..images.mask import read_mask, read_trimap
from ..matting.trimap import decode
from ..runtime import Matter, open_matter
from ..runtime.shipped import SHIPPED_ENGINE
from ..sidecar import weights_sha256
from ..specs import JobSpec
from .folder_files import FolderFiles, LoadedFrame
from .frames import Frame, Sources, find_frames, find_sources, parse_numbers, say_numbers, shard
from .known import check_some_sure, check_some_unknown, spread
from .progress import ProgressMeter, Report
from .remarks import Remarks, notes
from .run import Steps, run, unfinished
from .settings import keep_settings
from .trimaps import describe_masks, meaning_of


@dataclass(frozen=True)
class JobResult:
    """What became of a job of many frames.

    total: frames of the job. tried: those of them that were not done before. seconds: of the whole job. engine: in
    words; empty where nothing was left to do. failures: why frames failed, by their names. missing: numbers that were
    asked for and are not there. remarks: what there is to say of frames, by their names. passed_over: files of the
    folders that are no pictures. unmatched: trimaps and masks without a photo. left_over: how many of both, in words.
    notes: what else people should know, in lines. files: of a clip, the clips that were written, with the names of
    their codecs.
    """

    total: int
    tried: int
    seconds: float
    engine: str
    failures: dict[str, str] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    remarks: dict[str, Remarks] = field(default_factory=dict)
    passed_over: tuple[Path, ...] = ()
    unmatched: tuple[Path, ...] = ()
    left_over: str = ""
    notes: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many frames this job has made."""
        return self.tried - len(self.failures)


def matte_folder(job: JobSpec, report: Report | None = None) -> JobResult:
    """Matte the photos of a folder or pattern; a frame that fails is reported, and the others go on.

    report: is called with how far the job is. Raises `UsageError`, `InputError`, `OutputError`, and what opening an
    engine raises.
    """
    started = time.perf_counter()
    meter = ProgressMeter(report)
    frames, missing, sources = chosen_frames(job)
    check_sequence(job)
    files = FolderFiles(job)
    files.check(frames)
    if job.resume:
        files.remove_old_drafts(frames)
    with open_matter(job.engine, job.plan) as matter:
        engine = matter.engine.describe()
        meter.note(f"engine: {engine}", detail=True)
        since_ns = keep_settings(Path(job.output.alpha), result_settings(matter, job), job.resume)
        todo = frames
        if job.resume:
            meter.begin("looking", len(frames))
            todo = unfinished(frames, lambda frame: files.is_done(frame, since_ns), meter.step)
        meter.begin("frames", len(todo))
        for done in run(todo, folder_steps(files, matter, meter)):
            meter.end(done.frame.name, done.failure)
    return JobResult(
        total=len(frames),
        tried=len(todo),
        seconds=time.perf_counter() - started,
        engine=engine,
        failures=meter.failures,
        missing=tuple(missing),
        remarks=files.remarks,
        passed_over=tuple(sources.passed_over),
        unmatched=tuple(sources.unmatched),
        left_over=sources.counts,
        notes=(*sources.notes, *notes(files.remarks)),
    )


def chosen_frames(job: JobSpec) -> tuple[list[Frame], list[int], Sources]:
    """Return the frames of a job, which of the wanted numbers are not there, both of the shard alone, and all that was
    found."""
    numbers = None if job.frames is None else parse_numbers(job.frames)
    sources = find_sources(job.images, job.source, numbers)
    frames = sources.frames
    missing = sorted(set(numbers or ()) - {frame.number for frame in frames})
    if job.shard is not None:
        frames, missing = shard(frames, job.shard), shard(missing, job.shard)
    return frames, missing, sources


def check_sequence(job: JobSpec) -> None:
    """Raise `InputError` where no trimap of many has unknown pixels, or no mask reaches the top of its range, before
    any frame is matted or handed out.

    All frames count, whatever `frames` and `shard` choose: each machine of a farm comes to the same answer.
    """
    spec, limit = job.trimap, job.max_megapixels
    if spec.allow_no_unknown:
        return
    files = [frame.trimap for frame in find_frames(job.images, job.source) if frame.trimap is not None]
    if spec.kind == "trimap":
        encoding = spec.trimap_encoding or "exact"
        trimaps = spread(files, lambda path: decode(read_trimap(path, limit), encoding, str(path)))
        check_some_unknown(trimaps, job.source)
    elif not meaning_of(spec):
        check_some_sure(spread(files, lambda path: read_mask(path, limit)), job.source)


def say_missing(images: str, numbers: Iterable[int]) -> str:
    """Return what to say of frames that are not there."""
    return f"{images}: there is no frame {say_numbers(numbers)}"


def result_settings(matter: Matter, job: JobSpec) -> dict[str, Any]:
    """Return what decides on the results: not the device, so that the machines of a farm may share a folder.

    Raises `UsageError` where a job is resumed with a server that does not say which weights it has.
    """
    output, path = job.output, job.engine.engine or str(SHIPPED_ENGINE)
    background = output.background
    if background is not None and is_image(background):
        background = os.path.abspath(background)
    weights = matter.engine.weights_sha256 or ("unknown" if job.engine.is_served else weights_sha256(path))
    if job.resume and weights == "unknown":
        raise UsageError(
            f"{path}: does not say which weights it has, so `resume` might mix two; leave it out, or serve a model "
            "repository that ltm-export wrote",
            parameter="resume",
        )
    height, width = matter.engine.patch_hw
    return {
        "engine": f"{height}x{width} {matter.engine.precision}, weights {weights[:12]}",
        "plan": matter.placement,
        "unknown": describe_masks(job.trimap),
        "format": output.format,
        "background": background,
        "trimap_encoding": job.trimap.trimap_encoding,
        "adaptive": job.trimap.adaptive,
        "depth": output.depth,
        "premultiplied": output.premultiplied,
        "exposure": job.exposure,
        "published": job.plan.published,
    }


def folder_steps(files: FolderFiles, matter: Matter, meter: ProgressMeter) -> Steps[LoadedFrame, NDArray[np.float32]]:
    """Return what happens to each frame of a folder."""

    def matte(loaded: Iterable[LoadedFrame]) -> Iterator[NDArray[np.float32] | NotFiniteError]:
        pairs = ((item.photo.network, item.trimap) for item in loaded)
        for alpha in matter.sequence(pairs, progress=meter.patches, go_on=True):
            if not isinstance(alpha, NotFiniteError):
                meter.step()
            yield alpha

    def save(_: Frame, loaded: LoadedFrame, alpha: NDArray[np.float32]) -> None:
        loaded.write(alpha)

    return Steps(files.load, matte, save)
