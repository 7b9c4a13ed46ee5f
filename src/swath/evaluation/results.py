"""What an evaluation found: the contents of ``metrics.json``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from swath.config import Settings
from swath.evaluation.calibration import Reliability
from swath.evaluation.metrics import BinaryMetrics, Metrics, MultiLabelMetrics
from swath.model.record import Estimate, Task
from swath.pages.wording import columns, percent, points, written

INTERVALS = (
    "95 %; accuracy, precision, recall: Wilson; F1: indirect Wilson; macro-F1: the wider of bootstrap and "
    "combined class intervals; differences: paired bootstrap, with a width where few "
    "answers differ; ECE: basic bootstrap; NLL, Brier, AURC, size of sets: "
    "bootstrap; coverage of sets: Wilson; patches taken as independent"
)
BINARY_INTERVALS = (
    "95 %; accuracy, precision, recall: Wilson; F1: indirect Wilson; AUROC: Newcombe; average precision: the wider "
    "of bootstrap and binomial; differences: paired bootstrap, with a width where few patches differ; ECE: basic "
    "bootstrap; NLL, Brier, AURC, size of sets: bootstrap; coverage of sets: Wilson; patches taken as independent"
)
MULTI_LABEL_INTERVALS = (
    "95 %; subset accuracy, precision, recall: Wilson; F1 of a label: indirect Wilson; average precision: the wider "
    "of bootstrap and binomial; means and micro-F1: the wider of bootstrap and combined intervals; patches taken as "
    "independent"
)
_NAMES = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "f1": "F1",
    "auroc": "AUROC",
    "mean_average_precision": "mAP",
}
Rows = list[tuple[str, ...]]
FEW = 200  # patches below which every interval is wide


class Difference(Settings):
    """Model minus baseline on the same patches."""

    accuracy: Estimate
    macro_f1: Estimate


class BinaryDifference(Settings):
    """Model minus baseline on the same patches: accuracy at their thresholds, and average precision without any."""

    accuracy: Estimate
    average_precision: Estimate


class BinaryBaseline(BinaryMetrics):
    """A baseline's own numbers on a binary task, and how far the model is ahead of it."""

    difference: BinaryDifference


class BaselineResult(Metrics):
    """A baseline's own metrics, and how far the model is ahead of it."""

    difference: Difference


class Evaluation(Settings, ABC):
    """A model's metrics on one split of an index; the numbers themselves are in the class of its task.

    Attributes
    ----------
    task : str
        ``single-label``, ``binary`` or ``multi-label``.
    model : str
        Name in the model's record.
    split : str
        The split of the index.
    n : int
        Its patches.
    fingerprint : str
        Of the evaluated index.
    trained_on : str
        Fingerprint of the index the model was trained from.
    protocol : str
        How that index was split.
    engine : str
        What ran the model, and in which precision.
    intervals : str
        How the intervals were made.
    ood : Estimate or None
        Share of the patches that are not like the training data; None where the model file cannot tell.
    absent_classes : tuple of str
        Classes of the model without a patch in the split: they take no part in means over classes.
    warnings : tuple of str
        Reasons to believe the numbers less.
    """

    task: Task
    model: str
    split: str
    n: int
    fingerprint: str
    trained_on: str
    protocol: str
    engine: str
    intervals: str
    ood: Estimate | None = None
    absent_classes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def same_index(self) -> bool:
        """Whether the evaluated index is the one whose training split the model learned from."""
        return self.fingerprint == self.trained_on

    @abstractmethod
    def headline(self) -> dict[str, Estimate]:
        """The numbers to show first, by name."""

    @abstractmethod
    def tables(self) -> list[Rows]:
        """Rows of text for a terminal: what there is beyond the headline."""

    def lines(self) -> list[str]:
        """Tell the result in plain text, for a terminal: every number with its 95 % interval."""
        head = f"model {self.model}, split {self.split}: {self.n:,} patches"
        whole = columns([(display_name(name), *percent(value)) for name, value in self.headline().items()])
        lines = [head, *(f"  {line}" for line in whole)]
        for rows in self.tables():
            lines += ["", *columns(rows)]
        if self.ood is not None:
            lines += ["", f"not like the training data: {' ('.join(percent(self.ood))}) of the patches"]
        if self.warnings:
            lines += ["", *(f"warning: {warning}" for warning in self.warnings)]
        return [line.rstrip() for line in lines]


class SingleLabelEvaluation(Metrics, Evaluation):
    """A single-label model's metrics, beside ``majority`` and ``color`` where the record carries them."""

    task: Task = "single-label"
    intervals: str = INTERVALS
    reliability: Reliability | None = None
    baselines: dict[str, BaselineResult]

    def tables(self) -> list[Rows]:
        """Baselines and classes."""
        rows: Rows = [("baseline", "accuracy", "", "macro-F1", "", "the model's lead in accuracy")]
        rows.extend(
            (name, *percent(b.accuracy), *percent(b.macro_f1), points(b.difference.accuracy))
            for name, b in self.baselines.items()
        )
        classes: Rows = [("class", "n", "precision", "", "recall", "", "F1", "")]
        classes.extend(
            (written(name), f"{c.recall.n:,}", *percent(c.precision), *percent(c.recall), *percent(c.f1))
            for name, c in self.per_class.items()
        )
        return [
            *([rows] if self.baselines else []),
            classes,
            *([self.reliability.rows()] if self.reliability else []),
        ]


class BinaryEvaluation(BinaryMetrics, Evaluation):
    """A binary model's metrics, beside ``majority`` and ``color`` where the record carries them."""

    task: Task = "binary"
    intervals: str = BINARY_INTERVALS
    reliability: Reliability | None = None
    baselines: dict[str, BinaryBaseline]

    def tables(self) -> list[Rows]:
        """What is looked for, and the baselines."""
        about: Rows = [
            ("looked for", written(self.positive)),
            ("patches that are", f"{self.positives:,} ({100 * self.positives / self.n:.1f} %)"),
            ("threshold", f"{self.threshold:.4f}, from the model file"),
        ]
        rows: Rows = [
            ("baseline", "average precision", "", "F1 at 0.5", "", "the model's lead in average precision")
        ]
        rows.extend(
            (name, *percent(b.average_precision), *percent(b.f1), points(b.difference.average_precision))
            for name, b in self.baselines.items()
        )
        return [
            about,
            *([rows] if self.baselines else []),
            *([self.reliability.rows()] if self.reliability else []),
        ]


class MultiLabelEvaluation(MultiLabelMetrics, Evaluation):
    """A multi-label model's metrics."""

    task: Task = "multi-label"
    intervals: str = MULTI_LABEL_INTERVALS

    def tables(self) -> list[Rows]:
        """Each label, with the share of patches that have it, which is the average precision of guessing."""
        rows: Rows = [("label", "n", "share", "threshold", "AP", "", "precision", "", "recall", "", "F1", "")]
        rows.extend(
            (
                written(name),
                f"{c.recall.n:,}",
                f"{100 * c.recall.n / self.n:.1f} %",
                f"{c.threshold:.3f}",
                *percent(c.average_precision),
                *percent(c.precision),
                *percent(c.recall),
                *percent(c.f1),
            )
            for name, c in self.per_class.items()
        )
        return [rows]


def display_name(name: str) -> str:
    """How a number is called on a page, such as ``macro-F1``."""
    return _NAMES.get(name, name.replace("_", " "))


def warnings_for(
    *,
    n: int,
    split: str,
    same_index: bool,
    absent: tuple[str, ...],
    leads: Mapping[str, Estimate] | None,
    what: str = "accuracy",
    guesses: Mapping[str, tuple[Estimate, int]] | None = None,
) -> tuple[str, ...]:
    """Say in plain words what weakens an evaluation; empty if nothing does.

    Parameters
    ----------
    n : int
        Patches evaluated.
    split : str
        The split they are.
    same_index : bool
        Whether the model was trained from the same index.
    absent : tuple of str
        Classes without a patch.
    leads : mapping of str to Estimate, optional
        How far the model is ahead of each baseline; None where there is nothing to compare with.
    what : str
        The number that `leads` are differences of.
    guesses : mapping of str to (Estimate, int), optional
        Average precision of each class looked for, and its patches.
    """
    found = []
    if n < FEW:
        found.append(
            f"only {n} patches (fewer than {FEW}): the intervals are wide, read them before the values"
        )
    if same_index and split == "train":
        found.append("the model was trained on these patches: this is not a test")
    if same_index and split == "val":
        found.append("the model was chosen by these patches: the numbers flatter it a little")
    if absent:
        found.append(
            f"no patch of {', '.join(map(written, absent))}: left out of means over classes, nothing is known about it"
        )
    if leads is not None and not leads:
        found.append("the model file carries no baselines: nothing says how easy these patches are")
    found.extend(
        f"not clearly better than the {name} baseline ({what} difference {lead.low:+.3f} to {lead.high:+.3f})"
        for name, lead in (leads or {}).items()
        if lead.low <= 0
    )
    poor = [
        written(name)
        for name, (precision, held) in (guesses or {}).items()
        if held and precision.low <= held / n
    ]
    if poor:
        found.append(f"not clearly better than guessing at finding {', '.join(poor)} (average precision)")
    return tuple(found)
