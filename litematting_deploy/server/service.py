"""The service as an application: requests in, mattes or one sentence out."""

import asyncio
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .. import __version__
from ..errors import ForegroundError, InputError, LiteMattingError, NotFiniteError, OutputError, UsageError, naming
from ..jobs.photo import Opened, PhotoResult, matte_photo
from ..jobs.progress import Report
from ..profiling import Record
from ..specs import RESULTS, JobSpec, PlanSpec
from .form import FILES, PHOTO, TEXTS, Form, Upload, own_options, sentence
from .gate import ServiceGate
from .metrics import Answered, Counted, Metrics
from .openapi import ENGINE, HEALTH, MATTE, METRICS, OPENAPI, PAGE, document, page
from .queue import ClientLeftError, JobQueue, QueueFullError
from .spec import ServiceSpec

UPLOAD_S = 300
"""Seconds in which a body must have come, or its place in the queue goes to others."""
_TEXT_BYTES = 10_000
_BODY_FILES = 2
"""Files of the largest size that a body has room for; all but photo and background are mostly far smaller."""
_STATUS = {UsageError: 400, InputError: 422, NotFiniteError: 422, OutputError: 507}
_TYPES = {".png": "image/png", ".tif": "image/tiff", ".exr": "image/x-exr", ".jpg": "image/jpeg"}


class Service:
    """The application with its queue, before the networks that all requests share."""

    def __init__(
        self,
        opened: Opened,
        spec: ServiceSpec,
        plan: PlanSpec,
        folder: Path,
        record: Record,
        told: Callable[[Answered], object],
    ) -> None:
        """folder: where uploads and results lie while a request is answered. record: times the stages of all jobs.
        told: is called with every request that was answered."""
        self._opened, self._spec, self._folder = opened, spec, folder
        self._own = own_options(plan, spec.max_megapixels)
        self._queue = JobQueue(spec.workers, spec.queue, lambda seconds: self._metrics.waited.observe(seconds))
        queue = self._queue
        self._metrics = Metrics(record, lambda: queue.taken - queue.running, lambda: queue.running)
        self._limit = _BODY_FILES * spec.limits.megabytes * 10**6 + 1_000_000
        self._document = document(spec.limits, self._limit, token=spec.token is not None, segmenter=self._segmenter)
        routes = {
            PAGE: lambda _: HTMLResponse(page(self._document)),
            OPENAPI: lambda _: JSONResponse(self._document),
            HEALTH: lambda _: JSONResponse({"status": "ok"}),
            METRICS: lambda _: Response(self._metrics.text(), media_type="text/plain; version=0.0.4"),
            ENGINE: lambda _: JSONResponse(self._engine()),
        }
        app = Starlette(
            routes=[*(Route(path, get) for path, get in routes.items()), Route(MATTE, self, methods=["POST"])],
            exception_handlers={HTTPException: _as_json},
        )
        gate = ServiceGate(app, (spec.host, *spec.names), self._limit, spec.token, free=HEALTH)
        self.app = Counted(gate, self._metrics, (*routes, MATTE), told)

    @property
    def _segmenter(self) -> str | None:
        """The path of the segmenter, where there is one."""
        return None if self._opened.segmenter is None else str(self._opened.segmenter.path)

    def _engine(self) -> dict[str, Any]:
        """Return what runs, and how much it accepts."""
        matter, segmenter, spec = self._opened.matter, self._opened.segmenter, self._spec
        engine = matter.engine
        return {
            "version": __version__,
            "engine": engine.describe(),
            "name": engine.name,
            "device": engine.device,
            "precision": engine.precision,
            "patch_hw": engine.patch_hw,
            "patches_per_call": engine.most or engine.batch or 1,
            "plan": matter.placement,
            "segmenter": None if segmenter is None else segmenter.describe(),
            "max_megapixels": spec.max_megapixels,
            "max_bytes": self._limit,
            "workers": spec.workers,
            "queue": spec.queue,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a matte. Its place in the queue and its files are given back whatever happens."""
        request = Request(scope, receive)
        try:
            with self._queue.place(), tempfile.TemporaryDirectory(dir=self._folder) as name:
                response = await self._matte(request, Path(name))
                await response(scope, receive, send)
        except QueueFullError as full:
            refused = JSONResponse({"error": str(full)}, 429, {"Retry-After": str(full.retry_after_s)})
            await refused(scope, receive, send)
        except (ClientLeftError, ClientDisconnect):
            pass  # nobody is there to be answered

    async def _matte(self, request: Request, folder: Path) -> Response:
        """Return the answer to a request, whose files lie in a folder of its own."""
        try:
            async with asyncio.timeout(UPLOAD_S):
                sent = await request.form(
                    max_files=len(FILES) + 1, max_fields=len(TEXTS) + 100, max_part_size=_TEXT_BYTES
                )
        except TimeoutError:
            raise HTTPException(408, f"the body has not come within {UPLOAD_S} s") from None
        except HTTPException as unread:
            raise HTTPException(
                unread.status_code,
                f"the form cannot be read ({unread.detail.rstrip('.')}); send multipart/form-data in which each file "
                f"has a name, and each text at most {_TEXT_BYTES} bytes",
            ) from None
        try:
            form = Form.of([(name, _part(part)) for name, part in sent.multi_items()])
            job = await asyncio.to_thread(self._prepared, form, folder)
            await self._queue.run(partial(self._run, job), _left(request.receive))
            return await asyncio.to_thread(_delivered, form, job, folder)
        except LiteMattingError as error:
            return _failed(error, folder)
        except MemoryError:
            return JSONResponse({"error": "out of memory; use smaller patches or a smaller image"}, 507)
        finally:
            await sent.close()

    def _prepared(self, form: Form, folder: Path) -> JobSpec:
        """Write the files of a form, and return its job. Raises `UsageError`."""
        (folder / "results").mkdir()
        return form.job(form.save(folder), folder / "results", self._own, self._segmenter)

    def _run(self, job: JobSpec, report: Report) -> PhotoResult:
        """Run a job, in a worker's thread."""
        with naming(lambda: job.paths):
            return matte_photo(job, report, self._opened)

    def close(self) -> None:
        """End the jobs that are still at work after their present patch."""
        self._queue.close()


def _part(part: UploadFile | str) -> Upload | str:
    """Return a part of a form as `Form` takes it."""
    return part if isinstance(part, str) else Upload(part.filename or "", part.file)


async def _left(receive: Receive) -> None:
    """Wait until the client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _delivered(form: Form, job: JobSpec, folder: Path) -> Response:
    """Return the file that was asked for, or a ZIP of several, which hold it as it is."""
    files = {name: Path(job.output.named[name]) for name in form.results}
    stem = Path(job.images).stem
    if len(files) == 1:
        ((name, path),) = files.items()
        return FileResponse(path, media_type=_TYPES[path.suffix], filename=f"{stem}_{name}{path.suffix}")
    with zipfile.ZipFile(folder / "results.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in files.values():
            archive.write(path, path.name)
    return FileResponse(folder / "results.zip", media_type="application/zip", filename=f"{stem}.zip")


def _failed(error: LiteMattingError, folder: Path) -> Response:
    """Return the answer to a request that has failed: the sentence of the command, and the field that is wrong."""
    text = sentence(error, folder)
    if isinstance(error, ForegroundError) and isinstance(error.__cause__, ForegroundError):
        text = f"{sentence(error.__cause__, folder)}; `result=alpha` needs no colours"
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500)
    field = PHOTO if error.parameter == "images" else error.parameter
    known = field in (*FILES, *TEXTS, *RESULTS, "result")
    return JSONResponse({"error": text, **({"field": field} if known else {})}, status)


def _as_json(_: Request, refused: Exception) -> Response:
    """Return the answer to what the framework refuses, as a path that is not there, in the form of all errors."""
    assert isinstance(refused, HTTPException)
    return JSONResponse({"error": refused.detail}, refused.status_code, refused.headers)
