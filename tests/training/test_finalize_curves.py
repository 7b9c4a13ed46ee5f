from __future__ import annotations

import csv

import numpy as np
import pytest

from swath.training.finalize import write_history


def history(n):
    return [
        {
            "epoch": i + 1,
            "seconds": 1.5,
            "train_loss": 2 / (i + 1),
            "train_accuracy": (i + 0.5) / n,
            "val_loss": 1 / (i + 1),
            "val_accuracy": i / n,
        }
        for i in range(n)
    ]


def test_the_table_holds_every_number(tmp_path):
    write_history(tmp_path / "h.csv", history(3), kept=1)
    with (tmp_path / "h.csv").open(newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert [row.pop("kept") for row in rows] == [0, 1, 0]
    assert rows == history(3)


@pytest.mark.parametrize("epochs", [1, 5])
def test_a_start_that_is_kept_is_a_row_without_training_scores(tmp_path, epochs):
    began = {
        "epoch": 0,
        "seconds": 0.5,
        "train_loss": np.nan,
        "train_accuracy": np.nan,
        "val_loss": 1,
        "val_accuracy": 1,
    }
    rows = [began, *history(epochs)]
    write_history(tmp_path / "h.csv", rows, kept=0)
    with (tmp_path / "h.csv").open(newline="") as file:
        first, *others = csv.DictReader(file)
    assert (first["epoch"], first["train_loss"], first["train_accuracy"], first["kept"]) == ("0", "", "", "1")
    assert all(row["train_loss"] and row["kept"] == "0" for row in others)
