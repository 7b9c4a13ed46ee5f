from __future__ import annotations

import pytest
import torch

from swath.networks import PatchNet
from swath.training.loop import backbone_modules, enter_phase, is_frozen
from swath.training.recipe import Freezing

from .runs import small_fit, small_recipe


def state(network, prefix=""):
    return {k: v.clone() for k, v in network.state_dict().items() if k.startswith(prefix)}


@pytest.mark.parametrize(("epochs", "expected"), [(0, [False] * 3), (2, [True, True, False]), ("all", [True] * 3)])
def test_when_the_backbone_rests(epochs, expected):
    assert [is_frozen(Freezing(epochs=epochs), epoch) for epoch in range(3)] == expected


def test_the_backbone_is_all_but_the_head():
    network = PatchNet(3, 4, stem=8, widths=(8,))
    assert network.head not in list(backbone_modules(network))
    assert network.stem in list(backbone_modules(network))


def test_frozen_parameters_and_statistics_are_bit_identical_after_the_frozen_stage(tmp_path):
    recipe = small_recipe("freeze.epochs=2", "epochs=2", "optimizer.weight_decay=0.1")
    torch.manual_seed(recipe.seed)
    new_modules = PatchNet(3, 4, stem=8, widths=(16, 16))
    fitted = small_fit(tmp_path, recipe)
    for name, value in fitted.network.state_dict().items():
        if name.startswith("head."):
            assert not torch.equal(value, new_modules.state_dict()[name]), name
        else:
            assert torch.equal(value, new_modules.state_dict()[name]), name


def test_after_the_frozen_stage_everything_learns(tmp_path):
    recipe = small_recipe("freeze.epochs=1", "epochs=3")
    torch.manual_seed(recipe.seed)
    new_modules = PatchNet(3, 4, stem=8, widths=(16, 16)).state_dict()
    trained = small_fit(tmp_path, recipe).network.state_dict()
    assert not torch.equal(trained["stem.weight"], new_modules["stem.weight"])
    assert not torch.equal(trained["stem_norm.running_mean"], new_modules["stem_norm.running_mean"])


def test_frozen_norms_keep_statistics_and_weights_while_filters_learn(tmp_path):
    recipe = small_recipe("freeze.batch_norm=frozen")
    torch.manual_seed(recipe.seed)
    new_modules = PatchNet(3, 4, stem=8, widths=(16, 16)).state_dict()
    trained = small_fit(tmp_path, recipe).network.state_dict()
    for name in ("running_mean", "running_var", "weight", "bias"):
        assert torch.equal(trained[f"stem_norm.{name}"], new_modules[f"stem_norm.{name}"])
    assert not torch.equal(trained["stem.weight"], new_modules["stem.weight"])


def test_dropout_of_a_resting_backbone_is_off_and_the_heads_is_on():
    network = PatchNet(3, 4, stem=8, widths=(8,), dropout=0.5)
    enter_phase(network, Freezing(epochs="all"), epoch=0)
    assert not network.stem_norm.training
    assert network.head.training
    enter_phase(network, Freezing(epochs=1), epoch=1)
    assert network.stem_norm.training
    assert network.stem.weight.requires_grad


def test_a_resting_backbone_has_a_slower_rate_afterwards():
    from swath.training.optim import build_optimizers
    from swath.training.recipe import Optimizer

    network = PatchNet(3, 4, stem=8, widths=(8,))
    (adam,) = build_optimizers(network, Optimizer(name="adamw", lr=0.01), backbone_lr_scale=0.1)
    peaks = {id(p): g["peak"] for g in adam.param_groups for p in g["params"]}
    assert peaks[id(network.head.weight)] == pytest.approx(0.01)
    assert peaks[id(network.stem.weight)] == pytest.approx(0.001)
