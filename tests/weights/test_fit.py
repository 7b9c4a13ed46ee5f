"""torchvision's names in timm's words, proved by the networks giving the same features; positions for other grids."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn

from swath.weights.fit import DROPPED, refit_positions, torchvision_names

SAME_SIZE = [
    # torchvision's name, timm's, side of a patch
    ("resnet18", "resnet18", 64),
    ("vgg16", "vgg16", 64),
    ("vgg19_bn", "vgg19_bn", 64),
    ("mobilenet_v2", "mobilenetv2_100", 64),
    ("efficientnet_b0", "efficientnet_b0", 64),
    ("convnext_tiny", "convnext_tiny", 64),
    ("vit_b_16", "vit_base_patch16_224", 224),
    ("swin_t", "swin_tiny_patch4_window7_224", 224),
]


def test_names_of_resnets_are_the_same():
    names = set(torchvision.models.resnet50().state_dict())
    assert torchvision_names("resnet50", names) is None
    assert names == set(timm.create_model("resnet50").state_dict())


@pytest.mark.parametrize(("theirs", "ours", "side"), SAME_SIZE[1:], ids=str)
def test_every_name_and_shape_is_met(theirs, ours, side):
    with torch.device("meta"):
        given = torchvision.models.get_model(theirs).state_dict()
        wanted = timm.create_model(ours).state_dict()
    names = torchvision_names(ours, given)
    assert names is not None
    kept = {new: given[old] for old, new in names.items() if new != DROPPED}
    assert set(kept) == set(wanted)
    assert all(kept[name].numel() == wanted[name].numel() for name in wanted)
    assert torchvision_names(ours, wanted) is None  # timm's own file is left alone


@pytest.mark.slow
@pytest.mark.parametrize(("theirs", "ours", "side"), SAME_SIZE, ids=str)
def test_the_networks_give_the_same_logits(theirs, ours, side):
    torch.manual_seed(0)
    given = torchvision.models.get_model(theirs).eval()
    for values in (*given.parameters(), *given.buffers()):
        if values.ndim == 1 and values.is_floating_point():
            torch.nn.init.uniform_(values, 0.5, 1.5)
    made = timm.create_model(ours).eval()
    state = given.state_dict()
    names = torchvision_names(ours, state) or {name: name for name in state}
    wanted = made.state_dict()
    made.load_state_dict({new: state[old].reshape(wanted[new].shape) for old, new in names.items() if new != DROPPED})
    pixels = torch.randn(1, 3, max(side, 224), max(side, 224))
    with torch.no_grad():
        expected, got = given(pixels), made(pixels)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_names_no_rule_knows_stay():
    names = torchvision_names("mobilenetv2_100", ["features.0.0.weight", "features.19.0.weight", "odd"])
    assert names == {
        "features.0.0.weight": "conv_stem.weight",
        "features.19.0.weight": "features.19.0.weight",
        "odd": "odd",
    }


class Tokens(nn.Module):
    num_prefix_tokens = 1


def test_constant_positions_stay_constant():
    given = torch.full((1, 1 + 14 * 14, 8), 0.25)
    placed = refit_positions("pos_embed", given, torch.empty(1, 1 + 16, 8), Tokens())
    assert placed.shape == (1, 17, 8)
    torch.testing.assert_close(placed, torch.full((1, 17, 8), 0.25))


def test_biases_of_a_smaller_window_are_those_of_the_same_distances():
    steps = torch.arange(13) - 6
    table = torch.stack(torch.broadcast_tensors(steps[:, None], steps[None, :]), -1).reshape(169, 2).float()
    placed = refit_positions("x.relative_position_bias_table", table, torch.empty(49, 2), nn.Module())
    near = torch.arange(7) - 3
    expected = torch.stack(torch.broadcast_tensors(near[:, None], near[None, :]), -1).reshape(49, 2).float()
    assert torch.equal(placed, expected)


def test_a_larger_window_is_not_made_up():
    given, goal = torch.ones(49, 2), torch.empty(169, 2)
    assert refit_positions("x.relative_position_bias_table", given, goal, nn.Module()) is None


def test_what_is_no_square_is_left_alone():
    goal = torch.empty(1, 17, 8)
    for wrong in (torch.ones(1, 12, 8), torch.ones(1, 17, 9), torch.ones(17, 8), torch.ones(1, 17, 8).long()):
        assert refit_positions("pos_embed", wrong, goal, Tokens()) is None
    assert refit_positions("weight", torch.ones(1, 197, 8), goal, Tokens()) is None
    assert refit_positions("a.relative_position_bias_table", torch.ones(168, 1), torch.empty(49, 1), Tokens()) is None
