"""Train in bfloat16 on a CPU with fewer passes through memory.

PyTorch runs norms, activations and depthwise convolutions one after another, and each reads and writes whole maps,
which do not fit in the cache. They took more than half of a step. The kernels here merge consecutive operations and
keep maps in channels-last order (N, H, W, C), in which PyTorch's convolutions are faster, but its group norm is slower
(benchmarks/NOTES.md). They are compiled when a run begins; without a compiler, or on a processor without AVX512-BF16,
PyTorch's operations are used.

build       compiles the kernels and calls them         functions   makes them differentiable
layers      puts them into the network                  *.cpp, *.h  the kernels
"""

from .build import kernels
from .functions import channels_last
from .layers import fuse

__all__ = ["channels_last", "fuse", "kernels"]
