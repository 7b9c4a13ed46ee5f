"""An experiment's table, picture and paragraph, all made from its rows."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swath.experiments.catalogue import Experiment
from swath.experiments.compare import Row

COLOURS = ("#14539A", "#D98032", "#1B6B3A", "#8A3A8F", "#7A6A1B", "#9A1430")
MOST = 6  # comparisons told one by one
COLUMNS = (
    *(
        "arm",
        "labels",
        "seeds",
        "accuracy",
        "low",
        "high",
        "sd_of_seeds",
        "seconds",
        "epochs",
        "compared_with",
    ),
    *("difference", "difference_low", "difference_high", "mcnemar_p"),
)


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """One line an arm; accuracies and differences as shares, with their 95 % limits."""
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
    """Accuracy with its interval: lines over shares of the labels, or one bar an arm."""
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
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        ordered = sorted(line, key=lambda row: row.fraction)
        value, spread = _percents(ordered)
        labels = [row.labels for row in ordered]
        axes.errorbar(labels, value, yerr=spread, label=name, color=colour, marker="o", capsize=3)
    axes.set(xscale="log", xlabel="labelled patches used", ylabel="accuracy, %")
    if len(lines) > 1:
        axes.legend(frameon=False)


def _bars(axes: Axes, rows: Sequence[Row]) -> None:
    places = range(len(rows))
    value, spread = _percents(rows)
    # What is compared stands right below what it is compared with, in another colour.
    colours = [COLOURS[0] if row.against is None else COLOURS[1] for row in rows]
    axes.barh(places, value, xerr=spread, color=colours, height=0.6, capsize=3)
    axes.set_yticks(list(places), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set(xlabel="accuracy, %", xlim=(max(0.0, 100 * min(row.accuracy.low for row in rows) - 8), 100))


def _percents(rows: Sequence[Row]) -> tuple[list[float], list[list[float]]]:
    """Accuracies, and how far their limits lie below and above, in per cent."""
    kept = [row.accuracy for row in rows]
    spread = [[100 * (a.value - a.low) for a in kept], [100 * (a.high - a.value) for a in kept]]
    return [100 * a.value for a in kept], spread


def paragraph(experiment: Experiment, rows: Sequence[Row], *, patches: int) -> str:
    """What the numbers say, in plain words; nothing in it but what they hold.

    Parameters
    ----------
    patches : int
        How many were evaluated.
    """
    parts = [experiment.question, f"On {patches:,} patches that no arm trained on or chose by:"]
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
        parts.append("One seed an arm: how much another seed would move these numbers is not measured.")
    else:
        parts.append(f"Means of {seeds} seeds; their spread is in the table and not in the intervals.")
    return " ".join(parts)


def _counted(rows: Sequence[Row]) -> str:
    """Many comparisons in a sentence: how they came out, and the two that lie farthest apart."""
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
