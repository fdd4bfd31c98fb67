"""ltm-serve: mattes over HTTP."""

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..server.listening import is_open, listen
from ..server.serving import serve
from ..server.spec import ServiceSpec
from ..specs import EngineSpec, PlanSpec
from .command import command, notice, say
from .options import adding, engine_options, plan_options, trimap_option
from .spec_option import option

if TYPE_CHECKING:  # what counts needs the extra
    from ..server.metrics import Answered

SERVICE = "Service"
service_option = functools.partial(option, ServiceSpec, heading=SERVICE)


@command("ltm-serve")
@adding(
    service_option(
        "--host", metavar="ADDRESS", help="Address to listen on; any other than 127.0.0.1 requires a token."
    ),
    service_option("--port", metavar="PORT", help="Port to listen on; 0 selects a free one."),
    service_option(
        "--name",
        "names",
        multiple=True,
        metavar="NAME",
        help="Host name by which requests may address this server, such as that of a proxy; repeatable.",
    ),
    service_option(
        "--token",
        metavar="TOKEN",
        help="Token that every request must send, as Authorization: Bearer TOKEN. Use LTM_SERVE_TOKEN instead: other "
        "users of this machine can see the options of commands.",
    ),
    service_option("--allow-anyone", help="Serve other machines without a token."),
    service_option("--workers", help="Jobs that run at the same time; they share one engine."),
    service_option("--queue", help="Requests that may wait; further ones are answered with 429 and Retry-After."),
    service_option("--max-megapixels", metavar="MP", help="Refuse larger images without decoding them."),
    trimap_option(
        "--segmenter",
        metavar="FILE.onnx",
        heading=SERVICE,
        help="Segmentation network that makes the masks of photos that come alone; see ltm-infer.",
    ),
)
@engine_options
@plan_options
def main(segmenter: str | None, **options: Any) -> None:
    """Serve mattes over HTTP: POST /v1/matte takes a photo with a trimap, a mask, a box or a key colour.

    \b
    Examples:
      ltm-serve
      ltm-serve --port 8000 --workers 4 --engine model.onnx

    Only this machine can reach the service, unless --host says otherwise. It loads nothing from the internet and sends
    nothing. The page at / describes it, and /metrics is for Prometheus. On Ctrl-C or SIGTERM it finishes what it has
    accepted.
    """
    spec = ServiceSpec.of(options)
    with listen(spec.host, spec.port) as listening:
        if is_open(listening) and spec.allow_anyone and spec.token is None:
            notice(f"ltm-serve: WARNING: anyone who can reach {spec.host} can use this service", "warning")
        serve(
            listening,
            spec,
            EngineSpec.of(options),
            PlanSpec.of(options),
            ready=lambda address: say(f"ltm-serve: {address} (press Ctrl-C to stop)"),
            told=_tell,
            segmenter=segmenter,
        )


def _tell(done: "Answered") -> None:
    """Print a line about a request that was answered; the service goes on where nobody reads its log any more."""
    said = f"ltm-serve: {done.method} {done.path} {done.status} in {done.seconds:.3f} s"
    with contextlib.suppress(OutputError, BrokenPipeError):
        notice(said, method=done.method, path=done.path, status=done.status, seconds=round(done.seconds, 4))
