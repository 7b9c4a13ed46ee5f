from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swath.model import Record
from swath.model.record import NONE, class_infos, label_mask, margins, predicted_class

NAMES = ("a", "b", "c")


def record(task: str, **thresholds: float) -> Record:
    names = NAMES[:2] if task == "binary" else NAMES
    return Record.model_construct(task=task, classes=class_infos(names), thresholds=thresholds)


def test_one_label_of_many_is_the_most_probable():
    p = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], np.float32)
    assert predicted_class(record("single-label"), p).tolist() == [1, 0]
    assert label_mask(record("single-label"), p).tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(("p", "positive"), [(0.19, 0), (0.2, 1), (0.7, 1)])
def test_a_binary_model_decides_at_its_threshold(p, positive):
    both = np.array([[1 - p, p]])
    assert predicted_class(record("binary", b=0.2), both).tolist() == [positive]
    assert label_mask(record("binary", b=0.2), both).tolist() == [[not positive, bool(positive)]]
    assert predicted_class(record("binary"), both).tolist() == [int(p >= 0.5)]


def test_a_multi_label_model_gives_any_number_of_labels():
    p = np.array([[0.6, 0.7, 0.1], [0.1, 0.2, 0.3], [0.95, 0.9, 0.99]])
    several = record("multi-label", b=0.8, c=0.2)
    assert label_mask(several, p).tolist() == [[True, False, False], [False, False, True], [True, True, True]]
    assert predicted_class(several, p).tolist() == [0, 2, 2]
    assert predicted_class(several, np.zeros((1, 3))).tolist() == [NONE]
    assert margins(several, p)[0] == pytest.approx([0.1, 0.1, 0.1])


@given(arrays(np.float32, (4, 3), elements=st.floats(0, 1, width=32)), st.floats(0.01, 0.99))
def test_what_leads_is_always_a_label_that_counts(p, threshold):
    several = record("multi-label", a=threshold, c=1 - threshold)
    chosen, has = predicted_class(several, p), label_mask(several, p)
    for row, k in enumerate(chosen):
        if k == NONE:
            assert not has[row].any()
        else:
            assert has[row, k]
            assert p[row, k] == p[row][has[row]].max()


def test_thresholds_between_neighboring_float32_numbers_hold():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    middle = (float(low) + float(high)) / 2
    both = np.array([[1 - low, low], [1 - high, high]], np.float32)
    assert predicted_class(record("binary", b=middle), both).tolist() == [0, 1]
