"""ltm-batch: a folder of photos on the machines of a Ray cluster."""

from functools import partial
from typing import Any

import click

from ..jobs.cluster.pipeline import matte_on_cluster
from ..specs import ClusterSpec
from .command import command
from .infer import show_frames
from .options import (
    engine_options,
    folder_options,
    job_spec,
    max_megapixels_option,
    plan_options,
    result_options,
    spec_of,
    trimap_options,
)


@command("ltm-batch")
@click.argument("images")
@click.argument("trimaps", required=False)
@click.option("-o", "--output", required=True, metavar="OUT", help="The folder of the alphas.")
@trimap_options
@result_options
@engine_options
@plan_options
@folder_options
@click.option("--address", metavar="HOST:PORT", help="Of a Ray cluster.  [default: $RAY_ADDRESS, or this machine]")
@click.option("--actors", type=click.IntRange(min=1), help="Engines at work.  [default: as many as the cluster holds]")
@click.option(
    "--cpus-per-actor",
    "cpus",
    type=click.FloatRange(min=1),
    default=ClusterSpec.cpus,
    show_default=True,
    help="Cores an actor holds; so many threads an ONNX on the CPU has.",
)
@click.option(
    "--gpus-per-actor",
    "gpus",
    type=click.FloatRange(min=0),
    help="GPUs an actor holds; 0.5 lets two share one.  [default: 1 with --device cuda or an .engine, else 0]",
)
@click.option(
    "--frames-per-task",
    type=click.IntRange(min=1),
    default=ClusterSpec.frames_per_task,
    show_default=True,
    help="Frames handed to an actor at a time; those of one that dies are begun again.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=ClusterSpec.retries,
    show_default=True,
    help="Of a frame that fails.",
)
@max_megapixels_option
def main(images: str, trimaps: str | None, output: str, **options: Any) -> int:
    """Matte the folder or pattern IMAGES as ltm-infer does, on the machines of a Ray cluster.

    All machines need this package, and the same files under the same paths, as on a network drive. OUT/manifest.jsonl
    says what came of each frame and where; --resume goes on with what it leaves. A frame that fails is tried again,
    then told at the end; the exit code is 1 then.
    """
    job, cluster = job_spec(images, trimaps, output, options), spec_of(ClusterSpec, options)
    return show_frames("ltm-batch", job, partial(matte_on_cluster, job, cluster))


if __name__ == "__main__":
    main()
