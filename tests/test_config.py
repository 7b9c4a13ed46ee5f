from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from swath.config import Settings, override, read_yaml, validate
from swath.errors import MissingFileError, SettingError


class Inner(Settings):
    rate: float = Field(default=0.1, gt=0)
    sizes: tuple[int, ...] = (1, 2)


class Outer(Settings):
    name: str
    epochs: int = 3
    inner: Inner = Inner()


def test_valid_values_become_a_frozen_model():
    made = validate(Outer, {"name": "a", "inner": {"rate": 0.5}}, where="here")
    assert made == Outer(name="a", inner=Inner(rate=0.5))
    with pytest.raises(ValueError, match="frozen"):
        made.epochs = 4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "epoch": 3}, "here: unknown field 'epoch'; did you mean 'epochs'?"),
        ({"name": "a", "inner": {"rat": 1}}, "here: unknown field 'inner.rat'; did you mean 'rate'?"),
        ({"name": "a", "zzz": 1}, "here: unknown field 'zzz'; known fields: name, epochs, inner"),
        ({}, "here: field 'name': Field required"),
        ({"name": "a", "epochs": "many"}, "field 'epochs'.*'many'"),
        ({"name": "a", "inner": {"rate": 0}}, r"field 'inner\.rate'.*greater than 0"),
        ({"name": "a", "inner": {"rate": float("inf")}}, r"field 'inner\.rate'.*finite"),
        ({"name": "a", "inner": {"sizes": [1, "x"]}}, r"field 'inner\.sizes\.1'"),
        ({"name": "a", "inner": None}, "field 'inner'"),
        ({"name": "a", 7: 1}, "7"),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_field(values, message):
    with pytest.raises(SettingError, match=message.replace("?", r"\?")) as caught:
        validate(Outer, values, where="here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"is not valid YAML \(.*line"),
        ("- 1\n- 2", "should hold fields and values"),
        ("", "should hold fields and values"),
        ("a: 1\nb: 2\na: 3", r"'a' is given twice, line 3"),
        ("a: {b: 1, b: 2}", "'b' is given twice"),
        ("a: &x [1]\nb: *x", "aliases are not allowed, line 2"),
        ("a: &x {b: *x}", "aliases are not allowed"),
        ("a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
        ("? {a: 1}\n: 2", "is not valid YAML"),
    ],
)
def test_files_that_are_no_settings(tmp_path, text, message):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(SettingError, match=message):
        read_yaml(tmp_path / "r.yaml")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingFileError, match=r"none\.yaml"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(SettingError, match="is not valid YAML"):
        read_yaml(tmp_path / "b.yaml")


def test_a_file_is_read_as_plain_values(tmp_path):
    (tmp_path / "r.yaml").write_text("name: é\ninner: {rate: 3e-3, sizes: [4, 5]}\n", encoding="utf-8")
    made = validate(Outer, read_yaml(tmp_path / "r.yaml"), where="r")
    assert made == Outer(name="é", inner=Inner(rate=3e-3, sizes=(4, 5)))


def test_overrides_reach_into_groups_and_leave_the_original_alone():
    values = {"name": "a", "inner": {"rate": 1.0}}
    got = override(values, ["inner.rate=0.5", "inner.sizes=[7]", "epochs=9", "name=b=c", "new.group=1"])
    assert got == {"name": "b=c", "inner": {"rate": 0.5, "sizes": [7]}, "epochs": 9, "new": {"group": 1}}
    assert values == {"name": "a", "inner": {"rate": 1.0}}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epochs", "not of the form name=value.*--set"),
        ("=3", "not of the form name=value"),
        ("name.x=3", "'name' holds a value, not a group"),
        ("epochs=[1", "the value in 'epochs=\\[1' is not valid YAML"),
        ("epochs={a: 1, a: 2}", "'a' is given twice"),
    ],
)
def test_overrides_that_make_no_sense(assignment, message):
    with pytest.raises(SettingError, match=message):
        override({"name": "a", "epochs": 3}, [assignment])


@given(st.lists(st.tuples(st.sampled_from(["a", "b.c", "b.d"]), st.integers()), max_size=6))
@settings(max_examples=40)
def test_the_last_override_of_a_field_wins(pairs):
    got = override({}, [f"{name}={value}" for name, value in pairs])
    for name, value in dict(pairs).items():
        node = got
        for part in name.split("."):
            node = node[part]
        assert node == value
