from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from swath.data import (
    SCHEMA,
    audit,
    build_index,
    find_overlaps,
    fix_index,
    group_duplicates,
    near_duplicates,
    open_patches,
    overlap,
    read_index,
    shipped_path,
    split_index,
)
from swath.data.duplicates import linked
from swath.data.overlap import OverlapPair, groups_with, overlapping_rows, within_splits
from swath.imagery.georeference import encode_footprint

from .makers import encoded, table_index, write
from .test_spatial import with_columns

SIDE = 64


def land(seed, *, side=256, bands=3):
    """A scene ``[side, side, bands]`` with detail at all scales and colors that vary slowly."""
    rng = np.random.default_rng(seed)
    made = np.zeros((side, side, bands))
    for step in (64, 32, 16, 8, 4, 2):
        noise = rng.normal(size=(side // step + 2, side // step + 2)) * step**0.4 * 5
        image = Image.fromarray(noise.astype(np.float32))
        made += np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))[..., None]
    tint = rng.normal(size=(4, 4, bands)).astype(np.float32) * 12
    for band in range(bands):
        made[..., band] += np.asarray(Image.fromarray(tint[..., band]).resize((side, side), Image.Resampling.BICUBIC))
    return np.clip(made + rng.uniform(70, 140), 0, 255).astype(np.uint8)


def jpeg(patch, quality=75):
    return np.asarray(Image.open(io.BytesIO(encoded(Image.fromarray(patch), "JPEG", quality=quality))))


def cut(scene, places, *, side=SIDE, change=jpeg):
    """Patches ``[N, bands, side, side]`` cut at places and re-encoded."""
    return np.stack([change(scene[y : y + side, x : x + side]).transpose(2, 0, 1) for y, x in places])


def share(one, other, side=SIDE):
    down, right = (abs(a - b) for a, b in zip(one, other, strict=True))
    return max(0, side - down) * max(0, side - right) / side**2


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_at_any_shift_are_found_with_the_share_that_both_show(seed):
    places = [tuple(p) for p in np.random.default_rng(seed).integers(0, 256 - SIDE, (16, 2))]
    pixels = np.concatenate([cut(land(10 * seed + k), places) for k in range(3)])
    found = {(a, b): part for a, b, part, _ in overlapping_rows(pixels, range(len(pixels)))}
    for (i, one), (j, other) in combinations(enumerate(places * 3), 2):
        apart = i // len(places) != j // len(places)
        true = 0 if apart else share(one, other)
        if true >= 0.4:
            assert found[i, j] == pytest.approx(true, abs=0.03)
        elif true == 0:
            assert (i, j) not in found


def test_real_patches_cut_in_halves_that_overlap_are_found_and_others_are_not(tmp_path):
    with open_patches(shipped_path("eurosat-mini")) as reader:
        names = [n for n in reader.names() if n.startswith(("Residential/", "Industrial/", "PermanentCrop/"))][::9]
        for name in names:
            picture = Image.open(io.BytesIO(reader.read(name)))
            for part, (x, y) in {"a": (0, 0), "b": (12, 8)}.items():
                half = picture.crop((x, y, x + 48, y + 48))
                write(tmp_path / name.replace(".jpg", f"{part}.jpg"), encoded(half, "JPEG", quality=85))
    found = {(p.first, p.second) for p in find_overlaps(build_index(tmp_path))}
    meant = {(n.replace(".jpg", "a.jpg"), n.replace(".jpg", "b.jpg")) for n in names}
    assert len(meant) > 60
    assert len(found & meant) >= 0.95 * len(meant)
    assert found <= meant


def test_larger_patches_16_bits_and_other_bands_are_compared_too(tmp_path):
    scene = land(1, side=640, bands=4).astype(np.uint16) * 40
    for k, (y, x) in enumerate([(0, 0), (90, 30), (380, 380)]):
        (tmp_path / "A").mkdir(exist_ok=True)
        np.save(tmp_path / "A" / f"{k}.npy", scene[y : y + 256, x : x + 256].transpose(2, 0, 1))
    other = land(2, side=640, bands=4).astype(np.uint16) * 40
    (tmp_path / "B").mkdir()
    for k, (y, x) in enumerate([(0, 0), (0, 384), (384, 0)]):
        np.save(tmp_path / "B" / f"{k}.npy", other[y : y + 256, x : x + 256].transpose(2, 0, 1))
    (pair,) = find_overlaps(build_index(tmp_path))
    assert (pair.first, pair.second, pair.evidence) == ("A/0.npy", "A/1.npy", "content")
    assert pair.share == pytest.approx(166 * 226 / 256**2, abs=0.02)


def test_flat_patches_of_one_color_share_nothing_and_few_patches_are_no_special_case():
    flat = np.full((3, 3, SIDE, SIDE), 77, np.uint8)
    both = np.concatenate([flat, cut(land(5), [(0, 0), (10, 20)])])
    assert overlapping_rows(flat, range(3)) == []
    assert overlapping_rows(both, [0]) == []
    assert overlapping_rows(both, [4]) == []
    assert [(a, b) for a, b, _, _ in overlapping_rows(both, range(5))] == [(3, 4)]


def test_copies_by_the_hundred_hang_together_without_every_pair_being_listed():
    pixels = np.repeat(cut(land(6), [(0, 0)]), 200, axis=0)
    pixels[:, :, 0, 0] = np.arange(200)[:, None]
    found = overlapping_rows(pixels, range(200))
    assert len(found) < 200 * 199 / 2
    assert len(set(linked((str(a), str(b)) for a, b, _, _ in found).values())) == 1


def test_turned_copies_are_left_to_the_search_for_duplicates(tmp_path):
    patch = Image.fromarray(jpeg(land(7)[:SIDE, :SIDE]))
    write(tmp_path / "A" / "0.png", encoded(patch))
    write(tmp_path / "A" / "1.png", encoded(patch.rotate(90)))
    write(tmp_path / "A" / "2.png", encoded(Image.fromarray(land(8)[:SIDE, :SIDE])))
    for k in range(3):
        write(tmp_path / "B" / f"{k}.png", encoded(Image.fromarray(land(80 + k)[:SIDE, :SIDE])))
    index = build_index(tmp_path)
    assert find_overlaps(index) == ()
    assert [(p.first, p.second) for p in near_duplicates(index)] == [("A/0.png", "A/1.png")]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Eight scenes with six patches each, every one half over the next; and an index of them."""
    root = tmp_path_factory.mktemp("scenes")
    for number in range(8):
        scene = land(40 + number, side=300)
        for k in range(6):
            patch = Image.fromarray(scene[20 : 20 + SIDE, 32 * k : 32 * k + SIDE])
            write(
                root / ("Town" if k % 2 else "Field") / f"{k}{number}{7 * number + k}.jpg",
                encoded(patch, "JPEG", quality=75),
            )
    return build_index(root)


def scene_of(path):
    return path.split("/")[1][1]


def test_patches_of_overlapping_scenes_stay_on_one_side_of_every_split(scenes):
    index = group_duplicates(scenes)
    groups = dict(zip(index.paths, index.column("group"), strict=True))
    assert len(set(groups.values())) == 8
    assert all(group.startswith("ground-") for group in groups.values())
    for seed in range(5):
        made = split_index(index, val=0.25, test=0.25, seed=seed)
        sides = dict(zip(map(scene_of, made.paths), made.column("split"), strict=True))
        assert all(sides[scene_of(p)] == s for p, s in zip(made.paths, made.column("split"), strict=True))
        assert audit(made).ground_leaks == ()
    assert group_duplicates(index).table == index.table


def test_a_random_split_of_overlapping_patches_is_called_what_it_is(scenes):
    made = split_index(scenes, seed=1)
    found = audit(made)
    pairs = {(p.first, p.second) for p in found.shared_ground}
    assert all(scene_of(a) == scene_of(b) for a, b in pairs)
    held = [p for p, s in zip(made.paths, made.column("split"), strict=True) if s != "train"]
    side = dict(zip(made.paths, made.column("split"), strict=True))
    near = {a: {b for p in pairs for a_, b in (p, p[::-1]) if a_ == a} for a in made.paths}
    seen = {p for p in held if any(side[other] == "train" for other in near[p])}
    assert {leak.held_out for leak in found.ground_leaks} == seen != set()
    assert all(leak.share == pytest.approx(0.5, abs=0.02) for leak in found.ground_leaks)
    (said,) = [f.text for f in found.findings if f.kind == "ground"]
    assert said.startswith(f"{len(seen)} of {len(held)} val and test patches share more than a quarter")
    assert "--resplit" in said
    assert found.crossing == len(seen)
    assert f"patches that share ground  {48:>6}" in "\n".join(found.lines())


def test_splits_that_are_given_stay_and_the_rest_is_kept_together(scenes):
    given = ["test" if scene_of(p) == "0" and p.split("/")[1][0] < "3" else "train" for p in scenes.paths]
    index = with_columns(scenes, split=given)
    made = split_index(group_duplicates(index), val=0.3, seed=3)
    assert [s == "test" for s in made.column("split")] == [s == "test" for s in given]
    of = dict(zip(made.paths, made.column("split"), strict=True))
    for number in "1234567":
        assert len({of[p] for p in made.paths if scene_of(p) == number}) == 1
    assert [leak.held_out[6] for leak in audit(index).ground_leaks] == ["2"]
    again = split_index(group_duplicates(index, resplit=True), keep=False)
    assert audit(again).ground_leaks == ()


def test_fixing_groups_patches_that_share_ground_but_drops_and_moves_none(scenes, tmp_path):
    given = ["test" if scene_of(p) == "0" and p.split("/")[1][0] < "3" else "train" for p in scenes.paths]
    report = fix_index(with_columns(scenes, split=given), tmp_path / "clean")
    clean = read_index(tmp_path / "clean" / "index.parquet")
    assert len(clean) == len(scenes)
    assert report.moved == ()
    assert report.groups == 9
    assert sorted(clean.column("split")) == sorted(given)


def test_copies_of_a_patch_that_shares_ground_leak_as_it_does(tmp_path):
    scene = land(90)
    places = {"Town/a": (0, 0), "Town/b": (20, 20), "Field/c": (150, 150), "Field/d": (0, 190), "Field/e": (190, 0)}
    for name, (y, x) in places.items():
        write(tmp_path / f"{name}.jpg", encoded(Image.fromarray(scene[y : y + SIDE, x : x + SIDE]), "JPEG", quality=80))
    write(tmp_path / "Town/copy.jpg", (tmp_path / "Town/b.jpg").read_bytes())
    splits = {"Town/a.jpg": "train", "Town/b.jpg": "test", "Town/copy.jpg": "val"}
    index = build_index(tmp_path)
    found = audit(with_columns(index, split=[splits.get(p, "train") for p in index.paths]))
    assert {(leak.held_out, leak.train) for leak in found.ground_leaks} == {
        ("Town/b.jpg", "Town/a.jpg"),
        ("Town/copy.jpg", "Town/a.jpg"),
    }


def pair(a, b, part):
    return OverlapPair(*sorted((a, b)), part, "content", 0.9)


def test_pairs_across_splits_join_no_groups_and_the_largest_overlap_wins():
    index = table_index(["A"] * 5, splits=["train", None, "test", "test", None])
    a, b, c, d, e = index.paths
    pairs = [pair(a, b, 0.3), pair(b, c, 0.6), pair(c, d, 0.2), pair(d, a, 0.9), pair(b, e, 0.1)]
    kept = within_splits(index, (), pairs)
    assert [(p.first, p.second) for p in kept] == [(b, c), (c, d), (b, e)]
    groups = groups_with(index, (), kept)
    assert groups[0] is None
    assert len(set(groups[1:])) == 1
    assert groups[1].startswith("ground-")


def test_groups_that_are_given_keep_their_names():
    index = table_index(["A"] * 4, groups=["scene 2", None, "scene 1", None])
    a, b, c, _ = index.paths
    assert groups_with(index, (), [pair(a, b, 0.5), pair(b, c, 0.5)]) == ["scene 1", "scene 1", "scene 1", None]


def test_patches_are_searched_once_and_again_when_they_or_the_method_change(scenes, tmp_path, monkeypatch):
    def searched(index):
        stages: set[str] = set()
        found = find_overlaps(index, progress=lambda stage, done, total, **_: stages.add(stage))
        return found, "match" in stages

    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    first, did = searched(scenes)
    assert did
    assert first
    assert searched(scenes) == (first, False)
    assert searched(split_index(scenes)) == (first, False)  # what is said of the patches is not what they show
    assert searched(scenes.take(list(range(len(scenes) - 1))))[1]
    (kept, _) = sorted((tmp_path / "cache" / overlap.METHOD).iterdir(), key=lambda p: -p.stat().st_size)
    whole = kept.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]):
        kept.write_bytes(damaged)
        assert searched(scenes) == (first, True)
        assert searched(scenes) == (first, False)
    monkeypatch.setattr(overlap, "METHOD", "overlap-0")
    assert searched(scenes) == (first, True)


def test_renamed_patches_are_named_as_they_are_called_now(scenes, tmp_path):
    for path in scenes.paths:
        write(tmp_path / path.replace("/", "s/new"), (scenes.root / path).read_bytes())
    renamed = build_index(tmp_path)
    assert renamed.column("sha256") == scenes.column("sha256")
    now = dict(zip(scenes.paths, renamed.paths, strict=True))
    assert [(now[p.first], now[p.second], p.share) for p in find_overlaps(scenes)] == [
        (p.first, p.second, p.share) for p in find_overlaps(renamed)
    ]


def test_nothing_to_compare_and_progress_to_the_end(scenes, tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    empty = replace(scenes, table=pa.Table.from_pylist([], schema=SCHEMA))
    assert find_overlaps(empty) == ()
    seen = {}
    find_overlaps(scenes, progress=lambda stage, done, total, **_: seen.update({stage: (done, total)}))
    assert {"describe", "match", "check overlap"} <= set(seen)
    assert all(done == total > 0 for done, total in seen.values())


def test_pairs_do_not_depend_on_the_order_of_rows(scenes):
    turned = replace(scenes, table=scenes.table.take(list(range(len(scenes)))[::-1]))
    one, two = find_overlaps(scenes), find_overlaps(turned)
    assert {(p.first, p.second) for p in one} == {(p.first, p.second) for p in two}


def test_footprints_decide_where_both_patches_have_one_and_content_elsewhere(scenes):
    def square(west):
        south, side = 45.0, 0.01
        ring = np.array([(west, south), (west + side, south), (west + side, south + side), (west, south + side)])
        return encode_footprint([np.concatenate([ring, ring[:1]])])

    # By content neighbors of a scene overlap by half. Here the first of scenes 0 and 1 lie over one another instead.
    first = {scene: min(p for p in scenes.paths if scene_of(p) == scene) for scene in "0123"}
    places = {path: square(20.0) for path in scenes.paths}
    for number, path in enumerate(p for p in scenes.paths if scene_of(p) in "01"):
        places[path] = square(0.005 if path == first["0"] else 0.0 if path == first["1"] else 1.0 + number)
    index = with_columns(scenes, footprint=[places[p] if scene_of(p) in "01" else None for p in scenes.paths])
    found = find_overlaps(index)
    by = {kind: [p for p in found if p.evidence == kind] for kind in ("footprint", "content")}
    assert [(p.first, p.second) for p in by["footprint"]] == [tuple(sorted((first["0"], first["1"])))]
    assert by["footprint"][0].share == pytest.approx(0.5, abs=0.01)
    assert {scene_of(p.first) for p in by["content"]} == set("234567")
