"""Which labels are probably wrong: confident learning, the probabilities it needs, and the list that a person reviews.

Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR 70,
1373-1411. A patch counts towards class ``j`` if its probability of ``j`` reaches what patches labeled ``j`` have
on average; patches that count towards another class than their label are counted (the confident joint) and are
the candidates (:func:`label_issues`). The probabilities must come from a network that did not learn from the patch's
own label; :func:`feature_probabilities` makes such ones fold by fold from a model's features.
:func:`measure_label_issues` ranks the patches of an index; :func:`write_label_issues` writes a table to fill in and a
page to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, class_numbers, open_patches
from swath.data.splits import fold_index
from swath.errors import DataError, SettingError
from swath.evaluation.predictions import model_outputs, model_pixels
from swath.evaluation.seen import SeenCount
from swath.evaluation.softmax import fit_softmax
from swath.explain.pictures import panels
from swath.files import atomic_files, write_csv
from swath.imagery import decode
from swath.inference import Classifier
from swath.pages.html import Image, Link, Number, Section, Table, write_report
from swath.pages.text import sentence
from swath.progress import Progress, silent

_TIES = 1e-9  # a mean of equal numbers may lie a rounding error above them
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
# Ridge penalty, chosen on planted flips (benchmarks/label_issues.py): strong enough that the regression does not
# memorize wrong labels, weak enough that it separates the classes.
PENALTY = 0.01
TABLE, PAGE = "label_issues.csv", "label_issues.html"
COLUMNS = ("rank", "path", "label", "suggested", "score", "p_label", "p_suggested", "label_issue", "verdict")
SHOWN = 96  # pictures on the page
_PAIRS = 10


@dataclass(frozen=True)
class LabelIssues:
    """N patches in the order in which their labels should be looked at.

    Attributes
    ----------
    order : numpy.ndarray
        ``[N]`` int64 rows, most suspicious first: all candidates, then all others.
    candidate : numpy.ndarray
        ``[N]`` bool, by row: whether the patch counts off the diagonal of the confident joint.
    suggested : numpy.ndarray
        ``[N]`` int64, by row: the class a candidate counts towards; for others the most probable but the label.
    score : numpy.ndarray
        ``[N]`` float64, by row, 0-1: 1 is certainty of another class than the label, 0 of the label.
    thresholds : numpy.ndarray
        ``[K]`` float64: mean probability of each class among patches labeled so; infinite without any.
    joint : numpy.ndarray
        ``[K, K]`` int64, the confident joint: labels in rows, classes counted towards in columns.
    counts : numpy.ndarray
        ``[K]`` int64, patches of each label; more than a row of `joint` where some count towards no class.
    """

    order: Labels
    candidate: npt.NDArray[np.bool_]
    suggested: Labels
    score: Floats
    thresholds: Floats
    joint: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @property
    def estimated(self) -> float:
        """How many labels are wrong, as estimated: the patches off the diagonal of the joint."""
        return float(len(self.order) * (1 - np.trace(estimated_joint(self.joint, self.counts))))


def label_issues(probabilities: npt.NDArray[Any], labels: Labels) -> LabelIssues:
    """Rank patches by how probably their label is wrong.

    Candidates come first, and among equals the larger score: the normalized margin of the paper (section
    3.2, "prune by noise rate"), turned so that 1 is most suspicious.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``[N, K]`` out-of-fold, each row summing to 1.
    labels : numpy.ndarray
        ``[N]`` int64 class numbers, as given.

    Raises
    ------
    DataError
        If the shapes do not fit, a number is not a probability, or a label is no class.
    """
    p = _checked(probabilities, labels)
    n, k = p.shape
    rows = np.arange(n)
    own = p[rows, labels]
    others = p.copy()
    others[rows, labels] = -1.0
    counts = np.bincount(labels, minlength=k)
    thresholds = np.full(k, np.inf)
    np.divide(np.bincount(labels, weights=own, minlength=k), counts, out=thresholds, where=counts > 0)
    reached = np.where(p >= thresholds - _TIES, p, -1.0)
    chosen = reached.argmax(axis=1)
    counted = reached.max(axis=1) >= 0
    joint = np.bincount(labels[counted] * k + chosen[counted], minlength=k * k).reshape(k, k)
    candidate = counted & (chosen != labels)
    score = (1 - own + others.max(axis=1)) / 2
    return LabelIssues(
        order=np.lexsort((rows, -score, ~candidate)).astype(np.int64),
        candidate=candidate,
        suggested=np.where(candidate, chosen, others.argmax(axis=1)).astype(np.int64),
        score=score,
        thresholds=thresholds,
        joint=joint.astype(np.int64),
        counts=counts.astype(np.int64),
    )


def estimated_joint(joint: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Floats:
    """Share of patches by given label (rows) and true class (columns), as estimated (the paper's Eq. 3).

    Each row of the confident joint is stretched to the patches that carry its label; a row that counted
    nothing is taken as right.

    Parameters
    ----------
    joint : numpy.ndarray
        ``[K, K]`` int64, the confident joint.
    counts : numpy.ndarray
        ``[K]`` int64, patches of each label.

    Returns
    -------
    numpy.ndarray
        ``[K, K]`` float64, summing to 1.
    """
    filled = np.where(joint.sum(axis=1, keepdims=True) > 0, joint, np.eye(len(joint)))
    stretched = filled / filled.sum(axis=1, keepdims=True) * counts[:, None]
    return np.asarray(stretched / stretched.sum())


def _checked(probabilities: npt.NDArray[Any], labels: Labels) -> Floats:
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or len(p) != len(labels) or not len(p) or p.shape[1] < 2:
        raise DataError(
            f"probabilities of shape {list(p.shape)} do not fit {len(labels)} labels",
            fix="give [N, K] with at least two classes and one label per row",
        )
    if not (np.isfinite(p).all() and (p >= 0).all() and (p <= 1 + 1e-6).all()):
        raise DataError("probabilities must lie between 0 and 1", fix="give a model's probabilities, not logits")
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise DataError(f"a label is not one of the {p.shape[1]} classes")
    return p


def inject_label_noise(
    index: PatchIndex, *, share: float = 0.05, towards: Mapping[str, str] | None = None, seed: int = 0
) -> tuple[PatchIndex, npt.NDArray[np.int64]]:
    """Give a share of the patches a wrong label.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each, taken as right.
    share : float
        Of all patches.
    towards : mapping of str to str, optional
        Class-dependent noise: only patches of these classes are flipped, each to the class it is mapped to. By
        default the noise is symmetric: any patch, any other class.
    seed : int
        Another seed flips others.

    Returns
    -------
    tuple of PatchIndex and numpy.ndarray
        The same patches, and the rows with a wrong label ``[M]`` int64, ascending.

    Raises
    ------
    SettingError
        If a class is unknown or mapped to itself, or fewer patches can be flipped than are asked for.
    """
    classes = index.classes
    for name, other in (towards or {}).items():
        if name == other or not {name, other} <= set(classes):
            raise SettingError(f"cannot flip '{name}' to '{other}'", fix=f"the classes: {', '.join(classes)}")
    labels = list(index.labels)
    able = [row for row, label in enumerate(labels) if towards is None or label in towards]
    wanted = round(share * len(labels))
    if len(classes) < 2 or not 0 < wanted <= len(able):
        raise SettingError(f"cannot flip {wanted} of {len(able)} labels", fix="choose another share")
    random = np.random.default_rng(seed)
    flipped = np.sort(random.choice(np.array(able), wanted, replace=False)).astype(np.int64)
    for row in flipped.tolist():
        others = [name for name in classes if name != labels[row]]
        drawn = others[int(random.integers(len(others)))]
        labels[row] = drawn if towards is None else towards[labels[row]]
    return index.with_columns({"label": labels}), flipped


def feature_probabilities(
    classifier: Classifier, index: PatchIndex, *, folds: int = 4, seed: int = 0, progress: Progress = silent
) -> npt.NDArray[np.float64]:
    """Probability of each class of `index` for each patch, from regressions on the other folds.

    The network's features are taken as they are; only the regression on them is kept from the patch's own
    label. Where the network itself was trained on these very labels its features may have learned the wrong
    ones, and some stay unseen. Patches of one group lie in one fold.

    Parameters
    ----------
    classifier : Classifier
        Any model whose bands the patches have; its classes do not matter.
    index : PatchIndex
        N patches, each with one label.
    folds : int
        At least 2.
    seed : int
        Another seed gives other folds.
    progress : Progress
        Called for every batch and fold.

    Returns
    -------
    numpy.ndarray
        ``[N, K]`` float64 in the order of ``index.classes``.

    Raises
    ------
    DataError
        If the index has one class only, a class has fewer groups than folds, or patches have no single label.
    SettingError
        If there are fewer than 2 folds.
    """
    labels = label_numbers(index)
    held_out = [held_out_rows(index, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    pixels = model_pixels(classifier, index, progress=progress)
    outputs = model_outputs(classifier, pixels, wanted=("features",), stage="features", progress=progress)
    features = outputs["features"]
    probabilities = np.empty((len(index), len(index.classes)))
    progress("folds", 0, folds)
    for fold, rows in enumerate(held_out):
        others = np.setdiff1d(np.arange(len(index)), rows)
        fitted = fit_softmax(features[others], labels[others], outputs=len(index.classes), ridge=PENALTY)
        probabilities[rows] = fitted.probabilities(features[rows])
        progress("folds", fold + 1, folds)
    return probabilities


def label_numbers(index: PatchIndex) -> npt.NDArray[np.int64]:
    """Place of each patch's label in ``index.classes``, ``[N]`` int64.

    Raises
    ------
    DataError
        If patches have no single label, or all have the same.
    """
    numbers = class_numbers(index.labels, index.classes)
    if len(index.classes) < 2:
        raise DataError(
            f"all {len(numbers)} patches are labeled '{index.classes[0]}': a wrong label cannot be detected",
            fix="add patches of another class",
        )
    return numbers


def held_out_rows(index: PatchIndex, *, folds: int, fold: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of one fold, ascending; see :func:`swath.data.splits.fold_index`."""
    splits = fold_index(index, folds=folds, fold=fold, val=0.0, seed=seed).table.column("split")
    return np.flatnonzero(np.array(splits.to_pylist()) == "test")


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
    seen : str
        What the models have seen of the patches' labels, in words; empty where they have seen none.
    """

    index: PatchIndex
    probabilities: npt.NDArray[Any]
    issues: LabelIssues
    method: str = ""
    seen: str = ""

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


def measure_label_issues(
    index: PatchIndex, probabilities: npt.NDArray[Any], *, method: str = "", seen: str = ""
) -> LabelIssueReport:
    """Rank the patches of an index by how probably their label is wrong; nothing is written.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each.
    probabilities : numpy.ndarray
        ``[N, K]`` in the order of ``index.classes``, from models that did not learn from the patch's label.
    method : str
        Where the probabilities come from, in words, for the page.
    seen : str
        See :func:`seen_sentence`.

    Raises
    ------
    DataError
        If probabilities and index do not fit, or there is one class only.
    """
    values = np.asarray(probabilities)
    return LabelIssueReport(index, values, label_issues(values, label_numbers(index)), method, seen)


def seen_sentence(counts: Sequence[SeenCount]) -> str:
    """Say how many patches models have seen with their labels, before these are judged; empty if none.

    Parameters
    ----------
    counts : sequence of SeenCount
        Of each model, on the patches that it judges.
    """
    if not all(count.known for count in counts):
        return "Whether the model learned from some of these labels is not known: its file does not say."
    total = SeenCount(
        patches=sum(count.patches for count in counts),
        train=sum(count.train for count in counts),
        val=sum(count.val for count in counts),
        similar=sum(count.similar for count in counts),
    )
    if not total.seen:
        return ""
    return sentence(
        f"{total.counts}: the model's features may have learned their labels, and wrong ones among them go unnoticed"
    )


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
    with atomic_files([out / TABLE, out / PAGE], overwrite=overwrite) as paths:
        write_csv(paths[out / TABLE], COLUMNS, ([_text(value) for value in row.values()] for row in report.rows()))
        _write_page(paths[out / PAGE], report, link=out / TABLE)


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
        summary=f"{report.seen} ".lstrip()
        + f"For {report.candidates:,} of {report.patches:,} patches the models give evidence against the label; "
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
            tiles.append(Image(panels(picture.pixels, bands=picture.bands), f"Patch {row['path']}", caption))
    more = "" if len(rows) == report.candidates else f" The first {len(rows)}; the list has all."
    return Section("Label issues", text=[f"Most suspicious first.{more}"], tiles=tiles, small_tiles=True)
