"""Pictures and a scene to try."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio

from swath.app import samples
from swath.app.samples import names, read, write_scene
from swath.data import open_patches, shipped_path
from swath.inference import Classifier


def test_the_samples_are_the_shipped_patches() -> None:
    found = names()
    assert len(found) == 10
    picture = found["River"][0]
    with open_patches(shipped_path("eurosat-mini")) as reader:
        assert read([picture]) == [reader.read(picture)]
        assert sum(map(len, found.values())) == sum(name.endswith(".jpg") for name in reader.names())


def test_all_samples_are_read_with_their_labels(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {label: files[:2] for label, files in names().items()}
    monkeypatch.setattr(samples, "names", lambda: some)
    pixels, labels, found = samples.labeled(tiny)
    assert pixels.shape == (20, 3, 64, 64)
    assert labels == [name.split("/")[0] for name in found]
    assert found == [name for files in some.values() for name in files]


def test_the_sample_scene_holds_every_class(tmp_path: Path) -> None:
    with rasterio.open(write_scene(tmp_path / "scene.tif")) as scene:
        assert (scene.width, scene.height, scene.count) == (1600, 1536, 3)
        assert scene.crs.to_epsg() == 32632
        assert scene.read(1).std() > 10
