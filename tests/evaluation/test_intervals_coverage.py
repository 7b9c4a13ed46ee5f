"""Every kind of 95 % interval that is printed, in populations whose truth is known: how often does it hold?

The populations and the full table are those of ``benchmarks/interval_coverage.py``.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
BAR = 0.92  # of 50 patches or more


@pytest.fixture(scope="module")
def simulated():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        module = importlib.import_module("interval_coverage")
        patch.setattr(module, "LARGE", 100_000)
        yield module
        module._population.cache_clear()


def below(rows, *, simulations):
    """Rows whose coverage is below the bar by more than three standard errors of the simulation."""
    slack = 3 * (BAR * (1 - BAR) / simulations) ** 0.5
    return [row for row in rows if row["coverage"] < BAR - slack]


@pytest.mark.parametrize(
    ("population", "n", "settings"),
    [
        ("calibration", 200, {"spread": 0.05, "classes": 10, "power": 1.0}),  # calibrated: 0.58 before
        ("calibration", 60, {"spread": 0.05, "classes": 2, "power": 0.5}),
        ("calibration", 200, {"spread": 0.2, "classes": 10, "power": 0.15}),
        ("single", 50, {"p": 0.95, "classes": 10}),
        ("single", 50, {"p": 0.5, "classes": 4, "rare": True}),
        ("binary", 50, {"p": 0.2, "d": 1.5}),
        ("multi", 50, {"p": 0.2, "classes": 4, "d": 2.5}),
        ("multi", 50, {"p": 0.05, "classes": 10, "d": 1.5}),
        ("mean", 50, {"shape": (9.0, 0.5), "p": 0.1}),
        ("share", 50, {"p": 0.95}),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_intervals_hold_the_truth(simulated, population, n, settings):
    cell = simulated.Cell(getattr(simulated, population), n, settings)
    rows = simulated.coverage(cell, simulations=200)
    assert rows
    assert below(rows, simulations=200) == []
    assert all(row["width"] > 0 for row in rows)


@pytest.mark.parametrize(("n", "width"), [(1, 0.1), (2, 0)])
@pytest.mark.parametrize("population", ["single", "calibration", "binary", "share", "mean"])
def test_one_or_two_patches_never_look_certain(simulated, population, n, width):
    cell = next(iter(simulated.cells([population], [n], short=True)))
    for seed in range(20):
        drawn = cell.population(np.random.default_rng(seed), n, **cell.settings)
        for kind, found in drawn.estimates.items():
            assert found.low <= found.value <= found.high, kind
            assert found.high - found.low > width, kind


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["single", "calibration", "binary", "multi", "mean", "share"])
def test_intervals_hold_in_a_small_grid(simulated, kind):
    cells = list(simulated.cells([kind], [50, 200], short=True))
    rows = [row for cell in cells for row in simulated.coverage(cell, simulations=300)]
    assert below(rows, simulations=300) == []


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["single", "calibration", "binary", "multi", "mean", "share"])
def test_intervals_hold_in_the_whole_grid(simulated, kind):
    """The bar itself: 2,000 simulations a cell, fixed seeds."""
    cells = list(simulated.cells([kind], [50, 200]))
    rows = [row for cell in cells for row in simulated.coverage(cell, simulations=2000)]
    assert [row for row in rows if row["coverage"] < BAR] == []
