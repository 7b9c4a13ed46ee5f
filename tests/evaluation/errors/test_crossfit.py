from __future__ import annotations

import numpy as np
import pytest

from swath.errors import DataError, SettingError
from swath.evaluation.errors import feature_probabilities, label_issues
from swath.evaluation.errors.crossfit import held_out_rows, label_numbers
from swath.inference import load
from tests.evaluation.errors.cases import mislabeled


def test_flips_are_judged_by_what_the_others_teach(tiny_model, tiny_index):
    classifier = load(tiny_model, engine="onnxruntime", threads=1)
    flips = {3: "River", 40: "Forest", 70: "SeaLake", 100: "Residential", 110: "Forest", 15: "SeaLake"}
    flips = {row: label for row, label in flips.items() if tiny_index.labels[row] != label}
    index = mislabeled(tiny_index, flips)
    p = feature_probabilities(classifier, index)
    assert p.shape == (120, 4)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    found = label_issues(p, label_numbers(index))
    assert set(flips) <= set(found.order[:12].tolist())
    for row in flips:
        assert index.classes[found.suggested[row]] == tiny_index.labels[row]


def test_the_same_call_gives_the_same_numbers(tiny_model, tiny_index):
    classifier = load(tiny_model, engine="onnxruntime", threads=1)
    first, again = (feature_probabilities(classifier, tiny_index, folds=3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_every_patch_is_held_out_once(tiny_index):
    rows = np.concatenate([held_out_rows(tiny_index, folds=4, fold=fold, seed=1) for fold in range(4)])
    assert sorted(rows) == list(range(len(tiny_index)))


def test_one_class_and_one_fold_are_refused(tiny_model, tiny_index):
    classifier = load(tiny_model, engine="onnxruntime", threads=1)
    with pytest.raises(DataError, match="all 120 patches are labeled 'River'"):
        feature_probabilities(classifier, mislabeled(tiny_index, dict.fromkeys(range(120), "River")))
    with pytest.raises(SettingError, match="1 folds"):
        feature_probabilities(classifier, tiny_index, folds=1)
