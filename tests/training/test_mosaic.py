from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from swath.training.batches import Normalization
from swath.training.mosaic import _some_of_each, draw_batches
from swath.training.targets import Targets

from .runs import small_recipe, small_run, some

SPREAD = Normalization(np.array([80, 90, 100], np.float32), np.array([40, 30, 20], np.float32))


def shown(run, done, classes=4):
    return _some_of_each(run, SPREAD, done=done, classes=classes)


def test_every_class_has_patches_as_the_network_sees_them(tmp_path):
    run = small_run(tmp_path, small_recipe("augmentation={flips: false, transpose: false, shift: 0, crop: null}"))
    found = shown(run, 0.0)
    assert sorted(found) == [0, 1, 2, 3]
    for label, patches in found.items():
        assert len(patches) == 4
        own = run.train.pixels[run.train.labels == label]
        for patch in patches:  # nothing was changed, and normalization is undone to the pixel
            assert (patch == own).all(axis=(1, 2, 3)).any()


def test_the_start_of_a_run_is_cropped_and_its_end_is_not(tmp_path):
    run = small_run(tmp_path, small_recipe("augmentation.crop=16", "augmentation.crop_until=0.5"))
    sides = [{patch.shape[-1] for patches in shown(run, done).values() for patch in patches} for done in (0.0, 1.0)]
    assert sides == [{16}, {32}]


def test_the_picture_is_the_same_for_the_same_run_and_leaves_the_training_alone(tmp_path):
    for name in "ab":
        run = small_run(tmp_path / name)
        before = np.array(run.train.pixels)
        draw_batches(tmp_path / f"{name}.png", run, SPREAD)
        assert (run.train.pixels == before).all()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert picture.shape[0] > 250  # four rows
    assert (picture != 255).any(axis=2).mean() > 0.3


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_other_tasks_have_their_classes_in_front(tmp_path, task):
    names = ("A", "B")
    part = some(classes=("Forest", "River"))
    labels = part.labels if task == "binary" else np.array([[1, 0], [0, 0]], np.float32)[part.labels]
    run = small_run(
        tmp_path, small_recipe("batch_size=4"), targets=Targets(task, names), train=type(part)(part.pixels, labels)
    )
    found = shown(run, 0.0, classes=2)
    assert sorted(found) == ([0, 1] if task == "binary" else [0, 2])
    draw_batches(tmp_path / "b.png", run, SPREAD)
    assert (tmp_path / "b.png").stat().st_size > 1000


def test_mixed_patches_stand_with_the_class_they_hold_most_of(tmp_path):
    run = small_run(tmp_path, small_recipe("augmentation.cutmix=1.0"))
    assert sorted(shown(run, 0.0)) == [0, 1, 2, 3]
