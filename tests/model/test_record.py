from __future__ import annotations

import base64
import json
import zlib
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from swath.model import read_model, record_schema
from swath.model.record import (
    NONE,
    ClassInfo,
    InputSpec,
    Record,
    ReferencePatches,
    class_infos,
    label_mask,
    margins,
    predicted_class,
)
from tests.tiny import input_spec


@pytest.fixture
def values(tiny_model) -> dict:
    return json.loads(read_model(tiny_model).record.model_dump_json())


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(lambda kind: npst.arrays(kind, st.tuples(*[st.integers(1, 5)] * 4)))
)
@settings(max_examples=40)
def test_reference_patches_come_back_as_they_were(pixels):
    reference = ReferencePatches.pack(pixels, np.full((len(pixels), 2), 0.5), tolerance=1e-3)
    again = ReferencePatches.model_validate_json(reference.model_dump_json()).unpack()
    assert again.dtype == pixels.dtype
    np.testing.assert_array_equal(again, pixels)


def packed(raw: bytes) -> str:
    return base64.b64encode(zlib.compress(raw)).decode()


@pytest.mark.parametrize(
    ("shape", "pixels", "message"),
    [
        ((1, 1, 2, 2), packed(b"123"), "size they state"),
        ((1, 1, 2, 2), packed(b"12345"), "size they state"),
        ((1, 1, 2, 2), packed(bytes(10**7)), "size they state"),
        ((1, 1, 2, 2), packed(b"1234")[:-6], "damaged|size they state"),
        ((1, 1, 2, 2), "not base64!", "damaged"),
        ((1, 1, 2, 2), base64.b64encode(b"1234").decode(), "damaged"),
        ((1, 1, 2, 2), "", "size they state"),
        ((1, 1, 2**14, 2**14), packed(b"1234"), "reference patches of 268435456 bytes"),
        ((2**70, 1, 1, 1), packed(b"1"), "reference patches of"),
        ((2**32, 2**32, 1, 1), packed(b"1"), "reference patches of"),
    ],
)
def test_hostile_reference_patches_are_refused(shape, pixels, message):
    reference = ReferencePatches(shape=shape, data_type="uint8", pixels=pixels, probabilities=(), tolerance=1)
    with pytest.raises(ValueError, match=message):
        reference.unpack()


@pytest.mark.parametrize("shape", [(0, 1, 2, 2), (-1, -1, 2, 2), (1, 2, 2)])
def test_reference_shapes_are_positive(shape):
    with pytest.raises(ValidationError):
        ReferencePatches(shape=shape, data_type="uint8", pixels="", probabilities=(), tolerance=1)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("classes", 1, "value"), 5, "count up from 0"),
        (("classes", 1, "name"), "Forest", "names must differ"),
        (("classes", 1, "name"), "", "cannot be empty"),
        (("classes", 1, "color_hint"), "red", "six hexadecimal digits"),
        (("classes",), [], "at least 1 item"),
        (("reference", "probabilities"), [[1.0]] * 4, "one number per class"),
        (("reference", "probabilities"), [[0.25] * 4] * 3, "differ in number"),
        (("reference", "data_type"), "uint16", "bands and type of the input"),
        (("reference", "shape"), [4, 1, 64, 192], "bands and type of the input"),
        (("input", "mean"), [1.0], "'mean' needs one number per band"),
        (("input", "sd"), [1.0, 0.0, 1.0], "greater than 0"),
        (("input", "bands"), [], "at least 1 item"),
        (("temperature",), 0, "greater than 0"),
        (("temperature",), float("nan"), "finite"),
        (("task",), "guessing", "single-label"),
        (("schema_version",), 0, "greater than or equal to 1"),
        (("nickname",), "x", "Extra inputs"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(values, path, value, message):
    node = values
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises(ValidationError, match=message):
        Record.model_validate(values)


def test_a_record_survives_json(values):
    record = Record.model_validate(values)
    assert json.loads(record.model_dump_json()) == values
    assert record.class_names == ("Forest", "Residential", "River", "SeaLake")


def test_colors_are_upper_case_and_read_as_numbers():
    info = ClassInfo(value=0, name="a", color_hint="ff8000")
    assert (info.color_hint, info.rgb) == ("FF8000", (255, 128, 0))


def test_band_statistics_must_match_the_bands():
    fields = input_spec().model_dump() | {"bands": ("red", "green")}
    with pytest.raises(ValidationError, match="one number per band"):
        InputSpec(**fields)


def test_the_packaged_schema_is_the_one_of_this_code():
    stored = (files("swath.model") / "record.schema.json").read_text(encoding="utf-8")
    assert json.loads(stored) == record_schema(), "run: swath model schema > src/swath/model/record.schema.json"
    assert set(record_schema()["properties"]) == set(Record.model_fields)


def test_thresholds_belong_to_what_the_task_decides(values):
    two = {"classes": values["classes"][:2], "baselines": None}
    reference = values["reference"] | {"probabilities": [[0.4, 0.6]] * len(values["reference"]["probabilities"])}
    names = [c["name"] for c in values["classes"]]
    binary = values | two | {"task": "binary", "reference": reference}
    several = values | {"task": "multi-label"}

    record = Record.model_validate(binary | {"thresholds": {names[1]: 0.2}})
    assert (record.cuts, record.outputs) == ((0.2,), 1)
    assert Record.model_validate(binary).cuts == (0.5,)
    record = Record.model_validate(several | {"thresholds": {names[2]: 0.9}})
    assert (record.cuts, record.outputs) == ((0.5, 0.5, 0.9, 0.5), 4)
    assert (Record.model_validate(values).cuts, Record.model_validate(values).outputs) == ((), 4)

    for wrong, message in [
        (binary | {"thresholds": {names[0]: 0.2}}, f"no threshold for '{names[0]}', only for: {names[1]}"),
        (several | {"thresholds": {"Desert": 0.2}}, "no threshold for 'Desert'"),
        (values | {"thresholds": {names[0]: 0.2}}, "a single-label model has no threshold"),
        (several | {"thresholds": {names[0]: 1.0}}, "less than 1"),
        (several | {"thresholds": {names[0]: 0.0}}, "greater than 0"),
        (values | {"task": "binary"}, "a negative and a positive class, not 4 classes"),
        (binary | {"reference": reference | {"probabilities": [[0.4, 0.7]] * 4}}, "do not add up to 1"),
        (several | {"reference": reference | {"probabilities": [[0.4, 0.7, 1.2, 0]] * 4}}, "not between 0 and 1"),
    ]:
        with pytest.raises(ValidationError, match=message):
            Record.model_validate(wrong)


def test_quantiles_are_one_rising_row_a_band(values):
    good = {"levels": [0.02, 0.5], "values": [[10, 20]] * 3}
    spec = values["input"] | {"channel_quantiles": good}
    assert InputSpec.model_validate(spec).channel_quantiles.values[2] == (10, 20)
    assert InputSpec.model_validate(values["input"]).channel_quantiles is None
    for wrong, message in [
        ({"values": [[10, 20]] * 2}, "one row per band"),
        ({"values": [[20, 10]] * 3}, "none below the one before it"),
        ({"values": [[10]] * 3}, "one quantile per level"),
        ({"levels": [0.5, 0.02]}, "must rise"),
        ({"levels": [0.0, 0.5]}, "greater than 0"),
    ]:
        with pytest.raises(ValidationError, match=message):
            InputSpec.model_validate(spec | {"channel_quantiles": good | wrong})


def test_known_land_covers_have_the_colors_people_expect():
    colors = {info.name: info.rgb for info in class_infos(["Forest", "SeaLake", "Residential"])}
    assert max(colors["Forest"]) == colors["Forest"][1]
    assert max(colors["SeaLake"]) == colors["SeaLake"][2]
    assert max(colors["Residential"]) == colors["Residential"][0]


NAMES = st.text(min_size=1, max_size=200).filter(lambda name: name.isprintable() and name.strip())


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b]0;title\x07", "x" * 201, "a\0"])
def test_a_name_that_cannot_be_shown_on_one_line_is_refused(values, name):
    values["classes"][1]["name"] = name
    with pytest.raises(ValidationError, match="a name"):
        Record.model_validate(values)


@given(st.lists(NAMES, min_size=1, max_size=24, unique=True))
@settings(max_examples=50)
def test_classes_keep_their_order_and_their_colors_differ(names):
    infos = class_infos(names)
    assert [info.name for info in infos] == names
    assert [info.value for info in infos] == list(range(len(names)))
    assert len({info.rgb for info in infos}) == len(names)


def test_a_color_does_not_depend_on_the_classes_after_it():
    assert class_infos(["a", "b"]) == class_infos(["a", "b", "c"])[:2]


NAMES = ("a", "b", "c")


def record(task: str, **thresholds: float) -> Record:
    names = NAMES[:2] if task == "binary" else NAMES
    return Record.model_construct(task=task, classes=class_infos(names), thresholds=thresholds)


def test_one_label_of_many_is_the_most_probable():
    p = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]], np.float32)
    assert predicted_class(record("single-label"), p).tolist() == [1, 0]
    assert label_mask(record("single-label"), p).tolist() == [[False, True, False], [True, False, False]]


@pytest.mark.parametrize(("p", "positive"), [(0.19, 0), (0.2, 1), (0.7, 1)])
def test_a_binary_model_decides_at_its_threshold(p, positive):
    both = np.array([[1 - p, p]])
    assert predicted_class(record("binary", b=0.2), both).tolist() == [positive]
    assert label_mask(record("binary", b=0.2), both).tolist() == [[not positive, bool(positive)]]
    assert predicted_class(record("binary"), both).tolist() == [int(p >= 0.5)]


def test_a_multi_label_model_gives_any_number_of_labels():
    p = np.array([[0.6, 0.7, 0.1], [0.1, 0.2, 0.3], [0.95, 0.9, 0.99]])
    several = record("multi-label", b=0.8, c=0.2)
    assert label_mask(several, p).tolist() == [[True, False, False], [False, False, True], [True, True, True]]
    assert predicted_class(several, p).tolist() == [0, 2, 2]
    assert predicted_class(several, np.zeros((1, 3))).tolist() == [NONE]
    assert margins(several, p)[0] == pytest.approx([0.1, 0.1, 0.1])


@given(arrays(np.float32, (4, 3), elements=st.floats(0, 1, width=32)), st.floats(0.01, 0.99))
def test_what_leads_is_always_a_label_that_counts(p, threshold):
    several = record("multi-label", a=threshold, c=1 - threshold)
    chosen, has = predicted_class(several, p), label_mask(several, p)
    for row, k in enumerate(chosen):
        if k == NONE:
            assert not has[row].any()
        else:
            assert has[row, k]
            assert p[row, k] == p[row][has[row]].max()


def test_thresholds_between_neighboring_float32_numbers_hold():
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    middle = (float(low) + float(high)) / 2
    both = np.array([[1 - low, low], [1 - high, high]], np.float32)
    assert predicted_class(record("binary", b=middle), both).tolist() == [0, 1]
