"""Times of layers: what ONNX Runtime's profiler writes, and what TensorRT's reports."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from litematting_deploy.engines.layer_times import KINDS, LayerTime, by_stage, read_onnxruntime
from litematting_deploy.engines.onnxruntime import OnnxRuntimeEngine
from litematting_deploy.engines.tensorrt.runner import _TensorRTEngine
from litematting_deploy.errors import DeviceError
from litematting_deploy.runtime.shipped import example_patch


def event(name: str, operator: str, microseconds: int) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "dur": microseconds, "args": {"op_name": operator}}


def test_a_profile_of_onnx_runtime() -> None:
    """Three runs, the first of which is warm-up; of nodes that ONNX Runtime made, only convolutions have a stage."""
    nodes = [("a_nchwc", "Conv"), ("ReorderOutput", "ReorderOutput"), ("uper2/n", "GroupNormalization")]
    nodes += [("uper2/m", "FusedMatMul"), ("out/q", "QuantizeLinear"), ("out/r", "Relu")]
    events = [event(*node, 1000 * run * (index + 1)) for run in (9, 1, 3) for index, node in enumerate(nodes)]
    others = [{"cat": "Session", "name": "model_run", "dur": 5}, {"cat": "Node", "name": "x_fence_before", "dur": 7}]
    found = read_onnxruntime([*others, *events], 1, {"a": "layer1", "b": "layer7"})
    assert found == (
        LayerTime("a_nchwc", "convolution", "layer1", 2.0),
        LayerTime("ReorderOutput", "copy", "layer1", 4.0),
        LayerTime("uper2/n", "norm", "uper2", 6.0),
        LayerTime("uper2/m", "product", "uper2", 8.0),
        LayerTime("out/q", "copy", "out", 10.0),
        LayerTime("out/r", "element-wise", "out", 12.0),
    )
    stages = by_stage(found)
    assert list(stages) == ["layer1", "uper2", "out"]
    assert stages["layer1"] == dict.fromkeys(KINDS, 0.0) | {"convolution": 2.0, "copy": 4.0}


def test_the_real_profiler_on_a_tiny_network(mean_onnx: Path, tmp_path: Path) -> None:
    with OnnxRuntimeEngine(mean_onnx, 1, tmp_path / "p") as engine:
        found = engine.layer_times(example_patch(engine.patch_hw), warmup=1, runs=3)
    assert {"convolution", "copy"} <= {layer.kind for layer in found}
    assert all(layer.milliseconds > 0 for layer in found)
    assert len(list(tmp_path.iterdir())) == 1


class Context:
    """An execution context that reports two layers at each run, as TensorRT does where a profiler is attached."""

    def __init__(self, fails: bool) -> None:
        self.profiler: Any = None
        self.fails, self.runs, self.shapes = fails, 0, dict[str, tuple[int, ...]]()
        self.addresses = dict[str, int]()

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        self.runs += 1
        self.profiler.report_layer_time("conv", float(self.runs))
        self.profiler.report_layer_time("made by TensorRT", 0.5)
        return not self.fails


def stand_in(context: Context, rtx: bool) -> tuple[_TensorRTEngine, list[Any]]:
    """Return an engine whose bindings are stand-ins, and the configurations that it made."""
    configurations: list[Any] = []

    def configuration() -> Any:
        configurations.append(SimpleNamespace(cuda_graph_strategy="WHOLE"))
        return configurations[-1]

    node = {"Name": "conv", "LayerType": "CaskConvolution", "Inputs": [], "Outputs": [], "TacticName": "t",
            "Metadata": "[ONNX Layer: layer3/Conv_1]"}  # fmt: skip
    inspector = SimpleNamespace(get_engine_information=lambda _: json.dumps({"Layers": [node]}))
    engine = object.__new__(_TensorRTEngine)
    engine._path, engine.batch, engine.patch_hw = Path("m.engine"), 2, (64, 96)
    engine._engine = SimpleNamespace(
        create_runtime_config=configuration,
        create_execution_context=lambda *_: context,
        create_engine_inspector=lambda: inspector,
    )
    module = SimpleNamespace(
        IProfiler=object,
        CudaGraphStrategy=SimpleNamespace(DISABLED="none"),
        LayerInformationFormat=SimpleNamespace(JSON="json"),
    )
    engine._log = SimpleNamespace(summary=lambda: "said")
    engine._tensorrt = SimpleNamespace(module=module, is_rtx=rtx)  # type: ignore[assignment]
    return engine, configurations


@pytest.mark.parametrize("rtx", [True, False])
def test_tensorrts_profiler(rtx: bool) -> None:
    context = Context(fails=False)
    engine, configurations = stand_in(context, rtx)
    addresses = {"image": 1, "trimap": 2, "guide": 3, "alpha": 4}
    found = engine.layer_times(addresses, 7, warmup=1, runs=3)
    assert found == (
        LayerTime("conv", "convolution", "layer3", 3.0),  # of runs that took 2, 3 and 4
        LayerTime("made by TensorRT", "element-wise", "unknown", 0.5),
    )
    assert context.shapes == {"image": (2, 3, 64, 96), "trimap": (2, 3, 64, 96), "guide": (2, 2, 64, 96)}
    assert context.addresses == addresses
    assert [each.cuda_graph_strategy for each in configurations] == (["none"] if rtx else [])


def test_a_profiled_run_that_fails() -> None:
    engine, _ = stand_in(Context(fails=True), rtx=False)
    with pytest.raises(DeviceError, match=r"m.engine: a profiled run failed \(said\)"):
        engine.layer_times({"image": 1}, 7, 0, 1)
