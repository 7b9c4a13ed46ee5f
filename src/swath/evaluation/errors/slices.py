"""Slices of a split (by brightness, size, source and so on), and whether the model is worse on one of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.data import PatchIndex, color_feature_names, color_features
from swath.evaluation.intervals import proportion, proportion_difference
from swath.model.record import Estimate
from swath.pages.text import written

_ALIKE = 1 + 1e-7  # tables as improbable as the one seen, but for rounding
LEAST = 10  # patches below which a slice is not looked at
LEVEL = 0.05  # of the corrected p-value
_QUARTERS = ("lowest quarter", "second quarter", "third quarter", "highest quarter")


def fisher_exact(first: int, n_first: int, second: int, n_second: int) -> float:
    """Two-sided p-value of Fisher's exact test: `first` of `n_first` against `second` of `n_second`.

    The sum over all tables with the same margins that are no more probable than the one seen (Fisher 1935;
    the convention of R and scipy). Exact for any counts, so a slice with two errors is no special case.

    Returns
    -------
    float
        0-1; 1 where a side is empty.
    """
    n, hits = n_first + n_second, first + second
    least, most = max(0, hits - n_second), min(n_first, hits)
    if least >= most:
        return 1.0
    fact = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    x = np.arange(least, most + 1)
    log_p = (
        fact[n_first] - fact[x] - fact[n_first - x]
        + fact[n_second] - fact[hits - x] - fact[n_second - hits + x]
        - (fact[n] - fact[hits] - fact[n - hits])
    )  # fmt: skip
    seen = log_p[first - least]
    return float(min(1.0, np.exp(log_p[log_p <= seen + math.log(_ALIKE)]).sum()))


def holm(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Correct p-values for their number (Holm 1979, Scand. J. Stat. 6, 65-70).

    The chance that even one of all slices is called different by accident stays below the level; slices may
    overlap or depend on one another in any way.

    Parameters
    ----------
    p_values : sequence of float
        One per test.

    Returns
    -------
    numpy.ndarray
        float64, in the same order; compare with the level directly.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


@dataclass(frozen=True)
class Slicing:
    """One way to part the patches.

    Attributes
    ----------
    by : str
        What by, such as ``"brightness"``.
    names : list of str
        The slice of each patch.
    values : numpy.ndarray or None
        ``[N]`` float64, the number behind the slice, where there is one.
    """

    by: str
    names: list[str]
    values: npt.NDArray[np.float64] | None = None


class Slice(Settings):
    """How the model does on one slice.

    Attributes
    ----------
    by, name : str
        The slicing, and the slice.
    accuracy : Estimate
        Inside the slice.
    difference : Estimate
        Inside minus outside.
    expected : float
        The accuracy that the classes in the slice have in the whole split: where it is as low as
        `accuracy`, the slice is hard because its classes are.
    p, corrected : float
        Fisher's exact test of inside against outside; the same after Holm's correction for all slices.
    """

    by: str
    name: str
    accuracy: Estimate
    difference: Estimate
    expected: float
    p: float
    corrected: float

    @property
    def clear(self) -> bool:
        """Whether the difference is more than the number of slices explains."""
        return self.corrected < LEVEL

    @property
    def where(self) -> str:
        """The slice in words, such as ``in the third quarter of brightness (70.2 to 91.0)``."""
        name = written(self.name, limit=48)
        for quarter in _QUARTERS:
            if name.startswith(quarter):
                return f"in the {quarter} of {self.by}{name.removeprefix(quarter)}"
        return f"where {self.by} is {name}"


def slicings(part: PatchIndex, pixels: npt.NDArray[Any], *, bands: Sequence[str]) -> tuple[list[Slicing], list[str]]:
    """Part patches by brightness, contrast, greenness, size, mode, group and source.

    Numbers are cut at their quartiles. Brightness and contrast are the mean and the standard deviation of the
    pixels, averaged over the bands; greenness is the normalized difference of green and red.

    Parameters
    ----------
    part : PatchIndex
        N patches.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    bands : sequence of str
        One name per band.

    Returns
    -------
    tuple of list of Slicing and list of str
        The slicings, and the names of those in which all patches are alike.
    """
    features = color_features(pixels)
    column = {name: features[:, place] for place, name in enumerate(color_feature_names(bands))}
    measured = {
        "brightness": np.mean([column[f"mean_{band}"] for band in bands], axis=0),
        "contrast": np.mean([column[f"sd_{band}"] for band in bands], axis=0),
    }
    if "difference_red_green" in column:
        measured["greenness"] = -column["difference_red_green"]
    elif "difference_green_red" in column:
        measured["greenness"] = column["difference_green_red"]
    found = [Slicing(by, _quarters(values), values) for by, values in measured.items()]
    table = part.table
    sizes = zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)
    found.append(Slicing("size", [f"{width} x {height}" for width, height in sizes]))
    for by in ("mode", "group", "source"):
        found.append(Slicing(by, [value or "none" for value in table[by].to_pylist()]))
    alike = [slicing.by for slicing in found if len(set(slicing.names)) < 2]
    return [slicing for slicing in found if slicing.by not in alike], alike


def measure_slices(
    right: npt.NDArray[np.bool_], labels: npt.NDArray[np.int64], given: Sequence[Slicing]
) -> tuple[Slice, ...]:
    """Compare the accuracy in each slice with that of all other patches.

    Parameters
    ----------
    right : numpy.ndarray
        ``[N]`` bool, whether the model's answer is the label.
    labels : numpy.ndarray
        ``[N]`` int64 class numbers.
    given : sequence of Slicing
        The slicings; slices of fewer than :data:`LEAST` patches are passed over.

    Returns
    -------
    tuple of Slice
        Clearest first.
    """
    counts = np.bincount(labels)
    recall = np.bincount(labels, weights=right.astype(np.float64)) / np.maximum(counts, 1)
    n, hits = len(right), int(right.sum())
    measured: list[dict[str, Any]] = []
    for slicing in given:
        names = np.array(slicing.names)
        for name, size in Counter(slicing.names).items():
            if not LEAST <= size < n:
                continue
            inside = names == name
            here = int(right[inside].sum())
            counted = (here, size, hits - here, n - size)
            measured.append(
                {
                    "by": slicing.by,
                    "name": name,
                    "accuracy": proportion(here, size),
                    "difference": proportion_difference(*counted),
                    "expected": float(recall[labels[inside]].mean()),
                    "p": fisher_exact(*counted),
                }
            )
    corrected = holm([one["p"] for one in measured])
    slices = [Slice(**one, corrected=float(p)) for one, p in zip(measured, corrected, strict=True)]
    return tuple(sorted(slices, key=lambda s: (s.p, s.difference.value, s.by, s.name)))


def _quarters(values: npt.NDArray[np.float64]) -> list[str]:
    """Name the quarter of each value; equal values are never parted."""
    edges = np.unique(np.quantile(values, (0.25, 0.5, 0.75)))
    edges = edges[(edges > values.min()) & (edges <= values.max())]
    digits = 1 if np.ptp(values) >= 10 else 3
    limits = [f"{edge:.{digits}f}" for edge in edges]
    ranges = ["all"] if not limits else [f"below {limits[0]}"]
    ranges += [f"{low} to {high}" for low, high in pairwise(limits)]
    ranges += [f"from {limits[-1]}"] if limits else []
    if len(ranges) == len(_QUARTERS):
        ranges = [f"{quarter} ({span})" for quarter, span in zip(_QUARTERS, ranges, strict=True)]
    return [ranges[place] for place in np.searchsorted(edges, values, side="right")]
