from __future__ import annotations

import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from swath.config import MAX_YAML_BYTES, Settings, override, read_yaml, validate
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
    with pytest.raises(SettingError, match=r"is not UTF-8 text \(byte 0\); save it as UTF-8"):
        read_yaml(tmp_path / "b.yaml")
    with pytest.raises(SettingError, match="Is a directory"):
        read_yaml(tmp_path)
    (tmp_path / "long.yaml").write_bytes(b"#" * (MAX_YAML_BYTES + 1))
    with pytest.raises(SettingError, match="no file of at most 1 MiB"):
        read_yaml(tmp_path / "long.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(SettingError, match="no file of at most 1 MiB"):
        read_yaml(tmp_path / "pipe.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "a: !!int abc",
        "a: !!float x",
        "a: !!bool maybe",
        "a: !!timestamp foo",
        "a: !!map 3",
        "a: !!binary x",
        "a: !!python/object:os.system x",
        "a: &x 1\nb: *x",
        "a: " + "[" * 5000,
        "? " * 3000,
        "a: \x00",
        "a: [1",
        "{a: 1, a: 2}",
        "- a",
        "a",
        "",
    ],
)
def test_odd_yaml_ends_in_one_sentence(text, tmp_path):
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingError) as caught:
        read_yaml(tmp_path / "r.yaml")
    assert "\n" not in str(caught.value)


class Typed(Settings):
    """A field of each kind."""

    name: str | None = None
    names: tuple[str, ...] = ()
    by_name: dict[str, float] = {}  # noqa: RUF012
    whole: int | None = None
    real: float = 0
    flag: bool = False


NAMES = ["02", "010", "0x1F", "1_000", "1e3", "12:30", "2021-01-01", "2026-02-30", "no", "Yes", "on", "true", "NULL"]
NAMES += ["1", "1.50", ".inf", "nan", "08", "0o7", "null", "~", "=", "<<"]


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_as_they_are_written(name, tmp_path):
    changes = [f"name={name}", f"names=[{name}, {name}]", f"by_name={{{name}: 2}}"]
    made = validate(Typed, override({}, changes), where="t")
    assert (made.name, made.names, made.by_name) == (name, (name, name), {name: 2.0})
    # What is written down reads back: quoted where plain YAML would mean nothing by it.
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(made.model_dump(mode="json")), encoding="utf-8")
    assert validate(Typed, read_yaml(tmp_path / "r.yaml"), where="t") == made


def test_nothing_is_no_value_and_null_is_one_where_a_name_is_meant(tmp_path):
    assert validate(Typed, override({"name": "a"}, ["name="]), where="t").name is None
    (tmp_path / "r.yaml").write_text("name: null\nwhole: null\n")
    assert validate(Typed, read_yaml(tmp_path / "r.yaml"), where="t") == Typed()
    assert validate(Typed, override({"whole": 3}, ["whole=null"]), where="t").whole is None


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("whole=1e2", 100),
        ("whole=64.0", 64),
        ("whole=010", 10),
        ("whole=1_000", 1000),
        ("whole=-3", -3),
        ("real=1e-3", 0.001),
        ("real=.5", 0.5),
        ("real=3", 3.0),
        ("flag=no", False),
        ("flag=yes", True),
        ("flag=True", True),
    ],
)
def test_numbers_are_numbers_where_they_are_meant(change, value):
    made = validate(Typed, override({}, [change]), where="t")
    assert getattr(made, change.partition("=")[0]) == value


@pytest.mark.parametrize("change", ["whole=1e-2", "whole=1.5", "whole=12:30", "real=one", "flag=perhaps", "whole=0x1F"])
def test_no_number_is_refused_where_one_is_meant(change):
    with pytest.raises(SettingError, match="field"):
        validate(Typed, override({}, [change]), where="t")


def test_long_values_are_not_repeated_in_full():
    with pytest.raises(SettingError) as caught:
        validate(Typed, override({}, ["whole=" + "9" * 5000]), where="t")
    assert len(str(caught.value)) < 300


def test_a_file_is_read_as_plain_values(tmp_path):
    (tmp_path / "r.yaml").write_text("name: é\ninner: {rate: 3e-3, sizes: [4, 5]}\n", encoding="utf-8")
    made = validate(Outer, read_yaml(tmp_path / "r.yaml"), where="r")
    assert made == Outer(name="é", inner=Inner(rate=3e-3, sizes=(4, 5)))


def test_overrides_reach_into_groups_and_leave_the_original_alone():
    values = {"name": "a", "inner": {"rate": 1.0}}
    got = override(values, ["inner.rate=0.5", "inner.sizes=[7]", "epochs=9", "name=b=c", "new.group=1"])
    assert got == {"name": "b=c", "inner": {"rate": "0.5", "sizes": ["7"]}, "epochs": "9", "new": {"group": "1"}}
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
        assert node == str(value)
