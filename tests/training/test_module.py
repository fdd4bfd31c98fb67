"""A training step changes every part of the network that is not frozen."""

from types import SimpleNamespace

import torch

from litematting_deploy.model import LiteMatting
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.recipe import Optimiser, Recipe, Stage
from litematting_deploy.training.scenes import Scenes


def random_scenes(size: int = 64) -> Scenes:
    torch.manual_seed(5)
    image, foreground, background = (torch.rand(1, 3, size, size) for _ in range(3))
    trimap = torch.zeros(1, 3, size, size)
    trimap[:, 1] = 1
    return Scenes(image, trimap, torch.rand(1, 2, size, size), torch.rand(1, 1, size, size), foreground, background)


def test_the_guidance_branch_is_trained_at_the_steps_that_the_stage_names() -> None:
    stages = (
        Stage(steps=2, crop=64, batch=1, guidance_every=0),
        Stage(steps=4, crop=64, batch=1, guidance_every=3),
        Stage(steps=1, crop=64, batch=1),
    )
    recipe = Recipe(precision="32-true", stages=stages, optimiser=Optimiser(learning_rate=1e-2))
    torch.manual_seed(1)
    module = MattingModule(recipe, LiteMatting().train())
    optimiser = torch.optim.RAdam(module.parameters(), 1e-2, (0.5, 0.999))
    for step in range(7):
        before = {name: value.clone() for name, value in module.model.state_dict().items()}
        module._trainer = SimpleNamespace(global_step=step)  # type: ignore[assignment]
        module.on_train_batch_start(None, step)
        optimiser.zero_grad()
        module.losses(random_scenes()).total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        after = module.model.state_dict()
        changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
        assert ("layerx" in changed) == (step in (3, 6))
        assert {"layer0", "gfnb", "ppm", "uper5", "out"} <= changed
