"""RandAugment: a few random operations per patch, the geometric ones in a single resampling.

After Cubuk, Zoph, Shlens and Le 2020, "RandAugment: practical automated data augmentation with a reduced
search space". Operations that undo what a sensor measured (equalize, posterize, solarize, invert) are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.nn import functional as F

from swath.imagery import RGB
from swath.training.augment.mixing import as_stored

GEOMETRIC = ("rotate", "zoom", "shear_x", "shear_y")
COLOR = ("brightness", "contrast", "saturation")
ZOOM = math.log(1.4)  # largest, either way
SHEAR = 0.3
COLOR_CHANGE = 0.4  # factors from 0.6 to 1.4
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def rand_augment(
    pixels: torch.Tensor, operations: int, *, generator: torch.Generator, top: float, bands: Sequence[str] = RGB
) -> torch.Tensor:
    """Apply to each patch its own random operations.

    Turned by any angle, zoomed by up to 1.4 either way or sheared by up to 0.3, reflected at the edges;
    brightness, contrast and (red, green and blue only) saturation changed by up to 40 %.

    Parameters
    ----------
    pixels : torch.Tensor
        ``[N, bands, P, P]`` in stored units, uint8, uint16 or float; left untouched.
    operations : int
        How many are drawn for each patch, with replacement.
    generator : torch.Generator
        Source of all randomness.
    top : float
        The value that is white; results lie between 0 and it.
    bands : sequence of str
        Names of the bands.

    Returns
    -------
    torch.Tensor
        ``[N, bands, P, P]``, same dtype; `pixels` itself for no operations.
    """
    if operations == 0 or not len(pixels):
        return pixels
    names = GEOMETRIC + (COLOR if tuple(bands) == RGB else COLOR[:-1])
    drawn = torch.randint(len(names), (len(pixels), operations), generator=generator)
    amount = 2 * torch.rand(len(pixels), operations, generator=generator) - 1
    values = pixels.to(torch.float32, copy=True)
    for part, change in (
        ((drawn < len(GEOMETRIC)).any(1).nonzero().squeeze(1), _moved),
        ((drawn >= len(GEOMETRIC)).any(1).nonzero().squeeze(1), recolored),
    ):
        if len(part):
            changed = change(values.index_select(0, part), drawn[part], amount[part])
            values.index_copy_(0, part, changed)
    return as_stored(values, pixels.dtype, top=top)


def affine(drawn: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Where each patch is sampled: the product of its geometric operations, ``[n, 2, 2]``.

    Parameters
    ----------
    drawn : torch.Tensor
        Places in ``GEOMETRIC + COLOR``, ``[n, operations]``.
    amount : torch.Tensor
        From -1 to 1, ``[n, operations]``.
    """
    angle = torch.where(drawn == 0, amount * math.pi, 0.0)
    scale = torch.where(drawn == 1, amount * ZOOM, 0.0).exp()
    across, down = (torch.where(drawn == place, amount * SHEAR, 0.0) for place in (2, 3))
    cos, sin = angle.cos(), angle.sin()
    # An operation is one of them, so that the others in this product change nothing.
    rows = [scale * cos, across - scale * sin, down + scale * sin, scale * cos]
    each = torch.stack(rows, dim=-1).view(*drawn.shape, 2, 2)
    whole: torch.Tensor = each[:, 0]
    for following in each[:, 1:].unbind(1):
        whole = whole @ following
    return whole


def resampled(values: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
    """Sample ``[n, bands, P, P]`` bilinearly where ``[n, 2, 2]`` matrices send it, reflected at the edges.

    Farther than a whole patch beyond an edge the outermost pixel is repeated.
    """
    n, _, size, _ = values.shape
    center = (torch.arange(size) * 2 + 1) / size - 1  # of pixels, from -1 to 1 across the patch
    place = torch.stack(torch.meshgrid(center, center, indexing="xy"), dim=-1).view(1, -1, 2)
    sent = place @ matrices.mT
    # Reflection by hand: grid_sample's own takes twice as long.
    sent = sent.clamp(-1, 1).mul_(2).sub_(sent).view(n, size, size, 2)
    return F.grid_sample(values, sent, padding_mode="border", align_corners=False)


def _moved(values: torch.Tensor, drawn: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    return resampled(values, affine(drawn, amount))


def recolored(values: torch.Tensor, drawn: torch.Tensor, amount: torch.Tensor) -> torch.Tensor:
    """Apply the color operations of each patch, which together are one matrix and one shift per patch.

    Brightness multiplies, contrast stretches about the patch's own mean, saturation stretches about gray.
    Parameters are as in :func:`affine`, with values ``[n, bands, P, P]``.
    """
    n, bands = values.shape[:2]
    flat = values.flatten(2)
    unit = torch.eye(bands)
    matrix, shift = unit.repeat(n, 1, 1), torch.zeros(n, bands, 1)
    mean = flat.mean(2, keepdim=True)
    gray = torch.tensor(_LUMA).expand(3, 3) if bands == 3 else unit
    for kind, by in zip(drawn.unbind(1), amount.unbind(1), strict=True):
        factor = (1 + COLOR_CHANGE * by)[:, None, None]
        brightness, contrast, saturation = ((kind == len(GEOMETRIC) + k)[:, None, None] for k in range(3))
        middle = (matrix @ mean + shift).mean(1, keepdim=True)  # of the patch as it is by now
        step = torch.where(brightness | contrast, factor * unit, unit)
        step = torch.where(saturation, factor * unit + (1 - factor) * gray, step)
        matrix = step @ matrix
        shift = step @ shift + torch.where(contrast, (1 - factor) * middle, 0.0)
    return torch.baddbmm(shift, matrix, flat).view(values.shape)
