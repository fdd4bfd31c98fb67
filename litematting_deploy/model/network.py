"""LiteMatting: encoder, LSRPPM, decoder (paper section 3.1, figure 2)."""

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .decoder import Decoder
from .encoder import Encoder
from .layers import normalisation
from .lsrppm import LongShortRangePyramidPooling


class LiteMatting(nn.Module):
    """Trimap-based matting network whose parameters bear the names of the published state dict."""

    encoder: Encoder
    decoder: Decoder

    def __init__(self, config: ModelConfig = ModelConfig()) -> None:
        super().__init__()
        self.config = config
        # The published names are flat ("layer0", not "encoder.layer0"): the parts keep their forward pass, and their
        # layers are registered here.
        for name, part in (("encoder", Encoder(config)), ("decoder", Decoder(config))):
            object.__setattr__(self, name, part)
            for child_name, child in part.named_children():
                self.add_module(child_name, child)
        self.ppm = LongShortRangePyramidPooling(config) if config.lsrppm else None
        self.dfpool = nn.Sequential(
            nn.Conv2d(480 if config.lsrppm else 320, 128, 1), normalisation(128, config.norm, groups=16)
        )
        # From scratch, an output around 0 has no way into the clamp's range.
        nn.init.constant_(self.get_parameter("out.4.bias"), 0.5)

    def unclamped(self, image: Tensor, trimap: Tensor, guide: Tensor) -> Tensor:
        """As `forward`, without the clamp, which has no gradient outside 0..1: what training works on."""
        features = self.encoder(image, trimap, guide)
        context = features.en7
        if self.ppm is not None:
            context = torch.cat([context, self.ppm(context)], dim=1)
        alpha: Tensor = self.decoder(self.dfpool(context), features, image, trimap)
        return alpha

    def forward(self, image: Tensor, trimap: Tensor, guide: Tensor) -> Tensor:
        """Estimate alpha.

        image: (N, 3, H, W) RGB, 0..1. trimap: (N, 3, H, W), one-hot in the order background, unknown, foreground.
        guide: (N, 2, H, W), 0..1, see `matting.guide`. H and W are multiples of 32. Returns alpha (N, 1, H, W),
        0..1; known pixels are not forced.
        """
        return self.unclamped(image, trimap, guide).clamp(0, 1)
