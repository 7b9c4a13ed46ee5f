"""Make a patch index from a class-folder tree, a table, a zip of either, or a shipped data set."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from swath.data.archives import PatchReader, open_patches
from swath.data.duplicates import joined_groups
from swath.data.entries import Entries, Entry, entries_from_coco, entries_from_csv, entries_from_tree
from swath.data.index import SCHEMA, PatchIndex
from swath.data.named import NAMED, SHIPPED, NamedSet, find_named, shipped_name, shipped_path
from swath.data.threads import in_order
from swath.errors import DataError, MissingFileError
from swath.imagery import decode
from swath.progress import Progress, silent

MIN_CLASSES = 2
MIN_PATCHES = 3  # a class: one each for train, val and test
NAMED_IN_MESSAGES = 5
_LISTS = {".csv": entries_from_csv, ".json": entries_from_coco}


@dataclass(frozen=True)
class CheckedPatch:
    """One patch that was read and decoded."""

    entry: Entry
    sha256: str
    width: int
    height: int
    mode: str


@dataclass(frozen=True)
class RejectedPatch:
    """One patch that could not be; `missing` if there is no such file."""

    path: str
    reason: str
    missing: bool


def build_index(
    source: str | Path,
    *,
    part_of: str | None = None,
    skip_unreadable: bool = False,
    progress: Progress = silent,
) -> PatchIndex:
    """Index labeled patches, reading and decoding every one of them once.

    Parameters
    ----------
    source : str or Path
        A folder or zip of ``Class/.../image`` or ``{train,val,test}/Class/.../image`` (one wrapping
        folder is looked through), a CSV with columns ``path,label[,split,group,lon,lat]`` and paths
        relative to itself (``labels`` in place of ``label`` where patches have several, with ``;`` or
        ``|`` between them), a COCO-style ``.json``, a zip with one CSV, or the name of a shipped data set.
    part_of : str, optional
        Name of the published data set that the source is a part or a copy of, such as
        ``eurosat-rgb``: its source, license, attribution and ground sampling distance are recorded.
        A published archive as downloaded, and shipped data, are recognized without.
    skip_unreadable : bool
        Leave out images that cannot be decoded and list them in ``PatchIndex.skipped``, rather
        than stop.
    progress : Progress
        Called with stage ``"check"``.

    Returns
    -------
    PatchIndex
        Rows sorted by path. Patches with identical bytes, and those the source puts in one group,
        share a ``group``; other groups are null.

    Raises
    ------
    SettingError
        If no published data set is named `part_of`.
    DataError
        If the source is not one of the above, has no images, fewer than two classes or a class with
        fewer than three patches, or names or holds images that are missing or cannot be read.
    """
    path = _locate(source)
    published = find_named(part_of) if part_of is not None else None
    listed = path.suffix.lower() in _LISTS and path.is_file()
    with open_patches(path.parent if listed else path) as reader:
        entries = _list_table(reader, path.name) if listed else _list_patches(reader)
        checked, refused = _check_all(reader, entries.rows, progress)
        root = reader.root
    _judge(refused, path, skip_unreadable=skip_unreadable)
    _check_classes(checked, path)
    known = _known_set(path)
    facts = published or known
    return PatchIndex(
        root=root,
        table=_table(checked, facts),
        name=shipped_name(path) or (known.name if known else path.stem),
        attribution=facts.attribution if facts else "",
        split_protocol="as the source gives it" if any(p.entry.split for p in checked) else "",
        skipped=tuple(sorted(patch.path for patch in refused)),
        ignored=entries.ignored,
    )


def _locate(source: str | Path) -> Path:
    path = Path(source)
    if path.exists():
        return path.resolve()
    if str(source) in SHIPPED:
        return shipped_path(str(source))
    if str(source) in NAMED:
        raise DataError(
            f"'{source}' is a data set to download first", fix=f"swath data get {source} --out FILE"
        )
    raise MissingFileError(
        f"there is no folder, CSV or zip {source}", fix=f"shipped data sets: {', '.join(sorted(SHIPPED))}"
    )


def _list_patches(reader: PatchReader) -> Entries:
    """List by the one CSV in a zip if there is one, else by folders."""
    names = reader.names()
    tables = [name for name in names if name.lower().endswith(".csv")] if reader.root.is_file() else []
    if not tables:
        return entries_from_tree(names, where=str(reader.root))
    if len(tables) > 1:
        raise DataError(
            f"{reader.root} holds {len(tables)} CSV files ({', '.join(tables[:3])}), not one that lists the images",
            fix="unpack it and index the CSV or the folder you mean",
        )
    return _list_table(reader, tables[0])


def _list_table(reader: PatchReader, name: str) -> Entries:
    where = f"{reader.root}/{name}"
    try:
        text = reader.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start})", fix="save it as UTF-8") from error
    folder = PurePosixPath(name).parent.as_posix()
    read = _LISTS[PurePosixPath(name).suffix.lower()]
    return read(text, folder="" if folder == "." else folder, where=where)


def _check_all(
    reader: PatchReader, entries: Sequence[Entry], progress: Progress
) -> tuple[list[CheckedPatch], list[RejectedPatch]]:
    """Read and decode all patches; both lists come back in order of path."""
    ordered = sorted(entries, key=lambda entry: entry.path)

    def check(rows: range) -> list[CheckedPatch | RejectedPatch]:
        return [_check(reader, ordered[row]) for row in rows]

    results = [
        one for part in in_order(check, len(ordered), stage="check", progress=progress) for one in part
    ]
    return [one for one in results if isinstance(one, CheckedPatch)], [
        one for one in results if isinstance(one, RejectedPatch)
    ]


def _check(reader: PatchReader, entry: Entry) -> CheckedPatch | RejectedPatch:
    try:
        data = reader.read(entry.path)
        picture = decode(data, name=entry.path)
    except DataError as error:
        return RejectedPatch(entry.path, error.problem, missing=isinstance(error, MissingFileError))
    return CheckedPatch(entry, hashlib.sha256(data).hexdigest(), picture.width, picture.height, picture.mode)


def _judge(refused: Sequence[RejectedPatch], source: Path, *, skip_unreadable: bool) -> None:
    """Stop at missing files, and at unreadable ones unless they are to be skipped."""
    for missing, mismatch, fix in (
        (True, "are missing", "put them back, or remove them from the list"),
        (False, "cannot be read", "mend or remove them, or go on without them with --skip-unreadable"),
    ):
        affected = [patch for patch in refused if patch.missing == missing]
        if affected and (missing or not skip_unreadable):
            first = ", ".join(patch.path for patch in affected[:NAMED_IN_MESSAGES])
            more = " and more" if len(affected) > NAMED_IN_MESSAGES else ""
            why = "" if missing else f" ({affected[0].reason})"
            raise DataError(f"{source}: {len(affected)} image(s) {mismatch}: {first}{more}{why}", fix=fix)


def _check_classes(checked: Sequence[CheckedPatch], source: Path) -> None:
    if not checked:
        raise DataError(f"{source} has no readable image left")
    counts: Counter[str] = Counter()
    for patch in checked:
        counts.update((patch.entry.label,) if patch.entry.label is not None else patch.entry.labels)
    if len(counts) < MIN_CLASSES:
        raise DataError(
            f"{source} has one class only ('{next(iter(counts))}')" if counts else f"{source} names no class",
            fix="a classifier needs at least two classes",
        )
    label, fewest = min(counts.items(), key=lambda item: (item[1], item[0]))
    if fewest < MIN_PATCHES:
        raise DataError(
            f"{source}: class '{label}' has {fewest} patch(es)",
            fix=f"each class needs at least {MIN_PATCHES}: one each for train, val and test",
        )


def _known_set(path: Path) -> NamedSet | None:
    """Facts of the published archive that `path` is a copy of, or was cut from by us."""
    shipped = shipped_name(path)
    if shipped:
        return NAMED[SHIPPED[shipped]]
    for known in NAMED.values():
        if path.is_file() and path.stat().st_size == known.size:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == known.sha256:
                    return known
    return None


def _table(checked: Sequence[CheckedPatch], facts: NamedSet | None) -> pa.Table:
    entries = [patch.entry for patch in checked]
    n = len(checked)
    columns = {
        "path": [entry.path for entry in entries],
        "label": [entry.label for entry in entries],
        "labels": [entry.labels for entry in entries],
        "split": [entry.split for entry in entries],
        "group": joined_groups([entry.group for entry in entries], [patch.sha256 for patch in checked]),
        "sha256": [patch.sha256 for patch in checked],
        "width": [patch.width for patch in checked],
        "height": [patch.height for patch in checked],
        "mode": [patch.mode for patch in checked],
        "lon": [entry.lon for entry in entries],
        "lat": [entry.lat for entry in entries],
        "gsd": [facts.gsd if facts else None] * n,
        "source": [facts.source if facts else None] * n,
        "license": [facts.license if facts else None] * n,
    }
    return pa.Table.from_pydict(columns, schema=SCHEMA)
