"""The patch index: one table with one row per patch, made once by :func:`swath.data.build_index`.

:class:`PatchIndex` is the table and the folder or archive its paths start from, with what other rooms ask of it:
labels as names or as numbers, one split, rows as dictionaries, pandas or Arrow, a torch dataset. It is stored as one
Parquet file, which is validated when read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from swath.config import printable
from swath.data.filenames import LeftOut, safe_name
from swath.data.named import shipped_name, shipped_path
from swath.errors import DataError, MissingExtraError, MissingFileError, SettingError
from swath.files import atomic_file
from swath.imagery import RGB
from swath.machine import free_memory

if TYPE_CHECKING:
    from swath.data.tensors import PatchDataset

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
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
        pa.field("crs", pa.string()),
        pa.field("footprint", pa.binary()),
    ]
)
VERSION = 2
GSD_TOLERANCE = 0.05  # patches whose meters per pixel differ by less share one: grids in degrees vary with latitude
MAX_ROWS = 8_000_000
_MAX_BYTES = 2 * 2**30  # of all rows in memory; eight million rows of usual names take 1.4e9
_ROWS_AT_A_TIME = 8192
_SMALLER = "make indexes of parts of the patches"
# Paths that are plain as they stand; all others are looked at one by one.
_PLAIN = r"\A[^/\\\x00:.][^/\\\x00:]*(/[^/\\\x00:.][^/\\\x00:]*)*\z"
# A row holds a path and a SHA-256 of its own, which no compression makes smaller; copies of one patch share the latter.
_BYTES_A_ROW, _FEWEST_ROWS = 4, 10_000
_METADATA_KEY = b"swath.index"
_GEO_KEY = b"geo"  # of GeoParquet 1.1, by which GIS programs open an index with footprints as a layer
_SHIPPED_PREFIX = "shipped:"
_AGAIN = "make the index again with: swath data index SOURCE --out INDEX"
# What the metadata of an index file hold, besides the attributes of PatchIndex the version and where its root is.
_FACTS = {"version": int, "root": str, "name": str, "attribution": str, "split_protocol": str}
_FACTS |= {"skipped": list, "left_out": dict, "notes": list}


@dataclass(frozen=True, repr=False)
class PatchIndex:
    """Labeled patches: where they are and what is known of each.

    ``len()`` counts patches; iteration yields one dictionary per patch, keyed by the columns of :data:`SCHEMA`.

    Attributes
    ----------
    root : Path
        Folder or zip archive that holds the patches, resolved.
    table : pyarrow.Table
        One row per patch, columns as in :data:`SCHEMA`. ``path`` is relative to `root`, with forward
        slashes; patches of the same ``group`` must stay in the same split.
    name : str
        Name of the data set.
    attribution : str
        The line that must accompany works made from the data; empty if not known.
    split_protocol : str
        How the splits were made, in words; empty where there are none.
    skipped : tuple of str
        Images left out because they could not be read.
    left_out : tuple of LeftOut
        Files of the source that are no patches, by reason and place.
    notes : tuple of str
        What was decided when the source was read, in words.
    file : pathlib.Path or None
        The file the index was read from.

    Examples
    --------
    >>> import swath.data
    >>> index = swath.data.build_index("eurosat-mini")
    >>> index
    PatchIndex('eurosat-mini': 2,200 patches, 10 classes, 1,400 train, 200 val, 600 test)
    >>> len(index.where("val"))
    200
    >>> next(iter(index))["label"], int(index.targets()[0])
    ('AnnualCrop', 0)
    """

    root: Path
    table: pa.Table
    name: str = ""
    attribution: str = ""
    split_protocol: str = ""
    skipped: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    file: Path | None = field(default=None, compare=False)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self.table.to_batches(max_chunksize=1024):
            yield from batch.to_pylist()

    def __repr__(self) -> str:
        splits = ", ".join(f"{n:,} {split or 'in no split'}" for split, n in self.split_counts.items())
        counts = f"{len(self):,} patches, {len(self.classes)} classes"
        return f"PatchIndex({self.name!r}: {counts}, {splits if self.has_splits else 'no splits'})"

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that an output made from the index must not replace."""
        return (self.root,) if self.file is None else (self.root, self.file)

    def column(self, name: str) -> list[Any]:
        """Values of one column of :data:`SCHEMA`, in row order; ``None`` where there is no value."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values

    def with_columns(self, columns: Mapping[str, Sequence[Any]], **fields: Any) -> PatchIndex:
        """Return a copy with other values in some columns, and other attributes such as ``split_protocol``."""
        table = self.table
        for name, values in columns.items():
            new = pa.array(values, SCHEMA.field(name).type)
            table = table.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), new)
        return replace(self, table=table, **fields)

    def take(self, rows: Sequence[int]) -> PatchIndex:
        """Return a copy with these rows only, in this order."""
        return replace(self, table=self.table.take(pa.array(rows, pa.int64())))

    @cached_property
    def paths(self) -> list[str]:
        """Path of every patch, relative to the root."""
        return self.column("path")

    @cached_property
    def labels(self) -> list[str]:
        """Label of every patch.

        Raises
        ------
        DataError
            If patches carry several labels or none.
        """
        lacking = self.table.column("label").null_count
        if lacking:
            raise DataError(
                f"{lacking} of {len(self)} patches of index '{self.name}' have no single label",
                fix="give each patch one label in the 'label' column",
            )
        return self.column("label")

    @cached_property
    def label_sets(self) -> list[tuple[str, ...]]:
        """All labels of every patch: its one label, or its several, of which there may be none.

        Raises
        ------
        DataError
            If a patch has neither a label nor a list of labels.
        """
        sets: list[tuple[str, ...]] = []
        for path, label, several in zip(self.paths, self.column("label"), self.column("labels"), strict=True):
            if label is None and several is None:
                raise DataError(f"patch {path} of index '{self.name}' has no label", fix=_AGAIN)
            sets.append((label,) if label is not None else tuple(several))
        return sets

    @cached_property
    def multi_label(self) -> bool:
        """Whether patches carry lists of labels rather than one label each."""
        return bool(self.table.column("labels").null_count < len(self))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes, sorted."""
        single = self.table.column("label").unique().drop_null()
        several = pc.list_flatten(self.table.column("labels")).unique()
        return tuple(sorted({*single.to_pylist(), *several.to_pylist()}))

    def targets(self, classes: Sequence[str] | None = None, *, multi_label: bool | None = None) -> npt.NDArray[Any]:
        """Labels as numbers, for training and for metrics.

        Parameters
        ----------
        classes : sequence of str, optional
            Class names in the order of a model's outputs; for a binary model the other class, then the
            positive one. By default :attr:`classes`.
        multi_label : bool, optional
            Whether to return one column per class. By default as the index is.

        Returns
        -------
        numpy.ndarray
            int64 ``[N]`` class numbers; if `multi_label`, float32 ``[N, K]`` of 0 and 1.

        Raises
        ------
        DataError
            If a patch has a label that is not among `classes`, or several where one is needed.
        """
        names = self.classes if classes is None else classes
        if multi_label is None:
            multi_label = self.multi_label
        return label_matrix(self.label_sets, names) if multi_label else class_numbers(self.labels, names)

    @cached_property
    def class_counts(self) -> dict[str, int]:
        """Number of patches of each class, in order of :attr:`classes`; one of several labels counts for each."""
        counts = Counter(label for labels in self.label_sets for label in labels)
        return {label: counts[label] for label in self.classes}

    @property
    def split_counts(self) -> dict[str | None, int]:
        """Number of patches in each split that occurs; the key ``None`` counts those in no split."""
        counts = Counter(self.column("split"))
        return {split: counts[split] for split in (*SPLITS, None) if counts[split]}

    @property
    def has_splits(self) -> bool:
        """Whether any patch is in a split."""
        return bool(self.table.column("split").null_count < len(self))

    @property
    def gsd(self) -> float | None:
        """Ground sampling distance in meters per pixel, where all patches share one to within 5 %; else ``None``."""
        values = self.table.column("gsd").unique().to_pylist()
        if None in values or not values or max(values) > (1 + GSD_TOLERANCE) * min(values):
            return None
        return float(values[0]) if len(values) == 1 else float(f"{np.median(self.column('gsd')):.3g}")

    @property
    def license(self) -> str | None:
        """License of the patches, where all share one."""
        license: str | None = self._shared("license")
        return license

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the data, independent of row order and location: hexadecimal SHA-256.

        It covers path, label(s), split, group and content of every patch.
        """
        rows = zip(*(self.column(c) for c in ("path", "label", "labels", "split", "group", "sha256")), strict=True)
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
                f"index '{self.name}' has no patches in split '{split}'", fix="make splits with: swath data split"
            )
        return replace(self, table=rows)

    def to_table(self) -> pa.Table:
        """Return the rows as an Arrow table, columns as in :data:`SCHEMA`."""
        return self.table

    def to_pandas(self) -> Any:
        """Return the rows as a ``pandas.DataFrame``, columns as in :data:`SCHEMA`.

        Raises
        ------
        SettingError
            If pandas is not installed.
        """
        try:
            return self.table.to_pandas()
        except ImportError as error:
            raise SettingError("to_pandas needs pandas", fix="pip install pandas, or use to_table()") from error

    def to_torch(
        self,
        split: Split | None = None,
        transform: Callable[[Any], Any] | None = None,
        *,
        classes: Sequence[str] | None = None,
        bands: Sequence[str] = RGB,
        size: int | None = None,
    ) -> PatchDataset:
        """Return the patches as a torch ``Dataset`` that decodes a patch whenever it is asked for.

        Parameters
        ----------
        split : str, optional
            ``train``, ``val`` or ``test``; by default all patches.
        transform : callable, optional
            Called with the pixels, a uint8 or uint16 tensor ``[bands, H, W]``; its result takes their place.
        classes : sequence of str, optional
            Class names in the order of the numbers; by default :attr:`classes` of the whole index, so that
            all its splits agree.
        bands : sequence of str
            Bands to take, in this order; see :func:`swath.imagery.select_bands`.
        size : int, optional
            Side in pixels to resize to; by default patches keep their size.

        Returns
        -------
        torch.utils.data.Dataset
            Items are (pixels, target). The target is an int, or for several labels per patch a float32
            tensor ``[K]`` of 0 and 1. It can be pickled, so a ``DataLoader`` may use any number of workers.

        Raises
        ------
        MissingExtraError
            If torch is not installed.
        SwathError
            As :meth:`where` and :meth:`targets`.
        """
        try:
            from swath.data.tensors import PatchDataset
        except ModuleNotFoundError as error:
            raise MissingExtraError("to_torch", extra="train") from error
        part = self if split is None else self.where(split)
        targets = part.targets(self.classes if classes is None else classes, multi_label=self.multi_label)
        return PatchDataset(
            self.root,
            list(zip(part.paths, part.column("sha256"), strict=True)),
            targets,
            transform=transform,
            bands=bands,
            size=size,
        )

    def _shared(self, name: str) -> Any:
        values = self.table.column(name).unique().to_pylist()
        return values[0] if len(values) == 1 else None


def class_numbers(labels: Sequence[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Place of each label in `classes`: int64 ``[N]``.

    Raises
    ------
    DataError
        If a label is not among `classes`.
    """
    places = {name: place for place, name in enumerate(classes)}
    try:
        return np.array([places[label] for label in labels], np.int64)
    except KeyError as error:
        raise _unknown(error.args[0], classes) from None


def label_matrix(label_sets: Sequence[Sequence[str]], classes: Sequence[str]) -> npt.NDArray[np.float32]:
    """Which patch has which label: float32 ``[N, K]`` of 0 and 1.

    Raises
    ------
    DataError
        If a label is not among `classes`.
    """
    places = {name: place for place, name in enumerate(classes)}
    matrix = np.zeros((len(label_sets), len(classes)), np.float32)
    for row, labels in zip(matrix, label_sets, strict=True):
        for label in labels:
            if label not in places:
                raise _unknown(label, classes)
            row[places[label]] = 1
    return matrix


def _unknown(label: str, classes: Sequence[str]) -> DataError:
    return DataError(
        f"label '{label}' is not among the classes {', '.join(classes)}", fix="give the classes of this index"
    )


def write_index(index: PatchIndex, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an index as Parquet; the same index gives the same bytes.

    The root is stored relative to the folder of `path`, so that index and patches can be moved together.

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    shipped = shipped_name(index.root)
    relative = Path(os.path.relpath(index.root, path.resolve().parent)).as_posix()
    facts = {name: getattr(index, name) for name in ("name", "attribution", "split_protocol")}
    facts |= {"version": VERSION, "root": f"{_SHIPPED_PREFIX}{shipped}" if shipped else relative}
    facts |= {"skipped": list(index.skipped), "notes": list(index.notes)}
    facts["left_out"] = {one.reason: dict(one.places) for one in index.left_out}
    metadata = {_METADATA_KEY: json.dumps(facts, sort_keys=True)}
    if index.table.column("footprint").null_count < len(index):
        # No CRS means longitude and latitude on WGS 84 (OGC:CRS84).
        column = {"encoding": "WKB", "geometry_types": ["MultiPolygon", "Polygon"]}
        geo = {"version": "1.1.0", "primary_column": "footprint", "columns": {"footprint": column}}
        metadata[_GEO_KEY] = json.dumps(geo, sort_keys=True)
    table = index.table.cast(SCHEMA).replace_schema_metadata(metadata)
    with atomic_file(path, overwrite=overwrite) as temporary:
        pq.write_table(table, temporary, compression="zstd", version="2.6", row_group_size=1 << 20)


def read_index(path: str | Path) -> PatchIndex:
    """Read and validate an index.

    Parameters
    ----------
    path : str or Path
        A file written by :func:`write_index`.

    Raises
    ------
    DataError
        If the file is missing, is not a patch index or a damaged one, comes from a newer swath, or its
        patches are gone.

    Examples
    --------
    >>> import tempfile, swath.data
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     swath.data.write_index(swath.data.build_index("eurosat-mini"), f"{folder}/mini.parquet")
    ...     len(swath.data.read_index(f"{folder}/mini.parquet"))
    2200
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"there is no index {path}", fix="make one with: swath data index SOURCE --out INDEX")
    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            if rows > _FEWEST_ROWS + path.stat().st_size // _BYTES_A_ROW:
                raise DataError(f"{path} says it has {rows:,} rows, more than a file of its size can hold", fix=_AGAIN)
            if rows > MAX_ROWS:
                raise DataError(f"{path} has {rows:,} rows, above the limit of {MAX_ROWS:,}", fix=_SMALLER)
            facts = _facts((file.schema_arrow.metadata or {}).get(_METADATA_KEY), path)
            if not file.schema_arrow.equals(SCHEMA):
                raise DataError(f"the columns of {path} are not those of a patch index", fix=_AGAIN)
            table = _read_rows(file, path)
            table.validate(full=True)  # text is UTF-8
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a patch index, or is damaged ({reason})", fix=_AGAIN) from error
    _check_rows(table, path)
    return PatchIndex(
        root=_find_root(facts.pop("root"), path),
        table=table.replace_schema_metadata(None),
        skipped=tuple(facts.pop("skipped")),
        left_out=_left_out(facts.pop("left_out"), path),
        notes=tuple(facts.pop("notes")),
        file=path,
        **facts,
    )


def _read_rows(file: pq.ParquetFile, path: Path) -> pa.Table:
    """All rows, a few at a time: text that a file holds once can unfold to any size."""
    batches, held, most = [], 0, min(_MAX_BYTES, free_memory() // 2)
    for batch in file.iter_batches(batch_size=_ROWS_AT_A_TIME):
        batches.append(batch)
        held += batch.nbytes
        if held > most:
            raise DataError(f"the rows of {path} take more than {most / 2**30:.1f} GiB of memory", fix=_SMALLER)
    return pa.Table.from_batches(batches, file.schema_arrow)


def _facts(raw: bytes | None, path: Path) -> dict[str, Any]:
    """Parse and check the metadata of an index file; the attributes of PatchIndex, and its root as stored."""
    try:
        facts = json.loads(raw or b"null")
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or not isinstance(facts.get("version"), int):
        raise DataError(f"{path} is a Parquet file, but not a patch index", fix=_AGAIN)
    if facts["version"] > VERSION:
        raise DataError(f"{path} was written by a newer swath (index version {facts['version']})", fix="upgrade swath")
    if facts["version"] < VERSION:
        raise DataError(f"{path} was written by an older swath (index version {facts['version']})", fix=_AGAIN)
    for name, kind in _FACTS.items():
        if not isinstance(facts.get(name), kind):
            raise DataError(f"the metadata of {path} are damaged at '{name}'", fix=_AGAIN)
    return {name: facts[name] for name in _FACTS if name != "version"}


def _left_out(stored: dict[str, Any], path: Path) -> tuple[LeftOut, ...]:
    if not all(isinstance(p, dict) and all(isinstance(n, int) for n in p.values()) for p in stored.values()):
        raise DataError(f"the metadata of {path} are damaged at 'left_out'", fix=_AGAIN)
    return tuple(LeftOut(reason, places) for reason, places in stored.items())


def _check_rows(table: pa.Table, path: Path) -> None:
    """Refuse rows that :func:`write_index` would not have written."""
    paths = table.column("path")
    problem = None
    if not table.num_rows:
        problem = "has no rows"
    elif lacking := [c.name for c in SCHEMA if not c.nullable and table.column(c.name).null_count]:
        problem = f"has rows without '{lacking[0]}'"
    elif (outside := _outside(paths)) is not None:
        problem = f"has a patch path that leads outside its root: {outside!r}"
    elif _repeats(paths):
        problem = "names a patch twice"
    elif odd := set(pc.unique(table.column("split")).to_pylist()) - {*SPLITS, None}:
        problem = f"has unknown splits: {', '.join(sorted(odd))}"
    elif (min(pc.min(table.column(side)).as_py() for side in ("width", "height"))) < 1:
        problem = "has a patch without pixels"
    else:
        listed = [pc.list_flatten(chunk) for chunk in table.column("labels").chunks]
        labels = pa.chunked_array([*table.column("label").chunks, *listed])
        try:
            if any(chunk.null_count for chunk in listed):
                raise ValueError("one of several is none")
            for label in pc.unique(labels.drop_null()).to_pylist():
                printable(label)
        except ValueError as error:
            problem = f"has a label that cannot be used: {error}"
    if problem is not None:
        raise DataError(f"{path} {problem}", fix=_AGAIN)


def _outside(paths: pa.ChunkedArray) -> str | None:
    """The first path that is not plain, or leads outside its root."""
    doubtful: list[str] = paths.filter(pc.invert(pc.match_substring_regex(paths, _PLAIN))).to_pylist()
    return next((name for name in doubtful if safe_name(name) != name), None)


def _repeats(paths: pa.ChunkedArray) -> bool:
    """Whether a path is there twice; eight bytes a row are held for it, and of few of them the text."""
    hashes = np.concatenate([np.fromiter(map(hash, chunk.to_pylist()), np.int64, len(chunk)) for chunk in paths.chunks])
    ordered = np.sort(hashes)
    again = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(again):
        return False
    seen: set[str] = set()
    for row in np.flatnonzero(np.isin(hashes, again)):
        name = paths[int(row)].as_py()
        if name in seen:
            return True
        seen.add(name)
    return False


def _find_root(stored: str, path: Path) -> Path:
    if stored.startswith(_SHIPPED_PREFIX):
        return shipped_path(stored.removeprefix(_SHIPPED_PREFIX))
    try:
        root = (path.resolve().parent / stored).resolve()
        there = root.exists()
    except (ValueError, OSError):  # a name that no file can have
        raise DataError(f"the metadata of {path} are damaged at 'root'", fix=_AGAIN) from None
    if not there:
        raise MissingFileError(f"the patches of {path} are gone: there is no {root}", fix=f"put them back, or {_AGAIN}")
    return root
