from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from swath.errors import ModelFileError, SettingError
from swath.explain import class_evidence, faithfulness
from swath.inference import load
from swath.networks import Network, build_network
from swath.networks.layers import layer_maps
from swath.training import TrainResult
from swath.training.gradcam import WEIGHTS, GradCam, _normalized, grad_cam, grad_cam_of
from tests.tiny import CLASSES, patches, write_tiny_model

PIXELS = np.concatenate([patches(c, 2, seed=8) for c in CLASSES])


@pytest.fixture(scope="module")
def made(trained: TrainResult) -> GradCam:
    return grad_cam_of(load(trained.model, engine="onnxruntime", threads=1), trained.model.parent)


def test_of_a_pooled_linear_network_it_is_the_class_activation_map(made):
    """At the last activations, for predicted classes and for others."""
    for classes in (None, ["River"] * len(PIXELS)):
        exact = class_evidence(made.classifier, PIXELS, classes=classes)
        found = made(PIXELS, classes=classes)
        assert found.maps.shape == exact.maps.shape
        np.testing.assert_allclose(found.maps, exact.maps, rtol=1e-3, atol=1e-3 * np.abs(exact.maps).max())
        assert (found.explained, found.labels) == (exact.explained, exact.labels)
        np.testing.assert_array_equal(found.confidence, exact.confidence)
        assert found.method == "grad-cam"


def test_it_equals_captums_but_for_the_number_of_places(made):
    numbers = np.arange(len(PIXELS)) % len(CLASSES)
    first = made.network.stages[0]  # not the last: gradients differ from place to place
    other = GradCam(made.classifier, made.network)
    other.layer = first
    found = other(PIXELS, classes=[CLASSES[k] for k in numbers])
    method = LayerGradCam(lambda x: made.network(x).logits, first)
    wanted = method.attribute(_normalized(PIXELS, made.classifier.record), target=torch.from_numpy(numbers)).detach()[
        :, 0
    ]
    np.testing.assert_allclose(found.maps / found.maps[0].size, wanted, rtol=1e-4, atol=1e-6)
    assert layer_maps(made.network, torch.zeros(1, 2, 3, 3)) is not None


def test_the_folder_of_a_run_is_enough(trained: TrainResult, made):
    found = grad_cam(trained.model.parent, PIXELS[:3])
    np.testing.assert_allclose(found.maps, made(PIXELS[:3]).maps, rtol=1e-4, atol=1e-5)


def test_it_can_be_checked_like_any_map(made):
    checked = faithfulness(made.classifier, PIXELS, made(PIXELS))
    assert len(checked) == len(PIXELS)
    exact = faithfulness(made.classifier, PIXELS, class_evidence(made.classifier, PIXELS))
    assert [c.beaten for c in checked] == pytest.approx([c.beaten for c in exact], abs=1)


def test_forgetting_changes_only_the_copy(made):
    before = {name: value.clone() for name, value in made.network.state_dict().items()}
    other = made.randomized_explainer("head", 1)
    assert all(torch.equal(value, before[name]) for name, value in made.network.state_dict().items())
    changed = {n for n, value in other.network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"head.weight"}
    assert not np.allclose(other(PIXELS, classes=["River"] * 8).maps, made(PIXELS, classes=["River"] * 8).maps)
    again = made.randomized_explainer("all", 1).network.state_dict()
    assert {n for n in again if n.endswith("weight") and "norm" not in n} == {
        n for n, value in again.items() if not torch.equal(value, before[n])
    }


def test_a_run_without_weights_says_what_it_lacks(made, tmp_path: Path):
    with pytest.raises(ModelFileError, match=rf"has no {WEIGHTS}.*--method cam or occlusion"):
        grad_cam_of(made.classifier, tmp_path)


def test_weights_of_another_network_are_refused(trained: TrainResult, made, tmp_path: Path):
    from safetensors.torch import save_file

    (tmp_path / "recipe.yaml").write_bytes((trained.model.parent / "recipe.yaml").read_bytes())
    save_file({"head.weight": torch.zeros(4, 3)}, tmp_path / WEIGHTS)
    with pytest.raises(ModelFileError, match="does not hold the weights of network 'patchnet'"):
        grad_cam_of(made.classifier, tmp_path)


def test_an_unknown_class_names_the_nearest(made):
    with pytest.raises(SettingError, match="did you mean River"):
        made(PIXELS[:1], classes=["Rivers"])


@pytest.mark.parametrize("name", ["resnet18_fpn", "vit_small"])
def test_networks_without_an_exact_map_have_one_that_shows_where(made, name):
    """Answers are the small model's; maps are the other network's, whose layers are laid out otherwise."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(Network(name=name), bands=3, outputs=len(CLASSES), size=64)
    other = GradCam(made.classifier, network)
    found = other(PIXELS[:2], classes=["River", "Forest"])
    assert found.maps.shape[0] == 2
    assert np.isfinite(found.maps).all()
    assert np.ptp(found.maps, axis=(1, 2)).min() > 0
    # With every weight of the head doubled, so is the logit, and so is its share at every place.
    with torch.no_grad():
        network.head.weight *= 2
    np.testing.assert_allclose(other(PIXELS[:2], classes=["River", "Forest"]).maps, 2 * found.maps, rtol=1e-3)


def test_one_logit_speaks_for_one_class_and_against_the_other(tmp_path: Path):
    names = ("Forest", "SeaLake")
    both = load(write_tiny_model(tmp_path / "two.onnx", names, task="binary"), engine="onnxruntime", threads=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(Network(name="patchnet", stem=8, widths=(16,)), bands=3, outputs=1, size=64)
    other = GradCam(both, network)
    first, second = (other(PIXELS[:3], classes=[name] * 3).maps for name in names)
    np.testing.assert_array_equal(first, -second)
    assert np.abs(second).max() > 0
