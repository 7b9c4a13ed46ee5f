"""What is said of a mistake."""

from __future__ import annotations

import pytest

from swath.app.sentences import plain, said
from swath.app.session import Workspace
from swath.errors import DataError


def test_where_an_upload_lies_is_not_said() -> None:
    path = Workspace().new_folder() / "mine.zip"
    assert said(DataError(f"{path} holds no images", fix=f"open {path}")) == "mine.zip holds no images; open mine.zip"


def test_options_of_commands_are_no_help_here() -> None:
    assert said(DataError("a.png is uint16", fix="rescale it: swath predict --rescale auto")) == "a.png is uint16"
    assert said(DataError("a.png is empty", fix="replace it")) == "a.png is empty; replace it"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("my_scene.tif is empty", "my\\_scene.tif is empty."),
        ("there is no picture", "There is no picture."),
        ("<b>x</b>.png is *bad*", "\\<b\\>x\\</b\\>.png is \\*bad\\*."),
    ],
)
def test_names_are_shown_as_they_are(text: str, shown: str) -> None:
    assert plain(text) == shown
