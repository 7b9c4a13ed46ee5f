"""Loss of resolution as one small matrix a patch: blur and coarser sampling, rows and columns alike."""

from __future__ import annotations

import torch


def optics(size: int, spread: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Matrices ``M`` such that ``M @ patch @ M.T`` is blurred, sampled coarser, and brought back to size.

    Gaussian blur, then reduction with a triangle filter as wide as the reduction, then linear interpolation:
    all linear and separable, so their product does all three at once. Weights at the edges are made to sum to
    one, as :func:`swath.imagery.resize` does.

    Parameters
    ----------
    size : int
        Side of the patches, pixels.
    spread : torch.Tensor
        Standard deviations of the Gaussian, pixels, ``[n]``; 0 does not blur.
    factor : torch.Tensor
        How many times larger the coarse pixels are, ``[n]``, at least 1; 1 does not resample.

    Returns
    -------
    torch.Tensor
        Float ``[n, size, size]``; every row sums to one.
    """
    place = torch.arange(size, dtype=torch.float32)
    distance = place[:, None] - place
    blur = _normalised(torch.exp(-0.5 * (distance / spread.clamp(min=1e-3)[:, None, None]) ** 2))
    count = (size / factor).round().clamp(min=1)[:, None, None]
    step = size / count
    row = place[:, None]
    centre = (row + 0.5) * step - 0.5  # of coarse pixels; those beyond the last one get no weight below
    down = _normalised((1 - (place - centre).abs() / step).clamp(min=0))
    seen = ((row + 0.5) / step - 0.5).clamp(min=0).minimum(count - 1)
    up = (1 - (seen - place).abs()).clamp(min=0) * (place < count)
    return up @ down @ blur


def _normalised(weights: torch.Tensor) -> torch.Tensor:
    # Rows of coarse pixels that do not exist are all zero and stay so.
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
