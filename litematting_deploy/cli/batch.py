"""ltm-batch: a folder of photos on the machines of a Ray cluster."""

from functools import partial
from typing import Any

import click

from ..jobs.cluster.pipeline import matte_on_cluster
from ..specs import ClusterSpec, job_of
from .command import command
from .infer import show_frames
from .options import folder_options, job_options
from .spec_option import option

cluster_option = partial(option, ClusterSpec, heading="Ray cluster")


@command("ltm-batch")
@click.argument("images")
@click.argument("trimap", metavar="[TRIMAPS]", required=False)
@job_options("Folder for the alphas.")
@folder_options
@cluster_option(
    "--address",
    metavar="HOST:PORT",
    help="Address of the Ray cluster.  [default: $RAY_ADDRESS, or a cluster of this machine alone]",
)
@cluster_option(
    "--actors", help="Actors to start; each runs one engine.  [default: as many as the cluster has room for]"
)
@cluster_option(
    "--cpus-per-actor", "cpus", metavar="N", help="CPU cores per actor, and threads of an ONNX file on the CPU."
)
@cluster_option(
    "--gpus-per-actor",
    "gpus",
    metavar="N",
    help="GPUs per actor; with 0.5, two actors share one.  [default: 1 if the engine runs on a GPU, else 0]",
)
@cluster_option("--frames-per-task", help="Frames to hand to an actor at a time; if the actor dies, they start over.")
@cluster_option("--retries", help="How often to retry a frame that fails.")
def main(images: str, trimap: str | None, alpha: str, mask: str | None, **options: Any) -> int:
    """Matte a folder of frames on the machines of a Ray cluster, with the results of ltm-infer.

    \b
    Examples:
      ltm-batch shot/frame.%04d.exr trimaps -o mattes --address head:6379
      ltm-batch photos --mask masks -o mattes --gpus-per-actor 0.5 --resume

    IMAGES, TRIMAPS and the options for them are as in ltm-infer: folders, or numbered patterns. Every machine needs
    this package, and the files under the same paths, as on a network drive.

    OUT/manifest.jsonl records the outcome of each frame and the machine it ran on; --resume continues with the frames
    that are not finished. Frames that still fail after --retries are reported at the end; the exit code is then 1.
    """
    job, cluster = job_of(images, alpha, options, trimap=trimap, mask=mask), ClusterSpec.of(options)
    return show_frames("ltm-batch", job, partial(matte_on_cluster, job, cluster))
