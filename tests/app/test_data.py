"""The page Data, without a browser: a zip in, counts and problems out, a bad zip in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from swath.app import data
from tests.app.test_data_check import packed


def _script() -> None:
    import streamlit as st

    from swath.app import data
    from swath.app.session import workspace

    data.page()
    st.session_state["mine"] = workspace()


@pytest.fixture
def page(app_folder: Path) -> AppTest:
    """The page as it opens."""
    opened = AppTest.from_function(_script, default_timeout=120).run()
    mine = opened.session_state["mine"]  # in one process, all tests are one visitor
    mine.folder = app_folder / "visitor-1"
    mine.folder.mkdir()
    mine.jobs.clear()
    return opened.run()


def texts(elements: Any) -> str:
    """All that some elements say."""
    return "\n".join(str(element.value) for element in elements)


def check(page: AppTest, archive: Path) -> AppTest:
    """Give a zip, and have it checked."""
    page.file_uploader(key="data archive").set_value((archive.name, archive.read_bytes(), "application/zip")).run()
    page.button(key="data check").click().run()
    page.session_state["mine"].jobs["data"].wait(120)
    return page.run()


def test_without_a_zip_there_is_nothing_to_check(page: AppTest) -> None:
    assert not page.exception
    assert page.button(key="data check").disabled
    assert "Add a zip" in texts(page.info)
    page.segmented_control(key="data source").set_value("The sample pictures").run()
    assert not page.button(key="data check").disabled


def test_a_zip_is_reported_on(page: AppTest, tiny_patches: Path, tmp_path: Path, app_folder: Path) -> None:
    river = sorted((tiny_patches / "River").iterdir())[0].read_bytes()
    more = {"Forest/river_again.png": river, "Forest/broken.png": b"\x89PNG no more"}
    check(page, packed(tmp_path / "mine.zip", tiny_patches, more=more))
    assert not page.exception
    assert not page.error
    assert "25 pictures in 4 classes" in texts(page.subheader)
    assert "different labels" in texts(page.warning)
    assert "river\\_again.png" in texts(page.warning)
    table = dict(zip(page.table[0].value["what"], page.table[0].value["how many"], strict=True))
    assert table["the same file again"] == "1"
    assert table["the same picture in two classes"] == "1"
    assert "swath train" in texts(page.code)
    assert "Forest/broken.png" in texts(page.markdown)
    assert not list(app_folder.rglob("mine.zip")), "the zip is not kept"
    assert not list(app_folder.rglob("*.npy")), "nor are its pictures"


def test_a_bad_zip_is_a_sentence(page: AppTest, tmp_path: Path, app_folder: Path) -> None:
    (tmp_path / "bad_one.zip").write_bytes(b"PK\3\4 and no more")
    check(page, tmp_path / "bad_one.zip")
    assert not page.exception
    assert "bad\\_one.zip is no zip archive" in texts(page.error)
    assert "visitor-" not in texts(page.error)
    assert not [path for path in app_folder.rglob("*") if path.is_file()]


def test_a_check_waits_for_another_and_can_be_stopped(page: AppTest, tiny_patches: Path, tmp_path: Path) -> None:
    archive = packed(tmp_path / "mine.zip", tiny_patches, each=3)
    page.file_uploader(key="data archive").set_value((archive.name, archive.read_bytes(), "")).run()
    with data._one_report:  # as if another visitor's pictures were being checked
        page.button(key="data check").click().run()
        assert page.button(key="data check").disabled
        page.button(key="stop Checking").click().run()
        page.session_state["mine"].jobs["data"].wait(120)
        page.run()
    assert "stopped" in texts(page.info)
    assert not page.exception
