"""How well a table of numbers tells the class of patches it has not seen: cross-validated accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.data.folds import fold_numbers
from swath.data.splits import Unit
from swath.evaluation.intervals import proportion
from swath.evaluation.softmax import fit_softmax
from swath.model.record import Estimate

FOLDS = 5
_RIDGE = 1.0  # over the number of patches, as scikit-learn's C = 1


@dataclass(frozen=True)
class Told:
    """What some columns tell of the class.

    Attributes
    ----------
    accuracy : Estimate
        Of patches left out of the fit, with its 95 % interval.
    chance : float
        Share of the commonest class: what saying its name always would get.
    """

    accuracy: Estimate
    chance: float


def cross_validated(
    features: npt.NDArray[np.floating],
    labels: Sequence[str],
    groups: Sequence[str | None],
    *,
    folds: int = FOLDS,
) -> Told | None:
    """Predict each patch from the patches of the other folds, by multinomial logistic regression.

    Parameters
    ----------
    features : numpy.ndarray
        ``[N, F]``.
    labels : sequence of str
        The N labels.
    groups : sequence of str or None
        Patches of one group are in one fold, so that no copy of a patch is learnt from.
    folds : int
        How many parts.

    Returns
    -------
    Told or None
        ``None`` where there is one class only, or fewer groups than folds.
    """
    names = sorted(set(labels))
    units = _units(labels, groups)
    if len(names) < 2 or len(units) < folds:
        return None
    classes = np.array([names.index(label) for label in labels], np.int64)
    fold = np.array(fold_numbers(units, len(labels), folds=folds))
    right = 0
    for number in range(folds):
        held = fold == number
        if not held.any() or held.all():
            continue
        fitted = fit_softmax(
            features[~held], classes[~held], outputs=len(names), ridge=_RIDGE / int((~held).sum())
        )
        right += int((fitted.predict(features[held]) == classes[held]).sum())
    commonest = Counter(labels).most_common(1)[0][1] / len(labels)
    return Told(proportion(right, len(labels)), commonest)


def _units(labels: Sequence[str], groups: Sequence[str | None]) -> list[Unit]:
    """Groups and single patches, in an order that has nothing to do with that of the files."""
    members: dict[tuple[str, str | int], list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(("row", row) if group is None else ("group", group), []).append(row)
    units = [Unit(tuple(rows), Counter(labels[row] for row in rows)) for rows in members.values()]
    order = np.random.default_rng(0).permutation(len(units))
    return [units[place] for place in order]
