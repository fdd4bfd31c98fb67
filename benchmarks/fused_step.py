"""Measure the CPU time of a bfloat16 training step with and without the kernels of `training.fused`, in one thread.

python benchmarks/fused_step.py [--crop 384] [--batch 2] [--rounds 10]

Both networks take turns on noise, and each round is compared within itself, because a machine's speed drifts. It is CPU
time of one thread, not wall time: other work may go on.
"""

import argparse
import time

import numpy as np
import torch

from litematting_deploy.model import load_checkpoint
from litematting_deploy.runtime.shipped import SHIPPED_CHECKPOINT
from litematting_deploy.system import keep_freed_memory
from litematting_deploy.training.fused import kernels
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.plan import noise
from litematting_deploy.training.recipe import Recipe
from litematting_deploy.training.scenes import Scenes


def step_s(module: MattingModule, scenes: Scenes) -> float:
    """Return the CPU seconds of a forward and backward pass."""
    begun = time.process_time()
    with torch.autocast("cpu", torch.bfloat16):
        total = module.losses(scenes).total
    total.backward()  # type: ignore[no-untyped-call]
    module.zero_grad()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in (("crop", 384), ("batch", 2), ("rounds", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    if kernels().library is None:
        raise SystemExit(f"no kernels: {kernels().reason}")
    torch.set_num_threads(1)
    keep_freed_memory()
    scenes = noise(arguments.crop, arguments.batch, torch.device("cpu"))
    modules = [MattingModule(Recipe(), load_checkpoint(SHIPPED_CHECKPOINT).train(), fused) for fused in (False, True)]
    for module in modules:
        step_s(module, scenes)
    taken = np.array([[step_s(module, scenes) for module in modules] for _ in range(arguments.rounds)])
    plain, fused = np.median(taken, axis=0)
    low, middle, high = np.quantile(taken[:, 0] / taken[:, 1], (0.25, 0.5, 0.75))
    print(f"{arguments.batch} x {arguments.crop}²: {plain:.2f} s without and {fused:.2f} s with the kernels (medians)")
    print(f"{middle:.2f} times as fast (quartiles {low:.2f} and {high:.2f}, {arguments.rounds} rounds)")


if __name__ == "__main__":
    main()
