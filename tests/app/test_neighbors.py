"""What the nearest shipped patches say of an answer, in words."""

from __future__ import annotations

from typing import Any

import pytest

from swath.app.neighbors import summary
from swath.evaluation.neighbors import Neighbor

CLASSES = ("Forest", "River", "SeaLake")


def near(*labels: str, **fields: Any) -> list[Neighbor]:
    values = {"name": "a.jpg", "similarity": 0.9, "words": "similar", "role": "trained on"} | fields
    return [Neighbor(row=row, label=label, **values) for row, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (("River",) * 5, "All of them are labeled River"),
        (("River", "River", "Forest"), "2 of them are labeled River; the others Forest."),
        (("River", "SeaLake", "Forest"), "1 of them is labeled River; the others Forest and SeaLake."),
        (("Forest", "Forest"), "None of them is labeled River"),
    ],
)
def test_agreement_is_said(labels: tuple[str, ...], said: str) -> None:
    found = summary(near(*labels), "River", CLASSES)
    assert said in found
    assert "not known" not in found


def test_other_classes_are_not_compared() -> None:
    assert "labeled" not in summary(near("River", "Forest"), "Dump", ("Dump", "No dump"))


def test_what_is_far_away_or_unknown_is_said() -> None:
    found = summary(near("River", words="hardly similar", role="not known"), "River", CLASSES)
    assert "hardly similar" in found
    assert "not known" in found
