from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from swath.training.advice import compare_with_probe
from swath.training.batches import Patches
from swath.training.targets import Targets

from .runs import SINGLE, small_recipe, small_run, some


def with_logits(run, right):
    """Logits of a network that calls a share `right` of the validation patches by their class."""
    labels, outputs = run.val.labels, run.targets.logits
    wrong = np.arange(len(labels)) >= right * len(labels)
    called = np.where(wrong, (labels + 1) % len(run.targets.classes), labels)
    if outputs == 1:
        return (2.0 * called[:, None] - 1).astype(np.float32)
    return np.eye(outputs, dtype=np.float32)[called]


def test_a_network_that_loses_to_a_frozen_probe_is_told_how_to_do_better(tmp_path):
    run = small_run(tmp_path, train=some(20), val=some(20, seed=1))
    found = compare_with_probe(run, with_logits(run, 0.3))
    assert found.better
    assert found.probe.value > 0.8
    assert found.gain.low > 0.2
    assert "frozen features of 'eurosat' is better on these val patches" in str(found)
    assert "--recipe few, or --recipe eurosat-probe" in str(found)


def test_a_network_that_is_as_good_is_left_in_peace(tmp_path):
    run = small_run(tmp_path, train=some(20), val=some(20, seed=1))
    assert not compare_with_probe(run, with_logits(run, 1.0)).better


def test_two_classes_are_compared_too(tmp_path):
    run = small_run(
        tmp_path,
        targets=Targets("binary", ("Forest", "River")),
        train=some(20, classes=("Forest", "River")),
        val=some(20, seed=1, classes=("Forest", "River")),
    )
    assert compare_with_probe(run, with_logits(run, 0.2)).better


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        (["bands=[nir,red,green]"], {}),
        (["freeze.epochs=all", "weights=eurosat", "augmentation={flips: false, transpose: false, shift: 0}"], {}),
        ([], {"targets": Targets("multi-label", SINGLE.classes)}),
        ([], {"train": Patches(some().pixels.astype(np.uint16), some().labels)}),
        ([], {"train": some(size=8), "val": some(4, size=8)}),
    ],
)
def test_nothing_is_said_where_the_shipped_model_is_no_match(tmp_path, changes, options):
    run = small_run(tmp_path, small_recipe(*changes), **options)
    assert compare_with_probe(run, np.zeros((len(run.val), 4), np.float32)) is None


def test_many_patches_are_not_compared(tmp_path):
    run = small_run(tmp_path)
    many = dataclasses.replace(run, train=Patches(np.repeat(run.train.pixels, 60, 0), np.repeat(run.train.labels, 60)))
    assert len(many.train) > 2_000
    assert compare_with_probe(many, with_logits(run, 0.0)) is None
