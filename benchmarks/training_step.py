"""CPU time of training steps in one thread: what composing, the guidance branch's gradient and the crop's size cost.

python benchmarks/training_step.py RUN [--rounds 20] [--megapixels 0.3]

RUN is the folder of a run of ltm-train on drawn alphas; its recipe, photos and libraries are used, nothing in it is
changed. Steps are composed and trained on as ltm-train does it on a CPU in float32: RAdam, clipped gradients, averages.
What is compared takes turns, and each round is compared within itself, since a machine's speed wanders. It is CPU time
of one thread, not wall time: other work may go on. Ctrl-C ends it early, with the rounds there are.
"""

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from litematting_deploy.model import load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from litematting_deploy.system import keep_freed_memory
from litematting_deploy.training.data import Batch
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.recipe import Stage
from litematting_deploy.training.rundir import reopen
from litematting_deploy.training.scenes import Scenes, compose
from litematting_deploy.training.sources import ProceduralSource, procedural_sources

BASE_PX, SIZES_PX = 320, (192, 256, 416)
COMPOSING, WHOLE, FROZEN, IN_PLACE = "composing", "whole gradient", "guidance frozen", "frozen, activations in place"
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU)


class Bench:
    """A network in training on the scenes of a run."""

    def __init__(self, run: Path) -> None:
        begun = reopen(run)
        extra = [Path(folder) if folder else None for folder in (begun.strands, begun.cutouts)]
        source = procedural_sources(begun.recipe, Path(begun.photos), Path(begun.libraries or run), 0, *extra)[0]
        if not isinstance(source, ProceduralSource):
            raise SystemExit(f"{run}: trains on files; give a run on drawn alphas")
        source.prepare(torch.device("cpu"))
        self.source, self.augment, self.rng = source, begun.recipe.augment, np.random.default_rng(0)
        self.module = MattingModule(begun.recipe, load_checkpoint(SHIPPED_CHECKPOINT).train())
        self.optimiser = torch.optim.RAdam(self.module.parameters(), 4e-5, (0.5, 0.999))
        self.average = AveragedModel(self.module.model, multi_avg_fn=get_ema_multi_avg_fn(0.999))  # type: ignore[no-untyped-call]

    def batch(self, stage: Stage) -> Scenes:
        """Compose a batch of a stage."""
        cut = self.source.cut(Batch(0, stage.crop, stage.batch, {}), self.rng)
        return compose(cut, self.augment, self.rng)

    def step(self, scenes: Scenes, stage: Stage, in_place: bool = False) -> None:
        """Take a training step on a batch. in_place: activations overwrite the norm's output before them."""
        for layer in self.module.modules():
            if isinstance(layer, ACTIVATIONS):
                layer.inplace = in_place
        self.module.train_guidance(bool(stage.guidance_every))
        self.optimiser.zero_grad()
        self.module.losses(scenes).total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.module.model)

    def round(self, megapixels: float, turn: int) -> dict[str, float]:
        """Return the CPU seconds per megapixel of everything, each once; `turn` decides what comes first."""
        took: dict[str, float] = {}

        def stage(side: int, guidance_every: int = 0) -> Stage:
            return Stage(1, side, max(1, round(megapixels * 1e6 / side**2)), guidance_every=guidance_every)

        def timed(name: str, one: Stage, work: Callable[[], object]) -> None:
            begun = time.process_time()
            work()
            took[name] = (time.process_time() - begun) / (one.batch * one.crop**2 / 1e6)

        base, whole, kept = stage(BASE_PX), stage(BASE_PX, guidance_every=1), list[Scenes]()
        timed(COMPOSING, base, lambda: kept.append(self.batch(base)))
        works: list[tuple[str, Stage, Callable[[], object]]] = [
            (WHOLE, whole, lambda: self.step(kept[0], whole)),
            (FROZEN, base, lambda: self.step(kept[0], base)),
            (IN_PLACE, base, lambda: self.step(kept[0], base, in_place=True)),
        ]
        for side in SIZES_PX:
            of_size = stage(side)
            scenes = self.batch(of_size)
            works.append((f"{side}²", of_size, lambda s=scenes, o=of_size: self.step(s, o)))  # type: ignore[misc]
        for work in works[:: 1 if turn % 2 else -1]:
            timed(*work)
        return took


def summary(rounds: list[dict[str, float]]) -> None:
    """Print medians and minima, and ratios to the step with the branch frozen, paired by rounds."""
    print(f"{len(rounds)} rounds; CPU seconds per megapixel, and the time beside '{FROZEN}' of the same round")
    base = np.array([took[FROZEN] for took in rounds])
    for name in rounds[0]:
        seconds = np.array([took[name] for took in rounds])
        low, middle, high = np.percentile(seconds / base, (25, 50, 75))
        print(f"{name:30} {np.median(seconds):6.2f} {seconds.min():6.2f}   {middle:.3f} ({low:.3f} to {high:.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--megapixels", type=float, default=0.3, help="of a batch, about")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    bench, rounds = Bench(options.run), list[dict[str, float]]()
    with contextlib.suppress(KeyboardInterrupt):
        for turn in range(options.rounds + 1):
            took = bench.round(options.megapixels, turn)
            print(", ".join(f"{name} {seconds:.2f}" for name, seconds in took.items()), flush=True)
            if turn:  # the first one warms up
                rounds.append(took)
    if rounds:
        summary(rounds)


if __name__ == "__main__":
    main()
