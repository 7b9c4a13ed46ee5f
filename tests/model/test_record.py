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
from pydantic import ValidationError

from swath.model import read_model, record_schema
from swath.model.record import ClassInfo, InputSpec, Record, ReferencePatches
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
        (("classes", 1, "name"), "", "at least 1 character"),
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
