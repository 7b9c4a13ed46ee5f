from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swath.data import SCHEMA, build_index, group_duplicates, near_duplicates, open_patches, shipped_path, split_index
from swath.data.duplicates import linked, merge_groups

from .makers import encoded, write
from .test_matching_similarity import scene

CLASSES = ("AnnualCrop", "Forest", "Highway", "Industrial", "Residential", "SeaLake")


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    """Six real patches of each of six classes, and where they lie."""
    root = tmp_path_factory.mktemp("land")
    with open_patches(shipped_path("eurosat-mini")) as reader:
        for label in CLASSES:
            for name in [n for n in reader.names() if n.startswith(f"{label}/")][:6]:
                write(root / name, reader.read(name))
    return root


def originals(root, label):
    return sorted(p for p in (root / label).iterdir() if p.stem.count("_") == 1)


def copy_all(land, tmp_path, change, labels=CLASSES, suffix=".jpg", **options):
    """Index the patches beside a changed copy of each; return the pairs found and those meant."""
    meant = set()
    for label in labels:
        for path in originals(land, label):
            write(tmp_path / label / path.name, path.read_bytes())
            copied = path.with_name(f"{path.stem}_copy{suffix}").name
            kind = {".jpg": "JPEG", ".png": "PNG"}[suffix]
            write(tmp_path / label / copied, encoded(change(Image.open(path)), kind, **options))
            meant.add((f"{label}/{path.name}", f"{label}/{copied}"))
    pairs = near_duplicates(build_index(tmp_path))
    return {(pair.first, pair.second) for pair in pairs}, meant


CHANGES = {
    "brighter": (lambda i: i.point(lambda v: min(v + 3, 255)), {"suffix": ".png"}),
    "darker": (lambda i: i.point(lambda v: max(v - 3, 0)), {"suffix": ".png"}),
    "smaller and back": (lambda i: i.resize((48, 48)).resize((64, 64)), {"suffix": ".png"}),
    "twice as large": (lambda i: i.resize((128, 128)), {"suffix": ".png"}),
    "turned": (lambda i: i.rotate(90), {"suffix": ".png"}),
    "mirrored": (lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT), {"suffix": ".png"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_gentle_changes_hide_nothing_not_even_water(land, tmp_path, name):
    change, options = CHANGES[name]
    found, meant = copy_all(land, tmp_path, change, **options)
    assert found == meant


@pytest.mark.parametrize("quality", [60, 75, 90])
def test_compression_hides_nothing_but_water(land, tmp_path, quality):
    lands = tuple(label for label in CLASSES if label != "SeaLake")
    found, meant = copy_all(land, tmp_path, lambda i: i, quality=quality)
    assert {pair for pair in found if not pair[0].startswith("SeaLake")} == {
        pair for pair in meant if pair[0].split("/")[0] in lands
    }
    assert found <= meant


def test_different_patches_are_not_joined_even_if_compression_left_them_plain(land, tmp_path):
    with open_patches(shipped_path("eurosat-mini")) as reader:
        for name in [n for n in reader.names() if n.startswith(("SeaLake/", "Forest/"))]:
            picture = Image.open(io.BytesIO(reader.read(name)))
            write(tmp_path / name, encoded(picture, "JPEG", quality=60))
    index = build_index(tmp_path)
    pixels = {n: np.asarray(Image.open(index.root / n)).tobytes() for n in index.paths}
    assert len(index) == 440
    assert all(pixels[pair.first] == pixels[pair.second] for pair in near_duplicates(index))


def test_patches_of_the_same_pixels_are_paired_with_the_first(tmp_path):
    plain = Image.new("RGB", (64, 64), (9, 30, 60))
    for k, level in enumerate((1, 5, 9)):
        write(tmp_path / "A" / f"{k}.png", encoded(plain, compress_level=level))
    write(tmp_path / "A" / "other.png", encoded(Image.new("RGB", (64, 64), (10, 30, 60))))
    for k in range(3):
        write(tmp_path / "B" / f"{k}.png", encoded(Image.fromarray(scene(k)[0].transpose(1, 2, 0))))
    index = build_index(tmp_path)
    if len(set(index.table["sha256"].to_pylist())) < 7:
        write(tmp_path / "A" / "2.png", encoded(plain, optimize=True, compress_level=0))
        index = build_index(tmp_path)
    pairs = near_duplicates(index)
    assert {(p.first, p.second) for p in pairs} <= {("A/0.png", "A/1.png"), ("A/0.png", "A/2.png")}
    assert ("A/0.png", "A/2.png") in {(p.first, p.second) for p in pairs}
    assert all((p.similarity, p.difference) == (1, 0) for p in pairs)


def test_brighter_copies_are_found_but_not_those_of_other_colors(land, tmp_path):
    lands = tuple(label for label in CLASSES if label != "SeaLake")
    found, meant = copy_all(
        land, tmp_path / "bright", lambda i: i.point(lambda v: min(v + 30, 255)), labels=lands, suffix=".png"
    )
    assert found == meant
    found, _ = copy_all(
        land,
        tmp_path / "red",
        lambda i: i.point([min(v + 25, 255) for v in range(256)] + list(range(256)) * 2),
        suffix=".png",
    )
    assert found == set()


def test_gray_and_16_bit_patches_can_be_compared(tmp_path):
    for label in "AB":
        for k in range(3):
            gray = scene(ord(label) * 10 + k)[0, 0].astype(np.uint16) * 16
            (tmp_path / label).mkdir(exist_ok=True)
            np.save(tmp_path / label / f"{k}.npy", np.stack([gray] * 4))
    np.save(tmp_path / "A" / "copy.npy", np.stack([scene(ord("A") * 10)[0, 0].astype(np.uint16) * 16 + 40] * 4))
    pairs = near_duplicates(build_index(tmp_path))
    assert [(p.first, p.second) for p in pairs] == [("A/0.npy", "A/copy.npy")]
    assert pairs[0].difference == 0


def test_groups_keep_copies_on_one_side_of_any_split(land, tmp_path):
    found, meant = copy_all(land, tmp_path, lambda i: i, labels=CLASSES[:3], quality=80)
    assert found == meant
    index = group_duplicates(build_index(tmp_path))
    for seed in range(3):
        made = split_index(index, val=0.3, test=0.3, seed=seed)
        side = dict(zip(made.paths, made.table["split"].to_pylist(), strict=True))
        assert all(side[a] == side[b] for a, b in meant)
    again = group_duplicates(index)
    assert again.table == index.table


def test_groups_reach_from_exact_copies_over_near_ones(land, tmp_path):
    path = originals(land, "Highway")[0]
    for label in CLASSES[:2]:
        for source in originals(land, label)[:3]:
            write(tmp_path / label / source.name, source.read_bytes())
    write(tmp_path / "Forest" / "x1.jpg", path.read_bytes())
    write(tmp_path / "AnnualCrop" / "x2.jpg", path.read_bytes())
    write(tmp_path / "AnnualCrop" / "x3.jpg", encoded(Image.open(path), "JPEG", quality=70))
    index = build_index(tmp_path)
    assert [(p.first, p.second) for p in near_duplicates(index)] == [("AnnualCrop/x2.jpg", "AnnualCrop/x3.jpg")]
    groups = dict(zip(index.paths, group_duplicates(index).table["group"].to_pylist(), strict=True))
    name = f"same-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    joined = {p for p, group in groups.items() if group is not None}
    assert joined == {"Forest/x1.jpg", "AnnualCrop/x2.jpg", "AnnualCrop/x3.jpg"}
    assert {groups[p] for p in joined} == {name}


def test_pairs_do_not_depend_on_the_order_of_rows(land, tmp_path):
    copy_all(land, tmp_path, lambda i: i, labels=CLASSES[:3], quality=80)
    index = build_index(tmp_path)
    turned = replace(index, table=index.table.take(list(range(len(index)))[::-1]))
    one, two = near_duplicates(index), near_duplicates(turned)
    assert [(p.first, p.second) for p in one] == [(p.first, p.second) for p in two]


def test_progress_is_reported_to_the_end(land):
    seen = []
    near_duplicates(build_index(land), progress=lambda *a, **k: seen.append(a))
    stage = [a for a in seen if a[0] == "compare"]
    assert stage[-1][1] == stage[-1][2] > 0


def test_nothing_to_compare(land):
    index = build_index(land)
    empty = replace(index, table=pa.Table.from_pylist([], schema=SCHEMA))
    assert near_duplicates(empty) == ()
    assert len(group_duplicates(empty)) == 0


def test_twins_share_a_group_and_the_rest_has_none():
    assert merge_groups([None] * 4, ["aa", "bb", "aa", "cc"]) == ["same-aa", None, "same-aa", None]


def test_twins_join_the_groups_of_their_source():
    groups = ["scene2", "scene1", "scene1", None, "scene3"]
    contents = ["x", "x", "y", "y", "z"]
    assert merge_groups(groups, contents) == ["scene1", "scene1", "scene1", "scene1", "scene3"]


def test_links_reach_as_far_as_the_chain():
    assert linked([("d", "c"), ("b", "c"), ("x", "y")]) == dict(zip("bcdxy", "bbbxx", strict=True))
    assert linked([]) == {}


rows = st.lists(st.tuples(st.sampled_from([None, "g", "h", "i"]), st.sampled_from("abcdef")), max_size=12)


@given(rows)
@settings(max_examples=50)
def test_patches_that_hang_together_and_only_these_share_a_group(rows):
    groups, contents = [g for g, _ in rows], [c for _, c in rows]
    joined = merge_groups(groups, contents)
    # The plain way: let the tie between rows spread until nothing changes.
    home = list(range(len(rows)))
    for _ in rows:
        for i, (g, c) in enumerate(rows):
            for j, (h, d) in enumerate(rows):
                if c == d or (g is not None and g == h):
                    home[i] = home[j] = min(home[i], home[j])
    for i in range(len(rows)):
        for j in range(len(rows)):
            together = joined[i] is not None and joined[i] == joined[j]
            assert together == (home[i] == home[j] and joined[i] is not None)
        alone = home.count(home[i]) == 1
        assert (joined[i] is None) == (alone and groups[i] is None)


@given(rows)
@settings(max_examples=50)
def test_joining_again_changes_nothing(rows):
    contents = [c for _, c in rows]
    once = merge_groups([g for g, _ in rows], contents)
    assert merge_groups(once, contents) == once
