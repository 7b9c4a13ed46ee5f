from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from swath.data import read_index
from swath.errors import DataError, OutputError, SettingError
from swath.evaluation.compare import compare, comparison_points, mcnemar, mcnemar_counts
from swath.evaluation.predictions import TEST_ACCESSES
from swath.inference import load
from tests.tiny import CLASSES, write_tiny_model


@pytest.fixture(scope="module")
def good(tiny_model):
    return load(tiny_model, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Knows the classes by other names, so that it is wrong about two of them."""
    names = (CLASSES[1], CLASSES[0], *CLASSES[2:])
    path = write_tiny_model(tmp_path_factory.mktemp("bad") / "bad.onnx", classes=names)
    model = load(path, engine="onnxruntime", threads=1)
    infos = model.record.classes
    swapped = tuple(info.model_copy(update={"name": name}) for info, name in zip(infos, CLASSES, strict=True))
    model.record = model.record.model_copy(update={"classes": swapped, "name": "bad"})
    return model


def test_a_better_model_is_called_better(good, bad, tiny_index):
    found = compare(good, bad, tiny_index, split="val")
    assert found.accuracy.value > 0
    assert found.test.only_second == 0
    assert found.per_class[CLASSES[0]].second.value == 0
    assert found.per_class[CLASSES[3]].only_first == 0
    text = "\n".join(found.lines())
    assert "class by class" in text
    if found.test.p_value < 0.05:
        assert found.conclusion.startswith(f"{good.record.name} is better than bad")
    turned = compare(bad, good, tiny_index, split="val")
    assert turned.accuracy.value == -found.accuracy.value
    assert turned.test.p_value == found.test.p_value


def test_a_model_is_not_better_than_itself(good, tiny_index):
    found = compare(good, good, tiny_index, split="val")
    assert (found.test.p_value, found.accuracy.value) == (1.0, 0.0)
    assert found.conclusion.startswith("Neither is shown to be better")
    first, *_ = comparison_points(found)
    assert f"{first.number} {first.text}".startswith("0.0 points of accuracy apart: neither is shown to be better, and")


def test_access_to_the_test_split_leaves_a_note(good, bad, tiny_index, tmp_path):
    with pytest.raises(SettingError, match="--out"):
        compare(good, bad, tiny_index, split="test")
    out = tmp_path / "ab"
    found = compare(good, bad, tiny_index, split="test", out=out)
    assert json.loads((out / "comparison.json").read_text())["test"]["p_value"] == found.test.p_value
    lines = (tmp_path / TEST_ACCESSES).read_text().splitlines()
    assert [json.loads(line)["model"] for line in lines] == [good.record.name, "bad"]


def test_models_of_other_classes(good, tiny_index, tmp_path):
    other = load(write_tiny_model(tmp_path / "o.onnx", classes=("Forest", "Snow")), engine="onnxruntime", threads=1)
    with pytest.raises(DataError, match=r"classes differ.*Snow"):
        compare(good, other, tiny_index)


def test_the_result_does_not_replace_what_is_compared(tiny_model, tiny_index_file, tmp_path):
    model, data = tmp_path / "model.onnx", tmp_path / "index.parquet"
    shutil.copy(tiny_model, model)
    shutil.copy(tiny_index_file, data)
    classifier = load(model, engine="onnxruntime", threads=1)
    index = read_index(tiny_index_file)
    index = replace(index, file=data)
    held = model.read_bytes(), data.read_bytes()
    for out in (model, data):
        with pytest.raises(OutputError):
            compare(classifier, classifier, index, out=out, overwrite=True)
    assert (model.read_bytes(), data.read_bytes()) == held


counts = st.integers(0, 400)


@given(counts, counts)
def test_p_values_are_scipys(only_first, only_second):
    found = mcnemar_counts(only_first, only_second)
    n, fewer = only_first + only_second, min(only_first, only_second)
    exact = binomtest(fewer, n, 0.5).pvalue if n else 1.0
    assert found.p_value == pytest.approx(exact, rel=1e-9)
    assert found.mid_p == pytest.approx(min(1.0, 2 * binom.cdf(fewer, n, 0.5) - binom.pmf(fewer, n, 0.5)), rel=1e-9)
    assert found.mid_p <= found.p_value


def test_the_worked_example_of_fagerland_2013():
    found = mcnemar_counts(1, 7)  # airway hyper-responsiveness before and after: exact 0.070, mid-p 0.039
    assert (round(found.p_value, 3), round(found.mid_p, 3)) == (0.070, 0.039)


def test_only_disagreement_counts():
    truth = np.array(["a"] * 6 + ["b"] * 4)
    first, second = truth.copy(), truth.copy()
    first[0] = "b"  # both wrong
    second[[0, 1, 2]] = "b"
    found = mcnemar(truth, first, second)
    assert (found.only_first, found.only_second) == (2, 0)
    assert found.p_value == 0.5


def test_many_patches_do_not_overflow():
    assert mcnemar_counts(60_000, 61_000).p_value == pytest.approx(binomtest(60_000, 121_000).pvalue, rel=1e-6)


def test_answers_to_other_patches():
    with pytest.raises(DataError, match="cannot be paired"):
        mcnemar(np.zeros(3), np.zeros(3), np.zeros(2))
