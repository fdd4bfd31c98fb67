"""ltm-batch: a folder of photos on the machines of a Ray cluster."""

from functools import partial
from typing import Any

import click

from ..jobs.cluster.pipeline import matte_on_cluster
from ..specs import ClusterSpec, job_of
from .command import command
from .infer import show_frames
from .options import folder_options, job_options, max_megapixels_option, option

cluster_option = partial(option, ClusterSpec)


@command("ltm-batch")
@click.argument("images")
@click.argument("trimap", metavar="[TRIMAPS]", required=False)
@click.option("-o", "--output", required=True, metavar="OUT", help="The folder of the alphas.")
@job_options
@folder_options
@cluster_option("--address", metavar="HOST:PORT", help="Of a Ray cluster.  [default: $RAY_ADDRESS, or this machine]")
@cluster_option("--actors", help="Engines at work.  [default: as many as the cluster holds]")
@cluster_option("--cpus-per-actor", "cpus", help="Cores an actor holds; so many threads an ONNX on the CPU has.")
@cluster_option(
    "--gpus-per-actor",
    "gpus",
    help="GPUs an actor holds; 0.5 lets two share one.  [default: 1 where a GPU runs the engine, else 0]",
)
@cluster_option(
    "--frames-per-task", help="Frames handed to an actor at a time; those of one that dies are begun again."
)
@cluster_option("--retries", help="Of a frame that fails.")
@max_megapixels_option
def main(images: str, trimap: str | None, output: str, mask: str | None, **options: Any) -> int:
    """Matte the folder or pattern IMAGES as ltm-infer does, on the machines of a Ray cluster.

    All machines need this package, and the same files under the same paths, as on a network drive. OUT/manifest.jsonl
    says what came of each frame and where; --resume goes on with what it leaves. A frame that fails is tried again,
    then told at the end; the exit code is 1 then.
    """
    job, cluster = job_of(images, output, options, trimap=trimap, mask=mask), ClusterSpec.of(options)
    return show_frames("ltm-batch", job, partial(matte_on_cluster, job, cluster))
