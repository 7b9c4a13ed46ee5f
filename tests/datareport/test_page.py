from __future__ import annotations

import io
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from swath.data import SCHEMA, build_index, fix_index, open_patches, read_index, shipped_path, split_index
from swath.datareport import data_report, verdict
from swath.errors import DataError, OutputError
from tests.data.makers import encoded, write
from tests.data.test_matching_similarity import scene
from tests.data.test_spatial import with_columns


def land(seed, size=64):
    return Image.fromarray(scene(seed)[0].transpose(1, 2, 0)).resize((size, size))


@pytest.fixture(scope="module")
def given_away(tmp_path_factory):
    """Like the well-known four classes: CMYK, another size, and two classes of real EuroSAT files."""
    root = tmp_path_factory.mktemp("report") / "mine"
    for k in range(25):
        write(root / "cloud" / f"c{k}.jpg", encoded(land(k, 96).convert("CMYK"), "JPEG"))
        write(root / "desert" / f"d{k}.jpg", encoded(land(100 + k, 96), "JPEG"))
    write(root / "desert" / "again.jpg", encoded(land(100, 96), "JPEG"))
    with open_patches(shipped_path("eurosat-mini")) as reader:
        for name, ours in (("Forest", "green"), ("SeaLake", "water")):
            for path in [n for n in reader.names() if n.startswith(f"{name}/")][:25]:
                write(root / ours / path.split("/")[1], reader.read(path))
    return split_index(build_index(root))


@pytest.fixture(scope="module")
def reported(given_away, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "look"
    seen = []
    facts = data_report(given_away, out, progress=lambda *a, **k: seen.append(a))
    return facts, (out / "index.html").read_text(encoding="utf-8"), out, seen


def test_the_page_finds_what_is_wrong_unaided(reported):
    facts, page, _, _ = reported
    assert facts.shortcuts.headers.score.accuracy.value == pytest.approx(0.75, abs=0.02)
    assert facts.shortcuts.headers.score.chance == pytest.approx(26 / 101)
    assert len(facts.overlaps[0].identical) == 50
    assert (facts.copies, len(facts.audit.exact)) == (1, 1)
    said = verdict(facts)
    for part in (
        "File headers alone predict the class of 7",
        "25 files are CMYK",
        "50 files are byte for byte those of EuroSAT RGB",
        "1 file repeats another byte for byte.",
    ):
        assert part in said
        assert part in page


def test_the_page_has_every_part_and_needs_no_other_file(reported):
    _, page, out, _ = reported
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert titles == [
        "Classes", "Shortcuts", "Files", "Duplicates", "Shared ground", "Splits", "Published sets", "Colors",
        "Histograms", "Outliers", "Map of similarity", "Places", "Origin",
    ]  # fmt: skip
    assert page.count("data:image/png;base64,") >= 6
    assert not re.search(r"https?://|<script|<link", re.sub(r"base64,[\w+/=]+", "", page))
    assert sorted(path.name for path in out.iterdir()) == ["facts.json", "index.html"]


def test_programs_get_the_same_facts(reported):
    facts, _, out, _ = reported
    read = json.loads((out / "facts.json").read_text())
    assert read["shortcuts"]["headers"]["score"]["accuracy"]["value"] == facts.shortcuts.headers.score.accuracy.value
    assert read["audit"]["modes"] == {"RGB": 76, "CMYK": 25}
    assert read["forms"]["JPEG, quality 75, 4:2:0"] == 26


def test_near_copies_with_the_same_label_give_nothing_away(tmp_path):
    """Random land with random labels, each saved four times: what is learned of one copy must not tell another."""
    labels = np.random.default_rng(3).permutation(["A", "B"] * 20)
    for k, label in enumerate(labels):
        for quality in (95, 90, 85, 80):
            write(tmp_path / "in" / label / f"{k}_{quality}.jpg", encoded(land(k), "JPEG", quality=quality))
    facts = data_report(build_index(tmp_path / "in"), tmp_path / "look")
    assert len(facts.audit.near) > 100
    colors = next(one for one in facts.shortcuts.all if "color" in one.name)
    assert colors.score.accuracy.value < 0.7


def test_all_stages_reach_their_end(reported):
    last = {}
    for stage, done, total in reported[3]:
        last[stage] = (done, total)
    # Files as new as these may be read again, in a stage "check".
    found = {"compare", "align", "describe", "match", "check overlap"}
    assert set(last) - {"check"} == {"decode", *found, "headers", "score", "features", "report"}
    assert all(done == total for done, total in last.values())


def test_the_fixed_set_gives_nothing_away(given_away, tmp_path):
    fix_index(given_away, tmp_path / "clean")
    clean = read_index(tmp_path / "clean" / "index.parquet")
    facts = data_report(clean, tmp_path / "look")
    headers = facts.shortcuts.headers
    assert not headers.is_shortcut
    assert headers.score.accuracy.value == pytest.approx(headers.score.chance, abs=0.02)
    assert "File headers" not in verdict(facts)
    # New files have new hashes, but where they come from is not forgotten.
    assert "50 patches come from EuroSAT RGB" in verdict(facts)


def test_places_are_drawn_and_a_random_split_of_neighbors_is_called_optimistic(tmp_path):
    for label in "AB":
        for k in range(8):
            write(tmp_path / "p" / label / f"{k}.png", encoded(land(ord(label) * 10 + k)))
    index = build_index(tmp_path / "p")
    index = with_columns(index, lon=[5 + 0.001 * k for k in range(16)], lat=[50.0] * 16)
    facts = data_report(split_index(index, val=0.25, test=0.25), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert facts.near.near == facts.near.measured == 8
    assert "optimistic: 100 % of held-out patches lie within 10 km" in page
    assert "Longitude and latitude of patches" in page


def test_patches_of_one_color_and_of_one_class(tmp_path):
    for k in range(4):
        write(tmp_path / "p" / "A" / f"{k}.png", encoded(Image.new("RGB", (16, 16), (k, 9, 9))))
        write(tmp_path / "p" / "B" / f"{k}.png", encoded(Image.new("RGB", (16, 16), (9, 9, k))))
    index = build_index(tmp_path / "p")
    data_report(index, tmp_path / "out")
    assert "8 patches are of one single color; the first is A/0.png." in (tmp_path / "out" / "index.html").read_text()
    one = replace(index, table=index.table.slice(0, 4))
    facts = data_report(one, tmp_path / "one")
    assert facts.shortcuts.all == ()
    assert "there is nothing to predict" in (tmp_path / "one" / "index.html").read_text()


def test_groups_across_splits_are_told(tmp_path):
    for label in "AB":
        for k in range(8):
            write(tmp_path / "p" / label / f"{k}.png", encoded(land(ord(label) * 10 + k)))
    index = build_index(tmp_path / "p")
    index = with_columns(index, group=[f"scene {k % 3}" for k in range(16)], split=["train", "test"] * 8)
    facts = data_report(index, tmp_path / "out")
    assert "3 groups lie in more than one split" in verdict(facts)
    assert (tmp_path / "out" / "index.html").read_text().count("groups lie in more than one split") >= 2


def test_outliers_are_shown(tmp_path):
    for label in "AB":
        for k in range(12):
            write(tmp_path / "p" / label / f"{k}.png", encoded(land(ord(label) * 20 + k)))
    write(tmp_path / "p" / "A" / "cloud.png", encoded(land(5).point(lambda v: min(255, v + 120))))
    facts = data_report(build_index(tmp_path / "p"), tmp_path / "out")
    assert [one.path for one in facts.outliers] == ["A/cloud.png"]
    assert facts.outliers[0].deviation > 5


def test_several_labels_a_patch(tmp_path):
    for k in range(12):
        write(tmp_path / "p" / "A" / f"{k}.png", encoded(land(k)))
        write(tmp_path / "p" / "B" / f"{k}.png", encoded(land(50 + k)))
    index = build_index(tmp_path / "p")
    labels = [["town", "water"] if k % 3 == 0 else ["town"] if k % 3 == 1 else [] for k in range(24)]
    table = index.table
    for name, values in (("label", [None] * 24), ("labels", labels)):
        place = SCHEMA.get_field_index(name)
        table = table.set_column(place, SCHEMA.field(place), pa.array(values, SCHEMA.field(place).type))
    facts = data_report(replace(index, table=table), tmp_path / "out")
    assert facts.classes == {"town": {"in no split": 16}, "water": {"in no split": 8}}
    assert facts.audit.classes == {"town": {"none": 16}, "water": {"none": 8}}


def test_16_bit_patches(tmp_path):
    for label in "AB":
        for k in range(5):
            (tmp_path / "p" / label).mkdir(parents=True, exist_ok=True)
            pixels = scene(ord(label) * 10 + k)[0].astype(np.uint16) * 16
            np.save(tmp_path / "p" / label / f"{k}.npy", np.concatenate([pixels, pixels[:1]]))
    data_report(build_index(tmp_path / "p"), tmp_path / "out")
    assert (
        "color statistics, since the shipped model takes 8-bit RGB only"
        in (tmp_path / "out" / "index.html").read_text()
    )


def test_bad_input(given_away, tmp_path):
    with pytest.raises(DataError, match="no patches"):
        data_report(replace(given_away, table=given_away.table.slice(0, 0)), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        data_report(given_away, tmp_path / "full")
    assert not (tmp_path / "out").exists()


def test_pictures_are_real_pictures(reported):
    import base64

    for data in re.findall(r"base64,([\w+/=]+)", reported[1]):
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert min(picture.size) > 50


def test_findings_of_the_audit_are_in_the_verdict(tmp_path):
    for label, side in (("A", 64), ("B", 96)):
        for k in range(3):
            write(tmp_path / "p" / label / f"{k}.png", encoded(land(ord(label) * 10 + k, side)))
    index = build_index(tmp_path / "p")
    index = replace(index, table=index.table.take([0, 1, 3, 4]))
    index = with_columns(index, split=["train", "train", "train", "test"])
    facts = data_report(index, tmp_path / "out")
    said = verdict(facts)
    for part in (
        "size and mode predict the class of 100 %",
        "There is no val split",
        "Split 'test' has no patch of 'A': split again",
        "The test split has 1 patch: intervals will be wide.",
    ):
        assert said.count(part) == 1, part
    # Four patches are too few to hold one back, which is the reason that is given.
    assert facts.shortcuts.all == ()
    assert "with fewer than five patches" in (tmp_path / "out" / "index.html").read_text()


def test_headers_that_give_classes_away_are_said_once(reported):
    assert "shortcut" in {finding.kind for finding in reported[0].audit.findings}
    assert "The size and mode of the files alone" not in verdict(reported[0])


def test_pairs_that_are_all_shown_are_not_called_the_first(reported):
    assert "The same byte for byte: " in reported[1]
    assert "The first 12 of each" not in reported[1]
