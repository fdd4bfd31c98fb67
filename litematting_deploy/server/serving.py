"""The service from its specs: what it opens, in which order, and that all of it is closed."""

import contextlib
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._optional import require
from ..errors import UsageError
from ..jobs.photo import Opened
from ..profiling import recording
from ..segmentation.model import Segmenter
from ..specs import EngineSpec, PlanSpec
from .listening import address_of, is_open, run
from .sharing import open_shared
from .spec import LOOPBACK, ServiceSpec

_NEEDS = ("starlette", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    listening: socket.socket,
    spec: ServiceSpec,
    engine: EngineSpec,
    plan: PlanSpec,
    *,
    ready: Callable[[str], object],
    told: Callable[[Any], object] = lambda _: None,
    segmenter: str | None = None,
) -> None:
    """Serve mattes until the process is told to end; what is being answered then is finished.

    listening: what `listen` returns. engine, plan: of all jobs. ready: is called with the address, once it answers.
    told: is called with a `metrics.Answered` for every request. segmenter: the path of an ONNX that makes masks where a
    request says nothing of its own.
    Raises `UsageError` where other machines would be served without a token, `DependencyError`, and what opening an
    engine and a segmenter raises.
    """
    if is_open(listening) and spec.token is None and not spec.allow_anyone:
        raise UsageError(
            f"`host={spec.host}` lets everybody who reaches this machine use the service; set `token`, say "
            f"`allow_anyone`, or leave it out to serve {LOOPBACK} alone",
            parameter="host",
        )
    for module in _NEEDS:
        require(module, "serve", "ltm-serve")
    from .service import Service

    with contextlib.ExitStack() as stack:
        record = stack.enter_context(recording())
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ltm-serve-"))
        # What opens sooner comes first, so that its mistakes are told soonest.
        network = None
        if segmenter is not None:
            network = stack.enter_context(Segmenter(segmenter, engine.device, engine.threads))
        matter = stack.enter_context(open_shared(engine, plan))
        service = Service(Opened(matter, network), spec, plan, Path(folder), record, told)
        stack.callback(service.close)
        ready(address_of(listening))
        run(service.app, listening, "serve", "ltm-serve")
