"""The page Classify, without a browser: what a visitor sees after each thing they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from swath.app import neighbors
from swath.app.session import _classifier
from swath.errors import DataError
from swath.inference import Classifier
from tests.tiny import CLASSES, patches


def _script() -> None:
    from swath.app import classify

    classify.page()


@pytest.fixture
def page(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """The page as it opens; it compares with few patches."""
    few = (np.concatenate([patches(label, 3) for label in CLASSES]), np.repeat(CLASSES, 3).tolist(), ["a.png"] * 12)
    monkeypatch.setattr("swath.app.samples.labeled", lambda model, progress: few)
    neighbors._job.clear()
    return AppTest.from_function(_script, default_timeout=120).run()


def texts(elements: Any) -> str:
    """All that some elements say."""
    return "\n".join(str(element.value) for element in elements)


def give(page: AppTest, *files: Path) -> AppTest:
    page.file_uploader(key="pictures").set_value([(file.name, file.read_bytes(), "") for file in files])
    return page.run()


def test_it_opens_without_the_model(page: AppTest) -> None:
    assert not page.exception
    assert "choose a sample" in texts(page.info)
    assert len(page.pills(key="sample").options) == 10
    assert not page.metric
    _classifier.clear()  # whatever other tests have loaded


def test_a_sample_is_answered_and_explained(page: AppTest, tiny: Classifier) -> None:
    page.pills(key="sample").set_value("River").run()
    assert not page.exception
    assert not page.error
    assert page.metric[0].value in tiny.record.class_names
    assert "% confident" in page.metric[0].delta
    assert "Why?" in texts(page.subheader)
    assert "random maps" in texts(page.caption) + texts(page.warning)
    explained = next(box for box in page.selectbox if box.label == "Show the evidence for")
    assert explained.value == page.metric[0].value
    other = next(name for name in tiny.record.class_names if name != explained.value)
    explained.set_value(other).run()
    assert not page.exception


def test_pictures_are_answered_and_bad_ones_named(page: AppTest, tiny_patches: Path, tmp_path: Path) -> None:
    files = sorted((tiny_patches / "River").iterdir())[:2]
    bad = tmp_path / "bad_one.png"
    bad.write_text("no picture")
    give(page, *files, bad)
    assert not page.exception
    assert "bad\\_one.png" in texts(page.error)
    assert len(page.dataframe[0].value) == 2
    chooser = next(box for box in page.selectbox if box.label.startswith("Look at one"))
    assert chooser.options[1].startswith(files[1].name)
    chooser.set_value(1).run()
    assert not page.exception


def test_nothing_but_a_bad_file_is_a_sentence(page: AppTest, tmp_path: Path) -> None:
    (tmp_path / "empty.zip").write_bytes(b"")
    give(page, tmp_path / "empty.zip")
    assert not page.exception
    assert "empty.zip" in texts(page.error)
    assert not page.metric


def test_what_is_ood_is_said(page: AppTest, tiny_patches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    import numpy as np

    answer = Classifier.answer

    def strange(self: Classifier, pixels: Any) -> Any:
        found = answer(self, pixels)
        return replace(found, ood_score=np.ones(len(found), np.float32), is_ood=np.ones(len(found), bool))

    monkeypatch.setattr(Classifier, "answer", strange)
    give(page, sorted((tiny_patches / "River").iterdir())[5])
    assert not page.exception
    assert "Unlike the training data" in texts(page.warning)


def test_a_model_that_is_not_there_is_a_sentence(page: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    from swath.app import settings
    from swath.app.settings import AppSettings

    monkeypatch.setattr(settings, "current", AppSettings(model="no-such-model", folder=settings.current.folder))
    page.pills(key="sample").set_value("River").run()
    assert not page.exception
    assert "no-such-model" in texts(page.error)


def test_the_nearest_patches_are_shown(page: AppTest, tiny_patches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(page, sorted((tiny_patches / "River").iterdir())[0])
    neighbors.feature_job().wait(120)
    page.run()
    assert not page.exception
    said = texts(page.caption)
    assert "The 5 nearest of the patches" in said
    assert "not known" in said, "the small model does not say what it has seen"


def test_a_model_that_cannot_be_compared_says_so(
    page: AppTest, tiny_patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Classifier, progress: Any) -> None:
        raise DataError("the patches are gone")

    monkeypatch.setattr("swath.app.samples.labeled", broken)
    give(page, sorted((tiny_patches / "River").iterdir())[0])
    neighbors.feature_job().wait(120)
    page.run()
    assert not page.exception
    assert "The patches are gone." in texts(page.info)
