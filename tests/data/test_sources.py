from __future__ import annotations

import hashlib

import numpy as np
import pytest

from swath.data import NAMED, build_index
from swath.data.named import NamedSet
from swath.errors import DataError, SettingError

from .makers import CLASSES, encoded, packed, picture, tree, write


def listing(root, header="path,label", extra=lambda name: ""):
    names = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.png"))
    return "\n".join([header, *(f"{name},{name.split('/')[0]}{extra(name)}" for name in names)]) + "\n"


def test_a_tree_a_csv_and_their_zips_give_the_same_rows(tmp_path):
    root = tree(tmp_path / "in")
    table = write(root / "list.csv", listing(root).encode())
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.png")}
    zipped = packed(tmp_path / "tree.zip", files)
    listed = packed(tmp_path / "csv.zip", {**files, "list.csv": table.read_bytes()})
    made = [build_index(source) for source in (root, table, zipped, listed)]
    assert all(index.table == made[0].table for index in made)
    assert len({index.fingerprint for index in made}) == 1
    assert [index.name for index in made] == ["in", "list", "tree", "csv"]


def test_each_row_says_what_was_found(tmp_path):
    root = tree(tmp_path / "in")
    odd = encoded(picture(7, size=24, mode="L"))
    write(root / "Town" / "odd.png", odd)
    row = build_index(root).table.filter([name == "Town/odd.png" for name in build_index(root).paths]).to_pylist()[0]
    assert row == {
        "path": "Town/odd.png",
        "label": "Town",
        "sha256": hashlib.sha256(odd).hexdigest(),
        "width": 24,
        "height": 24,
        "mode": "L",
        **dict.fromkeys(("labels", "split", "group", "lon", "lat", "gsd", "source", "license", "crs", "footprint")),
    }


def test_splits_groups_and_places_of_a_csv_are_kept(tmp_path):
    root = tree(tmp_path / "in")
    table = write(root / "l.csv", listing(root, "path,label,split,group,lon,lat", lambda n: ",test,g,1,2").encode())
    index = build_index(table)
    assert index.split_counts == {"test": 9}
    assert index.split_protocol == "as the source gives it"
    assert index.table.slice(0, 1).select(["group", "lon", "lat"]).to_pylist() == [
        {"group": "g", "lon": 1.0, "lat": 2.0}
    ]


def test_identical_files_share_a_group(tmp_path):
    root = tree(tmp_path / "in")
    write(root / "Water" / "copy.png", (root / "Town" / "Town_1.png").read_bytes())
    index = build_index(root)
    groups = dict(zip(index.paths, index.table["group"].to_pylist(), strict=True))
    assert groups.pop("Water/copy.png") == groups.pop("Town/Town_1.png") is not None
    assert set(groups.values()) == {None}


def test_shipped_data_are_known_by_name():
    index = build_index("eurosat-mini")
    assert len(index) == 2200
    assert len(index.classes) == 10
    assert (index.name, index.license, index.gsd) == ("eurosat-mini", "MIT", 10.0)
    assert "Copernicus" in index.attribution
    assert index.split_counts == {"train": 1400, "val": 200, "test": 600}


def test_a_part_of_a_published_set_takes_its_license(tmp_path):
    root = tree(tmp_path / "mine")
    index = build_index(root, part_of="eurosat-rgb")
    known = NAMED["eurosat-rgb"]
    assert (index.license, index.gsd, index.attribution) == (known.license, known.gsd, known.attribution)
    assert set(index.table["source"].to_pylist()) == {known.source}
    assert index.name == "mine"
    plain = build_index(root)
    assert (plain.license, plain.gsd, plain.attribution) == (None, None, "")
    with pytest.raises(SettingError, match=r"no data set is named 'eurosat'.*known names: eurosat-rgb"):
        build_index(root, part_of="eurosat")


def test_a_published_archive_is_recognized_by_its_content(tmp_path, monkeypatch):
    root = tree(tmp_path / "in")
    archive = packed(
        tmp_path / "any name.zip", {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.png")}
    )
    data = archive.read_bytes()
    known = NamedSet(
        name="tiny", filename="t.zip", urls=(), sha256=hashlib.sha256(data).hexdigest(), size=len(data),
        source="here", license="CC0-1.0", attribution="us", gsd=5.0,
    )  # fmt: skip
    monkeypatch.setitem(NAMED, "tiny", known)
    index = build_index(archive)
    assert (index.name, index.license, index.gsd, index.attribution) == ("tiny", "CC0-1.0", 5.0, "us")


def test_progress_is_reported_to_the_end(tmp_path):
    seen = []
    build_index(tree(tmp_path / "in"), progress=lambda *a, **k: seen.append(a))
    assert seen[0] == ("check", 0, 9)
    assert seen[-1] == ("check", 9, 9)


def damage(path, how):
    data = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"hello", "truncated": data[: len(data) // 2]}[how])


@pytest.mark.parametrize("how", ["empty", "text", "truncated"])
def test_unreadable_images_are_named_or_skipped_and_counted(tmp_path, how):
    root = tree(tmp_path / "in", each=4)
    damage(root / "Town" / "Town_2.png", how)
    with pytest.raises(DataError, match=r"1 image\(s\) cannot be read: Town/Town_2\.png") as caught:
        build_index(root)
    assert "--skip-unreadable" in caught.value.fix
    index = build_index(root, skip_unreadable=True)
    assert len(index) == 11
    assert index.skipped == ("Town/Town_2.png",)


def test_many_unreadable_images_are_named_in_part(tmp_path):
    root = tree(tmp_path / "in", each=8)
    for n in range(7):
        damage(root / "Town" / f"Town_{n}.png", "empty")
    with pytest.raises(DataError, match=r"7 image.*Town_4\.png and more") as caught:
        build_index(root)
    assert "Town_5" not in str(caught.value)
    with pytest.raises(DataError, match=r"class 'Town' has 1 patch"):
        build_index(root, skip_unreadable=True)


def test_a_missing_image_is_never_skipped(tmp_path):
    root = tree(tmp_path / "in")
    table = write(root / "l.csv", (listing(root) + "Town/gone.png,Town\n").encode())
    with pytest.raises(DataError, match=r"1 image\(s\) are missing: Town/gone\.png"):
        build_index(table, skip_unreadable=True)


def test_sources_that_cannot_be_indexed(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    cases = {
        "holds no images": empty,
        "one class only": tree(tmp_path / "one", classes=("Town",)),
        "class 'Field' has 2": tree(tmp_path / "few", each=2),
        "there is no folder, CSV or zip": tmp_path / "gone",
        "not a zip archive": write(tmp_path / "x.zip", b"hello"),
        "leads outside": packed(tmp_path / "up.zip", {"../A/x.png": encoded(picture(1))}),
        "no text in UTF-8": write(tmp_path / "latin.csv", b"path,label\na.jpg,\xff\xff\x80\n"),
        "NUL bytes": write(tmp_path / "nul.csv", b"path,label\n" + b"a" * 2000 + b"\0.jpg,A\n"),
        "two.zip holds no images": packed(tmp_path / "two.zip", {"a.csv": b"", "b.csv": b""}),
        "no readable image left": tree(tmp_path / "bad"),
    }
    for path in (tmp_path / "bad").rglob("*.png"):
        damage(path, "empty")
    for message, source in cases.items():
        with pytest.raises(DataError, match=message):
            build_index(source, skip_unreadable=True)


def test_files_that_are_no_images_are_counted(tmp_path):
    root = tree(tmp_path / "in")
    write(root / "Town" / "notes.docx", b"x")
    write(root / "readme.txt", b"x")
    assert [one.line() for one in build_index(root).left_out] == [
        "left out, files of kinds that are not read: 1 (Town/*.docx 1)"
    ]


def deep(path, dtype):
    """A raster of one type of numbers."""
    from tests.imagery.samples import raster

    pixels = np.random.default_rng(hash(str(path)) % 1000).integers(0, 3000, (3, 8, 8)).astype(dtype)
    return write(path, raster(pixels))


@pytest.mark.parametrize("dtype", ["int16", "uint32", "float32"])
def test_numbers_that_no_model_takes_are_refused_with_the_way_on(tmp_path, dtype):
    for label in ("A", "B"):
        for n in range(3):
            deep(tmp_path / label / f"{n}.tif", dtype)
    with pytest.raises(DataError, match=rf"6 image\(s\) cannot be read.*A/0\.tif holds {dtype} values") as caught:
        build_index(tmp_path)
    assert "gdal_translate -ot UInt16 -scale" in str(caught.value.fix)


def test_a_class_that_cannot_be_read_at_all_is_named(tmp_path):
    root = tree(tmp_path / "in")
    for n in range(3):
        write(root / "Water" / f"Water_{n}.png", b"/mnt/data/Water/1.png")
    with pytest.raises(DataError, match=r"cannot be read, all of class Water: Water/Water_0.*as a link does") as caught:
        build_index(root)
    assert "--skip-unreadable" in str(caught.value.fix)
    index = build_index(root, skip_unreadable=True)
    assert index.notes == ("none of the 3 images of class 'Water' can be read, so there is no such class",)


@pytest.mark.parametrize("each", [1, 2])
def test_a_test_set_alone_may_be_small_or_of_one_class(tmp_path, each):
    root = tree(tmp_path / "in", each=each)
    index = build_index(root, split="test")
    assert index.split_counts == {"test": 3 * each}
    assert build_index(tree(tmp_path / "one", classes=("Town",)), split="val").split_counts == {"val": 3}
    with pytest.raises(DataError, match="--split test"):
        build_index(root)
    with pytest.raises(DataError, match=r"has [12] patch"):
        build_index(root, split="train")
    tree(tmp_path / "whole" / "test", each=each)
    assert build_index(tmp_path / "whole").split_counts == {"test": 3 * each}
    with pytest.raises(SettingError, match=r"has splits itself \(test\)"):
        build_index(tmp_path / "whole", split="val")


def test_a_set_that_must_be_downloaded_first_says_how():
    with pytest.raises(DataError, match="download first") as caught:
        build_index("eurosat-rgb")
    assert "swath data get eurosat-rgb" in caught.value.fix


def test_classes_are_those_of_the_folders(tmp_path):
    assert build_index(tree(tmp_path / "in")).classes == CLASSES


def test_a_table_may_name_what_no_file_can_be_named(tmp_path):
    root = tree(tmp_path / "in")
    for name in ("x" * 300 + ".png", "x/" * 3000 + "y.png"):
        table = write(root / "list.csv", (listing(root) + f"{name},{CLASSES[0]}\n").encode())
        with pytest.raises(DataError, match=r"list\.csv: 1 image\(s\) (are missing|cannot be read)"):
            build_index(table)
