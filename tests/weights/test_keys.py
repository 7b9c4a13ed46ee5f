"""torchvision's names in timm's words, proved by the networks giving the same features."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision

from swath.weights.keys import DROPPED, torchvision_names

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
    made.load_state_dict(
        {new: state[old].reshape(wanted[new].shape) for old, new in names.items() if new != DROPPED}
    )
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
