"""k-fold cross-validation: every patch is tested exactly once, in whole groups, class by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace as with_fields

import pyarrow as pa

from swath.data.index import SCHEMA, PatchIndex
from swath.data.splits import GROUPS_WHOLE, Unit, split_index, units_of
from swath.errors import DataError, SettingError

MOST_FOLDS = 100


def fold_index(
    index: PatchIndex, *, folds: int = 5, fold: int = 0, val: float = 0.2, seed: int = 0
) -> PatchIndex:
    """Make one fold the test split, and cut val from the rest.

    The folds depend on paths, groups and the seed only; so the same call with another `fold` gives the
    other parts of the same division.

    Parameters
    ----------
    index : PatchIndex
        Splits it has are forgotten; groups stay whole.
    folds : int
        How many parts, at least 2.
    fold : int
        Which of them is tested, from 0.
    val : float
        Share of the rest of each class for validation, 0 for none.
    seed : int
        Another seed gives another division.

    Raises
    ------
    SettingError
        If there is no such fold, or the shares leave nothing to train on.
    DataError
        If a class has fewer groups than folds.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise SettingError(f"{folds} folds", fix=f"choose --folds from 2 to {MOST_FOLDS}")
    if not 0 <= fold < folds:
        raise SettingError(
            f"there is no fold {fold} of {folds}", fix=f"folds are numbered from 0 to {folds - 1}"
        )
    numbers = fold_numbers(units_of(index, seed), len(index), folds=folds)
    _check(index, numbers, folds)
    splits = pa.array(["test" if n == fold else None for n in numbers], SCHEMA.field("split").type)
    place = SCHEMA.get_field_index("split")
    table = index.table.set_column(place, SCHEMA.field("split"), splits)
    how = f"is fold {fold} of {folds} (numbered from 0, {GROUPS_WHOLE}, seed {seed})"
    tested = with_fields(index, table=table, split_protocol=how)
    return split_index(tested, val=val, test=0.0, seed=seed)


def fold_numbers(units: Sequence[Unit], rows: int, *, folds: int) -> list[int]:
    """Share units out to folds so that each class is spread as evenly as its groups allow.

    Units go in order of size, the largest first, to the fold that lacks most of their classes, and of those to the
    one that has fewest patches of them.

    Parameters
    ----------
    units : sequence of Unit
        In an order that settles ties.
    rows : int
        Rows of the index; each is in one unit.
    folds : int
        Number of folds.

    Returns
    -------
    list of int
        Fold of each row, from 0.
    """
    numbers = [0] * rows
    have: list[Counter[str]] = [Counter() for _ in range(folds)]
    sizes = [0] * folds
    for unit in sorted(units, key=lambda unit: -len(unit.rows)):  # stable, so the given order settles ties
        best = min(
            range(folds),
            key=lambda fold: (
                -sum(not have[fold][label] for label in unit.counts),
                sum(n * have[fold][label] for label, n in unit.counts.items()),
                sizes[fold],
                fold,
            ),
        )
        have[best].update(unit.counts)
        sizes[best] += len(unit.rows)
        for row in unit.rows:
            numbers[row] = best
    return numbers


def _check(index: PatchIndex, numbers: Sequence[int], folds: int) -> None:
    found: dict[str, set[int]] = {}
    for labels, number in zip(index.label_sets, numbers, strict=True):
        for label in labels:
            found.setdefault(label, set()).add(number)
    for label, there in sorted(found.items()):
        if len(there) < folds:
            raise DataError(
                f"class '{label}' has too few groups of patches for {folds} folds (it fills {len(there)})",
                fix=f"choose --folds {max(2, len(there))} or fewer, try another --seed, or give it more groups",
            )
