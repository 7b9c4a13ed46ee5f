"""The patch index: one table, one row a patch, made once and never guessed again."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from swath.data.archives import safe_name
from swath.data.named import shipped_name, shipped_path
from swath.errors import DataError, MissingFileError, SettingError
from swath.files import atomic_file

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
        pa.field("license", pa.string()),
    ]
)
VERSION = 1
MAX_ROWS = 50_000_000
_METADATA_KEY = b"swath.index"
_SHIPPED_PREFIX = "shipped:"


@dataclass(frozen=True)
class PatchIndex:
    """Labeled patches: where they are and what is known of each.

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
        """Ground sampling distance in meters a pixel, where all patches share one."""
        gsd: float | None = self._shared("gsd")
        return gsd

    @property
    def license(self) -> str | None:
        """License of the patches, where all share one."""
        license: str | None = self._shared("license")
        return license

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


def write_index(index: PatchIndex, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an index as Parquet; the same index gives the same bytes.

    The root is stored relative to the folder of `path`, so that index and patches can move together.

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    shipped = shipped_name(index.root)
    facts = {
        "version": VERSION,
        "root": f"{_SHIPPED_PREFIX}{shipped}" if shipped else _relative(index.root, path.resolve().parent),
        "name": index.name,
        "attribution": index.attribution,
        "split_protocol": index.split_protocol,
        "skipped": list(index.skipped),
        "ignored": index.ignored,
    }
    table = index.table.cast(SCHEMA).replace_schema_metadata(
        {_METADATA_KEY: json.dumps(facts, sort_keys=True)}
    )
    with atomic_file(path, overwrite=overwrite) as temporary:
        pq.write_table(table, temporary, compression="zstd", version="2.6", row_group_size=1 << 20)


def read_index(path: str | Path) -> PatchIndex:
    """Read and validate an index.

    Raises
    ------
    DataError
        If the file is missing, is no patch index or a damaged one, comes from a newer swath, or the
        patches it speaks of are gone.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(
            f"there is no index {path}", fix="make one with: swath data index SOURCE --out INDEX"
        )
    again = "make one with: swath data index SOURCE --out INDEX"
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_ROWS:
                raise DataError(f"{path} has {file.metadata.num_rows} rows; at most {MAX_ROWS} are read")
            facts = _facts((file.schema_arrow.metadata or {}).get(_METADATA_KEY), path)
            if not file.schema_arrow.equals(SCHEMA):
                raise DataError(f"the columns of {path} are not those of a patch index", fix=again)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a patch index, or is damaged ({reason})", fix=again) from error
    _check_rows(table, path)
    return PatchIndex(
        root=_find_root(facts["root"], path),
        table=table.replace_schema_metadata(None),
        name=facts["name"],
        attribution=facts["attribution"],
        split_protocol=facts["split_protocol"],
        skipped=tuple(facts["skipped"]),
        ignored=facts["ignored"],
        file=path,
    )


def _facts(raw: bytes | None, path: Path) -> dict[str, Any]:
    """Parse and check what an index says of itself."""
    kinds = {"version": int, "root": str, "name": str, "attribution": str, "split_protocol": str}
    kinds |= {"skipped": list, "ignored": int}
    try:
        facts = json.loads(raw or b"null")
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not isinstance(facts.get("version"), int):
        raise DataError(
            f"{path} is a Parquet file, but not a patch index",
            fix="make one with: swath data index SOURCE --out INDEX",
        )
    if facts["version"] > VERSION:
        raise DataError(
            f"{path} was written by a newer swath (index version {facts['version']})", fix="upgrade swath"
        )
    for name, kind in kinds.items():
        if not isinstance(facts.get(name), kind):
            raise DataError(f"the metadata of {path} are damaged at '{name}'", fix="make the index again")
    return facts


def _check_rows(table: pa.Table, path: Path) -> None:
    """Refuse rows no swath would have written."""
    paths = table.column("path").to_pylist()
    if not paths:
        raise DataError(f"{path} has no rows", fix="make the index again")
    for name in paths:
        if name is None or safe_name(name) != name:
            raise DataError(
                f"{path} has a patch path that leads outside its root: {name!r}", fix="make it again"
            )
    if len(set(paths)) != len(paths):
        raise DataError(f"{path} names a patch twice", fix="make the index again")
    for column in SCHEMA:
        if not column.nullable and table.column(column.name).null_count:
            raise DataError(f"{path} has rows without '{column.name}'", fix="make the index again")
    odd = set(table.column("split").to_pylist()) - {*SPLITS, None}
    if odd:
        raise DataError(
            f"{path} has unknown splits: {', '.join(sorted(odd))}", fix=f"known: {', '.join(SPLITS)}"
        )


def _find_root(stored: str, path: Path) -> Path:
    if stored.startswith(_SHIPPED_PREFIX):
        return shipped_path(stored.removeprefix(_SHIPPED_PREFIX))
    root = (path.resolve().parent / stored).resolve()
    if not root.exists():
        raise MissingFileError(
            f"the patches of {path} are gone: there is no {root}",
            fix="put them back, or make the index again with: swath data index",
        )
    return root


def _relative(root: Path, folder: Path) -> str:
    return Path(os.path.relpath(root, folder)).as_posix()
