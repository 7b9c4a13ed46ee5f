from __future__ import annotations

from pathlib import Path

import pytest

from swath.evaluation.compare import mcnemar_counts
from swath.evaluation.intervals import proportion
from swath.model.record import Estimate
from swath.teaching.result import ClassGain, TeachingResult, TeachingSource, places_needed


def result(before, after, n, *, only_first, only_second):
    share = proportion(before, n), proportion(after, n)
    difference = (after - before) / n
    gain = ClassGain(
        "A class whose name is longer than a screen has room for", n, new=False, before=share[0], after=share[1]
    )
    return TeachingResult(
        path=Path("m.onnx"),
        model="m",
        source=TeachingSource("s.tif"),
        places={"a": n},
        before=share[0],
        after=share[1],
        difference=Estimate(value=difference, low=difference - 0.1, high=difference + 0.1, n=n),
        test=mcnemar_counts(only_first, only_second),
        classes=(gain,),
        strength=0.01,
        notes=(),
        seconds=1.0,
    )


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (result(20, 35, 40, only_first=0, only_second=15), "teaching helped"),
        (result(35, 20, 40, only_first=15, only_second=0), "did not help: the model before agrees with more"),
        (result(20, 22, 40, only_first=1, only_second=3), "no gain can be shown by 40 places; about"),
        (result(22, 20, 40, only_first=3, only_second=1), "it may have done harm by 40 places; about"),
        (result(40, 40, 40, only_first=0, only_second=0), "nothing to gain"),
    ],
)
def test_it_says_plainly_whether_it_helped(made, says):
    assert says in made.verdict()
    assert made.verdict() == made.lines()[-1]
    assert max(map(len, made.lines())) <= 80


def test_smaller_differences_need_more_places():
    test = mcnemar_counts(4, 6)
    needed = [places_needed(difference, test, 50) for difference in (0.3, 0.1, 0.04)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]
    # 1.96^2 (p - d^2) / d^2 places in all, with p = 11/52.
    assert places_needed(0.1, test, 50) == pytest.approx(1.96**2 * (11 / 52 - 0.01) / 0.01 - 50, abs=1)
