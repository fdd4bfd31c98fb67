"""The memory traffic that bounds the network on a GPU: an estimate, and this device's bandwidth, measured."""

from ..runtime.cuda.protocol import Cuda

# The project's reference page, "Complexity at 1024²": bytes that the convolutions read and write in FP16 for one 1024²
# patch, and those of a group norm pass after each. Part of it can stay in a large cache: a run may be faster.
CONVOLUTIONS_BYTES, NORMS_BYTES = 4.41e9, 4.08e9
_AT_PIXELS, _AT_ITEMSIZE = 1024 * 1024, 2
_ITEMSIZES = {"fp16": 2, "tf32": 4, "fp32": 4}
_COPY_BYTES, _COPIES = 1 << 28, 10


def estimate(patch_hw: tuple[int, int], batch: int, precision: str) -> tuple[float, float]:
    """Bytes of one run: of the convolutions alone, and with the passes of group norm."""
    scale = batch * patch_hw[0] * patch_hw[1] / _AT_PIXELS * _ITEMSIZES.get(precision, 4) / _AT_ITEMSIZE
    return CONVOLUTIONS_BYTES * scale, (CONVOLUTIONS_BYTES + NORMS_BYTES) * scale


def bandwidth(cuda: Cuda, nbytes: int = _COPY_BYTES) -> float:
    """Bytes a second that a copy on the device reads and writes: the best of ten."""
    stream, start, end = cuda.stream(), cuda.event(timing=True), cuda.event(timing=True)
    source, target = cuda.buffer(nbytes), cuda.buffer(nbytes)
    cuda.zero(source.address, nbytes, stream)
    best = float("inf")
    for _ in range(1 + _COPIES):  # the first wakes the device
        start.record(stream)
        cuda.copy(target.address, source.address, nbytes, stream)
        end.record(stream)
        stream.synchronize()
        best = min(best, end.milliseconds_since(start))
    source.free()
    target.free()
    return 2 * nbytes / best * 1e3
