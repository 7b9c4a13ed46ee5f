"""What files of other programs say of themselves."""

from __future__ import annotations

import pytest

from swath.weights.metadata import expects_of, license_of


def test_a_stated_normalization_is_read():
    assert expects_of({"normalisation": "mean 0.5 std 0.5"}, where="x").mean == (0.5, 0.5, 0.5)
    three = expects_of({"normalisation": "mean 0.485, 0.456,0.406 sd 0.229,0.224,0.225"}, where="x")
    assert (three.mean, three.sd, three.scale) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "imagenet",
        "mean 0.5",
        "mean 0.5 std 0",
        "mean . std .",
        "mean 1,2 std 1",
        "mean 0.5 std 0.5 or so",
    ],
)
def test_anything_else_is_not_guessed_at(text):
    assert expects_of({"normalization": text}, where="x") is None
    assert expects_of({}, where="x") is None


def test_licenses_in_either_spelling():
    assert license_of({"license": "mit"}) == license_of({"license": "mit"}) == "mit"
    assert license_of({}) is None
