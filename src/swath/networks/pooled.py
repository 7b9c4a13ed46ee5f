"""A backbone from timm with a linear head of our own on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from swath.networks.backbones import as_maps
from swath.networks.scratch import Outputs


class Pooled(nn.Module):
    """A backbone, its features, dropout and one linear layer.

    Parameters
    ----------
    backbone : torch.nn.Module
        One of timm's, without classifier: :func:`swath.networks.backbones.make_backbone`.
    outputs : int
        Logits.
    mean : bool
        Whether the features are the plain mean of the last map; then that map is given out as
        ``activations``, and class activation maps are exact. Otherwise features are taken as the
        network's authors do (from a class token, say, or by a layer after pooling), and there is none.
    dropout : float
        Share of features dropped while training.
    """

    fresh = ("dropout", "head")
    backbone: Any

    def __init__(self, backbone: nn.Module, outputs: int, *, mean: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.mean = mean
        self.dropout = nn.Dropout(dropout)
        width = self.backbone.num_features if mean else self.backbone.head_hidden_size
        self.head = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalised patches ``[N, bands, P, P]`` to :class:`Outputs`."""
        last = self.backbone.forward_features(x)
        activations = as_maps(self.backbone, last) if self.mean else None
        if activations is None:
            features = self.backbone.forward_head(last, pre_logits=True)
        else:
            features = activations.mean(dim=(2, 3))
        return Outputs(self.head(self.dropout(features)), features, activations)
