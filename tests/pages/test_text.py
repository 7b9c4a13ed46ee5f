from __future__ import annotations

import pytest

from swath.model.record import Estimate
from swath.pages.text import (
    SCREEN,
    columns,
    counted,
    listed,
    percent,
    points,
    points_more,
    sentence,
    with_interval,
    written,
)


@pytest.mark.parametrize(
    ("value", "low", "high", "written"),
    [
        (0.981, 0.977, 0.984, ("98.10 %", "97.70\u201398.40 %")),
        (0.95, 0.9, 0.98, ("95.0 %", "90.0\u201398.0 %")),
        (1.0, 0.94, 1.0, ("100.0 %", "94.0\u2013100.0 %")),
    ],
)
def test_digits_follow_the_interval(value, low, high, written):
    assert percent(Estimate(value=value, low=low, high=high, n=500)) == written


def test_what_rests_on_nothing_has_no_number():
    assert percent(Estimate(value=0, low=0, high=1, n=0)) == ("\u2013", "no patch")


def test_differences_carry_their_sign():
    assert points(Estimate(value=-0.02, low=-0.05, high=0.01, n=9)) == "-2.0 points (-5.0 to +1.0)"


def test_columns_are_aligned():
    assert columns([("class", "n"), ("River", "1,200"), ("Sea", "7")]) == [
        "class      n",
        "River  1,200",
        "Sea        7",
    ]


def test_a_difference_says_more_or_fewer():
    assert points_more(Estimate(value=0.123, low=0.101, high=0.14, n=9)) == "12.3 points more (+10.1 to +14.0)"
    assert points_more(Estimate(value=-0.02, low=-0.05, high=0.01, n=9)) == "2.0 points fewer (-5.0 to +1.0)"


def test_an_interval_stands_in_parentheses():
    assert with_interval(Estimate(value=0.95, low=0.9, high=0.98, n=9)) == "95.0 % (90.0\u201398.0 %)"


def test_sentences_are_made_of_names_and_counts():
    assert sentence(f"{counted(1, 'class is', 'classes are')} wrong.") == "1 class is wrong."
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")


def test_names_are_one_short_line():
    assert written("a\nb") == "a b"
    assert written("a\x1b[31mb") == "a [31mb"
    assert written("x" * 40, limit=10) == "x" * 9 + "…"


def test_a_wide_table_goes_on_below_and_loses_nothing():
    rows = [[f"row {k}", *(f"cell {k} {n} {'x' * 3 * n}" for n in range(8))] for k in range(4)]
    lines = columns(rows)
    assert max(map(len, lines)) <= SCREEN
    assert lines.count("") == 2
    for row in rows:
        own = [line for line in lines if line.startswith(row[0])]
        assert len(own) == 3
        assert all(sum(cell in line for line in own) == 1 for cell in row[1:])
