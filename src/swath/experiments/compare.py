"""From predictions of variants and seeds to a table: accuracies, and paired differences between variants."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swath.errors import DataError
from swath.evaluation.compare import mcnemar
from swath.evaluation.intervals import percentile_interval, resample, wilson
from swath.experiments.catalog import Experiment
from swath.experiments.variants import VariantResult
from swath.model.record import Estimate

_LEVEL = 0.05
COLORS = ("#14539A", "#D98032", "#1B6B3A", "#8A3A8F", "#7A6A1B", "#9A1430")
MOST = 6  # comparisons listed one by one
COLUMNS = (
    *("variant", "labels", "seeds", "accuracy", "low", "high", "sd_of_seeds", "seconds", "epochs", "compared_with"),
    *("difference", "difference_low", "difference_high", "mcnemar_p"),
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
        One a seed.
    accuracy : Estimate
        Mean over seeds; the interval is of the patches (Wilson, n patches), not of seeds.
    seconds, epochs : float
        Of training, mean over seeds.
    against : str or None
        The variant it is compared with.
    difference : Estimate or None
        Of accuracy, this variant minus that one, on the same patches: mean over seeds, bootstrap over patches.
    p : float or None
        Exact McNemar; with one seed only, for it counts every patch once.
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
        Mean over seeds, with a bootstrap percentile interval over patches: how seeds differ is not in it.
    """
    gains = np.mean(first, axis=0) - np.mean(second, axis=0)
    values, counts = np.unique(gains, return_counts=True)
    n = len(gains)
    low, high = percentile_interval(resample(counts.astype(np.int64)) @ values / n)
    return Estimate(value=float(gains.mean()), low=low, high=high, n=n)


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
    )


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """One line per variant; accuracies and differences as shares, with their 95 % limits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            a, d = row.accuracy, row.difference
            writer.writerow(
                [
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
                ]
            )


def draw(path: Path, experiment: Experiment, rows: Sequence[Row]) -> None:
    """Accuracy with its interval: lines over shares of the labels, or one bar per variant."""
    lines = experiment.across == "fraction"
    height = 4.8 if lines else 1.2 + 0.34 * max(5, len(rows))
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots()
    if lines:
        _lines(axes, experiment, rows)
    else:
        _bars(axes, rows)
    axes.set_title(experiment.question, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _lines(axes: Axes, experiment: Experiment, rows: Sequence[Row]) -> None:
    lines: dict[str, list[Row]] = {}
    for row in rows:
        lines.setdefault(row.name.rpartition(", ")[0] or experiment.name, []).append(row)
    for (name, line), color in zip(lines.items(), COLORS, strict=False):
        ordered = sorted(line, key=lambda row: row.fraction)
        value, spread = _percents(ordered)
        labels = [row.labels for row in ordered]
        axes.errorbar(labels, value, yerr=spread, label=name, color=color, marker="o", capsize=3)
    axes.set(xscale="log", xlabel="labeled patches used", ylabel="accuracy, %")
    if len(lines) > 1:
        axes.legend(frameon=False)


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    places = range(len(rows))
    value, spread = _percents(rows)
    # What is compared stands right below what it is compared with, in another color.
    colors = [COLORS[0] if row.against is None else COLORS[1] for row in rows]
    axes.barh(places, value, xerr=spread, color=colors, height=0.6, capsize=3)
    axes.set_yticks(list(places), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %", xlim=(max(0.0, 100 * min(row.accuracy.low for row in rows) - 8), 100))


def _percents(rows: Sequence[Row]) -> tuple[list[float], list[list[float]]]:
    """Accuracies, and how far their limits lie below and above, in percent."""
    kept = [row.accuracy for row in rows]
    spread = [[100 * (a.value - a.low) for a in kept], [100 * (a.high - a.value) for a in kept]]
    return [100 * a.value for a in kept], spread


def paragraph(experiment: Experiment, rows: Sequence[Row], *, patches: int) -> str:
    """The result in a paragraph, made from the numbers alone.

    Parameters
    ----------
    patches : int
        How many were evaluated.
    """
    parts = [experiment.question, f"On {patches:,} patches that no variant trained on or chose by:"]
    groups: list[list[Row]] = []
    for row in rows:  # ordered so that what is compared follows what it is compared with
        if row.against is None:
            groups.append([])
        groups[-1].append(row)
    many = groups[1:] if experiment.across != "fraction" and len(groups) > MOST else []
    shown = groups[: len(groups) - len(many)]
    for number, (head, *others) in enumerate(shown):
        told = [f"{head.name} reaches {_percent(head)}", *map(_compared, others)]
        if experiment.across == "fraction":
            told[0] = f"with {head.labels:,} labels {told[0]}"
        parts.append("; ".join(told) + (";" if number + 1 < len(shown) else "."))
    if many:
        parts.append(_counted([row for _, *others in many for row in others if row.difference is not None]))
    seeds = max(len(row.accuracies) for row in rows)
    if any(row.difference is not None for row in rows):
        test = "p is McNemar's" if seeds == 1 else "a difference is clear if its interval leaves out 0"
        parts.append(
            f"Intervals are 95 % over patches; differences are paired on the same patches (bootstrap), {test}."
        )
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
    points = f"{100 * d.value:+.1f} points, {100 * d.low:+.1f} to {100 * d.high:+.1f}{_told(row.p)}"
    if not row.clear:
        return f"{text}, no clear difference from {row.against} ({points})"
    return f"{text}, {'better' if d.value > 0 else 'worse'} than {row.against} ({points})"


def _told(p: float | None) -> str:
    if p is None:
        return ""
    return ", p < 0.001" if p < 0.001 else f", p = {p:.2g}"


def _percent(row: Row) -> str:
    a = row.accuracy
    return f"{100 * a.value:.1f} % ({100 * a.low:.1f} to {100 * a.high:.1f}) after {row.seconds:,.0f} s of training"
