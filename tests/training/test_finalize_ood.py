from __future__ import annotations

import numpy as np
import pytest

from swath.inference.ood import PatchOutputs
from swath.training import finalize
from swath.training.batches import Patches
from swath.training.calibrate import ValidationResult
from swath.training.finalize import Calibration, calibrate, fit_ood, sample_training
from swath.training.targets import Targets

from .runs import CLASSES, small_fit, small_recipe, small_run, some


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return small_fit(tmp_path_factory.mktemp("fit"))


def test_out_of_distribution_statistics_are_of_evenly_spread_training_patches(fitted, tmp_path, monkeypatch):
    monkeypatch.setattr(finalize, "TRAIN_PATCHES", 50)
    run = small_run(tmp_path, train=some(100), val=some(25, seed=1))
    calibration = calibrate(run, fitted)
    asked = []

    def outputs(_trained: object, patches: Patches) -> PatchOutputs:
        asked.append(patches.pixels)
        rows = np.random.default_rng(0)
        n = len(patches)
        return PatchOutputs(patches.pixels, rows.normal(size=(n, 16)), rows.normal(size=(n, len(CLASSES))))

    monkeypatch.setattr(finalize, "_outputs", outputs)
    kept = fit_ood(run, *sample_training(run, fitted), calibration, size=32)
    assert kept is not None
    assert kept.patches == 100
    rows = np.linspace(0, len(run.train) - 1, 50).round().astype(int)
    np.testing.assert_array_equal(asked[0], run.train.pixels[rows])


def test_statistics_are_of_patches_as_stored_also_where_a_run_draws_them_otherwise(fitted, tmp_path):
    kept = []
    for name, rendering in (("plain", "0"), ("drawn", "0.7")):
        recipe = small_recipe(f"augmentation.rendering={rendering}")
        run = small_run(tmp_path / name, recipe, train=some(30), val=some(25, seed=1))
        kept.append(fit_ood(run, *sample_training(run, fitted), calibrate(run, fitted), size=32))
    assert kept[0] == kept[1]
    assert kept[1].renderings == {}


def test_too_few_validation_patches_give_no_statistics(fitted, tmp_path):
    run = small_run(tmp_path, val=some(1, seed=1))
    outputs = PatchOutputs(run.val.pixels, np.zeros((4, 16)), np.zeros((4, 4)))
    calibration = Calibration(outputs, ValidationResult(1.0, {}), {}, None)
    assert fit_ood(run, *sample_training(run, fitted), calibration, size=32) is None


def test_quantiles_are_for_tasks_with_one_label_per_patch(fitted, tmp_path):
    assert list(calibrate(small_run(tmp_path, val=some(25, seed=1)), fitted).conformal) == ["0.90", "0.95"]
    several = Targets("multi-label", CLASSES)
    parts = {
        name: Patches(patches.pixels, np.eye(4, dtype=np.float32)[patches.labels])
        for name, patches in {"train": some(), "val": some(25, seed=1)}.items()
    }
    multi = small_run(tmp_path, targets=several, **parts)
    assert calibrate(multi, small_fit(tmp_path / "multi", targets=several, **parts)).conformal == {}
