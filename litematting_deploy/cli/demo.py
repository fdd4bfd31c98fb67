"""ltm-demo: a page to try it in a browser."""

import threading
import webbrowser
from typing import Any

import click

from ..demo import serve
from ..runtime import open_matter
from ..segmentation.model import Segmenter
from ..server import Limits, listen
from ..server.listening import is_open
from ..server.spec import LOOPBACK, MAX_MEGAPIXELS
from ..specs import EngineSpec, PlanSpec
from .command import command, notice, say
from .options import engine_options, plan_options, positive, trimap_option


@command("ltm-demo")
@click.option("--host", default=LOOPBACK, show_default=True, help="Another lets everybody who reaches it use the page.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: any that is free.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--max-megapixels",
    type=positive,
    default=MAX_MEGAPIXELS,
    show_default=True,
    help="Refuse larger images before decoding them, and files of more than 8 MB for each.",
)
@trimap_option(
    "--segmenter", metavar="FILE.onnx", help="Offer a segmentation network of your own on the page; see ltm-infer."
)
@engine_options
@plan_options
def main(host: str, port: int, no_browser: bool, max_megapixels: float, segmenter: str | None, **options: Any) -> None:
    """Open a page in the browser: load a photo, draw a box, paint or take a trimap, see and download what comes of it.

    It is served on this machine alone, fetches and sends nothing, and keeps nothing when it ends (Ctrl-C).
    """

    def ready(address: str) -> None:
        say(f"ltm-demo: {address} (Ctrl-C ends it)")
        if not no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with listen(host, port) as listening:
        if is_open(listening):
            notice(
                f"ltm-demo: WARNING: --host {host}: everybody who reaches this machine can use the page, without a "
                f"password and unencrypted; leave --host out to serve {LOOPBACK} alone"
            )
        engine, plan = EngineSpec.of(options), PlanSpec.of(options)

        def open_segmenter() -> Segmenter | None:
            return None if segmenter is None else Segmenter(segmenter, engine.device, engine.threads)

        limits = Limits(max_megapixels)
        serve(listening, host, lambda: open_matter(engine, plan), limits, ready, open_segmenter)
