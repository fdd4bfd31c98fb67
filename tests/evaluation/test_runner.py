from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from litematting_deploy.errors import InputError, LiteMattingError
from litematting_deploy.evaluation import metrics
from litematting_deploy.evaluation.datasets import open_dataset
from litematting_deploy.evaluation.metrics import Result, mean
from litematting_deploy.evaluation.runner import Peer, evaluate, evaluate_dataset, warm_up
from litematting_deploy.specs import EngineSpec, PlanSpec
from tests.evaluation.tiny import make_dataset


def half(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Half everywhere, also where it is known."""
    assert image.shape == (*trimap.shape, 3)
    return np.full(trimap.shape, 0.5, np.float32)


def test_alphas_are_forced_and_rounded_before_they_are_measured(tmp_path: Path) -> None:
    dataset = open_dataset(make_dataset(tmp_path, ["a", "b"]))
    for example, matted in evaluate(dataset, {"half": half, "again": half}):
        wanted = np.where(example.trimap == 128, 128, example.trimap)
        for item in (matted["half"], matted["again"]):
            np.testing.assert_array_equal(item.alpha, wanted)
            assert item.result.sad == metrics.sad(wanted / 255, example.alpha / 255, example.trimap)
            assert item.result.seconds > 0


def test_what_a_method_refuses_names_the_image(tmp_path: Path) -> None:
    def refuse(*_: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise InputError("too blue")

    dataset = open_dataset(make_dataset(tmp_path, ["a"]))
    with pytest.raises(InputError, match=r"image/a\.png: too blue"):
        next(evaluate(dataset, {"half": half, "refuse": refuse}))


def test_warm_up_calls_everyone_with_all_three_values() -> None:
    seen = []

    def watch(image: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen.append(np.unique(trimap).tolist())
        return half(image, trimap)

    warm_up({"one": watch, "other": watch})
    assert seen == [[0, 128, 255]] * 2


def test_mean() -> None:
    assert mean([Result(1, 2, 3, 4, 5), Result(3, 2, 1, 0, 6)]) == Result(2, 2, 2, 2, 5.5)


@pytest.mark.slow
def test_a_peer_without_known_foreground_or_background() -> None:
    """PyMatting refuses these trimaps; what is known spreads everywhere."""
    image, trimap = np.zeros((9, 9, 3), np.uint8), np.full((9, 9), 128, np.uint8)
    for known, value in ((0, 0), (255, 1)):
        trimap[0] = known
        assert (Peer("closed_form")(image, trimap) == value).all()


def test_a_python_program_evaluates_with_one_call(tmp_path: Path, small_onnx: Path) -> None:
    folder = make_dataset(tmp_path / "set", ["a", "b"])
    told: list[tuple[int, int, str]] = []
    found = evaluate_dataset(
        folder,
        EngineSpec(engine=str(small_onnx)),
        PlanSpec(plan="grid"),
        report_folder=tmp_path / "page",
        progress=lambda *said: told.append(said),
    )
    assert told == [(0, 2, "evaluating"), (1, 2, "evaluating"), (2, 2, "evaluating")]
    assert (found.plan, found.engine_file, found.dataset.trimap) == ("grid, step 32", str(small_onnx), "trimap1")
    assert found.report == tmp_path / "page" / "index.html"
    assert found.means["LiteMatting"] == mean([row["LiteMatting"] for row in found.results.values()])
    content = found.content()
    assert [image["name"] for image in content["images"]] == list(found.results) == ["a", "b"]
    assert content["mean"]["sad"] == found.means["LiteMatting"].sad


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"trimap": "trimap3"}, "trimap"),
        ({"folder": "no folder"}, "folder"),
        ({"folder": 3}, "folder"),
        ({"report_folder": b"page"}, "report_folder"),
        ({"engine": EngineSpec(engine="no.onnx")}, "engine"),
    ],
    ids=["no such trimaps", "no such folder", "a number is no folder", "bytes are no folder", "no such engine"],
)
def test_an_evaluation_that_cannot_be_names_its_parameter(
    arguments: dict[str, Any], parameter: str, tmp_path: Path
) -> None:
    folder = make_dataset(tmp_path / "set", ["a"])
    with pytest.raises(LiteMattingError) as caught:
        evaluate_dataset(**{"folder": folder} | arguments)
    assert caught.value.parameter == parameter
