from __future__ import annotations

import numpy as np
import pytest

from swath.datareport.shortcuts import cross_validated
from swath.evaluation.intervals import wilson


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
