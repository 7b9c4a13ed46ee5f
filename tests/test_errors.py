from __future__ import annotations

import pytest

from swath import errors


def test_a_message_states_the_problem_and_then_the_mend():
    error = errors.DataError("a.png is cut off", fix="copy it again")
    assert str(error) == "a.png is cut off; copy it again"
    assert (error.problem, error.fix) == ("a.png is cut off", "copy it again")


def test_without_a_mend_the_problem_stands_alone():
    assert str(errors.SettingError("no such thing")) == "no such thing"


@pytest.mark.parametrize(
    "kind", [errors.DataError, errors.SettingError, errors.ModelFileError, errors.OutputError]
)
def test_one_family(kind):
    with pytest.raises(errors.SwathError, match=r"^x; y$"):
        raise kind("x", fix="y")


def test_a_missing_extra_names_the_command_that_installs_it():
    error = errors.MissingExtraError("training", extra="train")
    assert isinstance(error, errors.SwathError)
    assert "pip install '.[train]'" in str(error)
