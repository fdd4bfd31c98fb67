import numpy as np

from litematting_deploy.benchmarks.environment import describe
from litematting_deploy.benchmarks.timing import measure
from tests.runtime.test_matter import RedIsAlpha


def test_warm_up_does_not_count() -> None:
    engine = RedIsAlpha()
    inputs = {name: np.zeros((1, channels, 64, 64), np.float32) for name, channels in (("image", 3), ("trimap", 3))}
    latency = measure(engine, {**inputs, "guide": np.zeros((1, 2, 64, 64), np.float32)}, iterations=7, warmup=2)
    assert len(engine.calls) == 9
    assert 0 < latency.p50 <= latency.p90 <= latency.p99
    assert (latency.iterations, latency.warmup) == (7, 2)


def test_environment_names_hardware_and_versions_not_the_machine() -> None:
    import platform

    described = describe()
    assert described["cpu"]
    assert isinstance(described["cores"], int)
    assert "onnxruntime" in str(described["versions"])
    assert platform.node() not in str(described)
