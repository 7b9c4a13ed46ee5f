"""Which patches a source speaks of: pure decisions on names and text, nothing is opened here."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from swath.data.archives import is_image_name, safe_name
from swath.errors import DataError

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
COLUMNS = ("path", "label", "labels", "split", "group", "lon", "lat")
# Files that commonly lie beside images; others that are not images are counted, so that a data set
# in a format that is not read does not vanish without a word.
COMPANIONS = frozenset(
    {
        ".txt",
        ".md",
        ".rst",
        ".csv",
        ".tsv",
        ".json",
        ".geojson",
        ".xml",
        ".yaml",
        ".yml",
        ".html",
        ".pdf",
        ".zip",
    }
    | {
        ".parquet",
        ".py",
        ".ipynb",
        ".prj",
        ".tfw",
        ".jgw",
        ".pgw",
        ".wld",
        ".ovr",
        ".db",
        ".ini",
        ".log",
        ".sha256",
    }
)


@dataclass(frozen=True)
class Entry:
    """One patch as its source describes it; `path` is relative to the root.

    It has one `label`, or `labels`, sorted, of which there may be none.
    """

    path: str
    label: str | None
    split: str | None = None
    group: str | None = None
    lon: float | None = None
    lat: float | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Entries:
    """All patches of a source, and how many files of unknown kind were passed over."""

    rows: tuple[Entry, ...]
    ignored: int = 0


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
        If there is no image, an image lies in no class folder, or split folders lie beside others.
    """
    images, ignored = [], 0
    for name in names:
        if is_image_name(name):
            images.append(PurePosixPath(name))
        elif PurePosixPath(name).suffix.lower() not in COMPANIONS:
            ignored += 1
    if not images:
        raise DataError(
            f"{where} holds no images", fix="give a folder or zip of Class/image, or a CSV of path,label"
        )
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
            f"{where} holds split folders ({', '.join(sorted(as_splits))}) beside others "
            f"({', '.join(sorted(tops - as_splits)[:3])})",
            fix="keep either classes or splits at the top, or list the images in a CSV",
        )
    rows = []
    for image in images:
        if len(image.parts) < skip + 3:
            raise DataError(
                f"{where}: image {image} lies in no class folder", fix="put images at split/Class/image"
            )
        split = SPLIT_NAMES[image.parts[skip].lower()]
        rows.append(Entry(path=str(image), label=image.parts[skip + 1], split=split))
    return Entries(tuple(rows), ignored)


def _wrapping(images: Sequence[PurePosixPath]) -> int:
    """1 if all images lie in classes or splits beneath one single folder that is neither, else 0."""
    tops = {image.parts[0] for image in images}
    deep = all(len(image.parts) >= 3 for image in images)
    return int(len(tops) == 1 and deep and next(iter(tops)).lower() not in SPLIT_NAMES)


def entries_from_csv(text: str, *, folder: str, where: str) -> Entries:
    """Read rows of a CSV with columns ``path,label[,split,group,lon,lat]``.

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

    Raises
    ------
    DataError
        If a column is unknown or missing, or a value is not valid; the line is named.
    """
    reader = csv.reader(io.StringIO(text), strict=True)
    rows: list[Entry] = []
    seen: set[str] = set()
    try:
        columns = [column.strip() for column in next(reader, [])]
        _check_columns(columns, where)
        for values in reader:
            if not values:
                continue
            place = f"{where}, line {reader.line_num}"
            if len(values) != len(columns):
                raise DataError(f"{place} has {len(values)} values for {len(columns)} columns")
            entry = _entry(
                dict(zip(columns, (value.strip() for value in values), strict=True)), folder, place
            )
            if entry.path in seen:
                raise DataError(f"{place} names {entry.path} a second time", fix="remove one of the two rows")
            seen.add(entry.path)
            rows.append(entry)
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num} is not valid CSV ({error})") from error
    if not rows:
        raise DataError(f"{where} lists no images")
    return Entries(tuple(rows))


def _check_columns(columns: Sequence[str], where: str) -> None:
    known = ", ".join(COLUMNS)
    unknown = [column for column in columns if column not in COLUMNS]
    if unknown:
        raise DataError(f"{where} has an unknown column '{unknown[0]}'", fix=f"known columns: {known}")
    for required in ("path", "label"):
        if required not in columns and not (required == "label" and "labels" in columns):
            raise DataError(
                f"{where} has no column '{required}'", fix=f"its first line names the columns: {known}"
            )
    if {"label", "labels"} <= set(columns):
        raise DataError(
            f"{where} has a column 'label' and a column 'labels'",
            fix="keep 'label' if each patch has one, else 'labels'",
        )
    if len(set(columns)) != len(columns):
        raise DataError(f"{where} names a column twice")


def _entry(values: Mapping[str, str], folder: str, place: str) -> Entry:
    path = safe_name(values["path"])
    if path is None:
        raise DataError(
            f"{place}: path {values['path']!r} is empty or leads outside the folder of the CSV",
            fix="write paths relative to the CSV, beneath its folder",
        )
    labels = _several(values["labels"]) if "labels" in values else None
    if labels is None and not values["label"]:
        raise DataError(f"{place}: the label is empty")
    split = values.get("split") or None
    if split is not None and split.lower() not in SPLIT_NAMES:
        raise DataError(
            f"{place}: unknown split '{split}'", fix="write train, val or test, or leave it empty"
        )
    lon, lat = (_degrees(values.get(name), name, limit, place) for name, limit in (("lon", 180), ("lat", 90)))
    if (lon is None) != (lat is None):
        raise DataError(f"{place}: lon and lat go together, one of them is empty")
    return Entry(
        path=f"{folder}/{path}" if folder else path,
        label=values["label"] if labels is None else None,
        labels=labels,
        split=SPLIT_NAMES[split.lower()] if split else None,
        group=values.get("group") or None,
        lon=lon,
        lat=lat,
    )


def _several(text: str) -> tuple[str, ...]:
    """The labels in a cell, each once, sorted."""
    return tuple(sorted({label.strip() for label in re.split("[;|]", text)} - {""}))


def _degrees(text: str | None, name: str, limit: float, place: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= limit:
        raise DataError(f"{place}: {name} '{text}' is not a number of degrees between -{limit} and {limit}")
    return value


def entries_from_coco(text: str, *, folder: str, where: str) -> Entries:
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

    Raises
    ------
    DataError
        If it is not such a file, an annotation speaks of an image or category it does not list, or an image
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
        raise DataError(
            f"{where} has categories without a name or with the same", fix="name each differently"
        )
    labels: dict[Any, set[str]] = defaultdict(set)
    for annotation in annotations:
        for key, there in (("image_id", known), ("category_id", names)):
            if annotation[key] not in there:
                raise DataError(
                    f"{where}: an annotation has the {key} {annotation[key]!r}, which is not listed"
                )
        labels[annotation["image_id"]].add(names[annotation["category_id"]])
    single = all(len(labels[image["id"]]) == 1 for image in images)
    rows: list[Entry] = []
    for image in images:
        several = tuple(sorted(labels[image["id"]]))
        rows.append(
            Entry(
                path=_path(image["file_name"], folder, where),
                label=several[0] if single else None,
                labels=None if single else several,
                split=_split(image, where),
            )
        )
    twice = len(rows) - len({row.path for row in rows})
    if twice:
        raise DataError(f"{where} lists {twice} image(s) a second time", fix="list each file once")
    return Entries(tuple(rows))


def _objects(content: Any, key: str, fields: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """The list of objects at `key`, each with the fields it must have."""
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, list):
        raise DataError(
            f"{where} has no list '{key}'", fix="COCO-style files have images, annotations and categories"
        )
    for place, one in enumerate(found):
        for field, kind in fields.items():
            if not isinstance(one, dict) or not isinstance(one.get(field), kind):
                raise DataError(f"{where}: number {place + 1} of '{key}' has no '{field}'")
    return found


def _path(name: str, folder: str, where: str) -> str:
    path = safe_name(name)
    if path is None:
        raise DataError(
            f"{where}: file_name {name!r} is empty or leads outside the folder of the JSON",
            fix="write file names relative to the JSON, beneath its folder",
        )
    return f"{folder}/{path}" if folder else path


def _split(image: dict[str, Any], where: str) -> str | None:
    split = image.get("split")
    if split is None:
        return None
    if str(split).lower() not in SPLIT_NAMES:
        raise DataError(f"{where}: unknown split {split!r}", fix="write train, val or test, or leave it out")
    return SPLIT_NAMES[str(split).lower()]
