from __future__ import annotations

import json

import numpy as np
import pytest

from swath.errors import DataError, SettingError
from swath.imagery.color_match import ENOUGH, measure_quantiles
from swath.inference import load, predict_files
from swath.inference.color_match import compare_scene, sample_images
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


def test_a_scene_like_the_training_patches_is_left_alone(spec):
    found = compare_scene(training_pixels(1), spec, mode="auto")
    assert found.compared
    assert found.correction is None
    assert found.warning is None
    assert found.record()["applied"] is False


def test_auto_corrects_a_scene_that_lies_outside(spec):
    found = compare_scene(bluish(training_pixels(1)), spec, mode="auto")
    assert found.correction is not None
    red, green, blue = found.correction.offset
    assert blue == pytest.approx(50, abs=8)  # the darkest values were cut off at 1
    assert (abs(red), abs(green)) < (6, 6)
    assert "blue values lie below" in found.warning
    assert f"blue: gain {found.correction.gain[2]:.2f}, offset {blue:+.0f}" in found.warning
    assert "\N{MINUS SIGN}" not in found.warning  # signs as in every other number
    told = found.record()
    assert told["correction"]["gain"] == found.correction.gain
    assert json.dumps(told)


def test_off_says_so_and_does_nothing(spec):
    found = compare_scene(bluish(training_pixels(1)), spec, mode="off")
    assert found.correction is None
    assert "--match-colors on" in found.warning


def test_few_pixels_are_no_scene(spec):
    few = bluish(training_pixels(1))[:, : ENOUGH - 1]
    assert compare_scene(few, spec, mode="auto").correction is None
    assert compare_scene(few, spec, mode="auto").warning is None
    assert compare_scene(few, spec, mode="on").correction is not None


def test_a_model_without_quantiles_cannot_match_colors():
    found = compare_scene(training_pixels(), input_spec(), mode="auto")
    assert (found.comparison, found.correction, found.warning) == (None, None, None)
    with pytest.raises(SettingError, match="no quantiles"):
        compare_scene(training_pixels(), input_spec(), mode="on")


def test_what_cannot_be_asked_for(spec):
    with pytest.raises(SettingError, match="auto, on or off"):
        compare_scene(training_pixels(), spec, mode="perhaps")
    with pytest.raises(DataError, match="--match-colors on"):
        compare_scene(np.zeros((3, 10), np.uint8), spec, mode="on")
    assert compare_scene(np.zeros((3, 10), np.uint8), spec, mode="auto").correction is None


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
    assert "--match-colors on" in plain.color_match.warning
    assert list(tmp_path.iterdir()) == [tmp_path / "off.json"]
    made = predict_files(classifier, [dark_blue], tmp_path / "auto.json", match_colors="auto")
    assert made.color_match.correction is not None
    told = json.loads((tmp_path / "auto.json.color_match.json").read_text())
    assert told["correction"]["offset"] == list(made.color_match.correction.offset)
    assert right(tmp_path / "auto.json") > right(tmp_path / "off.json") + 0.1


def test_one_picture_is_not_matched_by_itself(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    one = next(iter(sorted(dark_blue.rglob("*.png"))))
    made = predict_files(classifier, [one], tmp_path / "one.json", match_colors="auto")
    assert made.color_match.correction is None
    assert made.color_match.warning is None
    told = json.loads((tmp_path / "one.json.color_match.json").read_text())
    assert "too few pixels" in told["finding"]


def test_a_stale_note_goes_with_its_table(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    out = tmp_path / "p.json"
    predict_files(classifier, [dark_blue], out, match_colors="auto")
    predict_files(classifier, [dark_blue], out, overwrite=True)
    assert list(tmp_path.iterdir()) == [out]


def test_tables_of_one_name_and_two_kinds_keep_their_own_notes(model, dark_blue, tmp_path):
    classifier = load(model, engine="onnxruntime", threads=1)
    for name in ("p.csv", "p.parquet"):
        predict_files(classifier, [dark_blue], tmp_path / name, match_colors="auto")
    predict_files(classifier, [dark_blue], tmp_path / "p.csv", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.parquet", "p.parquet.color_match.json"]


def test_a_table_that_fails_leaves_no_note(model, dark_blue, tmp_path):
    (tmp_path / "in").mkdir()
    for path in (*sorted(dark_blue.rglob("*.png"))[:2], dark_blue / "bad.png"):
        content = path.read_bytes() if path.exists() else b"no picture"
        (tmp_path / "in" / path.name).write_bytes(content)
    classifier = load(model, engine="onnxruntime", threads=1)
    with pytest.raises(DataError, match=r"bad\.png"):
        predict_files(classifier, [tmp_path / "in"], tmp_path / "p.csv", match_colors="auto")
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]
