"""The jobs of a Python program: a photo, a folder, here or on a cluster, or a clip to files. Calls that return arrays
are in `arrays`.

A job is described by a `JobSpec`, or by plain arguments of the same names. Every call raises the errors of this package
alone, prints nothing and returns a frozen value.
"""

import os
from collections.abc import Mapping
from typing import Any, TypeAlias, Unpack

from .. import specs
from .._optional import require
from ..errors import UsageError, naming
from ..runtime.loading import EngineOptions
from ..specs import ClusterSpec, JobSpec, job_of
from . import folder, photo
from .photo import PhotoResult
from .progress import JobResult, Report

Name: TypeAlias = str | os.PathLike[str]
"""The path of a file or folder, or a pattern such as frame.%04d.exr."""


class _Options(EngineOptions, total=False):
    """What every job takes. The classes below say which fields of the specs apply to which job, and nothing else does;
    for a type checker the types are here once more, since Python cannot pick them out of another class."""

    engine: Name | None
    device: str
    plan: specs.Placement | None
    margin: int | None
    step: int | None
    refine: bool | None
    quality: specs.Quality | None
    trimap_encoding: specs.Encoding | None
    allow_no_unknown: bool
    unknown_width: str | float | None
    adaptive: bool
    mask_threshold: str | float | None
    mask_labels: tuple[int, ...]
    doubt: tuple[float, float] | None
    largest: int | None
    box: tuple[int, int, int, int] | None
    key: str | None
    key_tolerance: float | None
    key_softness: float | None
    plate: Name | None
    segmenter: Name | None
    sure_foreground: Name | None
    sure_background: Name | None
    cutout: Name | None
    foreground: Name | None
    background: Name | None
    background_fit: specs.Fit | None
    premultiplied: bool | None
    max_megapixels: float


class PhotoOptions(_Options, total=False):
    """What `matte_photo` takes by name: the fields of `EngineSpec`, `PlanSpec`, `TrimapSpec`, `OutputSpec` and
    `JobSpec` that apply to a photo, where they are explained."""

    published: bool
    depth: specs.Depth | None
    preview: Name | None
    exposure: float | None
    layer: str | None
    input_space: str | None


class FolderOptions(PhotoOptions, total=False):
    """What `matte_folder` takes by name: the options of a photo, and the fields that apply to many."""

    frames: str | None
    shard: str | None
    resume: bool
    format: specs.Format | None
    keyframes: bool
    steady: bool


class ClipOptions(_Options, total=False):
    """What `matte_clip` takes by name: the fields of the specs that apply to a clip."""

    codec: str | None
    sound: bool
    segment: int | None
    preview: Name | None
    resume: bool
    failed_frames: specs.OnFailure | None
    keyframes: bool
    first_number: int | None
    steady: bool


def matte_photo(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    progress: Report | None = None,
    **options: Unpack[PhotoOptions],
) -> PhotoResult:
    """Matte one photo and write its results, the alpha first.

    - `images`: the photo; or a `JobSpec` that describes everything.
    - `trimap`: its trimap.
    - `alpha`: the file that the matte is written to: PNG, TIFF or OpenEXR. Without it, but with the option `preview`,
      only that is written, and no engine is opened.
    - `mask`: a mask instead of a trimap; without either, the option `box`, `key`, `plate` or `segmenter` makes one.
    - `progress`: called with a `JobProgress` whenever the job advances, from any thread.
    - `options`: further results, engine, plan and so on; see `PhotoOptions`.

    Raises `UsageError`, `InputError`, `OutputError`, `ForegroundError` where the alpha is written and the colours are
    not, and what opening an engine raises.
    """
    job = _job("a photo", images, trimap, alpha, mask, options)
    with naming(lambda: job.paths):
        return photo.matte_photo(job, progress)


def matte_folder(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    progress: Report | None = None,
    **options: Unpack[FolderOptions],
) -> JobResult:
    """Matte the photos of a folder or of a numbered pattern; the result names those that failed, and why.

    - `images`: a folder, or a pattern such as frame.%04d.exr; or a `JobSpec` that describes everything.
    - `trimap`: the folder or pattern of their trimaps, which have the names or numbers of the photos; with `keyframes`,
      of some of them.
    - `alpha`: the folder that the mattes are written to; it may be left out as for a photo.
    - `mask`: a folder or pattern of masks instead of trimaps.
    - `progress`: called with a `JobProgress` whenever the job advances, from any thread.
    - `options`: further results, engine, plan and so on; see `FolderOptions`. Further results are folders, too.

    Raises `UsageError`, `InputError`, `OutputError`, and what opening an engine raises. Failed frames raise nothing;
    the result lists them.
    """
    job = _job("a folder", images, trimap, alpha, mask, options)
    with naming(lambda: job.paths):
        return folder.matte_folder(job, progress)


def matte_on_cluster(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    cluster: ClusterSpec = ClusterSpec(),
    progress: Report | None = None,
    **options: Unpack[FolderOptions],
) -> JobResult:
    """Matte the photos of a folder or pattern on the machines of a Ray cluster. Needs the extra `ray`.

    All machines need this package, and the same files under the same paths. A manifest next to the alphas records what
    came of each frame, and where.

    - `cluster`: which cluster, and what each of its engines holds.
    - everything else as for `matte_folder`, except `keyframes` and `steady`, which need the frames in order.

    Raises what `matte_folder` raises, and `DependencyError` without Ray, `DeviceError` where Ray fails.
    """
    # It knows the jobs of a folder, and nobody else needs it.
    from .cluster.pipeline import matte_on_cluster as matte

    job = _job("a folder", images, trimap, alpha, mask, options)
    with naming(lambda: job.paths):
        return matte(job, cluster, progress)


def matte_clip(
    images: JobSpec | Name,
    trimap: Name | None = None,
    alpha: Name | None = None,
    *,
    mask: Name | None = None,
    progress: Report | None = None,
    **options: Unpack[ClipOptions],
) -> JobResult:
    """Matte the frames of a clip and write clips of them with its times, sound and timecode. Needs the extra `video`.

    - `images`: the clip; or a `JobSpec` that describes everything.
    - `trimap`: a clip of as many trimaps, or a folder or pattern of one for each frame; with `keyframes`, a folder or
      pattern for some frames, whose numbers count from `first_number`.
    - `alpha`: the clip that the mattes are written to; its extension selects the codec. It may be left out as for a
      photo.
    - `mask`: a clip, folder or pattern of masks instead of trimaps.
    - `progress`: called with a `JobProgress` whenever the job advances, from any thread.
    - `options`: further results, engine, plan and so on; see `ClipOptions`. Further results are clips, too.

    Raises `UsageError`, `InputError`, `OutputError`, `DependencyError`, what opening an engine raises and, where
    `failed_frames` is not "known", the error of the first frame that fails; finished work is kept for `resume`.
    """
    job = _job("a clip", images, trimap, alpha, mask, options)
    require("av", "video", "reading and writing clips")
    # Its modules import PyAV, for which `require` has just given the better error.
    from .clip import matte_clip as matte

    with naming(lambda: job.paths):
        return matte(job, progress)


# The classes of options are the one place that says what applies to which job.
_NAMES = {
    what: frozenset(options.__annotations__)
    for what, options in (("a photo", PhotoOptions), ("a folder", FolderOptions), ("a clip", ClipOptions))
}


def _job(
    what: str,
    images: JobSpec | Name,
    trimap: Name | None,
    alpha: Name | None,
    mask: Name | None,
    options: Mapping[str, Any],
) -> JobSpec:
    """Return the job that the arguments of a call describe. Raises `UsageError` for what does not apply to `what`."""
    given = list(options)
    if isinstance(images, JobSpec):
        for name, value in {"trimap": trimap, "alpha": alpha, "mask": mask, **options}.items():
            if value is not None:
                raise UsageError(f"`{name}` is a field of the JobSpec that is given; set it there")
        # Its engine and trimap apply to every job.
        given = [name for spec in (images, images.output, images.plan) for name in spec.differing()]
    for name in given:
        if name not in _NAMES[what]:
            others = " and ".join(other for other, names in _NAMES.items() if name in names)
            but = f" (it applies to {others})" if others else ""
            raise UsageError(f"`{name}` does not apply to {what}{but}; leave it out")
    return images if isinstance(images, JobSpec) else job_of(images, alpha, options, trimap=trimap, mask=mask)
