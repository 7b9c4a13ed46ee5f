"""An experiment, from its variants to its answer: each is trained, then all are compared on the same patches.

:func:`run_experiment` trains every variant and seed that is not done yet. From their predictions :func:`make_rows`
makes accuracies and paired differences, :func:`experiment_chart` a chart, and :func:`paragraph` the answer in words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.evaluation.compare import mcnemar
from swath.evaluation.intervals import mean_difference, wilson
from swath.evaluation.predictions import note_test_access
from swath.evaluation.seen import SeenCount
from swath.experiments.catalog import Experiment, ExperimentName, ExperimentSettings, make_experiment
from swath.experiments.upsampling import WAYS, upsampled_indexes
from swath.experiments.variants import Variant, VariantResult, run_variant, write_facts
from swath.experiments.views import can_show
from swath.files import atomic_file, write_csv, write_text
from swath.model.record import Estimate
from swath.pages.charts import DASHES, SERIES, Chart, Interval, Line, Panel, intervals_chart, panels_chart
from swath.pages.html import Cell, Kind, Link, Point, Section, Table, write_report
from swath.pages.text import p_text, p_value, percent, points, sentence
from swath.progress import Progress, silent
from swath.training import load_recipe

FACTS, PAGE, PICTURE = "experiment.json", "index.html", "picture.svg"
_LEVEL = 0.05
MOST = 6  # comparisons listed one by one
COLUMNS = (
    *("variant", "labels", "seeds", "accuracy", "low", "high", "sd_of_seeds", "seconds", "epochs", "compared_with"),
    *("difference", "difference_low", "difference_high", "mcnemar_p", "seen"),
)


@dataclass(frozen=True)
class Row:
    """One variant over its seeds.

    Attributes
    ----------
    name : str
        The variant.
    fraction : float
        Of the labels.
    labels : int
        Used by the first seed.
    accuracies : tuple of float
        One per seed.
    accuracy : Estimate
        Mean over seeds; the interval is of the patches (Wilson, n patches), not of seeds.
    seconds, epochs : float
        Of training, mean over seeds.
    against : str or None
        The variant it is compared with.
    difference : Estimate or None
        Of accuracy, this variant minus that one, on the same patches: mean over seeds, interval over patches.
    p : float or None
        Exact McNemar; with one seed only, for it counts every patch once.
    seen : SeenCount or None
        How many of the patches its model has seen.
    """

    name: str
    fraction: float
    labels: int
    accuracies: tuple[float, ...]
    accuracy: Estimate
    seconds: float
    epochs: float
    against: str | None = None
    difference: Estimate | None = None
    p: float | None = None
    seen: SeenCount | None = None

    @property
    def sd(self) -> float | None:
        """Spread between seeds, if there are several."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None

    @property
    def clear(self) -> bool:
        """Whether the difference is more than chance: p under 0.05, or with several seeds an interval without 0."""
        if self.difference is None:
            return False
        if self.p is not None:
            return self.p < _LEVEL
        return self.difference.low > 0 or self.difference.high < 0


@dataclass(frozen=True)
class ExperimentResult:
    """Result of an experiment.

    Attributes
    ----------
    rows : list of Row
        One per variant.
    text : str
        The result in a paragraph.
    out : pathlib.Path
        Folder with ``index.html``, ``table.csv``, ``picture.svg``, ``summary.md``, ``experiment.json`` and the
        variants' runs.
    """

    rows: list[Row]
    text: str
    out: Path


def run_experiment(
    name: ExperimentName,
    index: PatchIndex,
    *,
    out: str | Path,
    choices: ExperimentSettings | None = None,
    first: PatchIndex | None = None,
    seeds: int = 1,
    split: Literal["val", "test"] = "val",
    threads: int | None = None,
    progress: Progress = silent,
) -> ExperimentResult:
    """Run all variants of an experiment that are not done yet, and write what they say.

    A variant learns from part of the train split and chooses its epoch on another part of it; all variants answer for
    the same patches of `split`. Interrupted, the same call resumes; finished variants are never rerun,
    and further shares, sizes or seeds are added to them.

    Parameters
    ----------
    name : str
        One of :func:`swath.experiments.experiment_names`.
    index : PatchIndex
        One label per patch, with a train split and the one to evaluate.
    out : str or pathlib.Path
        Folder; an interrupted experiment in it is resumed.
    choices : ExperimentSettings, optional
        Recipes, shares of the labels, sizes, changes.
    first : PatchIndex, optional
        What ``high-resolution-first`` trains on first.
    seeds : int
        Repeats of every variant, seeds 0, 1, ...
    split : str
        ``val``, or ``test``, whose access is then recorded in `out`.

    Raises
    ------
    SettingError
        If there is no such experiment, or an option is out of range or missing.
    DataError
        If the index lacks a split or has several labels per patch, or `out` holds another experiment, the same on
        other patches, or a variant of other settings.
    """
    out = Path(out)
    experiment = make_experiment(name, choices or ExperimentSettings())
    if seeds < 1:
        raise SettingError(f"there are no variants to run with {seeds} seeds", fix="give --seeds 1 or more")
    if split not in ("val", "test"):
        raise SettingError(f"'{split}' is not a split that variants answer for", fix="give --split val or test")
    for each in (index, first):
        if each is not None and each.multi_label:
            raise DataError(
                f"patches of index '{each.name}' carry several labels, and experiments compare one answer per patch",
                fix="use an index with one label per patch",
            )
    evaluated = index.where(split)
    experiment = _possible(experiment, index)
    needed = {variant.on for variant in experiment.variants}
    if "first" in needed and first is None:
        raise SettingError(
            f"{name} needs another index to train on first", fix="give --first INDEX, of sharper patches"
        )
    facts = {
        "experiment": name,
        "question": experiment.question,
        "index": index.name,
        "fingerprint": index.fingerprint,
        "split": split,
    }
    _claim(out, facts)
    if split == "test":
        accesses = out / "test_accesses.jsonl"
        note_test_access(accesses, model=f"experiment {name}", fingerprint=index.fingerprint, n=len(evaluated))
    indexes = {"main": index}
    if first is not None:
        indexes["first"] = first
    if needed & set(WAYS):
        indexes |= upsampled_indexes(index, out / "upsampled", split=split, threads=threads, progress=progress)
    runs = [(seed, variant) for seed in range(seeds) for variant in experiment.variants]
    results: dict[int, dict[str, VariantResult]] = {seed: {} for seed in range(seeds)}
    for number, (seed, variant) in enumerate(runs):
        progress("variants", number, len(runs), note=variant.name)
        results[seed][variant.name] = run_variant(
            variant,
            indexes[variant.on],
            seed=seed,
            evaluated=split,
            out=out / "variants" / f"{folder_name(variant.name)}-seed{seed}",
            done=results[seed],
            threads=threads,
            progress=progress,
        )
    progress("variants", len(runs), len(runs))
    rows = make_rows([result for done in results.values() for result in done.values() if result.variant.on != "first"])
    text = paragraph(experiment, rows, patches=len(evaluated))
    with atomic_file(out / "table.csv", overwrite=True) as temporary:
        write_table(temporary, rows)
    with atomic_file(out / PICTURE, overwrite=True) as temporary:
        temporary.write_bytes(experiment_chart(experiment, rows).to_svg())
    write_text(out / "summary.md", f"# {experiment.name}\n\n{text}\n\n![]({PICTURE})\n")
    write_page(out / PAGE, experiment, rows, text, index=index.name or "the index")
    write_facts(out / FACTS, {**facts, "seeds": seeds, "text": text})
    return ExperimentResult(rows, text, out)


def folder_name(variant: str) -> str:
    """A name for a variant's folder that every file system takes."""
    return re.sub(r"[^a-z0-9.]+", "-", variant.lower().replace(" %", "pct")).strip("-.")


def _possible(experiment: Experiment, index: PatchIndex) -> Experiment:
    """The experiment without the views that these patches cannot be shown in."""
    side = min(index.table.column(name).to_numpy().min() for name in ("width", "height"))

    def fits(variant: Variant) -> bool:
        bands = load_recipe(variant.recipe, changes=[*variant.changes]).bands
        return can_show(variant.view, bands=bands, side=side)

    return replace(experiment, variants=tuple(filter(fits, experiment.variants)))


def _claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Record what a folder is for, or refuse one that holds something else."""
    path = out / FACTS
    if not path.is_file():
        write_facts(path, facts)
        return
    held = json.loads(path.read_text(encoding="utf-8"))
    for key, what in (("experiment", "experiment"), ("fingerprint", "set of patches"), ("split", "split")):
        if held.get(key) != facts[key]:
            raise DataError(
                f"{out} holds an experiment with another {what}"
                if key != "experiment"
                else f"{out} holds the experiment {held.get(key)}",
                fix="give another --out",
            )


def make_rows(results: Sequence[VariantResult]) -> list[Row]:
    """One row per variant, right after the one it is compared with.

    Parameters
    ----------
    results : sequence of VariantResult
        The same seeds of each variant, in one order.

    Raises
    ------
    DataError
        If two variants that are compared did not answer for the same patches.
    """
    variants: dict[str, list[VariantResult]] = {}
    for result in results:
        variants.setdefault(result.variant.name, []).append(result)
    return [_row(variants[name], variants) for name in _ordered({k: v[0].variant.against for k, v in variants.items()})]


def paired_difference(first: Sequence[npt.NDArray[np.bool_]], second: Sequence[npt.NDArray[np.bool_]]) -> Estimate:
    """First minus second accuracy on the same patches.

    Parameters
    ----------
    first, second : sequence of numpy.ndarray
        One bool ``[N]`` per seed: which predictions are right.

    Returns
    -------
    Estimate
        Mean over seeds, with an interval over patches: how seeds differ is not in it.
    """
    return mean_difference(np.mean(first, axis=0) - np.mean(second, axis=0))


def _ordered(against: dict[str, str | None]) -> Iterator[str]:
    def after(name: str | None) -> Iterator[str]:
        for other, compared in against.items():
            if compared == name:
                yield other
                yield from after(other)

    yield from after(None)


def _row(several: Sequence[VariantResult], variants: dict[str, list[VariantResult]]) -> Row:
    one = several[0]
    right = [r.predicted == r.truth for r in several]
    accuracies = tuple(float(values.mean()) for values in right)
    mean, n = float(np.mean(accuracies)), len(one.truth)
    low, high = wilson(mean * n, n)
    difference = p = None
    if one.variant.against is not None:
        others = variants[one.variant.against]
        if any(not np.array_equal(other.truth, one.truth) for other in (*others, *several)):
            raise DataError(
                f"'{one.variant.name}' and '{one.variant.against}' answered for different patches",
                fix="give another --out, or remove their folders to train them again",
            )
        difference = paired_difference(right, [r.predicted == r.truth for r in others])
        if len(several) == 1:
            p = mcnemar(one.truth, one.predicted, others[0].predicted).p_value
    return Row(
        name=one.variant.name,
        fraction=one.variant.fraction,
        labels=one.labels,
        accuracies=accuracies,
        accuracy=Estimate(value=mean, low=low, high=high, n=n),
        seconds=float(np.mean([r.seconds for r in several])),
        epochs=float(np.mean([r.epochs for r in several])),
        against=one.variant.against,
        difference=difference,
        p=p,
        seen=one.seen,
    )


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """One line per variant; accuracies and differences as shares, with their 95 % limits."""
    write_csv(path, COLUMNS, map(_cells, rows))


def _cells(row: Row) -> list[object]:
    a, d = row.accuracy, row.difference
    return [
        row.name,
        row.labels,
        len(row.accuracies),
        *(f"{v:.5f}" for v in (a.value, a.low, a.high)),
        "" if row.sd is None else f"{row.sd:.5f}",
        f"{row.seconds:.1f}",
        f"{row.epochs:g}",
        row.against or "",
        *(["", "", ""] if d is None else [f"{v:.5f}" for v in (d.value, d.low, d.high)]),
        "" if row.p is None else f"{row.p:.3g}",
        "" if row.seen is None or not row.seen.known else row.seen.seen,
    ]


def experiment_chart(experiment: Experiment, rows: Sequence[Row]) -> Chart:
    """Accuracy with its interval: lines over shares of the labels, or one row per variant."""
    if experiment.across == "fraction":
        return _lines(experiment, rows)
    return intervals_chart(
        experiment.question,
        [
            # What is compared stands right below what it is compared with, in another color and hollow.
            Interval.of(
                row.name,
                row.accuracy,
                color="accent" if row.against is None else "warm",
                hollow=row.against is not None,
            )
            for row in rows
        ],
        across="accuracy in %, with 95 % interval; hollow: compared with the filled one above",
    )


def _lines(experiment: Experiment, rows: Sequence[Row]) -> Chart:
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.name.rpartition(", ")[0] or experiment.name, []).append(row)
    drawn = []
    for (name, line), color, dash in zip(lines.items(), cycle(SERIES), cycle(DASHES), strict=False):
        ordered = sorted(line, key=lambda row: row.fraction)
        value, low, high = ([100 * getattr(row.accuracy, part) for row in ordered] for part in ("value", "low", "high"))
        labels = [row.labels for row in ordered]
        drawn.append(Line(labels, value, name if len(lines) > 1 else "", color, dash, low=low, high=high, dots=True))
    used = sorted({row.labels for row in rows})
    low, high = (100 * pick(getattr(row.accuracy, end) for row in rows) for pick, end in ((min, "low"), (max, "high")))
    panel = Panel(
        drawn,
        x=(used[0] / 1.1, used[-1] * 1.1),
        y=(max(0.0, low - 3), min(100.0, high + 3)),
        across="labeled patches used",
        up="accuracy, %, with 95 % interval",
        x_ticks=[(n, f"{n:,}") for n in used],
        log=True,
    )
    return panels_chart(experiment.question, [panel], columns=1, tall=300)


def write_page(path: Path, experiment: Experiment, rows: Sequence[Row], text: str, *, index: str) -> None:
    """The page of an experiment: its chart, its table, and its answer."""
    folder = path.parent
    seeds = max(len(row.accuracies) for row in rows)
    cells: list[tuple[Cell, ...]] = [
        (
            row.name,
            row.labels,
            row.accuracy,
            *([] if seeds == 1 else ["\u2013" if row.sd is None else f"{100 * row.sd:.1f} points"]),
            row.against or "\u2013",
            "\u2013" if row.difference is None else points(row.difference),
            *([] if seeds > 1 else ["\u2013" if row.p is None else p_text(row.p)]),
            f"{row.seconds:,.0f} s",
        )
        for row in rows
    ]
    columns = ("variant", "labels", "accuracy", *(("sd of seeds",) if seeds > 1 else ()), "compared with", "difference")
    with atomic_file(path, overwrite=True) as temporary:
        write_report(
            temporary,
            [
                Section("Accuracy", images=[experiment_chart(experiment, rows)]),
                Section(
                    "Variants",
                    text=["Each variant answers for the same patches; differences are paired on them."],
                    tables=[Table((*columns, *(("p (McNemar)",) if seeds == 1 else ()), "training"), cells)],
                    links=[Link("Table (CSV)", folder / "table.csv"), Link("Runs", folder / "variants")],
                ),
                Section("In words", text=[text]),
            ],
            title=experiment.question,
            summary=f"Experiment {experiment.name} on {index}.",
            points=_points(rows),
            overwrite=True,
        )


def _points(rows: Sequence[Row]) -> list[Point]:
    """The best variant, the clearest difference, and what one seed cannot say."""
    best = max(rows, key=lambda row: row.accuracy.value)
    value, interval = percent(best.accuracy)
    small = f"95 % interval {interval}, {best.accuracy.n:,} patches"
    said = [Point("good", f"accuracy of '{best.name}', the highest", value, small, head="Best")]
    compared = [row for row in rows if row.difference is not None]
    clear = [row for row in compared if row.clear]
    for row in sorted(clear, key=lambda row: -abs(row.difference.value if row.difference else 0))[:1]:
        d = row.difference
        if d is not None:
            p = "" if row.p is None else f", {p_value(row.p)}"
            interval = f"95 % interval {100 * d.low:+.1f} to {100 * d.high:+.1f} points{p}"
            kind: Kind = "good" if d.value > 0 else "fails"
            text = f"of accuracy: '{row.name}' against '{row.against}'"
            said.append(Point(kind, text, f"{100 * d.value:+.1f} points", interval, head="Differs most"))
    if compared and not clear:
        said.append(Point("beware", "comparisons show a clear difference", f"0 of {len(compared)}"))
    if len(best.accuracies) == 1:
        said.append(Point("next", "seed per variant so far: more (--seeds 3) show how much chance is in it", "1"))
    return said


def paragraph(experiment: Experiment, rows: Sequence[Row], *, patches: int) -> str:
    """The result in a paragraph, made from the numbers alone.

    Parameters
    ----------
    patches : int
        How many were evaluated.
    """
    seen = [row for row in rows if row.seen is None or not row.seen.unseen]
    parts = [experiment.question, *(sentence(f"{row.name}: {row.seen.sentence}") for row in seen if row.seen)]
    parts.append(f"On {patches:,} patches{'' if seen else ' that no variant has seen'}:")
    groups: list[list[Row]] = []
    for row in rows:  # ordered so that what is compared follows what it is compared with
        if row.against is None:
            groups.append([])
        groups[-1].append(row)
    many = groups[1:] if experiment.across != "fraction" and len(groups) > MOST else []
    shown = groups[: len(groups) - len(many)]
    for number, (head, *others) in enumerate(shown):
        clauses = [f"{head.name} reaches {_percent(head)}", *map(_compared, others)]
        if experiment.across == "fraction":
            clauses[0] = f"with {head.labels:,} labels {clauses[0]}"
        parts.append("; ".join(clauses) + (";" if number + 1 < len(shown) else "."))
    if many:
        parts.append(_counted([row for _, *others in many for row in others if row.difference is not None]))
    seeds = max(len(row.accuracies) for row in rows)
    if any(row.difference is not None for row in rows):
        test = "p is McNemar's" if seeds == 1 else "a difference is clear if its interval leaves out 0"
        parts.append(f"Intervals are 95 % over patches; differences are paired on the same patches, {test}.")
    else:
        parts.append("Intervals are 95 % over patches.")
    if seeds == 1:
        parts.append("One seed per variant: how much another seed would change these numbers is not measured.")
    else:
        parts.append(f"Means of {seeds} seeds; their spread is in the table and not in the intervals.")
    return " ".join(parts)


def _counted(rows: Sequence[Row]) -> str:
    """Many comparisons in a sentence: counts, and the two that lie farthest apart."""
    gains = {row.name: 0.0 if row.difference is None else row.difference.value for row in rows}
    better = sum(row.clear and gains[row.name] > 0 for row in rows)
    worse = sum(row.clear and gains[row.name] < 0 for row in rows)
    least, *_, most = sorted(rows, key=lambda row: gains[row.name])
    return (
        f"Of {len(rows)} other comparisons {better} are clearly better, {worse} clearly worse and "
        f"{len(rows) - better - worse} not clearly different; at one end {_compared(least)}; at the other "
        f"{_compared(most)}; all are in the table."
    )


def _compared(row: Row) -> str:
    text = f"{row.name} {_percent(row)}"
    if row.difference is None:
        return text
    d = row.difference
    p = "" if row.p is None else f", {p_value(row.p)}"
    gain = f"{100 * d.value:+.1f} points, {100 * d.low:+.1f} to {100 * d.high:+.1f}{p}"
    if not row.clear:
        return f"{text}, no clear difference from {row.against} ({gain})"
    return f"{text}, {'better' if d.value > 0 else 'worse'} than {row.against} ({gain})"


def _percent(row: Row) -> str:
    a = row.accuracy
    mark = row.seen.mark if row.seen else ""
    return (
        f"{100 * a.value:.1f} % ({100 * a.low:.1f} to {100 * a.high:.1f}){mark} after {row.seconds:,.0f} s of training"
    )
