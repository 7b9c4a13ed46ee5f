"""The page Map, without a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio
from streamlit.testing.v1 import AppTest

from swath.app import canvas, map_job
from swath.inference import Classifier
from tests.teaching.scenes import checkerboard, write_scene


def _script() -> None:
    import streamlit as st

    from swath.app import map
    from swath.app.session import workspace

    map.page()
    st.session_state["mine"], st.session_state["job"] = workspace(), workspace().job


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


def test_a_scene_is_mapped(page: AppTest, tmp_path: Path, app_folder: Path) -> None:
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
    assert "The scene from before" in page.segmented_control(key="source").options, "to be taught"
    assert len(list(app_folder.rglob("my_scene.tif"))) == 1
    page.session_state["mine"].close()
    assert not list(app_folder.rglob("*")), "nothing of it is kept once the visitor has gone"


def test_another_scene_replaces_the_one_before(page: AppTest, tmp_path: Path, app_folder: Path) -> None:
    give(page, write_scene(tmp_path / "first.tif", checkerboard(("Forest", "River"))))
    page.segmented_control(key="detail").set_value("Coarse")
    page.button(key="make").click().run()
    finished(page)
    give(page, write_scene(tmp_path / "second.tif", checkerboard(("Forest", "River"), rows=2)))
    page.button(key="make").click().run()
    finished(page)
    assert [path.name for path in app_folder.rglob("*.tif") if "map" not in path.name] == ["second.tif"]
    assert len(list(app_folder.rglob("map.tif"))) == 1
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and no more")
    give(page, tmp_path / "bad.tif")
    page.button(key="make").click().run()
    assert "bad.tif" in texts(page.error)
    assert [path.name for path in app_folder.rglob("*.tif") if "map" not in path.name] == ["second.tif"]


def test_a_click_on_the_map_is_answered_and_explained(
    page: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Classifier
) -> None:
    shown: list[dict[str, Any]] = []

    def fake(overview: Any, panels: Any, **settings: Any) -> None:
        if not shown:
            settings["clicked"](canvas.Click(96.0, 32.0))
        shown.append({"panels": panels, **settings})

    monkeypatch.setattr(canvas, "canvas", fake)
    give(page, write_scene(tmp_path / "scene.tif", checkerboard(("Forest", "River"))))
    page.segmented_control(key="detail").set_value("Coarse")
    page.button(key="make").click().run()
    finished(page)
    page.run()
    assert not page.exception
    job = page.session_state["job"]
    (marker,) = shown[-1]["markers"]
    assert (marker.column, marker.row) == (96.0, 32.0)
    with rasterio.open(job.made.files.classes) as raster, rasterio.open(job.made.files.confidence) as other:
        value, percent = raster.read(1)[32, 96], other.read(1)[32, 96]
    name = next(entry.name for entry in job.made.legend if entry.value == value)
    assert (page.metric[0].value, page.metric[0].delta) == (name, f"{percent} % confident")
    assert "° N" in texts(page.caption)
    assert "random maps" in texts(page.caption) + texts(page.warning)
    evidence = next(box for box in page.selectbox if box.label == "Show the evidence for")
    assert evidence.value == name
    other_name = next(one for one in tiny.record.class_names if one != name)
    evidence.set_value(other_name).run()
    assert not page.exception


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
