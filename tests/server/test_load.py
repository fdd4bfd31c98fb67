"""Heavy use: many clients, damaged photos, memory, and what the service costs beside its engine."""

import functools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import httpx
import numpy as np
import pytest
from PIL import Image

from litematting_deploy import Matter
from litematting_deploy.cli.command import with_flags
from litematting_deploy.cli.infer import main as infer
from litematting_deploy.runtime.shipped import SHIPPED_ENGINE
from tests.conftest import EXAMPLE, EXAMPLE_TRIMAP, called
from tests.server.conftest import Served, served
from tests.server.test_service import pixels

pytestmark = [pytest.mark.slow, pytest.mark.heavy]

PHOTOS, CLIENTS, WARM = 200, 8, 50
ROUNDS, MOST_COST = 3, 1.15


def crop(left: int, top: int, width: int, height: int) -> tuple[Image.Image, Image.Image]:
    """A part of the example and of its trimap."""
    photo, trimap = example()
    box = (left, top, left + width, top + height)
    return photo.crop(box), trimap.crop(box)


@functools.cache
def example() -> tuple[Image.Image, Image.Image]:
    return Image.open(EXAMPLE).convert("RGB"), Image.open(EXAMPLE_TRIMAP).convert("L")


def photos(folder: Path) -> None:
    """Small photos with their trimaps; every third is damaged or cut off, in turns."""
    for number in range(PHOTOS):
        photo, trimap = crop(560 + number % 100, 1000 - 2 * (number // 100), 120, 90)
        path = folder / f"{number}.png"
        photo.save(path)
        trimap.save(folder / f"trimap{number}.png")
        if number % 3 == 2:
            whole = path.read_bytes()
            place = 60 + len(whole) // 2
            path.write_bytes(whole[:place] + (b"" if number % 2 else bytes(64) + whole[place + 64 :]))


class Loader:
    """Clients that send all photos between them, each as soon as it is answered, and come again when sent away."""

    def __init__(self, service: Served, folder: Path) -> None:
        self._service, self._folder = service, folder
        self._numbers: Iterator[int] = iter(range(PHOTOS))
        self._lock = threading.Lock()
        self.answers: dict[int, httpx.Response] = {}
        self.sent_away = 0
        self.memory: dict[int, float] = {}

    def work(self) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            files = {"photo": f"{number}.png", "trimap": f"trimap{number}.png"}
            while (answer := self._service.matte(self._folder, files)).status_code == 429:
                with self._lock:
                    self.sent_away += 1
                time.sleep(int(answer.headers["retry-after"]))
            with self._lock:
                self.answers[number] = answer
                if len(self.answers) in (WARM, PHOTOS):
                    self.memory[len(self.answers)] = self._service.number("process_resident_memory_bytes")


def test_two_hundred_photos_by_eight_clients(mean_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path)
    with served(tmp_path / "service", "--engine", mean_onnx, "--queue", "4") as service:
        loader = Loader(service, tmp_path)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for each in [pool.submit(loader.work) for _ in range(CLIENTS)]:
                each.result()
        statuses = {200: 0, 422: 0}
        for answer in loader.answers.values():
            statuses[answer.status_code] += 1
        assert service.number("ltm_jobs_running") == service.number("ltm_queue_length") == 0
        left = service.keeps()
    assert len(loader.answers) == PHOTOS
    assert statuses == {200: 134, 422: 66}
    assert loader.sent_away > 0, "eight clients are more than two that work and four that wait"
    assert left == []
    monkeypatch.chdir(tmp_path)
    with Matter.load(mean_onnx, "cpu", threads=1) as matter:
        for number, answer in loader.answers.items():
            photo, trimap = f"{number}.png", f"trimap{number}.png"
            if number % 3 == 2:
                run = called("ltm-infer", photo, trimap, "-o", "alpha.png", "--engine", mean_onnx)
                assert run.err == f"ltm-infer: {with_flags(answer.json()['error'], infer)}\n"
            else:
                wanted = matter(Image.open(photo), Image.open(trimap), dtype=np.uint8)
                np.testing.assert_array_equal(pixels(answer.content), wanted)
    growth = loader.memory[PHOTOS] / loader.memory[WARM] - 1
    print(f"resident memory: {loader.memory[WARM] / 1e6:.1f} MB after {WARM} requests, {growth:+.1%} after {PHOTOS}")
    assert growth < 0.05


def test_a_request_costs_little_beside_its_engine(tmp_path: Path) -> None:
    """With the shipped network in one thread, in turns with the bare engine; in seconds of the processor, which other
    work on the machine does not stretch."""
    photo, trimap = crop(600, 1000, 320, 240)
    photo.save(tmp_path / "photo.png")
    trimap.save(tmp_path / "trimap.png")
    image, known = np.asarray(photo), np.asarray(trimap)
    bare, asked = [], []
    with (
        served(tmp_path / "service", "--engine", SHIPPED_ENGINE) as service,
        Matter.load(SHIPPED_ENGINE, "cpu", threads=1) as matter,
    ):
        for _ in range(ROUNDS + 1):
            began_s = time.process_time()
            wanted = matter(image, known, dtype=np.uint8)
            bare.append(time.process_time() - began_s)
            began_s = service.number("process_cpu_seconds_total")
            answer = service.matte(tmp_path, {"photo": "photo.png", "trimap": "trimap.png"})
            asked.append(service.number("process_cpu_seconds_total") - began_s)
            np.testing.assert_array_equal(pixels(answer.content), wanted)
    ratios = [one / other for one, other in zip(asked[1:], bare[1:], strict=True)]  # the first warms both up
    print(f"bare {median(bare[1:]):.3f} s, as a request {median(asked[1:]):.3f} s, ratio {median(ratios):.3f}")
    assert median(ratios) <= MOST_COST
