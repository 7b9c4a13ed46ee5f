"""What an evaluation found: numbers with intervals as in ``metrics.json``, their tables, pictures and text.

:class:`Result` is the base of everything this room measures: text, JSON and equality. The three kinds of
:class:`Evaluation`, one per task, add what a report shows of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pydantic import Field, InstanceOf

from swath.config import Settings
from swath.evaluation.calibration import Reliability
from swath.evaluation.metrics import BinaryMetrics, Metrics, MultiLabelMetrics
from swath.evaluation.plots import class_chart, class_scores, confusion_chart, curves_chart, reliability_chart
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.seen import SeenCount, seen_lines
from swath.model.record import Estimate, Task
from swath.pages.charts import Chart
from swath.pages.html import Cell, Table
from swath.pages.text import columns, percent, points, written

_PROPORTIONS = "95 %; {}: Wilson, modified near 0 and 1; "
_CALIBRATION = (
    "differences: paired, as if two more patches had differed; ECE: cross-fitted and test inversion; NLL, Brier, AURC: "
    "the wider of delta method and error rate; size of sets: Student's t; coverage of sets: Wilson; "
)
_INDEPENDENT = "patches taken as independent"
INTERVALS = (
    _PROPORTIONS.format("accuracy, precision, recall")
    + "F1: indirect Wilson; macro-F1: the wider of delta method and combined class intervals; "
    + _CALIBRATION
    + _INDEPENDENT
)
BINARY_INTERVALS = (
    _PROPORTIONS.format("accuracy, precision, recall")
    + "F1: indirect Wilson; AUROC: Newcombe; average precision: the wider of delta method and binomial; "
    + _CALIBRATION
    + _INDEPENDENT
)
MULTI_LABEL_INTERVALS = (
    _PROPORTIONS.format("subset accuracy, precision, recall")
    + "F1 of a label: indirect Wilson; average precision: the wider of delta method and binomial; means and micro-F1: "
    "the wider of delta method and combined intervals; " + _INDEPENDENT
)
_NAMES = {"macro_f1": "macro-F1", "micro_f1": "micro-F1", "f1": "F1", "auroc": "AUROC", "mean_average_precision": "mAP"}
_BASELINE_NAMES = {"majority": "most common class", "color": "colors alone"}
_BASELINES = "Two simple rules on the same patches; colors alone: logistic regression on color statistics"
_WIDEST = 40  # characters of a cell
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


class Result(Settings, ABC):
    """A measurement: :meth:`lines` for a terminal, :meth:`to_dict` and :meth:`to_json` for machines.

    Results are equal if their JSON is: what was kept for pages and tables only is not compared.
    """

    @abstractmethod
    def lines(self) -> list[str]:
        """Plain text for a terminal, a line per item."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in the JSON file."""
        return self.model_dump(mode="json")

    def to_json(self) -> str:
        """Contents of the JSON file."""
        return self.model_dump_json(indent=2) + "\n"

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.lines()[0]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.to_json())


def text_table(table: Table) -> list[str]:
    """Write a table of a report as aligned lines of text; an estimate takes two columns, value and interval.

    >>> text_table(Table(("class", "recall"), [("River", Estimate(value=0.5, low=0.2, high=0.8, n=6))]))[0]
    'class  recall'
    """
    texts = []
    for column, *cells in zip(table.columns, *table.rows, strict=True):
        pairs = [percent(cell) if isinstance(cell, Estimate) else (plain_cell(cell), "") for cell in cells]
        value, interval = (max((len(pair[part]) for pair in pairs), default=0) for part in (0, 1))
        both = [f"{first:>{value}}  {second:>{interval}}" if interval else first for first, second in pairs]
        texts.append([str(column).ljust(value + 2 + interval if interval else 0), *both])
    rows = list(zip(*texts, strict=True))
    return [*([table.caption] if table.caption else ()), *(row.rstrip() for row in columns(rows))]


def plain_cell(cell: Cell) -> str:
    """A cell of a table as one line of printable text."""
    return f"{cell:,}" if isinstance(cell, int) else written(str(cell), limit=_WIDEST)


class Evaluation(Result):
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
    seen : SeenCount
        How many of them the model has seen: learned from, or was chosen by.
    is_test : bool or None
        Whether it has seen none of them, so that the numbers are a test; None where the model file does not say.
    unseen : Evaluation or None
        The same of the patches that it has not seen, where it has seen some and enough others remain.
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
        Share of the patches that are out of distribution; None where the model file has no threshold for it.
    absent_classes : tuple of str
        Classes of the model without a patch in the split: they take no part in means over classes.
    warnings : tuple of str
        Reasons to trust the numbers less.
    predictions : SplitPredictions or None
        Truth and prediction of each patch; not in the JSON, so None where it was read from there.
    """

    task: Task
    model: str
    split: str
    n: int
    seen: SeenCount
    is_test: bool | None
    fingerprint: str
    trained_on: str
    protocol: str
    engine: str
    intervals: str
    ood: Estimate | None = None
    absent_classes: tuple[str, ...]
    warnings: tuple[str, ...]
    unseen: Evaluation | None = None
    predictions: InstanceOf[SplitPredictions] | None = Field(default=None, exclude=True, repr=False)

    @property
    def tested(self) -> Evaluation | None:
        """The evaluation whose numbers count: of patches that the model has not seen, as far as is known."""
        return self.unseen if self.seen.seen else self

    @abstractmethod
    def headline(self) -> dict[str, Estimate]:
        """The numbers to show first, by name."""

    @abstractmethod
    def notes(self) -> dict[str, str]:
        """What a reader should know of the numbers of :meth:`headline`, by name."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """Tables for text and page: what there is beyond the headline."""

    @cached_property
    def charts(self) -> dict[str, Chart]:
        """Charts by the name of their file, drawn on first use; none where there are no :attr:`predictions`."""
        return {} if self.predictions is None else self._drawn(self.predictions)

    @abstractmethod
    def _drawn(self, found: SplitPredictions) -> dict[str, Chart]: ...

    def lines(self) -> list[str]:
        """Plain text for a terminal: first what the model has seen, then every number with its 95 % interval."""
        unseen = self.unseen.headline() if self.unseen else {}
        lines = seen_lines(self.seen, {display_name(name): value for name, value in unseen.items()})
        lines += [f"model {self.model}, split {self.split}: {self.n:,} patches", *self.headline_lines()]
        for table in self.tables():
            lines += ["", *text_table(table)]
        if self.ood is not None:
            lines += ["", f"not like the training data: {' ('.join(percent(self.ood))}) of the patches"]
        if self.warnings:
            lines += ["", *(f"warning: {warning}" for warning in self.warnings)]
        return [line.rstrip() for line in lines]

    def headline_lines(self) -> list[str]:
        """The numbers to show first, a line each; those on patches that the model has seen are named so."""
        notes, mark = self.notes(), self.seen.mark
        rows = columns([(display_name(name) + mark, *percent(value)) for name, value in self.headline().items()])
        return [f"  {row}  {notes[name]}".rstrip() for name, row in zip(self.headline(), rows, strict=True)]

    def __repr__(self) -> str:
        mark = self.seen.mark
        numbers = (f"{display_name(k)}{mark} {' ('.join(percent(v))})" for k, v in list(self.headline().items())[:2])
        return f"<{type(self).__name__} of '{self.model}' on {self.split}: {self.n:,} patches, {', '.join(numbers)}>"


class SingleLabelEvaluation(Metrics, Evaluation):
    """A single-label model's metrics, next to ``majority`` and ``color`` where the record carries them."""

    task: Task = "single-label"
    intervals: str = INTERVALS
    unseen: SingleLabelEvaluation | None = None
    reliability: Reliability | None = None
    baselines: dict[str, BaselineResult]

    def notes(self) -> dict[str, str]:
        """Number of patches, and what macro-F1 is."""
        return {"accuracy": f"n = {self.n:,}", "macro_f1": "mean over classes"}

    def tables(self) -> list[Table]:
        """Baselines, classes and reliability."""
        names = ("accuracy", "macro-F1", "the model's lead in accuracy")
        classes: list[tuple[Cell, ...]] = [
            (name, c.recall.n, c.precision, c.recall, c.f1) for name, c in self.per_class.items()
        ]
        return [
            *_baseline_table(self, names, "accuracy", "macro_f1"),
            Table(
                ("class", "n", "precision", "recall", "F1"), classes, f"Per class{self.seen.mark}, with 95 % intervals"
            ),
            *(self.reliability.tables() if self.reliability else ()),
        ]

    def _drawn(self, found: SplitPredictions) -> dict[str, Chart]:
        return {
            "confusion.svg": confusion_chart(found.confusion, found.classes),
            "per_class.svg": class_chart(self),
            **_reliability_chart(self.reliability, found),
        }


class BinaryEvaluation(BinaryMetrics, Evaluation):
    """A binary model's metrics, next to ``majority`` and ``color`` where the record carries them."""

    task: Task = "binary"
    intervals: str = BINARY_INTERVALS
    unseen: BinaryEvaluation | None = None
    reliability: Reliability | None = None
    baselines: dict[str, BinaryBaseline]

    def notes(self) -> dict[str, str]:
        """What each number is of, and what guessing would give."""
        name = written(self.positive)
        return {
            "average_precision": f"{self.positives:,} of {self.n:,} patches are {name}; guessing: "
            f"{100 * self.positives / self.n:.1f} %",
            "auroc": f"of all {self.n:,} patches; guessing: 50 %",
            "f1": f"of the {self.f1.n:,} that are or are called {name}; threshold {self.threshold:.4f}",
            "precision": f"of the {self.precision.n:,} called {name}",
            "recall": f"of the {self.recall.n:,} that are {name}",
            "accuracy": f"of all {self.n:,} patches",
        }

    def tables(self) -> list[Table]:
        """Baselines and reliability."""
        names = ("average precision", "F1 (rules: at 0.5)", "the model's lead in average precision")
        table = _baseline_table(self, names, "average_precision", "f1")
        return [*table, *(self.reliability.tables() if self.reliability else ())]

    def _drawn(self, found: SplitPredictions) -> dict[str, Chart]:
        return {
            "curves.svg": curves_chart(class_scores(found)),
            "confusion.svg": confusion_chart(found.confusion, found.classes),
            **_reliability_chart(self.reliability, found),
        }


class MultiLabelEvaluation(MultiLabelMetrics, Evaluation):
    """A multi-label model's metrics."""

    task: Task = "multi-label"
    intervals: str = MULTI_LABEL_INTERVALS
    unseen: MultiLabelEvaluation | None = None

    def notes(self) -> dict[str, str]:
        """What each mean is over."""
        return {
            "macro_f1": "mean over labels",
            "micro_f1": "all labels pooled",
            "mean_average_precision": "mean over labels, at any threshold",
            "subset_accuracy": f"all labels of a patch right; n = {self.n:,}",
        }

    def tables(self) -> list[Table]:
        """Each label, with the share of patches that have it: the average precision of guessing."""
        rows: list[tuple[Cell, ...]] = [
            (
                name,
                c.recall.n,
                f"{100 * c.recall.n / self.n:.1f} %",
                f"{c.threshold:.3f}",
                c.average_precision,
                c.precision,
                c.recall,
                c.f1,
            )
            for name, c in self.per_class.items()
        ]
        names = ("label", "n", "share", "threshold", "average precision", "precision", "recall", "F1")
        caption = (
            f"Per label{self.seen.mark}, with 95 % intervals; guessing has an average precision of the label's share"
        )
        return [Table(names, rows, caption)]

    def _drawn(self, found: SplitPredictions) -> dict[str, Chart]:
        return {"curves.svg": curves_chart(class_scores(found)), "per_class.svg": class_chart(self)}


def _baseline_table(
    evaluation: SingleLabelEvaluation | BinaryEvaluation, names: tuple[str, ...], first: str, second: str
) -> list[Table]:
    """Two numbers of the model and of each rule, and the model's lead in the first."""
    own = f"this model{evaluation.seen.mark}"
    rules: list[tuple[Cell, ...]] = [(own, getattr(evaluation, first), getattr(evaluation, second), "")]
    rules += [
        (_BASELINE_NAMES.get(name, name), getattr(b, first), getattr(b, second), points(getattr(b.difference, first)))
        for name, b in evaluation.baselines.items()
    ]
    return [Table(("rule", *names), rules, _BASELINES)] if evaluation.baselines else []


def _reliability_chart(reliability: Reliability | None, found: SplitPredictions) -> dict[str, Chart]:
    if reliability is None:
        return {}
    return {"reliability.svg": reliability_chart(reliability.calibration, found.right, found.confidence)}


def reliability_of(evaluation: Evaluation) -> Reliability | None:
    """Calibration and abstention of an evaluation, where they were measured: of models with one label per patch."""
    found: Reliability | None = getattr(evaluation, "reliability", None)
    return found


def display_name(name: str) -> str:
    """How a number is called on a page, such as ``macro-F1``."""
    return _NAMES.get(name, name.replace("_", " "))


def warnings_for(
    *,
    n: int,
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
        found.append(f"only {n} patches (fewer than {FEW}): the intervals are wide, read them before the values")
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
    poor = [written(name) for name, (precision, held) in (guesses or {}).items() if held and precision.low <= held / n]
    if poor:
        found.append(f"not clearly better than guessing at finding {', '.join(poor)} (average precision)")
    return tuple(found)
