"""``swath data report``, ``fix``, the ways to ``split`` and ``audit --strict``, as a user types them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from swath.data import read_index
from tests.cli.conftest import Swath
from tests.tiny import write_patches


def placed(folder: Path) -> Path:
    """A CSV of patches with coordinates and scenes."""
    patches = write_patches(folder / "patches", n=12)
    files = sorted(patches.rglob("*.png"))
    with (patches / "list.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "group", "lon", "lat"))
        for k, path in enumerate(files):
            number = int(path.stem.rsplit("_", 1)[1])
            row = (path.relative_to(patches), path.parent.name, f"scene{number % 6}", 10 + number, 50 + 0.001 * k)
            writer.writerow(row)
    return patches / "list.csv"


def test_report_and_fix(swath: Swath, tiny_index_file: Path, tmp_path: Path) -> None:
    ran = swath("data", "report", tiny_index_file, "--out", tmp_path / "look")
    assert ran.code == 0, ran.err
    assert "index.html" in ran.out
    assert json.loads((tmp_path / "look" / "facts.json").read_text())["audit"]["patches"] == 120
    ran = swath("data", "fix", tiny_index_file, "--out", tmp_path / "clean", "--size", "32")
    assert ran.code == 0, ran.err
    assert "120 of 120 patches kept" in ran.out
    assert set(read_index(tmp_path / "clean" / "index.parquet").table["width"].to_pylist()) == {32}
    ran = swath("data", "report", tiny_index_file, "--out", tmp_path / "look")
    assert ran.code == 2
    assert "--overwrite" in ran.err


def test_split_by_blocks_scenes_and_folds(swath: Swath, tmp_path: Path) -> None:
    index, out = tmp_path / "index.parquet", tmp_path / "split.parquet"
    assert swath("data", "index", placed(tmp_path), "--out", index).code == 0
    ran = swath("data", "split", index, "--out", out, "--by", "block", "--block-km", "20")
    assert ran.code == 0, ran.err
    assert "blocks of 20 km kept whole" in read_index(out).split_protocol
    ran = swath("data", "split", index, "--out", out, "--by", "group", "--overwrite")
    assert ran.code == 0, ran.err
    ran = swath("data", "split", index, "--out", out, "--folds", "3", "--fold", "2", "--overwrite")
    assert ran.code == 0, ran.err
    assert read_index(out).split_protocol.startswith("test is fold 2 of 3")
    for options, said in (
        (("--folds", "3", "--test", "0.4"), "the test is one fold"),
        (("--block-km", "3"), "add --by block"),
        (("--by", "tile"), "'auto', 'group', 'scene', 'block'"),
        (("--group-by", "(x"), "is not a regular expression"),
    ):
        ran = swath("data", "split", index, "--out", out, *options, "--overwrite")
        assert ran.code == 2
        assert said in ran.err
    ran = swath("data", "split", out, "--out", out, "--val", "0.4", "--overwrite")
    assert ran.code == 2
    assert "pass --resplit" in ran.err


def test_scenes_in_names_are_suggested_applied_and_kept_whole(swath: Swath, tmp_path: Path) -> None:
    for path in write_patches(tmp_path / "in", n=24).rglob("*.png"):
        number = int(path.stem.rsplit("_", 1)[1]) - 1
        path.rename(path.with_name(f"scene{number % 6}_{number}_0.png"))
    index, out = tmp_path / "index.parquet", tmp_path / "split.parquet"
    ran = swath("data", "index", tmp_path / "in", "--out", index)
    assert "names look like 6 scenes (scene0, scene1…)" in ran.err
    pattern = ran.err.split("--group-by '")[1].split("'")[0]
    ran = swath("data", "split", index, "--out", out)
    assert "6 scenes by" in ran.err
    assert "nothing is known" not in ran.err
    ran = swath("data", "index", tmp_path / "in", "--out", index, "--group-by", pattern, "--overwrite")
    assert ran.code == 0, ran.err
    assert "names look like" not in ran.err
    assert set(read_index(index).column("group")) == {f"scene{k}" for k in range(6)}
    ran = swath("data", "split", index, "--out", out, "--by", "random", "--group-by", r"/(scene\d)", "--overwrite")
    assert ran.code == 0, ran.err
    sides: dict[str, set[str]] = {}
    for row in read_index(out):
        sides.setdefault(row["path"].split("/")[1].split("_")[0], set()).add(row["split"])
    assert all(len(found) == 1 for found in sides.values())


def test_a_split_of_strangers_says_that_nothing_is_known(swath: Swath, tmp_path: Path) -> None:
    index = tmp_path / "index.parquet"
    assert swath("data", "index", write_patches(tmp_path / "in", n=5), "--out", index).code == 0
    ran = swath("data", "split", index, "--out", index, "--overwrite")
    assert ran.err.count("nothing is known of where these patches come from: the score may be far too high") == 1


def test_val_is_split_from_a_published_train_list(swath: Swath, tiny_index_file: Path, tmp_path: Path) -> None:
    whole, out = read_index(tiny_index_file), tmp_path / "split.parquet"
    lists = {"train": whole.paths[::2], "test": whole.paths[1::2]}
    named = []
    for side, paths in lists.items():
        (tmp_path / f"{side}.txt").write_text("\n".join(paths))
        named += [f"--{side}-list", tmp_path / f"{side}.txt"]
    ran = swath("data", "split", tiny_index_file, "--out", out, *named, "--val", "0.2")
    assert ran.code == 0, ran.err
    made = read_index(out)
    assert set(made.where("test").paths) == set(lists["test"])
    assert set(made.where("val").paths) < set(lists["train"])
    assert 0.1 * len(whole) <= len(made.where("val")) + 4 <= 0.1 * len(whole) + 8
    ran = swath("data", "split", tiny_index_file, "--out", out, *named, "--test", "0.2", "--overwrite")
    assert ran.code == 2
    assert "--test out, or give a --test-list" in ran.err


def test_split_by_blocks_without_coordinates(swath: Swath, tiny_index_file: Path, tmp_path: Path) -> None:
    ran = swath("data", "split", tiny_index_file, "--out", tmp_path / "x.parquet", "--by", "block")
    assert ran.code == 2
    assert "have no coordinates" in ran.err
    assert not (tmp_path / "x.parquet").exists()


def test_a_strict_audit_fails_where_something_crosses(swath: Swath, tmp_path: Path) -> None:
    patches = write_patches(tmp_path / "patches", n=12)
    for side, numbers in (("train", (1, 2, 3, 4, 5)), ("test", (5, 6, 7))):
        for label in ("Forest", "River"):
            for k in numbers:
                target = tmp_path / "cut" / side / label / f"{k}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes((patches / label / f"{label}_{k}.png").read_bytes())
    index = tmp_path / "index.parquet"
    assert swath("data", "index", tmp_path / "cut", "--out", index).code == 0
    assert swath("data", "audit", index).code == 0
    ran = swath("data", "audit", index, "--strict", "--out", tmp_path / "audit.json")
    assert ran.code == 1
    assert "2 duplicates, overlaps or groups are in more than one split" in ran.err
    assert (tmp_path / "audit.json").exists()
    assert swath("data", "fix", index, "--out", tmp_path / "clean").code == 0
    assert swath("data", "audit", tmp_path / "clean" / "index.parquet", "--strict").code == 0


def test_resampled_patches_have_their_own_index(swath: Swath, tiny_patches: Path, tmp_path: Path) -> None:
    index, out = tmp_path / "fine.parquet", tmp_path / "coarse"
    assert swath("data", "index", tiny_patches, "--out", index).code == 0
    ran = swath("data", "resample", index, "--gsd", 20, "--from-gsd", 10, "--out", out)
    assert ran.code == 0, ran.err
    assert f"120 patches, 32 pixels wide or more: {out / 'index.parquet'}" in ran.out
    made = read_index(out / "index.parquet")
    assert made.labels == read_index(index).labels
    assert made.gsd == 20
    ran = swath("data", "resample", index, "--factor", 8, "--out", out, "--overwrite")
    assert ran.code == 0, ran.err
    assert "8 pixels show little" in ran.err
    ran = swath("data", "resample", index, "--gsd", 20, "--out", tmp_path / "b")
    assert ran.code == 2
    assert "--from-gsd" in ran.err
