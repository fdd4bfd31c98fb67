"""LiteMatting as a graph for compilers on GPUs, drawn from the model's weights with `gpu_blocks`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..model import LiteMatting
from ..model.modules import BRANCHES, PAIRS, PYRAMID_SCALES
from ..model.pooling import averaging_matrix
from .drawing import Drawing, Tensor, concat, convolve
from .gpu_blocks import Blocks
from .gpu_maps import F32, Centred, Map, activation, bordered, of_groups, padded_share, relu, scaled

_ALIGNED = 8
"""Rows of a matrix in half precision come in so many, or a kernel is needed to pad them."""


def draw(model: LiteMatting, patch_hw: tuple[int, int], batch: int | None, dtype: Any, opset: int) -> onnx.ModelProto:
    """Return the graph of a model: image, trimap and guide to alpha, all float32, with maps in `dtype` between."""
    drawing = Drawing(opset)
    count: int | str = "batch" if batch is None else batch
    image, trimap, guide = (
        drawing.input(name, (count, channels, *patch_hw))
        for name, channels in (("image", 3), ("trimap", 3), ("guide", 2))
    )
    alpha = _Network(model, drawing, dtype, batch == 1).alpha(image, trimap, guide)
    return drawing.model(alpha, "alpha", (count, 1, *patch_hw))


class _Network(Blocks):
    def __init__(self, model: LiteMatting, drawing: Drawing, dtype: Any, one: bool) -> None:
        super().__init__(model, drawing, dtype, one)
        self.network = model

    def alpha(self, image: Tensor, trimap: Tensor, guide: Tensor) -> Tensor:
        """Return alpha (N, 1, H, W) of inputs as in `LiteMatting.forward`."""
        network: Any = self.network
        encoder, decoder = network.encoder, network.decoder
        shown = concat([image, trimap, guide], 1).cast(self.dtype)
        height, width = trimap.hw
        inside = (trimap.window(1, 1, 2) + trimap.window(1, 2, 3)).cast(self.dtype)
        inside = inside.window(2, 0, height, 32).window(3, 0, width, 32)
        en1 = self._first(encoder, concat([image * 2 - 1, trimap, guide], 1))
        en2 = self.stage(encoder.layer2, en1)
        en3 = self.stage(encoder.layer3, en2)
        en5 = self.stage(encoder.layer5, self.stage(encoder.layer4, en3))
        en6 = self.plain(self.stage(encoder.layer6, en5))
        assert encoder.gfnb is not None
        assert network.ppm is not None
        context = self._attended(encoder.gfnb, en6, self._guidance(encoder.layerx, shown), inside)
        en7 = self.plain(self.stage(encoder.layer7, concat([en6, context], 1)))
        x = concat([en7, self._pooled(network.ppm, en7)], 1)
        convolution, norm = network.dfpool
        x = self.norm(self.convolved(x, convolution), norm).cast(self.dtype)
        y: Map = self.stage(decoder.uper1, concat([en6, x], 1))
        for stage, skip in ((decoder.uper2, en5), (decoder.uper3, en3), (decoder.uper4, en2)):
            y = self.stage(stage, self.join(y, skip))
        return self._last(decoder, self.padded(self.join(y, en1)), shown.window(1, 0, 6))

    def _first(self, encoder: Any, x: Tensor) -> Centred:
        """Return En-1. Its mean takes a pass of its own: an activation has none that follows from a norm.

        x: (N, 8, H, W) float32, in which the first convolution and its norm compute, as `half.EXACT` explains.
        """
        convolution, norm, active = encoder.layer0
        x = self.norm(self.convolved(x, convolution), norm, activation(active)).cast(self.dtype)
        convolution, norm, _ = encoder.layer1
        made = self.normalised(self.convolved(x, convolution), norm)
        rough = relu(made.y * made.scale.cast(self.dtype) + made.shift.cast(self.dtype))
        mean = rough.cast(F32).mean(3).mean(2)
        centre = mean * padded_share(*made.y.hw)
        return Centred(bordered(relu(made.values()) - centre, centre).cast(self.dtype), centre, mean)

    def _guidance(self, layers: Any, shown: Tensor) -> Centred:
        """Return the low-level features (N, 64, H / 2, W / 2), without padding.

        shown: (N, 8, H, W), the image first. Of all its channels, for TensorRT has kernels for 8.
        """
        first, norm1, active, second, norm2, blocks = layers
        kernel = np.pad(first.weight.detach().numpy(), [(0, 0), (0, shown.chw[0] - first.in_channels), (0, 0), (0, 0)])
        bias = self.weight(first.bias)
        x = convolve(shown, self.drawing.constant(kernel, self.dtype), bias, stride=2, padding=1)
        x = self.norm(x, norm1, activation(active)).cast(self.dtype)
        result = self.stage(blocks, self.normalised(self.convolved(x, second), norm2))
        mean = self._mean(result)
        return Centred((self.exact(result) - mean).cast(self.dtype), mean, mean, padded=False)

    def _last(self, decoder: Any, x: Tensor, shown: Tensor) -> Tensor:
        """Return alpha from the joined map (N, 96, H / 2 + 2, W / 2 + 2), image and trimap (N, 6, H, W).

        The last convolution is in float32.
        """
        for padding, (convolution, norm, active) in enumerate((decoder.uper5[:3], decoder.uper5[3:])):
            y = self.norm(self.convolved(x, convolution, padding), norm)
            x = self._prelu(y, active).cast(self.dtype)
        x = concat([x.enlarge(*shown.hw, "nearest"), shown], 1)
        for index in (0, 2):
            x = self._prelu(self.convolved(x, decoder.out[index]), decoder.out[index + 1])
        return _clamped(self._sum_of_taps(x, decoder.out[4]))

    def _prelu(self, x: Tensor, layer: Any) -> Tensor:
        slope = self.weight(layer.weight, 1, -1, 1, 1, dtype=x.dtype)
        if float(layer.weight.detach().max()) <= 1:
            return x.maximum(x * slope)
        return relu(x) - relu(-x) * slope

    def _sum_of_taps(self, x: Tensor, layer: Any) -> Tensor:
        """Return a 3x3 convolution to one channel, float32, as products that a compiler makes one kernel of."""
        (height, width), kernel = x.hw, self.weight(layer.weight, dtype=F32)
        x = x.pad().cast(F32)
        terms = [
            x.crop(top, left, height, width) * kernel.crop(top, left, 1, 1) for top in range(3) for left in range(3)
        ]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total.sum(1) + self.weight(layer.bias, 1, 1, 1, 1, dtype=F32)

    # Attention

    def _attended(self, block: Any, high: Tensor, guidance: Centred, inside: Tensor) -> Tensor:
        """Return `EfficientNonLocalBlock.forward` of En-6, the guidance and where the trimap is not background."""
        high = high * inside
        height, width = high.hw
        convolution, norm, active = block.f_query
        query = self.norm(self.convolved(high, convolution), norm, activation(active)).cast(self.dtype)
        inner = query.chw[0]
        query = query.reshape(-1, inner, height * width).transpose(0, 2, 1)
        convolution, norm, active = block.f_key
        scale, shift = self.norm_of_product(guidance, convolution, norm)
        key = self._pyramid(self.adjusted(guidance.values, convolution, scale, shift, activation(active)))
        low = guidance.values.chw[0]
        seen = (self._pyramid(guidance.values) + guidance.mean.reshape(-1, 1, low)).cast(self.dtype)
        kernel = self.weight(block.f_value.weight, inner, low).transpose(1, 0)
        value = seen @ kernel + self.weight(block.f_value.bias)
        scores = ((query @ key.cast(self.dtype).transpose(0, 2, 1)) * block.scale).cast(F32)
        context = scores.apply("Softmax", axis=-1).cast(self.dtype) @ value
        kernel = self.weight(block.W.weight, inner, inner).transpose(1, 0)
        context = context @ kernel + self.weight(block.W.bias)
        context = context.reshape(-1, height, width, inner).transpose(0, 3, 1, 2)
        convolution, norm = block.conv_bn_dropout
        joined = concat([context, high], 1)
        return self.norm(self.convolved(joined, convolution), norm).cast(self.dtype)

    def _pyramid(self, x: Tensor) -> Tensor:
        """Return the averages (N, S, C) of x (N, C, H, W) over each scale's cells, float32."""
        sums, shares = self._window_sums(x, PYRAMID_SCALES, PYRAMID_SCALES)
        channels, first, cells = x.chw[0], 0, []
        for scale in PYRAMID_SCALES:
            cell = self._cut(sums, shares, (first, first), (scale, scale))
            cells.append(cell.reshape(-1, scale * scale, channels))
            first += scale
        return concat(cells, 1)

    def _window_sums(self, x: Tensor, heights: Sequence[int], widths: Sequence[int]) -> tuple[Tensor, NDArray[Any]]:
        """Return sums of x (N, C, H, W) over the windows of adaptive pooling, all heights with all widths.

        Sums (N, sum of heights, sum of widths, C), and what makes averages of them, (rows, columns, 1).
        """
        channels, height, width = x.chw
        across, columns = _windows(widths, width)
        down, rows = _windows(heights, height)
        pixels = x.transpose(0, 2, 3, 1).reshape(-1, height, width * channels)
        products = (self.drawing.constant(down, self.dtype) @ pixels).reshape(-1, len(rows), width, channels)
        return self.drawing.constant(across, self.dtype) @ products, (rows[:, None] * columns)[..., None]

    def _cut(self, sums: Tensor, shares: NDArray[Any], first: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """Return averages (N, rows, columns, C) of one size of window, float32."""
        (top, left), (rows, columns) = first, size
        part = sums.window(1, top, top + rows).window(2, left, left + columns)
        share = self.drawing.constant(shares[None, top : top + rows, left : left + columns], F32)
        return part.cast(F32) * share

    # Pyramid pooling

    def _pooled(self, module: Any, x: Tensor) -> Tensor:
        """Return `LongShortRangePyramidPooling.forward`; the four pairs go through the shared layers as one batch."""
        for convolution, norm, active in (module.trans[:3], module.trans[3:]):
            x = self.norm(self.convolved(x, convolution), norm, activation(active)).cast(self.dtype)
        channels, height, width = x.chw
        sizes = {name: (rows or height, columns or width) for name, ((rows, columns), _) in BRANCHES.items()}
        heights = sorted({rows for rows, _ in sizes.values()})
        widths = sorted({columns for _, columns in sizes.values()})
        sums, shares = self._window_sums(x, heights, widths)
        canvas = max(heights), max(widths)
        cells, inside, kernels = [], [], []
        largest = max(max(layers[0].kernel_size) for layers in map(module.get_submodule, BRANCHES))
        for name, (rows, columns) in sizes.items():
            first = sum(size for size in heights if size < rows), sum(size for size in widths if size < columns)
            part = self._cut(sums, shares, first, (rows, columns)).cast(self.dtype).transpose(0, 3, 1, 2)
            cells.append(part.pad(0, 0, canvas[0] - rows, canvas[1] - columns))
            inside.append(np.pad(np.ones((rows, columns)), ((0, canvas[0] - rows), (0, canvas[1] - columns))))
            kernel = module.get_submodule(name)[0].weight.detach().numpy()
            kernels.append(
                np.pad(kernel, [(0, 0), (0, 0), *[((largest - side) // 2,) * 2 for side in kernel.shape[2:]]])
            )
        kernel = self.drawing.constant(np.concatenate(kernels), self.dtype)
        y = convolve(concat(cells, 1), kernel, padding=largest // 2, groups=len(sizes))
        spread = self._canvas_norm(y, [module.get_submodule(name)[1] for name in sizes], np.stack(inside))
        order = list(sizes)

        def branch(name: str) -> Tensor:
            rows, columns = sizes[name]
            start = order.index(name) * channels
            part = spread.window(1, start, start + channels).crop(0, 0, rows, columns).cast(F32)
            if None in BRANCHES[name][0]:  # a row, whose pair is a column: their sum is the whole map
                return part
            return part.enlarge(height, width, "linear")

        pairs = [relu(branch(first) + branch(second)).cast(self.dtype) for first, second in PAIRS]
        convolution, norm, active = module.conv
        stacked = concat([pair.reshape(-1, 1, channels, height, width) for pair in pairs], 1)
        y = self.convolved(stacked.reshape(-1, channels, height, width), convolution)
        y = self.norm(y, norm, activation(active)).cast(self.dtype)
        return y.reshape(-1, len(pairs) * channels, height, width)

    def _canvas_norm(self, y: Tensor, norms: Sequence[Any], inside: NDArray[Any]) -> Tensor:
        """Return the norms, with ReLU, of maps that lie one behind the other as channels, each in a part of the canvas.

        y: (N, branches C, H, W). inside: (branches, H, W), 1 where a branch has cells. The result is as y is.
        """
        channels, groups = y.chw[0], norms[0].num_groups
        each, branches = channels // len(norms), len(norms)
        values = y.cast(F32).reshape(-1, branches, each, *y.hw)
        mask = inside[None, :, None]
        shares = self.drawing.constant(mask / mask.sum(axis=(3, 4), keepdims=True), F32)
        means = (values * shares).sum(3, 4)
        apart = values - means
        variances = (apart * apart * shares).sum(3, 4)
        mean, variance = of_groups(means, variances, branches * groups, each // groups, unrolled=True)
        weight, bias = (
            concat([self.weight(getattr(norm, part), 1, groups, each // groups, dtype=F32) for norm in norms], 1)
            for part in ("weight", "bias")
        )
        scale = weight / (variance + norms[0].eps).apply("Sqrt")
        shift = bias - mean * scale
        scale, shift = (part.reshape(-1, channels, 1, 1) for part in (scale, shift))
        return relu(scaled(y, scale, shift)).cast(self.dtype)


def _clamped(alpha: Tensor) -> Tensor:
    """Return alpha, float32, limited to 0..1, but what is not finite as it is: TensorRT's clamp would hide it.

    All of it goes into the kernel of the clamp.
    """
    drawing, largest = alpha.drawing, alpha.drawing.constant(np.finfo(F32).max, F32)
    finite = drawing.add("LessOrEqual", (alpha.apply("Abs"), largest), alpha.shape, bool)
    return drawing.add("Where", (finite, alpha.clip(0, 1), alpha), alpha.shape, F32)


def _windows(sizes: Sequence[int], length: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a power of two for each window of adaptive pooling, where it is, (windows, length), and its share.

    Their product is 1 / length. Half precision holds the power exactly, and sums of what it makes of large windows.
    """
    averages = np.concatenate([averaging_matrix(size, length).numpy() for size in sizes])
    rows = -(-len(averages) // _ALIGNED) * _ALIGNED
    averages = np.concatenate([averages, np.zeros((rows - len(averages), length), np.float32)])
    share = np.maximum(averages.max(axis=1), 1 / length).astype(np.float64)
    power = 2.0 ** np.round(np.log2(share))
    return (averages > 0) * power[:, None], share / power
