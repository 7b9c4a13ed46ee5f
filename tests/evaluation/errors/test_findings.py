from __future__ import annotations

import numpy as np

from swath.evaluation.errors.findings import confused_pairs, most, slices_sentence, weakest_classes
from swath.evaluation.errors.slices import Slice
from swath.evaluation.intervals import proportion, proportion_difference, wilson
from swath.evaluation.metrics import measure

NAMES = ("Forest", "River", "SeaLake", "Town", "Empty")
CONFUSION = np.array(
    [[90, 8, 2, 0, 0], [12, 80, 8, 0, 0], [0, 0, 50, 0, 0], [1, 0, 0, 19, 0], [0, 0, 0, 0, 0]], np.int64
)


def test_pairs_come_most_often_first_with_the_share_of_their_class():
    found = confused_pairs(CONFUSION, NAMES)
    assert [(p.truth, p.predicted, p.n) for p in found] == [
        ("River", "Forest", 12),
        ("Forest", "River", 8),
        ("River", "SeaLake", 8),
        ("Forest", "SeaLake", 2),
        ("Town", "Forest", 1),
    ]
    assert (found[0].share.value, found[0].share.n) == (0.12, 100)
    assert (found[0].share.low, found[0].share.high) == wilson(12, 100)


def test_the_three_weakest_are_those_of_lowest_f1():
    found = weakest_classes(CONFUSION, NAMES, measure(CONFUSION, NAMES))
    assert [w.name for w in found] == ["River", "Forest", "SeaLake"]  # F1 0.851, 0.887, 0.909; Town 0.974
    assert found[0].predicted == {"Forest": 12, "SeaLake": 8}
    assert found[0].taken == {"Forest": 8}
    assert found[2].predicted == {}
    assert most(found[0].predicted) == "Forest (12), SeaLake (8)"
    assert most(found[2].predicted) == "\u2013"


def test_without_mistakes_no_class_is_weak():
    perfect = np.diag([5, 5, 5, 5, 0])
    assert confused_pairs(perfect, NAMES) == ()
    assert weakest_classes(perfect, NAMES, measure(perfect, NAMES)) == ()


def test_words():
    assert slices_sentence([]) == "No slice is large enough to compare with the rest."
    level = proportion_difference(50, 100, 250, 500)
    same = Slice(by="mode", name="RGB", accuracy=proportion(50, 100), difference=level, expected=0.5, p=1, corrected=1)
    assert slices_sentence([same] * 12) == (
        "None of 12 slices differs from the rest by more than chance would explain among so many."
    )
