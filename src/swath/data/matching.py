"""Which patches show the same picture: re-encoded, resized, shifted, brightened, turned or mirrored.

All pairs are compared at a glance (:mod:`swath.data.likeness`); those alike, of one colour and equally contrasted are
looked at closely, in the best of eight positions and 49 shifts (:mod:`swath.data.alignment`). They are the same if
they are finely alike; or if both are plain and compression has visibly taken the detail of one, and they are coarsely
alike, unturned and of the same colour. Two plain patches that both have their detail, or both lack it, are never
joined by coarse waves alone: of flat water that would join hundreds of different ones.

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
left a few plain blocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from swath.data.alignment import aligned, spectra
from swath.data.cache import Pixels
from swath.data.likeness import Signatures, describe, difference, likeness
from swath.progress import Progress, silent

GLANCE = 0.45  # likeness of coarse coefficients that makes a pair worth a closer look
BRIGHTNESS = 45.0  # 8-bit levels, in any band
CONTRAST = 2.0
COLOUR = 3.0  # 8-bit levels, once one brightness or one gain is made equal
# Brightening clips bright pixels, which changes colours; pairs this alike at a glance may differ more.
SURE, CLIPPED_COLOUR = 0.65, 12.0
ALIKE = 0.58
# Fine likeness that makes two patches the same: of plain ones, of others as they are, and of others turned. A
# single strong edge, such as that of a round field, is much like another once it may be turned.
FINE_PLAIN, FINE, FINE_TURNED = 0.50, 0.60, 0.70
# Where compression has taken the fine detail of one of two plain patches, only coarse waves can be compared.
PLAIN = 8.0  # 8-bit levels: standard deviation of the plainer patch at most
DETAILED, LOST = 0.35, 0.65  # detail of the one at least, and of the other at most as a share of it
PLAINLY_ALIKE, PLAIN_COLOUR, PLAIN_BRIGHTNESS = 0.42, 1.5, 20.0  # without turning; 8-bit levels
DETAIL = 0.1  # of the more detailed of two patches at least, else nothing tells them apart
_BLOCK = 512  # small enough for a processor's cache
_PAIRS = 256
_STAGE, _CLOSER = "compare", "align"

Pairs = npt.NDArray[np.intp]


def alike_rows(
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
        Two rows, their likeness and their root mean square difference in 8-bit levels. Rows of the same pixels
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
    """Pairs ``[M, 2]`` that are alike at a glance, of one colour and equally contrasted.

    Rows come sorted by brightness, so that blocks too far apart need not be compared.
    """
    grey = signed.means.mean(axis=1)
    contrast = np.log(np.maximum(signed.spread, 0.1))
    total = len(signed)
    found = [np.empty((0, 2), np.intp)]
    progress(_STAGE, 0, total)
    for start in range(0, total, _BLOCK):
        stop = min(start + _BLOCK, total)
        here = signed.part(start, stop)
        reach = int(np.searchsorted(grey, grey[stop - 1] + BRIGHTNESS, side="right"))
        for other in range(start, reach, _BLOCK):
            alike = likeness(here, signed.part(other, min(other + _BLOCK, reach)))
            i, j = np.nonzero(alike >= GLANCE)
            a, b = start + i, other + j
            colour = np.where(alike[i, j] >= SURE, CLIPPED_COLOUR, COLOUR)
            fits = (a < b) & (np.abs(contrast[a] - contrast[b]) <= np.log(CONTRAST))
            fits &= np.abs(signed.means[a] - signed.means[b]).max(axis=1) <= BRIGHTNESS
            fits &= colour_apart(signed.means[a], signed.means[b]) <= colour
            found.append(np.stack([a[fits], b[fits]], axis=1))
        progress(_STAGE, stop, total)
    return np.concatenate(found)


def colour_apart(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """How far colours differ that brightening should have changed alike, 8-bit levels ``[M]``.

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
    """Candidates that show the same picture, with their likeness."""
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
    signed: Signatures,
    first: npt.NDArray[np.intp],
    second: npt.NDArray[np.intp],
    alike: npt.NDArray[np.float32],
) -> npt.NDArray[np.bool_]:
    """Whether one of two plain patches is what compression left of the other."""
    spread = np.minimum(signed.spread[first], signed.spread[second])
    less = np.minimum(signed.detail[first], signed.detail[second])
    more = np.maximum(signed.detail[first], signed.detail[second])
    same = (alike >= PLAINLY_ALIKE) & (spread <= PLAIN) & (more >= DETAILED) & (less <= LOST * more)
    colour = colour_apart(signed.means[first], signed.means[second])
    brightness = np.abs(signed.means[first] - signed.means[second]).max(axis=1)
    return np.asarray(same & (colour <= PLAIN_COLOUR) & (brightness <= PLAIN_BRIGHTNESS))
