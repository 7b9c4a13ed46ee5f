"""Batched augmentation of patches as tensors: one gather does flips, transposes and shifts."""

from __future__ import annotations

import torch

from swath.training.recipe import Augmentation


def augment(pixels: torch.Tensor, settings: Augmentation, *, generator: torch.Generator) -> torch.Tensor:
    """Move each patch by its own random symmetry of the square and its own small shift.

    Parameters
    ----------
    pixels : torch.Tensor
        ``[N, bands, P, P]``, any dtype; left untouched.
    settings : Augmentation
        What is allowed. ``gain`` is applied elsewhere, on normalized values.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    torch.Tensor
        ``[N, bands, P, P]``, same dtype.
    """
    n, bands, size, _ = pixels.shape
    rows = _positions(n, size, settings, generator)[:, :, None]
    columns = _positions(n, size, settings, generator)[:, None, :]
    down, across = torch.tensor(size), torch.tensor(1)  # steps in memory to the next row and column
    if settings.transpose:
        swap = (torch.rand(n, generator=generator) < 0.5)[:, None, None]
        down, across = torch.where(swap, across, down), torch.where(swap, down, across)
    # One place a pixel for all bands; gather is many times faster than indexing by rows and columns.
    place = (rows * down + columns * across).view(n, 1, size * size)
    return pixels.flatten(2).gather(2, place.expand(n, bands, size * size)).view(pixels.shape)


def random_crop(pixels: torch.Tensor, size: int, *, generator: torch.Generator) -> torch.Tensor:
    """Cut one square of `size` pixels, the same for all, out of ``[N, bands, P, P]`` patches.

    A network that ends in global average pooling learns from parts of patches almost as well, and a part
    costs less: early in a run that buys more epochs for the same time.
    """
    room = pixels.shape[-1] - size
    if room <= 0:
        return pixels
    top, left = torch.randint(0, room + 1, (2,), generator=generator).tolist()
    return pixels[:, :, top : top + size, left : left + size]


def random_gain(values: torch.Tensor, sd: float, *, generator: torch.Generator) -> torch.Tensor:
    """Multiply each band of each patch by its own factor, normal around 1 with spread `sd`."""
    if sd == 0:
        return values
    factor = 1 + sd * torch.randn(values.shape[0], values.shape[1], 1, 1, generator=generator)
    return values * factor.to(values)


def _positions(n: int, size: int, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    """Source positions along one axis, ``[n, size]``: shifted, reflected at the edges, perhaps flipped."""
    place = torch.arange(size).expand(n, size)
    if settings.shift:
        shift = torch.randint(-settings.shift, settings.shift + 1, (n, 1), generator=generator)
        # Reflected as often as it takes: a shift may be larger than a small patch.
        place = (place + shift) % max(1, 2 * (size - 1))
        place = torch.where(place >= size, 2 * (size - 1) - place, place)
    if settings.flips:
        flip = torch.rand(n, 1, generator=generator) < 0.5
        place = torch.where(flip, size - 1 - place, place)
    return place
