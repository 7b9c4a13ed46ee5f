"""How alike patches are at a glance, whatever was done to their files: pure arithmetic on decoded pixels.

A patch is described by the signs and the tempered sizes of its coarse cosine coefficients. Re-encoding and
resizing change these little, a shift by two pixels a bit more, a change of brightness or contrast hardly at all.
This is what all pairs can be compared by; :mod:`swath.data.alignment` looks closer at those that remain.

Turning or mirroring a patch swaps rows with columns and signs of odd coefficients, so all eight positions are
compared at little more than the price of two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

SIDE = 64  # pixels; patches are brought to this size to be compared
KEPT = 12  # coefficients kept along rows and columns: waves of 11 pixels and longer
# A bright dot or a black corner would otherwise decide everything, and many patches have one.
CLIP = 4.0  # median absolute deviations from the median
LEVEL = 1.0  # least deviation left by the clip, 8-bit levels
_STEP = 0.4  # 8-bit levels: neighbours further apart than this differ
_BLOCK = 512

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Signatures:
    """Descriptions of N patches.

    Attributes
    ----------
    coefficients : numpy.ndarray
        ``[2, 2, N, KEPT / 2, KEPT / 2]`` float32, of unit length for each patch; the first two axes
        are the parity (even, odd) of the coefficient's row and column.
    means : numpy.ndarray
        ``[N, bands]`` float32, 8-bit levels.
    spread : numpy.ndarray
        ``[N]`` float32, standard deviation of the mean of the bands, 8-bit levels.
    detail : numpy.ndarray
        ``[N]`` float32, share of neighbouring pixels that differ. Flat water that was strongly
        compressed has nearly none, and then nothing is left to tell one patch from another.
    """

    coefficients: Array
    means: Array
    spread: Array
    detail: Array

    def __len__(self) -> int:
        return len(self.means)

    def take(self, rows: npt.NDArray[np.intp]) -> Signatures:
        """Return a copy of some rows, in the order given."""
        return Signatures(
            self.coefficients[:, :, rows], self.means[rows], self.spread[rows], self.detail[rows]
        )

    def part(self, start: int, stop: int) -> Signatures:
        """Return a view of consecutive rows."""
        rows = slice(start, stop)
        return Signatures(
            self.coefficients[:, :, rows], self.means[rows], self.spread[rows], self.detail[rows]
        )


def describe(
    pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp] | None = None, *, scale: float = 1.0
) -> Signatures:
    """Describe patches, a block of them at a time.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, 64, 64]``, uint8 or uint16; may be mapped from disk.
    rows : numpy.ndarray, optional
        Rows to describe; all by default.
    scale : float
        Factor that brings values to 8-bit levels.
    """
    chosen = np.arange(len(pixels)) if rows is None else rows
    half = KEPT // 2
    coefficients = np.empty((2, 2, len(chosen), half, half), np.float32)
    means = np.empty((len(chosen), pixels.shape[1]), np.float32)
    spread, detail = np.empty((2, len(chosen)), np.float32)
    for start in range(0, len(chosen), _BLOCK):
        part = slice(start, start + _BLOCK)
        found = _describe(pixels[chosen[part]], scale)
        coefficients[:, :, part] = found.coefficients
        means[part], spread[part], detail[part] = found.means, found.spread, found.detail
    return Signatures(coefficients, means, spread, detail)


def _describe(pixels: npt.NDArray[Any], scale: float) -> Signatures:
    means = pixels.mean(axis=(2, 3), dtype=np.float32) * np.float32(scale)
    grey = pixels.mean(axis=1, dtype=np.float32) * np.float32(scale)
    waves = _cosines()
    found = waves @ clipped_grey(pixels, scale) @ waves.T
    # Natural scenes have nearly all their energy in a few coarse coefficients; the root tempers that.
    rows, columns = np.indices((KEPT, KEPT))
    wanted = (np.hypot(rows, columns) > 0) & (np.hypot(rows, columns) <= KEPT)
    tempered = np.sign(found) * np.sqrt(np.abs(found)) * wanted
    length = np.sqrt(np.square(tempered).sum(axis=(1, 2), keepdims=True))
    unit = np.divide(tempered, length, out=np.zeros_like(tempered), where=length > 1e-6).astype(np.float32)
    across = (np.abs(np.diff(grey, axis=2)) > _STEP).mean(axis=(1, 2))
    down = (np.abs(np.diff(grey, axis=1)) > _STEP).mean(axis=(1, 2))
    return Signatures(
        coefficients=np.ascontiguousarray(
            unit.reshape(len(unit), KEPT // 2, 2, KEPT // 2, 2).transpose(2, 4, 0, 1, 3)
        ),
        means=means,
        spread=grey.std(axis=(1, 2)),
        detail=((across + down) / 2).astype(np.float32),
    )


def clipped_grey(pixels: npt.NDArray[Any], scale: float) -> Array:
    """Mean of the bands less its median, what lies far off brought nearer: ``[N, S, S]`` in 8-bit levels."""
    grey = pixels.mean(axis=1, dtype=np.float32) * np.float32(scale)
    flat = grey.reshape(len(grey), -1)
    flat -= np.median(flat, axis=1, keepdims=True)
    limit = np.maximum(CLIP * np.median(np.abs(flat), axis=1, keepdims=True), LEVEL)
    clipped: Array = np.clip(flat, -limit, limit).reshape(grey.shape)
    return clipped


def _cosines() -> Array:
    """The first rows of the orthonormal cosine transform (DCT-II), ``[KEPT, SIDE]``."""
    order, place = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
    waves = np.cos(np.pi * (place + 0.5) * order / SIDE) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    single: Array = waves.astype(np.float32)
    return single


def likeness(a: Signatures, b: Signatures) -> Array:
    """Compare all of one set with all of another, each pair in its best of eight positions.

    Returns
    -------
    numpy.ndarray
        ``[len(a), len(b)]`` float32: 1 for the same content, near 0 for unrelated content; 0 where
        either is of one colour.
    """
    both: list[Array] = []
    for transposed in (False, True):
        s = {
            (i, j): _products(a.coefficients[i, j], _part(b, i, j, transposed=transposed))
            for i in (0, 1)
            for j in (0, 1)
        }
        # Mirroring columns changes the sign of odd columns, mirroring rows that of odd rows. All in place: new
        # arrays for every step would take longer than the arithmetic.
        straight, crossed = s[0, 0] + s[1, 1], s[0, 1] + s[1, 0]
        straight += np.abs(crossed, out=crossed)
        s[0, 0] -= s[1, 1]
        s[0, 1] -= s[1, 0]
        s[0, 0] += np.abs(s[0, 1], out=s[0, 1])
        both.append(np.maximum(straight, s[0, 0], out=straight))
    best: Array = np.maximum(both[0], both[1], out=both[0])
    return best


def _part(b: Signatures, i: int, j: int, *, transposed: bool) -> Array:
    part: Array = b.coefficients[j, i].transpose(0, 2, 1) if transposed else b.coefficients[i, j]
    return part


def _products(a: Array, b: Array) -> Array:
    return np.asarray(a.reshape(len(a), -1) @ np.ascontiguousarray(b).reshape(len(b), -1).T)


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any], *, scale: float = 1.0) -> float:
    """Root mean square difference of two patches in their best position, their band means made equal.

    Parameters
    ----------
    a, b : numpy.ndarray
        ``[bands, S, S]``.
    scale : float
        Factor that brings values to 8-bit levels, the unit of the result.
    """
    first = _centred(a)
    return float(scale * min(np.sqrt(np.square(first - turned).mean()) for turned in _positions(_centred(b))))


def _centred(patch: npt.NDArray[Any]) -> Array:
    values = patch.astype(np.float32)
    centred: Array = values - values.mean(axis=(1, 2), keepdims=True)
    return centred


def _positions(patch: Array) -> Iterator[Array]:
    """Go through a square patch turned and mirrored in all eight ways."""
    for base in (patch, patch.transpose(0, 2, 1)):
        yield base
        yield base[:, ::-1]
        yield base[:, :, ::-1]
        yield base[:, ::-1, ::-1]
