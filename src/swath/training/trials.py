"""A search's trials as a table and as a picture."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from swath.files import atomic_file

_ENDED = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "cut short", TrialState.FAIL: "failed"}
_CUT, _START = "#BBBBBB", "#000000"


def write_trials(path: Path, trials: Sequence[FrozenTrial], *, score: str) -> None:
    """One line a trial: how it ended, its best score, epochs, seconds and values."""
    fields = list(trials[0].params)
    with atomic_file(path, overwrite=True) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", "ended", score, "epochs", "seconds", *fields, "problem"])
        for number, trial in enumerate(trials):
            reached = score_of(trial)
            seconds = trial.duration.total_seconds() if trial.duration else 0.0
            writer.writerow(
                [
                    number,
                    _ENDED[trial.state],
                    "" if reached is None else f"{reached:.5f}",
                    len(trial.intermediate_values),
                    f"{seconds:.1f}",
                    *(f"{v:.4g}" if isinstance(v, float) else v for v in map(trial.params.get, fields)),
                    trial.user_attrs.get("problem", ""),
                ]
            )


def score_of(trial: FrozenTrial) -> float | None:
    """The best score a trial reached, whole or cut short."""
    if trial.state == TrialState.COMPLETE:
        return float(trial.values[0])
    return max(trial.intermediate_values.values(), default=None)


def draw_trials(
    path: Path, trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution], *, score: str
) -> None:
    """Parallel coordinates: a line a trial through one axis a field, the score on the last one.

    Whole trials are coloured by their score, those cut short are grey, the recipe the search started from is
    dashed.
    """
    whole = [t for t in trials if t.state == TrialState.COMPLETE]
    values = [t.values[0] for t in whole]
    low, high = min(values), max(values)
    figure = Figure(figsize=(max(7.0, 1.55 * (len(space) + 1)), 4.6), layout="constrained")
    axes = figure.subplots()
    for trial in (t for t in trials if t.state == TrialState.PRUNED):
        axes.plot(_places(trial, space), color=_CUT, linewidth=0.8, zorder=1)
    colours = colormaps["viridis"]
    for trial in sorted(whole, key=lambda t: t.values[0]):
        share = (trial.values[0] - low) / (high - low) if high > low else 1.0
        places = [*_places(trial, space), share]
        best = trial.values[0] == high
        axes.plot(
            places, color=colours(0.9 * (1 - share)), linewidth=2.6 if best else 1.2, zorder=3 if best else 2
        )
        if trial is trials[0]:
            axes.plot(places, color=_START, linewidth=1.2, linestyle="--", label="started from", zorder=4)
    names = [*space, score.removeprefix("val_")]
    ends = [*map(_ends, space.values()), (f"{100 * low:.2f} %", f"{100 * high:.2f} %")]
    _frame(axes, names, ends)
    axes.plot([], color=_CUT, label="cut short")
    axes.plot([], color=colours(0.0), linewidth=2.6, label="best")
    axes.legend(frameon=False, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    with atomic_file(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def _frame(axes: Axes, names: Sequence[str], ends: Sequence[tuple[str, str]]) -> None:
    """Upright lines with the values at their ends."""
    for place, (bottom, top) in enumerate(ends):
        axes.axvline(place, color="#888888", linewidth=0.8, zorder=0)
        axes.text(place, -0.03, bottom, ha="center", va="top", fontsize=8)
        axes.text(place, 1.03, top, ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(names)), [n.replace(".", "\n").replace("_", " ") for n in names], fontsize=9)
    axes.tick_params(axis="x", length=0, pad=14)
    axes.set(ylim=(-0.04, 1.08), yticks=[], title="Each line is a recipe tried")
    axes.spines[:].set_visible(False)


def _places(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> list[float]:
    """Where a trial crosses each axis, 0 to 1."""
    return [place_of(kind, trial.params[name]) for name, kind in space.items()]


def place_of(kind: BaseDistribution, value: float) -> float:
    """Where a value lies in its range, 0 to 1; evenly on the scale it was drawn from."""
    if isinstance(kind, CategoricalDistribution):
        return kind.to_internal_repr(value) / max(1, len(kind.choices) - 1)
    low, high = float(kind.low), float(kind.high)  # type: ignore[attr-defined]
    if isinstance(kind, FloatDistribution) and kind.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _ends(kind: BaseDistribution) -> tuple[str, str]:
    if isinstance(kind, CategoricalDistribution):
        first, *_, last = ("on" if choice else "off" for choice in kind.choices)
        return first, last
    return f"{kind.low:.3g}", f"{kind.high:.3g}"  # type: ignore[attr-defined]
