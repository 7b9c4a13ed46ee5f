"""A network without padding, which gives one answer for a patch however large the picture around it is.

Padding tells a convolution where the edge of a patch is, so a padded network run over a whole strip
answers differently from the same network run patch by patch. Without padding both are the same
arithmetic, and a map with a window every few pixels costs about one pass over the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from swath.networks.scratch import Outputs

STRIDE = 4  # of the whole network: the stem's 2 times the pool's 2


class _Layer(nn.Module):
    """Convolution without padding, perhaps a pool, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, *, side: int, pool: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, side, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.pool(self.convolution(x))))


class StripNet(nn.Module):
    """A plain convolutional network for patches and, with the same answers, for whole strips of a scene.

    A 4 x 4 stem of stride 2, one 3 x 3 layer, one with a pool, further 3 x 3 layers, and a 1 x 1 layer to the
    last width; then global average pooling and a linear head.

    Parameters
    ----------
    bands, classes : int
        Input channels and output logits.
    stem : int
        Channels of the stem and of the layer after it.
    widths : sequence of int
        Channels of the pooled layer, of the 3 x 3 layers after it, and of the last layer: at least two.
    dropout : float
        Share of pooled features dropped while training.
    """

    fresh = ("dropout", "head")

    def __init__(
        self, bands: int, classes: int, *, stem: int, widths: Sequence[int], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, stem, 4, stride=2, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        first, *middle, last = widths
        layers = [_Layer(stem, stem, side=3), _Layer(stem, first, side=3, pool=True)]
        layers += [_Layer(a, b, side=3) for a, b in pairwise([first, *middle])]
        layers.append(_Layer([first, *middle][-1], last, side=1))
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(last, classes)

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalised patches ``[N, bands, P, P]`` to :class:`Outputs`."""
        activations = self.layers(torch.relu(self.stem_norm(self.stem(x))))
        features = activations.mean(dim=(2, 3))
        return Outputs(self.head(self.dropout(features)), features, activations)

    @staticmethod
    def smallest_patch(widths: Sequence[int]) -> int:
        """Side in pixels of the smallest patch a network with these layers can take."""
        after_pool = 1 + 2 * (len(widths) - 2)
        return 2 * (2 * after_pool + 4) + 2
