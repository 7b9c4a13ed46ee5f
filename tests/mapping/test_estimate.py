from __future__ import annotations

import itertools

import numpy as np
import pytest

from swath.inference import load
from swath.mapping import estimate_map, make_grid
from swath.mapping.windows import make_windows
from tests.mapping.scenes import write_scene

SCENE = np.full((3, 200, 300), 90, np.uint8)


@pytest.fixture
def classifier(tiny_model):
    return load(tiny_model, threads=1)


def test_a_short_run_is_not_measured(classifier, monkeypatch):
    monkeypatch.setattr(classifier, "answer", None)  # nothing is classified
    assert estimate_map(classifier, SCENE) is None


@pytest.mark.parametrize("dense", [False, None])
def test_a_long_run_takes_as_long_as_its_windows(classifier, monkeypatch, tmp_path, dense):
    """By a clock on which whatever is classified takes one second."""
    monkeypatch.setattr("swath.mapping.windows._FEW_SECONDS", 0)
    ticks = itertools.count()
    scene = write_scene(tmp_path / "scene.tif", SCENE)
    found = estimate_map(classifier, scene, stride=32, dense=dense, clock=lambda: float(next(ticks)))
    grid = make_grid(200, 300, patch=64, stride=32)
    assert (found.windows, found.stride) == (grid.windows, 32)
    rows, columns = make_windows(classifier, grid, batch_size=1024, dense=dense).probe()
    assert found.seconds == pytest.approx(grid.windows / (rows * columns))
    assert 2**25 < found.memory < 2**33


def test_memory_grows_with_what_is_held(classifier, monkeypatch):
    monkeypatch.setattr("swath.mapping.windows._FEW_SECONDS", 0)
    monkeypatch.setattr("swath.mapping.estimate._peak", lambda: 0)
    found = {
        (wide, held): estimate_map(classifier, np.zeros((3, 100, wide), np.uint8), min_area=held).memory
        for wide in (100, 4000)
        for held in (False, True)
    }
    assert found[100, False] < found[100, True] < found[4000, False] < found[4000, True]
