from __future__ import annotations

import numpy as np
import pytest

from swath.inference.ood import TRAIN_PATCHES, PatchOutputs
from swath.training import finalize_run
from swath.training.batches import Patches
from swath.training.finalize import conformal_of, out_of_distribution_of
from swath.training.targets import Targets


def drawn(n: int, *, seed: int) -> tuple[Patches, PatchOutputs]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = np.clip(rng.normal(80 + 60 * labels[:, None, None, None], 15, (n, 3, 16, 16)), 0, 255)
    logits = np.stack([3.0 - 6 * labels, 6.0 * labels - 3], axis=1) + rng.normal(0, 1, (n, 2))
    features = np.concatenate([logits, rng.normal(0, 1, (n, 3))], axis=1)
    patches = Patches(pixels.astype(np.uint8), labels)
    return patches, PatchOutputs(patches.pixels, features, logits)


def test_training_patches_are_spread_evenly_and_looked_at_once(monkeypatch):
    monkeypatch.setattr(finalize_run, "TRAIN_PATCHES", 50)
    train, whole = drawn(400, seed=0)
    _, val = drawn(100, seed=1)
    asked = []

    def probe_layers(few: Patches) -> PatchOutputs:
        asked.append(few)
        places = np.linspace(0, 399, 50).round().astype(int)
        np.testing.assert_array_equal(few.pixels, train.pixels[places])
        return PatchOutputs(few.pixels, whole.features[places], whole.logits[places])

    targets = Targets("single-label", ("a", "b"))
    kept = out_of_distribution_of(probe_layers, train, val, targets, temperature=1.0, size=16)
    assert len(asked) == 1
    assert kept is not None
    assert (kept.patches, kept.classes.shape[0]) == (100, 2)
    assert TRAIN_PATCHES == 4000


@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_quantiles_are_for_one_label_a_patch(task):
    patches, val = drawn(100, seed=2)
    found = conformal_of(val, patches, Targets(task, ("a", "b")), temperature=1.0)
    assert list(found) == ([] if task == "multi-label" else ["0.90", "0.95"])
