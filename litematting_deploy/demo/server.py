"""The page over HTTP: on this machine only, from a folder that is deleted afterwards, without a request to others."""

import os
import socket
import tempfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from .._optional import require
from ..runtime import Matter
from ..segmentation.model import Segmenter
from ..server.listening import address_of, run
from ..server.spec import Limits
from .studio import Studio

_QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
_CSS = Path(str(files("litematting_deploy"))) / "assets" / "demo.css"


def serve(
    listening: socket.socket,
    host: str,
    open_matter: Callable[[], Matter],
    limits: Limits,
    ready: Callable[[str], None],
    open_segmenter: Callable[[], Segmenter | None] = lambda: None,
) -> None:
    """Serve the page until the process is told to end. ready: called with its address, once it answers.

    Changes the environment of this process, since Gradio reads it: whatever is set there for Gradio is dropped.
    Raises `DependencyError` and what `open_matter` and `open_segmenter` raise.
    """
    with tempfile.TemporaryDirectory(prefix="ltm-demo-") as name:
        folder = Path(name).resolve()
        # Somebody may have set one that opens the page to others, or a folder to it.
        for variable in [variable for variable in os.environ if variable.startswith("GRADIO_")]:
            del os.environ[variable]
        os.environ.update(_QUIET, GRADIO_TEMP_DIR=str(folder), GRADIO_EXAMPLES_CACHE=str(folder / "examples"))
        gradio, fastapi = (require(module, "demo", "ltm-demo") for module in ("gradio", "fastapi"))
        from .gate import PageGate
        from .page import THEME, Page

        studio = Studio(open_matter, folder, limits, open_segmenter)
        try:
            page = Page(studio, folder)
            app = gradio.mount_gradio_app(
                fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None),
                page.blocks,
                "/",
                max_file_size=f"{limits.megabytes}mb",
                show_error=False,
                ssr_mode=False,
                enable_monitoring=False,
                pwa=False,
                mcp_server=False,
                theme=THEME,
                css_paths=_CSS,
                footer_links=[],
            )
            page.blocks.has_launched = True  # only then does Gradio, too, look at the paths that a request names
            ready(address_of(listening))
            # Pages that are still open are cut off at the end.
            run(PageGate(app, folder, host, limits), listening, "demo", "ltm-demo", grace_s=1)
        finally:
            studio.close()
