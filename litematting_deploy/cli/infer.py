"""ltm-infer: a photo and its trimap to an alpha matte."""

import time
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..engines import Engine
from ..errors import InputError, UsageError
from ..matting.image_io import check_output, read_grey, read_image, write_image
from ..matting.patches import to_uint8
from ..matting.trimap import UNKNOWN, decode, from_mask
from ..runtime import Matter, load_engine
from ..runtime.loading import PUBLISHED_PATCH_HW
from ._command import command, max_megapixels_option, notice, patch_progress, stderr, stdout
from .trimap import unknown_option

PUBLISHED_STEP = 320


@command("ltm-infer")
@click.argument("image")
@click.argument("trimap", required=False)
@click.option("-o", "--output", required=True, metavar="OUT.png", help="The alpha, 8-bit PNG or TIFF.")
@click.option("--mask", metavar="MASK", help="A binary or soft mask instead of a trimap; see ltm-trimap.")
@unknown_option
@click.option(
    "--trimap-encoding",
    type=click.Choice(["exact", "between", "labels"]),
    default="exact",
    show_default=True,
    help="exact: 0, 128, 255. between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
)
@click.option("--cutout", metavar="FILE.png", help="Also write RGBA with estimated foreground colours.")
@click.option("--engine", metavar="ENGINE", help="An ONNX or checkpoint; the shipped weights by default.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda[:N] or tensorrt[:N].")
@click.option("--step", type=int, help="Pixels between patches; half a patch by default.")
@click.option("--batch", type=int, help="Patches per call of the engine; 1 by default.")
@click.option("--published", is_flag=True, help="The authors' crop-and-stitch to the grey level: 640, 320, truncation.")
@max_megapixels_option
def main(image: str, trimap: str | None, output: str, mask: str | None, unknown: int, **options: Any) -> None:
    """Estimate the alpha matte of IMAGE, whose TRIMAP is 0 background, 128 unknown, 255 foreground."""
    if (trimap is None) == (mask is None):
        raise click.UsageError("give either a TRIMAP or --mask MASK")
    guide_file = trimap or mask or ""
    cutout: str | None = options["cutout"]
    check_output(output, (image, guide_file))
    if cutout is not None:
        if cutout == output:
            raise UsageError(f"{cutout}: the alpha and the cut-out need two different files")
        check_output(cutout, (image, guide_file))
    started = time.perf_counter()
    limit: float = options["max_megapixels"]
    photo = read_image(image, limit)
    grey = read_grey(guide_file, limit, use_alpha=mask is not None)
    if photo.shape[:2] != grey.shape:
        raise InputError(
            f"{guide_file}: is {grey.shape[1]}x{grey.shape[0]}, {image} is {photo.shape[1]}x{photo.shape[0]}; "
            "they must be of one size: make the trimap from this very photo"
        )
    checked = decode(grey, options["trimap_encoding"], guide_file) if mask is None else from_mask(grey, unknown)
    if not (checked == UNKNOWN).any():
        notice(f"ltm-infer: {guide_file} has no unknown pixels: the alpha is the trimap")
    with load_engine(options["engine"], options["device"]) as engine:
        alpha = _matte(engine, photo, checked, options)
        summary = _summary(engine, checked, options)
    levels = to_uint8(alpha, truncate=options["published"])
    write_image(output, levels)
    if cutout is not None:
        _write_cutout(cutout, photo, alpha, levels)
    height, width = levels.shape
    written = output if cutout is None else f"{output} and {cutout}"
    stdout.print(
        f"{written}: {width}x{height} in {time.perf_counter() - started:.1f} s, {summary}", markup=False, soft_wrap=True
    )


def _matter(engine: Engine, options: dict[str, Any]) -> Matter:
    step = options["step"]
    if options["published"]:
        if engine.patch_hw != PUBLISHED_PATCH_HW:
            raise UsageError(
                f"--published wants patches of 640x640, this engine takes {engine.patch_hw[0]}x{engine.patch_hw[1]}; "
                "make one with: ltm-export MODEL --height 640 --width 640"
            )
        if step not in (None, PUBLISHED_STEP):
            raise UsageError(f"--published has a step of {PUBLISHED_STEP}, not {step}; leave --step out")
        step = PUBLISHED_STEP
    return Matter(engine, step=step, batch=options["batch"])


def _matte(
    engine: Engine, photo: NDArray[np.uint8], trimap: NDArray[np.uint8], options: dict[str, Any]
) -> NDArray[np.float32]:
    matter = _matter(engine, options)
    with patch_progress() as progress:
        task = progress.add_task("matting", total=None)
        return matter(photo, trimap, lambda done, total: progress.update(task, completed=done, total=total))


def _summary(engine: Engine, trimap: NDArray[np.uint8], options: dict[str, Any]) -> str:
    plan = _matter(engine, options).plan(trimap)
    return f"{len(plan.corners_yx)} patches ({plan.skipped} skipped), {engine.describe()}"


def _write_cutout(path: str, photo: NDArray[np.uint8], alpha: NDArray[np.float32], levels: NDArray[np.uint8]) -> None:
    with stderr.status("estimating foreground colours (the first time, PyMatting compiles itself for half a minute)"):
        from ..matting.foreground import estimate_foreground

        colours = estimate_foreground(photo, alpha)
    write_image(path, np.dstack([colours, levels]))
