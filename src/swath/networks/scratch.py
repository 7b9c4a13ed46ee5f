"""The project's own small residual network for small patches, trained from scratch.

A stride-2 stem, then stages of (3x3 convolution, max-pool, norm, ReLU) and a residual
(3x3 convolution, norm, ReLU), global average pooling and one linear layer. Dense 3x3 convolutions
keep matrix units busy; pooling inside the network and a linear head make class activation maps exact.
The shape follows the CIFAR-10 speed-run networks (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import nn

STRIDE = 4  # of the whole network: the stem's 2 times the pool's 2


class Outputs(NamedTuple):
    """What every network returns.

    Attributes
    ----------
    logits : torch.Tensor
        ``[N, K]``.
    features : torch.Tensor
        ``[N, D]``: what the head sees, as a rule the pooled activations.
    activations : torch.Tensor or None
        ``[N, D, h, w]``: the last feature map, before pooling. Given only where features are its plain mean,
        so that class activation maps are exact; None elsewhere, and left out of the model file.
    """

    logits: torch.Tensor
    features: torch.Tensor
    activations: torch.Tensor | None


class _Stage(nn.Module):
    """Halve the resolution, widen, then refine with one residual convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.widen_norm = nn.BatchNorm2d(outputs)
        self.refine = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.refine_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.widen_norm(self.pool(self.widen(x))))
        return x + torch.relu(self.refine_norm(self.refine(x)))


class PatchNet(nn.Module):
    """A residual network for small patches, of :meth:`smallest_patch` pixels and more.

    Parameters
    ----------
    bands, classes : int
        Input channels and output logits.
    stem : int
        Channels after the stride-2 stem.
    widths : sequence of int
        Channels of each stage; each stage halves the resolution.
    dropout : float
        Share of pooled features dropped while training.
    """

    new_modules = ("dropout", "head")

    def __init__(self, bands: int, classes: int, *, stem: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(bands, stem, 4, stride=2, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        channels = [stem, *widths]
        self.stages = nn.Sequential(*(_Stage(a, b) for a, b in pairwise(channels)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalized patches ``[N, bands, P, P]`` to :class:`Outputs`."""
        x = torch.relu(self.stem_norm(self.stem(x)))
        activations = self.stages(x)
        features = activations.mean(dim=(2, 3))
        return Outputs(self.head(self.dropout(features)), features, activations)

    @staticmethod
    def smallest_patch(widths: Sequence[int]) -> int:
        """Side in pixels of the smallest patch a network with these stages can take."""
        return int(2 ** (1 + len(widths)))  # the stem and every stage halve it


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

    new_modules = ("dropout", "head")

    def __init__(self, bands: int, classes: int, *, stem: int, widths: Sequence[int], dropout: float = 0.0) -> None:
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
        """Map normalized patches ``[N, bands, P, P]`` to :class:`Outputs`."""
        activations = self.layers(torch.relu(self.stem_norm(self.stem(x))))
        features = activations.mean(dim=(2, 3))
        return Outputs(self.head(self.dropout(features)), features, activations)

    @staticmethod
    def smallest_patch(widths: Sequence[int]) -> int:
        """Side in pixels of the smallest patch a network with these layers can take."""
        after_pool = 1 + 2 * (len(widths) - 2)
        return 2 * (2 * after_pool + 4) + 2
