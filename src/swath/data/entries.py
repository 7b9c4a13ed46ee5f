"""The patches a source lists, and their labels: decisions on names, text and tables; no image is opened here.

A folder tree names each patch's class by a folder. A CSV, a COCO-style JSON and a table in memory all become rows of
the same columns (:data:`COLUMNS`), which one function validates: :func:`entries_from_rows`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from swath.data.archives import is_image_name, safe_name
from swath.errors import DataError
from swath.imagery.georeference import decode_footprint

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
COLUMNS = ("path", "label", "labels", "split", "group", "lon", "lat", "gsd", "source", "license", "crs", "footprint")
_REMADE = ("sha256", "width", "height", "mode")  # columns of an index that indexing makes anyway
# Files that commonly lie next to images; others that are not images are counted, so that a data set
# in a format that is not read does not vanish without a word.
_TEXTS = {".txt", ".md", ".rst", ".html", ".pdf", ".py", ".ipynb", ".log", ".ini"}
_TABLES = {".csv", ".tsv", ".json", ".geojson", ".xml", ".yaml", ".yml", ".parquet", ".db"}
_SIDECARS = {".prj", ".tfw", ".jgw", ".pgw", ".wld", ".ovr", ".zip", ".sha256"}
COMPANIONS = frozenset(_TEXTS | _TABLES | _SIDECARS)


@dataclass(frozen=True)
class Entry:
    """One patch as its source describes it, its fields as in an index; `path` is relative to the root.

    It has one `label`, or `labels`, sorted, of which there may be none.
    """

    path: str
    label: str | None
    split: str | None = None
    group: str | None = None
    lon: float | None = None
    lat: float | None = None
    labels: tuple[str, ...] | None = None
    gsd: float | None = None
    source: str | None = None
    license: str | None = None
    crs: str | None = None
    footprint: bytes | None = None


@dataclass(frozen=True)
class Entries:
    """All patches of a source, how many files of unknown kind were passed over, and the columns it has."""

    rows: tuple[Entry, ...]
    ignored: int = 0
    columns: tuple[str, ...] = ()


def entries_from_tree(names: Iterable[str], *, where: str) -> Entries:
    """Read labels, and splits where there are any, off the folders of a tree.

    Parameters
    ----------
    names : iterable of str
        Relative paths of all files: ``Class/.../image``, ``split/Class/.../image`` with splits
        train, val (or valid, validation) and test, or either beneath one single wrapping folder.
    where : str
        The source, for messages.

    Raises
    ------
    DataError
        If there is no image, an image lies in no class folder, or split folders lie next to others.
    """
    images, ignored = [], 0
    for name in names:
        if is_image_name(name):
            images.append(PurePosixPath(name))
        elif PurePosixPath(name).suffix.lower() not in COMPANIONS:
            ignored += 1
    if not images:
        raise DataError(f"{where} holds no images", fix="give a folder or zip of Class/image, or a CSV of path,label")
    skip = _wrapping(images)
    for image in images:
        if len(image.parts) < skip + 2:
            raise DataError(
                f"{where}: image {image} lies in no class folder",
                fix="put images at Class/image, or list them in a CSV",
            )
    tops = {image.parts[skip] for image in images}
    as_splits = {top for top in tops if top.lower() in SPLIT_NAMES}
    if not as_splits:
        rows = [Entry(path=str(image), label=image.parts[skip]) for image in images]
        return Entries(tuple(rows), ignored)
    if as_splits != tops:
        raise DataError(
            f"{where} holds split folders ({', '.join(sorted(as_splits))}) next to others "
            f"({', '.join(sorted(tops - as_splits)[:3])})",
            fix="keep either classes or splits at the top, or list the images in a CSV",
        )
    rows = []
    for image in images:
        if len(image.parts) < skip + 3:
            raise DataError(f"{where}: image {image} lies in no class folder", fix="put images at split/Class/image")
        split = SPLIT_NAMES[image.parts[skip].lower()]
        rows.append(Entry(path=str(image), label=image.parts[skip + 1], split=split))
    return Entries(tuple(rows), ignored)


def _wrapping(images: Sequence[PurePosixPath]) -> int:
    """1 if all images lie in classes or splits beneath one single folder that is neither, else 0."""
    tops = {image.parts[0] for image in images}
    deep = all(len(image.parts) >= 3 for image in images)
    return int(len(tops) == 1 and deep and next(iter(tops)).lower() not in SPLIT_NAMES)


def entries_from_rows(
    rows: Iterable[tuple[str, Mapping[str, Any]]], *, where: str, folder: str = "", group: str = "group"
) -> Entries:
    """Validate the rows of a table, whatever it was read from.

    Parameters
    ----------
    rows : iterable of (str, mapping)
        The place of each row, for messages, and its values by column of :data:`COLUMNS`. Values are text, or what
        :func:`str` makes text of; ``None``, NaN and ``""`` mean none. ``labels`` is a sequence of labels, or text
        with ``;`` or ``|`` between them.
    where : str
        The table, for messages.
    folder : str
        Folder that paths start from, relative to the root; ``""`` for the root.
    group : str
        The column that names the group of each patch, where there is one of that name; else ``group``.

    Raises
    ------
    DataError
        If there is no row, a path leads outside the root or occurs twice, or a value is not valid.
    """
    entries: dict[str, Entry] = {}
    for place, values in rows:
        entry = _entry(values, folder, place, group)
        if entry.path in entries:
            raise DataError(f"{place} names {entry.path} a second time", fix="remove one of the two rows")
        entries[entry.path] = entry
    if not entries:
        raise DataError(f"{where} lists no images")
    return Entries(tuple(entries.values()))


def entries_from_table(
    table: pa.Table, *, root: str | Path | None, where: str, group: str = "group"
) -> tuple[Path, Entries]:
    """Read the rows of an Arrow table with columns as in :data:`COLUMNS`.

    Parameters
    ----------
    table : pyarrow.Table
        Its paths are absolute, or start from `root`. Columns without any value, and those of an index that are
        made again, are passed over.
    root : str or Path, optional
        Folder or archive of the patches. By default paths start from the working folder, and the root is the
        deepest folder that holds all of them.
    where : str
        The table, for messages.
    group : str
        The column that names the group of each patch; it may be none of :data:`COLUMNS`.

    Returns
    -------
    tuple of Path and Entries
        The root, and the patches.

    Raises
    ------
    DataError
        As :func:`entries_from_csv`, or if the paths share no folder.
    """
    names = [n for n in table.column_names if n not in _REMADE and table.column(n).null_count < len(table)]
    if len(table):
        _check_columns(names, where, group)
    rows = table.select(names if len(table) else []).to_pylist()
    paths = [os.path.abspath(Path(root or "") / str(row["path"] or "")) for row in rows]  # noqa: PTH100
    try:
        base = Path(root or os.path.commonpath([os.path.dirname(path) for path in paths] or ["."]))  # noqa: PTH120
        for row, path in zip(rows, paths, strict=True):
            row["path"] = Path(os.path.relpath(path, base)).as_posix() if row["path"] else ""
    except ValueError:
        raise DataError(f"the paths of {where} lie on several drives", fix="copy them into one folder") from None
    numbered = ((f"{where}, row {number}", row) for number, row in enumerate(rows))
    entries = entries_from_rows(numbered, where=where, group=group)
    return base.resolve(), replace(entries, columns=tuple(names))


def entries_from_csv(text: str, *, folder: str, where: str, group: str = "group") -> Entries:
    """Read the rows of a CSV with columns ``path,label[,split,group,lon,lat,gsd,source,license]``.

    With a column ``labels`` in place of ``label``, each patch has as many labels as stand there with ``;`` or
    ``|`` between them: any number, or none where it is empty.

    Parameters
    ----------
    text : str
        The CSV, header first.
    folder : str
        Folder of the CSV relative to the root (``""`` for the root); paths in the CSV start there.
    where : str
        Name of the CSV, for messages.
    group : str
        The column that names the group of each patch; it may be none of :data:`COLUMNS`.

    Raises
    ------
    DataError
        If a column is unknown or missing, or a value is not valid; the line is named.
    """
    columns, rows = read_csv(text, where=where)
    _check_columns(columns, where, group)
    entries = entries_from_rows(rows, where=where, folder=folder, group=group)
    return replace(entries, columns=tuple(columns))


def read_csv(text: str, *, where: str, delimiter: str = ",") -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Split a CSV into its columns and its rows that are not blank, each row with its place for messages.

    Raises
    ------
    DataError
        If it is not valid CSV, or a line has too few or too many values; the line is named.
    """
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows: list[tuple[str, dict[str, str]]] = []
    try:
        columns = [column.strip() for column in next(reader, [])]
        for values in reader:
            place = f"{where}, line {reader.line_num}"
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(columns):
                raise DataError(
                    f"{place} has {len(values)} values for {len(columns)} columns",
                    fix="correct the line; put values with commas in quotes",
                )
            rows.append((place, dict(zip(columns, values, strict=True))))
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num} is not valid CSV ({error})", fix="save it as CSV") from error
    return columns, rows


def _check_columns(columns: Sequence[str], where: str, group: str) -> None:
    known = ", ".join(COLUMNS)
    unknown = [column for column in columns if column not in (*COLUMNS, group)]
    if unknown:
        raise DataError(
            f"{where} has an unknown column '{unknown[0]}'",
            fix=f"known columns: {known}; to group patches by another one: --group-by {unknown[0]}",
        )
    for required in ("path", "label"):
        if required not in columns and not (required == "label" and "labels" in columns):
            raise DataError(f"{where} has no column '{required}'", fix=f"its first line names the columns: {known}")
    if {"label", "labels"} <= set(columns):
        raise DataError(
            f"{where} has a column 'label' and a column 'labels'",
            fix="keep 'label' if each patch has one, else 'labels'",
        )
    if len(set(columns)) != len(columns):
        raise DataError(f"{where} names a column twice")


def _entry(values: Mapping[str, Any], folder: str, place: str, group: str) -> Entry:
    cells = {name: _text(value) for name, value in values.items() if name not in ("labels", "footprint")}
    path = safe_name(cells["path"])
    if path is None:
        raise DataError(
            f"{place}: path {cells['path']!r} is empty or leads outside the folder it starts from",
            fix="give paths of files beneath that folder",
        )
    labels = _several(values["labels"]) if "labels" in values else None
    if labels is None and not cells["label"]:
        raise DataError(f"{place}: the label is empty")
    split = cells.get("split", "").lower()
    if split and split not in SPLIT_NAMES:
        raise DataError(f"{place}: unknown split '{cells['split']}'", fix="use train, val or test, or leave it empty")
    lon, lat, gsd = (
        _number(cells.get(name), name, bounds, place)
        for name, bounds in (("lon", (-180, 180)), ("lat", (-90, 90)), ("gsd", (1e-3, 1e6)))
    )
    if (lon is None) != (lat is None):
        raise DataError(f"{place}: lon and lat go together, one of them is empty")
    return Entry(
        path=f"{folder}/{path}" if folder else path,
        label=cells["label"] if labels is None else None,
        labels=labels,
        split=SPLIT_NAMES.get(split),
        group=cells.get(group, cells.get("group")) or None,
        lon=lon,
        lat=lat,
        gsd=gsd,
        source=cells.get("source") or None,
        license=cells.get("license") or None,
        crs=cells.get("crs") or None,
        footprint=_footprint(values.get("footprint"), place),
    )


def _text(value: Any) -> str:
    """A cell as text; nothing, and what is not a number where there should be one, are empty."""
    return "" if value is None or value != value else str(value).strip()  # noqa: PLR0124


def _footprint(value: Any, place: str) -> bytes | None:
    """A WKB outline, given as bytes or, in a CSV, as hexadecimal digits."""
    try:
        wkb = value if isinstance(value, bytes) else bytes.fromhex(_text(value))
        return wkb if wkb and decode_footprint(wkb) else None
    except (DataError, ValueError):
        raise DataError(
            f"{place}: the footprint is not a WKB polygon in longitude and latitude",
            fix="leave the column footprint out",
        ) from None


def _several(value: Any) -> tuple[str, ...]:
    """The labels in a cell, each once, sorted."""
    labels = re.split("[;|]", _text(value)) if isinstance(value, str) or value is None else value
    return tuple(sorted({_text(label) for label in labels} - {""}))


def _number(text: str | None, name: str, bounds: tuple[float, float], place: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not bounds[0] <= value <= bounds[1]:
        unit = "meters" if name == "gsd" else "degrees"
        raise DataError(f"{place}: {name} '{text}' is not a number of {unit} between {bounds[0]:g} and {bounds[1]:g}")
    return value


def entries_from_coco(text: str, *, folder: str, where: str, group: str = "group") -> Entries:
    """Read ``images``, ``annotations`` and ``categories`` of a COCO-style file.

    An image has the categories of its annotations, each once. If every image has exactly one, each patch has
    one label; otherwise each has a list of labels, empty for images without annotations.

    Parameters
    ----------
    text : str
        The JSON.
    folder : str
        Folder of the JSON relative to the root (``""`` for the root); ``file_name`` starts there.
    where : str
        Name of the JSON, for messages.
    group : str
        The field of images that names the group of each.

    Raises
    ------
    DataError
        If it is not such a file, an annotation refers to an image or category it does not list, or an image
        leads outside the folder, is listed twice, or has an unknown ``split``.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not valid JSON ({error})") from error
    images, annotations, categories = (
        _objects(content, key, fields, where)
        for key, fields in (
            ("images", {"id": int | str, "file_name": str}),
            ("annotations", {"image_id": int | str, "category_id": int | str}),
            ("categories", {"id": int | str, "name": str}),
        )
    )
    if not images:
        raise DataError(f"{where} lists no images")
    names = {category["id"]: category["name"].strip() for category in categories}
    known = {image["id"] for image in images}
    if len(names) != len(categories) or len(known) != len(images):
        raise DataError(f"{where} gives an id twice", fix="number images, and categories, differently")
    if "" in names.values() or len(set(names.values())) != len(names):
        raise DataError(f"{where} has categories without a name or with the same", fix="name each differently")
    labels: dict[Any, set[str]] = defaultdict(set)
    for annotation in annotations:
        for key, there in (("image_id", known), ("category_id", names)):
            if annotation[key] not in there:
                raise DataError(f"{where}: an annotation has the {key} {annotation[key]!r}, which is not listed")
        labels[annotation["image_id"]].add(names[annotation["category_id"]])
    single = all(len(labels[image["id"]]) == 1 for image in images)
    rows = (
        (
            f"{where}, image {image['id']!r}",
            {
                "path": image["file_name"],
                "label" if single else "labels": next(iter(labels[image["id"]])) if single else labels[image["id"]],
                "split": image.get("split"),
                group: image.get(group),
            },
        )
        for image in images
    )
    entries = entries_from_rows(rows, where=where, folder=folder, group=group)
    return replace(entries, columns=tuple({field: None for image in images for field in image}))


def _objects(content: Any, key: str, fields: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The list of objects at `key`, each with the fields it must have."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise DataError(f"{where} has no list '{key}'", fix="COCO-style files have images, annotations and categories")
    for place, one in enumerate(found):
        for field, kind in fields.items():
            if not isinstance(one, dict) or not isinstance(one.get(field), kind):
                raise DataError(f"{where}: number {place + 1} of '{key}' has no '{field}'")
    return found
