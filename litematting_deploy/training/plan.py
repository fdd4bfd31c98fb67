"""What a run is going to do, said before it does it: what is drawn, how long and how large, and how much is trained."""

import os
import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from .data import ProceduralSource, Source
from .drawing import SHARD
from .recipe import Recipe

_MIB = 2**20


def plan(recipe: Recipe, sources: Sequence[Source], workers: int, devices: int) -> list[str]:
    """Return the plan in lines. Draws a layer of each library that is not complete, to see how long it takes.

    Few layers tell the time of many only roughly: families differ by a factor of ten.
    """
    samples = recipe.samples * devices
    megapixels = sum(stage.steps * stage.batch * stage.crop**2 for stage in recipe.stages) * devices / 1e6
    lines = [
        f"plan: {recipe.steps} steps, {samples} samples, {megapixels:.0f} megapixels; "
        f"{recipe.validation_scenes} held-out scenes every {recipe.validate_every} steps, before and after"
    ]
    for source in sources:
        if isinstance(source, ProceduralSource):
            for library in filter(None, (source.library, source.coloured)):
                layers = len(library.missing()) * SHARD
                if layers:
                    each_s = _layer_s(library.stream.draw) / min(workers, os.cpu_count() or 1)
                    size_mib = layers * library.stream.planes * library.stream.size**2 / _MIB
                    lines.append(
                        f"plan: draws {layers} alphas of {library.stream.size}² in {library.folder}: "
                        f"{size_mib:.0f} MiB on disk, roughly {each_s * layers / 60:.1f} min"
                    )
    return lines


def _layer_s(draw: Callable[[int], object]) -> float:
    """Return the mean seconds of the first two layers."""
    begun = time.perf_counter()
    for number in range(2):
        draw(number)
    return (time.perf_counter() - begun) / 2


class Drawing(Progress):
    """A bar for each library that is drawn, on a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        super().__init__(*columns, console=console, disable=not console.is_terminal)
        self._named: dict[str, TaskID] = {}

    def show(self, name: str, count: int, done: int) -> None:
        """Show that `done` of `count` are there."""
        if name not in self._named:
            self._named[name] = self.add_task(name, total=count)
        self.update(self._named[name], completed=done)
