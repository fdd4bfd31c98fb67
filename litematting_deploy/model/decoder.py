"""The decoder, De-1 to De-6 (paper figure 2)."""

from typing import cast

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .encoder import Features
from .layers import normalisation
from .mobile_block import decoder_stage, upsample_and_join


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
        """bottleneck: (N, 128, H/32, W/32); image and trimap as in `LiteMatting.forward`. Returns (N, 1, H, W)."""
        x = self.uper1(torch.cat([features.en6, bottleneck], dim=1))
        x = self.uper2(upsample_and_join(x, features.en5))
        x = self.uper3(upsample_and_join(x, features.en3))
        x = self.uper4(upsample_and_join(x, features.en2))
        x = self.uper5(upsample_and_join(x, features.en1))
        return cast(Tensor, self.out(upsample_and_join(x, torch.cat([image, trimap], dim=1))))
