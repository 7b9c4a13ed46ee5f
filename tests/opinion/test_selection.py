"""One rule says where the classifier is unsure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.errors import DataError, SettingError
from swath.inference.predictions import to_predictions
from swath.model import Record, read_model
from swath.opinion.selection import BELOW, check_task, unsure_rows, unsure_rule
from tests.tiny import write_tiny_model

PROBABILITIES = np.array([[0.97, 0.01, 0.01, 0.01], [0.6, 0.38, 0.01, 0.01], [0.4, 0.3, 0.2, 0.1]], np.float32)


def record(tmp_path: Path, **fields: Any) -> Record:
    return read_model(write_tiny_model(tmp_path / "m.onnx", **fields)).record


def test_prediction_sets_decide_where_there_are_some(tmp_path: Path) -> None:
    made = record(tmp_path, conformal={"0.90": 0.3, "0.95": 0.65})
    said = to_predictions(made, PROBABILITIES)
    assert unsure_rows(made, said).tolist() == [False, True, False]  # one class, two classes, one class
    empty = made.model_copy(update={"conformal": {"0.95": 0.3}})
    assert unsure_rows(empty, said).tolist() == [False, True, True]  # no class at all
    assert unsure_rule(made, detects_ood=False) == "its 95 % prediction set does not hold exactly one class"


def test_confidence_decides_where_there_are_none_or_it_is_wanted(tmp_path: Path) -> None:
    made = record(tmp_path)
    said = to_predictions(made, PROBABILITIES)
    assert unsure_rows(made, said).tolist() == [False, True, True]
    assert unsure_rows(made, said, below=0.5).tolist() == [False, False, True]
    assert unsure_rule(made, detects_ood=False) == f"its confidence is below {BELOW}"
    with_sets = made.model_copy(update={"conformal": {"0.95": 0.65}})
    assert unsure_rows(with_sets, said, below=1.0).tolist() == [True, True, True]
    for below in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(SettingError, match=r"--below 0\.9"):
            unsure_rows(made, said, below=below)


def test_what_is_ood_is_always_asked_about(tmp_path: Path) -> None:
    from dataclasses import replace

    made = record(tmp_path)
    flags = np.array([True, False, False])
    said = replace(to_predictions(made, PROBABILITIES), is_ood=flags, ood_score=flags.astype(np.float32))
    assert unsure_rows(made, said, below=0.01).tolist() == [True, False, False]
    assert unsure_rule(made, below=0.01, detects_ood=True).endswith("or the patch is unlike the training data")


def test_a_model_of_several_labels_is_refused(tmp_path: Path) -> None:
    made = record(tmp_path, task="multi-label", baselines=None)
    with pytest.raises(DataError, match="use a model with one label per image"):
        check_task(made)
