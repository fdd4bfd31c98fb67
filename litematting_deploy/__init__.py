"""litematting-deploy: LiteMatting (ACCV 2022) from checkpoint to production mattes.

The names below are imported when first used, so that `import litematting_deploy` needs neither PyTorch nor a GPU.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .benchmarks.spec import BenchSpec
    from .benchmarks.suite import benchmark
    from .engines.tensorrt.builder import build_engine
    from .errors import LiteMattingError
    from .evaluation import metrics
    from .evaluation.runner import evaluate_dataset
    from .export.exporter import export_onnx
    from .export.spec import ExportSpec
    from .images.encode import write_image
    from .images.mask import read_mask, read_trimap
    from .images.photo import read_image
    from .jobs.api import matte_clip, matte_folder, matte_on_cluster, matte_photo
    from .jobs.arrays import cut_out, make_trimap
    from .jobs.photo import PhotoResult
    from .jobs.progress import JobProgress, JobResult
    from .model import load_checkpoint
    from .runtime import Matter, load_engine
    from .segmentation.model import Segmenter
    from .specs import ClusterSpec, EngineSpec, JobSpec, OutputSpec, PlanSpec, TrimapSpec

__version__ = "0.1.0"

__all__ = [
    "BenchSpec",
    "ClusterSpec",
    "EngineSpec",
    "ExportSpec",
    "JobProgress",
    "JobResult",
    "JobSpec",
    "LiteMattingError",
    "Matter",
    "OutputSpec",
    "PhotoResult",
    "PlanSpec",
    "Segmenter",
    "TrimapSpec",
    "benchmark",
    "build_engine",
    "cut_out",
    "evaluate_dataset",
    "export_onnx",
    "load_checkpoint",
    "load_engine",
    "make_trimap",
    "matte_clip",
    "matte_folder",
    "matte_on_cluster",
    "matte_photo",
    "metrics",
    "read_image",
    "read_mask",
    "read_trimap",
    "write_image",
]

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

if not TYPE_CHECKING:  # a type checker shall mind a name that is not there

    def __getattr__(name: str) -> Any:
        for module, names in _NAMES_BY_MODULE.items():
            if name in names:
                return getattr(importlib.import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
