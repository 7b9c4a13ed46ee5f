"""Tables of paths and labels as people write them, turned into the columns of an index: text only, no image is opened.

Encoding, separator, header and the names of the columns are detected; what cannot be told apart is refused with what to
do. :func:`entries_from_csv` reads a whole table, :func:`read_csv` only takes one apart.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from swath.data.encodings import guess_encoding
from swath.data.entries import COLUMNS, Entries, cell_text, entries_from_rows, is_empty
from swath.data.filenames import is_image_name
from swath.data.lookup import relative_to_common
from swath.data.roles import read_name, splits_of
from swath.errors import DataError

# What people call the columns, in the order in which they are preferred.
_CALLED: Mapping[str, tuple[str, ...]] = {
    "path": ("path", "filepath", "imagepath", "imgpath", "filename", "imagename", "imgname", "imagefile", "file",
             "fname", "image", "img", "picture", "patch", "tile", "imageid", "imgid"),
    "label": ("label", "classname", "labelname", "categoryname", "class", "category", "target", "landcover", "landuse",
              "lulc", "tag"),
    "labels": ("labels", "tags", "classes", "categories", "targets", "labellist"),
    "split": ("split", "subset", "partition", "fold", "set"),
    "group": ("group",),
    "lon": ("lon", "longitude", "lng", "long"),
    "lat": ("lat", "latitude"),
    "x": ("x", "easting", "xcoord", "coordx"),
    "y": ("y", "northing", "ycoord", "coordy"),
    "gsd": ("gsd",),
    "source": ("source",),
    "license": ("license",),
    "crs": ("crs",),
    "footprint": ("footprint",),
}  # fmt: skip
_HEADER = f"its first line names the columns: {', '.join(COLUMNS)}"
_SEPARATORS = (",", ";", "\t", "|")
_PROBED = 50  # rows that decide on the separator
_INDEX = re.compile(r"(unnamed.*|index|level_?\d)?", re.I)
_LIST = re.compile(r"\s*\[.*\]\s*", re.S)
_REMADE = ("sha256", "width", "height", "mode")  # columns of an index that indexing makes anyway

Locate = Callable[[list[str]], tuple[list[str], list[str]]]


@dataclass(frozen=True)
class Columns:
    """Which column of a table is which.

    Attributes
    ----------
    taken : mapping of str to str
        Column of the table by column of the index.
    extra : tuple of str
        The other columns.
    """

    taken: Mapping[str, str]
    extra: tuple[str, ...] = ()


def decode_text(data: bytes, *, where: str) -> tuple[str, tuple[str, ...]]:
    """Text of a table: UTF-8, UTF-16 with a byte order mark or without, or a guessed encoding, with a note then.

    Raises
    ------
    DataError
        If it is no text.
    """
    head = data[:4]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in data[:2000]:
        even, odd = data[0:2000:2].count(0), data[1:2000:2].count(0)
        encoding = "utf-16-le" if odd > even else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    notes: tuple[str, ...] = ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        guessed = guess_encoding(data.splitlines()) if encoding == "utf-8-sig" else None
        if guessed is None:
            raise DataError(
                f"{where} is no text in UTF-8 or UTF-16 (byte {error.start})", fix="save it as UTF-8"
            ) from error
        text = data.decode(guessed, errors="replace")
        notes = (
            f"{where} is not UTF-8; it was read as {guessed}, which is a guess: save it as UTF-8 if names look wrong",
        )
    if "\0" in text:
        raise DataError(f"{where} holds NUL bytes, which no text does", fix="save it as CSV, UTF-8")
    return text, notes


def entries_from_csv(text: str, *, folder: str, where: str, locate: Locate | None = None) -> Entries:
    """Read the rows of a CSV with columns ``path,label[,split,group,lon,lat,gsd,source,license]``.

    The separator is a comma, semicolon, tab or bar. Columns may bear other common names in any case (``Filename``,
    ``image_path``, ``Class``, ``category``...); those of no use are kept in :attr:`Entries.extras`. Without a header,
    the column of image names is the path and the other one the label.

    With a column ``labels`` in place of ``label``, each patch has as many labels as stand there with ``;`` or
    ``|`` between them, as a list (``['a', 'b']``), or with commas or spaces where all cells agree: any number, or none
    where it is empty.

    Parameters
    ----------
    text : str
        The CSV.
    folder : str
        Folder of the CSV relative to the root (``""`` for the root); paths in the CSV start there.
    where : str
        Name of the CSV, for messages.
    locate : callable, optional
        Given the paths as they stand in the CSV; returns them relative to the root, and notes.

    Raises
    ------
    DataError
        If a column is missing or cannot be told from another, or a value is not valid; the line is named.
    """
    names, rows = read_csv(text, where=where)
    return entries_of_columns(names, rows, folder=folder, where=where, locate=locate)


def entries_of_columns(
    names: Sequence[str],
    rows: Sequence[tuple[str, dict[str, Any]]],
    *,
    folder: str = "",
    where: str,
    locate: Locate | None = None,
) -> Entries:
    """Read the rows of any table whose columns have names; see :func:`entries_from_csv`."""
    columns, notes = pick_columns(names, {n: [values[n] for _, values in rows] for n in names}, where=where)
    taken = {known: [values[name] for _, values in rows] for known, name in columns.taken.items()}
    places = [place for place, _ in rows]
    if "label" in taken and any(isinstance(cell, str) and _LIST.fullmatch(cell) for cell in taken["label"]):
        taken["labels"] = taken.pop("label")
    if "labels" in taken:
        taken["labels"], found = label_lists(taken["labels"], where=where)
        notes += found
        if taken["labels"] and all(isinstance(cell, tuple) and len(cell) == 1 for cell in taken["labels"]):
            taken["label"] = [cell[0] for cell in taken.pop("labels")]
            notes.append(f"no patch of {where} has several labels: each has one")
    if "split" in taken:
        taken["split"] = _split_cells(taken["split"])
    if locate is not None:
        taken["path"], found = locate([cell_text(path) for path in taken["path"]])
        notes += found
        folder = ""
    found_rows = ((place, {k: taken[k][row] for k in taken}) for row, place in enumerate(places))
    entries = entries_from_rows(found_rows, where=where, folder=folder)
    extras = {
        name: {e.path: cell_text(values[name]) for e, (_, values) in zip(entries.rows, rows, strict=True)}
        for name in columns.extra
    }
    return replace(entries, notes=tuple(notes), extras=extras)


def read_csv(text: str, *, where: str) -> tuple[list[str], list[tuple[str, dict[str, str]]]]:
    """Split a CSV into its columns and its rows that are not blank, each row with its place for messages.

    The separator and whether there is a header are detected; columns without a name whose cells are empty are dropped.

    Raises
    ------
    DataError
        If it is not valid CSV, or a line has too few or too many values; the line is named.
    """
    lines = _lines(text, _separator(text), where)
    if not lines:
        return [], []
    columns, body = _header([column.strip() for column in lines[0][1]], lines, where)
    if body and all(len(cells) == len(columns) + 1 and cells[0].strip().isdigit() for _, cells in body):
        columns = ["", *columns]  # a table whose header leaves out the column of row names
    rows: list[tuple[str, dict[str, str]]] = []
    for number, values in body:
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(columns):
            raise DataError(
                f"{where}, line {number} has {len(values)} values for {len(columns)} columns",
                fix="correct the line; put values with commas in quotes",
            )
        rows.append((f"{where}, line {number}", dict(zip(columns, values, strict=True))))
    if columns.count("") > 1 or not any(values.get("", "").strip() for _, values in rows):
        columns = [name for name in columns if name]
    return columns, rows


def listed_paths(data: bytes, *, where: str) -> list[str]:
    """Paths in a list of patches: its column of paths, or of images, or its first one; a header may be among them.

    Raises
    ------
    DataError
        If it is no text, or not valid CSV.
    """
    text, _ = decode_text(data, where=where)
    lines = [cells for _, cells in _lines(text, _separator(text), where) if any(map(str.strip, cells))]
    if not lines:
        return []
    first = [re.sub(r"[\W_]", "", cell.lower()) for cell in lines[0]]
    named = [place for place, cell in enumerate(first) if cell in _CALLED["path"]]
    images = [place for place, cell in enumerate(lines[0]) if is_image_name(cell.strip())]
    at = [*named, *images, 0][0]
    return [cells[at].strip() for cells in lines[1 if named else 0 :] if len(cells) > at and cells[at].strip()]


def _lines(text: str, separator: str, where: str) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines = []
    try:
        for values in reader:
            if values:
                lines.append((reader.line_num, values))
    except csv.Error as error:
        raise DataError(f"{where}, line {reader.line_num} is not valid CSV ({error})", fix="save it as CSV") from error
    return lines


def _separator(text: str) -> str:
    """The separator that gives the most lines of one width, of two columns or more."""
    head = "".join(text.splitlines(keepends=True)[:_PROBED])
    best, best_score = ",", (0.0, 0)
    for separator in _SEPARATORS:
        widths = _widths(head, separator)
        wide = [(count, width) for width, count in widths.items() if width > 1]
        if wide:
            count, _ = max(wide)
            score = (count / sum(widths.values()), -_SEPARATORS.index(separator))
            if score > best_score:
                best, best_score = separator, score
    return best


def _widths(text: str, separator: str) -> Counter[int]:
    """Lines by their number of values; what is not valid is told when all lines are read."""
    try:
        return Counter(len(cells) for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if cells)
    except csv.Error:
        return Counter()


def _header(
    columns: list[str], lines: list[tuple[int, list[str]]], where: str
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Column names and the other lines; without a header they are told by their values."""
    images = [place for place, cell in enumerate(columns) if is_image_name(cell)]
    if not images:
        return columns, lines[1:]
    values = [[cells[place].strip() for _, cells in lines if len(cells) > place] for place in range(len(columns))]
    names = ["" for _ in columns]
    names[images[0]] = "path"
    others = [place for place in range(len(columns)) if place != images[0] and any(values[place])]
    splits = [place for place in others if len(others) > 1 and _are_splits(values[place])]
    if splits:
        names[splits[0]] = "split"
        others.remove(splits[0])
    counts = [place for place in others if len(others) > 1 and values[place][:2] in (["0", "1"], ["1", "2"])]
    others = [place for place in others if place not in counts[:1]]
    if len(others) != 1:
        raise DataError(f"{where} has no header, and {len(others)} columns that could be the label", fix=_HEADER)
    names[others[0]] = "label"
    return names, lines


def pick_columns(names: Sequence[str], values: Mapping[str, Sequence[Any]], *, where: str) -> tuple[Columns, list[str]]:
    """Decide which column of a table is which, by their names and, where several fit, by their values.

    Returns
    -------
    tuple of Columns and list of str
        The columns, and notes on what was decided.

    Raises
    ------
    DataError
        If none names the image or the class, a column occurs twice, or ``label`` and ``labels`` are both there.
    """
    if len({name.lower() for name in names}) != len(names):
        raise DataError(f"{where} names a column twice", fix="rename one of the two")
    plain = {name: _plain(name) for name in names}
    fits = {known: called_columns(names, known) for known in _CALLED if known not in ("x", "y")}
    taken = {known: candidates[0] for known, candidates in fits.items() if candidates}
    if fits["split"] and not _are_splits(values[taken["split"]]) and taken["split"].lower() != "split":
        del taken["split"]
    if not fits["path"]:
        images = [name for name in names if _are_images(values[name])]
        if len(images) == 1:
            taken["path"] = images[0]
    elif len(fits["path"]) > 1:
        taken["path"] = max(fits["path"], key=lambda n: _are_images(values[n]))
    notes = []
    if len(fits["label"]) > 1:
        taken["label"], note = _label_column(fits["label"], values, where)
        notes += note
    if "label" in taken and "labels" in taken:
        if {plain[taken["label"]], plain[taken["labels"]]} == {"label", "labels"}:
            raise DataError(
                f"{where} has a column 'label' and a column 'labels'",
                fix="keep 'label' if each patch has one, else 'labels'",
            )
        del taken["labels" if plain[taken["label"]] == "label" else "label"]
    for required in ("path", "label"):
        if required not in taken and not (required == "label" and "labels" in taken):
            shown = ", ".join(repr(name) for name in names if name)
            raise DataError(
                f"{where} has no column '{required}'" + (f" (its columns: {shown})" if shown else ""), fix=_HEADER
            )
    extra = tuple(name for name in names if name not in taken.values())
    told = [name for name in extra if not (_INDEX.fullmatch(name) and _is_count(values[name]))]
    renamed = {
        known: name for known, name in taken.items() if known in ("path", "label", "labels") and plain[name] != known
    }
    if renamed:
        notes.append(f"columns of {where}: {', '.join(f'{name} = {known}' for known, name in renamed.items())}")
    return Columns(taken, tuple(name for name in extra if name in told)), notes


def called_columns(names: Sequence[str], known: str) -> list[str]:
    """Columns of a table whose names are those that people give to one of an index, the most usual name first.

    Examples
    --------
    >>> called_columns(["Longitude", "Class", "id"], "lon")
    ['Longitude']
    """
    called = _CALLED[known]
    return sorted((name for name in names if _plain(name) in called), key=lambda name: called.index(_plain(name)))


def label_column(names: Sequence[str], values: Mapping[str, Sequence[Any]], *, where: str) -> str | None:
    """The column of a table that holds one class a row; None where no name says so.

    Raises
    ------
    DataError
        If there are two that may be it.
    """
    fits = called_columns(names, "label")
    return _label_column(fits, values, where)[0] if len(fits) > 1 else next(iter(fits), None)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _label_column(candidates: Sequence[str], values: Mapping[str, Sequence[Any]], where: str) -> tuple[str, list[str]]:
    """Of several columns that may be the label, the one of names where another one numbers the same classes."""
    first, second = candidates[:2]
    pairs = set(zip(map(str, values[first]), map(str, values[second]), strict=True))
    one_to_one = len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    if one_to_one:
        numbered = [name for name in (first, second) if all(str(v).strip().isdigit() for v in values[name])]
        named = [name for name in (first, second) if name not in numbered]
        return (named[0] if named else first), []
    if first.lower() == "label":
        return first, []
    raise DataError(
        f"{where} has two columns that may be the label: '{first}' and '{second}'", fix="name the right one 'label'"
    )


def _are_images(cells: Sequence[Any]) -> bool:
    return bool(cells) and all(isinstance(cell, str) and is_image_name(cell.strip()) for cell in cells)


def _are_splits(cells: Sequence[Any]) -> bool:
    return all(cell is None for cell in _split_cells(cells, other=""))


def _split_cells(cells: Sequence[Any], *, other: str | None = None) -> list[Any]:
    """Splits in one spelling; values that name none stay, or all others become ``None`` if `other` is given."""
    texts = [cell_text(cell) for cell in cells]
    roles = {text: name.role for text in set(texts) if (name := read_name(text)).exact and name.role is not None}
    splits = splits_of(roles)
    if other is None:
        return [splits.get(text, text) if text in splits else text for text in texts]
    return [None if text in splits or not text else text for text in texts]


def _is_count(cells: Sequence[Any]) -> bool:
    """Whether it holds nothing, or numbers that count or name the rows."""
    texts = [cell_text(cell) for cell in cells]
    return not any(texts) or all(text.isdigit() for text in texts)


def label_lists(cells: Sequence[Any], *, where: str) -> tuple[list[Any], list[str]]:
    """Take the cells of a column of several labels apart; one rule holds for all of them.

    Parameters
    ----------
    cells : sequence
        Text, or sequences of labels, which stay as they are.
    where : str
        The table, for messages.

    Returns
    -------
    tuple of list and list of str
        The labels of each cell as a tuple, or a sequence as it was given; and a note where the rule is not plain.

    Raises
    ------
    DataError
        If cells hold spaces that may separate labels or belong to them, or a list is not a valid one.
    """
    texts = [cell.strip() for cell in cells if isinstance(cell, str) and cell.strip()]
    notes: list[str] = []
    if any(map(_LIST.fullmatch, texts)):
        return [() if is_empty(cell) else _listed(cell) if isinstance(cell, str) else cell for cell in cells], notes
    if any(";" in text or "|" in text for text in texts):
        pattern = "[;|]"
    elif any("," in text for text in texts):
        pattern = ","
        notes.append(f"labels of {where} are read with commas between them")
    elif any(" " in text for text in texts):
        if not _words_are_labels(set(texts)):
            raise DataError(
                f"{where} has several labels per patch in column 'labels', and no cell has ; or | between them",
                fix="put ; between labels, or rename the column to 'label' if each patch has one label",
            )
        pattern = r"\s+"
        names = sorted({word for text in texts for word in text.split()})
        shown = ", ".join(names[:5]) + (" and more" if len(names) > 5 else "")
        notes.append(f"labels of {where} are read with spaces between them: {len(names)} labels ({shown})")
    else:
        pattern = "[;|]"
    split = re.compile(pattern)

    def apart(cell: Any) -> Any:
        if is_empty(cell):
            return ()
        if not isinstance(cell, str):
            return cell if isinstance(cell, list | tuple | set) else (str(cell),)
        return tuple(sorted({label.strip() for label in split.split(cell)} - {""}))

    return [apart(cell) for cell in cells], notes


def _words_are_labels(cells: set[str]) -> bool:
    """Whether the words of cells are labels of their own: some cell repeats all words of another and adds one."""
    several = [frozenset(cell.split()) for cell in cells if " " in cell]
    return any(one < other for one in several for other in several)


def _listed(cell: str) -> tuple[str, ...]:
    """Labels of a cell that holds a list as JSON or Python writes it."""
    text = cell.strip()
    if not _LIST.fullmatch(text):
        return (text,) if text else ()
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, list) and all(isinstance(label, str | int) for label in found):
            return tuple(sorted({str(label).strip() for label in found} - {""}))
    # Without quotes, as [a, b].
    return tuple(sorted({label.strip().strip("'\"") for label in text[1:-1].split(",")} - {""}))


def entries_from_table(table: pa.Table, *, root: str | Path | None, where: str) -> tuple[Path, Entries]:
    """Read the rows of an Arrow table with columns as :func:`entries_from_csv` takes them.

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

    Returns
    -------
    tuple of Path and Entries
        The root, and the patches.

    Raises
    ------
    DataError
        As :func:`entries_from_csv`, or if the paths share no folder.
    """
    if not len(table):
        raise DataError(f"{where} lists no images")
    names = [n for n in table.column_names if n not in _REMADE and table.column(n).null_count < len(table)]
    base = Path(root or ".")

    def locate(given: list[str]) -> tuple[list[str], list[str]]:
        nonlocal base
        base, paths = relative_to_common(given, start=Path(root or ""), root=None if root is None else Path(root))
        return paths, []

    rows = [(f"{where}, row {number}", row) for number, row in enumerate(table.select(names).to_pylist())]
    entries = entries_of_columns(names, rows, where=where, locate=locate)
    return base.resolve(), entries
