"""A classifier on a feature pyramid: fine and coarse maps of a backbone, each combined with the coarser ones.

After Lin et al. 2017, "Feature Pyramid Networks for Object Detection", section 3: 1 x 1 laterals, sums from
the top down, 3 x 3 smoothing against the aliasing of up-sampling, no activation in between. Instead of
detecting on every level, each is averaged over the patch, and one linear layer reads all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from swath.errors import SettingError
from swath.networks.scratch import Outputs

LEVELS = 4


class Pyramid(nn.Module):
    """Laterals, top-down sums and smoothing.

    Parameters
    ----------
    inputs : sequence of int
        Channels of the backbone's maps, fine to coarse.
    channels : int
        Channels of every map of the pyramid.
    """

    def __init__(self, inputs: Sequence[int], channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in inputs)
        self.smoothing = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in inputs)
        for layer in (*self.laterals, *self.smoothing):
            nn.init.kaiming_uniform_(layer.weight, a=1)  # keeps the spread of what has no ReLU behind it
            nn.init.zeros_(layer.bias)

    def forward(self, levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Map ``[N, C_i, h_i, w_i]``, fine to coarse, to ``[N, channels, h_i, w_i]``."""
        sums = [lateral(level) for lateral, level in zip(self.laterals, levels, strict=True)]
        for i in range(len(sums) - 2, -1, -1):
            above = functional.interpolate(sums[i + 1], size=sums[i].shape[2:], mode="nearest")
            sums[i] = sums[i] + above
        return [smooth(level) for smooth, level in zip(self.smoothing, sums, strict=True)]


class PyramidNet(nn.Module):
    """A backbone, a pyramid on its last four levels, one mean per level, dropout and one linear layer.

    Parameters
    ----------
    backbone : torch.nn.Module
        One of timm's, with maps at four strides or more.
    outputs : int
        Logits.
    channels : int
        Width of the pyramid; the head reads four times as many features.
    dropout : float
        Share of features dropped while training.

    Raises
    ------
    SettingError
        If the backbone does not have four levels, each coarser than the one before.
    """

    new_modules = ("pyramid", "dropout", "head")
    backbone: Any

    def __init__(self, backbone: nn.Module, outputs: int, *, channels: int = 256, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        levels = list(self.backbone.feature_info)
        strides = [level["reduction"] for level in levels[-LEVELS:]]
        if len(levels) < LEVELS or strides != sorted(set(strides)):
            raise SettingError(
                "a feature pyramid needs a backbone with four maps, each coarser than the one before",
                fix="use it without _fpn, or another backbone such as resnet50_fpn",
            )
        self.taken = list(range(len(levels) - LEVELS, len(levels)))
        self.backbone.prune_intermediate_layers(self.taken, prune_norm=True, prune_head=True)
        self.pyramid = Pyramid([level["num_chs"] for level in levels[-LEVELS:]], channels)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(LEVELS * channels, outputs)

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalized patches ``[N, bands, P, P]`` to :class:`Outputs`."""
        levels = self.backbone.forward_intermediates(x, indices=self.taken, intermediates_only=True)
        maps = self.pyramid(levels)
        features = torch.cat([level.mean(dim=(2, 3)) for level in maps], dim=1)
        return Outputs(self.head(self.dropout(features)), features, _on_one_grid(maps))


def _on_one_grid(maps: Sequence[torch.Tensor]) -> torch.Tensor | None:
    """All levels side by side on the grid of the second, or None where the grids do not divide evenly.

    The finer level is averaged over blocks and coarser ones repeat their cells, which changes no level's
    mean: the head applied to the mean of this map is the head applied to the features.
    """
    height, width = maps[1].shape[2:]
    placed = []
    for level in maps:
        h, w = level.shape[2:]
        if h % height == 0 and w % width == 0:
            placed.append(functional.avg_pool2d(level, (h // height, w // width)) if h > height else level)
        elif height % h == 0 and width % w == 0:
            placed.append(functional.interpolate(level, size=(height, width), mode="nearest"))
        else:
            return None
    return torch.cat(placed, dim=1)
