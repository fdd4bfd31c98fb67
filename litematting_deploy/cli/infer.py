"""ltm-infer: a photo and its trimap to an alpha matte."""

import time
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..matting.band import Band
from ..matting.image_io import read_mask, read_trimap
from ..matting.patches import Plan
from ..matting.photo import Photo, read_photo
from ..matting.trimap import UNKNOWN, decode, from_mask
from ..runtime import Matter
from ..sequence.frames import is_many
from ._band import band_options
from ._command import command, max_megapixels_option, notice, patch_progress, stdout
from ._engine import engine_options, open_chosen
from ._folder import folder_options, matte_folder, refuse_folder_options
from ._plan import matter_for, plan_options
from ._results import chosen_results, result_options


@command("ltm-infer")
@click.argument("image")
@click.argument("trimap", required=False)
@click.option("-o", "--output", required=True, metavar="OUT", help="The alpha: PNG, TIFF or EXR; of many, a folder.")
@click.option("--mask", metavar="MASK", help="A binary or soft mask instead of a trimap; see ltm-trimap.")
@band_options
@click.option(
    "--trimap-encoding",
    type=click.Choice(["exact", "between", "labels"]),
    help="exact: 0, 128, 255 (default). between: all but 0 and 255 is unknown. labels: 0, 1, 2.",
)
@result_options
@engine_options
@plan_options
@click.option("--verbose", is_flag=True, help="Also print the plan and, on a GPU, the memory it takes, before the run.")
@folder_options
@max_megapixels_option
def main(image: str, trimap: str | None, output: str, mask: str | None, **options: Any) -> int:
    """Estimate the alpha matte of IMAGE, whose TRIMAP is 0 background, 128 unknown, 255 foreground.

    IMAGE and TRIMAP may be folders or numbered patterns as frame.%04d.exr: then OUT is a folder, and so are --cutout
    and --foreground. A frame that fails is told and the others go on; the exit code is 1 then.
    """
    _check_options(trimap, mask, options)
    if is_many(image):
        if trimap is None:
            raise click.UsageError("--mask is for a single photo; make trimaps with ltm-trimap first")
        return matte_folder(image, trimap, output, options)
    refuse_folder_options(options)
    _matte_one(image, trimap, output, mask, options)
    return 0


def _matte_one(image: str, trimap: str | None, output: str, mask: str | None, options: dict[str, Any]) -> None:
    trimap_file = trimap or mask or ""
    inputs = (image, trimap_file, options["background"] or "")
    results = chosen_results(output, inputs, options)
    started = time.perf_counter()
    photo, checked = _read(image, trimap, mask, options)
    results.check_photo(photo)
    if not (checked == UNKNOWN).any():
        notice(f"ltm-infer: {trimap_file} has no unknown pixels: the alpha is the trimap")
    with (
        open_chosen(options) as engine,
        matter_for(engine, options) as matter,
    ):
        plan = matter.plan(checked)
        if options["verbose"]:
            _tell(matter, plan)
        with patch_progress() as progress:
            task = progress.add_task("matting", total=None)
            alpha = matter(
                photo.network, checked, lambda done, total: progress.update(task, completed=done, total=total)
            )
        summary = f"{plan}, {engine.describe()}"
    results.write(photo, alpha)
    height, width = alpha.shape
    seconds = time.perf_counter() - started
    stdout.print(
        f"{' and '.join(results.files)}: {width}x{height} in {seconds:.1f} s, {summary}", markup=False, soft_wrap=True
    )


def _tell(matter: Matter, plan: Plan) -> None:
    """What is about to run, and the memory of the device it takes."""
    (height, width), engine = plan.patch_hw, matter.engine
    notice(f"engine: {engine.describe()}")
    saved = (
        f"{plan.skipped} of {plan.grid_size} skipped" if plan.margin is None else f"a grid would run {plan.grid_size}"
    )
    notice(f"plan: {matter.placement}: {len(plan.corners_yx)} patches of {height}x{width}, {saved}")
    memory = matter.device_memory(plan)
    if memory is not None:
        notice(f"device memory: {memory}")


def _check_options(trimap: str | None, mask: str | None, options: dict[str, Any]) -> None:
    if (trimap is None) == (mask is None):
        raise click.UsageError("give either a TRIMAP or --mask MASK")
    if mask is None and options["unknown"] is not None:
        raise click.UsageError("--unknown is the band of a trimap made from --mask; leave it out with a TRIMAP")
    if mask is None and options["adaptive"]:
        raise click.UsageError("--adaptive is for a trimap made from --mask; leave it out with a TRIMAP")
    if mask is not None and options["trimap_encoding"] is not None:
        raise click.UsageError("--trimap-encoding is how to read a TRIMAP; leave it out with --mask")


def _read(image: str, trimap: str | None, mask: str | None, options: dict[str, Any]) -> tuple[Photo, NDArray[np.uint8]]:
    """The photo, and the trimap read or made."""
    limit: float = options["max_megapixels"]
    photo = read_photo(image, limit, options["exposure"])
    if trimap is not None:
        name, grey = trimap, read_trimap(trimap, limit)
    else:
        name, grey = str(mask), read_mask(str(mask), limit)
    grey = photo.fit(grey, name)
    if mask is None:
        return photo, decode(grey, options["trimap_encoding"] or "exact", name)
    return photo, from_mask(grey, options["unknown"] or Band(), name, photo.network, adaptive=options["adaptive"])
