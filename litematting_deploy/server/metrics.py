"""What the service counts, in the text format of Prometheus."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..profiling import Record
from ..system import peak_memory_bytes

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_LEFT = 499
"""What is noted where the client left before it was answered, as proxies do."""


@dataclass(frozen=True)
class Answered:
    """A request that was answered. path: one of the service's own, or "other"."""

    method: str
    path: str
    status: int
    seconds: float


class _Stages(Collector):
    """The stages of all jobs, as `profiling` has timed them."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def collect(self) -> Iterator[Metric]:
        """Yield the seconds and the calls of each stage."""
        seconds = CounterMetricFamily("ltm_stage_seconds", "Seconds that jobs have spent in a stage.", labels=["stage"])
        calls = CounterMetricFamily("ltm_stage_calls", "How often a stage was entered.", labels=["stage"])
        for stage in list(self._record.stages.values()):
            seconds.add_metric([stage.name], stage.seconds)
            calls.add_metric([stage.name], stage.calls)
        yield from (seconds, calls)


class Metrics:
    """Counters of the service. queued, running: say how many jobs have no worker yet, and how many have one."""

    def __init__(self, record: Record, queued: Callable[[], float], running: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("ltm_requests", "Requests answered.", ["method", "path", "status"], registry=registry)
        self.seconds = Histogram(
            "ltm_matte_seconds", "Seconds from a request to its matte.", buckets=_SECONDS, registry=registry
        )
        self.waited = Histogram(
            "ltm_queue_seconds", "Seconds that jobs wait for a worker.", buckets=_SECONDS, registry=registry
        )
        for name, said, value in (
            ("ltm_queue_length", "Jobs that are uploaded or wait for a worker.", queued),
            ("ltm_jobs_running", "Jobs at work.", running),
            ("ltm_peak_memory_bytes", "Most memory that the process ever held.", lambda: peak_memory_bytes() or 0),
        ):
            Gauge(name, said, registry=registry).set_function(value)
        registry.register(_Stages(record))
        # What the process holds and has computed, where the system has /proc.
        ProcessCollector(registry=registry)

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self._registry)


class Counted:
    """An ASGI application around the service, gate and all, that counts what is answered."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, paths: tuple[str, ...], told: Callable[[Answered], object]
    ) -> None:
        """paths: those that are counted by their names. told: is called with every request that was answered."""
        self._app, self._metrics, self._paths, self._told = app, metrics, paths, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s, status = time.perf_counter(), _LEFT

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # Labels are few: what a client makes up would be kept for ever.
            path = scope["path"] if scope["path"] in self._paths else "other"
            method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
            seconds = time.perf_counter() - began_s
            self._metrics.requests.labels(method, path, str(status)).inc()
            if method == "POST" and status == 200:
                self._metrics.seconds.observe(seconds)
            self._told(Answered(method, path, status, seconds))
