from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from swath.errors import SettingError
from swath.training.loss import make_loss
from swath.training.recipe import Loss

NAMES = ("a", "b", "c")


def random_case(seed, n=12, k=3):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, k, generator=generator)
    labels = torch.randint(0, k, (n,), generator=generator)
    labels[:k] = torch.arange(k)
    return logits, labels


def shares_of(labels, k=3):
    return F.one_hot(labels, k).float()


@given(seed=st.integers(0, 1000), smoothing=st.sampled_from([0.0, 0.1]))
@settings(max_examples=20)
def test_cross_entropy_is_torchs(seed, smoothing):
    logits, labels = random_case(seed)
    shares = shares_of(labels)
    loss = make_loss(Loss(label_smoothing=smoothing), task="single-label", classes=NAMES, shares=shares.numpy())
    assert loss(logits, shares) == pytest.approx(
        float(F.cross_entropy(logits, labels, label_smoothing=smoothing)), rel=1e-5
    )


@given(seed=st.integers(0, 1000), gamma=st.sampled_from([0.0, 1.0, 2.0, 5.0]))
@settings(max_examples=20)
def test_focal_of_several_classes_is_its_formula(seed, gamma):
    logits, labels = random_case(seed)
    shares = shares_of(labels)
    weights = {"a": 2.0, "c": 0.5}
    loss = make_loss(
        Loss(name="focal", gamma=gamma, label_smoothing=0, class_weights=weights),
        task="single-label",
        classes=NAMES,
        shares=shares.numpy(),
    )
    p = torch.softmax(logits.double(), 1)[torch.arange(len(labels)), labels]
    w = torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)[labels]
    assert float(loss(logits, shares)) == pytest.approx(float((-w * (1 - p) ** gamma * p.log()).mean()), rel=1e-4)


@given(seed=st.integers(0, 1000), alpha=st.sampled_from([None, 0.25, 0.9]), k=st.sampled_from([1, 3]))
@settings(max_examples=30)
def test_focal_of_sigmoids_is_torchvisions_with_its_alpha(seed, alpha, k):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(10, k, generator=generator)
    targets = (torch.rand(10, k, generator=generator) < 0.4).float()
    task, names = ("binary", ("no", "yes")) if k == 1 else ("multi-label", NAMES)
    loss = make_loss(
        Loss(name="focal", gamma=2, alpha=alpha, label_smoothing=0), task=task, classes=names, shares=targets.numpy()
    )
    expected = sigmoid_focal_loss(logits, targets, alpha=-1 if alpha is None else alpha, gamma=2, reduction="mean")
    assert float(loss(logits, targets)) == pytest.approx(float(expected), rel=1e-4, abs=1e-7)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_bce_with_balanced_pos_weight(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(20, 1, generator=generator)
    targets = torch.zeros(20, 1)
    targets[:4] = 1
    loss = make_loss(
        Loss(pos_weight="balanced", label_smoothing=0), task="binary", classes=("no", "yes"), shares=targets.numpy()
    )
    expected = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor([4.0]))
    assert float(loss(logits, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_balanced_class_weights_are_scikit_learns():
    labels = torch.tensor([0] * 6 + [1] * 3 + [2])
    shares = shares_of(labels)
    loss = make_loss(
        Loss(class_weights="balanced", label_smoothing=0), task="single-label", classes=NAMES, shares=shares.numpy()
    )
    weights = compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy())
    logits = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    each = F.cross_entropy(logits, labels, reduction="none") * torch.tensor(weights)[labels]
    assert float(loss(logits, shares)) == pytest.approx(float(each.mean()), rel=1e-5)


def test_balanced_weights_of_the_binary_task_act_on_both_classes():
    targets = torch.zeros(10, 1)
    targets[:2] = 1
    loss = make_loss(
        Loss(class_weights="balanced", label_smoothing=0), task="binary", classes=("no", "yes"), shares=targets.numpy()
    )
    logits = torch.randn(10, 1, generator=torch.Generator().manual_seed(0))
    each = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    weight = torch.where(targets > 0, 10 / (2 * 2), 10 / (2 * 8))
    assert float(loss(logits, targets)) == pytest.approx(float((each * weight).mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("settings_", "task", "message"),
    [
        ({"name": "bce"}, "single-label", "does not suit"),
        ({"name": "cross-entropy"}, "multi-label", "does not suit"),
        ({"name": "focal", "alpha": 0.3}, "single-label", "class_weights"),
        ({"pos_weight": 3}, "single-label", "class_weights"),
        ({"class_weights": {"z": 2}}, "single-label", "no class"),
    ],
)
def test_a_loss_that_does_not_suit_is_one_message(settings_, task, message):
    shares = shares_of(torch.arange(3)).numpy()
    with pytest.raises(SettingError, match=message):
        make_loss(Loss(**settings_), task=task, classes=NAMES, shares=shares)
