"""How often the 95 % intervals of ``swath assess`` hold the truth, in simulated maps whose truth is known.

    python benchmarks/assess_coverage.py [--maps 2000] [--points 10 20 50 100] [--table] [--json FILE]

Results: docs/assessment.md. The bar: 93 to 97 % where every stratum has 50 points or more.

Each simulated map has 2 to 10 classes of random areas, random user's accuracies (Beta, mean 0.75 to 0.95) and random
confusions. One sample of each is drawn and measured with the functions that the command calls, and every interval is
compared with the truth. ``equal`` gives all classes the same number of points, ``floor`` that number at least and the
others by area. ``other map`` is a second map on the same points, whose classes are not the strata; ``difference`` is
that of both. ``paper`` is value ± 1.96 standard errors, as the papers have it.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
from common import finish, machine, parser, rows

from swath.assessment import StratifiedSample, measure_difference, measure_map
from swath.assessment.estimators import StratifiedEstimate

Floats = npt.NDArray[np.float64]
Random = np.random.Generator
SLACK = 1e-9
SAME, RIGHT = 0.75, 0.15  # of the second map: how often it repeats the first, or has the truth
SMALLEST = 0.002  # share of the ground of a class
CLASSES, ACCURACIES = (2, 3, 5, 7, 10), (0.75, 0.85, 0.95)


def simulated_map(random: Random) -> tuple[Floats, Floats]:
    """Areas ``[K]`` of map classes, and what they are ``[K, K]``: rows of shares of the true classes."""
    size, mean = int(random.choice(CLASSES)), float(random.choice(ACCURACIES))
    areas = np.maximum(random.dirichlet(np.ones(size)), SMALLEST)
    truth = np.empty((size, size))
    for k in range(size):
        users = random.beta(12 * mean, 12 * (1 - mean))
        others = random.dirichlet(np.full(size - 1, 0.7)) * (1 - users)
        truth[k] = np.insert(others, k, users)
    return areas / areas.sum(), truth


def true_values(joint: Floats) -> dict[str, list[float | None]]:
    """Accuracies and areas of a map of known ``[K, K]`` parts of the ground."""
    diagonal = np.diag(joint)
    mapped, true = joint.sum(axis=1), joint.sum(axis=0)
    return {
        "overall": [float(diagonal.sum())],
        "users": (diagonal / mapped).tolist(),
        "producers": (diagonal / true).tolist(),
        "area": true.tolist(),
    }


def simulate(random: Random, n: int, allocation: str) -> list[tuple[str, StratifiedEstimate, float]]:
    """One map, one sample: every estimate with its name and the truth."""
    areas, truth = simulated_map(random)
    size = len(areas)
    by_area = np.round(2 * n * size * areas).astype(int)
    counts = np.full(size, n) if allocation == "equal" else np.maximum(n, by_area)
    stratum = np.repeat(np.arange(size), counts)
    reference = np.concatenate([random.choice(size, counts[k], p=truth[k]) for k in range(size)])
    luck = random.random(len(stratum))
    drawn = random.integers(0, size, len(stratum))
    second = np.where(luck < SAME, stratum, np.where(luck < SAME + RIGHT, reference, drawn))
    sample = StratifiedSample(
        tuple(map(str, range(size))),
        stratum=stratum,
        mapped=np.stack([stratum, second]),
        reference=reference,
        areas=areas,
    )
    joint = areas[:, None] * truth
    true = joint.sum(axis=0)
    other = SAME * joint + RIGHT * np.diag(true) + (1 - SAME - RIGHT) / size * true[None]
    exact = [true_values(joint), true_values(other)]
    found: list[tuple[str, StratifiedEstimate, float]] = []
    for which, name in enumerate(("", "other map: ")):
        estimates = measure_map(sample, which=which)
        found.append((f"{name}overall", estimates.overall, exact[which]["overall"][0]))
        for k, one in enumerate(estimates.per_class.values()):
            for what in ("users", "producers", *(("area",) if which == 0 else ())):
                found.append((name + what, getattr(one, what), exact[which][what][k]))
    pair = measure_difference(sample, 0, 1)
    found.append(("difference: overall", pair.overall, exact[0]["overall"][0] - exact[1]["overall"][0]))
    for k in range(size):
        for what in ("users", "producers"):
            one = getattr(pair, what)[str(k)]
            found.append((f"difference: {what}", one, exact[0][what][k] - exact[1][what][k]))
    return [item for item in found if item[1].n]


def measure(maps: int, n: int, allocation: str) -> list[dict[str, Any]]:
    """Coverage of every kind of interval over all maps."""
    random = np.random.default_rng([n, allocation == "equal"])
    hits: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    for number in range(maps):
        for name, estimate, truth in simulate(random, n, allocation):
            held = estimate.low - SLACK <= truth <= estimate.high + SLACK
            plain = abs(estimate.value - truth) <= estimate.margin + SLACK
            hits[name].append((held, plain, estimate.high - estimate.low))
        if number % 50 == 0:
            print(f"{allocation}, {n} points: map {number} of {maps}", file=sys.stderr, end="\r")
    means = {name: np.mean(values, axis=0) for name, values in hits.items()}
    return [
        {
            "points": n,
            "allocation": allocation,
            "what": name,
            "intervals": len(hits[name]),
            "coverage": round(float(mean[0]), 4),
            "paper": round(float(mean[1]), 4),
            "width": round(float(mean[2]), 4),
        }
        for name, mean in means.items()
    ]


def table(found: list[dict[str, Any]]) -> list[str]:
    """Coverage of each kind by points per class, in parentheses that of the papers' limits."""
    sizes = sorted({row["points"] for row in found})
    cells = {
        (row["what"], row["allocation"], row["points"]): f"{100 * row['coverage']:.1f} ({100 * row['paper']:.1f})"
        for row in found
    }
    kinds = dict.fromkeys((what, allocation) for what, allocation, _ in cells)
    body = [(*kind, *(cells[*kind, size] for size in sizes)) for kind in kinds]
    return rows(("interval of", "allocation", *(f"{size} points per class" for size in sizes)), body)


def main() -> None:
    """Run all cells and print coverage."""
    options = parser(__doc__)
    options.add_argument("--maps", type=int, default=2000)
    options.add_argument("--points", type=int, nargs="+", default=[10, 20, 50, 100])
    chosen = options.parse_args()
    maps = 100 if chosen.short else chosen.maps
    found = [row for n in chosen.points for kind in ("equal", "floor") for row in measure(maps, n, kind)]
    finish({"machine": machine(chosen.threads), "maps": maps, "rows": found}, chosen, table=table(found))


if __name__ == "__main__":
    main()
