"""Timing, on the host and on the host as a device."""

import platform
import time
from pathlib import Path

import numpy as np
import pytest

from litematting_deploy.benchmarks import environment, tasks
from litematting_deploy.benchmarks.environment import Elsewhere
from litematting_deploy.benchmarks.timing import Effort, bandwidth, measure, say_duration, summary, traffic_bytes
from litematting_deploy.engines.base import CHANNELS, Batch
from litematting_deploy.runtime.cuda import protocol
from litematting_deploy.runtime.on_device import OnDevice
from litematting_deploy.specs import EngineSpec
from tests.runtime.conftest import host_cuda  # noqa: F401
from tests.runtime.cuda.host import HostCuda
from tests.runtime.cuda.lazy import LazyCuda
from tests.runtime.test_device import ByAddress
from tests.runtime.test_matter import RedIsAlpha

SLOW_MS = 20.0


def inputs(count: int = 1) -> dict[str, Batch]:
    return {name: np.full((count, CHANNELS[name], 64, 64), 0.25, np.float32) for name in ("image", "trimap", "guide")}


class Slow(RedIsAlpha):
    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        time.sleep(SLOW_MS / 1e3)
        return super()._run(image, trimap, guide)


def test_warm_up_does_not_count() -> None:
    engine = RedIsAlpha()
    timings = measure(engine, inputs(), Effort(iterations=7, warmup=2))
    latency = timings.latency
    assert len(engine.calls) == 9
    assert 0 < latency.p50 <= latency.max
    assert (latency.p90, latency.p99) == (None, None), "too few runs"
    assert (latency.iterations, latency.warmup, timings.parts_ms) == (7, 2, None)


def test_it_lasts_as_long_as_was_asked() -> None:
    started = time.perf_counter()
    timings = measure(Slow(), inputs(), Effort(iterations=1, warmup=0, duration_s=0.1))
    assert time.perf_counter() - started >= 0.1
    assert 2 <= timings.latency.iterations <= 6
    assert timings.latency.p50 >= SLOW_MS


def test_summary_is_numpys() -> None:
    latency = summary([1.0, 2.0, 3.0, 10.0], 5)
    assert (latency.p50, latency.max, latency.mean, latency.warmup) == (2.5, 10.0, 4.0, 5)
    assert latency.variation == pytest.approx(np.std([1, 2, 3, 10]) / 4)


@pytest.mark.parametrize(("runs", "known"), [(9, (False, False)), (10, (True, False)), (100, (True, True))])
def test_percentiles_are_those_that_the_runs_bear(runs: int, known: tuple[bool, bool]) -> None:
    latency = summary(list(map(float, range(1, runs + 1))), 0)
    assert (latency.p90 is not None, latency.p99 is not None) == known
    for percentile, value in ((90, latency.p90), (99, latency.p99)):
        assert value is None or value == pytest.approx(np.percentile(range(1, runs + 1), percentile))


def test_progress_says_runs_and_what_is_left() -> None:
    said: list[str] = []
    measure(Slow(), inputs(), Effort(iterations=3, warmup=1), said.append)
    assert said[0] == "warming up, run 1 of 1"
    assert [words.partition(",")[0] for words in said[1:]] == ["run 1 of 3", "run 2 of 3", "run 3 of 3"]
    assert said[-1].endswith("about 0 s left")
    assert (say_duration(99), say_duration(720)) == ("99 s", "12 min")


@pytest.mark.parametrize("graphs", [False, True])
def test_parts_on_a_device(host_cuda: HostCuda, graphs: bool) -> None:  # noqa: F811
    artefact = ByAddress(Slow())
    artefact.capturable = graphs
    with OnDevice(artefact, HostCuda(host_cuda.folder), 3) as engine:
        timings = measure(engine, inputs(3), Effort(iterations=3, warmup=2))
    assert timings.parts_ms is not None
    up, compute, down = timings.parts_ms
    assert min(up, down) > 0
    assert compute >= SLOW_MS > max(up, down)
    assert up + compute + down == pytest.approx(timings.latency.p50, rel=0.25)


def test_a_row_of_a_device(host_cuda: HostCuda, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    cuda = HostCuda(host_cuda.folder)

    def opened(spec: EngineSpec) -> OnDevice:
        assert (spec.engine, spec.device) == ("some.engine", "cuda")
        return OnDevice(ByAddress(Slow()), cuda, spec.batch)

    monkeypatch.setattr(tasks, "open_cuda", lambda _: cuda)
    monkeypatch.setattr(tasks, "open_spec", opened)
    monkeypatch.setattr(tasks, "bandwidth", lambda device: bandwidth(device, 1 << 20))
    row, alpha = tasks.measured(
        EngineSpec(engine="some.engine", device="cuda", batch=2), Effort(iterations=3, warmup=1)
    )
    assert row.gpu is not None
    assert row.gpu.gpu == "the host"
    assert row.gpu.compute_ms >= SLOW_MS
    assert row.gpu.peak_bytes == 2 * sum(CHANNELS.values()) * 64 * 64 * 4  # what HostCuda counts: the buffers
    least, most = traffic_bytes((64, 64), 2, "fp32")
    assert row.gpu.traffic_ms == (least / row.gpu.bandwidth * 1e3, most / row.gpu.bandwidth * 1e3)
    assert (row.batch, row.threads, row.version) == (2, None, "by-address 0")
    assert alpha.shape == (2, 1, 64, 64)
    assert cuda.held_bytes == 0


@pytest.mark.parametrize("late", [False, True])
def test_bandwidth_and_memory(host_cuda: HostCuda, late: bool, tmp_path: Path) -> None:  # noqa: F811
    cuda: protocol.Cuda = LazyCuda(tmp_path, seed=2) if late else HostCuda(host_cuda.folder)
    assert 1e7 < bandwidth(cuda, 1 << 20) < 1e13
    free, total = cuda.memory()
    assert free == total  # what it took it gave back
    if not late:
        buffer = cuda.buffer(1000)
        assert cuda.memory() == (total - 1000, total)
        buffer.free()


def test_traffic_is_the_reference_pages() -> None:
    least, most = traffic_bytes((1024, 1024), 1, "fp16")
    assert least / 4.3e12 * 1e3 == pytest.approx(1.03, abs=0.01)
    assert most / 4.3e12 * 1e3 == pytest.approx(1.97, abs=0.01)
    assert traffic_bytes((512, 1024), 4, "fp32") == (4 * least, 4 * most)


def test_who_keeps_the_machine_busy() -> None:
    others = Elsewhere()
    started = time.process_time()
    while time.process_time() - started < 0.2:
        pass
    assert others.cores() <= environment.describe()["cores"]


def test_environment_names_hardware_and_versions_not_the_machine() -> None:
    described = environment.describe()
    assert described["cpu"]
    assert isinstance(described["cores"], int)
    assert "onnxruntime" in str(described["versions"])
    assert platform.node() not in str(described)
    assert {"cpu_mhz", "governor", "load_at_start", "memory_gib", "gpus"} <= set(described)
