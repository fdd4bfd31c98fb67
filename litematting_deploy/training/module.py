"""The Lightning module: losses on the unclamped output, RAdam, validation on held-out scenes."""

import math
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from ..model import LiteMatting
from .losses import Losses, matting_losses
from .recipe import Recipe, Stage
from .scenes import Scenes


class MattingModule(pl.LightningModule):
    """LiteMatting in training. Batches are `Scenes`."""

    def __init__(self, recipe: Recipe, model: LiteMatting) -> None:
        super().__init__()
        self.recipe = recipe
        self.model = model
        # Beside the module, not in it: the state dict keeps the published names.
        self._forward = torch.compile(model.unclamped) if recipe.compile else model.unclamped

    def losses(self, scenes: Scenes) -> Losses:
        """Return the losses of the current weights on a batch."""
        return self._losses(self._predict(scenes), scenes)

    def freeze_guidance(self, stage: Stage) -> None:
        """Let gradients reach the guidance branch, or keep them from it, as the stage says."""
        for parameter in self.model.get_submodule("layerx").parameters():
            parameter.requires_grad_(not stage.freeze_guidance)
            if stage.freeze_guidance:
                parameter.grad = None  # or the optimiser would go on with the last one

    def on_train_batch_start(self, *_: Any) -> None:
        self.freeze_guidance(self.recipe.stage_at(self.trainer.global_step))

    def training_step(self, scenes: Scenes, _: int) -> Tensor:
        losses = self.losses(scenes)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses._asdict().items()})
        return losses.total

    def validation_step(self, scenes: Scenes, _: int) -> Tensor:
        """Log the mean error and MSE over unknown pixels and the losses; return predictions (N, 1, H, W), 0..1."""
        raw = self._predict(scenes).float()
        unknown = scenes.trimap[:, 1:2]
        alpha = torch.where(unknown > 0, raw.clamp(0, 1), scenes.alpha)
        count = unknown.sum().clamp(min=1)
        measured = {
            "error": ((alpha - scenes.alpha).abs()).sum() / count,
            "mse": (alpha - scenes.alpha).square().sum() / count,
            "loss": self._losses(raw, scenes).total,
        }
        self.log_dict({f"validation/{name}": value for name, value in measured.items()}, sync_dist=True)
        return alpha

    def configure_optimizers(self) -> Any:
        settings = self.recipe.optimiser
        optimiser = torch.optim.RAdam(self.model.parameters(), settings.learning_rate, settings.betas)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _predict(self, scenes: Scenes) -> Tensor:
        return self._forward(scenes.image, scenes.trimap, scenes.guide)

    def _losses(self, prediction: Tensor, scenes: Scenes) -> Losses:
        clean = scenes.alpha * scenes.foreground + (1 - scenes.alpha) * scenes.background
        with torch.autocast(self.device.type, enabled=False):
            return matting_losses(
                prediction, scenes.alpha, scenes.trimap[:, 1:2], clean, scenes.foreground, scenes.background
            )

    def _rate(self, step: int) -> float:
        settings = self.recipe.optimiser
        warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
        if settings.schedule == "constant":
            return warm
        if settings.schedule == "cooldown":
            return warm * (1 - math.sqrt(min(1.0, step / self.recipe.steps)))
        return warm * (1 + math.cos(math.pi * min(1.0, step / self.recipe.steps))) / 2
