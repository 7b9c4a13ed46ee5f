"""The page Assess, without a browser: from files, or the map made before, to points, answers and a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from swath.assessment import assess
from tests.assessment.maps import land, write_map
from tests.teaching.scenes import TRANSFORM, checkerboard, write_scene


def _script() -> None:
    import streamlit as st

    from swath.app import assess
    from swath.app.session import workspace

    assess.page()
    st.session_state["mine"] = workspace()


@pytest.fixture
def page(app_folder: Path) -> AppTest:
    """The page as it opens."""
    opened = AppTest.from_function(_script, default_timeout=120).run()
    mine = opened.session_state["mine"]  # in one process, all tests are one visitor
    mine.folder, mine.labels = app_folder / "visitor-1", None
    mine.folder.mkdir()
    mine.jobs.clear()
    return opened.run()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A map and its scene."""
    folder = tmp_path_factory.mktemp("files")
    classes = checkerboard(("Forest", "River"), rows=2, columns=2)
    scene = write_scene(folder / "scene.tif", classes)
    return write_map(folder / "my_map.tif", land(128, 128)[0], place=("EPSG:32632", TRANSFORM)), scene


def texts(elements: Any) -> str:
    """All that some elements say."""
    return "\n".join(str(element.value) for element in elements)


def draw(page: AppTest, map_: Path, scene: Path, sample: Path | None = None) -> AppTest:
    """Give files, and wait for the points."""
    for key, file in (("assess map", map_), ("assess scene", scene), ("assess sample", sample)):
        if file is not None:
            page.file_uploader(key=key).set_value((file.name, file.read_bytes(), ""))
    page.run()
    if sample is None:
        page.number_input(key="assess points").set_value(10).run()
    page.button(key="assess draw").click().run()
    page.session_state["mine"].jobs["assess"].wait(120)
    return page.run()


def test_without_a_map_it_says_what_is_needed(page: AppTest) -> None:
    assert not page.exception
    assert page.button(key="assess draw").disabled
    assert "Add a map" in texts(page.info)
    page.segmented_control(key="assess source").set_value("The map made here").run()
    assert page.button(key="assess draw").disabled
    assert "Make a map" in texts(page.info)


def test_points_are_labeled_to_a_result(page: AppTest, files: tuple[Path, Path], app_folder: Path) -> None:
    draw(page, *files)
    assert not page.exception
    assert not page.error
    assert not list(app_folder.rglob("scene.tif")), "the scene is not kept once the pictures are drawn"
    assert [button.label for button in page.button if str(button.key).startswith("label 0")] == [
        "Forest",
        "River",
        "Town",
    ]
    shown = texts(page.markdown) + texts(page.caption) + "".join(str(element.proto) for element in page.main)
    assert "map_class" not in shown
    page.button(key="label 0 0").click().run()
    page.button(key="pass 1").click().run()
    page.button(key="undo 2").click().run()
    page.button(key="label 1 1").click().run()
    page.button(key="result 2").click().run()
    assert "By 2 points of 10; 8 are still open." in texts(page.caption)
    page.button(key="more points").click().run()
    for position in range(2, 9):
        page.button(key=f"label {position} {position % 3}").click().run()
    page.text_input(key="other 9").set_value("*Quarry*").run()
    page.button(key="take 9").click().run()
    assert not page.exception
    labels = page.session_state["mine"].labels
    same = assess([labels.map], reference=labels.write())
    assert page.metric[0].value == f"{100 * same.maps[0].accuracy.overall.value:.1f} %"  # type: ignore[union-attr]
    table = page.table[0].value
    assert set(table["class"]) == {"Forest", "River", "Town", "*Quarry*"}
    page.button(key="last point").click().run()
    assert page.button(key="label 9 0").label == "Forest"
    page.button(key="pass 9").click().run()
    page.button(key="other points").click().run()
    assert page.session_state["mine"].labels is None
    assert not page.exception


def test_a_sample_is_gone_on_with(page: AppTest, files: tuple[Path, Path], tmp_path: Path) -> None:
    draw(page, *files)
    page.button(key="label 0 0").click().run()
    sample = page.session_state["mine"].labels.write().rename(tmp_path / "mine.gpkg")
    other = AppTest.from_function(_script, default_timeout=120).run()
    other.button(key="other points").click().run()
    draw(other, *files, sample)
    assert not other.exception
    assert other.session_state["mine"].labels.position == 1


def test_files_that_do_not_fit_are_a_sentence(page: AppTest, files: tuple[Path, Path], tmp_path: Path) -> None:
    map_, scene = files
    draw(page, scene, scene)
    assert not page.exception
    assert "3 bands" in texts(page.error)
    (tmp_path / "bad.tif").write_bytes(b"II*\0 and no more")
    draw(page, map_, tmp_path / "bad.tif")
    assert not page.exception
    assert "bad.tif" in texts(page.error)
    assert "visitor-" not in texts(page.error)
    assert str(tmp_path) not in texts(page.error)
