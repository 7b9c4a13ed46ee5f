from __future__ import annotations

import numpy as np
import pytest

from swath.evaluation.intervals import mean_difference, mean_share
from swath.evaluation.robustness.page import sentences
from swath.evaluation.robustness.results import RobustnessResult, ShiftResult, condition


def stressed(n: int) -> RobustnessResult:
    """Three patches of a hundred turn wrong under a shift and three turn right: no drop is seen."""
    clean = np.arange(n) % 100 < 90
    shifted = clean.copy()
    shifted[np.isin(np.arange(n) % 100, (0, 1, 2))] = False
    shifted[np.isin(np.arange(n) % 100, (97, 98, 99))] = True
    drop = mean_difference(clean.astype(float) - shifted)
    sure = np.full(n, 0.9)
    severities = tuple(condition(shifted, sure, severity=k, strength="s") for k in range(1, 6))
    return RobustnessResult(
        model="tiny",
        split="val",
        engine="e",
        fingerprint="f",
        n=n,
        seed=0,
        clean=condition(clean, sure, severity=0, strength="none"),
        shifts={"gain": ShiftResult(what="brighter", severities=severities, drop=drop)},
        score=mean_share(shifted.astype(float)),
        drop=drop,
        skipped={},
        warnings=(),
    )


@pytest.mark.parametrize(("n", "harmless"), [(100, False), (20_000, True)])
def test_a_shift_costs_next_to_nothing_only_where_enough_patches_say_so(n, harmless):
    said = " ".join(sentences(stressed(n)))
    assert ("Next to nothing (under 1 point): gain." in said) == harmless
