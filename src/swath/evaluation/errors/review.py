"""The list of label issues that a person reviews: a table to fill in, and a page to look at.

:func:`measure_label_issues` ranks the patches of an index; :func:`write_label_issues` writes list and page.
"""

from __future__ import annotations

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
from swath.files import atomic_file, write_csv
from swath.imagery import decode
from swath.pages.html import Image, Link, Number, Section, Table, write_report

TABLE, PAGE = "label_issues.csv", "label_issues.html"
COLUMNS = ("rank", "path", "label", "suggested", "score", "p_label", "p_suggested", "label_issue", "verdict")
SHOWN = 96  # pictures on the page
_PAIRS = 10


@dataclass(frozen=True, eq=False, repr=False)
class LabelIssueReport:
    """N patches ranked by how probably their label is wrong.

    Attributes
    ----------
    index : PatchIndex
        The patches.
    probabilities : numpy.ndarray
        ``[N, K]`` in the order of ``index.classes``, from models that did not learn from the patch's label.
    issues : LabelIssues
        Order, candidates and suggested classes, by row.
    method : str
        Where the probabilities come from, in words.
    """

    index: PatchIndex
    probabilities: npt.NDArray[Any]
    issues: LabelIssues
    method: str = ""

    @property
    def patches(self) -> int:
        """Patches ranked."""
        return len(self.index)

    @property
    def candidates(self) -> int:
        """Patches whose label is probably wrong: the first of the list."""
        return int(self.issues.candidate.sum())

    @property
    def estimated(self) -> float:
        """Number of wrong labels, as estimated from the confident joint."""
        return self.issues.estimated

    def rows(self) -> list[dict[str, Any]]:
        """The list as plain values, most suspicious patch first; keys are :data:`COLUMNS`."""
        index, found, p = self.index, self.issues, self.probabilities
        paths, labels, numbers = index.paths, index.labels, label_numbers(index)
        return [
            {
                "rank": rank,
                "path": paths[row],
                "label": labels[row],
                "suggested": index.classes[found.suggested[row]],
                "score": float(found.score[row]),
                "p_label": float(p[row, numbers[row]]),
                "p_suggested": float(p[row, found.suggested[row]]),
                "label_issue": bool(found.candidate[row]),
                "verdict": "",
            }
            for rank, row in enumerate(found.order.tolist(), start=1)
        ]

    def __repr__(self) -> str:
        return (
            f"<LabelIssueReport: {self.candidates:,} of {self.patches:,} patches are label issues; about "
            f"{self.estimated:,.0f} labels are wrong, as estimated>"
        )


def measure_label_issues(index: PatchIndex, probabilities: npt.NDArray[Any], *, method: str = "") -> LabelIssueReport:
    """Rank the patches of an index by how probably their label is wrong; nothing is written.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each.
    probabilities : numpy.ndarray
        ``[N, K]`` in the order of ``index.classes``, from models that did not learn from the patch's label.
    method : str
        Where the probabilities come from, in words, for the page.

    Raises
    ------
    DataError
        If probabilities and index do not fit, or there is one class only.
    """
    values = np.asarray(probabilities)
    return LabelIssueReport(index, values, label_issues(values, label_numbers(index)), method)


def write_label_issues(report: LabelIssueReport, out: str | Path, *, overwrite: bool = False) -> None:
    """Write ``label_issues.csv`` and ``label_issues.html`` into a folder, both or neither.

    Every patch is on the list, most suspicious first, with an empty column ``verdict`` for
    :func:`swath.data.relabel`. The page shows the first :data:`SHOWN`.

    Parameters
    ----------
    report : LabelIssueReport
        As measured.
    out : str or pathlib.Path
        The folder to write into; it may exist.
    overwrite : bool
        Replace an existing list and page.

    Raises
    ------
    DataError
        If a patch cannot be read.
    OutputError
        If a list or a page exists without `overwrite` or cannot be written.
    """
    out = Path(out)
    # Both or neither: a list without its page would have to be thrown away to get one.
    with atomic_file(out / TABLE, overwrite=overwrite) as table, atomic_file(out / PAGE, overwrite=overwrite) as page:
        write_csv(table, COLUMNS, ([_text(value) for value in row.values()] for row in report.rows()))
        _write_page(page, report, link=out / TABLE)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6f}" if isinstance(value, float) else str(value)


def _write_page(path: Path, report: LabelIssueReport, *, link: Path) -> None:
    sections = [
        Section(
            "How to use this list",
            text=[
                f"Open {TABLE} and fill in its column 'verdict' from the top, as far as you like: ok (the label is "
                "right), relabel (take the suggested class), drop (leave the patch out), or the name of a class. "
                f"Rows left empty change nothing. Then: swath data relabel INDEX {TABLE} --out INDEX2.",
                report.method,
                "A label issue is not yet a wrong label: the patch may show two classes, or be of a kind that the "
                "models do not understand. Look before you change it.",
            ],
            tables=_pairs_table(report.index.classes, report.issues),
        ),
        _pictures(report),
    ]
    write_report(
        path,
        sections,
        title=f"Label issues of {report.index.name or 'the index'}",
        summary=f"For {report.candidates:,} of {report.patches:,} patches the models give evidence against the label; "
        f"about {report.estimated:,.0f} labels are wrong, as estimated.",
        numbers=[
            Number("patches", f"{report.patches:,}"),
            Number("label issues", f"{report.candidates:,}"),
            Number("wrong labels, estimated", f"{report.estimated:,.0f}"),
        ],
        links=[Link("The list (CSV)", link)],
        overwrite=True,  # of the temporary file
    )


def _pairs_table(classes: Sequence[str], found: LabelIssues) -> list[Table]:
    off = found.joint - np.diag(np.diag(found.joint))
    order = np.argsort(-off, axis=None, kind="stable")[:_PAIRS]
    cells = [divmod(int(place), len(classes)) for place in order]
    rows = [(classes[i], classes[j], int(off[i, j])) for i, j in cells if off[i, j]]
    return [Table(("label", "probably", "patches"), rows, "Most frequent label issues")] if rows else []


def _pictures(report: LabelIssueReport) -> Section:
    rows = [row for row in report.rows()[:SHOWN] if row["label_issue"]]
    if not rows:
        return Section("No label issue", text=["No patch gives clear evidence against its label."])
    tiles = []
    with open_patches(report.index.root) as reader:
        for row in rows:
            picture = decode(reader.read(row["path"]), name=row["path"])
            caption = (
                f"{row['rank']}. {row['label']} ({100 * row['p_label']:.1f} %), probably {row['suggested']} "
                f"({100 * row['p_suggested']:.1f} %). {row['path']}"
            )
            tiles.append(Image(tile(picture.pixels, bands=picture.bands), f"Patch {row['path']}", caption))
    more = "" if len(rows) == report.candidates else f" The first {len(rows)}; the list has all."
    return Section("Label issues", text=[f"Most suspicious first.{more}"], tiles=tiles)
