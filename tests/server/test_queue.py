"""How many requests are taken, and what becomes of those whose client leaves, in one process with a slow engine."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from litematting_deploy import Matter
from litematting_deploy.jobs.photo import Opened
from litematting_deploy.profiling import Record
from litematting_deploy.server.metrics import Answered
from litematting_deploy.server.service import Service
from litematting_deploy.server.sharing import SharedEngine
from litematting_deploy.server.spec import ServiceSpec
from litematting_deploy.specs import PlanSpec
from tests.server.conftest import MATTE, photo_of, save, trimap_of
from tests.server.standin import Slow

PATIENCE_S = 60


@contextlib.asynccontextmanager
async def serving(folder: Path, engine: Slow, **spec: Any) -> AsyncIterator[tuple[Service, list[Answered]]]:
    answered: list[Answered] = []
    matter = Matter(SharedEngine(engine, 1))
    work = folder / "work"
    work.mkdir()
    service = Service(Opened(matter), ServiceSpec(**spec), PlanSpec(), work, Record(), answered.append)
    yield service, answered
    engine.open.set()
    await asyncio.to_thread(service.close)
    assert list(work.iterdir()) == [], "nothing is left of any request"


def client(service: Service) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(service.app)
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=PATIENCE_S)


def form(folder: Path) -> dict[str, Any]:
    photo, trimap = save(folder / "photo.png", photo_of(0, (64, 96))), save(folder / "trimap.png", trimap_of((64, 96)))
    return {"photo": ("photo.png", photo.read_bytes()), "trimap": ("trimap.png", trimap.read_bytes())}


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():
            await asyncio.sleep(0.002)


def test_more_than_may_wait_are_sent_away(tmp_path: Path) -> None:
    async def run() -> None:
        engine, files = Slow(), form(tmp_path)
        engine.open.clear()
        async with serving(tmp_path, engine, workers=1, queue=1) as (service, _), client(service) as http:
            taken = [asyncio.create_task(http.post(MATTE, files=files)) for _ in range(2)]
            await until(lambda: service._queue.taken == 2 and engine.begun.is_set())
            refused = await http.post(MATTE, files=files)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
            assert "the queue is full" in refused.json()["error"]
            assert (await http.get("/healthz")).status_code == 200, "it still answers"
            numbers = (await http.get("/metrics")).text
            assert "ltm_queue_length 1.0" in numbers
            assert "ltm_jobs_running 1.0" in numbers
            engine.open.set()
            answers = await asyncio.gather(*taken)
            assert [answer.status_code for answer in answers] == [200, 200]
            assert answers[0].content == answers[1].content
            assert (await http.post(MATTE, files=files)).status_code == 200

    asyncio.run(run())


@pytest.mark.parametrize("waits", [False, True], ids=["at work", "waiting"])
def test_a_job_whose_client_leaves_ends(tmp_path: Path, waits: bool) -> None:
    """After its present patch, or before it begins; and the next is served."""

    async def run() -> None:
        engine, files = Slow(), form(tmp_path)
        engine.open.clear()
        async with serving(tmp_path, engine, workers=1) as (service, answered), client(service) as http:
            others = [asyncio.create_task(http.post(MATTE, files=files))] if waits else []
            if waits:
                await until(engine.begun.is_set)
            gone = asyncio.Event()
            leaving = asyncio.create_task(leave(service, http, files, gone))
            await until(lambda: engine.begun.is_set() and service._queue.taken == 1 + waits)
            await until(lambda: service._queue.running + service._queue._pool._work_queue.qsize() == 1 + waits)
            gone.set()
            if waits:
                await leaving
                assert service._queue.taken == 1, "its place is free at once"
            await asyncio.sleep(0.05)
            engine.open.set()
            await leaving
            assert answered[-1].status == 499
            if not waits:
                assert len(engine.counts) == 1, "one of several patches"
            for other in others:
                assert (await other).status_code == 200
            assert (await http.post(MATTE, files=files)).status_code == 200

    asyncio.run(run())


async def leave(service: Service, http: httpx.AsyncClient, files: dict[str, Any], gone: asyncio.Event) -> None:
    """Send a whole request, as a client that hangs up when `gone` is set; nothing is sent to it."""
    request = http.build_request("POST", MATTE, files=files)
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    body = [{"type": "http.request", "body": await request.aread(), "more_body": False}]

    async def receive() -> Any:
        if body:
            return body.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(f"nobody is there: {message}")

    scope = {"type": "http", "method": "POST", "path": MATTE, "raw_path": b"", "query_string": b"", "headers": headers}
    await service.app({**scope, "http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)


def test_a_token(tmp_path: Path) -> None:
    async def run() -> None:
        token = "a-secret-of-the-tests"
        async with serving(tmp_path, Slow(), token=token) as (service, _), client(service) as http:
            for given in (
                {},
                {"Authorization": token},
                {"Authorization": f"Bearer {token}x"},
                {"Authorization": "Bearer ä"},
            ):
                sent = [(name.encode(), value.encode("latin-1")) for name, value in given.items()]
                for path in ("/", "/metrics", "/v1/engine", "/openapi.json", MATTE):
                    answer = await http.get(path, headers=sent)
                    assert answer.status_code == 401, path
                    assert answer.headers["www-authenticate"] == "Bearer"
            assert (await http.post(MATTE, files=form(tmp_path))).status_code == 401
            assert (await http.get("/healthz")).status_code == 200
            http.headers["Authorization"] = f"bearer {token}"
            assert (await http.get("/openapi.json")).json()["security"] == [{"token": []}]
            assert "Authorization: Bearer" in (await http.get("/")).text
            assert (await http.post(MATTE, files=form(tmp_path))).status_code == 200

    asyncio.run(run())


def test_a_proxy_calls_it_by_its_name(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path, Slow(), names=("matte.example",)) as (service, _), client(service) as http:
            assert (await http.get("/healthz", headers={"Host": "Matte.Example"})).status_code == 200
            assert (await http.get("/healthz", headers={"Host": "other.example"})).status_code == 421

    asyncio.run(run())


def test_photos_alone_where_there_is_a_segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from litematting_deploy.segmentation.model import Segmenter
    from tests.segmentation.scenes import NETWORKS, network, pair

    image, _ = pair()
    network(tmp_path / "net.onnx", **NETWORKS["U2-Net"])  # type: ignore[arg-type]
    opened: list[str] = []
    opens = Segmenter.__init__

    def noted(self: Segmenter, path: Any, *rest: Any) -> None:
        opened.append(path)
        opens(self, path, *rest)

    monkeypatch.setattr(Segmenter, "__init__", noted)

    async def run() -> None:
        with Segmenter(tmp_path / "net.onnx", "cpu") as segmenter:
            async with serving(tmp_path, Slow()) as (service, _), client(service) as http:
                service._opened = Opened(service._opened.matter, segmenter)
                photo = {"photo": ("photo.png", save(tmp_path / "photo.png", image).read_bytes())}
                for _ in range(2):
                    answer = await http.post(MATTE, files=photo)
                    assert answer.status_code == 200, answer.text
                assert "net.onnx" in (await http.get("/v1/engine")).json()["segmenter"]
        assert len(opened) == 1, "it stays open"

    asyncio.run(run())
