"""The page Teach, without a browser: what clicks on the scene do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from swath.app import canvas, settings
from swath.app.canvas import Click
from swath.app.settings import AppSettings
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_scene

CLASSES = checkerboard(("Forest", "River", "Dump"))


def _script() -> None:
    import streamlit as st

    from swath.app import teach
    from swath.app.session import workspace

    st.session_state["mine"] = workspace()
    teach.page()


class Canvas:
    """Stands for the scene in the browser: keeps what is shown, and clicks."""

    def __init__(self) -> None:
        self.shown: dict[str, Any] = {}

    def __call__(self, overview: Any, panels: Any, **settings: Any) -> None:
        self.shown = {"overview": overview, "panels": panels, **settings}

    @property
    def markers(self) -> list[Any]:
        return list(self.shown["markers"])


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Canvas:
    """What is drawn in place of the scene."""
    made = Canvas()
    monkeypatch.setattr(canvas, "canvas", made)
    return made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remembering_model(tmp_path_factory.mktemp("model") / "before.onnx")


@pytest.fixture
def page(app_folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page as it opens."""
    monkeypatch.setattr(settings, "current", AppSettings(model=str(model), threads=1, folder=app_folder))
    return AppTest.from_function(_script, default_timeout=120).run()


def texts(elements: Any) -> str:
    """All that some elements say."""
    return "\n".join(str(element.value) for element in elements)


def give(page: AppTest, file: Path) -> AppTest:
    page.segmented_control(key="source").set_value("A scene of mine").run()
    page.file_uploader(key="scene").set_value((file.name, file.read_bytes(), "image/tiff"))
    page.run()
    return page.button(key="open").click().run()


def finished(page: AppTest) -> AppTest:
    """The page once all maps have ended."""
    for job in page.session_state["mine"]._jobs():
        job.wait(120)
    return page.run()


def test_it_opens_with_the_choice_of_a_scene(page: AppTest) -> None:
    assert not page.exception
    assert not page.button(key="open").disabled
    page.segmented_control(key="source").set_value("A scene of mine").run()
    assert page.button(key="open").disabled


def test_places_are_named_taught_and_taken_back(page: AppTest, scene: Canvas, tmp_path: Path) -> None:
    give(page, write_scene(tmp_path / "my_scene.tif", CLASSES))
    assert not page.exception
    assert not page.error
    page.text_input(key="new class").set_value("sea lake").run()
    assert scene.shown["choose"] == ("SeaLake", 1), "the model has that class"
    page.text_input(key="new class").set_value("Dump").run()
    assert scene.shown["choose"] == ("Dump", 2)
    assert list(scene.shown["classes"]) == ["Forest", "Residential", "River", "SeaLake", "Dump"]
    places = middles(CLASSES)[:12]
    for column, row, label in places:
        scene.shown["clicked"](Click(column, row, label))
    page.run()
    assert "12 places named" in texts(page.subheader)
    assert [(one.text, one.column, one.row, one.name) for one in scene.markers] == [
        (str(number), *place) for number, place in enumerate(places, start=1)
    ]
    assert len({one.color for one in scene.markers}) == 3
    page.button(key="teach").click().run()
    finished(page)
    assert not page.exception
    assert not page.error
    assert [panel.title for panel in scene.shown["panels"]] == ["map of the model before", "map of the taught model"]
    assert all(panel.made is not None for panel in scene.shown["panels"])
    taught = page.session_state["mine"].teaching.taught
    assert page.metric[0].value == f"{100 * taught.result.after.value:.0f} %"
    assert taught.result.verdict().rstrip(".").lower() in (texts(page.success) + texts(page.info)).lower()
    assert "of the map has changed its class" in texts(page.markdown)
    assert "swath teach before.onnx" in texts(page.code)
    page.button(key="undo teaching").click().run()
    assert not page.exception
    assert len(scene.shown["panels"]) == 1
    assert not page.metric
    page.button(key="undo place").click().run()
    assert len(scene.markers) == 11
    page.button(key="clear").click().run()
    assert scene.markers == []
    assert page.button(key="teach").disabled


def test_proposed_places_are_named_one_by_one(page: AppTest, scene: Canvas, tmp_path: Path) -> None:
    give(page, write_scene(tmp_path / "scene.tif", CLASSES))
    page.button(key="propose").click().run()
    assert not page.exception
    proposed = len(scene.markers)
    assert proposed > 5
    assert scene.markers[-1].current
    assert page.button(key="name it").disabled
    page.session_state["teach canvas"] = {"chosen": "River"}  # as the browser says
    page.run()
    page.button(key="name it").click().run()
    page.button(key="leave out").click().run()
    assert not page.exception
    assert [one.name for one in scene.markers] == ["River", *["proposed"] * (proposed - 2)]


def test_a_scene_without_coordinates_is_a_sentence(page: AppTest, tmp_path: Path, app_folder: Path) -> None:
    give(page, write_scene(tmp_path / "bare.tif", CLASSES, crs=None))
    assert not page.exception
    assert "bare.tif has no coordinate reference system" in texts(page.error)
    assert not list(app_folder.rglob("bare.tif"))
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and no more")
    give(page, tmp_path / "bad.tif")
    assert not page.exception
    assert "bad.tif" in texts(page.error)


def test_another_scene_takes_all_away(page: AppTest, scene: Canvas, tmp_path: Path, app_folder: Path) -> None:
    give(page, write_scene(tmp_path / "private.tif", CLASSES))
    page.session_state["mine"].teaching.add(32, 32, "Forest")
    page.button(key="other").click().run()
    assert not page.exception
    assert page.session_state["mine"].teaching is None
    assert not list(app_folder.rglob("private.tif"))
    assert page.button(key="open")
