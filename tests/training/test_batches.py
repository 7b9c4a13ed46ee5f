from __future__ import annotations

import numpy as np
import pytest
import torch

from swath.training.batches import Normalization, epoch_order, prepare

from .runs import small_recipe


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_natural_sampling_takes_each_patch_once():
    shares = np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    order = epoch_order(shares, small_recipe(), generator=generator())
    assert sorted(order.tolist()) == list(range(30))


def test_balanced_sampling_takes_every_class_as_often():
    labels = np.repeat([0, 1, 2], [900, 90, 10])
    shares = np.eye(3, dtype=np.float32)[labels]
    drawn = np.concatenate(
        [epoch_order(shares, small_recipe("sampling=balanced"), generator=generator(s)) for s in range(20)]
    )
    np.testing.assert_allclose(np.bincount(labels[drawn]) / len(drawn), 1 / 3, atol=0.02)


def test_balanced_sampling_of_sigmoid_tasks_takes_patches_without_a_label_too():
    shares = np.zeros((1000, 1), np.float32)
    shares[:50] = 1
    order = epoch_order(shares, small_recipe("sampling=balanced"), generator=generator())
    assert (order < 50).mean() == pytest.approx(0.5, abs=0.06)


def test_features_pass_as_they_are():
    features, targets = torch.randn(4, 7), torch.eye(4)
    none = Normalization(np.zeros(3, np.float32), np.ones(3, np.float32))
    values, shares = prepare(features, targets, small_recipe(), none, done=0.0, top=255.0, generator=generator())
    assert values is features
    assert shares is targets


@pytest.mark.parametrize(
    "change",
    [
        "augmentation.mixup=0.4",
        "augmentation.cutmix=1",
        "augmentation.sensor_shift=1",
        "augmentation.randaugment=2",
        "augmentation.gain=0.1",
    ],
)
def test_every_augmentation_changes_a_batch_the_same_way_twice(change):
    pixels = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator())
    targets = torch.eye(8)
    plain = Normalization(np.zeros(3, np.float32), np.full(3, 255, np.float32))

    def run(*changes):
        recipe = small_recipe("augmentation={flips: false, transpose: false, shift: 0}", *changes)
        return prepare(pixels, targets, recipe, plain, done=0.0, top=255.0, generator=generator(1))

    (first, shares), (second, again), (still, _) = run(change), run(change), run()
    assert torch.equal(first, second)
    assert torch.equal(shares, again)
    assert not torch.equal(first, still)
    assert torch.allclose(still, pixels.float() / 255)
    assert torch.allclose(shares.sum(1), torch.ones(8))
