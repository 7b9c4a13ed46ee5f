from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from swath.data import SCHEMA, audit, build_index, write_audit
from swath.data.audit import measure_channels
from swath.errors import OutputError

from .makers import encoded, write
from .test_matching_similarity import scene
from .test_spatial import with_columns


def patch(seed):
    return Image.fromarray(scene(seed)[0].transpose(1, 2, 0))


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Eleven patches with one of each fault: copies, near copies, odd sizes and modes, damage."""
    root = tmp_path_factory.mktemp("audit") / "mine"
    for k in range(4):
        write(root / "Town" / f"t{k}.png", encoded(patch(k)))
    for k in range(3):
        write(root / "Sea" / f"s{k}.png", encoded(patch(10 + k).convert("L").resize((96, 96))))
    write(root / "Town" / "copy.png", encoded(patch(0)))
    write(root / "Sea" / "wrong.png", encoded(patch(1)))
    write(root / "Town" / "near.jpg", encoded(patch(2), "JPEG", quality=80))
    write(root / "Town" / "broken.jpg", b"\xff\xd8\xff")
    write(root / "Town" / "data.mat", b"x")
    made = build_index(root, skip_unreadable=True)
    side = {"Town/t0.png": "train", "Town/copy.png": "test", "Town/t2.png": "val", "Town/near.jpg": "train"}
    column = pa.array([side.get(path, "train") for path in made.paths])
    return replace(made, table=made.table.set_column(SCHEMA.get_field_index("split"), SCHEMA.field("split"), column))


@pytest.fixture(scope="module")
def found(index):
    return audit(index)


def test_counts(found, index):
    assert (found.name, found.patches, found.fingerprint) == ("mine", 10, index.fingerprint)
    assert found.classes == {"Sea": {"train": 4}, "Town": {"train": 4, "val": 1, "test": 1}}
    assert found.sizes == {"64 x 64": 7, "96 x 96": 3}
    assert found.modes == {"RGB": 7, "L": 3}
    assert found.unreadable == ("Town/broken.jpg",)
    assert found.ignored == 1


def test_duplicates_leaks_and_contradictions(found):
    assert found.exact == (("Sea/wrong.png", "Town/t1.png"), ("Town/copy.png", "Town/t0.png"))
    assert [(p.first, p.second) for p in found.near] == [("Town/near.jpg", "Town/t2.png")]
    assert found.leaks == (("Town/copy.png", "Town/t0.png"), ("Town/near.jpg", "Town/t2.png"))
    assert found.contradictions == (("Sea/wrong.png", "Town/t1.png"),)


def test_a_near_copy_of_a_copy_leaks_too(index):
    rows = [i for i, p in enumerate(index.paths) if p != "Town/t2.png"]
    assert len(audit(replace(index, table=index.table.take(rows))).leaks) == 1


def test_channels_are_measured_by_class(found):
    assert found.channels.bands == ("red", "green", "blue")
    assert all(90 < mean < 130 for mean in found.channels.mean)
    assert all(sd > 5 for sd in found.channels.sd)
    assert len(set(found.channels.by_class["Town"])) == 3
    assert found.channels.patches == 10


def test_the_terminal_shows_everything_that_matters(found):
    shown = "\n".join(found.lines())
    for part in (
        "mine: 10 patches in 2 classes",
        "96 x 96 (3)",
        "Town/near.jpg  Town/t2.png",
        "2 duplicates lie in more than one split",
        "1 duplicate carries different labels",
        "size and mode predict the class of 90 %",
        "1 image was left out",
    ):
        assert part in shown, part
    assert max(map(len, found.lines())) < 300


def test_the_report_gets_a_few_sentences(found):
    sentences = found.sentences()
    assert sentences[0] == "10 patches in 2 classes, with 2 sets of identical files and 1 pair of near duplicates."
    assert 1 < len(sentences) <= 6
    assert all(sentence.endswith(".") for sentence in sentences)


def test_sound_data_get_a_clean_bill(tmp_path):
    for label in "AB":
        for k in range(3):
            write(tmp_path / label / f"{k}.png", encoded(patch(ord(label) * 10 + k)))
    index = build_index(tmp_path)
    sides = pa.array(["train", "val", "test"] * 2)
    sound = replace(index, table=index.table.set_column(3, SCHEMA.field("split"), sides))
    assert audit(sound).warnings == (
        "Nothing is known of where these patches come from: the score may be far too high. If file names or a column "
        "tell the scenes: swath data split --group-by.",
        "The test split has 2 patches: intervals will be wide.",
    )
    known = sound.with_columns({"group": [f"scene {k}" for k in range(6)]})
    assert audit(known).warnings == ("The test split has 2 patches: intervals will be wide.",)
    assert audit(index).warnings == ("There are no splits yet: make them with swath data split.",)


def test_json_holds_it_all_and_is_the_same_each_time(found, tmp_path):
    write_audit(found, tmp_path / "a.json")
    write_audit(found, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    stored = json.loads((tmp_path / "a.json").read_text())
    assert stored["near"][0]["first"] == "Town/near.jpg"
    assert stored["leaks"] == [list(pair) for pair in found.leaks]
    assert stored["channels"]["mean"] == list(found.channels.mean)
    assert [finding["text"] for finding in stored["findings"]] == list(found.warnings)


def test_an_existing_file_is_kept_unless_asked(found, tmp_path):
    path = write(tmp_path / "a.json", b"precious")
    with pytest.raises(OutputError, match="exists already"):
        write_audit(found, path)
    assert path.read_bytes() == b"precious"
    write_audit(found, path, overwrite=True)
    assert json.loads(path.read_text())["name"] == "mine"


def test_of_a_leak_two_patches_from_different_splits_are_named(tmp_path):
    for label in "AB":
        for k in range(3):
            write(tmp_path / label / f"{k}.png", encoded(patch(1)))
    index = with_columns(build_index(tmp_path), split=[None, "train", "train", "train", "test", "train"])
    found = audit(index)
    assert found.leaks == (("A/1.png", "B/1.png", "A/0.png", "A/2.png", "B/0.png", "B/2.png"),)
    assert found.contradictions == (("A/0.png", "B/0.png", "A/1.png", "A/2.png", "B/1.png", "B/2.png"),)
    assert "the first is A/1.png = B/1.png." in found.warnings[0]


def test_a_random_split_of_neighbors_is_called_optimistic_but_nothing_crosses_it(tmp_path):
    for label in "AB":
        for k in range(3):
            write(tmp_path / label / f"{k}.png", encoded(patch(ord(label) * 10 + k)))
    index = with_columns(
        build_index(tmp_path), lon=[5 + 0.001 * k for k in range(6)], lat=[50.0] * 6, split=["train", "val", "test"] * 2
    )
    found = audit(index)
    assert found.warnings[0] == (
        "The splits are optimistic: 100 % of held-out patches lie within 10 km of a training patch. "
        "Accuracy on new land will be lower."
    )
    assert found.crossing == 0


def test_mean_and_spread_are_those_of_all_pixels():
    pixels = np.random.default_rng(0).integers(0, 255, (1100, 2, 4, 4), np.uint8)
    labels = ["A"] * 600 + ["B"] * 500
    found = measure_channels(pixels, labels, bands=("red", "nir"))
    assert found.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-3)
    assert found.sd == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-3)
    assert found.by_class["B"] == pytest.approx(pixels[600:].mean(axis=(0, 2, 3)), abs=1e-3)
    assert (found.bands, found.patches, found.side) == (("red", "nir"), 1100, 4)


def test_a_large_set_is_sampled_the_same_way_each_time():
    pixels = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    labels = ["A"] * 200
    one = measure_channels(pixels, labels, bands=("gray",), limit=50)
    assert one == measure_channels(pixels, labels, bands=("gray",), limit=50)
    assert one.patches == 50
    assert one.mean[0] == pytest.approx(99.5, abs=20)
    assert one.mean[0] != measure_channels(pixels, labels, bands=("gray",)).mean[0]
