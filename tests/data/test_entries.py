from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from swath.data.entries import cell_text, is_empty
from swath.data.tables import entries_of_columns

EMPTY = (None, "", float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"))
HELD = ("nan", "0", 0, 0.0, False, np.float32(1), (), ["a"], np.array(["a", "b"]), np.array([np.nan, 1.0]))


@pytest.mark.parametrize("cell", EMPTY)
def test_what_libraries_have_for_nothing_is_empty(cell):
    assert is_empty(cell)
    assert cell_text(cell) == ""


@pytest.mark.parametrize("cell", HELD, ids=str)
def test_anything_else_is_held(cell):
    assert not is_empty(cell)


@pytest.mark.parametrize("empty", EMPTY, ids=repr)
@pytest.mark.parametrize("labels", [["a;b", "c"], ["['a', 'b']", "c"], [["a", "b"], "c"]], ids=str)
def test_an_empty_cell_is_empty_in_every_column(labels, empty):
    rows = [
        ("row 1", {"path": "1.png", "labels": labels[0], "split": "train", "source": empty, "site": 0}),
        ("row 2", {"path": "2.png", "labels": labels[1], "split": empty, "source": "x", "site": empty}),
        ("row 3", {"path": "3.png", "labels": empty, "split": empty, "source": "x", "site": "b"}),
    ]
    made = entries_of_columns(list(rows[0][1]), rows, where="table")
    assert [row.labels for row in made.rows] == [("a", "b"), ("c",), ()]
    assert [row.split for row in made.rows] == ["train", None, None]
    assert [row.source for row in made.rows] == [None, "x", "x"]
    assert made.extras["site"] == {"1.png": "0", "2.png": "", "3.png": "b"}
