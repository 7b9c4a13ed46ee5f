from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from swath.errors import DataError, OutputError
from swath.evaluation.errors import write_label_issues
from swath.evaluation.errors.crossfit import label_numbers
from swath.evaluation.errors.review import COLUMNS
from tests.evaluation.cases import Page


def sure(index, *, warning_inputs: dict[int, int]) -> np.ndarray:
    """Probabilities that agree with all labels but those of some rows, which are of another class."""
    numbers = label_numbers(index)
    for row, other in warning_inputs.items():
        numbers[row] = other
    p = np.full((len(index), 4), 0.02)
    p[np.arange(len(index)), numbers] = 0.94
    return p


def test_the_list_and_the_page(tiny_index, tmp_path):
    made = write_label_issues(
        tiny_index, sure(tiny_index, warning_inputs={5: 2, 50: 0}), out=tmp_path, how="By hand."
    )
    with made.table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["rank"] for row in rows] == [str(i) for i in range(1, 121)]
    assert {rows[0]["path"], rows[1]["path"]} == {tiny_index.paths[5], tiny_index.paths[50]}
    first = next(row for row in rows if row["path"] == tiny_index.paths[5])
    assert (first["label"], first["suggested"], first["suspect"]) == ("Forest", "River", "yes")
    assert (float(first["p_label"]), float(first["p_suggested"]), float(first["score"])) == (0.02, 0.94, 0.96)
    assert {row["verdict"] for row in rows} == {""}
    assert {row["suspect"] for row in rows[2:]} == {"no"}
    assert (made.patches, made.candidates) == (120, 2)
    page = Page(made.page.read_text(encoding="utf-8"))
    assert len(page.all("img", "src")) == 2
    assert tiny_index.paths[5] in page.text
    assert "By hand." in page.text
    assert "swath data relabel" in page.text


def test_a_list_that_was_filled_in_is_not_overwritten_unasked(tiny_index, tmp_path):
    p = sure(tiny_index, warning_inputs={5: 2})
    made = write_label_issues(tiny_index, p, out=tmp_path, how="")
    made.table.write_text("hours of work")
    with pytest.raises(OutputError, match="exists already"):
        write_label_issues(tiny_index, p, out=tmp_path, how="")
    assert made.table.read_text() == "hours of work"
    write_label_issues(tiny_index, p, out=tmp_path, how="", overwrite=True)
    assert made.table.read_text().startswith("rank,path,")


def test_without_label_issues_the_page_says_so(tiny_index, tmp_path):
    made = write_label_issues(tiny_index, sure(tiny_index, warning_inputs={}), out=tmp_path, how="")
    assert made.candidates == 0
    page = Page(made.page.read_text(encoding="utf-8"))
    assert "No suspect" in page.text
    assert not page.all("img", "src")


def test_a_page_that_cannot_be_made_leaves_no_list(tiny_index, tmp_path):
    gone = replace(tiny_index, root=tmp_path / "moved")
    with pytest.raises(DataError):
        write_label_issues(gone, sure(tiny_index, warning_inputs={5: 2}), out=tmp_path / "out", how="")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_page_without_its_list_is_not_overwritten_unasked(tiny_index, tmp_path):
    (tmp_path / "label_issues.html").write_text("mine")
    with pytest.raises(OutputError, match=r"suspects\.html exists already"):
        write_label_issues(tiny_index, sure(tiny_index, warning_inputs={}), out=tmp_path, how="")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("label_issues.html", "mine")]
