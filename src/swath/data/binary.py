"""One class against the rest: a binary index of an existing one."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from dataclasses import replace as with_fields

import pyarrow as pa

from swath.data.index import SCHEMA, PatchIndex
from swath.errors import DataError, SettingError

NEGATIVE = "not {}"


def binary_index(
    index: PatchIndex, positive: str, *, negatives_per_positive: float | None = None, seed: int = 0
) -> PatchIndex:
    """Make an index of two classes: `positive`, and ``not <positive>`` for all else.

    Parameters
    ----------
    index : PatchIndex
        Patches with one label each, or with several: those that have `positive` among them are positive.
    positive : str
        The class looked for.
    negatives_per_positive : float, optional
        Keep as many patches as there can be with so many others for each positive, in every split by itself,
        so that rarity is the same everywhere; the classes of the others keep their shares. By default, all.
    seed : int
        Another seed draws others.

    Returns
    -------
    PatchIndex
        Splits, groups and everything else as they were.

    Raises
    ------
    SettingError
        If `negatives_per_positive` is not above 0.
    DataError
        If no patch is `positive`, all are, another class has the negative's name, or a split with positives
        has too few others for a single one.
    """
    if negatives_per_positive is not None and not negatives_per_positive > 0:
        raise SettingError(
            f"{negatives_per_positive:g} negatives for each positive", fix="give a number above 0, such as 10"
        )
    negative = NEGATIVE.format(positive)
    _check(index, positive, negative)
    holds = [positive in labels for labels in index.label_sets]
    kept = list(range(len(index)))
    if negatives_per_positive is not None:
        kept = _drawn(index, holds, per_positive=negatives_per_positive, seed=seed)
    table = index.table.take(pa.array(kept, pa.int64()))
    columns = {
        "label": [positive if holds[row] else negative for row in kept],
        "labels": [None] * len(kept),
    }
    for name, values in columns.items():
        place = SCHEMA.get_field_index(name)
        table = table.set_column(place, SCHEMA.field(name), pa.array(values, SCHEMA.field(name).type))
    drawn = (
        f"; {negatives_per_positive:g} others for each drawn, seed {seed}" if negatives_per_positive else ""
    )
    protocol = f"{index.split_protocol}; {positive} against the rest{drawn}" if index.split_protocol else ""
    return with_fields(index, table=table, split_protocol=protocol)


def _check(index: PatchIndex, positive: str, negative: str) -> None:
    if positive not in index.classes:
        raise DataError(
            f"index '{index.name}' has no class '{positive}'", fix=f"its classes: {', '.join(index.classes)}"
        )
    if negative in index.classes:
        raise DataError(
            f"index '{index.name}' has a class '{negative}' already",
            fix="it is a binary index, use it as it is",
        )
    if all(positive in labels for labels in index.label_sets):
        raise DataError(f"every patch of index '{index.name}' is {positive}", fix="add patches that are not")


def _drawn(index: PatchIndex, holds: list[bool], *, per_positive: float, seed: int) -> list[int]:
    """Rows to keep, in order: in each split the most positives and others that are in the ratio asked for."""
    splits: list[str | None] = index.table.column("split").to_pylist()
    kept: list[int] = []
    for split in sorted(set(splits), key=str):
        positives: list[int] = []
        others: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, labels in enumerate(index.label_sets):
            if splits[row] == split:
                (positives if holds[row] else others[labels]).append(row)
        left = sum(map(len, others.values()))
        most = min(len(positives), math.floor(left / per_positive))
        if split is not None and not positives:
            raise DataError(
                f"split '{split}' has no positive patch, so nothing of it would be left",
                fix="split anew after making the index binary, or leave --negatives-per-positive out",
            )
        if positives and not most:
            raise DataError(
                f"split '{split or 'none'}' has {left} patches of other classes, fewer than the "
                f"{per_positive:g} asked for a positive",
                fix="ask for fewer",
            )
        if positives and not round(most * per_positive):
            raise DataError(
                f"{per_positive:g} negatives a positive leave split '{split or 'none'}' without any",
                fix="ask for more",
            )
        kept += _spread([positives], most, index, seed)
        kept += _spread(list(others.values()), round(most * per_positive), index, seed)
    return sorted(kept)


def _spread(classes: list[list[int]], wanted: int, index: PatchIndex, seed: int) -> list[int]:
    """Draw rows so that every class keeps its share: each row's place within its class decides."""
    ranked: list[tuple[float, bytes, int]] = []
    for rows in classes:
        order = sorted((_mix(index.paths[row], seed), row) for row in rows)
        ranked += [((k + 0.5) / len(rows), key, row) for k, (key, row) in enumerate(order)]
    return [row for _, _, row in sorted(ranked)[:wanted]]


def _mix(path: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{path}".encode()).digest()
