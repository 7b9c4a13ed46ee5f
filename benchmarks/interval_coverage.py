"""How often each kind of 95 % interval holds the truth, in simulated populations whose truth is known.

    python benchmarks/interval_coverage.py [--kinds single binary multi mean share] [--n 50 200] [--simulations 2000]
                                           [--table] [--json FILE]

Results: docs/evaluation.md. The bar: 92 % or more wherever n is 50 or more; what covers more than 98 % is named.

Every simulation draws patches from a population, measures them with the functions that the commands call, and looks
whether each interval holds the number that a very large sample of the population has. Populations:

``single``
    K classes; the chance that an answer is right differs from patch to patch (Beta, mean p) and the stated probability
    rises with it; a second model agrees with the first on some of the patches.
``calibration``
    Probabilities from a Dirichlet distribution and outcomes from the same ones, raised to a power: 1 is a calibrated
    model, less an overconfident one.
``binary``
    A share p of positives; scores of positives are a normal distribution moved up by d.
``multi``
    K labels, each on a share of the patches about p, scores as for ``binary``; labels and errors of a patch go
    together.
``mean``
    Means of continuous numbers (explanation checks): normal, skewed, bounded.
``share``
    Means over shifts and severities, and over seeds, of shares of right answers, and differences of proportions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from multiprocessing import Pool
from statistics import NormalDist
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from common import finish, machine, parser, rows

from swath.evaluation.calibration import BINS, bin_places, check_sets, measure_calibration, measure_selective
from swath.evaluation.intervals import mean_difference, mean_estimate, mean_share, proportion, proportion_difference
from swath.evaluation.metrics import (
    cohen_kappa,
    confusion_matrix,
    measure,
    measure_binary,
    measure_multilabel,
    paired_average_precision,
    paired_differences,
)
from swath.model.record import Estimate

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Random = np.random.Generator
LARGE = 400_000  # patches that stand for the whole population
SLACK = 1e-9
BAR = 0.92
KINDS = ("single", "calibration", "binary", "multi", "mean", "share")
KEEP = 0.7  # share of the patches on which the second model repeats the first


class Drawn(NamedTuple):
    """What is measured on one sample: estimates, and values by class of those that are means over present classes."""

    estimates: dict[str, Estimate]
    each: Mapping[str, Floats] = MappingProxyType({})
    present: npt.NDArray[np.bool_] = np.ones(1, bool)


class Answers(NamedTuple):
    """Answers of two models to the same patches, and the probabilities of the first."""

    truth: Labels
    probabilities: Floats
    first: Labels
    second: Labels


def answers(random: Random, n: int, *, p: float, classes: int, rare: bool = False) -> Answers:
    """Draw `n` patches of `classes` that the first model gets right with a share `p`."""
    shares = 0.5 ** np.arange(classes) if rare else np.ones(classes)
    truth = random.choice(classes, n, p=shares / shares.sum())
    right = random.beta(2 * p, 2 * (1 - p), n)

    def answer() -> Labels:
        other = (truth + random.integers(1, classes, n)) % classes
        return np.where(random.random(n) < right, truth, other)

    first = answer()
    second = np.where(random.random(n) < KEEP, first, answer())
    top = np.clip(1 / classes + (1 - 1 / classes) * right**0.7, 0, 0.999) + 1e-6
    rest = random.dirichlet(np.ones(classes - 1), n) * (1 - top)[:, None]
    # What is left is shared so that no other class is more probable than the first.
    rest = np.minimum(rest, top[:, None] - 1e-6)
    rest *= ((1 - top) / np.maximum(rest.sum(axis=1), 1e-12))[:, None]
    probabilities = np.empty((n, classes))
    rows = np.arange(n)[:, None]
    places = (first[:, None] + np.arange(1, classes)) % classes
    probabilities[rows, places] = rest
    probabilities[rows[:, 0], first] = top
    return Answers(truth, probabilities, first, second)


def single(random: Random, n: int, *, p: float, classes: int, rare: bool = False) -> Drawn:
    """Every number of a single-label evaluation and of a comparison of two models."""
    drawn = answers(random, n, p=p, classes=classes, rare=rare)
    truth, probabilities, first, second = drawn
    names = [str(k) for k in range(classes)]
    one, two = (measure(confusion_matrix(truth, a, classes=classes), names) for a in (first, second))
    right = first == truth
    accuracy, macro = paired_differences(truth, first, second, classes=classes)
    selective = measure_selective(right, probabilities.max(axis=1))
    calibration = measure_calibration(truth, probabilities)
    sets = check_sets(probabilities, truth, {"0.90": 0.9})["0.90"]
    f1, other = (np.array([m.f1.value for m in found.per_class.values()]) for found in (one, two))
    return Drawn(
        {
            "accuracy": one.accuracy,
            "recall of a class": one.per_class["0"].recall,
            "precision of a class": one.per_class["0"].precision,
            "F1 of a class": one.per_class["0"].f1,
            "macro-F1": one.macro_f1,
            "difference in accuracy": accuracy,
            "difference in macro-F1": macro,
            "kappa with the truth": cohen_kappa(truth, first, classes=classes),
            "kappa of two models": cohen_kappa(first, second, classes=classes),
            "NLL": calibration.nll,
            "Brier score": calibration.brier,
            "AURC": selective.aurc,
            "accuracy of the most confident": selective.accuracy["0.80"],
            "coverage of sets": sets.coverage,
            "size of sets": sets.size,
        },
        {"macro-F1": f1, "difference in macro-F1": f1 - other},
        np.bincount(truth, minlength=classes) > 0,
    )


def calibration(random: Random, n: int, *, spread: float, classes: int, power: float) -> Drawn:
    """Calibration of probabilities whose outcomes come from the same ones, raised to `power`."""
    stated = np.maximum(random.dirichlet(np.full(classes, spread), n), 1e-4)
    stated /= stated.sum(axis=1, keepdims=True)
    real = stated**power
    real /= real.sum(axis=1, keepdims=True)
    truth = np.minimum((real.cumsum(axis=1) < random.random((n, 1))).sum(axis=1), classes - 1)
    binary = classes == 2
    found = measure_calibration(truth, stated, binary=binary)
    top = np.full(n, 1) if binary else stated.argmax(axis=1)
    said, comes = (values[np.arange(n), top] for values in (stated, real))
    gaps = np.bincount(bin_places(said), weights=comes - said, minlength=BINS) / n
    estimates = {"ECE": found.ece, "NLL": found.nll, "Brier score": found.brier}
    return Drawn(estimates, {"ECE": np.array([np.abs(gaps).sum()])}, np.ones(1, bool))


def binary(random: Random, n: int, *, p: float, d: float) -> Drawn:
    """Every number of a binary evaluation, and the lead in average precision over other scores."""
    truth = random.random(n) < p
    common = random.normal(size=n) + d * truth
    scores, other = (1 / (1 + np.exp(-(common + 0.5 * random.normal(size=n)))) for _ in range(2))
    other = np.where(random.random(n) < 0.3, random.random(n), other)
    threshold = 1 / (1 + np.exp(-d / 2))
    found = measure_binary(truth, scores, threshold=threshold, names=("no", "yes"))
    return Drawn(
        {
            "average precision": found.average_precision,
            "AUROC": found.auroc,
            "F1 at a threshold": found.f1,
            "precision at a threshold": found.precision,
            "recall at a threshold": found.recall,
            "difference in average precision": paired_average_precision(truth, scores, other),
        }
    )


def multi(random: Random, n: int, *, p: float, classes: int, d: float) -> Drawn:
    """Every number of a multi-label evaluation; labels and errors of one patch resemble each other."""
    wanted = np.array([NormalDist().inv_cdf(share) for share in np.clip(np.linspace(p / 2, 1.5 * p, classes), 0, 0.98)])
    shared, noise = random.normal(size=(n, 1)), random.normal(size=(n, 1))
    truth = (0.6 * shared + 0.8 * random.normal(size=(n, classes))) < wanted
    scores = 1 / (1 + np.exp(-(d * (truth - 0.5) + 0.6 * noise + 0.8 * random.normal(size=(n, classes)))))
    if not truth.any():
        return Drawn({})
    found = measure_multilabel(truth, scores, thresholds=[0.5] * classes, names=[str(k) for k in range(classes)])
    each = found.per_class.values()
    return Drawn(
        {
            "macro-F1, several labels": found.macro_f1,
            "micro-F1, several labels": found.micro_f1,
            "mAP": found.mean_average_precision,
            "subset accuracy": found.subset_accuracy,
        },
        {
            "macro-F1, several labels": np.array([c.f1.value for c in each]),
            "mAP": np.array([c.average_precision.value for c in each]),
        },
        truth.any(axis=0),
    )


def mean(random: Random, n: int, *, shape: tuple[float, float], p: float) -> Drawn:
    """Means of bounded numbers as explanation checks have them, and of their differences."""
    first = random.beta(*shape, n)
    second = np.clip(first + p * random.normal(size=n), 0, 1)
    return Drawn(
        {
            "mean (explanation checks)": mean_estimate(first),
            "mean of paired differences": mean_estimate(first - second, signed=True),
        }
    )


def share(random: Random, n: int, *, p: float) -> Drawn:
    """Shares of right answers over five severities, their drop, and proportions of two parts of a split."""
    each = random.beta(2 * p, 2 * (1 - p), n)
    clean = random.random(n) < each
    levels = np.stack([random.random(n) < each * (1 - 0.15 * k) for k in range(1, 6)])
    right = levels.mean(axis=0)
    inside = random.random(n) < 0.3
    hits, size = int(clean[inside].sum()), int(inside.sum())
    other = levels[1]
    return Drawn(
        {
            "mean over shifts": mean_share(right),
            "drop under shifts": mean_difference(clean - right),
            "inside against outside a slice": proportion_difference(hits, size, int(other[~inside].sum()), n - size),
            "share of a slice": proportion(hits, size),
        }
    )


class Cell(NamedTuple):
    """A population and how many patches are drawn from it."""

    population: Callable[..., Drawn]
    n: int
    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Settings in words."""
        return ", ".join(f"{key} {value}" for key, value in self.settings.items())


def cells(names: Sequence[str], sizes: Sequence[int], *, short: bool = False) -> Iterator[Cell]:
    """All cells of some populations, or one or two of each."""
    shares = (0.05, 0.95) if short else (0.05, 0.2, 0.5, 0.8, 0.95)
    counts = (2, 10)
    populations: dict[str, list[tuple[Callable[..., Drawn], dict[str, Any]]]] = {
        "single": [(single, {"p": p, "classes": k}) for p in shares for k in counts]
        + [(single, {"p": p, "classes": 4, "rare": True}) for p in shares],
        "calibration": [
            (calibration, {"spread": a, "classes": k, "power": g})
            for k, a in ((2, 0.05), (2, 0.5), (4, 0.2), (10, 0.05), (10, 0.2), (10, 1.0))[:: 2 if short else 1]
            for g in ((1.0, 0.5) if short else (1.0, 0.8, 0.5, 0.15))
        ],
        "binary": [(binary, {"p": p, "d": d}) for p in shares for d in ((1.5,) if short else (0.5, 1.5, 3.0))],
        "multi": [
            (multi, {"p": p, "classes": k, "d": d})
            for p in ((0.2,) if short else (0.05, 0.2, 0.5))
            for k in counts
            for d in ((2.5,) if short else (1.5, 5.0))
        ],
        "mean": [(mean, {"shape": s, "p": 0.1}) for s in ((5.0, 5.0), (1.0, 9.0), (9.0, 0.5))],
        "share": [(share, {"p": p}) for p in shares],
    }
    for name in names:
        for population, settings in populations[name]:
            for n in sizes:
                yield Cell(population, n, settings)


@cache
def _population(population: Callable[..., Drawn], settings: tuple[tuple[str, Any], ...]) -> Drawn:
    return population(np.random.default_rng(1), LARGE, **dict(settings))


def coverage(cell: Cell, *, simulations: int, seed: int = 0) -> list[dict[str, Any]]:
    """How often each interval of a cell holds the truth, on which side it misses, and how wide it is."""
    whole = _population(cell.population, tuple(cell.settings.items()))
    random = np.random.default_rng(seed)
    found: dict[str, list[tuple[bool, bool, float]]] = {}
    for _ in range(simulations):
        drawn = cell.population(random, cell.n, **cell.settings)
        for kind, e in drawn.estimates.items():
            # A mean over the classes of the sample is compared with that of the same classes.
            each = whole.each.get(kind)
            truth = whole.estimates[kind].value if each is None else float(each[drawn.present].mean())
            found.setdefault(kind, []).append((e.low > truth + SLACK, e.high < truth - SLACK, e.high - e.low))
    measured = []
    for kind, values in found.items():
        above, below, width = np.mean(values, axis=0)
        measured.append(
            {
                "kind": kind,
                "cell": cell.name,
                "n": cell.n,
                "simulations": len(values),
                "coverage": round(float(1 - above - below), 4),
                "too_high": round(float(above), 4),
                "too_low": round(float(below), 4),
                "width": round(float(width), 4),
            }
        )
    return measured


def _measured(task: tuple[Cell, int]) -> list[dict[str, Any]]:
    return coverage(task[0], simulations=task[1])


def summary(found: list[dict[str, Any]]) -> list[str]:
    """A table of kinds by n: smallest and largest coverage over all cells in percent, and the mean width."""
    sizes = sorted({row["n"] for row in found})
    body = []
    for kind in dict.fromkeys(row["kind"] for row in found):
        texts = []
        for n in sizes:
            own = [row for row in found if row["kind"] == kind and row["n"] == n]
            least, most = (f(row["coverage"] for row in own) for f in (min, max))
            texts.append(f"{100 * least:.1f}-{100 * most:.1f} ({np.mean([row['width'] for row in own]):.3f})")
        body.append((kind, *texts))
    return rows(("kind", *(f"n = {n}" for n in sizes)), body)


def main() -> None:
    """Measure, and print."""
    options = parser(__doc__)
    options.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="populations")
    options.add_argument("--n", nargs="+", type=int, default=[5, 10, 20, 50, 200])
    options.add_argument("--simulations", type=int, default=2000)
    options.add_argument("--processes", type=int, default=1)
    chosen = options.parse_args()
    tasks = [(cell, chosen.simulations) for cell in cells(chosen.kinds, chosen.n, short=chosen.short)]
    found: list[dict[str, Any]] = []
    with Pool(chosen.processes) as pool:
        for done, part in enumerate(pool.imap(_measured, tasks), 1):
            found += part
            print(f"{done} of {len(tasks)} cells", file=sys.stderr, end="\r")
    few = [row for row in found if row["n"] >= 50 and row["coverage"] < BAR]
    finish(
        {"machine": machine(chosen.threads), "rows": found},
        chosen,
        table=[*summary(found), f"{len(few)} cells of 50 or more patches below {100 * BAR:g} %", *map(str, few)],
    )


if __name__ == "__main__":
    main()
