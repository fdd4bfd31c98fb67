"""Which parts of the network a training step changes, and what that costs."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy

from litematting_deploy.errors import UsageError
from litematting_deploy.model import LiteMatting
from litematting_deploy.training import plan
from litematting_deploy.training.module import MattingModule
from litematting_deploy.training.recipe import Optimiser, Recipe, Stage, read_recipe
from litematting_deploy.training.run import _strategy
from litematting_deploy.training.rundir import Begun, keep, reopen
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
        assert ("layerx" in changed) == (step in (2, 5, 6))
        assert {"layer0", "gfnb", "ppm", "uper5", "out"} <= changed


@pytest.mark.parametrize(("every", "shares"), [(0, {False: 1}), (1, {True: 1}), (4, {True: 0.25, False: 0.75})])
def test_the_shares_of_steps_are_those_that_a_run_takes(every: int, shares: dict[bool, float]) -> None:
    stage = Stage(steps=8, crop=64, batch=1, guidance_every=every)
    assert stage.shares == shares
    assert sum(stage.trains_guidance(step) for step in range(8)) == 8 * shares.get(True, 0)


@pytest.mark.parametrize("every", [-1, 2.5, "2"])
def test_a_stage_refuses_what_is_no_number_of_steps(every: object, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(f"[[stages]]\nguidance_every = {every!r}\n")
    with pytest.raises(UsageError, match="guidance_every"):
        read_recipe(tmp_path / "r.toml")


def test_the_plan_of_mixed_steps_lies_between_and_holds_what_the_largest_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        plan, "_tried", lambda module, *_: plan.Need(3.0, 30.0) if _trained(module) else plan.Need(1.0, 10.0)
    )
    stages = tuple(Stage(steps=8, crop=128, batch=1, guidance_every=every) for every in (0, 4, 1))
    found = plan.needs(Recipe(stages=stages), "32-true", torch.device("cpu"))
    assert found == [(1.0, 10.0), (1.5, 30.0), (3.0, 30.0)]


def _trained(module: MattingModule) -> bool:
    return all(value.requires_grad for value in module.model.get_submodule("layerx").parameters())


@pytest.mark.parametrize(("every", "unused"), [(1, False), (3, True), (0, True)])
def test_processes_expect_gradients_to_lack_where_a_branch_is_not_always_trained(every: int, unused: bool) -> None:
    recipe = Recipe(stages=(Stage(steps=8, crop=64, batch=1, guidance_every=every),))
    strategy = _strategy(recipe, 2)
    assert isinstance(strategy, DDPStrategy)
    assert strategy._ddp_kwargs["find_unused_parameters"] is unused


@pytest.mark.parametrize(("frozen", "every"), [(True, 0), (False, 1)])
def test_a_run_that_an_earlier_version_began_goes_on(frozen: bool, every: int, tmp_path: Path) -> None:
    keep(tmp_path, Begun(Recipe(stages=(Stage(steps=8, crop=64, batch=1),)), photos="photos"))
    said = json.loads((tmp_path / "run.json").read_text())
    del said["recipe"]["stages"][0]["guidance_every"]
    said["recipe"]["stages"][0]["freeze_guidance"] = frozen
    (tmp_path / "run.json").write_text(json.dumps(said, indent=1))
    assert reopen(tmp_path).recipe.stages[0].guidance_every == every
