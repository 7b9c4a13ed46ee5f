"""Planted wrong labels, and how many of them are in the first tenth of the list of label issues.

    python benchmarks/label_issues.py [--index INDEX] [--split train|val] [--ways ...] [--table] [--json FILE]

Results: docs/errors.md. The bar: 85 % of 5 % planted flips in the first 10 % of the list.

Noise is symmetric (any patch, any other class) or class-dependent (five classes of EuroSAT, each flipped to the class
it is most often confused with, so one in ten of their labels is wrong). Sources of out-of-fold probabilities:
``features``, regressions on the features of the shipped model, which was trained on the true labels of EuroSAT's
train list, so results on train patches are optimistic, and on val patches less so; ``own``, regressions on the
features of one network trained on the planted labels; ``folds``, one network per fold, trained on the planted labels of
the others. The penalty of the regressions was chosen with ``--penalties`` on patches of the train list. Without
``--index`` the 2,000 shipped patches are used. ``own`` and ``folds`` need the train extra.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import finish, machine, parser, rows, spread

import swath
from swath.data import PatchIndex, build_index, read_index
from swath.data.splits import fold_index
from swath.evaluation.errors import feature_probabilities, inject_label_noise, label_issues, labels
from swath.evaluation.errors.labels import label_numbers
from swath.evaluation.intervals import proportion
from swath.pipelines.label_issues import trained_probabilities

WAYS = ("features", "own", "folds")
TOWARDS = {
    "AnnualCrop": "PermanentCrop",
    "HerbaceousVegetation": "PermanentCrop",
    "Highway": "River",
    "Industrial": "Residential",
    "Pasture": "HerbaceousVegetation",
}
NOISE: dict[str, dict[str, str] | None] = {"symmetric": None, "class-dependent": TOWARDS}
Probabilities = npt.NDArray[np.float64]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--index", type=Path, default=None, help="an index of EuroSAT")
    options.add_argument("--split", default=None, help="use the patches of one split only")
    options.add_argument("--ways", nargs="+", choices=WAYS, default=["features"])
    options.add_argument("--noise", nargs="+", choices=list(NOISE), default=list(NOISE))
    options.add_argument("--recipe", default="flash", help="recipe of own and folds")
    options.add_argument("--folds", type=int, default=4)
    options.add_argument("--penalties", type=float, nargs="+", default=[labels.PENALTY])
    args = options.parse_args()
    index = read_index(args.index) if args.index else build_index("eurosat-mini")
    index = index.where(args.split) if args.split else index
    found = []
    for noise in args.noise:
        for way in args.ways:
            for penalty in args.penalties if way != "folds" else args.penalties[:1]:
                labels.PENALTY = penalty
                seeds = range(args.repeats or (1 if args.short else 3))
                runs = [measured(index, way, NOISE[noise], seed, args) for seed in seeds]
                found.append({"noise": noise, "way": way, "penalty": penalty, "runs": runs} | summed(runs))
    result = {"machine": machine(args.threads), "index": index.name, "patches": len(index), "found": found}
    header = (
        "noise",
        "probabilities from",
        "recall in the first tenth",
        "precision at the number planted",
        "estimated / planted",
        "s",
    )
    lines = rows(header, [cells(one) for one in found])
    finish(result, args, table=lines)


def measured(index: PatchIndex, way: str, towards: dict[str, str] | None, seed: int, args: Any) -> dict[str, float]:
    """One planting, with one source of probabilities."""
    flawed, flips = inject_label_noise(index, towards=towards, seed=seed)
    sources: dict[str, Callable[[], Probabilities]] = {
        "features": lambda: feature_probabilities(
            swath.load("eurosat", threads=args.threads), flawed, folds=args.folds, seed=seed
        ),
        "own": lambda: own(flawed, seed, args),
        "folds": lambda: folds(flawed, seed, args),
    }
    start = time.perf_counter()
    found = label_issues(sources[way](), label_numbers(flawed))
    seconds = time.perf_counter() - start
    first = found.order[: len(index) // 10]
    return {
        "seed": seed,
        "planted": len(flips),
        "in_first_tenth": int(np.isin(flips, first).sum()),
        "in_first_as_many": int(np.isin(flips, found.order[: len(flips)]).sum()),
        "candidates": int(found.candidate.sum()),
        "estimated": round(found.estimated, 1),
        "seconds": round(seconds, 1),
    }


def own(flawed: PatchIndex, seed: int, args: Any) -> Probabilities:
    """Features of a network that was trained on the planted labels."""
    from swath.training import load_recipe, train

    with tempfile.TemporaryDirectory() as folder:
        parts = fold_index(flawed, folds=10, fold=0, val=0.1, seed=seed)
        run = train(parts, load_recipe(args.recipe), out=Path(folder) / "run", threads=args.threads)
        classifier = swath.load(run.model, threads=args.threads)
        return feature_probabilities(classifier, flawed, folds=args.folds, seed=seed)


def folds(flawed: PatchIndex, seed: int, args: Any) -> Probabilities:
    """One network per fold."""
    with tempfile.TemporaryDirectory() as folder:
        return trained_probabilities(
            flawed, out=Path(folder), recipe=args.recipe, folds=args.folds, seed=seed, threads=args.threads
        )


def summed(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Summarize all plantings."""
    planted = int(sum(run["planted"] for run in runs))
    return {
        "recall_in_first_tenth": proportion(int(sum(r["in_first_tenth"] for r in runs)), planted).model_dump(),
        "precision_of_first_as_many": proportion(int(sum(r["in_first_as_many"] for r in runs)), planted).model_dump(),
        "estimated_per_planted": round(sum(r["estimated"] for r in runs) / planted, 3),
        "seconds": spread([run["seconds"] for run in runs]),
    }


def cells(one: dict[str, Any]) -> list[str]:
    """A line of the table."""

    def share(value: dict[str, float]) -> str:
        return f"{100 * value['value']:.1f} % ({100 * value['low']:.1f}-{100 * value['high']:.1f})"

    return [
        one["noise"],
        one["way"],
        share(one["recall_in_first_tenth"]),
        share(one["precision_of_first_as_many"]),
        f"{one['estimated_per_planted']:.2f}",
        f"{one['seconds']['median']:.0f}",
    ]


if __name__ == "__main__":
    main()
