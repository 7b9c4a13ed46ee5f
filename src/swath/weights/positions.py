"""Positions learned for one grid of tiles, fitted to another: what a transformer needs at another size."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


def refit_positions(
    name: str, tensor: torch.Tensor, goal: torch.Tensor, network: nn.Module
) -> torch.Tensor | None:
    """Fit position embeddings (ViT) or relative position biases (Swin) to another grid.

    Embeddings say where in the picture a tile lies, so they are resampled. Biases say how many tiles lie between
    two, which means the same in a smaller window, so the middle of their table is taken as it is.

    Parameters
    ----------
    name : str
        Of the tensor in the network.
    tensor : torch.Tensor
        ``[1, T, D]`` for a grid of tiles and a few other tokens, or ``[(2w - 1)^2, heads]`` for windows of w.
    goal : torch.Tensor
        The network's own, for its shape.
    network : torch.nn.Module
        Tells how many tokens are no tiles.

    Returns
    -------
    torch.Tensor or None
        Of the shape of `goal`; ``None`` if these are no positions, no square grids, or a larger window.
    """
    if tensor.ndim != goal.ndim or tensor.shape[-1] != goal.shape[-1] or not tensor.is_floating_point():
        return None
    if name.endswith("pos_embed") and tensor.ndim == 3:
        backbone: Any = getattr(network, "backbone", network)
        others = int(getattr(backbone, "num_prefix_tokens", 0))
        side, given = _side(goal.shape[1] - others), _side(tensor.shape[1] - others)
        if side is None or given is None:
            return None
        from timm.layers.pos_embed import resample_abs_pos_embed  # noqa: PLC0415  (timm takes seconds to import)

        placed: torch.Tensor = resample_abs_pos_embed(tensor.float(), [side, side], num_prefix_tokens=others)
        return placed
    if name.endswith("relative_position_bias_table") and tensor.ndim == 2:
        side, given = _side(goal.shape[0]), _side(tensor.shape[0])
        if side is None or given is None or side > given or (given - side) % 2:
            return None
        edge = (given - side) // 2
        table = tensor.reshape(given, given, -1)[edge : edge + side, edge : edge + side]
        return table.reshape(goal.shape)
    return None


def _side(cells: int) -> int | None:
    side = math.isqrt(max(cells, 0))
    return side if side and side * side == cells else None
