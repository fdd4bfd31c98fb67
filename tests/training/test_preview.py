"""The loss curve."""

import numpy as np
import pytest

from litematting_deploy.training.preview import curve, smooth


def test_a_falling_line_falls_in_the_picture() -> None:
    picture = curve({"loss": [(step, 1.0 / (step + 1)) for step in range(100)]})
    coloured = (picture.astype(int).max(axis=2) - picture.astype(int).min(axis=2)) > 100
    rows = [np.flatnonzero(coloured[45:, x]).mean() for x in (120, 300, 600, 900)]
    assert rows == sorted(rows)


@pytest.mark.parametrize("line", [[], [(0, 0.0)], [(0, float("nan")), (1, 0.5), (2, float("inf"))]])
def test_what_cannot_be_drawn_is_left_out(line: list[tuple[int, float]]) -> None:
    assert curve({"loss": line}).shape == (540, 960, 3)


def test_smoothing_keeps_the_mean() -> None:
    smoothed = smooth([(step, float(step % 7)) for step in range(700)], points=100)
    assert len(smoothed) == 100
    assert {value for _, value in smoothed} == {3.0}
    assert smooth([]) == []
