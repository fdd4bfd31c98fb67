"""ltm-demo: a page to try it in a browser."""

import functools
import threading
import webbrowser
from typing import Any

from ..demo.server import serve
from ..runtime import open_matter
from ..segmentation.model import Segmenter
from ..server.listening import is_open, listen
from ..server.spec import LOOPBACK, Limits, ServiceSpec
from ..specs import EngineSpec, PlanSpec
from .command import command, notice, say
from .help import plain_option
from .options import engine_options, plan_options, trimap_option
from .spec_option import option

PAGE = "Page"
page_option = functools.partial(option, ServiceSpec, heading=PAGE)


@command("ltm-demo")
@page_option(
    "--host",
    metavar="ADDRESS",
    help=f"Address to listen on; any other than {LOOPBACK} exposes the page to the network.",
)
@page_option("--port", default=7860, metavar="PORT", help="Port to listen on; 0 selects a free one.")
@plain_option("--no-browser", is_flag=True, heading=PAGE, help="Do not open a browser.")
@page_option(
    "--max-megapixels",
    metavar="MP",
    help="Refuse larger images without decoding them, and files of more than 8 MB per megapixel.",
)
@trimap_option(
    "--segmenter",
    metavar="FILE.onnx",
    heading=PAGE,
    help="Offer this segmentation network on the page; see ltm-infer.",
)
@engine_options
@plan_options
def main(host: str, port: int, no_browser: bool, max_megapixels: float, segmenter: str | None, **options: Any) -> None:
    """Cut out photos on a page in the browser: mark the subject, look at the matte, download it.

    \b
    Examples:
      ltm-demo
      ltm-demo --port 8000 --no-browser --engine model.onnx

    On the page, load a photo and mark the subject: draw a box around it, paint the trimap, or load a mask or trimap.

    Only this machine can reach the page, unless --host says otherwise. The page loads nothing from the internet and
    sends nothing, and nothing is kept after it ends (Ctrl-C).
    """

    def ready(address: str) -> None:
        say(f"ltm-demo: {address} (press Ctrl-C to stop)")
        if not no_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with listen(host, port) as listening:
        if is_open(listening):
            notice(
                f"ltm-demo: WARNING: --host {host}: anyone who can reach this machine can use the page, without a "
                f"password or encryption; leave --host out to serve only {LOOPBACK}"
            )
        engine, plan = EngineSpec.of(options), PlanSpec.of(options)

        def open_segmenter() -> Segmenter | None:
            return None if segmenter is None else Segmenter(segmenter, engine.device, engine.threads)

        limits = Limits(max_megapixels)
        serve(listening, host, lambda: open_matter(engine, plan), limits, ready, open_segmenter)
