"""The page Model, without a browser: card, numbers, galleries, files of one's own, and a comparison."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from swath.data import PatchIndex
from swath.data.cache import default_cache
from tests.tiny import CLASSES, write_tiny_model


def _script() -> None:
    import streamlit as st

    from swath.app import model
    from swath.app.session import workspace

    if "begun" not in st.session_state:
        workspace.clear()  # of the test before
        st.session_state["begun"] = True
    model.page()


@pytest.fixture
def page(tiny_index: PatchIndex, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page as it opens; few patches are shipped."""
    monkeypatch.setattr("swath.app.samples.patches", lambda: tiny_index)
    return AppTest.from_function(_script, default_timeout=120).run()


def texts(page: AppTest) -> str:
    """All that the page says."""
    elements = (*page.markdown, *page.caption, *page.subheader, *page.info, *page.error, *page.warning)
    numbers = [f"{one.label} {one.value} {one.delta}" for one in page.metric]
    return "\n".join([*(str(element.value) for element in elements), *numbers]).replace("\\", "")


def give(page: AppTest, key: str, file: Path) -> AppTest:
    page.file_uploader(key=key).set_value((file.name, file.read_bytes(), ""))
    return page.run()


@pytest.fixture
def archive(tiny_patches: Path, tmp_path: Path) -> Path:
    """A zip of labeled patches."""
    return Path(shutil.make_archive(str(tmp_path / "mine"), "zip", tiny_patches))


def test_it_opens_with_the_card_of_the_model(page: AppTest) -> None:
    assert not page.exception
    said = texts(page)
    assert all(name in said for name in CLASSES)
    assert "Trained on drawn: 72 train, 24 val and 24 test patches" in said
    assert "95.0 %" in said
    assert "Sound: it gives on its" in said
    assert "Compare it with" not in said, "nothing is measured before it is asked for"


def test_it_is_measured_on_the_shipped_test_patches(page: AppTest, app_folder: Path) -> None:
    page.button(key="measure").click().run()
    assert not page.exception
    said = texts(page)
    assert "is not known: its file does not say" in said, "what the model has seen comes first"
    assert "On 24 patches" in said
    assert "accuracy" in said
    assert "Which classes it confuses" in said
    assert "Whether its confidence can be believed" in said
    assert "Right, but unsure" in said
    assert not [file for file in app_folder.rglob("*") if file.is_file()], "decoded patches are not kept"


def test_patches_of_a_visitor_are_measured_and_not_kept(page: AppTest, archive: Path, app_folder: Path) -> None:
    before = set(default_cache().rglob("*"))
    page.segmented_control(key="patch source").set_value("Patches of mine").run()
    assert "Add a zip" in texts(page)
    give(page, "patches", archive)
    page.button(key="measure").click().run()
    assert not page.exception
    assert "On 120 patches" in texts(page)
    assert set(default_cache().rglob("*")) == before, "nothing of an upload goes to the cache of the machine"
    assert not [file for file in app_folder.rglob("*") if file.is_file()]


def test_a_zip_that_is_none_is_a_sentence(page: AppTest, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    page.segmented_control(key="patch source").set_value("Patches of mine").run()
    give(page, "patches", tmp_path / "bad.zip")
    page.button(key="measure").click().run()
    assert not page.exception
    assert "bad.zip" in texts(page)
    assert not page.metric[1:], "of the model's own record alone"


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and more", b"\x08\x07" * 50])
def test_a_file_that_is_no_model_is_a_sentence(page: AppTest, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evil.onnx").write_bytes(content)
    page.segmented_control(key="model source").set_value("A model file of mine").run()
    give(page, "model file", tmp_path / "evil.onnx")
    assert not page.exception
    assert "evil.onnx" in texts(page)
    assert str(tmp_path) not in texts(page)
    assert not page.metric


def test_a_model_that_does_not_give_what_it_gave_is_refused(page: AppTest, tmp_path: Path) -> None:
    import numpy as np

    from swath.model.record import ReferencePatches
    from tests.tiny import patches

    wrong = ReferencePatches.pack(patches("River", 2), np.full((2, 4), 0.25, np.float32), tolerance=1e-3)
    changed = write_tiny_model(tmp_path / "changed.onnx", reference=wrong)
    page.segmented_control(key="model source").set_value("A model file of mine").run()
    give(page, "model file", changed)
    assert not page.exception
    assert "does not give its reference probabilities" in texts(page)


def test_two_models_are_compared(page: AppTest, tmp_path: Path, app_folder: Path) -> None:
    other = write_tiny_model(tmp_path / "mine.onnx", name="mine", temperature=2.0)
    page.segmented_control(key="model source").set_value("A model file of mine").run()
    give(page, "model file", other)
    assert "mine" in texts(page)
    page.button(key="measure").click().run()
    assert not page.exception
    said = texts(page)
    assert "Neither is shown to be better: 0 patches only mine gets right, 0 only tiny" in said
    assert "difference in accuracy +0.0 points" in said
    assert str(app_folder) not in said
    assert not [file for file in app_folder.rglob("*") if file.is_file()]


def test_models_of_other_classes_are_not_compared(page: AppTest, tmp_path: Path) -> None:
    page.button(key="measure").click().run()
    other = write_tiny_model(tmp_path / "other.onnx", ("Forest", "River"))
    give(page, "other model file", other)
    assert not page.exception
    assert "the models' classes differ" in "\n".join(str(one.value) for one in page.error).lower()


def test_a_model_of_several_labels_is_measured_without_a_gallery(
    tiny_model: Path, tmp_path: Path, page: AppTest
) -> None:
    several = write_tiny_model(tmp_path / "several.onnx", task="multi-label")
    page.segmented_control(key="model source").set_value("A model file of mine").run()
    give(page, "model file", several)
    assert not page.exception
    page.button(key="measure").click().run()
    assert not page.exception
    assert "have one label each" in "\n".join(str(one.value) for one in page.error)


def test_nothing_of_a_page_names_this_machine(page: AppTest, tiny_model: Path) -> None:
    shown = [str(frame.value) for frame in page.table]
    assert shown
    assert not [text for text in shown if str(tiny_model.parent) in text]
