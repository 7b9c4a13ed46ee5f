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
    K labels, each on a share of the patches about p, scores as for ``binary``; labels and errors of a patch go together.
``mean``
    Means of continuous numbers (explanation checks): normal, skewed, bounded.
``share``
    Means over shifts and severities, and over seeds, of shares of right answers, and differences of proportions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import Pool
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from common import finish, machine, parser

from swath.evaluation.calibration import BINS, bin_places, check_sets, measure_calibration, measure_selective
from swath.evaluation.intervals import mean_difference, mean_estimate, mean_share, proportion, proportion_difference
from swath.evaluation.metrics import (
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
KEEP = 0.7  # share of the patches on which the second model repeats the first


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


def single(random: Random, n: int, *, p: float, classes: int, rare: bool = False) -> dict[str, Estimate]:
    """Every number of a single-label evaluation and of a comparison of two models."""
    drawn = answers(random, n, p=p, classes=classes, rare=rare)
    truth, probabilities, first, second = drawn
    names = [str(k) for k in range(classes)]
    found = measure(confusion_matrix(truth, first, classes=classes), names)
    right = first == truth
    accuracy, macro = paired_differences(truth, first, second, classes=classes)
    selective = measure_selective(right, probabilities.max(axis=1))
    calibration = measure_calibration(truth, probabilities)
    sets = check_sets(probabilities, truth, {"0.90": 0.9})["0.90"]
    one = found.per_class["0"]
    return {
        "accuracy": found.accuracy,
        "recall of a class": one.recall,
        "precision of a class": one.precision,
        "F1 of a class": one.f1,
        "macro-F1": found.macro_f1,
        "difference in accuracy": accuracy,
        "difference in macro-F1": macro,
        "NLL": calibration.nll,
        "Brier": calibration.brier,
        "AURC": selective.aurc,
        "accuracy of the 80 % most confident": selective.accuracy["0.80"],
        "coverage of sets": sets.coverage,
        "size of sets": sets.size,
    }
