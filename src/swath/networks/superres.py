"""A small super-resolution network: bicubic interpolation, and three convolutions that learn what it misses.

The layers are those of ESPCN (Shi et al. 2016, "Real-time single image and video super-resolution using an
efficient sub-pixel convolutional neural network"), which work at the coarse size and leave the enlarging to
a shuffle of channels; the residual beside an interpolation is that of VDSR (Kim, Lee and Lee 2016).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class SuperResolution(nn.Module):
    """Enlarge pictures by a whole factor; untrained it is bicubic interpolation.

    Parameters
    ----------
    bands : int
        Channels in and out.
    factor : int
        How many times larger each side becomes.
    width : int
        Channels of the hidden layers.
    """

    def __init__(self, bands: int, *, factor: int = 2, width: int = 32) -> None:
        super().__init__()
        self.factor = factor
        self.bands = bands
        self.see = nn.Conv2d(bands, width, 5, padding=2, padding_mode="replicate")
        self.think = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.draw = nn.Conv2d(width, bands * factor**2, 3, padding=1, padding_mode="replicate")
        nn.init.zeros_(self.draw.weight)
        if self.draw.bias is not None:
            nn.init.zeros_(self.draw.bias)

    def forward(self, shares: torch.Tensor) -> torch.Tensor:
        """Map ``[N, bands, H, W]``, as shares of the top value, to ``[N, bands, factor H, factor W]``."""
        # Leaky: with plain ReLU one run in a few died and stayed at bicubic.
        seen = F.leaky_relu(self.see(shares - 0.5), 0.1)
        detail = self.draw(F.leaky_relu(self.think(seen), 0.1))
        return bicubic(shares, self.factor) + F.pixel_shuffle(detail, self.factor)


def bicubic(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Enlarge float ``[N, bands, H, W]`` by bicubic interpolation (a = -0.75, half-pixel centers)."""
    return F.interpolate(values, scale_factor=factor, mode="bicubic", align_corners=False)
