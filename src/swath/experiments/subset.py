"""The labels an arm may use: part of the train split, nested between shares and cut in two."""

from __future__ import annotations

import hashlib
from dataclasses import replace as with_fields

import numpy as np
import pyarrow as pa

from swath.data import SCHEMA, PatchIndex
from swath.errors import DataError

EVERY = 7  # of a class's patches that an arm may use, every 7th chooses its epoch instead of training


def subset(index: PatchIndex, *, fraction: float, seed: int, evaluated: str | None) -> PatchIndex:
    """The index an arm sees: part of the train split cut into train and val, the evaluated split as test.

    Of each class the first ``fraction`` in a seeded order is kept, at least two, so smaller shares are parts of
    larger ones, and so are their train and val parts. Everything else belongs to no split: the evaluated patches
    choose nothing. Near duplicates may lie on both sides of the inner cut, which flatters the choice of the
    epoch and not the result.

    Parameters
    ----------
    index : PatchIndex
        With a train split and the evaluated one.
    fraction : float
        Above 0, to 1.
    seed : int
        Of the order.
    evaluated : str or None
        ``val`` or ``test``, or none of them.

    Raises
    ------
    DataError
        If a class has fewer than two training patches.
    """
    given = index.table.column("split").to_pylist()
    splits: list[str | None] = [
        "test" if evaluated is not None and split == evaluated else None for split in given
    ]
    rows: dict[str, list[int]] = {}
    for row, (split, label) in enumerate(zip(given, index.labels, strict=True)):
        if split == "train":
            rows.setdefault(label, []).append(row)
    for label, places in sorted(rows.items()):
        if len(places) < 2:
            raise DataError(f"class {label} has one training patch", fix="add patches, or drop the class")
        digest = int.from_bytes(hashlib.sha256(f"{seed} {label}".encode()).digest()[:8], "little")
        order = np.random.default_rng(digest).permutation(sorted(places, key=lambda r: index.paths[r]))
        kept = order[: max(2, round(fraction * len(order)))]
        for number, row in enumerate(kept.tolist()):
            splits[row] = "train" if number % EVERY else "val"
    place = SCHEMA.get_field_index("split")
    table = index.table.set_column(place, SCHEMA.field("split"), pa.array(splits, pa.string()))
    return with_fields(
        index,
        table=table,
        split_protocol=f"{100 * fraction:g} % of the train split, seed {seed}, "
        + (f"{evaluated} as test" if evaluated else "nothing as test"),
    )
