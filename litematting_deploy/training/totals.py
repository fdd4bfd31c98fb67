"""What a run has computed in all: steps, crops, megapixels, CPU seconds, in `totals.json` and in its checkpoints."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from ..files import replace_file
from ..system import cpu_seconds, instruction_set
from .recipe import Recipe, recipe_sha256
from .scenes import Scenes

TOTALS = "totals.json"


class Totals(Callback):
    """Counts what a run computes, over all its processes and the run that it continues.

    Steps that a killed run repeats count once, their CPU seconds not at all: what is counted lies in the checkpoint.
    `continued` is the part that another run had computed when this one began to continue it.
    """

    def __init__(self, run: Path, recipe: Recipe) -> None:
        self.run, self.recipe = run, recipe
        self.counted = {"steps": 0, "crops": 0, "megapixels": 0.0}
        self.utc_begun = _now()
        self.cpu_before_s = self.cpu_s = 0.0
        self.continued = self._figures()

    def follow(self, state: dict[str, Any] | None) -> None:
        """Begin with the totals of another run's checkpoint; None where it is from before there were totals."""
        if state is not None:
            self.load_state_dict(state)
            self.cpu_s = self.cpu_before_s
        self.continued = self._figures()

    def on_train_batch_end(self, trainer: pl.Trainer, _: pl.LightningModule, __: Any, batch: Scenes, *___: Any) -> None:
        crops = len(batch.image) * trainer.world_size
        height, width = batch.image.shape[2:]
        self.counted["steps"] += 1
        self.counted["crops"] += crops
        self.counted["megapixels"] += crops * height * width / 1e6

    def take(self, trainer: pl.Trainer) -> None:
        """Read the clocks of all processes of the run. Comes before a checkpoint, in each of them."""
        own_s = torch.tensor(cpu_seconds(), device=trainer.strategy.root_device)
        self.cpu_s = self.cpu_before_s + float(trainer.strategy.reduce(own_s, reduce_op="sum"))

    def write(self) -> None:
        """Write `totals.json` into the run's folder. Comes after a checkpoint, so that it never tells of more."""
        about = {
            "utc_begun": self.utc_begun,
            "utc": _now(),
            **self._figures(),
            "continued": self.continued,
            "instruction_set": instruction_set(),
            "recipe_sha256": recipe_sha256(self.recipe),
        }
        replace_file(self.run / TOTALS, (json.dumps(about, indent=1) + "\n").encode())

    def state_dict(self) -> dict[str, Any]:
        counted, continued = dict(self.counted), dict(self.continued)
        return {"counted": counted, "continued": continued, "utc_begun": self.utc_begun, "cpu_s": self.cpu_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counted = dict(state_dict["counted"])
        self.utc_begun, self.cpu_before_s = state_dict["utc_begun"], state_dict["cpu_s"]
        # Checkpoints from before this was counted have none.
        self.continued = dict(state_dict.get("continued", self.continued))

    def _figures(self) -> dict[str, float]:
        steps, crops, megapixels = self.counted["steps"], self.counted["crops"], round(self.counted["megapixels"], 3)
        return {"steps": steps, "crops": crops, "megapixels": megapixels, "cpu_seconds": round(self.cpu_s, 1)}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
