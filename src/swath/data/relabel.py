"""Change labels as a person who reviewed them says, and say what was changed."""

from __future__ import annotations

import csv
import difflib
import io
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path

import pyarrow as pa

from swath.data.index import SCHEMA, PatchIndex
from swath.errors import DataError

OK, RELABEL, DROP = "ok", "relabel", "drop"
_WORDS = (OK, RELABEL, DROP)
_EXACT = ("path", "label", "suggested")  # may have spaces around them, as folders may
_HOW = "a verdict is ok, relabel, drop, or the name of a class; leave it empty for 'not looked at'"


@dataclass(frozen=True)
class Relabelling:
    """A reviewed index, and what the review changed.

    Attributes
    ----------
    index : PatchIndex
        With the changes made; splits and groups as before.
    changed : tuple of (str, str, str)
        Path, label before and label after.
    dropped : tuple of str
        Paths left out.
    confirmed : int
        Patches whose label was found right.
    open : int
        Rows of the review without a verdict.
    warnings : tuple of str
        What is odd about the index now.
    """

    index: PatchIndex
    changed: tuple[tuple[str, str, str], ...]
    dropped: tuple[str, ...]
    confirmed: int
    open: int
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """Tell the changes in plain text, for a terminal."""
        lines = [
            f"{len(self.changed):,} labels changed, {len(self.dropped):,} patches dropped, "
            f"{self.confirmed:,} labels confirmed, {self.open:,} not looked at"
        ]
        pairs = Counter((before, after) for _, before, after in self.changed)
        lines += [f"{n:>8,}  {before} to {after}" for (before, after), n in pairs.most_common()]
        return lines + [f"warning: {warning}" for warning in self.warnings]


def relabel(index: PatchIndex, review: Path) -> Relabelling:
    """Apply the verdicts of a reviewed list of suspects.

    Parameters
    ----------
    index : PatchIndex
        The index the list was made from, or one with the same patches and labels.
    review : Path
        CSV with the columns ``path``, ``verdict`` and, for ``relabel``, ``suggested``; where it has a column
        ``label`` that must still be the patch's label. Commas or semicolons.

    Raises
    ------
    DataError
        If the file cannot be read or lacks a column; a row names an unknown patch or class, has another
        label than the index, or contradicts another row; or nothing would be left. The line is named.
    """
    rows = {path: row for row, path in enumerate(index.paths)}
    verdicts: dict[str, tuple[int, str | None]] = {}  # path -> line, new label (None: drop)
    still_open = 0
    for line, values in _read(review):
        where = f"{review}, line {line}"
        path, verdict = _known(values["path"], rows), values["verdict"]
        if path not in rows:
            raise DataError(
                f"{where}: the index has no patch '{path}'", fix="give the index the list was made from"
            )
        label = index.labels[rows[path]]
        if values.get("label", label).strip() != label.strip():
            raise DataError(
                f"{where}: {path} is '{values['label']}' in the review but '{label}' in the index",
                fix="the index has changed since: make the list again, or give the index it was made from",
            )
        if not verdict:
            still_open += 1
            continue
        after = _label_after(verdict, label, values, index.classes, where=where)
        before = verdicts.setdefault(path, (line, after))
        if before[1] != after:
            raise DataError(
                f"{review}: lines {before[0]} and {line} say different things of {path}",
                fix="keep one of them",
            )
    return _applied(index, rows, {path: after for path, (_, after) in verdicts.items()}, still_open)


def _applied(
    index: PatchIndex, rows: dict[str, int], verdicts: dict[str, str | None], still_open: int
) -> Relabelling:
    labels: list[str | None] = list(index.labels)
    for path, after in verdicts.items():
        labels[rows[path]] = after
    changed = tuple(
        (path, index.labels[rows[path]], after)
        for path, after in sorted(verdicts.items(), key=lambda item: rows[item[0]])
        if after is not None and after != index.labels[rows[path]]
    )
    dropped = tuple(path for path in index.paths if path in verdicts and verdicts[path] is None)
    if len(dropped) == len(index):
        raise DataError("the review drops every patch", fix="keep some")
    place = SCHEMA.get_field_index("label")
    column = pa.array(labels, SCHEMA.field("label").type)
    table = index.table.set_column(place, SCHEMA.field("label"), column)
    table = table.filter(pa.array([label is not None for label in labels]))
    told = f"{len(changed)} labels changed and {len(dropped)} patches dropped by review"
    touched = changed or dropped
    protocol = "; ".join(filter(None, [index.split_protocol, told])) if touched else index.split_protocol
    made = with_fields(index, table=table, split_protocol=protocol)
    return Relabelling(
        index=made,
        changed=changed,
        dropped=dropped,
        confirmed=len(verdicts) - len(changed) - len(dropped),
        open=still_open,
        warnings=_warnings(index, made),
    )


def _warnings(before: PatchIndex, after: PatchIndex) -> tuple[str, ...]:
    """Say which classes a split has lost, and which copies are labelled differently now."""

    def pairs(index: PatchIndex) -> set[tuple[str, str]]:
        splits = index.table.column("split").to_pylist()
        return {(label, split or "the index") for label, split in zip(index.labels, splits, strict=True)}

    found = [
        f"no patch of '{label}' is left in {split}" for label, split in sorted(pairs(before) - pairs(after))
    ]
    contents: dict[str, set[str]] = {}
    for content, label in zip(after.table.column("sha256").to_pylist(), after.labels, strict=True):
        contents.setdefault(content, set()).add(label)
    twice = sum(len(labels) > 1 for labels in contents.values())
    if twice:
        found.append(f"{twice} pictures are in the index several times with different labels")
    return tuple(found)


def _label_after(
    verdict: str, label: str, values: dict[str, str], classes: Sequence[str], *, where: str
) -> str | None:
    """The label a verdict gives; ``None`` drops the patch."""
    word = verdict.lower()
    if word in _WORDS and verdict in classes:
        raise DataError(
            f"{where}: '{verdict}' is a verdict and a class as well",
            fix="write relabel, and the class in the column 'suggested'"
            if word != RELABEL
            else "rename the class",
        )
    if word == OK:
        return label
    if word == DROP:
        return None
    name = _known(values.get("suggested", ""), classes) if word == RELABEL else verdict
    if not name:
        raise DataError(
            f"{where}: relabel to what?", fix="fill in the column 'suggested', or write the class"
        )
    if name not in classes:
        near = difflib.get_close_matches(name, classes, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the classes: {', '.join(classes)}"
        raise DataError(f"{where}: '{name}' is not a class of the index", fix=f"{hint} ({_HOW})")
    return name


def _known(text: str, among: Container[str]) -> str:
    """As it stands if that is known, for folders may have spaces around their names; else without them."""
    return text if text in among else text.strip()


def _read(review: Path) -> list[tuple[int, dict[str, str]]]:
    """Lines of the review with their numbers; blank lines are passed over, and spaces around what a person wrote."""
    try:
        # As written by a spreadsheet: perhaps with a byte order mark, perhaps with semicolons.
        text = review.read_text(encoding="utf-8-sig")
        first = text.split("\n", 1)[0]
        reader = csv.reader(
            io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",", strict=True
        )
        header = [name.strip().lower() for name in next(reader, [])]
        lines = [(reader.line_num, values) for values in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"cannot read the review {review} ({reason})", fix="save it as CSV, UTF-8") from error
    missing = [name for name in ("path", "verdict") if name not in header]
    if missing:
        raise DataError(
            f"{review} has no column '{missing[0]}'", fix="give the list that swath suspects wrote, filled in"
        )
    twice = sorted(name for name, n in Counter(header).items() if n > 1 and name)
    if twice:
        raise DataError(f"{review} has two columns '{twice[0]}'", fix="remove one")
    rows = []
    for number, values in lines:
        if not any(value.strip() for value in values):
            continue
        if len(values) != len(header):
            raise DataError(
                f"{review}, line {number} has {len(values)} values for {len(header)} columns",
                fix="mend the line; put values with commas in quotes",
            )
        rows.append(
            (
                number,
                {
                    name: value if name in _EXACT else value.strip()
                    for name, value in zip(header, values, strict=True)
                },
            )
        )
    if not rows:
        raise DataError(f"{review} has no rows", fix="give the list that swath suspects wrote, filled in")
    return rows
