from __future__ import annotations

import json
from collections import defaultdict

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swath.data import audit, build_index, cached_pixels, fix_index, read_index, write_index
from swath.data.fix import gathered, resolve
from swath.errors import DataError, OutputError, SettingError

from .makers import encoded, table_index, write
from .test_matching_similarity import scene


def land(seed, size=64):
    return Image.fromarray(scene(seed)[0].transpose(1, 2, 0)).resize((size, size))


def with_splits(index, side):
    return index.with_columns({"split": [side.get(path, "train") for path in index.paths]})


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    """Two classes that their files give away, with copies of every kind."""
    root = tmp_path_factory.mktemp("fix") / "mine"
    for k in range(6):
        write(root / "Town" / f"t{k}.png", encoded(land(k)))
        write(root / "Sea" / f"s{k}.jpg", encoded(land(20 + k, 96).convert("CMYK"), "JPEG", quality=90))
    write(root / "Town" / "copy.png", encoded(land(0)))
    write(root / "Town" / "same-pixels.png", encoded(land(1), compress_level=1))
    write(root / "Sea" / "wrong.png", encoded(land(2)))
    write(root / "Town" / "near.jpg", encoded(land(3), "JPEG", quality=85))
    write(root / "Town" / "t5.jpg", encoded(land(40), "JPEG"))  # next to t5.png
    write(root / "Sea" / "flat.png", encoded(land(41).resize((64, 32))))
    side = {"Town/copy.png": "test", "Town/near.jpg": "test", "Town/t4.png": "val"}
    return with_splits(build_index(root), side)


@pytest.fixture(scope="module")
def fixed(messy, tmp_path_factory):
    out = tmp_path_factory.mktemp("fixed") / "clean"
    return fix_index(messy, out), read_index(out / "index.parquet"), out


def test_one_of_each_content_stays_and_held_out_copies_do(fixed, messy):
    found, clean, _ = fixed
    dropped = {(one.path, one.why) for one in found.dropped}
    assert dropped == {
        ("Town/t0.png", "copy"),
        ("Town/t1.png", "copy"),
        ("Town/t2.png", "contradiction"),
        ("Sea/wrong.png", "contradiction"),
    }
    assert (found.patches_before, found.patches_after) == (len(messy), len(messy) - 4)
    assert len(clean) == found.patches_after
    assert clean.fingerprint == found.after


def test_every_file_has_one_form(fixed):
    found, clean, out = fixed
    assert set(clean.table["mode"].to_pylist()) == {"RGB"}
    assert {(row["width"], row["height"]) for row in clean.table.to_pylist()} == {(64, 64)}
    assert {path.rsplit(".", 1)[1] for path in clean.paths} == {"png"}
    assert found.form == ".png, RGB, 64 x 64"
    assert found.squeezed == 1
    assert found.converted["CMYK 96 x 96"] == 6
    assert {p.relative_to(out / "patches").as_posix() for p in (out / "patches").rglob("*.png")} == set(clean.paths)
    assert "Town/t5.jpg.png" in clean.paths or "Town/t5.png.png" in clean.paths


def test_pixels_are_those_that_swath_sees_in_the_source(fixed, messy):
    _, clean, _ = fixed
    before, after = cached_pixels(messy, size=64), cached_pixels(clean)
    at = {path.rsplit(".", 1)[0]: row for row, path in enumerate(messy.paths)}
    for row, path in enumerate(clean.paths):
        if not path.startswith("Town/t5"):
            assert np.array_equal(after[row], before[at[path.rsplit(".", 1)[0]]])


def test_the_cleaned_set_has_nothing_across_splits(fixed):
    found, clean, _ = fixed
    assert [(one.path, one.before, one.after) for one in found.moved] == [("Town/near.png", "test", "train")]
    checked = audit(clean)
    assert checked.crossing == 0
    assert checked.exact == ()
    assert len(checked.near) == found.groups == 1
    assert "moved to the split of their group" in clean.split_protocol


def test_what_changed_is_written_down(fixed):
    found, _, out = fixed
    told = json.loads((out / "fix.json").read_text())
    assert told["patches_after"] == found.patches_after
    assert len(told["dropped"]) == 4
    text = "\n".join(found.lines())
    assert "2 copies of files that are kept" in text
    assert "2 copies that carry different labels" in text


def test_the_source_is_left_alone_and_the_same_call_gives_the_same_bytes(fixed, messy, tmp_path):
    _, clean, out = fixed
    again = fix_index(messy, tmp_path / "again")
    assert again.after == clean.fingerprint
    for path in clean.paths:
        assert (tmp_path / "again" / "patches" / path).read_bytes() == (out / "patches" / path).read_bytes()
    assert messy.fingerprint == again.before


def test_another_size(messy, tmp_path):
    assert fix_index(messy, tmp_path / "small", size=32).form == ".png, RGB, 32 x 32"
    clean = read_index(tmp_path / "small" / "index.parquet")
    assert cached_pixels(clean).shape[-1] == 32


def test_deep_patches_stay_deep(tmp_path):
    for label in "AB":
        for k in range(3):
            (tmp_path / "deep" / label).mkdir(parents=True, exist_ok=True)
            pixels = scene(ord(label) * 10 + k)[0].astype(np.uint16) * 16
            np.save(tmp_path / "deep" / label / f"{k}.npy", np.concatenate([pixels, pixels[:1]]))
    index = build_index(tmp_path / "deep")
    fix_index(index, tmp_path / "out")
    clean = read_index(tmp_path / "out" / "index.parquet")
    assert clean.paths[0] == "A/0.tif"
    bands = tuple(f"band_{k}" for k in range(1, 5))
    assert np.array_equal(cached_pixels(clean, bands=bands), cached_pixels(index, bands=bands))


def test_no_band_is_lost(tmp_path):
    for label in "AB":
        (tmp_path / "in" / label).mkdir(parents=True)
    bands = ("red", "green", "blue", "nir")
    options = {"driver": "GTiff", "width": 24, "height": 24, "count": 4, "dtype": "uint16"}
    for k in range(6):
        pixels = np.random.default_rng(k).integers(0, 9999, (4, 24, 24)).astype(np.uint16)
        with rasterio.open(tmp_path / "in" / "AB"[k % 2] / f"{k}.tif", "w", **options) as file:
            file.write(pixels)
            file.descriptions = bands
    index = build_index(tmp_path / "in")
    fix_index(index, tmp_path / "out")
    clean = read_index(tmp_path / "out" / "index.parquet")
    assert np.array_equal(cached_pixels(clean, bands=bands), cached_pixels(index, bands=bands))


def test_one_odd_square_does_not_set_the_size(tmp_path):
    for k in range(6):
        write(tmp_path / "in" / "AB"[k % 2] / f"{k}.png", encoded(land(k, 64).resize((64, 48))))
    write(tmp_path / "in" / "A" / "thumb.png", encoded(land(9, 8)))
    assert fix_index(build_index(tmp_path / "in"), tmp_path / "out").form.endswith("48 x 48")


def test_a_folder_that_holds_the_index_is_never_replaced(messy, tmp_path):
    (tmp_path / "work").mkdir()
    write_index(messy, tmp_path / "work" / "mine.parquet")
    index = read_index(tmp_path / "work" / "mine.parquet")
    with pytest.raises(OutputError, match="holds"):
        fix_index(index, tmp_path / "work", overwrite=True)
    assert (tmp_path / "work" / "mine.parquet").exists()


def test_meters_a_pixel_follow_the_size(tmp_path):
    for label in "AB":
        for k in range(3):
            write(tmp_path / label / f"{k}.png", encoded(land(ord(label) * 10 + k, 128)))
    index = build_index(tmp_path, part_of="eurosat-rgb")
    fix_index(index, tmp_path.parent / f"{tmp_path.name}-out", size=64)
    assert read_index(tmp_path.parent / f"{tmp_path.name}-out" / "index.parquet").gsd == 20.0


def test_what_cannot_be_done_is_said_and_leaves_nothing(messy, tmp_path):
    with pytest.raises(SettingError, match="--size"):
        fix_index(messy, tmp_path / "out", size=0)
    with pytest.raises(OutputError, match="holds"):
        fix_index(messy, messy.root.parent, overwrite=True)
    for k in range(3):
        for label in "AB":
            write(tmp_path / "all" / label / f"{k}.png", encoded(land(k)))
    with pytest.raises(DataError, match="nothing is left"):
        fix_index(build_index(tmp_path / "all"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


rows = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from("wxyz"), st.sampled_from(["train", "val", "test", None])),
    min_size=1,
    max_size=20,
)


@given(rows)
@settings(max_examples=60)
def test_each_content_stays_once_unless_its_labels_differ(drawn):
    index = table_index([r[0] for r in drawn], splits=[r[2] for r in drawn])
    contents = [r[1] for r in drawn]
    stay, dropped = resolve(index, range(len(drawn)), contents)
    assert sorted([index.paths[row] for row in stay] + [one.path for one in dropped]) == sorted(index.paths)
    labels = defaultdict(set)
    for label, content, _ in drawn:
        labels[content].add(label)
    assert sorted(contents[row] for row in stay) == sorted(c for c in labels if len(labels[c]) == 1)
    order = ["test", "val", "train", None]
    for row in stay:
        twins = [drawn[k][2] for k in range(len(drawn)) if contents[k] == contents[row]]
        assert order.index(drawn[row][2]) == min(order.index(side) for side in twins)


@given(
    st.lists(st.tuples(st.sampled_from(["g", "h", None]), st.sampled_from(["train", "val", "test", None])), max_size=20)
)
@settings(max_examples=60)
def test_groups_come_together_and_nothing_else_moves(drawn):
    index = table_index(["A"] * len(drawn), groups=[d[0] for d in drawn], splits=[d[1] for d in drawn])
    made, moved = gathered(index)
    sides = defaultdict(set)
    after = made.table["split"].to_pylist()
    for (group, _), side in zip(drawn, after, strict=True):
        if side is not None:
            sides[group].add(side)
    assert all(len(found) == 1 for group, found in sides.items() if group)
    changed = {path for path, d, side in zip(index.paths, drawn, after, strict=True) if d[1] != side}
    assert changed == {one.path for one in moved}
    assert ("moved to the split of their group" in made.split_protocol) == bool(moved)
