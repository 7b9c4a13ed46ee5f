"""The patches a source lists, and their labels; no image is opened here.

Folder trees (:mod:`swath.data.trees`), tables (:mod:`swath.data.tables`) and COCO-style JSON become entries. Rows of
the columns :data:`COLUMNS`, whatever they were read from, are validated by one function: :func:`entries_from_rows`.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from swath.data.filenames import is_unusual, safe_name
from swath.errors import DataError
from swath.imagery.georeference import decode_footprint

SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
COLUMNS = ("path", "label", "labels", "split", "group", "lon", "lat", "gsd", "source", "license", "crs", "footprint")


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
    """All patches of a source, and what else is to be said of it.

    Attributes
    ----------
    rows : tuple of Entry
        The patches.
    left_out : tuple of (str, str)
        Place and reason of every file that was left out; see :func:`swath.data.filenames.tally`.
    notes : tuple of str
        Sentences on how the source was read, for whoever made it.
    extras : mapping of str to mapping of str to str
        Columns of a table that an index does not have: their values by path.
    """

    rows: tuple[Entry, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    extras: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)


def entries_from_rows(rows: Iterable[tuple[str, Mapping[str, Any]]], *, where: str, folder: str = "") -> Entries:
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

    Raises
    ------
    DataError
        If there is no row, a path leads outside the root or occurs twice, or a value is not valid.
    """
    entries: dict[str, Entry] = {}
    for place, values in rows:
        entry = _entry(values, folder, place)
        if entry.path in entries:
            raise DataError(f"{place} names {entry.path} a second time", fix="remove one of the two rows")
        entries[entry.path] = entry
    if not entries:
        raise DataError(f"{where} lists no images")
    return Entries(tuple(entries.values()))


def _entry(values: Mapping[str, Any], folder: str, place: str) -> Entry:
    cells = {name: cell_text(value) for name, value in values.items() if name not in ("labels", "footprint")}
    path = safe_name(cells["path"])
    if path is None:
        raise DataError(
            f"{place}: path {cells['path']!r} is empty or leads outside the folder it starts from",
            fix="give paths of files beneath that folder",
        )
    labels = _several(values["labels"]) if "labels" in values else None
    if labels is None and not cells["label"]:
        raise DataError(f"{place}: the label is empty")
    for name in (path, cells.get("label", ""), *(labels or ())):
        if is_unusual(name):
            raise DataError(f"{place}: {name!r} has unusual characters", fix="write it without them")
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
        group=cells.get("group") or None,
        lon=lon,
        lat=lat,
        gsd=gsd,
        source=cells.get("source") or None,
        license=cells.get("license") or None,
        crs=cells.get("crs") or None,
        footprint=_footprint(values.get("footprint"), place),
    )


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing: ``None``, ``""``, or what a library has for a number or a date that is missing.

    Examples
    --------
    >>> [is_empty(cell) for cell in (None, float("nan"), "", 0, "nan", ())]
    [True, True, True, False, False, False]
    """
    if cell is None or isinstance(cell, str):
        return not cell
    try:
        return bool(cell != cell)  # noqa: PLR0124  (NaN and NaT are not equal to themselves)
    except TypeError:  # of pandas' NA nobody knows
        return True
    except ValueError:  # of an array of labels, for each by itself
        return False


def cell_text(cell: Any) -> str:
    """A cell as text without white space around it; an empty one is ``""``."""
    return "" if is_empty(cell) else str(cell).strip()


def _footprint(value: Any, place: str) -> bytes | None:
    """A WKB outline, given as bytes or, in a CSV, as hexadecimal digits."""
    try:
        wkb = value if isinstance(value, bytes) else bytes.fromhex(cell_text(value))
        return wkb if wkb and decode_footprint(wkb) else None
    except (DataError, ValueError):
        raise DataError(
            f"{place}: the footprint is not a WKB polygon in longitude and latitude",
            fix="leave the column footprint out",
        ) from None


def _several(value: Any) -> tuple[str, ...]:
    """The labels in a cell, each once, sorted."""
    labels = re.split("[;|]", cell_text(value)) if isinstance(value, str) or is_empty(value) else value
    return tuple(sorted({cell_text(label) for label in labels} - {""}))


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
            },
        )
        for image in images
    )
    return entries_from_rows(rows, where=where, folder=folder)


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
