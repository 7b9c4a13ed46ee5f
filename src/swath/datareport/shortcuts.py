"""The shortcut score: how well the class is predicted by file headers, file lengths and colors, without the land.

A network learns whatever separates the classes. Where the way files are stored does, a score may say nothing about
the land: of the four classes of a much-used set two are separable by size and color mode alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.data import class_numbers
from swath.data.audit import SHORTCUT_GAIN
from swath.data.units import Unit, fold_numbers
from swath.evaluation.intervals import proportion
from swath.evaluation.softmax import fit_softmax
from swath.imagery import Storage
from swath.model.record import Estimate

FOLDS = 5
_RIDGE = 1.0  # over the number of patches, as scikit-learn's C = 1
MOST = 6_000  # patches the scores are measured on; drawn with seed 0
_LEAST = 5  # patches a value must have to be a column of its own
_COLUMNS = 60  # values of one field at most
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CrossValidationScore:
    """Accuracy of predicting the class from some columns.

    Attributes
    ----------
    accuracy : Estimate
        Of held-out patches, with its 95 % interval.
    chance : float
        Share of the commonest class: the accuracy of always predicting it.
    """

    accuracy: Estimate
    chance: float


def cross_validated(
    features: npt.NDArray[np.floating], labels: Sequence[str], groups: Sequence[str | None], *, folds: int = FOLDS
) -> CrossValidationScore | None:
    """Predict each patch from the patches of the other folds, by multinomial logistic regression.

    Parameters
    ----------
    features : numpy.ndarray
        ``[N, F]``.
    labels : sequence of str
        The N labels.
    groups : sequence of str or None
        Patches of one group are in one fold, so that no copy of a held-out patch is learned from.
    folds : int
        Number of folds.

    Returns
    -------
    CrossValidationScore or None
        ``None`` where there is one class only, or fewer groups than folds.
    """
    names = sorted(set(labels))
    units = _units(labels, groups)
    if len(names) < 2 or len(units) < folds:
        return None
    classes = class_numbers(labels, names)
    fold = np.array(fold_numbers(units, len(labels), folds=folds))
    right = 0
    for number in range(folds):
        held = fold == number
        if not held.any() or held.all():
            continue
        fitted = fit_softmax(features[~held], classes[~held], outputs=len(names), ridge=_RIDGE / int((~held).sum()))
        right += int((fitted.predict(features[held]) == classes[held]).sum())
    commonest = Counter(labels).most_common(1)[0][1] / len(labels)
    return CrossValidationScore(proportion(right, len(labels)), commonest)


def _units(labels: Sequence[str], groups: Sequence[str | None]) -> list[Unit]:
    """Groups and single patches, in an order independent of that of the files."""
    members: dict[tuple[str, str | int], list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(("row", row) if group is None else ("group", group), []).append(row)
    units = [Unit(tuple(rows), Counter(labels[row] for row in rows)) for rows in members.values()]
    order = np.random.default_rng(0).permutation(len(units))
    return [units[place] for place in order]


@dataclass(frozen=True)
class Shortcut:
    """One property of the files, and how well it predicts the class.

    Attributes
    ----------
    name : str
        The property.
    values : int
        How many different values it takes; 0 for numbers.
    score : CrossValidationScore
        Accuracy and chance.
    seen : bool
        Whether a network that is given the pixels could use it.
    """

    name: str
    values: int
    score: CrossValidationScore
    seen: bool

    @property
    def is_shortcut(self) -> bool:
        """Whether the accuracy is clearly at least five points above chance."""
        return self.score.accuracy.low > self.score.chance + SHORTCUT_GAIN


@dataclass(frozen=True)
class Shortcuts:
    """All shortcut scores of an index.

    Attributes
    ----------
    headers : Shortcut or None
        All headers together; ``None`` where nothing can be measured.
    fields : tuple of Shortcut
        Each field of the headers that takes several values.
    length : Shortcut or None
        The length of the file in bytes.
    colors : Shortcut or None
        Color statistics of the pixels.
    patches : int
        How many patches were used.
    """

    headers: Shortcut | None
    fields: tuple[Shortcut, ...]
    length: Shortcut | None
    colors: Shortcut | None
    patches: int

    @property
    def all(self) -> tuple[Shortcut, ...]:
        """The measured ones, the most serious kind first."""
        return tuple(one for one in (self.headers, *self.fields, self.length, self.colors) if one)


def drawn(n: int, *, most: int = MOST) -> npt.NDArray[np.intp]:
    """Rows of `n` patches to measure on: all, or `most` of them drawn at random with seed 0, in order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def measure_shortcuts(
    headers: Sequence[Storage],
    suffixes: Sequence[str],
    colors: Floats,
    labels: Sequence[str],
    groups: Sequence[str | None],
) -> Shortcuts:
    """Measure how well headers, lengths and colors predict the class.

    Parameters
    ----------
    headers : sequence of Storage
        Of N patches.
    suffixes : sequence of str
        Of their names.
    colors : numpy.ndarray
        ``[N, F]``, as :func:`swath.data.color_features`.
    labels, groups : sequence
        Of the N patches.
    """

    def score(name: str, features: Floats, *, values: int, seen: bool) -> Shortcut | None:
        found = cross_validated(features, labels, groups)
        return None if found is None else Shortcut(name, values, found, seen)

    fields: dict[str, list[Hashable]] = {
        "size": [(one.width, one.height) for one in headers],
        "mode": [one.mode for one in headers],
        "format": [one.kind for one in headers],
        "compression": [one.compression for one in headers],
        "quantization tables": [one.tables for one in headers],
        "other blocks": [one.extras for one in headers],
        "suffix": list(suffixes),
    }
    whole: list[Hashable] = list(zip(*fields.values(), strict=True))
    sides = np.log([[one.width, one.height] for one in headers]).astype(np.float64)
    together = np.concatenate([sides, _columns(whole), *map(_columns, fields.values())], axis=1)
    lengths = np.array([one.bytes for one in headers], np.float64)
    per_pixel = lengths / np.array([one.width * one.height for one in headers])
    counts = {name: len(set(values)) for name, values in fields.items()}
    found = [
        score(name, _columns(values), values=counts[name], seen=False)
        for name, values in fields.items()
        if counts[name] > 1
    ]
    return Shortcuts(
        headers=score("all headers", together, values=len(set(whole)), seen=False),
        fields=tuple(one for one in found if one is not None),
        length=score("length in bytes", np.stack([np.log(lengths), np.log(per_pixel)], axis=1), values=0, seen=False),
        colors=score("color statistics", colors, values=0, seen=True),
        patches=len(labels),
    )


def _columns(values: Sequence[Hashable]) -> Floats:
    """One column of zeros and ones for each of the commonest values; rare ones share none."""
    counts = Counter(values)
    if len(counts) < 2:
        return np.zeros((len(values), 0))
    common = [value for value, n in counts.most_common(_COLUMNS) if n >= _LEAST]
    place = {value: column for column, value in enumerate(common)}
    columns = np.zeros((len(values), len(common)))
    for row, value in enumerate(values):
        if value in place:
            columns[row, place[value]] = 1.0
    return columns
