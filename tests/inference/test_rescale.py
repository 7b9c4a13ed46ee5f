from __future__ import annotations

import json

import numpy as np
import pytest

from swath.errors import DataError, SettingError
from swath.imagery.color_match import measure_quantiles
from swath.imagery.rescaling import Rescaling
from swath.imagery.sentinel2 import Drawing, Product
from swath.inference import load, predict_files
from swath.inference.rescale import Sample, decide_rescale, drawings, read_rescale, sample_images
from swath.model.record import ChannelQuantiles
from tests.tiny import CLASSES, input_spec, patches, write_patches, write_tiny_model


def training_pixels(seed: int = 0) -> np.ndarray:
    drawn = np.concatenate([patches(c, 30, seed=seed) for c in CLASSES])
    return drawn.transpose(1, 0, 2, 3).reshape(3, -1)


@pytest.fixture(scope="module")
def spec():
    found = measure_quantiles(training_pixels())
    quantiles = ChannelQuantiles(levels=found.levels, values=found.values)
    return input_spec().model_copy(update={"channel_quantiles": quantiles})


@pytest.fixture(scope="module")
def model(spec, tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", spec=spec)


def bluish(pixels: np.ndarray) -> np.ndarray:
    """The same land with its blue band far darker."""
    changed = pixels.copy()
    changed[2] = np.maximum(pixels[2].astype(int) - 55, 1)
    return changed


def scene(change=lambda pixels: pixels, *, count=120, seed=1, **known) -> Sample:
    drawn = np.concatenate([patches(c, count // len(CLASSES), seed=seed) for c in CLASSES])
    pixels = np.ascontiguousarray(change(drawn.transpose(1, 0, 2, 3).reshape(3, -1)))
    return Sample(pixels, **known)


def drawn_from(level, white=None, air=1.0, added=0.0):
    """What makes a product of pictures drawn as EuroSAT's."""

    def change(pixels):
        line = Drawing(level, white, air).rescaling(("red", "green", "blue"))
        gain, offset = (np.array(part)[:, None] for part in (line.gain, line.offset))
        values = np.rint((pixels - offset) / gain) + added
        return np.clip(values, 1, 255).astype(np.uint8) if white else np.clip(values, 1, 65535).astype(np.uint16)

    return change


@pytest.fixture(scope="module")
def like_eurosat(spec):
    return spec.model_copy(update={"rendering": "eurosat"})


def test_a_scene_like_the_training_patches_is_left_alone(spec, like_eurosat):
    for one in (spec, like_eurosat):
        found = decide_rescale(one, scene())
        assert found.compared
        assert found.rescaling is None
        assert found.warning is None
        assert found.record()["taken"] == "off"
        assert found.alternative is not None


def test_colors_are_matched_for_a_model_of_other_pictures(spec):
    found = decide_rescale(spec, scene(bluish))
    assert found.rendering.taken == "match"
    red, green, blue = found.rescaling.offset
    assert blue == pytest.approx(50, abs=8)  # the darkest values were cut off at 1
    assert (abs(red), abs(green)) < (6, 6)
    assert "blue values lie below" in found.warning
    assert f"blue: gain {found.rescaling.gain[2]:.2f}, offset {blue:+.0f}" in found.warning
    assert "\N{MINUS SIGN}" not in found.warning  # signs as in every other number
    told = found.record()
    assert told["rescaling"]["gain"] == found.rescaling.gain
    assert json.dumps(told)
    assert decide_rescale(spec, scene(), "match").rendering.taken == "match"


def test_off_says_so_and_does_nothing(spec):
    found = decide_rescale(spec, scene(bluish), "off")
    assert found.rescaling is None
    assert "--rescale auto" in found.warning


def test_a_picture_that_nothing_is_known_of_is_matched(like_eurosat):
    found = decide_rescale(like_eurosat, scene(drawn_from("l2a", 2000)))
    assert found.rendering.taken == "match"
    assert found.alternative.taken == "off"  # for labeled places to compare with


def test_a_white_that_is_not_given_is_estimated_and_said_to_be(like_eurosat):
    found = decide_rescale(like_eurosat, scene(drawn_from("l2a", 3000)), "tci")
    assert 2500 <= found.rendering.drawing.white <= 3558
    assert "that white is a guess" in found.warning
    assert "--rescale tci:WHITE" in found.warning
    again = decide_rescale(like_eurosat, scene(drawn_from("l2a", 3000)), found.rendering.taken)
    assert again.rescaling == found.rescaling
    assert again.warning is None


@pytest.mark.parametrize(("level", "added"), [("l1c", 0), ("l1c", 1000), ("l2a", 0)])
def test_numbers_of_both_levels_are_told_apart(like_eurosat, level, added):
    drawn = scene(drawn_from(level, added=added))
    found = decide_rescale(like_eurosat, drawn)
    assert found.rendering.taken.startswith(level)
    assert found.rendering.drawing.added == bool(added)
    assert "give --rescale l1c or l2a" in found.warning
    back = found.rescaling.apply(drawn.pixels[..., None])[..., 0]
    if level == "l1c":
        assert np.abs(back.astype(int) - scene().pixels).max() <= 1


def test_name_and_tags_come_before_the_model(like_eurosat):
    numbers = drawn_from("l2a")
    found = decide_rescale(like_eurosat, scene(numbers, product=Product("l1c")))
    assert found.rendering.taken == "l1c"
    assert "by its name or tags" in found.sentence
    picture = drawn_from("l2a", 2000)
    found = decide_rescale(like_eurosat, scene(picture, product=Product("l2a", picture=True)))
    assert found.rendering.drawing.white == 2000
    found = decide_rescale(like_eurosat, scene(picture, tag="tci:2000:1"))
    assert found.rendering.taken == "tci:2000:1"
    with pytest.raises(SettingError, match="SWATH_RESCALE='blue'"):
        decide_rescale(like_eurosat, scene(picture, tag="blue"))


def test_1000_that_was_taken_off_again_is_not_taken_off_twice():
    dark = scene(drawn_from("l1c"), product=Product("l1c", added=True))
    assert [one.added for one in drawings(read_rescale("auto"), dark)] == [False]
    bright = scene(drawn_from("l1c", added=1000), product=Product("l1c", added=True))
    assert [one.added for one in drawings(read_rescale("auto"), bright)] == [True]


def test_reflectance_in_other_units_is_brought_to_numbers(like_eurosat):
    numbers = scene(drawn_from("l1c"))
    for factor in (1e-4, 1e-2):
        real = scene(lambda p, f=factor: (drawn_from("l1c")(p) * f).astype(np.float32))
        found = decide_rescale(like_eurosat, real, "l1c")
        np.testing.assert_allclose(
            found.rescaling.apply(real.pixels[..., None]).astype(int),
            decide_rescale(like_eurosat, numbers, "l1c").rescaling.apply(numbers.pixels[..., None]),
            atol=1,
        )
    stated = scene(drawn_from("l1c", added=1000), scaling=(1e-4, -0.1))
    found = decide_rescale(like_eurosat, stated, "l1c")
    assert found.rescaling.offset[0] == pytest.approx(1 - 1000 * 254 / 2750)


def test_a_small_scene_is_told_what_to_try(spec, like_eurosat):
    for one in (spec, like_eurosat):
        found = decide_rescale(one, scene(bluish, count=len(CLASSES)))
        assert found.rescaling is None
        assert "--rescale match" in found.warning


def test_a_model_without_quantiles_matches_nothing():
    found = decide_rescale(input_spec(), scene())
    assert (found.comparison, found.rescaling, found.warning) == (None, None, None)
    with pytest.raises(SettingError, match="no quantiles"):
        decide_rescale(input_spec(), scene(), "match")


@pytest.mark.parametrize(
    "asked", ["perhaps", "", "tci:", "tci:white", "tci:0", "tci:2000:9", "5", "5:1", "0:1:2", "off:1", "0:nan"]
)
def test_what_cannot_be_asked_for(asked):
    with pytest.raises(SettingError, match="rescale"):
        read_rescale(asked)


@pytest.mark.parametrize("asked", ["auto", "off", "match", "l1c", "l1c:3558", "l2a", "l2a:0.5", "tci:2000:0", "0:2750"])
def test_what_is_asked_for_is_written_as_it_is_read(asked):
    assert str(read_rescale(asked)) == asked


def test_what_does_not_fit_the_model_or_the_scene_is_refused(spec, like_eurosat):
    numbers = scene(drawn_from("l1c"))
    with pytest.raises(SettingError, match="EuroSAT"):
        decide_rescale(spec, numbers, "l1c")
    with pytest.raises(DataError, match="uint16"):
        decide_rescale(spec, numbers)
    with pytest.raises(DataError, match="uint16"):
        decide_rescale(like_eurosat, numbers, "off")
    with pytest.raises(SettingError, match="8-bit pictures"):
        decide_rescale(like_eurosat, numbers, "tci:2000")
    with pytest.raises(SettingError, match="8-bit already"):
        decide_rescale(like_eurosat, scene(), (0, 2750))
    empty = Sample(np.zeros((3, 10), np.uint8))
    with pytest.raises(DataError, match="--rescale match"):
        decide_rescale(spec, empty, "match")
    assert decide_rescale(like_eurosat, empty).rescaling is None


def test_limits_are_a_line(like_eurosat):
    found = decide_rescale(like_eurosat, scene(drawn_from("l1c")), "0:2750")
    assert found.rescaling == Rescaling.between(0, 2750, bands=3)
    assert found.rendering.taken == "0:2750"


def test_a_large_picture_gives_no_more_pixels_than_a_patch():
    def pixels_of(data, name):
        if name == "bad":
            raise DataError("damaged")
        return np.zeros((3, 1000, 1000), np.uint8)

    parts = sample_images([("a", b""), ("bad", b"")], pixels_of)
    assert len(parts) == 1
    assert parts[0].shape[1] <= 64 * 64


@pytest.fixture(scope="module")
def dark_blue(tmp_path_factory):
    """Patches rendered with a far darker blue, on disk."""
    from PIL import Image

    folder = write_patches(tmp_path_factory.mktemp("dark"), n=10, seed=3)
    for path in folder.rglob("*.png"):
        pixels = bluish(np.asarray(Image.open(path)).transpose(2, 0, 1))
        Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(path)
    return folder


def right(table) -> float:
    rows = json.loads(table.read_text())
    return float(np.mean([row["label"] in row["path"] for row in rows]))


def test_predict_corrects_all_images_alike_and_writes_down_how(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    plain = predict_files(classifier, [dark_blue], tmp_path / "off.json")
    assert "--rescale auto" in plain.rescale.warning
    assert list(tmp_path.iterdir()) == [tmp_path / "off.json"]
    made = predict_files(classifier, [dark_blue], tmp_path / "auto.json", rescale="auto")
    assert made.rescale.rescaling is not None
    told = json.loads((tmp_path / "auto.json.rescale.json").read_text())
    assert told["rescaling"]["offset"] == list(made.rescale.rescaling.offset)
    assert right(tmp_path / "auto.json") > right(tmp_path / "off.json") + 0.1


def test_one_picture_is_not_matched_by_itself(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    one = next(iter(sorted(dark_blue.rglob("*.png"))))
    made = predict_files(classifier, [one], tmp_path / "one.json", rescale="auto")
    assert made.rescale.rescaling is None
    assert "too small to be matched by itself: try --rescale match" in made.rescale.warning
    told = json.loads((tmp_path / "one.json.rescale.json").read_text())
    assert "too few pixels" in told["finding"]


def test_a_stale_note_goes_with_its_table(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    out = tmp_path / "p.json"
    predict_files(classifier, [dark_blue], out, rescale="auto")
    predict_files(classifier, [dark_blue], out, overwrite=True)
    assert list(tmp_path.iterdir()) == [out]


def test_tables_of_one_name_and_two_kinds_keep_their_own_notes(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    for name in ("p.csv", "p.parquet"):
        predict_files(classifier, [dark_blue], tmp_path / name, rescale="auto")
    predict_files(classifier, [dark_blue], tmp_path / "p.csv", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.parquet", "p.parquet.rescale.json"]


def test_a_table_that_fails_leaves_no_note(model, dark_blue, tmp_path):
    (tmp_path / "in").mkdir()
    for path in (*sorted(dark_blue.rglob("*.png"))[:2], dark_blue / "bad.png"):
        content = path.read_bytes() if path.exists() else b"no picture"
        (tmp_path / "in" / path.name).write_bytes(content)
    classifier = load(model, engine="onnxruntime", threads=1)
    with pytest.raises(DataError, match=r"bad\.png"):
        predict_files(classifier, [tmp_path / "in"], tmp_path / "p.csv", rescale="auto")
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]
