"""Find the labels of a source on disk: its folders, or the table that lists its images.

A folder and its zip are read alike. A table in it is used where it has a column of labels and most files it names are
there; any other table next to a class tree is somebody's metadata. ``labels`` says what to take instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from swath.data.archives import FolderReader, PatchReader, guessed_names, open_patches, read_file
from swath.data.entries import Entries, entries_from_coco
from swath.data.exports import CVAT_FILE, entries_from_export, is_export
from swath.data.filenames import UNLISTED, Listing, is_image_name, place_of, safe_name, suffix_of, why_left_out
from swath.data.lookup import is_there, match_paths, relative_to_common
from swath.data.roles import split_roles, splits_of
from swath.data.tables import decode_text, entries_from_csv
from swath.data.trees import entries_from_tree
from swath.errors import DataError, SettingError

_CSV = (".csv", ".tsv")
TABLES = (*_CSV, ".json", ".xml")
_MAX_TABLE = 256 * 2**20
_SHOWN = 3


def list_source(
    path: Path, *, labels: int | str | None = None, zip_encoding: str | None = None
) -> tuple[Path, Entries]:
    """List the patches of a folder, zip or table.

    Parameters
    ----------
    path : Path
        The source.
    labels : int or str, optional
        What names the classes of a folder or zip: the level of folders, 1 being the top, or a table in it. By default
        the one table that lists the images, else the folders.
    zip_encoding : str, optional
        Encoding of the names in an archive that does not say it; by default it is guessed.

    Returns
    -------
    tuple of Path and Entries
        The folder or archive that paths start from, and the patches.

    Raises
    ------
    DataError
        If there are no labels, or no such table, or the source can be read in several ways.
    SettingError
        If `labels` is given for a table.
    """
    if suffix_of(path.name) in TABLES and path.is_file():
        if labels is not None:
            raise SettingError(
                "--labels chooses among the folders and tables of a source", fix="leave it out for a table"
            )
        return _list_file(path)
    with open_patches(path, zip_encoding=zip_encoding) as reader:
        listing = reader.listing()
        entries = _list_within(reader, listing, labels)
        notes = (*guessed_names(reader), *entries.notes)
        return reader.root, replace(entries, notes=notes)


def _list_file(path: Path) -> tuple[Path, Entries]:
    """Read a table on disk; the root is its folder, or the one that holds the files it names."""
    here, root = path.parent, path.parent
    data = read_file(path)
    text, notes = decode_text(data, where=str(path))

    def locate(given: list[str]) -> tuple[list[str], list[str]]:
        nonlocal root
        plain = [name if is_there(here / name) else name.replace("\\", "/") for name in given]
        there = sum(is_there(here / name) for name in plain)
        if 2 * there > len(plain) and any(Path(name).is_absolute() for name in plain):
            root, found = relative_to_common(plain, start=here, root=None)
            if root.is_relative_to(here):
                root, found = relative_to_common(plain, start=here, root=here)
            return found, [f"paths of {path} start from {root}"]
        if 2 * there > len(plain):
            return plain, []
        found, told = match_paths(plain, folder="", names=_files_below(here), where=str(path))
        if not any(is_there(here / name) for name in found):
            raise _none_there(path, given[0])
        return found, told

    if is_export(text, suffix_of(path.name)):
        listing = FolderReader(here).listing()
        entries = entries_from_export(text, suffix_of(path.name), names=listing.names, folder="", where=str(path))
        return here, _complete(entries, listing)
    if suffix_of(path.name) in _CSV:
        entries = entries_from_csv(text, folder="", where=str(path), locate=locate)
    else:
        entries = entries_from_coco(text, folder="", where=str(path))
        if not any(is_there(here / entry.path) for entry in entries.rows):
            entries = _relocated(entries, _files_below(here), str(path))
            if not any(is_there(here / entry.path) for entry in entries.rows):
                raise _none_there(path, entries.rows[0].path)
    return root, replace(entries, notes=(*notes, *entries.notes))


def _files_below(folder: Path) -> frozenset[str]:
    return frozenset(FolderReader(folder).listing().names)


def _none_there(table: Path, first: str) -> DataError:
    return DataError(
        f"none of the images that {table} lists is there, the first is {first}",
        fix=f"give paths relative to the table, or index the folder that holds both with --labels {table.name}",
    )


def _relocated(entries: Entries, names: frozenset[str], where: str) -> Entries:
    """Entries with their paths as :func:`swath.data.lookup.match_paths` finds them."""
    paths, notes = match_paths([entry.path for entry in entries.rows], folder="", names=names, where=where)
    rows = tuple(replace(entry, path=path) for entry, path in zip(entries.rows, paths, strict=True))
    return replace(entries, rows=rows, notes=(*entries.notes, *notes))


@dataclass(frozen=True)
class _Table:
    """A table in a source: its patches, or why they cannot be told."""

    name: str
    entries: Entries | None
    problem: DataError | None = None


def _list_within(reader: PatchReader, listing: Listing, labels: int | str | None) -> Entries:
    where = str(reader.root)
    if isinstance(labels, int):
        return entries_from_tree(listing, where=where, level=labels)
    if labels is not None:
        return _complete(_read_table(reader, _named_table(labels, listing, where), listing), listing)
    lists = [n for n in listing.names if suffix_of(n) in _CSV or PurePosixPath(n).name == CVAT_FILE]
    tables = [_try_table(reader, name, listing) for name in lists]
    usable = [(table.name, table.entries) for table in tables if table.entries is not None]
    if len(usable) > 1:
        merged = _merged(dict(usable))
        usable = [merged] if merged is not None else usable
    if len(usable) == 1:
        name, entries = usable[0]
        notes = entries.notes
        if _folders_differ(entries, listing, where):
            note = f"labels are from {name}; to take them from folders give their level, as in --labels 1"
            notes = (note, *notes)
        return _complete(replace(entries, notes=notes), listing)
    try:
        tree = entries_from_tree(listing, where=where)
    except DataError as error:
        raise _no_labels(error, tables, usable, listing, where) from error
    if usable:
        names = ", ".join(name for name, _ in usable[:_SHOWN])
        note = f"labels are from the folders; {names} list the images too: take one with --labels {usable[0][0]}"
        tree = replace(tree, notes=(note, *tree.notes))
    return tree


def _folders_differ(entries: Entries, listing: Listing, where: str) -> bool:
    """Whether folders give classes as well, and other ones than a table does."""
    try:
        tree = entries_from_tree(listing, where=where)
    except DataError:
        return False
    folders = {row.path: row.label for row in tree.rows}
    return any(folders.get(row.path, row.label) != row.label for row in entries.rows)


def _no_labels(
    error: DataError, tables: Sequence[_Table], usable: Sequence[object], listing: Listing, where: str
) -> DataError:
    """What is wrong with a source that neither its folders nor one table label."""
    if usable:
        names = ", ".join(table.name for table in tables if table.entries is not None)
        return DataError(f"several tables in {where} list the images ({names})", fix="name one with --labels FILE")
    if not any(map(is_image_name, listing.names)):
        return error
    if len(tables) == 1 and tables[0].problem is not None:
        return tables[0].problem
    others = [name for name in listing.names if suffix_of(name) in TABLES]
    if others:
        return DataError(
            error.problem, fix=f"{error.fix}; a table in it that lists them is named with --labels {others[0]}"
        )
    return error


def _named_table(name: str, listing: Listing, where: str) -> str:
    tables = [one for one in listing.names if suffix_of(one) in TABLES]
    plain = safe_name(name) or name
    fitting = [one for one in tables if one == plain] or [one for one in tables if PurePosixPath(one).name == plain]
    if len(fitting) != 1:
        held = (
            f"tables in it: {', '.join(tables[:_SHOWN])}"
            if tables
            else "give the level of the class folders, such as 1"
        )
        raise DataError(f"{where} holds {len(fitting) or 'no'} table(s) named {name}", fix=held)
    return fitting[0]


def _try_table(reader: PatchReader, name: str, listing: Listing) -> _Table:
    """Read a table if it lists images of the source."""
    try:
        entries = _read_table(reader, name, listing)
    except DataError as error:
        return _Table(name, None, error)
    names = frozenset(listing.names)
    there = sum(entry.path in names for entry in entries.rows)
    return _Table(name, entries if 2 * there >= len(entries.rows) else None)


def _read_table(reader: PatchReader, name: str, listing: Listing) -> Entries:
    where = f"{reader.root}/{name}"
    data = reader.read(name)
    if len(data) > _MAX_TABLE:
        raise DataError(f"{where} is larger than {_MAX_TABLE // 2**20} MiB", fix="keep the rows of the patches only")
    text, notes = decode_text(data, where=where)
    folder = PurePosixPath(name).parent.as_posix()
    folder = "" if folder == "." else folder
    if is_export(text, suffix_of(name)):
        return entries_from_export(text, suffix_of(name), names=listing.names, folder=folder, where=where)
    if suffix_of(name) not in _CSV:
        return _relocated(entries_from_coco(text, folder=folder, where=where), frozenset(listing.names), where)
    names = frozenset(listing.names)
    entries = entries_from_csv(
        text,
        folder=folder,
        where=where,
        locate=lambda given: match_paths(given, folder=folder, names=names, where=where),
    )
    return replace(entries, notes=(*notes, *entries.notes))


def _merged(tables: Mapping[str, Entries]) -> tuple[str, Entries] | None:
    """Tables named as splits, such as train.csv and test.csv, as one; ``None`` if they are not, or share patches."""
    stems = {name: PurePosixPath(name).stem for name in tables}
    splits = splits_of(split_roles(list(stems.values())))
    if splits.keys() != set(stems.values()):
        return None
    rows = [replace(row, split=row.split or splits[stems[name]]) for name, one in tables.items() for row in one.rows]
    if len({row.path for row in rows}) != len(rows) or len({row.labels is None for row in rows}) > 1:
        return None
    notes = tuple(note for one in tables.values() for note in one.notes)
    return ", ".join(tables), Entries(tuple(rows), notes=notes)


def _complete(entries: Entries, listing: Listing) -> Entries:
    """Count the files of a source that its table does not list."""
    listed = {entry.path for entry in entries.rows}
    passed = [(name, UNLISTED if is_image_name(name) else why_left_out(name)) for name in listing.names]
    found = (*passed, *listing.left_out)
    left_out = [(place_of(name, why), why) for name, why in found if why is not None and name not in listed]
    return replace(entries, left_out=(*entries.left_out, *left_out))
