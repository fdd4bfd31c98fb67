"""ltm-serve: mattes over HTTP."""

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from ..errors import OutputError
from ..server import ServiceSpec, listen, serve
from ..server.listening import is_open
from ..specs import EngineSpec, PlanSpec
from .command import command, notice, say
from .options import adding, engine_options, option, plan_options, trimap_option

if TYPE_CHECKING:  # what counts needs the extra
    from ..server.metrics import Answered

service_option = functools.partial(option, ServiceSpec)


@command("ltm-serve")
@adding(
    service_option("--host", help="Any other address is refused without a token."),
    service_option("--port", help="0: any that is free."),
    service_option(
        "--name",
        "names",
        type=str,
        multiple=True,
        metavar="NAME",
        help="A name by which requests may call this server, as that of the proxy before it. May be repeated.",
    ),
    service_option(
        "--token",
        metavar="TOKEN",
        help="What every request must show, as Authorization: Bearer TOKEN. Set LTM_SERVE_TOKEN instead: other users "
        "of this machine see the options of commands.",
    ),
    service_option("--allow-anyone", help="Serve other machines without a token."),
    service_option(
        "--workers", help="Jobs that are read, matted and written at the same time; the engine is one for all."
    ),
    service_option("--queue", help="Requests that may wait for a worker; the next is answered 429 with Retry-After."),
    service_option("--max-megapixels", help="Refuse larger images before decoding them."),
    trimap_option(
        "--segmenter",
        metavar="FILE.onnx",
        help="Make the masks of photos that come alone by a segmentation network of your own; see ltm-infer.",
    ),
)
@engine_options
@plan_options
def main(segmenter: str | None, **options: Any) -> None:
    """Serve mattes over HTTP: POST /v1/matte takes a photo with a trimap, a mask, a box or a key colour.

    It is served on this machine alone, and fetches and sends nothing. / describes it, /metrics is for Prometheus. When
    it is told to end (Ctrl-C, SIGTERM) it finishes what it has accepted.
    """
    spec = ServiceSpec.of(options)
    with listen(spec.host, spec.port) as listening:
        if is_open(listening) and spec.allow_anyone and spec.token is None:
            notice(f"ltm-serve: WARNING: everybody who reaches {spec.host} can use this service", "warning")
        serve(
            listening,
            spec,
            EngineSpec.of(options),
            PlanSpec.of(options),
            ready=lambda address: say(f"ltm-serve: {address} (Ctrl-C ends it)"),
            told=_tell,
            segmenter=segmenter,
        )


def _tell(done: "Answered") -> None:
    """Print a line about a request that was answered; the service goes on where nobody reads its log any more."""
    said = f"ltm-serve: {done.method} {done.path} {done.status} in {done.seconds:.3f} s"
    with contextlib.suppress(OutputError, BrokenPipeError):
        notice(said, method=done.method, path=done.path, status=done.status, seconds=round(done.seconds, 4))


if __name__ == "__main__":
    main()
