"""The 95 % intervals hold the truth in about 95 % of samples of 50 points per class; plain ones do not.

``benchmarks/assess_coverage.py`` measures more kinds, sizes and maps; its numbers are in docs/assessment.md.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from swath.assessment.estimators import StratifiedSample, measure_map


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 5])
def test_intervals_hold_the_truth(size: int) -> None:
    random = np.random.default_rng(size)
    hits: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for _ in range(700):
        areas = np.maximum(random.dirichlet(np.ones(size)), 0.005)
        areas /= areas.sum()
        users = random.beta(10, 1.5, size)
        truth = np.diag(users)
        for k in range(size):
            truth[k, np.arange(size) != k] = random.dirichlet(np.ones(size - 1)) * (1 - users[k])
        stratum = np.repeat(np.arange(size), 50)
        reference = np.concatenate([random.choice(size, 50, p=truth[k]) for k in range(size)])
        names = tuple(map(str, range(size)))
        found = measure_map(StratifiedSample(names, stratum=stratum, mapped=stratum, reference=reference, areas=areas))
        whole = areas @ truth
        exact = [("overall", found.overall, float(areas @ users))]
        for k, scores in enumerate(found.per_class.values()):
            exact += [
                ("users", scores.users, users[k]),
                ("producers", scores.producers, areas[k] * users[k] / whole[k]),
                ("area", scores.area, whole[k]),
            ]
        for name, one, value in exact:
            if one.n:
                hits[name].append((one.low <= value <= one.high, abs(one.value - value) <= one.margin))
    for name, held in hits.items():
        ours, plain = np.mean(held, axis=0)
        assert 0.925 < ours < 0.975, name
        assert plain < ours, name
    assert np.mean(hits["producers"], axis=0)[1] < 0.88
