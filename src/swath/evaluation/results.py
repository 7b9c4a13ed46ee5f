"""What an evaluation found: the contents of ``metrics.json``."""

from __future__ import annotations

from swath.config import Settings
from swath.evaluation.metrics import Metrics
from swath.evaluation.wording import columns, percent, points
from swath.explain.figures import written
from swath.model.record import Estimate

INTERVALS = (
    "95 %; accuracy, precision, recall: Wilson; F1: indirect Wilson; macro-F1: the wider of bootstrap and "
    "combined class intervals; differences: paired bootstrap; patches taken as independent"
)
FEW = 200  # patches below which every interval is wide


class Difference(Settings):
    """Model minus baseline on the same patches."""

    accuracy: Estimate
    macro_f1: Estimate


class BaselineResult(Metrics):
    """A baseline's own metrics, and how far the model is ahead of it."""

    difference: Difference


class Evaluation(Metrics):
    """A model's metrics on one split of an index.

    Attributes
    ----------
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
    absent_classes : tuple of str
        Classes of the model without a patch in the split: they take no part in macro-F1.
    baselines : dict of str to BaselineResult
        ``majority`` and ``colour``, where the record carries them.
    warnings : tuple of str
        Reasons to believe the numbers less.
    """

    model: str
    split: str
    n: int
    fingerprint: str
    trained_on: str
    protocol: str
    engine: str
    intervals: str = INTERVALS
    absent_classes: tuple[str, ...]
    baselines: dict[str, BaselineResult]
    warnings: tuple[str, ...]

    @property
    def same_index(self) -> bool:
        """Whether the evaluated index is the one whose training split the model learned from."""
        return self.fingerprint == self.trained_on

    def lines(self) -> list[str]:
        """Tell the result in plain text, for a terminal: every number with its 95 % interval."""
        head = f"model {self.model}, split {self.split}: {self.n:,} patches"
        whole = columns([("accuracy", *percent(self.accuracy)), ("macro-F1", *percent(self.macro_f1))])
        lines = [head, *(f"  {line}" for line in whole)]
        if self.baselines:
            rows = [("baseline", "accuracy", "", "macro-F1", "", "the model's lead in accuracy")]
            rows.extend(
                (name, *percent(b.accuracy), *percent(b.macro_f1), points(b.difference.accuracy))
                for name, b in self.baselines.items()
            )
            lines += ["", *columns(rows)]
        classes = [("class", "n", "precision", "", "recall", "", "F1", "")]
        classes.extend(
            (written(name), f"{c.recall.n:,}", *percent(c.precision), *percent(c.recall), *percent(c.f1))
            for name, c in self.per_class.items()
        )
        lines += ["", *columns(classes)]
        if self.warnings:
            lines += ["", *(f"warning: {warning}" for warning in self.warnings)]
        return [line.rstrip() for line in lines]


def warnings_for(
    *,
    n: int,
    split: str,
    same_index: bool,
    absent: tuple[str, ...],
    baselines: dict[str, BaselineResult],
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
    baselines : dict of str to BaselineResult
        The baselines' results.
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
        found.append(f"no patch of {', '.join(absent)}: left out of macro-F1, nothing is known about it")
    if not baselines:
        found.append("the model file carries no baselines: nothing says how easy these patches are")
    found.extend(
        f"not clearly better than the {name} baseline (accuracy difference "
        f"{result.difference.accuracy.low:+.3f} to {result.difference.accuracy.high:+.3f})"
        for name, result in baselines.items()
        if result.difference.accuracy.low <= 0
    )
    return tuple(found)
