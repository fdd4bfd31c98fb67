"""One engine for several threads: one call at a time, which takes the patches of as many of them as it has room for."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..engines import Engine
from ..engines.base import Batch
from ..errors import LiteMattingError
from ..runtime import Matter, open_matter
from ..runtime.on_device import OnDevice
from ..specs import EngineSpec, PlanSpec

Inputs = tuple[Any, ...]


def open_shared(engine: EngineSpec, plan: PlanSpec) -> Matter:
    """Open an engine, and return the matter that runs it for several threads. Raises what `open_matter` raises.

    A device has a lock and a full batch of its own; calls of an engine on the host are put together where more than one
    patch goes to it at a time: with `batch`, or where it was exported or built for several.
    """
    matter = open_matter(engine, plan)
    if isinstance(matter.engine, OnDevice):
        return matter
    most = engine.batch or matter.engine.batch or matter.engine.most or 1
    return Matter(SharedEngine(matter.engine, most), **asdict(plan))


@dataclass(eq=False)
class _Patches:
    """The patches of one thread, and what became of them."""

    inputs: Inputs
    alpha: Batch | None = None

    @property
    def count(self) -> int:
        return len(self.inputs[0])


class SharedEngine(Engine):
    """An engine on the host for several threads; equal patches give equal alphas whatever runs beside them.

    What one thread gives is never split. A network of fixed batch computes all of it in any case, so a call that is
    full costs no more than one that is not.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        """most: patches of a call. Closing this one closes the engine."""
        self._engine = engine
        self.name, self.device, self.version = engine.name, engine.device, engine.version
        self.patch_hw, self.precision, self.weights_sha256 = engine.patch_hw, engine.precision, engine.weights_sha256
        self.batch, self.most, self.reach, self._room = None, most, engine.reach, most
        self._turn = threading.Lock()
        self._waiting: list[_Patches] = []

    def run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        """Estimate alpha as `Engine.run`, when it is this thread's turn."""
        return self._in_turn(self._run, (image, trimap, guide))

    def run_pixels(self, image: Any, trimap: Any) -> Batch:
        """Estimate alpha as `Engine.run_pixels`, when it is this thread's turn."""
        return self._in_turn(self._run_pixels, (image, trimap))

    def _run(self, image: Batch, trimap: Batch, guide: Batch) -> Batch:
        return self._engine.run(image, trimap, guide)

    def _run_pixels(self, image: Any, trimap: Any) -> Batch:
        return self._engine.run_pixels(image, trimap)

    def _in_turn(self, run: Callable[..., Batch], inputs: Inputs) -> Batch:
        """Return the alphas of patches: another thread's call has taken them along, or this one's takes others'."""
        self.check_open()
        mine = _Patches(inputs)
        self._waiting.append(mine)
        try:
            with self._turn:
                if mine.alpha is None:
                    self._lead(run, mine)
        finally:
            self._waiting.remove(mine)
        assert mine.alpha is not None
        return mine.alpha

    def _lead(self, run: Callable[..., Batch], mine: _Patches) -> None:
        """Run a call with the patches of this thread and, in their order, of others that wait; raise its own errors."""
        taken, room = [mine], self._room - mine.count
        for other in list(self._waiting):
            if other is not mine and other.alpha is None and other.count <= room:
                taken.append(other)
                room -= other.count
        try:
            alphas = run(*map(np.concatenate, zip(*(each.inputs for each in taken), strict=True)))
        except LiteMattingError:
            # Whose patches are at fault, the engine does not say. The others take their own turns.
            if len(taken) == 1:
                raise
            alphas, taken = run(*mine.inputs), [mine]
        first = 0
        for each in taken:
            each.alpha = alphas[first : first + each.count]
            first += each.count

    def describe(self) -> str:
        """Return one line for people, as the engine itself does."""
        return self._engine.describe()

    def close(self) -> None:
        """Close the engine, once no call runs."""
        with self._turn:
            self.closed = True
            self._engine.close()
