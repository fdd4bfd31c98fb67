"""One engine for several threads: whose patches go together, and who gets which alpha or error."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from litematting_deploy import Matter
from litematting_deploy.engines.base import Batch
from litematting_deploy.errors import DeviceError, NotFiniteError, UsageError
from litematting_deploy.server.sharing import SharedEngine, open_shared
from litematting_deploy.specs import EngineSpec, PlanSpec
from tests.server.conftest import photo_of, trimap_of
from tests.server.standin import BLACK, BROKEN, Slow, patches


def together(engine: Slow, most: int, given: list[tuple[float, int]]) -> list[Future[Batch]]:
    """Run patches in a thread each: the first call waits until all the others do."""
    shared = SharedEngine(engine, most)
    engine.open.clear()
    with ThreadPoolExecutor(len(given)) as pool:
        futures = []
        for number, (value, count) in enumerate(given):
            futures.append(pool.submit(shared.run, *patches(value, count)))
            deadline = time.monotonic() + 60
            while len(shared._waiting) <= number or not engine.begun.is_set():  # their order is that of `given`
                assert time.monotonic() < deadline
                time.sleep(0.001)
        engine.open.set()
    assert shared._waiting == []
    return futures


def test_patches_of_several_threads_fill_a_batch() -> None:
    engine = Slow(batch=4)
    given = [(0.25, 1), (0.5, 1), (0.125, 2), (0.75, 2)]
    alphas = [future.result() for future in together(engine, 4, given)]
    for (value, count), alpha in zip(given, alphas, strict=True):
        assert alpha.shape == (count, 1, 32, 32)
        assert (alpha == value).all()
    assert sum(engine.counts) == 6
    assert engine.counts[0] == 1, "nobody else was there yet"
    assert len(engine.counts) == 3, "of one, three or four, and the rest"


def test_one_patch_at_a_time_is_never_put_together() -> None:
    engine = Slow()
    assert [future.result()[0, 0, 0, 0] for future in together(engine, 1, [(0.25, 1), (0.5, 1), (0.75, 1)])] == [
        0.25,
        0.5,
        0.75,
    ]
    assert engine.counts == [1, 1, 1]


@pytest.mark.parametrize(("value", "error"), [(BLACK, NotFiniteError), (BROKEN, DeviceError)])
def test_a_photo_that_fails_fails_alone(value: float, error: type[Exception]) -> None:
    futures = together(Slow(batch=4), 4, [(0.25, 1), (0.5, 1), (value, 1), (0.75, 1)])
    for future, wanted in zip(futures, (0.25, 0.5, None, 0.75), strict=True):
        if wanted is None:
            with pytest.raises(error):
                future.result()
        else:
            assert (future.result() == wanted).all()


def test_a_matter_over_it_makes_the_same(mean_onnx: Path) -> None:
    photo, trimap = photo_of(1, (100, 130)), trimap_of((100, 130))
    with Matter.load(mean_onnx, "cpu") as matter:
        wanted = matter(photo, trimap)
        describe = matter.engine.describe()
    for batch in (None, 3):
        with open_shared(EngineSpec(engine=str(mean_onnx), device="cpu", batch=batch), PlanSpec()) as shared:
            np.testing.assert_array_equal(shared(photo, trimap), wanted)
            assert shared.engine.describe() == describe
            assert shared.engine.most == (batch or 1)
    with pytest.raises(UsageError, match="closed"):
        shared(photo, trimap)
