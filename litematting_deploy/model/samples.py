"""What the network sees, as arrays: inputs, inputs with their alpha, and what an export in INT8 has to see."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Inputs: TypeAlias = Mapping[str, NDArray[np.float32]]
"""image (N, 3, H, W), trimap (N, 3, H, W) and guide (N, 2, H, W), float32, as the network takes them."""

Scene: TypeAlias = tuple[Inputs, NDArray[np.float32]]
"""Network inputs of one patch, and its alpha (H, W) float32, 0..1."""


@dataclass(frozen=True)
class Calibration:
    """What an export in INT8 needs to see; every patch has the size of the export's patches.

    - `name`: where `ranges` come from, for the sidecar.
    - `ranges`: patches whose activations set the scales.
    - `tuning`: drawn scenes on which layers are chosen.
    - `judged`: others, on which the result is accepted or refused.
    - `counts`: how many `ranges`, `tuning` and `judged` are, for progress.
    """

    name: str
    ranges: Iterable[Inputs]
    tuning: Iterable[Scene]
    judged: Iterable[Scene]
    counts: tuple[int, int, int] = (0, 0, 0)
