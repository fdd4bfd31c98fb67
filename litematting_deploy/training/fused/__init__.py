"""Training in bfloat16 on a CPU, with norms, activations and depthwise convolutions in fewer passes through memory.

PyTorch runs these one after the other, and each reads and writes whole maps, which are too large for the cache: they
took more than half the time of a step. The kernels here join what follows each other and keep maps in the order (N, H,
W, C), for which PyTorch's convolutions are two to four times as fast, but its group norm is not (benchmarks/NOTES.md).
They are compiled when a run begins. Without a compiler, or on other processors, PyTorch's own are used.

build       compiles the kernels and calls them         functions   makes them differentiable
layers      puts them into the network                  *.cpp, *.h  the kernels
"""

from .build import kernels
from .functions import channels_last
from .layers import fuse

__all__ = ["channels_last", "fuse", "kernels"]
