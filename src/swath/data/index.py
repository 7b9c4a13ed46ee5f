"""The patch index: one table, one row a patch, made once and never guessed again."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from swath.errors import DataError, SettingError

SPLITS = ("train", "val", "test")

SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("labels", pa.list_(pa.string())),
        pa.field("split", pa.string()),
        pa.field("group", pa.string()),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("mode", pa.string(), nullable=False),
        pa.field("lon", pa.float64()),
        pa.field("lat", pa.float64()),
        pa.field("gsd", pa.float64()),
        pa.field("source", pa.string()),
        pa.field("licence", pa.string()),
    ]
)


@dataclass(frozen=True)
class PatchIndex:
    """Labelled patches: where they are and what is known of each.

    Attributes
    ----------
    root : Path
        Folder or zip archive that holds the patches, resolved.
    table : pyarrow.Table
        One row a patch, columns as in :data:`SCHEMA`. ``path`` is relative to `root`, with forward
        slashes; ``group`` names patches that must stay on one side of every split.
    name : str
        Of the data set.
    attribution : str
        The line that must accompany works made from the data; empty if not known.
    split_protocol : str
        How the splits came about, in words; empty where there are none.
    skipped : tuple of str
        Images left out because they could not be read.
    ignored : int
        Files passed over because their suffix is of no known kind.
    file : pathlib.Path or None
        Where it was read from.
    """

    root: Path
    table: pa.Table
    name: str = ""
    attribution: str = ""
    split_protocol: str = ""
    skipped: tuple[str, ...] = ()
    ignored: int = 0
    file: Path | None = field(default=None, compare=False, repr=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """What must not be thrown away when something is made of the index."""
        return (self.root,) if self.file is None else (self.root, self.file)

    @cached_property
    def paths(self) -> list[str]:
        """Path of every patch, relative to the root."""
        return self._column("path")

    @cached_property
    def labels(self) -> list[str]:
        """Label of every patch.

        Raises
        ------
        DataError
            If patches carry several labels or none.
        """
        labels: list[str | None] = self._column("label")
        whole = [label for label in labels if label is not None]
        if len(whole) != len(labels):
            raise DataError(
                f"{len(labels) - len(whole)} of {len(labels)} patches of index '{self.name}' have no single label",
                fix="give each patch one label in the 'label' column",
            )
        return whole

    @cached_property
    def label_sets(self) -> list[tuple[str, ...]]:
        """All labels of every patch: its one label, or its several, of which there may be none.

        Raises
        ------
        DataError
            If a patch has neither a label nor a list of labels.
        """
        sets: list[tuple[str, ...]] = []
        for path, label, several in zip(
            self.paths, self._column("label"), self._column("labels"), strict=True
        ):
            if label is None and several is None:
                raise DataError(
                    f"patch {path} of index '{self.name}' has no label", fix="make the index again"
                )
            sets.append((label,) if label is not None else tuple(several))
        return sets

    @cached_property
    def multi_label(self) -> bool:
        """Whether patches carry lists of labels rather than one label each."""
        return bool(self.table.column("labels").null_count < len(self))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, sorted."""
        names = {label for label in self._column("label") if label is not None}
        for several in self._column("labels"):
            names.update(several or ())
        return tuple(sorted(names))

    @property
    def split_counts(self) -> dict[str | None, int]:
        """Number of patches in each split that occurs; the key ``None`` counts those in no split."""
        counts = Counter(self._column("split"))
        return {split: counts[split] for split in (*SPLITS, None) if counts[split]}

    @property
    def gsd(self) -> float | None:
        """Ground sampling distance in metres a pixel, where all patches share one."""
        gsd: float | None = self._shared("gsd")
        return gsd

    @property
    def licence(self) -> str | None:
        """Licence of the patches, where all share one."""
        licence: str | None = self._shared("licence")
        return licence

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the data, whatever the order of rows and wherever they lie: hexadecimal SHA-256.

        It covers path, label(s), split, group and content of every patch.
        """
        rows = zip(
            *(self._column(c) for c in ("path", "label", "labels", "split", "group", "sha256")), strict=True
        )
        digest = hashlib.sha256()
        for line in sorted(json.dumps(row, ensure_ascii=False) for row in rows):
            digest.update(line.encode() + b"\n")
        return digest.hexdigest()

    def where(self, split: str) -> PatchIndex:
        """Return the rows of one split, in index order.

        Raises
        ------
        SettingError
            If `split` is not train, val or test.
        DataError
            If no row is in that split.
        """
        if split not in SPLITS:
            raise SettingError(f"no split is named '{split}'", fix=f"the splits are {', '.join(SPLITS)}")
        rows = self.table.filter(pc.equal(self.table["split"], split))
        if not rows.num_rows:
            raise DataError(
                f"index '{self.name}' has no patches in split '{split}'",
                fix="make splits with: swath data split",
            )
        return with_fields(self, table=rows)

    def _shared(self, name: str) -> Any:
        values = self.table.column(name).unique().to_pylist()
        return values[0] if len(values) == 1 else None

    def _column(self, name: str) -> list[Any]:
        values: list[Any] = self.table.column(name).to_pylist()
        return values
