from __future__ import annotations

import pytest

from swath.data import walk_images
from swath.errors import DataError

from .makers import encoded, packed, picture, tree, write


def test_walks_files_folders_and_zips_in_the_order_given(tmp_path):
    one = write(tmp_path / "one.png", encoded(picture(1)))
    folder = tree(tmp_path / "folder", each=1)
    write(folder / "readme.txt", b"not an image")
    archive = packed(tmp_path / "z.zip", {"b.png": encoded(picture(2)), "a/x.jpg": encoded(picture(3), "JPEG")})
    found = walk_images([one, archive, folder])
    assert [name for name, _ in found] == [
        str(one),
        f"{archive}/a/x.jpg",
        f"{archive}/b.png",
        *(f"{folder}/{c}/{c}_0.png" for c in ("Field", "Town", "Water")),
    ]
    assert len(found) == 6
    assert dict(found)[str(one)] == one.read_bytes()


def test_a_file_named_directly_is_passed_on_whatever_it_is(tmp_path):
    odd = write(tmp_path / "odd.xyz", b"no picture")
    assert list(walk_images([odd])) == [(str(odd), b"no picture")]


@pytest.mark.parametrize("what", ["nothing", "missing", "empty folder", "zip without images"])
def test_says_what_is_wrong_before_reading_anything(tmp_path, what):
    inputs = {
        "nothing": [],
        "missing": [tmp_path / "gone.png"],
        "empty folder": [tmp_path],
        "zip without images": [packed(tmp_path / "z.zip", {"a.txt": b"x"})] if "zip" in what else [],
    }[what]
    expected = {
        "nothing": "no images given",
        "missing": r"no file or folder .*gone\.png",
        "empty folder": "holds no images",
        "zip without images": "holds no images",
    }[what]
    with pytest.raises(DataError, match=expected):
        walk_images(inputs)


def test_unreadable_files_are_reported_and_passed_over_if_asked(tmp_path):
    good, bad = encoded(picture(1)), encoded(picture(2))
    archive = packed(tmp_path / "z.zip", {"a.png": good, "b.png": bad})
    data = bytearray(archive.read_bytes())
    at = data.index(b"b.png") + 40  # within the packed bytes of the second member
    data[at] ^= 0xFF
    archive.write_bytes(bytes(data))
    told = []
    read = list(walk_images([archive], on_unreadable=lambda name, error: told.append((name, error.problem))))
    assert [name for name, _ in read] == [f"{archive}/a.png"]
    assert [name for name, _ in told] == [f"{archive}/b.png"]
    assert "damaged at b.png" in told[0][1]
    with pytest.raises(DataError, match=r"damaged at b\.png"):
        list(walk_images([archive]))


@pytest.mark.parametrize("count", [1, 3, 4, 7, 100])
def test_some_of_many_images_are_spread_over_all(tmp_path, count):
    one = write(tmp_path / "one.png", encoded(picture(1)))
    folder = tree(tmp_path / "folder", each=2)
    archive = packed(tmp_path / "z.zip", {f"{i}.png": encoded(picture(i)) for i in range(3)})
    every = walk_images([one, folder, archive])
    names = [name for name, _ in every]
    some = every.spread(count)
    chosen = [name for name, _ in some]
    assert len(some) == len(chosen) == len(names[:: -(-len(names) // count)])
    assert chosen == names[:: -(-len(names) // count)]


def test_spread_images_that_cannot_be_read_are_passed_over(tmp_path):
    there = write(tmp_path / "b.png", b"x")
    images = walk_images([there, tmp_path / "b.png"])
    there.unlink()
    assert list(images.spread(2)) == []
