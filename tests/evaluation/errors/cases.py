"""Indexes with labels changed on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from swath.data import SCHEMA, PatchIndex


def mislabeled(index: PatchIndex, changes: Mapping[int, str]) -> PatchIndex:
    """The same index with other labels at some rows."""
    labels = [changes.get(row, label) for row, label in enumerate(index.labels)]
    place = SCHEMA.get_field_index("label")
    column = pa.array(labels, SCHEMA.field("label").type)
    return replace(index, table=index.table.set_column(place, SCHEMA.field("label"), column))


def rows_of(index: PatchIndex, label: str, split: str = "val") -> list[int]:
    """Rows of one class in one split."""
    both = zip(index.labels, index.table.column("split").to_pylist(), strict=True)
    return [row for row, pair in enumerate(both) if pair == (label, split)]
