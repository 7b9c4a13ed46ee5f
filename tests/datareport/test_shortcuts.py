from __future__ import annotations

import numpy as np
import pytest

from swath.datareport.shortcuts import cross_validated, drawn, measure_shortcuts
from swath.evaluation.intervals import wilson
from swath.imagery import Storage

RNG = np.random.default_rng(0)


def header(*, side=64, mode="RGB", tables="aaaaaaaa", length=3000):
    return Storage("JPEG", side, side, mode, "quality 75", tables, "", bytes=length)


def measured(headers, labels, *, suffixes=None, colors=None):
    n = len(labels)
    return measure_shortcuts(
        headers, suffixes or [".jpg"] * n, colors if colors is not None else RNG.normal(size=(n, 6)), labels, [None] * n
    )


def test_the_well_known_set_of_four_classes_is_given_away():
    """Two classes stand apart by size and mode; the other two look alike: three quarters can be told."""
    labels = ["cloudy", "desert", "green", "water"] * 100
    forms = {"cloudy": {"side": 256, "mode": "CMYK"}, "desert": {"side": 256}, "green": {}, "water": {}}
    found = measured([header(**forms[label]) for label in labels], labels)
    assert found.headers.score.accuracy.value == pytest.approx(0.75, abs=0.01)
    assert found.headers.score.chance == 0.25
    assert found.headers.is_shortcut
    assert {one.name: one.values for one in found.fields} == {"size": 2, "mode": 2}
    assert found.fields[0].score.accuracy.value == pytest.approx(0.5, abs=0.01)


def test_files_of_one_form_tell_nothing():
    labels = ["A"] * 60 + ["B"] * 40
    found = measured([header()] * 100, labels)
    assert found.headers.score.accuracy.value == found.headers.score.chance == 0.6
    assert not found.headers.is_shortcut
    assert found.fields == ()


def test_two_fields_can_tell_together_what_neither_tells_alone():
    labels, headers = [], []
    for k in range(400):
        side, mode = 64 * (1 + k % 2), ("RGB", "L")[k // 2 % 2]
        labels.append("A" if (k + k // 2) % 2 else "B")
        headers.append(header(side=side, mode=mode))
    found = measured(headers, labels)
    assert found.headers.score.accuracy.value == 1.0
    assert all(one.score.accuracy.value < 0.6 for one in found.fields)


def test_sizes_that_are_all_different_can_still_tell():
    sides = [int(s) for s in RNG.permutation(np.r_[40:140, 300:400])]
    found = measured([header(side=s) for s in sides], ["A" if s < 200 else "B" for s in sides])
    assert found.headers.score.accuracy.value > 0.95


def test_suffix_length_and_colors_are_scored_apart():
    labels = ["A", "B"] * 100
    found = measured(
        [header(length=1000 + 4000 * (label == "A")) for label in labels],
        labels,
        suffixes=[".jpg" if label == "A" else ".jpeg" for label in labels],
        colors=np.array([[float(label == "A")] for label in labels]),
    )
    assert [one.name for one in found.fields] == ["suffix"]
    assert {one.name for one in found.all if one.is_shortcut} == {
        "all headers", "suffix", "length in bytes", "color statistics",
    }  # fmt: skip
    assert [one.name for one in found.all if one.seen] == ["color statistics"]


def test_one_class_has_nothing_to_give_away():
    found = measured([header()] * 20, ["A"] * 20)
    assert (found.headers, found.all) == (None, ())


def test_the_draw_is_seeded_and_in_order():
    rows = drawn(9000)
    assert len(rows) == 6000
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == drawn(9000).tolist()
    assert drawn(5).tolist() == [0, 1, 2, 3, 4]


def test_what_tells_the_class_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    labels = [str(k % 3) for k in range(600)]
    truth = np.array([[label == name for name in "012"] for label in labels], float)
    assert cross_validated(truth, labels, [None] * 600).accuracy.value == 1.0
    noise = cross_validated(rng.normal(size=(600, 8)), labels, [None] * 600)
    assert noise.accuracy.low < 1 / 3 < noise.accuracy.high
    assert noise.chance == pytest.approx(1 / 3)


def test_a_column_a_patch_learns_nothing_about_others():
    """What fits every patch it has seen must not look good: that is what folds are for."""
    labels = [str(k % 2) for k in range(60)]
    told = cross_validated(np.eye(60), labels, [None] * 60)
    assert told.accuracy.value <= 0.6


def test_copies_are_never_learned_from():
    rng = np.random.default_rng(1)
    labels = [rng.choice(["A", "B"]) for _ in range(50)] * 4
    features = np.tile(rng.normal(size=(50, 80)), (4, 1))
    together = cross_validated(features, labels, [f"g{k % 50}" for k in range(200)])
    apart = cross_validated(features, labels, [None] * 200)
    assert apart.accuracy.value > 0.95
    assert together.accuracy.value < 0.75


def test_interval_and_chance_are_those_of_all_patches():
    labels = ["A"] * 70 + ["B"] * 30
    told = cross_validated(np.zeros((100, 1)), labels, [None] * 100)
    assert (told.accuracy.value, told.accuracy.n, told.chance) == (0.7, 100, 0.7)
    assert (told.accuracy.low, told.accuracy.high) == wilson(70, 100)


def test_nothing_is_measured_where_there_is_nothing_to_tell():
    assert cross_validated(np.zeros((9, 1)), ["A"] * 9, [None] * 9) is None
    assert cross_validated(np.zeros((4, 1)), ["A", "B"] * 2, [None] * 4) is None
