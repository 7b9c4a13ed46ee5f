"""Does a map point at the right place? Sew four patches together, one of them of the class in question.

A grid of pictures with a known place for every class, as in the grid pointing game of Böhle, Fritz and
Schiele 2021, "Convolutional dynamic alignment networks for interpretable classifications" (CVPR): the share of a
map's positive mass that lies in the right quadrant should be near 1; a map that knows nothing has 1/4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.explain.cam import upsample
from swath.imagery import resize

Variant = Literal["crops", "shrunk"]

VARIANTS: tuple[Variant, ...] = ("crops", "shrunk")


@dataclass(frozen=True)
class Composites:
    """Pictures of four quadrants, one of them of the class to look for.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]``.
    numbers : numpy.ndarray
        ``[N]`` int64, the class to look for.
    quadrants : numpy.ndarray
        ``[N]`` int64, where it lies: 0 upper left, 1 upper right, 2 lower left, 3 lower right.
    """

    pixels: npt.NDArray[Any]
    numbers: npt.NDArray[np.int64]
    quadrants: npt.NDArray[np.int64]


def composites(
    pixels: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    *,
    count: int,
    variant: Variant = "crops",
    seed: int = 0,
) -> Composites:
    """Sew composites of the size of one patch, so that the model sees them at its own size.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[M, bands, S, S]``, the patches, S even.
    labels : numpy.ndarray
        ``[M]`` int64, their classes.
    count : int
        How many composites; every patch is looked for once before one is looked for again.
    variant : str
        ``crops`` takes the middle of every patch, a quarter of its area, at its own ground resolution.
        ``shrunk`` takes whole patches at half their resolution, which the network was not trained at.
    seed : int
        Decides the others and the places.

    Raises
    ------
    DataError
        If the patches are of one class only, or have an odd side.
    """
    side = pixels.shape[-1]
    if len(np.unique(labels)) < 2:
        raise DataError(
            "composites need patches of two classes or more", fix="check the map on other patches"
        )
    if side % 2 or pixels.shape[-2] != side:
        raise DataError(f"patches of {pixels.shape[-2]} x {side} pixels cannot be quartered")
    half, quarter = side // 2, side // 4
    rng = np.random.default_rng(seed)
    looked_for = np.resize(rng.permutation(len(pixels)), count)
    quadrants = rng.integers(0, 4, count)
    sewn = np.empty((count, *pixels.shape[1:]), pixels.dtype)
    for i, (row, quadrant) in enumerate(zip(looked_for, quadrants, strict=True)):
        others = iter(rng.choice(np.flatnonzero(labels != labels[row]), 3).tolist())
        for place in range(4):
            patch = pixels[int(row) if place == quadrant else next(others)]
            small = (
                patch[:, quarter : quarter + half, quarter : quarter + half]
                if variant == "crops"
                else resize(patch, half)
            )
            top, left = half * (place // 2), half * (place % 2)
            sewn[i, :, top : top + half, left : left + half] = small
    return Composites(sewn, labels[looked_for], quadrants)


def share_inside(
    maps: npt.NDArray[np.float32], quadrants: npt.NDArray[np.int64], *, side: int
) -> npt.NDArray[np.float64]:
    """Share of each map's positive mass that lies in its quadrant.

    Parameters
    ----------
    maps : numpy.ndarray
        ``[N, h, w]`` float32, on the network's own grid.
    quadrants : numpy.ndarray
        ``[N]`` int64, as in :class:`Composites`.
    side : int
        Side of the pictures, pixels: maps are interpolated to it as they are drawn.

    Returns
    -------
    numpy.ndarray
        ``[N]`` float64, 0-1; 0 where nothing is positive, for then the map points nowhere.
    """
    heat = np.maximum(upsample(maps, height=side, width=side), 0).astype(np.float64)
    half = side // 2
    quartered = heat[:, : 2 * half, : 2 * half].reshape(len(heat), 2, half, 2, half).sum(axis=(2, 4))
    mass = quartered.reshape(len(heat), 4)
    total = mass.sum(axis=1)
    inside = mass[np.arange(len(mass)), quadrants]
    return np.asarray(inside / np.where(total > 0, total, 1))
