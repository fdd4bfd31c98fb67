"""The variants of LiteMatting as one small value."""

from dataclasses import dataclass
from typing import Literal

Norm = Literal["group", "batch"]
EnbPooling = Literal["pyramid", "max", "average", "none"]
PoolingForm = Literal["adaptive", "matmul", "conv"]


@dataclass(frozen=True)
class ModelConfig:
    """Which LiteMatting to build; the defaults are the full network of the paper.

    enb: include the Efficient Non-Local Block and its low-level guidance branch (section 3.3).
    lsrppm: include the Long-Short Range Pyramid Pooling Module (section 3.2).
    norm: "group" as in the paper, or "batch" for its ablation (Table 3).
    enb_pooling: how the ENB samples key and value (Table 4): "pyramid" to 1, 3, 6 and 8 cells a side, "max" or
        "average" to 15, "none" for the common non-local block.
    pooling: the form of adaptive average pooling: "adaptive" is PyTorch's own, "matmul" the same sums as products
        with constant averaging matrices, which every ONNX consumer can run, "conv" those products as 1x1
        convolutions. The results are equal.
    """

    enb: bool = True
    lsrppm: bool = True
    norm: Norm = "group"
    enb_pooling: EnbPooling = "pyramid"
    pooling: PoolingForm = "adaptive"

    def __post_init__(self) -> None:
        if self.pooling != "adaptive" and self.enb and self.enb_pooling == "max":
            raise ValueError(
                'maximum pooling cannot be written as a matrix product; use pooling="adaptive" with enb_pooling="max"'
            )
