"""The checks there are. Knows none of them by import, so that a broken library leaves the list whole."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """name: in the table. function: `module:function` of this package, which returns a `found.Found`. needed: the
    default path, `ltm-infer` on the CPU with the shipped weights, stands on it. timeout_s: for its process."""

    name: str
    function: str
    needed: bool = False
    timeout_s: float = 60

    @property
    def group(self) -> str:
        """`files`, `host` or `gpu`."""
        return self.function.partition(":")[0]


CHECKS = (
    Check("shipped weights", "files:shipped", needed=True),
    Check("image formats", "files:images", needed=True),
    Check("OpenEXR", "files:openexr"),
    Check("HEIC and AVIF", "files:containers"),
    Check("clips", "files:clips"),
    Check("cache folder", "files:cache"),
    Check("ONNX Runtime on the CPU", "host:onnxruntime_cpu", needed=True, timeout_s=120),
    Check("PyTorch on the CPU", "host:pytorch_cpu", timeout_s=120),
    Check("Triton client", "host:triton"),
    # its first import on a machine compiles for half a minute
    Check("foreground colours", "host:foreground", timeout_s=180),
    Check("kernels compile", "host:kernels"),
    Check("ltm-build for RTX GPUs", "host:tensorrt_rtx"),
    Check("NVIDIA driver", "gpu:driver"),
    Check("kernels run", "gpu:cuda_python"),
    Check("kernels run, PyCUDA", "gpu:pycuda"),
    Check("ONNX Runtime, CUDA", "gpu:onnxruntime_cuda", timeout_s=120),
    Check("ONNX Runtime, TensorRT", "gpu:onnxruntime_tensorrt", timeout_s=180),
    Check("PyTorch on CUDA", "gpu:pytorch_cuda", timeout_s=120),
    Check("TensorRT engines", "gpu:tensorrt", timeout_s=180),
    Check("TensorRT for RTX engines", "gpu:tensorrt_rtx", timeout_s=120),
)
