"""Which patches show the same picture: re-encoded, resized, shifted, brightened, rotated or flipped.

All pairs are compared coarsely by a few cosine coefficients (:func:`similarity`); those that are similar, of one color
and of similar contrast are compared in detail by their spectra, in the best of eight positions and 49 shifts
(:func:`aligned`). They are the same if their fine detail agrees; or if both are plain and compression has visibly
removed the detail of one, and they agree coarsely, unrotated and in color. Two plain patches that both have their
detail, or both lack it, are never grouped by coarse coefficients alone: that would group hundreds of different patches
of flat water.

Thresholds were chosen on EuroSAT's 21,600 train and val patches (2026-11-21, ``benchmarks/duplicates.py``). Of 1,500
copies planted among them, 155 of these SeaLake, and of all pairs reported:

==============================  ======  ==========  ===========
copy                            found   of SeaLake  wrong pairs
==============================  ======  ==========  ===========
JPEG 90                         98.4 %  84.5 %      0.67 %
JPEG 75                         95.7 %  58.1 %      0.62 %
shifted by 2 pixels             100 %   100 %       0
brightened, x 1.15 or + 10      100 %   100 %       0
shifted, x 1.15, JPEG 90        97.9 %  79.3 %      0.14 %
shifted, x 1.15, JPEG 75        95.5 %  56.8 %      0.07 %
==============================  ======  ==========  ===========

Of EuroSAT's own patches seven pairs are reported, all the same place shifted by a pixel or two, and none is wrong. On
plain haze (1,500 cloud patches of another set) five pairs were wrong. What is missed is water of which compression has
left only a few plain blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.cache import Pixels
from swath.progress import Progress, silent

SIDE = 64  # pixels; patches are brought to this size to be compared
KEPT = 12  # coefficients kept along rows and columns: waves of 11 pixels and longer
# A bright dot or a black corner would otherwise decide everything, and many patches have one.
CLIP = 4.0  # median absolute deviations from the median
LEVEL = 1.0  # least deviation left by the clip, 8-bit levels
_STEP = 0.4  # 8-bit levels: neighbors further apart than this differ
Array = npt.NDArray[np.float32]
REACH = 3  # pixels, in each direction
_BANDS = ((16, 0.3), (6, 0.5))  # highest wave number, power of the amplitudes: fine, then coarse
_TAPER = 8  # pixels at each edge that fade out, since a shift moves others in
Complex = npt.NDArray[np.complex64]
Floats = npt.NDArray[np.float32]
GLANCE = 0.45  # similarity of coarse coefficients above which a pair is compared in detail
BRIGHTNESS = 45.0  # 8-bit levels, in any band
CONTRAST = 2.0
COLOR = 3.0  # 8-bit levels, once one brightness or one gain is made equal
# Brightening clips bright pixels, which changes colors; pairs this alike at a glance may differ more.
SURE, CLIPPED_COLOR = 0.65, 12.0
ALIKE = 0.58
# Fine similarity that makes two patches the same: of plain ones, of others as they are, and of others turned. A
# single strong edge, such as that of a round field, is much like another once it may be turned.
FINE_PLAIN, FINE, FINE_TURNED = 0.50, 0.60, 0.70
# Where compression has taken the fine detail of one of two plain patches, only coarse waves can be compared.
PLAIN = 8.0  # 8-bit levels: standard deviation of the plainer patch at most
DETAILED, LOST = 0.35, 0.65  # detail of the one at least, and of the other at most as a share of it
PLAINLY_ALIKE, PLAIN_COLOR, PLAIN_BRIGHTNESS = 0.42, 1.5, 20.0  # without turning; 8-bit levels
DETAIL = 0.1  # of the more detailed of two patches at least, else they cannot be distinguished
_BLOCK = 512  # small enough for a processor's cache
_PAIRS = 256
_STAGE, _CLOSER = "compare", "align"
Pairs = npt.NDArray[np.intp]


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
        ``[N]`` float32, share of neighboring pixels that differ. Flat water that was strongly
        compressed has nearly none, and then patches cannot be distinguished.
    """

    coefficients: Array
    means: Array
    spread: Array
    detail: Array

    def __len__(self) -> int:
        return len(self.means)

    def take(self, rows: npt.NDArray[np.intp] | slice) -> Signatures:
        """Return some rows: of a slice a view, else a copy in the order given."""
        return Signatures(self.coefficients[:, :, rows], self.means[rows], self.spread[rows], self.detail[rows])


def describe(pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp] | None = None, *, scale: float = 1.0) -> Signatures:
    """Compute the coarse descriptions of patches, a block of them at a time.

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
    gray = pixels.mean(axis=1, dtype=np.float32) * np.float32(scale)
    waves = _cosines()
    found = waves @ clipped_gray(pixels, scale) @ waves.T
    # Natural scenes have nearly all their energy in a few coarse coefficients; the root tempers that.
    rows, columns = np.indices((KEPT, KEPT))
    wanted = (np.hypot(rows, columns) > 0) & (np.hypot(rows, columns) <= KEPT)
    tempered = np.sign(found) * np.sqrt(np.abs(found)) * wanted
    length = np.sqrt(np.square(tempered).sum(axis=(1, 2), keepdims=True))
    unit = np.divide(tempered, length, out=np.zeros_like(tempered), where=length > 1e-6).astype(np.float32)
    across = (np.abs(np.diff(gray, axis=2)) > _STEP).mean(axis=(1, 2))
    down = (np.abs(np.diff(gray, axis=1)) > _STEP).mean(axis=(1, 2))
    return Signatures(
        coefficients=np.ascontiguousarray(unit.reshape(len(unit), KEPT // 2, 2, KEPT // 2, 2).transpose(2, 4, 0, 1, 3)),
        means=means,
        spread=gray.std(axis=(1, 2)),
        detail=((across + down) / 2).astype(np.float32),
    )


def clipped_gray(pixels: npt.NDArray[Any], scale: float) -> Array:
    """Mean of the bands less its median, what lies far off brought nearer: ``[N, S, S]`` in 8-bit levels."""
    gray = pixels.mean(axis=1, dtype=np.float32) * np.float32(scale)
    flat = gray.reshape(len(gray), -1)
    flat -= np.median(flat, axis=1, keepdims=True)
    limit = np.maximum(CLIP * np.median(np.abs(flat), axis=1, keepdims=True), LEVEL)
    clipped: Array = np.clip(flat, -limit, limit).reshape(gray.shape)
    return clipped


def _cosines() -> Array:
    """The first rows of the orthonormal cosine transform (DCT-II), ``[KEPT, SIDE]``."""
    order, place = np.arange(KEPT)[:, None], np.arange(SIDE)[None]
    waves = np.cos(np.pi * (place + 0.5) * order / SIDE) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    single: Array = waves.astype(np.float32)
    return single


def similarity(a: Signatures, b: Signatures) -> Array:
    """Compare all of one set with all of another, each pair in its best of eight positions.

    Returns
    -------
    numpy.ndarray
        ``[len(a), len(b)]`` float32: 1 for the same content, near 0 for unrelated content; 0 where
        either is of one color.
    """
    both: list[Array] = []
    for transposed in (False, True):
        s = {}
        for i, j in np.ndindex(2, 2):
            other = b.coefficients[j, i].transpose(0, 2, 1) if transposed else b.coefficients[i, j]
            flat = np.ascontiguousarray(other).reshape(len(b), -1)
            s[i, j] = np.asarray(a.coefficients[i, j].reshape(len(a), -1) @ flat.T)
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


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any], *, scale: float = 1.0) -> float:
    """Root mean square difference of two patches in their best position, their band means made equal.

    Parameters
    ----------
    a, b : numpy.ndarray
        ``[bands, S, S]``.
    scale : float
        Factor that brings values to 8-bit levels, the unit of the result.
    """
    first = _centered(a)
    return float(scale * min(np.sqrt(np.square(first - turned).mean()) for turned in _positions(_centered(b))))


def _centered(patch: npt.NDArray[Any]) -> Array:
    values = patch.astype(np.float32)
    centered: Array = values - values.mean(axis=(1, 2), keepdims=True)
    return centered


@dataclass(frozen=True)
class Spectra:
    """Tempered spectra of N patches, of unit length: ``[N, 2 k + 1, 2 k + 1]`` for each band."""

    fine: Complex
    coarse: Complex

    def take(self, rows: npt.NDArray[np.intp]) -> Spectra:
        """Return a copy of some rows, in the order given."""
        return Spectra(self.fine[rows], self.coarse[rows])


def spectra(pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp], *, scale: float = 1.0) -> Spectra:
    """Compute the spectra of patches, a block of them at a time.

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
        gray = clipped_gray(pixels[rows[part]], scale)
        gray -= gray.mean(axis=(1, 2), keepdims=True)
        waves = np.fft.rfft2(gray * window)
        for target, (highest, power) in zip(made, _BANDS, strict=True):
            target[part] = _tempered(waves, highest, power)
    return Spectra(*made)


def aligned(a: Spectra, b: Spectra) -> Floats:
    """Similarity of each patch of `a` with its partner in `b`, in the best position and shift.

    Returns
    -------
    numpy.ndarray
        ``[N, 3]`` float32: the mean similarity of both bands and that of the fine band in the position and shift
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


def _positions(values: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Squares ``[N, S, S]`` rotated and flipped in all eight ways, the first unchanged."""
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


def similar_rows(
    pixels: Pixels, rows: Sequence[int], *, scale: float = 1.0, progress: Progress = silent
) -> list[tuple[int, int, float, float]]:
    """Find rows of pixels that show the same picture.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, 64, 64]``, uint8 or uint16; may be mapped from disk.
    rows : sequence of int
        Rows to compare.
    scale : float
        Factor that brings values to 8-bit levels.
    progress : Progress
        Called with stages ``"compare"`` and ``"align"``.

    Returns
    -------
    list of tuple
        Two rows, their similarity and their root mean square difference in 8-bit levels. Rows of the same pixels
        are each paired with the first of them, which alone is compared with others.
    """
    different, pairs = _same_pixels(rows, pixels)
    signed = describe(pixels, different, scale=scale)
    order = np.argsort(signed.means.mean(axis=1), kind="stable")
    candidates = order[_candidates(signed.take(order), progress)]
    for (i, j), alike in _verified(candidates, signed, different, pixels, scale=scale, progress=progress):
        a, b = int(different[i]), int(different[j])
        pairs.append((a, b, alike, difference(pixels[a], pixels[b], scale=scale)))
    return pairs


def _same_pixels(
    rows: Sequence[int], pixels: Pixels
) -> tuple[npt.NDArray[np.intp], list[tuple[int, int, float, float]]]:
    """Rows that differ in their pixels, and pairs of those that do not."""
    first: dict[bytes, int] = {}
    pairs = []
    for row in rows:
        seen = first.setdefault(hashlib.sha256(pixels[row]).digest(), row)
        if seen != row:
            pairs.append((seen, row, 1.0, 0.0))
    return np.array(sorted(first.values()), dtype=np.intp), pairs


def _candidates(signed: Signatures, progress: Progress) -> Pairs:
    """Pairs ``[M, 2]`` that are coarsely similar, of one color and of similar contrast.

    Rows come sorted by brightness, so that blocks too far apart need not be compared.
    """
    gray = signed.means.mean(axis=1)
    contrast = np.log(np.maximum(signed.spread, 0.1))
    total = len(signed)
    found = [np.empty((0, 2), np.intp)]
    progress(_STAGE, 0, total)
    for start in range(0, total, _BLOCK):
        stop = min(start + _BLOCK, total)
        here = signed.take(slice(start, stop))
        reach = int(np.searchsorted(gray, gray[stop - 1] + BRIGHTNESS, side="right"))
        for other in range(start, reach, _BLOCK):
            alike = similarity(here, signed.take(slice(other, min(other + _BLOCK, reach))))
            i, j = np.nonzero(alike >= GLANCE)
            a, b = start + i, other + j
            color = np.where(alike[i, j] >= SURE, CLIPPED_COLOR, COLOR)
            fits = (a < b) & (np.abs(contrast[a] - contrast[b]) <= np.log(CONTRAST))
            fits &= np.abs(signed.means[a] - signed.means[b]).max(axis=1) <= BRIGHTNESS
            fits &= color_difference(signed.means[a], signed.means[b]) <= color
            found.append(np.stack([a[fits], b[fits]], axis=1))
        progress(_STAGE, stop, total)
    return np.concatenate(found)


def color_difference(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """How far colors differ that brightening should have changed alike, 8-bit levels ``[M]``.

    Parameters
    ----------
    first, second : numpy.ndarray
        ``[M, bands]`` band means. What is left of their difference once the same number is added to all bands
        of one, or all are multiplied by the same number, whichever leaves less.
    """
    step = second - first
    added = np.abs(step - step.mean(axis=1, keepdims=True)).max(axis=1)
    ratio = (first * second).sum(axis=1) / np.maximum(np.square(first).sum(axis=1), 1e-6)
    multiplied = np.abs(second - ratio[:, None] * first).max(axis=1)
    return np.asarray(np.minimum(added, multiplied))


def _verified(
    candidates: Pairs,
    signed: Signatures,
    rows: npt.NDArray[np.intp],
    pixels: Pixels,
    *,
    scale: float,
    progress: Progress,
) -> Iterable[tuple[tuple[int, int], float]]:
    """Candidates that show the same picture, and their similarity."""
    total = len(candidates)
    progress(_CLOSER, 0, total)
    if not total:
        return
    wanted, places = np.unique(candidates, return_inverse=True)
    described = spectra(pixels, rows[wanted], scale=scale)
    places = places.reshape(candidates.shape)
    for start in range(0, total, _PAIRS):
        part = places[start : start + _PAIRS]
        first, second = candidates[start : start + _PAIRS].T
        alike, fine, unturned = aligned(described.take(part[:, 0]), described.take(part[:, 1])).T
        plain = np.minimum(signed.spread[first], signed.spread[second]) <= PLAIN
        needed = np.where(plain, FINE_PLAIN, np.where(unturned >= alike, FINE, FINE_TURNED))
        same = (alike >= ALIKE) & (fine >= needed)
        same |= _plainly_same(signed, first, second, unturned)
        same &= np.maximum(signed.detail[first], signed.detail[second]) >= DETAIL
        for k in np.flatnonzero(same):
            yield (int(first[k]), int(second[k])), min(float(alike[k]), 1.0)
        progress(_CLOSER, min(start + _PAIRS, total), total)


def _plainly_same(
    signed: Signatures, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp], alike: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Whether one of two plain patches is what compression left of the other."""
    spread = np.minimum(signed.spread[first], signed.spread[second])
    less = np.minimum(signed.detail[first], signed.detail[second])
    more = np.maximum(signed.detail[first], signed.detail[second])
    same = (alike >= PLAINLY_ALIKE) & (spread <= PLAIN) & (more >= DETAILED) & (less <= LOST * more)
    color = color_difference(signed.means[first], signed.means[second])
    brightness = np.abs(signed.means[first] - signed.means[second]).max(axis=1)
    return np.asarray(same & (color <= PLAIN_COLOR) & (brightness <= PLAIN_BRIGHTNESS))
