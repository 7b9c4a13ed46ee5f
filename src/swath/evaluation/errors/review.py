"""The list of label issues that a person reviews: a table to fill in, and a page to look at."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, open_patches
from swath.evaluation.errors.confident import LabelIssues, label_issues
from swath.evaluation.errors.crossfit import label_numbers
from swath.evaluation.errors.page import tile
from swath.files import atomic_file
from swath.imagery import decode
from swath.pages.html import Image, Link, Number, Section, Table, write_report
from swath.progress import Progress, silent

TABLE, PAGE = "label_issues.csv", "label_issues.html"
COLUMNS = ("rank", "path", "label", "suggested", "score", "p_label", "p_suggested", "suspect", "verdict")
SHOWN = 96  # pictures on the page
_PAIRS = 10


@dataclass(frozen=True)
class LabelIssueReport:
    """What was written.

    Attributes
    ----------
    table, page : pathlib.Path
        The list and the page.
    patches : int
        Patches ranked.
    candidates : int
        Those whose label is probably wrong: the first of the list.
    estimated : float
        How many labels are wrong, as estimated from the confident joint.
    """

    table: Path
    page: Path
    patches: int
    candidates: int
    estimated: float


def write_label_issues(
    index: PatchIndex,
    probabilities: npt.NDArray[Any],
    *,
    out: Path,
    how: str,
    overwrite: bool = False,
    progress: Progress = silent,
) -> LabelIssueReport:
    """Rank patches by how probably their label is wrong; write ``label_issues.csv`` and ``label_issues.html``.

    Every patch is on the list, most suspicious first, with an empty column ``verdict`` for
    :func:`swath.data.relabel`. The page shows the first :data:`SHOWN`.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each.
    probabilities : numpy.ndarray
        ``[N, K]`` in the order of ``index.classes``, from models that did not learn from the patch's label.
    out : Path
        The folder to write into; it may exist.
    how : str
        Where the probabilities come from, in words, for the page.
    overwrite : bool
        Replace an existing list and page.
    progress : Progress
        Told when the page is made.

    Raises
    ------
    DataError
        If probabilities and index do not fit, or there is one class only.
    OutputError
        If a list or a page exists without `overwrite` or cannot be written.
    """
    found = label_issues(probabilities, label_numbers(index))
    made = LabelIssueReport(
        table=out / TABLE,
        page=out / PAGE,
        patches=len(index),
        candidates=int(found.candidate.sum()),
        estimated=found.estimated,
    )
    # Both or neither: a list without its page would have to be thrown away to get one.
    with (
        atomic_file(made.table, overwrite=overwrite) as table,
        atomic_file(made.page, overwrite=overwrite) as page,
    ):
        _write_table(table, index, np.asarray(probabilities), found)
        progress("page", 0, 1)
        _write_page(page, made, index, np.asarray(probabilities), found, how=how)
        progress("page", 1, 1)
    return made


def _write_table(path: Path, index: PatchIndex, probabilities: npt.NDArray[Any], found: LabelIssues) -> None:
    paths, labels, classes = index.paths, index.labels, index.classes
    numbers = label_numbers(index)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, row in enumerate(found.order.tolist(), start=1):
            other = found.suggested[row]
            shares = (found.score[row], probabilities[row, numbers[row]], probabilities[row, other])
            told = "yes" if found.candidate[row] else "no"
            writer.writerow(
                [rank, paths[row], labels[row], classes[other], *(f"{v:.6f}" for v in shares), told, ""]
            )


def _write_page(
    path: Path,
    made: LabelIssueReport,
    index: PatchIndex,
    probabilities: npt.NDArray[Any],
    found: LabelIssues,
    *,
    how: str,
) -> None:
    # Label issues come first; where there are none the page says so rather than show patches in good order.
    rows = [row for row in found.order[:SHOWN].tolist() if found.candidate[row]]
    sections = [
        Section(
            "How to use this list",
            text=[
                f"Open {TABLE} and fill in its column 'verdict' from the top, as far as you like: ok (the label is "
                "right), relabel (take the suggested class), drop (leave the patch out), or the name of a class. "
                f"Rows left empty change nothing. Then: swath data relabel INDEX {TABLE} --out INDEX2.",
                how,
                "A suspect is not yet a wrong label: it may be a patch of two classes, or one the networks do not "
                "understand. Look before you change it.",
            ],
            tables=_pairs_table(index.classes, found),
        ),
        _pictures(index, rows, probabilities, found),
    ]
    write_report(
        path,
        sections,
        title=f"Suspected labels of {index.name or 'the index'}",
        summary=f"{made.candidates:,} of {made.patches:,} patches speak for another class than their label; about "
        f"{made.estimated:,.0f} labels are wrong, as estimated.",
        numbers=[
            Number("patches", f"{made.patches:,}"),
            Number("label_issues", f"{made.candidates:,}"),
            Number("wrong labels, estimated", f"{made.estimated:,.0f}"),
        ],
        links=[Link("The list (CSV)", made.table)],
        overwrite=True,  # of the temporary file
    )


def _pairs_table(classes: Sequence[str], found: LabelIssues) -> list[Table]:
    off = found.joint - np.diag(np.diag(found.joint))
    order = np.argsort(-off, axis=None, kind="stable")[:_PAIRS]
    cells = [divmod(int(place), len(classes)) for place in order]
    rows = [(classes[i], classes[j], int(off[i, j])) for i, j in cells if off[i, j]]
    columns = ("label", "probably", "label_issues")
    return [Table(columns, rows, "Labels and what their suspects speak for")] if rows else []


def _pictures(
    index: PatchIndex, rows: Sequence[int], probabilities: npt.NDArray[Any], found: LabelIssues
) -> Section:
    if not rows:
        return Section("No suspect", text=["No patch speaks clearly for another class than its label."])
    numbers = label_numbers(index)
    tiles = []
    with open_patches(index.root) as reader:
        for place, row in enumerate(rows, start=1):
            name = index.paths[row]
            picture = decode(reader.read(name), name=name)
            own, other = numbers[row], found.suggested[row]
            caption = (
                f"{place}. {index.classes[own]} ({100 * probabilities[row, own]:.1f} %), probably "
                f"{index.classes[other]} ({100 * probabilities[row, other]:.1f} %). {name}"
            )
            tiles.append(Image(tile(picture.pixels, bands=picture.bands), f"Patch {name}", caption))
    more = "" if len(rows) == int(found.candidate.sum()) else f" The first {len(rows)}; the list has all."
    return Section("Suspects", text=[f"Most suspicious first.{more}"], tiles=tiles)
