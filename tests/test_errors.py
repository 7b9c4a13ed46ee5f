from __future__ import annotations

import pytest

import swath
from swath import errors


def test_a_message_states_the_problem_and_then_the_fix():
    error = errors.DataError("a.png is cut off", fix="copy it again")
    assert str(error) == "a.png is cut off; copy it again"
    assert (error.problem, error.fix) == ("a.png is cut off", "copy it again")


def test_without_a_fix_the_problem_stands_alone():
    assert str(errors.SettingError("no such thing")) == "no such thing"


def test_a_sentence_is_one_printable_line_whatever_a_name_in_it_holds():
    error = errors.DataError("a\x1b[2J\nb\u202e.png is cut off", fix="copy\tit")
    assert str(error) == "a [2J b .png is cut off; copy it"
    assert (error.problem, error.fix) == ("a [2J b .png is cut off", "copy it")


def test_a_sentence_with_a_name_without_end_has_one():
    error = errors.DataError(f"z.zip is unsafe: member {'x' * 60_000} leads outside", fix="pack it again")
    assert len(str(error)) < 1100
    assert str(error).startswith("z.zip is unsafe: member x")
    assert str(error).endswith("leads outside; pack it again")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.DataError, ValueError),
        (errors.MissingFileError, FileNotFoundError),
        (errors.MissingFileError, errors.DataError),
        (errors.SettingError, ValueError),
        (errors.ModelFileError, ValueError),
        (errors.OutputError, RuntimeError),
    ],
)
def test_one_family_whose_members_are_built_in_exceptions_too(kind, builtin):
    for caught in (errors.SwathError, builtin):
        with pytest.raises(caught, match=r"^x; y$"):
            raise kind("x", fix="y")


def test_a_missing_extra_names_the_command_that_installs_it():
    error = errors.MissingExtraError("training", extra="train")
    assert isinstance(error, errors.SwathError)
    assert isinstance(error, ImportError)
    assert "pip install '.[train]'" in str(error)


@pytest.mark.parametrize(
    "missing",
    [
        swath.load,
        lambda path: swath.load("eurosat", threads=1).predict(path),
        swath.build_index,
        swath.read_index,
        lambda path: swath.map_scene(swath.load("eurosat", threads=1), path, out=path.with_name("map.tif")),
    ],
)
def test_a_missing_input_is_a_file_that_is_not_found(missing, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone") as caught:
        missing(tmp_path / "gone.tif")
    assert isinstance(caught.value, errors.SwathError)
