"""What a benchmark measures, and how."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from ..export.spec import check_side
from ..parameters import ABOVE_0, Range
from ..runtime.shipped import SHIPPED_CHECKPOINT
from ..specs import Spec
from . import backends
from .timing import Effort


@dataclass(frozen=True, kw_only=True)
class BenchSpec(Spec):
    """What to measure, and how.

    - `resolution`: side of the patches of backends in pixels, a multiple of 32; files have their own.
    - `backends`: libraries to measure, by the names in `backends.BACKENDS`: `all`, one, or a family such as `pytorch`.
    - `engines`: files to measure as they are.
    - `batches`: patches per run; each is a row.
    - `threads`: on the CPU; None for all cores.
    - `effort`: how long to measure.
    - `checkpoint`: the weights that backends run and that alphas are compared with. By default, those of `engines` are
      compared with the checkpoints that their sidecars name.
    - `tolerance`: largest difference of alpha; None for that of each row's precision.
    - `trust`: TensorRT engines without their sidecars are run.
    - `variants`: all networks of the paper are counted, and not only the full one.
    """

    resolution: int = 1024
    backends: tuple[str, ...] = ()
    engines: tuple[Path, ...] = ()
    batches: Annotated[tuple[int, ...], Range(1)] = (1,)
    threads: Annotated[int | None, Range(1)] = None
    effort: Effort = field(default_factory=Effort)
    checkpoint: Path = SHIPPED_CHECKPOINT
    tolerance: Annotated[float | None, ABOVE_0] = None
    trust: bool = False
    variants: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_side("resolution", self.resolution)
        backends.chosen(self.backends)

    @property
    def patch_hw(self) -> tuple[int, int]:
        """The patch size of backends."""
        return self.resolution, self.resolution
