"""litematting-deploy: LiteMatting (ACCV 2022) from checkpoint to production mattes.

The names below are imported when first used, so that `import litematting_deploy` needs neither PyTorch nor a GPU.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .benchmarks.spec import BenchSpec as BenchSpec
    from .benchmarks.suite import benchmark as benchmark
    from .engines.tensorrt.builder import build_engine as build_engine
    from .errors import LiteMattingError as LiteMattingError
    from .evaluation import metrics as metrics
    from .evaluation.runner import evaluate_dataset as evaluate_dataset
    from .export.exporter import export_onnx as export_onnx
    from .export.spec import ExportSpec as ExportSpec
    from .images.encode import write_image as write_image
    from .images.mask import read_mask as read_mask
    from .images.mask import read_trimap as read_trimap
    from .images.photo import read_image as read_image
    from .jobs.api import matte_clip as matte_clip
    from .jobs.api import matte_folder as matte_folder
    from .jobs.api import matte_on_cluster as matte_on_cluster
    from .jobs.api import matte_photo as matte_photo
    from .jobs.arrays import cut_out as cut_out
    from .jobs.arrays import make_trimap as make_trimap
    from .jobs.photo import PhotoResult as PhotoResult
    from .jobs.progress import JobProgress as JobProgress
    from .jobs.progress import JobResult as JobResult
    from .model import load_checkpoint as load_checkpoint
    from .runtime import Matter as Matter
    from .runtime import load_engine as load_engine
    from .segmentation.model import Segmenter as Segmenter
    from .specs import ClusterSpec as ClusterSpec
    from .specs import EngineSpec as EngineSpec
    from .specs import JobSpec as JobSpec
    from .specs import OutputSpec as OutputSpec
    from .specs import PlanSpec as PlanSpec
    from .specs import TrimapSpec as TrimapSpec

__version__ = "0.1.0"

_NAMES_BY_MODULE = {
    "benchmarks.spec": ("BenchSpec",),
    "benchmarks.suite": ("benchmark",),
    "engines.tensorrt.builder": ("build_engine",),
    "errors": ("LiteMattingError",),
    "evaluation": ("metrics",),
    "evaluation.runner": ("evaluate_dataset",),
    "export.exporter": ("export_onnx",),
    "export.spec": ("ExportSpec",),
    "images.encode": ("write_image",),
    "images.mask": ("read_mask", "read_trimap"),
    "images.photo": ("read_image",),
    "jobs.api": ("matte_clip", "matte_folder", "matte_on_cluster", "matte_photo"),
    "jobs.arrays": ("cut_out", "make_trimap"),
    "jobs.photo": ("PhotoResult",),
    "jobs.progress": ("JobProgress", "JobResult"),
    "model": ("load_checkpoint",),
    "runtime": ("Matter", "load_engine"),
    "segmentation.model": ("Segmenter",),
    "specs": ("ClusterSpec", "EngineSpec", "JobSpec", "OutputSpec", "PlanSpec", "TrimapSpec"),
}
__all__ = sorted(name for names in _NAMES_BY_MODULE.values() for name in names)

if not TYPE_CHECKING:  # a type checker shall mind a name that is not there

    def __getattr__(name: str) -> Any:
        for module, names in _NAMES_BY_MODULE.items():
            if name in names:
                return getattr(importlib.import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
