"""How alike two patches are in their best position and shift: normalised cross-correlation, tempered.

Two bands of frequencies are correlated, each with its spectrum tempered so that a few strong waves do not decide
alone: the coarse one keeps what strong compression leaves of flat water, the fine one tells apart places that
share an edge. Tempering lies between plain correlation and phase correlation (Kuglin and Hines 1975, Proc. IEEE
Conf. Cybernetics and Society, 163-165). Turning, mirroring and shifting a patch only reorders its spectrum and
turns its phases, so all eight positions and 49 shifts are compared without touching a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.likeness import SIDE, clipped_grey

REACH = 3  # pixels, in each direction
_BANDS = ((16, 0.3), (6, 0.5))  # highest wave number, power of the amplitudes: fine, then coarse
_TAPER = 8  # pixels at each edge that fade out, since a shift moves others in
_BLOCK = 512

Complex = npt.NDArray[np.complex64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Spectra:
    """Tempered spectra of N patches, of unit length: ``[N, 2 k + 1, 2 k + 1]`` for each band."""

    fine: Complex
    coarse: Complex

    def take(self, rows: npt.NDArray[np.intp]) -> Spectra:
        """Return a copy of some rows, in the order given."""
        return Spectra(self.fine[rows], self.coarse[rows])


def spectra(pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp], *, scale: float = 1.0) -> Spectra:
    """Describe patches by their spectra, a block of them at a time.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, 64, 64]``, uint8 or uint16; may be mapped from disk.
    rows : numpy.ndarray
        Rows to describe.
    scale : float
        Factor that brings values to 8-bit levels.
    """
    made = [np.empty((len(rows), 2 * k + 1, 2 * k + 1), np.complex64) for k, _ in _BANDS]
    window = np.outer(_fading(), _fading())
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        grey = clipped_grey(pixels[rows[part]], scale)
        grey -= grey.mean(axis=(1, 2), keepdims=True)
        waves = np.fft.rfft2(grey * window)
        for target, (highest, power) in zip(made, _BANDS, strict=True):
            target[part] = _tempered(waves, highest, power)
    return Spectra(*made)


def aligned(a: Spectra, b: Spectra) -> Floats:
    """Likeness of each patch of `a` with its partner in `b`, in the best position and shift.

    Returns
    -------
    numpy.ndarray
        ``[N, 3]`` float32: the mean likeness of both bands and that of the fine band in the position and shift
        where the mean is largest, and the largest mean without turning. 1 for the same content, near 0 for
        unrelated content.
    """
    everyone = np.arange(len(a.fine))
    best = np.full((len(everyone), 3), -1.0, np.float32)
    for number, (fine_b, coarse_b) in enumerate(zip(_positions(b.fine), _positions(b.coarse), strict=True)):
        fine = _at_shifts(a.fine, fine_b)
        both = (fine + _at_shifts(a.coarse, coarse_b)) / 2
        place = both.argmax(axis=1)
        found = np.stack([both[everyone, place], fine[everyone, place]], axis=1)
        if number == 0:
            best[:, 2] = found[:, 0]
        better = found[:, 0] > best[:, 0]
        best[better, :2] = found[better]
    return best


def _fading() -> Floats:
    window = np.ones(SIDE)
    window[:_TAPER] = np.sin((np.arange(_TAPER) + 0.5) / _TAPER * np.pi / 2) ** 2
    window[-_TAPER:] = window[:_TAPER][::-1]
    return window.astype(np.float32)


def _tempered(waves: npt.NDArray[np.complexfloating], highest: int, power: float) -> Complex:
    """Whole square of wave numbers up to `highest` from a half plane, phases about the patch's middle."""
    down, right = np.arange(-highest, highest + 1), np.arange(highest + 1)
    middle = np.exp(2j * np.pi * (down[:, None] + right[None]) * (SIDE - 1) / 2 / SIDE)
    half = waves[:, down % SIDE][:, :, right] * middle
    whole = np.concatenate([np.conj(half[:, ::-1, :0:-1]), half], axis=2)
    numbers = np.hypot(down[:, None], down[None])
    size = np.abs(whole)
    kept = whole * np.maximum(size, 1e-9) ** (power - 1) * ((numbers > 0) & (numbers <= highest))
    length = np.sqrt(np.square(np.abs(kept)).sum(axis=(1, 2), keepdims=True))
    unit: Complex = np.divide(kept, length, out=np.zeros_like(kept), where=length > 1e-6).astype(np.complex64)
    return unit


def _positions(values: Complex) -> Iterator[Complex]:
    """Spectra of patches turned and mirrored in all eight ways, the first as they are."""
    for base in (values, values.swapaxes(1, 2)):
        yield base
        yield base[:, ::-1]
        yield base[:, :, ::-1]
        yield base[:, ::-1, ::-1]


def _at_shifts(a: Complex, b: Complex) -> Floats:
    """Correlation at all shifts: ``[N, 49]``."""
    highest = len(a[0]) // 2
    shifts, numbers = np.arange(-REACH, REACH + 1), np.arange(-highest, highest + 1)
    turns = np.exp(2j * np.pi * shifts[:, None] * numbers[None] / SIDE).astype(np.complex64)
    found: Floats = (turns @ (a * np.conj(b)) @ turns.T).real
    return found.reshape(len(a), -1)
