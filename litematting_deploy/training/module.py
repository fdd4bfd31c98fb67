"""The Lightning module (RAdam, validation on held-out scenes), and the paper's losses, equations (10) to (13)."""

import math
from typing import Any, NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.nn import functional

from ..model import LiteMatting
from .fused import channels_last, fuse
from .recipe import Recipe
from .scenes import Scenes

PYRAMID_LEVELS = 5


class Losses(NamedTuple):
    """Scalars: the three losses and their sum (13), with lambda 1 each."""

    total: Tensor
    alpha: Tensor
    composition: Tensor
    laplacian: Tensor


def matting_losses(
    prediction: Tensor, alpha: Tensor, unknown: Tensor, image: Tensor, foreground: Tensor, background: Tensor
) -> Losses:
    """Return equation (13) with every lambda 1, in float32.

    prediction: (N, 1, H, W), unclamped.
    alpha: (N, 1, H, W), 0..1.
    unknown: (N, 1, H, W), 0 or 1.
    image, foreground, background: (N, 3, H, W), 0..1.

    As printed, (11) and (12) are sums over pixels, which would dwarf the mean (10). All three are divided by the
    number of unknown pixels in the batch. Known pixels, which inference overwrites, take part in none of them: the
    prediction there is replaced by the truth.
    """
    prediction = torch.where(unknown > 0, prediction.float(), alpha)
    count = unknown.sum().clamp(min=1)
    by_alpha = ((prediction - alpha).abs() * unknown).sum() / count
    # The three channels of a pixel are summed.
    difference = image - background - prediction * (foreground - background)
    by_composition = (difference.abs() * unknown).sum() / count
    by_laplacian = laplacian(prediction, alpha) / count
    return Losses(by_alpha + by_composition + by_laplacian, by_alpha, by_composition, by_laplacian)


def laplacian(prediction: Tensor, alpha: Tensor) -> Tensor:
    """Return equation (12), a sum: five levels of the Laplacian pyramid, level s weighed by 2^(s-1).

    Both (N, 1, H, W), H and W multiples of 32.
    """
    # The pyramid is linear, so that of the difference is the difference of the two.
    levels = laplacian_pyramid(prediction - alpha)
    return torch.stack([2.0**s * level.abs().sum() for s, level in enumerate(levels)]).sum()


def laplacian_pyramid(image: Tensor, levels: int = PYRAMID_LEVELS) -> list[Tensor]:
    """Return the band-pass levels of (N, 1, H, W), finest first: each is the image less its blurred half, enlarged
    again."""
    weights = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=image.device) / 16
    kernel = torch.outer(weights, weights)[None, None]
    pyramid = []
    for _ in range(levels):
        smaller = _blur(image, kernel)[..., ::2, ::2]
        enlarged = image.new_zeros(image.shape)
        enlarged[..., ::2, ::2] = smaller * 4
        pyramid.append(image - _blur(enlarged, kernel, mode="constant"))
        image = smaller
    return pyramid


def _blur(image: Tensor, kernel: Tensor, mode: str = "reflect") -> Tensor:
    """Blur (N, 1, H, W) by a 5 x 5 kernel, (1, 1, 5, 5); `mode` says what lies outside."""
    return functional.conv2d(functional.pad(image, (2, 2, 2, 2), mode=mode), kernel)


class MattingModule(pl.LightningModule):
    """LiteMatting in training. Batches are `Scenes`.

    recipe: for the rates, the stages and whether the network is compiled. model: is trained in place. fused: whether
    the network is computed with the kernels of `fused`, which must have been built.
    """

    def __init__(self, recipe: Recipe, model: LiteMatting, fused: bool = False) -> None:
        super().__init__()
        self.recipe = recipe
        self.model = model
        self._fused = fused
        if fused:
            fuse(model)
        # Beside the module, not in it: the state dict keeps the published names.
        self._forward = torch.compile(model.unclamped) if recipe.compile else model.unclamped

    def losses(self, scenes: Scenes) -> Losses:
        """Return the losses of the current weights on a batch."""
        return self._losses(self._raw(scenes), scenes)

    def train_guidance(self, trained: bool) -> None:
        """Let gradients reach the guidance branch from now on, or keep them from it."""
        for parameter in self.model.get_submodule("layerx").parameters():
            parameter.requires_grad_(trained)
            if not trained:
                parameter.grad = None  # or the optimiser would go on with the last one

    def on_train_batch_start(self, *_: Any) -> None:
        """Train the guidance branch at this step, or not, as its stage says."""
        step = self.trainer.global_step
        self.train_guidance(self.recipe.stage_at(step).trains_guidance(step))

    def training_step(self, scenes: Scenes, _: int) -> Tensor:
        """Return the loss of a batch, and log its parts."""
        losses = self.losses(scenes)
        self.log_dict({f"train/{name}": value.detach() for name, value in losses._asdict().items()})
        return losses.total

    def validation_step(self, scenes: Scenes, _: int) -> Tensor:
        """Log the mean error and MSE over unknown pixels and the losses; return predictions (N, 1, H, W), 0..1."""
        raw = self._raw(scenes).float()
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
        """Return RAdam with the recipe's rates."""
        settings = self.recipe.optimiser
        optimiser = torch.optim.RAdam(self.model.parameters(), settings.learning_rate, settings.betas)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _raw(self, scenes: Scenes) -> Tensor:
        """Return the network's output for a batch: (N, 1, H, W), unclamped."""
        inputs = (scenes.image, scenes.trimap, scenes.guide)
        raw: Tensor = self._forward(*map(channels_last, inputs) if self._fused else inputs)
        return raw

    def _losses(self, prediction: Tensor, scenes: Scenes) -> Losses:
        """Return the losses in float32, whatever the precision; the image in (11) is the one without noise."""
        clean = scenes.alpha * scenes.foreground + (1 - scenes.alpha) * scenes.background
        with torch.autocast(self.device.type, enabled=False):
            return matting_losses(
                prediction, scenes.alpha, scenes.trimap[:, 1:2], clean, scenes.foreground, scenes.background
            )

    def _rate(self, step: int) -> float:
        """Return the factor on the recipe's learning rate at a step, from 0."""
        settings = self.recipe.optimiser
        warm = min(1.0, (step + 1) / (settings.warmup_steps + 1))
        if settings.schedule == "constant":
            return warm
        if settings.schedule == "cooldown":
            return warm * (1 - math.sqrt(min(1.0, step / self.recipe.steps)))
        return warm * (1 + math.cos(math.pi * min(1.0, step / self.recipe.steps))) / 2
