"""The page Map, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from swath.app import map_job
from tests.teaching.scenes import checkerboard, write_scene


def _script() -> None:
    import streamlit as st

    from swath.app import map
    from swath.app.session import workspace

    map.page()
    st.session_state["job"] = workspace().job


@pytest.fixture
def page() -> AppTest:
    """The page as it opens."""
    return AppTest.from_function(_script, default_timeout=120).run()


def texts(elements: Any) -> str:
    """All that some elements say."""
    return "\n".join(str(element.value) for element in elements)


def finished(page: AppTest) -> AppTest:
    """The page once the map has ended."""
    page.session_state["job"].wait(120)
    return page.run()


def give(page: AppTest, file: Path) -> AppTest:
    page.segmented_control(key="source").set_value("A scene of mine").run()
    page.file_uploader(key="scene").set_value((file.name, file.read_bytes(), "image/tiff"))
    return page.run()


def test_it_opens_with_the_sample(page: AppTest) -> None:
    assert not page.exception
    assert not page.button(key="make").disabled
    assert "it appears here" in texts(page.info)


def test_without_a_scene_there_is_nothing_to_make(page: AppTest) -> None:
    page.segmented_control(key="source").set_value("A scene of mine").run()
    assert page.button(key="make").disabled
    assert "Add a scene" in texts(page.info)


def test_a_scene_is_mapped(page: AppTest, tmp_path: Path) -> None:
    give(page, write_scene(tmp_path / "my_scene.tif", checkerboard(("Forest", "River"))))
    page.segmented_control(key="detail").set_value("Coarse")
    page.button(key="make").click().run()
    finished(page)
    assert not page.exception
    assert not page.error
    made = page.session_state["job"].made
    assert made.stride == 64
    assert "How much there is of each class" in texts(page.subheader)
    assert f"{made.width:,} x {made.height:,} pixels" in texts(page.caption)
    assert page.session_state["job"].scene.is_file(), "other pages show it, too"


def test_a_bad_scene_is_a_sentence(page: AppTest, tmp_path: Path) -> None:
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and no more")
    give(page, tmp_path / "bad.tif")
    page.button(key="make").click().run()
    assert not page.exception
    assert "bad.tif" in texts(page.error)
    assert str(tmp_path) not in texts(page.error)


def test_a_map_can_be_stopped_and_made_again(page: AppTest, tmp_path: Path) -> None:
    give(page, write_scene(tmp_path / "scene.tif", checkerboard(("Forest", "River"))))
    with map_job._one_map:  # as if another visitor's map were being made
        page.button(key="make").click().run()
        assert page.button(key="make").disabled
        page.button(key="stop").click().run()
        finished(page)
    assert "stopped" in texts(page.info)
    page.button(key="make").click().run()
    finished(page)
    assert page.session_state["job"].made is not None
    assert not page.exception
