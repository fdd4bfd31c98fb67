"""The encoder, En-1 to En-7 with the low-level guidance branch (paper figure 2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .enb import EfficientNonLocalBlock
from .layers import normalisation
from .mobile_block import encoder_stage


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
        """Inputs as in `LiteMatting.forward`."""
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
