"""LiteMatting: encoder, LSRPPM, decoder (paper section 3.1, figure 2)."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .layers import decoder_stage, encoder_stage, normalisation, upsample_and_join
from .modules import EfficientNonLocalBlock, LongShortRangePyramidPooling


class Features(NamedTuple):
    """What the decoder takes over, (N, C, H / scale, W / scale) each."""

    en1: Tensor  # 32, 1/2
    en2: Tensor  # 24, 1/4
    en3: Tensor  # 32, 1/8
    en5: Tensor  # 96, 1/16
    en6: Tensor  # 160, 1/32
    en7: Tensor  # 320, 1/32


class Encoder(nn.Module):
    """Stages by their published names; `layerx` and `gfnb` only with the ENB."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        norm = config.norm
        self.layer0 = nn.Sequential(
            nn.Conv2d(8, 32, 3, stride=2, padding=1, bias=False), normalisation(32, norm), nn.ReLU6()
        )
        self.layer1 = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), normalisation(32, norm), nn.ReLU())
        self.layer2 = encoder_stage(2, 6, 32, 24, 2, norm)
        self.layer3 = encoder_stage(3, 6, 24, 32, 2, norm)
        self.layer4 = encoder_stage(4, 6, 32, 64, 2, norm)
        self.layer5 = encoder_stage(3, 6, 64, 96, 1, norm)
        self.layer6 = encoder_stage(3, 6, 96, 160, 2, norm)
        self.gfnb: EfficientNonLocalBlock | None = None
        if config.enb:
            self.layerx = nn.Sequential(
                nn.Conv2d(3, 32, 3, stride=2, padding=1),
                normalisation(32, norm),
                nn.ReLU(),
                nn.Conv2d(32, 64, 3, padding=1),
                normalisation(64, norm),
                encoder_stage(4, 4, 64, 64, 1, norm),
            )
            self.gfnb = EfficientNonLocalBlock(config)
        self.layer7 = encoder_stage(1, 6, 240 if config.enb else 160, 320, 1, norm)

    def forward(self, image: Tensor, trimap: Tensor, guide: Tensor) -> Features:
        """Return the features of inputs as in `LiteMatting.forward`."""
        # Only here the image is taken as -1..1; the guidance branch and the decoder take it as 0..1.
        en1 = self.layer1(self.layer0(torch.cat([2 * image - 1, trimap, guide], dim=1)))
        en2 = self.layer2(en1)
        en3 = self.layer3(en2)
        en5 = self.layer5(self.layer4(en3))
        en6 = self.layer6(en5)
        joined = en6
        if self.gfnb is not None:
            foreground_or_unknown = (trimap[:, 1:2] + trimap[:, 2:3])[:, :, ::32, ::32]
            joined = torch.cat([en6, self.gfnb(en6, self.layerx(image), foreground_or_unknown)], dim=1)
        return Features(en1, en2, en3, en5, en6, self.layer7(joined))


class Decoder(nn.Module):
    """Stages by their published names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        norm = config.norm
        self.uper1 = decoder_stage(160 + 128, 160, norm)
        self.uper2 = decoder_stage(160 + 96, 128, norm)
        self.uper3 = decoder_stage(128 + 32, 96, norm)
        self.uper4 = decoder_stage(96 + 24, 64, norm)
        self.uper5 = nn.Sequential(
            nn.Conv2d(64 + 32, 48, 3, padding=1),
            normalisation(48, norm),
            nn.PReLU(48),
            nn.Conv2d(48, 32, 3, padding=1),
            normalisation(32, norm),
            nn.PReLU(32),
        )
        self.out = nn.Sequential(
            nn.Conv2d(32 + 6, 24, 3, padding=1),
            nn.PReLU(24),
            nn.Conv2d(24, 12, 3, padding=1),
            nn.PReLU(12),
            nn.Conv2d(12, 1, 3, padding=1),
        )

    def forward(self, bottleneck: Tensor, features: Features, image: Tensor, trimap: Tensor) -> Tensor:
        """Estimate alpha, unclamped.

        bottleneck: (N, 128, H/32, W/32).
        features: of the encoder.
        image, trimap: as in `LiteMatting.forward`.

        Returns (N, 1, H, W).
        """
        x = self.uper1(torch.cat([features.en6, bottleneck], dim=1))
        x = self.uper2(upsample_and_join(x, features.en5))
        x = self.uper3(upsample_and_join(x, features.en3))
        x = self.uper4(upsample_and_join(x, features.en2))
        x = self.uper5(upsample_and_join(x, features.en1))
        return cast(Tensor, self.out(upsample_and_join(x, torch.cat([image, trimap], dim=1))))


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
        """Estimate alpha as `forward` does, without the clamp, which has no gradient outside 0..1: what training works
        on."""
        features = self.encoder(image, trimap, guide)
        context = features.en7
        if self.ppm is not None:
            context = torch.cat([context, self.ppm(context)], dim=1)
        alpha: Tensor = self.decoder(self.dfpool(context), features, image, trimap)
        return alpha

    def forward(self, image: Tensor, trimap: Tensor, guide: Tensor) -> Tensor:
        """Estimate alpha.

        image: (N, 3, H, W) RGB, 0..1; H and W are multiples of 32.
        trimap: (N, 3, H, W), one-hot in the order background, unknown, foreground.
        guide: (N, 2, H, W), 0..1, see `matting.guide`.

        Returns alpha, (N, 1, H, W), 0..1; known pixels are not forced.
        """
        return self.unclamped(image, trimap, guide).clamp(0, 1)
