"""Is one model better than another? Paired tests on the same patches.

:func:`measure_comparison` compares two models without touching a file; :func:`compare` also writes the result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.data import PatchIndex, class_numbers
from swath.errors import DataError, SettingError
from swath.evaluation.errors.slices import holm
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import paired_differences
from swath.evaluation.predictions import (
    TEST_ACCESSES,
    Index,
    Model,
    SplitPredictions,
    checked_split,
    note_test_access,
    open_inputs,
    predict_split,
)
from swath.evaluation.results import Result, text_table
from swath.evaluation.seen import FEWEST, SeenCount
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.charts import Chart, Interval, intervals_chart
from swath.pages.html import Cell, Link, Number, Point, Section, Table, write_report
from swath.pages.text import p_text, p_value, points, sentence, written
from swath.progress import Progress, silent

LEVEL = 0.05
NUMBERS = "comparison.json"
_DRAWN = 40  # classes in the chart; the table has all


class McNemar(Settings):
    """What a paired test found.

    Attributes
    ----------
    only_first, only_second : int
        Patches that the first model alone, or the second alone, got right.
    p_value : float
        Two-sided, exact: how probable so uneven a split, or a more uneven one, would be between models that are
        equally good.
    mid_p : float
        The same with half the weight on the split seen: less cautious, and nearer to the stated level.
    """

    only_first: int
    only_second: int
    p_value: float
    mid_p: float


def mcnemar(truth: npt.NDArray[Any], first: npt.NDArray[Any], second: npt.NDArray[Any]) -> McNemar:
    """Exact McNemar test of two sets of answers to the same patches.

    Patches both got right, or both wrong, say nothing of which is better; the others are a coin thrown
    ``only_first + only_second`` times (McNemar 1947, Psychometrika 12, 153-157; exact and mid-p as in
    Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13:91).

    Parameters
    ----------
    truth, first, second : numpy.ndarray
        ``[N]`` class numbers or names.

    Raises
    ------
    DataError
        If the three differ in length.
    """
    truth, first, second = np.asarray(truth), np.asarray(first), np.asarray(second)
    if not truth.shape == first.shape == second.shape or truth.ndim != 1:
        raise DataError(
            f"answers of shape {first.shape} and {second.shape} to {truth.shape} patches cannot be paired",
            fix="give both models' answers to the same patches",
        )
    right, other = first == truth, second == truth
    return mcnemar_counts(int((right & ~other).sum()), int((other & ~right).sum()))


def mcnemar_counts(only_first: int, only_second: int) -> McNemar:
    """As :func:`mcnemar`, from the two counts alone; without disagreement both p-values are 1."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    log_p = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2) for k in range(fewer + 1)
    ]
    tail = math.fsum(map(math.exp, log_p))
    seen = math.exp(log_p[-1])
    return McNemar(
        only_first=only_first, only_second=only_second, p_value=min(1.0, 2 * tail), mid_p=min(1.0, 2 * tail - seen)
    )


class ClassComparison(Settings):
    """The patches of one class: recall of both models, and the test corrected for the number of classes."""

    first: Estimate
    second: Estimate
    only_first: int
    only_second: int
    p_value: float


class Comparison(Result):
    """Two models on the same patches.

    Attributes
    ----------
    first, second : str
        What the models are called: their names, or A and B where those are the same.
    files : tuple of str
        Where they were read from.
    split : str
        The split of the index.
    n : int
        Its patches.
    fingerprint : str
        Of the index.
    accuracy_first, accuracy_second : Estimate
        With Wilson intervals.
    accuracy, macro_f1 : Estimate
        First minus second, with paired intervals.
    test : McNemar
        Exact test on the patches that only one model gets right.
    per_class : dict of str to ClassComparison
        Classes that have patches; p-values of McNemar's test after Holm's correction.
    seen : tuple of SeenCount
        How many of the patches each model has seen.
    unseen : Comparison or None
        The same on the patches that neither has seen, where one has seen some and enough others remain.
    """

    first: str
    second: str
    files: tuple[str, str]
    split: str
    n: int
    fingerprint: str
    accuracy_first: Estimate
    accuracy_second: Estimate
    accuracy: Estimate
    macro_f1: Estimate
    test: McNemar
    per_class: dict[str, ClassComparison]
    seen: tuple[SeenCount, SeenCount]
    unseen: Comparison | None = None

    @property
    def conclusion(self) -> str:
        """What follows, in plain words: from the patches that neither has seen, where one has seen some."""
        if not any(count.seen for count in self.seen):
            return self._difference
        if self.unseen is None:
            return f"On patches that a model has seen, this is no test of which is better. {self._difference}"
        return f"On the {self.unseen.n:,} patches that neither has seen: {self.unseen._difference}"

    @property
    def _difference(self) -> str:
        test, lead = self.test, self.accuracy
        apart = f"{test.only_first} patches only {self.first} gets right, {test.only_second} only {self.second}"
        if test.p_value < LEVEL and lead.value:
            better, worse = (self.first, self.second) if lead.value > 0 else (self.second, self.first)
            return f"{better} is better than {worse} on patches like these: {apart} ({p_value(test.p_value)})."
        return (
            f"Neither is shown to be better: {apart} ({p_value(test.p_value)}). That is no proof that they are equal: "
            f"the difference in accuracy may be anywhere from {100 * lead.low:+.2f} to {100 * lead.high:+.2f} points."
        )

    def lines(self) -> list[str]:
        """Plain text for a terminal."""
        marks = [count.mark for count in self.seen]
        accuracies: list[tuple[Cell, ...]] = [
            (self.first + marks[0], self.accuracy_first),
            (self.second + marks[1], self.accuracy_second),
        ]
        classes: list[tuple[Cell, ...]] = [
            (name, c.first.n, c.first, c.second, c.only_first, c.only_second, p_text(c.p_value))
            for name, c in self.per_class.items()
        ]
        names = ("class", "n", self.first, self.second, "only first", "only second", "p (Holm)")
        if self.unseen:
            accuracies[:0] = [
                (f"{self.first}, {self.unseen.n:,} patches unseen by both", self.unseen.accuracy_first),
                (f"{self.second}, {self.unseen.n:,} patches unseen by both", self.unseen.accuracy_second),
            ]
        lines = [
            *(f"{name}: {count.sentence}" for name, count in zip((self.first, self.second), self.seen, strict=True)),
            f"{self.first} against {self.second}, split {self.split}: {self.n:,} patches",
            *(f"  {name}: {file}" for name, file in zip((self.first, self.second), self.files, strict=True)),
            *(f"  {line}" for line in text_table(Table(("model", "accuracy"), accuracies))),
            f"  difference in accuracy  {points(self.accuracy)}",
            f"  difference in macro-F1  {points(self.macro_f1)}",
            f"  McNemar, exact: {p_value(self.test.p_value)} (mid-p {p_text(self.test.mid_p)})",
            "",
            *text_table(Table(names, classes, "recall, class by class")),
            "",
            self.conclusion,
        ]
        return [line.rstrip() for line in lines]


def compare(
    first: Model,
    second: Model,
    index: Index,
    *,
    split: str = "val",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Comparison:
    """Compare two models on the patches of one split.

    Parameters
    ----------
    first, second : Classifier, str or pathlib.Path
        Models of the same classes, in any order, that give one label per image: loaded, model files, or names of
        shipped models.
    index : PatchIndex, str or pathlib.Path
        Labeled patches with splits, or the file of such an index.
    split : str
        ``"val"``, ``"test"`` or ``"train"``. An access to ``test`` is noted next to `out`, as
        :func:`swath.evaluation.evaluate` does.
    out : str or pathlib.Path, optional
        Folder to make: ``index.html``, a page, and ``comparison.json``; see :func:`write_comparison`.
    overwrite : bool
        Replace it.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError
        If the models' tasks or classes differ, they give several labels, or the split cannot be evaluated.
    SettingError
        If `split` is test and there is no `out` to note it next to, or `out` has the name of a file.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    one, index = open_inputs(first, index)
    two, index = open_inputs(second, index)
    if out is None:
        if split == "test":
            raise SettingError(
                "an access to the test split is noted next to the result", fix="say where with --out DIR"
            )
        return measure_comparison(one, two, index, split=split, progress=progress)
    out = Path(out)
    if out.suffix == ".json":
        raise SettingError(f"{out} is the name of a file, and a comparison is a folder", fix=f"--out {out.stem}")
    n = _check(one, two, index, split=split)
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, one.path, two.path)) as folder:
        for model in (one, two) if split == "test" else ():
            note_test_access(out.parent / TEST_ACCESSES, model=model.record.name, fingerprint=index.fingerprint, n=n)
        result = measure_comparison(one, two, index, split=split, progress=progress)
        write_comparison(folder, result)
    return result


def write_comparison(folder: Path, result: Comparison) -> None:
    """Write ``comparison.json`` and a page about it, ``index.html``, into an existing folder."""
    (folder / NUMBERS).write_text(result.to_json(), encoding="utf-8")
    counts = result.unseen or result
    rows: list[tuple[Cell, ...]] = [
        (name, c.first.n, c.first, c.second, c.only_first, c.only_second, p_text(c.p_value))
        for name, c in counts.per_class.items()
    ]
    names = ("class", "patches", result.first, result.second, "first alone", "second alone", "p (Holm)")
    pairs = zip((result.first, result.second), result.seen, result.files, strict=True)
    of = [", unseen patches" if result.unseen else count.mark for count in result.seen]
    write_report(
        folder / "index.html",
        [
            Section(
                "Class by class",
                text=[
                    "Recall of both models on the patches of each class, with 95 % intervals. p-values are of "
                    "McNemar's exact test on the patches that only one of the two gets right, corrected for the "
                    "number of classes (Holm)."
                ],
                images=[recall_chart(counts.per_class, first=counts.first, second=counts.second)],
            ),
            Section(
                "The numbers of each class",
                text=["First and second alone: patches that only that model gets right."],
                tables=[Table(names, rows)],
            ),
            Section(
                "Models and patches",
                text=[
                    f"Split '{result.split}', {result.n:,} patches, of the index '{result.fingerprint}'.",
                    f"McNemar's exact test over all patches: {p_value(counts.test.p_value)}, mid-p "
                    f"{p_text(counts.test.mid_p)}. A p-value says how probable so uneven a result, or a more uneven "
                    "one, would be between models that are equally good.",
                ],
                tables=[
                    Table(
                        ("model", "file", "patches it has seen"),
                        [(name, file, sentence(count.sentence)) for name, count, file in pairs],
                    )
                ],
            ),
        ],
        title=f"'{result.first}' compared with '{result.second}'",
        points=comparison_points(result),
        numbers=[
            Number(f"accuracy of {result.first}{of[0]}", counts.accuracy_first, f"n = {counts.n:,}"),
            Number(f"accuracy of {result.second}{of[1]}", counts.accuracy_second, f"n = {counts.n:,}"),
        ],
        links=[Link("All numbers (JSON)", folder / NUMBERS)],
    )


def comparison_points(result: Comparison) -> list[Point]:
    """The finding first, then where the classes differ, and what stands against it."""
    counts = result.unseen or result
    lead, test = counts.accuracy, counts.test
    small = f"95 % interval {100 * lead.low:+.1f} to {100 * lead.high:+.1f} points, {p_value(test.p_value)}"
    number = f"{100 * abs(lead.value):.1f} points"
    if test.p_value < LEVEL and lead.value:
        better, worse = (result.first, result.second) if lead.value > 0 else (result.second, result.first)
        text = f"more of the patches are right with '{better}' than with '{worse}'"
        found = Point("good", text, number, small, head="Better")
    else:
        text = "of accuracy apart: neither is shown to be better, and that is no proof that they are equal"
        found = Point("beware", text, number, small, head="Not clear")
    clear = [name for name, c in counts.per_class.items() if c.p_value < LEVEL]
    said = [found]
    if clear:
        name = min(clear, key=lambda one: counts.per_class[one].p_value)
        one = counts.per_class[name]
        better, worse = (
            (result.first, result.second) if one.only_first > one.only_second else (result.second, result.first)
        )
        text = (
            f"patches of {written(name)} only '{better}' gets right, and {min(one.only_first, one.only_second)} only "
        )
        few = f"{p_value(one.p_value)} after Holm's correction; {len(clear)} of {len(counts.per_class)} classes differ"
        said.append(Point("good", f"{text}'{worse}'", f"{max(one.only_first, one.only_second)}", few, head="Differs"))
    worst = max(result.seen, key=lambda count: count.seen)
    if worst.seen:
        note = f"The numbers above are of the {counts.n:,} that neither has seen." if result.unseen else ""
        text = f"of {worst.patches:,} patches a model has seen: on them this is no test"
        said.append(Point("beware", text, f"{worst.seen:,}", note))
    return said


def recall_chart(per_class: Mapping[str, ClassComparison], *, first: str, second: str) -> Chart:
    """Draw recall of both models by class, those that differ most first."""
    ordered = sorted(per_class.items(), key=lambda item: -abs(item[1].first.value - item[1].second.value))
    rows = []
    for name, c in ordered[:_DRAWN]:
        for label, value, color, hollow in ((name, c.first, "accent", False), ("", c.second, "warm", True)):
            rows.append(Interval.of(label, value, color=color, hollow=hollow))
    return intervals_chart(
        "Recall of both models by class, with intervals",
        rows,
        across=f"recall in %; filled: {written(first)}; hollow: {written(second)}",
        caption="Classes that differ most first" + (f"; {_DRAWN} of {len(ordered)}." if len(ordered) > _DRAWN else "."),
    )


def _check(first: Classifier, second: Classifier, index: PatchIndex, *, split: str) -> int:
    """Number of patches of the split, if the models can be compared on it."""
    one, two = first.record, second.record
    if one.task == "multi-label" or one.task != two.task:
        raise DataError(
            f"a {one.task} and a {two.task} model cannot be compared", fix="give two models with one label per image"
        )
    differing = sorted(set(one.class_names) ^ set(two.class_names))
    if differing:
        raise DataError(
            f"the models' classes differ: {', '.join(map(written, differing))}",
            fix="compare models of the same classes",
        )
    return len(checked_split(index, split=split, classes=one.class_names, task=one.task))


def measure_comparison(
    first: Classifier, second: Classifier, index: PatchIndex, *, split: str = "val", progress: Progress = silent
) -> Comparison:
    """Compare two models; nothing is written, and an access to ``test`` is not noted.

    Raises
    ------
    DataError
        As :func:`compare`.
    """
    _check(first, second, index, split=split)
    one, two = (predict_split(c, index, split=split, progress=progress) for c in (first, second))
    one_name, two_name = first.record.name, second.record.name
    if one_name == two_name:
        one_name, two_name = "A", "B"
    facts = {
        "first": one_name,
        "second": two_name,
        "files": (str(first.path), str(second.path)),
        "split": split,
        "fingerprint": index.fingerprint,
    }
    whole = _compared(one, two, facts)
    neither = one.seen.unseen & two.seen.unseen
    if neither.all() or neither.sum() < FEWEST:
        return whole
    return whole.model_copy(update={"unseen": _compared(one.take(neither), two.take(neither), facts)})


def _compared(first: SplitPredictions, second: SplitPredictions, facts: dict[str, Any]) -> Comparison:
    """All numbers of two models' answers to the same patches."""
    names, truth = first.classes, first.truth
    one, two = (class_numbers(f.predictions.labels, names) for f in (first, second))  # the second's order may differ
    accuracy, macro_f1 = paired_differences(truth, one, two, classes=len(names))
    return Comparison(
        **facts,
        n=len(truth),
        accuracy_first=proportion(int((one == truth).sum()), len(truth)),
        accuracy_second=proportion(int((two == truth).sum()), len(truth)),
        accuracy=accuracy,
        macro_f1=macro_f1,
        test=mcnemar(truth, one, two),
        per_class=compare_classes(truth, one, two, names=names),
        seen=(first.seen.count, second.seen.count),
    )


def compare_classes(
    truth: npt.NDArray[Any], first: npt.NDArray[Any], second: npt.NDArray[Any], *, names: Sequence[str]
) -> dict[str, ClassComparison]:
    """Compare two sets of answers on the patches of each class that has any.

    Parameters
    ----------
    truth, first, second : numpy.ndarray
        ``[N]`` class numbers.
    names : sequence of str
        By class number.
    """
    held = [(name, truth == k) for k, name in enumerate(names) if (truth == k).any()]
    tests = [mcnemar(truth[mask], first[mask], second[mask]) for _, mask in held]
    corrected = holm([test.p_value for test in tests])
    return {
        name: ClassComparison(
            first=proportion(int((first == truth)[mask].sum()), int(mask.sum())),
            second=proportion(int((second == truth)[mask].sum()), int(mask.sum())),
            only_first=test.only_first,
            only_second=test.only_second,
            p_value=float(p),
        )
        for (name, mask), test, p in zip(held, tests, corrected, strict=True)
    }
