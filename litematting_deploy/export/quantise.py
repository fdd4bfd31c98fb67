"""INT8: explicit Q/DQ around the convolutions that bear it, chosen and judged by SAD on drawn scenes.

`onnxruntime.quantization` quantises: symmetric, signed, a scale for each channel of a kernel. Depthwise convolutions,
norms, averages and products stay as they are. In the form for TensorRT (`norm=gpu`) only what a convolution reads is
quantised, as NVIDIA advises. Elsewhere what it writes is, too, without which ONNX Runtime has no kernel in INT8, and
kernels have 7 bits: the sums of two products of 8 bits saturate on processors with AVX2 and without VNNI.
What the choices below were measured against is in benchmarks/NOTES.md.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

from ..errors import ToleranceError, UsageError
from ..model import LiteMatting
from ..model.samples import Calibration, Inputs, Scene
from ..sidecar import Quantisation
from .spec import ExportSpec
from .verify import UNKNOWN_CHANNEL, alpha_of, filled

MOST_WORSE = 0.02
"""How far SAD may be above fp32's, as a share."""

_AIM = 0.01
"""The same where layers are chosen, on fewer scenes."""

_NAMED = 4

Progress: TypeAlias = Callable[[float, str], None]
"""Called with the part done, 0..1, and the name of the phase. The part falls where more turns out to be needed."""


@dataclass(frozen=True)
class _Trial:
    """A scene with the alpha (H, W) of the model in float32, and where it is unknown."""

    inputs: Inputs
    truth: NDArray[np.float32]
    fp32: NDArray[np.float32]
    unknown: NDArray[np.bool_]

    def sad(self, alpha: NDArray[Any], other: NDArray[Any] | None = None) -> float:
        """Return the SAD of an alpha (H, W) from the truth, or from another one, in thousands."""
        wanted = self.truth if other is None else other
        return float(np.abs(alpha - wanted)[self.unknown].sum(dtype=np.float64)) / 1000


class _Meter:
    """Runs of the network that are done, of those that are planned.

    A run finds ranges in one patch, or makes the alpha of a scene, in float32 or in INT8.
    """

    def __init__(self, planned: int, report: Progress | None) -> None:
        self._planned, self._report, self._done, self._phase = planned, report, 0, ""

    def begin(self, phase: str, more: int = 0) -> None:
        """Name what follows. more: runs that were not planned."""
        self._planned += more
        self._phase = phase
        self._tell()

    def count(self) -> None:
        """Count one run."""
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._report is not None:
            self._report(min(1.0, self._done / max(self._planned, 1)), self._phase)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """One patch after the other, so that no more than one lies in memory with all its activations."""

    def __init__(self, patches: Iterable[Inputs], meter: _Meter) -> None:
        self._patches, self._meter = iter(patches), meter

    def get_next(self) -> Inputs | None:
        patch = next(self._patches, None)
        if patch is not None:
            self._meter.count()
        return patch


class _Quantiser:
    """A graph in float, the ranges of what its convolutions read and write, and the model in float32.

    stages: names of the convolutions with constant kernels that are not depthwise, by stage.
    """

    def __init__(
        self, proto: onnx.ModelProto, spec: ExportSpec, reference: LiteMatting, folder: Path, meter: _Meter
    ) -> None:
        self._spec, self._reference, self._meter = spec, reference, meter
        self._path = folder / "float.onnx"
        self.stages = _with_inputs_of_their_own(proto)
        onnx.save(proto, self._path)
        self._ranges: Any = None

    def calibrate(self, patches: Iterable[Inputs]) -> None:
        """Find the least and the largest value of each tensor. Raises `UsageError` without a patch."""
        found = (filled(patch, self._spec.batch) for patch in patches)
        first = next(found, None)
        if first is None:
            raise UsageError("`calibration` contains no patch; give photos with trimaps, or drawn scenes")
        calibrator = create_calibrator(
            self._path,
            ["Conv"],
            str(self._path.with_name("augmented.onnx")),
            extra_options={"symmetric": True},
        )
        calibrator.collect_data(_Reader(itertools.chain([first], found), self._meter))
        self._ranges = calibrator.compute_data()

    def quantised(self, stages: Iterable[str]) -> onnx.ModelProto:
        """Return the graph with the convolutions of some stages in INT8."""
        nodes = [name for stage in stages for name in self.stages[stage]]
        for_tensorrt = self._spec.norm_form == "gpu"
        options = {
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "QuantizeBias": not for_tensorrt,  # which has no biases in int32
            "OpTypesToExcludeOutputQuantization": ["Conv"] if for_tensorrt else [],
        }
        model, kind = load_model_with_shape_infer(self._path), QuantType.QInt8
        quantiser = QDQQuantizer(model, True, not for_tensorrt, kind, kind, self._ranges, nodes, [], ["Conv"], options)
        quantiser.quantize_model()
        quantiser.model.topological_sort()
        made: onnx.ModelProto = quantiser.model.model
        return made

    def trials(self, scenes: Iterable[Scene]) -> Iterator[_Trial]:
        """Yield scenes with what the model in float32 makes of them."""
        for inputs, truth in scenes:
            alpha = alpha_of(self._reference, inputs, torch.float32)[0, 0]
            self._meter.count()
            yield _Trial(inputs, truth, alpha, inputs["trimap"][0, UNKNOWN_CHANNEL] > 0)

    def alphas(self, proto: onnx.ModelProto, trials: Iterable[_Trial]) -> Iterator[tuple[_Trial, NDArray[np.float32]]]:
        """Yield trials with the alpha (H, W) that a graph makes of them."""
        options: Any = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, ["CPUExecutionProvider"])
        for trial in trials:
            alpha = session.run(["alpha"], dict(filled(trial.inputs, self._spec.batch)))[0][0, 0]
            self._meter.count()
            yield trial, alpha

    def sads(self, proto: onnx.ModelProto, trials: Iterable[_Trial]) -> tuple[float, float]:
        """Return the mean SAD of the model in float32 and of a graph, in thousands."""
        pairs = [(trial.sad(trial.fp32), trial.sad(alpha)) for trial, alpha in self.alphas(proto, trials)]
        fp32, int8 = np.mean(pairs, axis=0)
        return float(fp32), float(int8)

    def costs(self, trials: Sequence[_Trial]) -> dict[str, float]:
        """Return how far each stage alone moves alpha from float32's, as a share of float32's SAD; the dearest first.

        The truth is left out here: one stage alone moves alpha so little that its SAD may well fall.
        """
        self._meter.begin("testing each stage alone in INT8", more=len(self.stages) * len(trials))
        whole = sum(trial.sad(trial.fp32) for trial in trials)
        found = {
            stage: sum(trial.sad(alpha, trial.fp32) for trial, alpha in self.alphas(self.quantised([stage]), trials))
            / whole
            for stage in self.stages
        }
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def quantise(
    proto: onnx.ModelProto,
    spec: ExportSpec,
    calibration: Calibration,
    reference: LiteMatting,
    name: str,
    progress: Progress | None = None,
) -> tuple[onnx.ModelProto, Quantisation]:
    """Return a graph with as many of its convolutions in INT8 as keep SAD, and what came of it.

    All stages of the network are tried first. If that is too much, each is tried alone, and the dearest are left in
    float, as many as it takes by bisection: one run of `tuning` for each stage, and five more.

    proto: as `graph.build_graph` makes it; it is changed. spec: its precision is "int8".
    reference: the model in float32. name: of the file, for errors.
    Raises `ToleranceError` where SAD on the judged scenes is more than `MOST_WORSE` above float32's, with the stages
    that cost most.
    """
    ranges, tuned, judged = calibration.counts
    meter = _Meter(ranges + 2 * tuned + 2 * judged, progress)
    with TemporaryDirectory() as folder:
        quantiser = _Quantiser(proto, spec, reference, Path(folder), meter)
        meter.begin("measuring the ranges of activations")
        quantiser.calibrate(calibration.ranges)
        meter.begin("testing all stages in INT8")
        tuning = list(quantiser.trials(calibration.tuning))
        left, costs = _left_in_float(quantiser, tuning, meter)
        chosen = [stage for stage in quantiser.stages if stage not in left]
        made = quantiser.quantised(chosen)
        meter.begin("evaluating on other scenes")
        fp32, int8 = quantiser.sads(made, quantiser.trials(calibration.judged))
        if not int8 <= fp32 * (1 + MOST_WORSE):  # not-a-number is not
            dear = list((costs or quantiser.costs(tuning)).items())[:_NAMED]
            raise ToleranceError(
                f"{name}: not written: in INT8, the SAD on drawn scenes is {int8 / fp32 - 1:.1%} above that of fp32 "
                f"({int8:.3f} instead of {fp32:.3f}), more than {MOST_WORSE:.0%}; these layers cost most: "
                f"{', '.join((f'{stage} {cost:.1%}' for stage, cost in dear))}; give other photos as `calibration`, "
                "or use `precision=fp16`"
            )
        total = sum(node.op_type == "Conv" for node in proto.graph.node)
    return made, Quantisation(calibration.name, _in_int8(made), total, tuple(left), int8, fp32)


def _in_int8(proto: onnx.ModelProto) -> int:
    """Return how many convolutions have a kernel and an input in INT8."""
    restored = {node.output[0] for node in proto.graph.node if node.op_type == "DequantizeLinear"}
    return sum(node.op_type == "Conv" and {*node.input[:2]} <= restored for node in proto.graph.node)


def _left_in_float(
    quantiser: _Quantiser, tuning: Sequence[_Trial], meter: _Meter
) -> tuple[list[str], dict[str, float]]:
    """Return the fewest of the dearest stages without which SAD is near enough, and the costs if they were measured."""

    def passes(left: Sequence[str]) -> bool:
        fp32, int8 = quantiser.sads(
            quantiser.quantised(stage for stage in quantiser.stages if stage not in left), tuning
        )
        return int8 <= fp32 * (1 + _AIM)

    if passes([]):
        return [], {}
    costs = quantiser.costs(tuning)
    dearest = list(costs)
    least, most = 1, len(dearest) - 1  # with all of them left, nothing would be in INT8
    meter.begin("keeping the costliest stages in float", more=max(most - least, 0).bit_length() * len(tuning))
    while least < most:
        middle = (least + most) // 2
        if passes(dearest[:middle]):
            most = middle
        else:
            least = middle + 1
    return dearest[:most], costs


def _with_inputs_of_their_own(proto: onnx.ModelProto) -> dict[str, list[str]]:
    """Put an Identity before each convolution that can be quantised, in place; return their names by stage.

    A tensor is quantised for all that read it: a residual addition, and the picture on its way to the last layers,
    would be, too. Runtimes remove an Identity. Its type is stated, which is the kernel's, for the quantiser leaves out
    what it does not know the type of, and ONNX infers none behind a GroupNormalization.
    """
    kernels = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
    stages: dict[str, list[str]] = {}
    nodes = []
    for node in proto.graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        if node.op_type == "Conv" and groups == 1 and node.input[1] in kernels:
            stages.setdefault(node.name.partition("/")[0], []).append(node.name)
            own = f"{node.name}_input"
            nodes.append(onnx.helper.make_node("Identity", [node.input[0]], [own], name=own))
            proto.graph.value_info.append(onnx.helper.make_tensor_value_info(own, kernels[node.input[1]], None))
            node.input[0] = own
        nodes.append(node)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return stages
