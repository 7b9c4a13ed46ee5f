"""Give patches of an index other labels: those of a review, one of several spellings, or a class against the rest.

:func:`relabel` applies the verdicts of the table that ``swath label-issues`` writes; :func:`merge_lookalikes` makes
one class of names that look alike; :func:`binary_index` makes two classes of many. All keep splits and groups and
describe themselves in ``PatchIndex.split_protocol``.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.data.archives import read_file
from swath.data.index import PatchIndex
from swath.data.names import lookalikes
from swath.data.tables import decode_text, read_csv
from swath.errors import DataError, SettingError
from swath.files import from_cell

OK, RELABEL, DROP = "ok", "relabel", "drop"
_WORDS = (OK, RELABEL, DROP)
_EXACT = ("path", "label", "suggested")  # may have spaces around them, as folders may
_HOW = "a verdict is ok, relabel, drop, or the name of a class; leave it empty for 'not reviewed'"
NEGATIVE = "not {}"


@dataclass(frozen=True)
class RelabelingReport:
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
        Patches whose label was found correct.
    open : int
        Rows of the review without a verdict.
    warnings : tuple of str
        Possible problems of the new index.
    """

    index: PatchIndex
    changed: tuple[tuple[str, str, str], ...]
    dropped: tuple[str, ...]
    confirmed: int
    open: int
    warnings: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the changes as text for a terminal."""
        lines = [
            f"{len(self.changed):,} labels changed, {len(self.dropped):,} patches dropped, "
            f"{self.confirmed:,} labels confirmed, {self.open:,} not reviewed"
        ]
        pairs = Counter((before, after) for _, before, after in self.changed)
        lines += [f"{n:>8,}  {before} to {after}" for (before, after), n in pairs.most_common()]
        return lines + [f"warning: {warning}" for warning in self.warnings]


def relabel(index: PatchIndex, review: Path) -> RelabelingReport:
    """Apply the verdicts of a reviewed list of label issues.

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
    verdicts: dict[str, tuple[str, str | None]] = {}  # path -> place, new label (None: drop)
    still_open = 0
    for where, values in _read(review):
        path, verdict = _known(values["path"], rows), values["verdict"]
        if path not in rows:
            raise DataError(f"{where}: the index has no patch '{path}'", fix="give the index the list was made from")
        label = index.labels[rows[path]]
        if values.get("label", label).strip() != label.strip():
            raise DataError(
                f"{where}: {path} is '{values['label']}' in the review but '{label}' in the index",
                fix="make the list again, or give the index it was made from",
            )
        if not verdict:
            still_open += 1
            continue
        after = _label_after(verdict, label, values, index.classes, where=where)
        before = verdicts.setdefault(path, (where, after))
        if before[1] != after:
            raise DataError(f"{where} has another verdict for {path} than {before[0]}", fix="keep one of them")
    changes = {rows[path]: after for path, (_, after) in verdicts.items()}
    labels: list[str | None] = [changes.get(row, label) for row, label in enumerate(index.labels)]
    changed = tuple(
        (path, before, after)
        for path, before, after in zip(index.paths, index.labels, labels, strict=True)
        if after is not None and after != before
    )
    kept = [row for row, label in enumerate(labels) if label is not None]
    dropped = tuple(path for path, label in zip(index.paths, labels, strict=True) if label is None)
    if not kept:
        raise DataError("the review drops every patch", fix="keep some")
    protocol = index.split_protocol
    if changed or dropped:
        note = f"{len(changed)} labels changed and {len(dropped)} patches dropped by review"
        protocol = f"{protocol}; {note}" if protocol else note
    made = index.with_columns({"label": labels}, split_protocol=protocol).take(kept)
    return RelabelingReport(
        index=made,
        changed=changed,
        dropped=dropped,
        confirmed=len(verdicts) - len(changed) - len(dropped),
        open=still_open,
        warnings=_warnings(index, made),
    )


def _warnings(before: PatchIndex, after: PatchIndex) -> tuple[str, ...]:
    """Classes that a split has lost, and copies that carry different labels now."""

    def pairs(index: PatchIndex) -> set[tuple[str, str]]:
        splits = index.column("split")
        return {(label, split or "the index") for label, split in zip(index.labels, splits, strict=True)}

    found = [f"no patch of '{label}' is left in {split}" for label, split in sorted(pairs(before) - pairs(after))]
    contents: dict[str, set[str]] = {}
    for content, label in zip(after.column("sha256"), after.labels, strict=True):
        contents.setdefault(content, set()).add(label)
    twice = sum(len(labels) > 1 for labels in contents.values())
    if twice:
        found.append(f"{twice} pictures are in the index several times with different labels")
    return tuple(found)


def _label_after(verdict: str, label: str, values: dict[str, str], classes: Sequence[str], *, where: str) -> str | None:
    """The label a verdict gives; ``None`` drops the patch."""
    word = verdict.lower()
    if word in _WORDS and verdict in classes:
        raise DataError(
            f"{where}: '{verdict}' is a verdict and a class as well",
            fix="write relabel, and the class in the column 'suggested'" if word != RELABEL else "rename the class",
        )
    if word == OK:
        return label
    if word == DROP:
        return None
    name = _known(values.get("suggested", ""), classes) if word == RELABEL else verdict
    if not name:
        raise DataError(f"{where}: relabel to what?", fix="fill in the column 'suggested', or write the class")
    if name not in classes:
        near = difflib.get_close_matches(name, classes, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"the classes: {', '.join(classes)}"
        raise DataError(f"{where}: '{name}' is not a class of the index", fix=f"{hint} ({_HOW})")
    return name


def _known(text: str, among: Container[str]) -> str:
    """The text itself if it is known, for folder names may have spaces around them; otherwise without spaces."""
    return text if text in among else text.strip()


def _read(review: Path) -> list[tuple[str, dict[str, str]]]:
    """Rows of the review with their places; column names in lower case, no spaces around verdicts."""
    text, _ = decode_text(read_file(review), where=f"the review {review}")
    columns, lines = read_csv(text, where=str(review))
    lines = [(place, {name: from_cell(value) for name, value in row.items()}) for place, row in lines]
    names = Counter(name.lower() for name in columns if name)
    missing = [name for name in ("path", "verdict") if name not in names]
    if missing or not lines:
        raise DataError(
            f"{review} has no column '{missing[0]}'" if missing else f"{review} has no rows",
            fix="give the list that swath label-issues wrote, filled in",
        )
    twice = sorted(name for name, n in names.items() if n > 1)
    if twice:
        raise DataError(f"{review} has two columns '{twice[0]}'", fix="remove one")
    return [
        (place, {n.lower(): v if n.lower() in _EXACT else v.strip() for n, v in values.items()})
        for place, values in lines
    ]


def merge_lookalikes(index: PatchIndex) -> RelabelingReport:
    """Give classes whose names look alike the name of the one that has most patches.

    Parameters
    ----------
    index : PatchIndex
        Patches with one label each, or with several.

    Raises
    ------
    DataError
        If no two classes look alike.
    """
    names = {name: names[0] for names in lookalikes(index.class_counts) for name in names}
    if not names:
        raise DataError(f"no two classes of index '{index.name}' look alike", fix="use the index as it is")
    before = index.label_sets
    after = [tuple(sorted({names.get(label, label) for label in labels})) for labels in before]
    changed = tuple(
        (path, " + ".join(old), " + ".join(new))
        for path, old, new in zip(index.paths, before, after, strict=True)
        if old != new
    )
    single: list[str | None] = index.column("label")
    note = f"{len(changed)} labels merged with names that look alike"
    made = index.with_columns(
        {
            "label": [None if label is None else names.get(label, label) for label in single],
            "labels": [list(new) if label is None else None for label, new in zip(single, after, strict=True)],
        },
        split_protocol=f"{index.split_protocol}; {note}" if index.split_protocol else note,
    )
    return RelabelingReport(index=made, changed=changed, dropped=(), confirmed=0, open=0, warnings=())


def binary_index(
    index: PatchIndex, positive: str, *, negatives_per_positive: float | None = None, seed: int = 0
) -> PatchIndex:
    """Make an index of two classes: `positive`, and ``not <positive>`` for all else.

    Parameters
    ----------
    index : PatchIndex
        Patches with one label each, or with several: those that have `positive` among them are positive.
    positive : str
        The class looked for.
    negatives_per_positive : float, optional
        Number of other patches to draw per positive one, in every split separately, so that prevalence is the
        same in all; as many patches as possible are kept, and the other classes keep their shares. By default, all.
    seed : int
        Another seed draws other patches.

    Returns
    -------
    PatchIndex
        Splits, groups and everything else as they were.

    Raises
    ------
    SettingError
        If `negatives_per_positive` is not above 0.
    DataError
        If no patch is `positive`, all are, another class has the negative's name, or a split with positives
        has too few others for a single one.
    """
    if negatives_per_positive is not None and not negatives_per_positive > 0:
        raise SettingError(
            f"{negatives_per_positive:g} negatives per positive", fix="give a number above 0, such as 10"
        )
    negative = NEGATIVE.format(positive)
    _check(index, positive, negative)
    holds = [positive in labels for labels in index.label_sets]
    kept = list(range(len(index)))
    if negatives_per_positive is not None:
        kept = _drawn(index, holds, per_positive=negatives_per_positive, seed=seed)
    columns: dict[str, list[str | None]] = {
        "label": [positive if holds[row] else negative for row in kept],
        "labels": [None] * len(kept),
    }
    drawn = f"; {negatives_per_positive:g} others per positive drawn, seed {seed}" if negatives_per_positive else ""
    protocol = f"{index.split_protocol}; {positive} against the rest{drawn}" if index.split_protocol else ""
    return index.take(kept).with_columns(columns, split_protocol=protocol)


def _check(index: PatchIndex, positive: str, negative: str) -> None:
    if positive not in index.classes:
        raise DataError(
            f"index '{index.name}' has no class '{positive}'", fix=f"its classes: {', '.join(index.classes)}"
        )
    if negative in index.classes:
        raise DataError(
            f"index '{index.name}' has a class '{negative}' already", fix="use it without this step, it is binary"
        )
    if all(positive in labels for labels in index.label_sets):
        raise DataError(f"every patch of index '{index.name}' is {positive}", fix="add patches that are not")


def _drawn(index: PatchIndex, holds: list[bool], *, per_positive: float, seed: int) -> list[int]:
    """Rows to keep, in order: in each split as many positives and others as are in the given ratio."""
    splits: list[str | None] = index.column("split")
    kept: list[int] = []
    for split in sorted(set(splits), key=str):
        positives: list[int] = []
        others: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for row, labels in enumerate(index.label_sets):
            if splits[row] == split:
                (positives if holds[row] else others[labels]).append(row)
        left = sum(map(len, others.values()))
        most = min(len(positives), math.floor(left / per_positive))
        if split is not None and not positives:
            raise DataError(
                f"split '{split}' has no positive patch, so nothing of it would be left",
                fix="split again after making the index binary, or leave --negatives-per-positive out",
            )
        if positives and not most:
            raise DataError(
                f"split '{split or 'none'}' has {left} patches of other classes, fewer than the "
                f"{per_positive:g} asked for per positive",
                fix="ask for fewer",
            )
        if positives and not round(most * per_positive):
            raise DataError(
                f"{per_positive:g} negatives per positive leave split '{split or 'none'}' without any",
                fix="ask for more",
            )
        kept += _spread([positives], most, index, seed)
        kept += _spread(list(others.values()), round(most * per_positive), index, seed)
    return sorted(kept)


def _spread(classes: list[list[int]], wanted: int, index: PatchIndex, seed: int) -> list[int]:
    """Draw rows so that every class keeps its share, by each row's rank within its class."""
    ranked: list[tuple[float, bytes, int]] = []
    for rows in classes:
        order = sorted((hashlib.sha256(f"{seed}:{index.paths[row]}".encode()).digest(), row) for row in rows)
        ranked += [((k + 0.5) / len(rows), key, row) for k, (key, row) in enumerate(order)]
    return [row for _, _, row in sorted(ranked)[:wanted]]
