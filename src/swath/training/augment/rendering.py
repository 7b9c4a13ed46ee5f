"""The rendering policy: patches of EuroSAT as other products of the same sensor draw them.

What the products do to the values is drawn by :mod:`swath.imagery.renderings`; here it happens to a share of a batch.
"""

from __future__ import annotations

import numpy as np
import torch

from swath.imagery.renderings import draw_tables
from swath.training.augment.mixing import share_of


def other_rendering(pixels: torch.Tensor, share: float, *, generator: torch.Generator) -> torch.Tensor:
    """Draw patches as other products would show them.

    Parameters
    ----------
    pixels : torch.Tensor
        uint8 ``[N, 3, P, P]``, red, green and blue, drawn as EuroSAT's are; left untouched.
    share : float
        Of the patches, 0 to 1, that are drawn otherwise.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    torch.Tensor
        uint8 ``[N, 3, P, P]``; `pixels` itself at share 0.
    """
    if share == 0 or not len(pixels):
        return pixels
    chosen = share_of(len(pixels), share, generator)
    if not len(chosen):
        return pixels
    seed = int(torch.randint(2**62, (1,), generator=generator))
    tables = torch.from_numpy(draw_tables(len(chosen), np.random.default_rng(seed)))
    changed = tables.gather(2, pixels.index_select(0, chosen).flatten(2).long())
    return pixels.clone().index_copy_(0, chosen, changed.view(len(chosen), *pixels.shape[1:]))
