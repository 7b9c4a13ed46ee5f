"""Every named network: builds, trains a step, explains as it claims, exports, and answers alike elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from swath.errors import SettingError
from swath.inference.choice import make_engine
from swath.model.graph import assemble
from swath.networks import Network, build_network, network_names, smallest_patch
from swath.training.export import export_body
from tests.networks.stirring import stir
from tests.tiny import input_spec

HEAVY = {"resnet50", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "convnext_tiny", "swin_tiny", "vit_small"}
HEAVY |= {"resnet50_fpn", "efficientnet_b0", "mobilenet_v3", "mobilenet_v2"}
EVERY = [pytest.param(name, marks=pytest.mark.slow) if name in HEAVY else name for name in network_names()]


def net(name, *, bands=3, size=64, **changes):
    torch.manual_seed(0)
    return build_network(Network(name=name, **changes), bands=bands, outputs=4, size=size)


def test_the_names_the_field_uses_are_there():
    assert network_names() == [
        "patchnet", "stripnet", "resnet18", "resnet50", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "mobilenet_v2",
        "mobilenet_v3", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_small", "swin_tiny",
        "resnet18_fpn", "resnet50_fpn",
    ]  # fmt: skip


@pytest.mark.parametrize("bands", [3, 13])
@pytest.mark.parametrize("name", EVERY)
def test_one_step_of_training_moves_every_weight(name, bands):
    network = stir(net(name, bands=bands)).train()
    before = {key: value.detach().clone() for key, value in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    out = network(torch.randn(4, bands, 64, 64))
    loss = nn.functional.cross_entropy(out.logits, torch.tensor([0, 1, 2, 3]))
    loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    optimizer.step()
    assert torch.isfinite(loss)
    assert out.logits.shape == (4, 4)
    assert out.features.shape == (4, network.head.in_features)
    # Biases in front of a batch norm move by rounding alone, and keys' biases cancel in a softmax.
    still = [key for key, value in network.named_parameters() if torch.equal(value, before[key])]
    assert all(key.endswith("bias") or "relative_position" in key for key in still), still
    assert not torch.equal(network.head.weight, before["head.weight"])


@pytest.mark.parametrize("name", EVERY)
def test_parameters_lie_in_the_backbone_or_are_newly_initialized(name):
    with torch.device("meta"):
        network = net(name)
    assert isinstance(network.head, nn.Linear)
    tops = {key.split(".")[0] for key, _ in network.named_parameters()}
    if name not in {"patchnet", "stripnet"}:
        assert tops == {"backbone", *network.new_modules} - {"dropout"}  # which has none
    assert "head" in network.new_modules
    assert all(hasattr(network, part) for part in network.new_modules)


@pytest.mark.parametrize("name", EVERY)
def test_logits_are_the_head_on_the_mean_of_the_activations_where_there_are_any(name):
    network = stir(net(name))
    with torch.no_grad():
        out = network(torch.randn(3, 3, 64, 64))
        assert torch.allclose(network.head(out.features), out.logits, rtol=1e-4, atol=1e-4)
        exact = name not in {"mobilenet_v3", "mobilenet_v3_small", "convnext_tiny", "vit_small"}
        assert (out.activations is not None) == exact
        if exact:
            pooled = network.head(out.activations.mean((2, 3)))
            assert torch.allclose(pooled, out.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_the_smallest_patch_runs_and_less_is_refused(name):
    least = smallest_patch(Network(name=name))
    with torch.no_grad():
        out = net(name, size=least).eval()(torch.randn(1, 3, least, least))
    assert out.logits.shape == (1, 4)
    if out.activations is not None:
        assert min(out.activations.shape[2:]) >= 1
    with pytest.raises(SettingError, match=f"{name} needs patches of {least} px at least"):
        net(name, size=least - 1)


def exports():
    """Every network at 3 and 13 bands; one is quick enough for every run, and the others in 13 can wait."""
    for name in network_names():
        for bands in (3, 13):
            quick = name == "stripnet" and bands == 13
            longer = pytest.mark.slow if bands == 3 else pytest.mark.soak
            yield pytest.param(name, bands, marks=() if quick else longer)


@pytest.mark.parametrize(("name", "bands"), list(exports()))
def test_the_exported_graph_answers_as_torch_does(name, bands):
    network = stir(net(name, bands=bands))
    body = export_body(network, bands=bands, size=64)
    names = [f"B{i:02}" for i in range(bands)]
    spec = input_spec(bands=names, size=64, mean=[110.0] * bands, sd=[60.0] * bands)
    graph = assemble(body, spec=spec, task="single-label")
    given = [o.name for o in graph.graph.output]
    pixels = np.random.default_rng(0).integers(0, 256, (7, bands, 64, 64), dtype=np.uint8)
    mean, sd = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.sd))
    with torch.no_grad():
        out = network((torch.from_numpy(pixels).float() - mean) / sd)
    assert ("activations" in given) == (out.activations is not None)
    for kind in ("onnxruntime", "openvino"):
        engine = make_engine(kind, graph, threads=1)
        for batch_size in (1, 2, 7):
            got = engine.run(pixels[:batch_size], tuple(given))
            assert np.abs(got["probabilities"] - out.logits[:batch_size].softmax(1).numpy()).max() < 1e-3
            features = out.features[:batch_size].numpy()
            assert np.abs(got["features"] - features).max() < 1e-3 * max(1, np.abs(features).max())
    assert {"head.weight", "head.bias"} <= {t.name for t in graph.graph.initializer}


@pytest.mark.parametrize("size", [32, 36, 96, 100, 256, 352])
@pytest.mark.parametrize("name", ["swin_tiny", "resnet18", "timm:lcnet_050", "resnet18_fpn"])
def test_odd_sizes_build_and_run(name, size):
    with torch.device("meta"):
        out = net(name, size=size).eval()(torch.zeros(2, 3, size, size))
    assert out.logits.shape == (2, 4)


@pytest.mark.parametrize("name", ["vgg19", "resnet18", "resnet18_fpn", "mobilenet_v3_small"])
def test_dropout_is_a_setting_and_acts_in_training_only(name):
    with torch.device("meta"):
        network = net(name, dropout=0.5)
    assert [m.p for m in network.modules() if isinstance(m, nn.Dropout) and m.p > 0] == [0.5]
    assert network.dropout.p == 0.5


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet-50", r"no network 'resnet-50'; did you mean resnet50"),
        ("mobilenetv2", r"did you mean mobilenet_v2"),
        ("resnet18_fpn_fpn", r"did you mean resnet18_fpn"),
        ("zzz", r"see: swath networks"),
        ("resnet34", r"did you mean timm:resnet34\?"),
        ("efficientnet_b3", r"did you mean timm:efficientnet_b3\?"),
        ("timm:resnet5o", r"no backbone 'resnet5o'; did you mean timm:resnet50"),
        ("timm:hf-hub:x/y", r"no backbone 'hf-hub:x/y'"),
        ("timm:vit_tiny_patch16_224_fpn", r"four maps"),
    ],
)
def test_an_unknown_network_is_one_clear_message(name, said):
    with pytest.raises(SettingError, match=said):
        net(name)


# Attention over blocks of 8 cells, alone and under a pyramid; a table of positions for one size.
@pytest.mark.parametrize("name", ["timm:halonet26t", "timm:halonet26t_fpn", "timm:efficientformer_l1"])
def test_a_backbone_that_builds_but_does_not_run_is_one_clear_message(name):
    plain = name.removeprefix("timm:").removesuffix("_fpn")
    with pytest.raises(SettingError, match=f"^{plain} does not take patches of 64 px .*; set another size"):
        net(name)


def test_trying_a_backbone_leaves_it_as_new():
    network = net("timm:resnet10t_fpn", channels=16)
    assert all(module.training for module in network.modules())
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(norm.num_batches_tracked == 0 for norm in norms)


@pytest.mark.parametrize("widths", [(0, 32), (-4, 32), (16, 100_000)])
def test_widths_have_bounds(widths):
    with pytest.raises(ValidationError, match="widths"):
        Network(widths=widths)


@pytest.mark.parametrize("name", ["timm:resnet10t", "timm:vit_tiny_patch16_224", "timm:lcnet_050"])
def test_any_backbone_of_timms_is_a_network(name):
    network = stir(net(name, bands=5))
    with torch.no_grad():
        out = network(torch.randn(2, 5, 64, 64))
    assert out.logits.shape == (2, 4)
    assert (out.activations is not None) == (name == "timm:resnet10t")
    assert torch.allclose(network.head(out.features), out.logits, atol=1e-5)


def test_the_same_seed_builds_the_same_network():
    first, second = net("timm:lcnet_050"), net("timm:lcnet_050")
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
