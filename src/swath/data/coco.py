"""COCO-style JSON as a list of patches: what it says of images and categories; boxes and outlines are not read."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from swath.data.entries import SPLIT_NAMES, Entries, Entry
from swath.data.readers import safe_name
from swath.errors import DataError


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
