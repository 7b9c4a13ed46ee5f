"""Fit a first layer trained on some bands to an image with others."""

from __future__ import annotations

import logging

import torch

_log = logging.getLogger("swath")


def adapt_first_layer(weight: torch.Tensor, bands: int) -> torch.Tensor:
    """Repeat the channels of a first layer cyclically over `bands` and rescale them.

    With more bands than channels, band b takes channel b mod C, divided by the number of bands that take that
    channel (C / bands wherever C divides bands). With fewer, channel c is added to band c mod bands. Either
    way an image whose bands are all equal gives what it gave before, and so does the sum of each filter.

    Parameters
    ----------
    weight : torch.Tensor
        ``[O, C, kh, kw]``, as trained.
    bands : int
        Channels the layer shall take.

    Returns
    -------
    torch.Tensor
        ``[O, bands, kh, kw]``; `weight` itself if it has that many channels.
    """
    channels = weight.shape[1]
    if bands == channels:
        return weight
    if bands > channels:
        channel = torch.arange(bands) % channels
        shares = torch.bincount(channel, minlength=channels)[channel]
        adapted = weight[:, channel] / shares.view(1, -1, 1, 1).to(weight)
        how = "repeated and rescaled"
    else:
        adapted = torch.stack([weight[:, band::bands].sum(1) for band in range(bands)], dim=1)
        how = "added up"
    _log.warning(
        "first layer: weights of %d channels %s for %d bands; what they had learned of each band is lost",
        channels,
        how,
        bands,
    )
    return adapted
