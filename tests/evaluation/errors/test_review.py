from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from swath.errors import DataError, OutputError
from swath.evaluation.errors import measure_label_issues, write_label_issues
from swath.evaluation.errors.crossfit import label_numbers
from swath.evaluation.errors.review import COLUMNS, PAGE, TABLE
from tests.evaluation.cases import Page


def sure(index, *, other: dict[int, int]) -> np.ndarray:
    """Probabilities that agree with all labels but those of some rows, which are of another class."""
    numbers = label_numbers(index)
    for row, number in other.items():
        numbers[row] = number
    p = np.full((len(index), 4), 0.02)
    p[np.arange(len(index)), numbers] = 0.94
    return p


def test_the_list_and_the_page(tiny_index, tmp_path):
    report = measure_label_issues(tiny_index, sure(tiny_index, other={5: 2, 50: 0}), method="By hand.")
    write_label_issues(report, tmp_path)
    with (tmp_path / TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["rank"] for row in rows] == [str(i) for i in range(1, 121)]
    assert {rows[0]["path"], rows[1]["path"]} == {tiny_index.paths[5], tiny_index.paths[50]}
    first = next(row for row in rows if row["path"] == tiny_index.paths[5])
    assert (first["label"], first["suggested"], first["label_issue"]) == ("Forest", "River", "yes")
    assert (float(first["p_label"]), float(first["p_suggested"]), float(first["score"])) == (0.02, 0.94, 0.96)
    assert {row["verdict"] for row in rows} == {""}
    assert {row["label_issue"] for row in rows[2:]} == {"no"}
    assert (report.patches, report.candidates) == (120, 2)
    page = Page((tmp_path / PAGE).read_text(encoding="utf-8"))
    assert len(page.all("img", "src")) == 2
    assert tiny_index.paths[5] in page.text
    assert "By hand." in page.text
    assert "swath data relabel" in page.text


def test_a_list_that_was_filled_in_is_not_overwritten_unasked(tiny_index, tmp_path):
    report = measure_label_issues(tiny_index, sure(tiny_index, other={5: 2}))
    table = tmp_path / TABLE
    table.write_text("hours of work")
    with pytest.raises(OutputError, match="exists already"):
        write_label_issues(report, tmp_path)
    assert table.read_text() == "hours of work"
    write_label_issues(report, tmp_path, overwrite=True)
    assert table.read_text().startswith("rank,path,")


def test_without_label_issues_the_page_says_so(tiny_index, tmp_path):
    report = measure_label_issues(tiny_index, sure(tiny_index, other={}))
    assert report.candidates == 0
    assert "0 of 120 patches are label issues" in repr(report)
    write_label_issues(report, tmp_path)
    page = Page((tmp_path / PAGE).read_text(encoding="utf-8"))
    assert "No label issue" in page.text
    assert not page.all("img", "src")


def test_a_page_that_cannot_be_made_leaves_no_list(tiny_index, tmp_path):
    gone = replace(tiny_index, root=tmp_path / "moved")
    with pytest.raises(DataError):
        write_label_issues(measure_label_issues(gone, sure(tiny_index, other={5: 2})), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_page_without_its_list_is_not_overwritten_unasked(tiny_index, tmp_path):
    (tmp_path / "label_issues.html").write_text("mine")
    with pytest.raises(OutputError, match=r"label_issues\.html exists already"):
        write_label_issues(measure_label_issues(tiny_index, sure(tiny_index, other={})), tmp_path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("label_issues.html", "mine")]
