from __future__ import annotations

import json

import numpy as np
import pytest

from swath.data import build_index, open_patches, shipped_path
from swath.data.known import known_names, known_overlaps, known_set, parse_known
from swath.errors import DataError

from .makers import encoded, picture, write


def test_the_shipped_list_is_that_of_eurosat():
    assert known_names() == ("eurosat-rgb",)
    known = known_set("eurosat-rgb")
    assert (len(known.hashes), known.listed) == (27_000, 21_600)
    assert sum(known.counts.values()) == 27_000
    assert len(np.unique(known.hashes)) == 21_601  # all different, and 0 for those it lacks


def test_all_patches_of_the_shipped_set_are_recognized_with_their_class():
    index = build_index("eurosat-mini")
    (overlap,) = known_overlaps(index, index.labels)
    assert overlap.identical == tuple(index.paths)
    assert overlap.named == ()
    assert overlap.classes == {label: {label: 220} for label in index.classes}
    assert overlap.sentence() == (
        "2,200 files are byte for byte those of EuroSAT RGB, doi:10.5281/zenodo.7711810 (license MIT)."
    )


@pytest.fixture
def mixed(tmp_path):
    """Three real patches under other class names, and three that are not EuroSAT's."""
    with open_patches(shipped_path("eurosat-mini")) as reader:
        for name in [n for n in reader.names() if n.startswith("Forest/")][:3]:
            write(tmp_path / "green" / name.split("/")[1], reader.read(name))
    for k in range(3):
        write(tmp_path / "town" / f"mine_{k}.png", encoded(picture(k)))
    return tmp_path


def unlisted():
    known = known_set("eurosat-rgb")
    place = int(np.flatnonzero(known.hashes == 0)[0])
    label = known.labels[place]
    number = next(n for n in range(1, known.counts[label] + 1) if known.places[f"{label}_{n}"] == place)
    return f"{label}_{number}"


def test_patches_are_found_whatever_their_class_is_called(mixed):
    index = build_index(mixed)
    (overlap,) = known_overlaps(index, index.labels)
    assert len(overlap.identical) == 3
    assert overlap.classes == {"green": {"Forest": 3}}


def test_the_name_of_an_unlisted_patch_counts_as_likely(mixed):
    write(mixed / "green" / f"{unlisted()}.jpg", encoded(picture(9)))
    index = build_index(mixed)
    (overlap,) = known_overlaps(index, index.labels)
    assert [path.split("/")[1] for path in overlap.named] == [f"{unlisted()}.jpg"]
    assert "4 in all" in overlap.sentence()


def test_names_prove_nothing_where_one_of_them_is_wrong(mixed):
    write(mixed / "green" / f"{unlisted()}.jpg", encoded(picture(9)))
    taken = min(path for path in (mixed / "green").iterdir() if path.stem != unlisted())
    write(mixed / "town" / taken.name, encoded(picture(8)))  # a listed name on another picture
    index = build_index(mixed)
    (overlap,) = known_overlaps(index, index.labels)
    assert overlap.named == ()


def test_nothing_is_found_in_other_pictures(tmp_path):
    for label in "AB":
        for k in range(3):
            write(tmp_path / label / f"{label}_{k}.png", encoded(picture(ord(label) * 10 + k)))
    index = build_index(tmp_path)
    assert known_overlaps(index, index.labels) == ()


@pytest.mark.parametrize("data", [b"", b"{}\n", b"[1]\n", json.dumps({"A": 2}).encode() + b"\n" + bytes(15)])
def test_a_damaged_list_is_refused(data):
    with pytest.raises(DataError, match="damaged"):
        parse_known("x", data)
