"""What may be measured on the page, and that nothing of it is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from swath.app import measurement
from swath.app.measurement import learned, measure, open_model, open_patches, stated
from swath.data import PatchIndex
from swath.data.cache import default_cache
from swath.errors import DataError
from swath.inference import Classifier


@pytest.fixture
def archive(tiny_patches: Path, tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "mine"), "zip", tiny_patches))


def test_all_patches_of_an_archive_are_measured_on(archive: Path, tiny_index: PatchIndex) -> None:
    found = open_patches(archive)
    assert found.split_counts == {"test": 120}
    assert found.labels == tiny_index.labels


def test_too_much_is_refused(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PATCH_PIXELS", 120 * 64 * 64 - 1)
    with pytest.raises(DataError, match="million pixels together"):
        open_patches(archive)
    monkeypatch.setattr(measurement, "MOST_PATCHES", 119)
    with pytest.raises(DataError, match="there are 120 patches"):
        open_patches(archive)


def test_what_is_decoded_is_kept_where_it_is_said(tiny: Classifier, archive: Path, tmp_path: Path) -> None:
    before = set(default_cache().rglob("*"))
    found = measure(tiny, open_patches(archive), tmp_path / "private")
    assert found.evaluation.n == 120
    assert set(default_cache().rglob("*")) == before
    assert list((tmp_path / "private").rglob("*.npy"))


def test_mistakes_are_shown_with_the_class_that_was_answered(tiny: Classifier, archive: Path, tmp_path: Path) -> None:
    patches = open_patches(archive)
    swapped = patches.with_columns({"label": ["River" if label == "Forest" else label for label in patches.labels]})
    found = measure(tiny, swapped, tmp_path / "private")
    captions = [tile.caption for tile in found.galleries["Wrong, and the right class hardly considered"]]
    assert len(captions) == 24
    assert sum("labeled River, answered Forest" in caption for caption in captions) > 20
    assert "None of these maps was compared" in found.note


def test_a_card_names_no_folder(tiny_model: Path) -> None:
    found = open_model(tiny_model, threads=1)
    assert not [value for _, value in found.card if str(tiny_model.parent) in value]
    assert dict(found.card)["name"] == "tiny"
    assert stated(found.classifier.record) == [("accuracy", "95.0 % (90.0\u201398.0 %)")]
    assert learned(found.classifier.record)[0].startswith("Trained on drawn: 72 train, 24 val and 24 test patches")
