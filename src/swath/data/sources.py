"""Make a patch index from files or from a table, list or dataset in memory.

Every source is first turned into a list of paths and labels (:mod:`swath.data.entries`); from there on there is one
way: read and decode each patch once, refuse what is missing or damaged, group identical files.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from swath.data.archives import PatchReader, open_patches
from swath.data.discover import list_source
from swath.data.duplicates import merge_groups
from swath.data.encodings import check_encoding
from swath.data.entries import Entries, Entry
from swath.data.filenames import tally
from swath.data.grouping import groups_by_pattern, join_groups
from swath.data.index import SCHEMA, PatchIndex, Split
from swath.data.named import NAMED, SHIPPED, NamedSet, contents_digest, find_named, shipped_name, shipped_path
from swath.data.names import class_name
from swath.data.rewrite import encode_patch
from swath.data.rows import decode_patch, map_rows
from swath.data.spatial import kilometers
from swath.data.tables import entries_from_table
from swath.errors import DataError, MissingFileError, SettingError
from swath.files import atomic_folder
from swath.imagery import RGB
from swath.imagery.arrays import bands_first
from swath.imagery.georeference import places_of
from swath.imagery.header import numbered_bands
from swath.pages.text import counted
from swath.progress import Progress, silent

MIN_CLASSES = 2
MIN_PATCHES = 3  # per class: one each for train, val and test
NAMED_IN_MESSAGES = 5
OTHER_GSD = 1.1  # times larger: more is no matter of where in a scene it was measured
_FILE = "georeference"  # key of a row while it is checked
_UNUSUAL = re.compile(r"[^\w .-]|^\.+")  # in the name of a folder


def build_index(
    source: str | Path | Any,
    *,
    root: str | Path | None = None,
    out: str | Path | None = None,
    classes: Sequence[str] | None = None,
    labels: int | str | None = None,
    split: Split | None = None,
    zip_encoding: str | None = None,
    part_of: str | None = None,
    group_by: str | None = None,
    skip_unreadable: bool = False,
    progress: Progress = silent,
) -> PatchIndex:
    """Index labeled patches, reading and decoding every one of them once.

    Parameters
    ----------
    source : str, Path, table, list of pairs or dataset
        Files: a folder or zip of class folders, also within split folders, folds and wrapping folders (see
        :func:`swath.data.trees.entries_from_tree`); a CSV that lists images and labels (see
        :func:`swath.data.tables.entries_from_csv`), or a folder or zip that holds one; a COCO-style ``.json``; or the
        name of a shipped data set.

        In memory: a pandas ``DataFrame``, a pyarrow ``Table`` or another Arrow table with the columns of the
        CSV; a list of (path, label) pairs; a torchvision ``ImageFolder``; or a torch ``Dataset`` of
        (image, label) items, images being PIL pictures, arrays or tensors of 8 or 16 bits, which are
        written to `out`.
    root : str or Path, optional
        Folder or zip archive that the paths of a table or of pairs start from. By default they start from the
        working folder, and the root of the index is the deepest folder that holds all of them.
    out : str or Path, optional
        New folder for the images of a torch ``Dataset``.
    classes : sequence of str, optional
        Class names of the numbers that a torch ``Dataset`` gives; by default its attribute ``classes``.
    labels : int or str, optional
        What names the classes of a folder or zip: the level of folders, 1 being the top, or a table in it. By default
        the one table that lists the images, else the folders as their names tell.
    split : str, optional
        ``train``, ``val`` or ``test``: the split of all patches of a source that has none itself.
    zip_encoding : str, optional
        Encoding of the names in an archive that does not say it, such as ``"gbk"``; by default it is guessed.
    part_of : str, optional
        Name of the published data set that the source is a part or a copy of, such as
        ``eurosat-rgb``: its source, license, attribution and ground sampling distance are recorded.
        A published archive as downloaded, and shipped data, are recognized without.
    group_by : str, optional
        What keeps patches together: a column of the table, whatever it is called, or a regular expression with
        parentheses around the part of the path that names the scene, such as ``(scene\\d+)_``.
    skip_unreadable : bool
        Leave out images that cannot be decoded and list them in ``PatchIndex.skipped``, rather
        than stop.
    progress : Progress
        Called with stage ``"check"``, and ``"write"`` for the images of a torch ``Dataset``.

    Returns
    -------
    PatchIndex
        Rows sorted by path. Patches with identical bytes, and those the source puts in one group,
        share a ``group``; other groups are null. A GeoTIFF or JPEG 2000 gives its center, ground sampling distance,
        CRS and footprint; what a table says of these comes first, and contradictions are in ``PatchIndex.notes``.

    Raises
    ------
    SettingError
        If no published data set is named `part_of`, `root`, `out` or `classes` does not go with `source`, or
        `group_by` is neither a column nor an expression that groups the paths.
    DataError
        If the source is not one of the above, has no images, fewer than two classes or a class with
        fewer than three patches (a val or test set alone may have both), or lists or holds images that are missing,
        cannot be read or are not of 8 or 16 bits.
    OutputError
        If `out` is not empty or cannot be written.

    Examples
    --------
    >>> import swath.data
    >>> index = swath.data.build_index("eurosat-mini")
    >>> index.classes[:3]
    ('AnnualCrop', 'Forest', 'HerbaceousVegetation')
    >>> pairs = [(path, label) for path, label in zip(index.paths, index.labels) if label != "Forest"]
    >>> swath.data.build_index(pairs, root=index.root)
    PatchIndex('eurosat-mini': 1,980 patches, 9 classes, no splits)
    """
    published = find_named(part_of) if part_of is not None else None
    if zip_encoding is not None:
        zip_encoding = check_encoding(zip_encoding)
    if isinstance(source, str | Path):
        _refuse_unused("a file or folder", root=root, out=out, classes=classes)
        path = _locate(source)
        where = str(path)
        base, listed = list_source(path, labels=labels, zip_encoding=zip_encoding)
    else:
        _refuse_unused("a source in memory", labels=labels, zip_encoding=zip_encoding)
        where = "the list of pairs" if isinstance(source, list | tuple) else f"the {type(source).__name__}"
        table = _table_of(source, where, out=out, classes=classes, root=root, progress=progress)
        base, listed = entries_from_table(table, root=out if root is None else root, where=where)
        path = base
    spelled, respelled = _one_spelling(listed.rows)
    rows = _in_split(spelled, split, where)
    grouped, told = _groups(listed, group_by)  # before any image is read
    with open_patches(base, zip_encoding=zip_encoding) as reader:
        checked, refused = _check_all(reader, rows, progress)
        base = reader.root
    _refuse_unreadable(refused, rows, where, skip_unreadable=skip_unreadable)
    if not checked:
        why = f" ({refused[0][1].problem})" if refused else ""
        raise DataError(f"{where} has no readable image left{why}", fix=refused[0][1].fix if refused else None)
    _check_classes(checked, where)
    known = _known_set(path, checked)
    facts = published or known
    notes = _take_places(checked)
    given = [row["group"] for row in checked]
    if grouped is not None:
        given = join_groups(given, [grouped.get(row["path"]) for row in checked])
    groups = merge_groups(given, [row["sha256"] for row in checked])
    for row, joined in zip(checked, groups, strict=True):
        row["group"] = joined
        for name in ("gsd", "source", "license"):
            row[name] = row[name] or (getattr(facts, name) if facts else None)
    faults = [f"{known.name}: {fault}" for fault in known.faults] if known else []
    return PatchIndex(
        root=base,
        table=pa.Table.from_pylist(checked, schema=SCHEMA),
        name=shipped_name(path) or (known.name if known else path.stem),
        attribution=facts.attribution if facts else "",
        split_protocol="as the source gives it" if any(row["split"] for row in checked) else "",
        skipped=tuple(name for name, _ in refused),
        left_out=tally(listed.left_out),
        notes=(
            *listed.notes,
            *_unused(listed, group_by),
            *respelled,
            *told,
            *_lost_classes(rows, checked),
            *notes,
            *faults,
        ),
    )


def _one_spelling(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """Give the same class the same name whatever the source is; report names that became one by it."""
    spellings: dict[str, set[str]] = defaultdict(set)

    def named(label: str) -> str:
        name = class_name(label)
        spellings[name].add(label)
        return name

    rows = [
        replace(
            entry,
            label=None if entry.label is None else named(entry.label),
            labels=None if entry.labels is None else tuple(sorted({named(label) for label in entry.labels})),
        )
        for entry in entries
    ]
    notes = [
        f"one class, '{name}', is spelled in {len(given)} ways (spaces around it or the form of its letters): "
        + ", ".join(map(ascii, sorted(given)))
        for name, given in sorted(spellings.items())
        if len(given) > 1
    ]
    return rows, tuple(notes)


def _unused(listed: Entries, group_by: str | None) -> list[str]:
    """Say which columns of a table nothing was made of."""
    names = [name for name in listed.extras if name != group_by]
    return [f"columns of the table that are not used: {', '.join(names)}"] if names else []


def _groups(listed: Entries, group_by: str | None) -> tuple[dict[str, str | None] | None, list[str]]:
    """Group of each path by a column of the table or an expression, and notes on patches that got none."""
    if group_by is None:
        return None, []
    if group_by in listed.extras:
        column = dict(listed.extras[group_by])
    elif group_by in ("group", "source", "license", "crs"):
        column = {row.path: getattr(row, group_by) for row in listed.rows}
    else:
        paths = [row.path for row in listed.rows]
        found = groups_by_pattern(paths, group_by, columns=tuple(listed.extras))
        return dict(zip(paths, found.names, strict=True)), [note for note in [found.note()] if note]
    named = {path: value or None for path, value in column.items()}
    lacking = [path for path, value in named.items() if value is None]
    if len(set(named.values())) < MIN_CLASSES:
        raise SettingError(
            f"--group-by {group_by} puts all {len(named):,} patches into one group, that no split can divide",
            fix="give a column that differs from scene to scene, or leave --group-by out",
        )
    first = f"; the first is {lacking[0]}" if lacking else ""
    note = f"{len(lacking):,} of {len(named):,} patches have no {group_by} and got no group from it{first}"
    return named, [note] if lacking else []


def _refuse_unused(kind: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise SettingError(f"{name}= does not go with {kind}", fix=f"leave {name}= out")


def _table_of(
    source: Any,
    where: str,
    *,
    root: str | Path | None,
    out: str | Path | None,
    classes: Sequence[str] | None,
    progress: Progress,
) -> pa.Table:
    """Rows of a source in memory, columns as a CSV has them."""
    if hasattr(source, "__arrow_c_stream__"):
        _refuse_unused("a table", out=out, classes=classes)
        table = pa.table(source)
        return table.drop_columns([name for name in table.column_names if name.startswith("__index_level_")])
    if hasattr(source, "samples") and hasattr(source, "classes"):
        _refuse_unused("an ImageFolder", out=out, classes=classes)
        pairs = [(path, source.classes[number]) for path, number in source.samples]
    elif isinstance(source, list | tuple):
        _refuse_unused("a list of pairs", out=out, classes=classes)
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in source):
            raise DataError("the list does not hold (path, label) pairs", fix="give [(path, label), ...]")
        pairs = list(source)
    elif hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        _refuse_unused("a dataset of images in memory", root=root)
        pairs = _write_items(source, where, out=out, classes=classes, progress=progress)
    else:
        raise SettingError(
            f"{where} is no source of patches",
            fix="give a folder, CSV, zip, name, table, list of (path, label) pairs or dataset",
        )
    paths, labels = [str(path) for path, _ in pairs], [label for _, label in pairs]
    several = any(isinstance(label, list | tuple | set) for label in labels)
    if several:
        labels = [[label] if isinstance(label, str) else sorted(label) for label in labels]
    return pa.table({"path": paths, "labels" if several else "label": labels if several else list(map(str, labels))})


def _write_items(
    dataset: Any, where: str, *, out: str | Path | None, classes: Sequence[str] | None, progress: Progress
) -> list[tuple[str, str]]:
    """Write the images of a dataset to ``out/Class/number.png``; return their paths and labels."""
    if out is None:
        raise SettingError(
            f"{where} holds images in memory, and an index lists files", fix="give a new folder with out=FOLDER"
        )
    names = getattr(dataset, "classes", None) if classes is None else classes
    pairs: list[tuple[str, str]] = []
    with atomic_folder(Path(out)) as folder:
        for number in range(len(dataset)):
            image, label = dataset[number]
            name = label if isinstance(label, str) else _class_name(label, names, f"{where}, item {number}")
            data, suffix = _encode_item(image, f"{where}, item {number}")
            path = f"{_UNUSUAL.sub('_', name)}/{number:06d}{suffix}"
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
            pairs.append((path, name))
            progress("write", number + 1, len(dataset))
    return pairs


def _class_name(label: Any, classes: Sequence[str] | None, place: str) -> str:
    if classes is None:
        raise SettingError(f"{place} has the label {label}, a number", fix="give the names with classes=[...]")
    try:
        number = int(label)
    except (TypeError, ValueError):
        raise DataError(f"{place} has the label {label!r}, neither a name nor a number") from None
    if not 0 <= number < len(classes):
        raise DataError(f"{place} has the label {number}, but there are {len(classes)} classes")
    return str(classes[number])


def _encode_item(image: Any, place: str) -> tuple[bytes, str]:
    """A picture of PIL, or an array or tensor of pixels, as a lossless file and its suffix."""
    if hasattr(image, "convert"):
        stream = BytesIO()
        (image.convert("RGB") if image.mode in ("CMYK", "YCbCr") else image).save(stream, "PNG")
        return stream.getvalue(), ".png"
    pixels = bands_first(np.asarray(image), name=place)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{place} holds {pixels.dtype} pixels",
            fix="give uint8 or uint16: leave the conversion to floats out of the dataset's transform",
        )
    bands = {1: ("gray",), 3: RGB}.get(len(pixels), numbered_bands(len(pixels)))
    patch = encode_patch(pixels, bands)
    return patch.data, patch.suffix


def _locate(source: str | Path) -> Path:
    path = Path(source)
    if path.exists():
        return path.resolve()
    if str(source) in SHIPPED:
        return shipped_path(str(source))
    if str(source) in NAMED:
        raise DataError(f"'{source}' is a data set to download first", fix=f"swath data get {source} --out FILE")
    raise MissingFileError(
        f"there is no folder, CSV or zip {source}", fix=f"shipped data sets: {', '.join(sorted(SHIPPED))}"
    )


def _check_all(
    reader: PatchReader, entries: Sequence[Entry], progress: Progress
) -> tuple[list[dict[str, Any]], list[tuple[str, DataError]]]:
    """Read and decode all patches: rows of an index, and paths refused with the reason, in order of path."""
    ordered = sorted(entries, key=lambda entry: entry.path)

    def check(row: int) -> dict[str, Any] | tuple[str, DataError]:
        path = ordered[row].path
        try:
            data = reader.read(path)
            picture = decode_patch(data, path, georeference=True)
        except DataError as error:
            return path, error
        digest = hashlib.sha256(data).hexdigest()
        size = {"width": picture.width, "height": picture.height, "mode": picture.mode}
        return {**vars(ordered[row]), "sha256": digest, **size, _FILE: picture.georeference}

    results = list(map_rows(check, len(ordered), stage="check", progress=progress))
    return [r for r in results if isinstance(r, dict)], [r for r in results if isinstance(r, tuple)]


def _take_places(checked: Sequence[dict[str, Any]]) -> list[str]:
    """Fill in what files say of their place and a table does not; what to know of it, in sentences."""
    contradicted: list[tuple[str, float]] = []
    resized: list[tuple[str, float, float]] = []
    problems: dict[str, list[str]] = defaultdict(list)
    for row, place in zip(checked, places_of([row.pop(_FILE) for row in checked]), strict=True):
        if place is None:
            continue
        if place.problem:
            problems[place.problem].append(row["path"])
        size = max(row["width"], row["height"]) * (place.gsd or math.inf) / 1000
        if row["lon"] is not None and place.lon is not None and place.lat is not None:
            km = kilometers(row["lon"], row["lat"], place.lon, place.lat)
            if km > size:  # none of the rest of the file's place is right either
                contradicted.append((row["path"], km))
                continue
        if row["gsd"] and place.gsd and not 1 / OTHER_GSD < row["gsd"] / place.gsd < OTHER_GSD:
            resized.append((row["path"], row["gsd"], place.gsd))
        for name in ("lon", "lat", "gsd", "crs", "footprint"):
            row[name] = getattr(place, name) if row[name] is None else row[name]
    notes = []
    if contradicted:
        path, km = contradicted[0]
        notes.append(
            f"{counted(len(contradicted), 'patch lies', 'patches lie')} elsewhere by the list than by the file itself, "
            f"the first is {path}, {km:,.3g} km off: the list was taken; leave its columns lon and lat out to take "
            "the files"
        )
    if resized:
        path, listed, stored = resized[0]
        notes.append(
            f"{counted(len(resized), 'patch has', 'patches have')} another gsd by the list than by the file itself, "
            f"the first is {path}, {listed:g} and {stored:g} m: the list was taken; leave its column gsd out to take "
            "the files"
        )
    for problem, paths in problems.items():
        taken = "their footprint is not known" if problem.startswith("an outline") else "their place is not known"
        notes.append(f"{counted(len(paths), 'file has', 'files have')} {problem}, the first is {paths[0]}: {taken}")
    return notes


def _refuse_unreadable(
    refused: Sequence[tuple[str, DataError]], rows: Sequence[Entry], where: str, *, skip_unreadable: bool
) -> None:
    """Stop at missing files, and at unreadable ones unless they are to be skipped."""
    for missing, problem in ((True, "are missing"), (False, "cannot be read")):
        affected = [(path, e) for path, e in refused if isinstance(e, MissingFileError) == missing]
        if affected and (missing or not skip_unreadable):
            first = ", ".join(path for path, _ in affected[:NAMED_IN_MESSAGES])
            more = " and more" if len(affected) > NAMED_IN_MESSAGES else ""
            gone = {path for path, _ in refused}
            lost = sorted({row.label for row in rows if row.label} - {r.label for r in rows if r.path not in gone})
            classes = f", all of class {', '.join(lost[:NAMED_IN_MESSAGES])}" if lost else ""
            why = "" if missing else f" ({affected[0][1].problem})"
            fix = "put them back, or remove them from the list"
            if not missing:
                fix = f"{affected[0][1].fix or 'repair or remove them'}, or leave them out with --skip-unreadable"
            raise DataError(f"{where}: {len(affected)} image(s) {problem}{classes}: {first}{more}{why}", fix=fix)


def _in_split(rows: Sequence[Entry], split: str | None, where: str) -> Sequence[Entry]:
    """Put all patches into one split, if one is given."""
    if split is None:
        return rows
    given = {row.split for row in rows} - {split, None}
    if given:
        raise SettingError(f"{where} has splits itself ({', '.join(sorted(map(str, given)))})", fix="leave out --split")
    return [replace(row, split=split) for row in rows]


def _lost_classes(listed: Sequence[Entry], checked: Sequence[dict[str, Any]]) -> list[str]:
    """Say which classes are gone because none of their images can be read."""
    counts = Counter(row.label for row in listed if row.label is not None)
    left = {row["label"] for row in checked}
    return [
        f"none of the {counts[label]:,} images of class '{label}' can be read, so there is no such class"
        for label in sorted(counts.keys() - left)
    ]


def _check_classes(checked: Sequence[dict[str, Any]], where: str) -> None:
    """Refuse what nothing can be trained on, unless it is held out from training as a whole."""
    counts: Counter[str] = Counter()
    for row in checked:
        counts.update((row["label"],) if row["label"] is not None else row["labels"])
    if not counts:
        raise DataError(f"{where} names no class", fix="a classifier needs at least two classes")
    if all(row["split"] in ("val", "test") for row in checked):
        return
    alone = "of a test set alone: --split test"
    if len(counts) < MIN_CLASSES:
        raise DataError(
            f"{where} has one class only ('{next(iter(counts))}')",
            fix=f"a classifier needs at least two classes; {alone}",
        )
    label, fewest = min(counts.items(), key=lambda item: (item[1], item[0]))
    if fewest < MIN_PATCHES:
        raise DataError(
            f"{where}: class '{label}' has {fewest} patch(es)",
            fix=f"each class needs at least {MIN_PATCHES}, one each for train, val and test; {alone}",
        )


def _known_set(path: Path, checked: Sequence[dict[str, Any]]) -> NamedSet | None:
    """Facts of the published archive that `path` is a copy of, or was taken from, or whose contents it has."""
    shipped = shipped_name(path)
    if shipped:
        return NAMED[SHIPPED[shipped]]
    contents = contents_digest((row["label"] or "", row["sha256"]) for row in checked)
    for known in NAMED.values():
        if known.contents == contents:
            return known
        if path.is_file() and path.stat().st_size == known.size:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == known.sha256:
                    return known
    return None
