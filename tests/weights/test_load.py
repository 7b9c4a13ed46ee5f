"""Weights into networks: strictly by name, and everything adapted is said."""

from __future__ import annotations

import logging
import os

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save, save_file

from swath.errors import DataError, SettingError
from swath.imagery import RGB
from swath.networks import Network, build_network
from swath.weights import Expectation, add_weights, load_weights, locate, weights_metadata
from swath.weights.known import SENTINEL2

REAL = os.environ.get("SWATH_TEST_IMAGENET", "")  # a file of real MobileNetV2 weights in timm's words


def network_of(name, *, bands=3, outputs=5, size=64, **more):
    torch.manual_seed(1)
    return build_network(Network(name=name, **more), bands=bands, outputs=outputs, size=size).eval()


def published(name, path, *, seed=0, zipped=None, **options):
    """Random weights of a published network, as its library would save them."""
    torch.manual_seed(seed)
    made = (torchvision.models.get_model if zipped else timm.create_model)(name, **options)
    state = made.state_dict()
    if zipped is None:
        save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return state


def load(network, path, name, *, bands=RGB, store=None):
    return load_weights(network, str(path), network_name=name, bands=bands, store=store)


def test_none_changes_nothing():
    network = network_of("patchnet")
    before = {k: v.clone() for k, v in network.state_dict().items()}
    facts = load_weights(network, "none", network_name="patchnet", bands=RGB)
    assert not facts.pretrained
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())


class TestPublished:
    @pytest.mark.parametrize(
        ("name", "backbone"),
        [("resnet18", "resnet18"), ("mobilenet_v2", "mobilenetv2_100"), ("efficientnet_b0", "efficientnet_b0")],
    )
    def test_timm_s_own_go_in_whole(self, store, tmp_path, name, backbone):
        state = published(backbone, tmp_path / "w.safetensors")
        network = network_of(name)
        head = network.head.weight.clone()
        facts = load(network, tmp_path / "w.safetensors", name, store=store)
        got = network.backbone.state_dict()
        assert all(torch.equal(state[k], v) for k, v in got.items())
        assert torch.equal(network.head.weight, head)
        assert (facts.style, facts.source, facts.network) == ("timm", "w.safetensors", name)
        classifier = "fc" if name == "resnet18" else "classifier"
        assert facts.changes == (f"left out: {classifier}",)

    @pytest.mark.parametrize(
        ("name", "theirs", "first"),
        [("mobilenet_v2", "mobilenet_v2", "features.0.0.weight"), ("resnet18", "resnet18", "conv1.weight"),
         ("vgg16", "vgg16", "features.0.weight")],
    )  # fmt: skip
    def test_torchvision_s_pth_files(self, store, tmp_path, name, theirs, first):
        if theirs == "vgg16":  # its two wide layers alone are 0.5 GB
            with torch.device("meta"):
                shapes = torchvision.models.vgg16().state_dict()
            state = {
                k: torch.randn(1).expand(v.shape) if k.startswith("classifier") else torch.randn(v.shape)
                for k, v in shapes.items()
                if not k.startswith("classifier")
            } | {f"classifier.{n}.{p}": torch.zeros(1) for n in (0, 3, 6) for p in ("weight", "bias")}
            torch.save(state, tmp_path / "w.pth")
        else:
            state = published(theirs, tmp_path / "w.pth", zipped=True)
        network = network_of(name)
        facts = load(network, tmp_path / "w.pth", name, store=store)
        assert facts.style == ("timm" if name == "resnet18" else "torchvision")
        stem = next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
        assert torch.equal(stem.weight, state[first])
        assert any("left out" in change for change in facts.changes)

    def test_a_pyramid_takes_its_backbone(self, store, tmp_path):
        state = published("resnet18", tmp_path / "w.safetensors")
        network = network_of("resnet18_fpn", channels=16)
        load(network, tmp_path / "w.safetensors", "resnet18_fpn", store=store)
        assert torch.equal(network.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])

    def test_positions_are_resampled_for_another_size(self, store, tmp_path):
        state = published("vit_small_patch16_224", tmp_path / "w.safetensors")
        network = network_of("vit_small", size=64)
        facts = load(network, tmp_path / "w.safetensors", "vit_small", store=store)
        assert network.backbone.pos_embed.shape[1] == 1 + 16
        assert torch.equal(network.backbone.pos_embed[:, 0], state["pos_embed"][:, 0])  # the class token's
        assert "positions fitted to this patch size: 1 tensors" in facts.changes

    def test_sixteen_bit_weights_are_widened(self, store, tmp_path):
        state = published("resnet18", tmp_path / "x.safetensors")
        save_file({k: v.half() if v.is_floating_point() else v for k, v in state.items()}, tmp_path / "w.safetensors")
        network = network_of("resnet18")
        facts = load(network, tmp_path / "w.safetensors", "resnet18", store=store)
        assert network.backbone.conv1.weight.dtype == torch.float32
        assert "16-bit numbers widened to 32" in facts.changes

    def test_tensorflows_padding_is_said_unless_the_network_has_it_too(self, store, tmp_path):
        state = published("mobilenetv2_100", tmp_path / "x.safetensors")
        told = {"architecture": "mobilenetv2_100 pad_type=same"}
        save_file(state, tmp_path / "w.safetensors", metadata=told)
        for padding, said in (("even", True), ("same", False)):
            network = network_of("mobilenet_v2", padding=padding)
            facts = load(network, tmp_path / "w.safetensors", "mobilenet_v2", store=store)
            assert any("TensorFlow's padding" in change for change in facts.changes) is said

    def test_counters_that_old_files_lack_are_no_loss(self, store, tmp_path):
        state = published("resnet18", tmp_path / "x.safetensors")
        save_file({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "w.safetensors")
        load(network_of("resnet18"), tmp_path / "w.safetensors", "resnet18", store=store)

    def test_swin_at_another_size(self, store, tmp_path):
        state = published("swin_tiny_patch4_window7_224", tmp_path / "w.safetensors")
        network = network_of("swin_tiny", size=64)
        facts = load(network, tmp_path / "w.safetensors", "swin_tiny", store=store)
        key = "layers.0.blocks.0.attn.relative_position_bias_table"
        got = dict(network.backbone.named_parameters())[key]
        assert got.shape[0] < state[key].shape[0]
        assert torch.equal(got[len(got) // 2], state[key][84])  # a tile and itself
        assert any("positions fitted" in change for change in facts.changes)

    def test_convnext_from_torchvision(self, store, tmp_path):
        state = published("convnext_tiny", tmp_path / "w.pth", zipped=True)
        network = network_of("convnext_tiny")
        facts = load(network, tmp_path / "w.pth", "convnext_tiny", store=store)
        assert (facts.style, facts.changes) == ("torchvision", ("left out: head.fc",))
        gamma = network.backbone.stages[0].blocks[0].gamma
        assert torch.equal(gamma, state["features.1.0.layer_scale"].flatten())


class TestBands:
    @pytest.mark.parametrize("bands", [("red",), ("red", "green", "blue", "nir"), SENTINEL2])
    def test_the_first_layer_is_adapted_and_that_is_said(self, store, tmp_path, bands, caplog):
        state = published("resnet18", tmp_path / "w.safetensors")
        network = network_of("resnet18", bands=len(bands))
        with caplog.at_level(logging.INFO, "swath"):
            facts = load(network, tmp_path / "w.safetensors", "resnet18", bands=bands, store=store)
        assert f"first layer: 3 bands adapted to {len(bands)}" in facts.changes
        assert f"first layer: 3 bands adapted to {len(bands)}" in caplog.text
        got = network.backbone.conv1.weight
        torch.testing.assert_close(got.sum(1), state["conv1.weight"].sum(1))

    def test_bands_the_weights_know_are_taken_by_name(self, store, tmp_path):
        state = published("resnet18", tmp_path / "x.safetensors", in_chans=13)
        expects = Expectation(bands=SENTINEL2, data_type="uint16", scale=10_000, mean=(0.0,) * 13, sd=(1.0,) * 13)
        save_file(state, tmp_path / "w.safetensors", {"swath.expects": expects.model_dump_json()})
        network = network_of("resnet18")
        facts = load(network, tmp_path / "w.safetensors", "resnet18", bands=("b04", "b03", "b02"), store=store)
        assert torch.equal(network.backbone.conv1.weight, state["conv1.weight"][:, [3, 2, 1]])
        assert "first layer: b04, b03, b02 taken out of 13 bands by name" in facts.changes

    def test_other_bands_in_the_same_places_are_said(self, store, tmp_path):
        state = published("resnet18", tmp_path / "x.safetensors")
        save_file(state, tmp_path / "w.safetensors", {"swath.expects": Expectation().model_dump_json()})
        facts = load(
            network_of("resnet18"), tmp_path / "w.safetensors", "resnet18", bands=("nir", "red", "green"), store=store
        )
        assert "trained on red, green, blue, and given nir, red, green in their places" in facts.changes


class TestStrict:
    @pytest.fixture
    def state(self, tmp_path):
        return published("resnet18", tmp_path / "x.safetensors")

    def refused(self, state, tmp_path, store, name="resnet18"):
        save_file(state, tmp_path / "w.safetensors")
        network = network_of(name)
        before = {k: v.clone() for k, v in network.state_dict().items()}
        with pytest.raises(DataError) as caught:
            load(network, tmp_path / "w.safetensors", name, store=store)
        assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
        return str(caught.value)

    def test_a_missing_name_is_listed(self, state, tmp_path, store):
        del state["layer1.0.conv1.weight"]
        message = self.refused(state, tmp_path, store)
        assert "w.safetensors does not fit the network: 1 missing (backbone.layer1.0.conv1.weight)" in message

    def test_an_unexpected_name_is_listed(self, state, tmp_path, store):
        message = self.refused(state | {"extra\n.weight": torch.ones(1)}, tmp_path, store)
        assert r"1 unexpected (extra\n.weight)" in message

    def test_a_wrong_shape_is_listed_with_both(self, state, tmp_path, store):
        state["layer1.0.conv1.weight"] = torch.ones(64, 64, 5, 5)
        message = self.refused(state, tmp_path, store)
        assert (
            "1 of another shape (backbone.layer1.0.conv1.weight [64, 64, 5, 5] in place of [64, 64, 3, 3])" in message
        )
        assert "missing" not in message

    def test_a_wrong_type_is_listed(self, state, tmp_path, store):
        state["bn1.weight"] = torch.ones(64, dtype=torch.int64)
        assert "bn1.weight [64] int64 in place of [64]" in self.refused(state, tmp_path, store)

    def test_another_network_gives_counts_and_the_first_few(self, state, tmp_path, store):
        message = self.refused(state, tmp_path, store, name="mobilenet_v2")
        assert "missing (backbone.conv_stem.weight" in message
        assert "unexpected (" in message
        assert ", ...)" in message
        assert len(message) < 700

    def test_numbers_that_are_not_finite(self, state, tmp_path, store):
        state["bn1.weight"][3] = float("nan")
        assert "bn1.weight holds numbers that are not finite" in self.refused(state, tmp_path, store)

    def test_a_published_network_does_not_fit_swath_s_own(self, state, tmp_path, store):
        assert "does not fit" in self.refused(state, tmp_path, store, name="patchnet")

    def test_an_empty_file(self, tmp_path, store):
        assert "missing" in self.refused({}, tmp_path, store)


class TestRuns:
    """A run's own weights.safetensors: high resolution first, then low."""

    def run_of(self, path, name="patchnet", *, outputs=7, bands=3, **more):
        torch.manual_seed(3)
        network = build_network(Network(name=name, **more), bands=bands, outputs=outputs, size=64)
        expects = Expectation(scale=1, bands=RGB, data_type="uint8", mean=(90.0, 91.0, 92.0), sd=(20.0, 21.0, 22.0))
        metadata = weights_metadata(expects, Network(name=name, **more), license="cc-by-4.0")
        save_file({k: v.contiguous() for k, v in network.state_dict().items()}, path, metadata)
        return network

    @pytest.mark.parametrize("name", ["patchnet", "stripnet", "resnet18"])
    def test_everything_but_the_head_goes_on(self, store, tmp_path, name):
        first = self.run_of(tmp_path / "weights.safetensors", name)
        second = network_of(name, outputs=4)
        head = second.head.weight.clone()
        facts = load(second, tmp_path / "weights.safetensors", name, store=store)
        assert facts.style == "swath"
        assert "newly initialized, for its sizes differ: head" in facts.changes
        assert torch.equal(second.head.weight, head)
        for key, value in second.state_dict().items():
            assert key.startswith("head.") or torch.equal(value, first.state_dict()[key])
        assert facts.expects.normalization() == ((90.0, 91.0, 92.0), (20.0, 21.0, 22.0))
        assert facts.license == "cc-by-4.0"

    def test_a_network_that_pads_otherwise_is_another_one(self, store, tmp_path):
        self.run_of(tmp_path / "weights.safetensors", "mobilenet_v2", padding="same")
        with pytest.raises(DataError, match=r"trained with network\.padding=same.*--set network\.padding=same"):
            load(network_of("mobilenet_v2"), tmp_path / "weights.safetensors", "mobilenet_v2", store=store)
        same = network_of("mobilenet_v2", padding="same")
        load(same, tmp_path / "weights.safetensors", "mobilenet_v2", store=store)

    def test_with_the_same_classes_the_head_goes_on_too(self, store, tmp_path):
        first = self.run_of(tmp_path / "weights.safetensors", outputs=5)
        second = network_of("patchnet", outputs=5)
        facts = load(second, tmp_path / "weights.safetensors", "patchnet", store=store)
        assert facts.changes == ()
        assert facts.whole
        assert torch.equal(second.head.weight, first.head.weight)
        assert not load(
            network_of("patchnet", outputs=4), tmp_path / "weights.safetensors", "patchnet", store=store
        ).whole

    def test_a_pyramid_goes_on_without_its_head(self, store, tmp_path):
        first = self.run_of(tmp_path / "weights.safetensors", "resnet18_fpn", channels=16)
        second = network_of("resnet18_fpn", channels=16, outputs=2)
        load(second, tmp_path / "weights.safetensors", "resnet18_fpn", store=store)
        assert torch.equal(second.pyramid.laterals[0].weight, first.pyramid.laterals[0].weight)

    def test_a_plain_run_s_backbone_gets_a_pyramid(self, store, tmp_path):
        first = self.run_of(tmp_path / "weights.safetensors", "resnet18")
        second = network_of("resnet18_fpn", channels=16, outputs=2)
        load(second, tmp_path / "weights.safetensors", "resnet18_fpn", store=store)
        assert torch.equal(second.backbone.conv1.weight, first.backbone.conv1.weight)

    def test_more_bands_than_before(self, store, tmp_path):
        self.run_of(tmp_path / "weights.safetensors")
        network = network_of("patchnet", bands=4)
        facts = load(
            network, tmp_path / "weights.safetensors", "patchnet", bands=("red", "green", "blue", "nir"), store=store
        )
        assert "first layer: 3 bands adapted to 4" in facts.changes

    def test_another_width_is_refused(self, store, tmp_path):
        self.run_of(tmp_path / "weights.safetensors", stem=8)
        with pytest.raises(DataError, match=r"6 of another shape \(.*stem\.weight \[8, 3, 4, 4\] in place of \[16"):
            load(network_of("patchnet"), tmp_path / "weights.safetensors", "patchnet", store=store)


@pytest.mark.skipif(not REAL, reason="SWATH_TEST_IMAGENET names no file of real weights")
def test_the_real_imagenet_weights(store):
    network = network_of("mobilenet_v2")
    facts = load(network, REAL, "mobilenet_v2", store=store)
    facts.check_redistributable()
    assert facts.expects is not None
    assert facts.style == "timm"
    assert 0.05 < float(network.backbone.conv_stem.weight.detach().std()) < 1.0


class TestAdd:
    def test_a_file_stands_in_for_imagenet(self, store, tmp_path):
        path = tmp_path / "w.safetensors"
        path.write_bytes(save({"a": torch.ones(2)}, {"license": "mit", "normalisation": "mean 0.5 std 0.5"}))
        made = add_weights(path, name="imagenet:mobilenet_v2", store=store)
        assert (made.name, made.license) == ("imagenet:mobilenetv2_100", "mit")
        found = locate("imagenet", store=store, network="mobilenet_v2", offline=True)
        assert found.expects.mean == (0.5, 0.5, 0.5)  # the file's own word goes before the table's

    def test_what_is_stated_goes_before_what_the_file_says(self, store, tmp_path, some_weights):
        path = tmp_path / "w.safetensors"
        path.write_bytes(some_weights)
        made = add_weights(path, name="imagenet:resnet18", license="cc-by-nc-4.0", expects=["scale=1"], store=store)
        assert (made.license, made.expects.scale, made.expects.mean) == ("cc-by-nc-4.0", 1, Expectation().mean)

    def test_a_table_fills_in_the_rest_of_the_published_file(self, store, tmp_path, monkeypatch):
        path = tmp_path / "w.safetensors"
        save_file({"a": torch.ones(2)}, path)
        for module in ("load", "store"):
            monkeypatch.setattr(f"swath.weights.{module}.sha256_of", lambda _: "e3a335e3" + 56 * "0")
        made = add_weights(path, name="torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO", store=store)
        assert (made.license, made.expects.scale) == ("cc-by-4.0", 10_000)

    def test_another_file_gets_neither_the_name_nor_its_license(self, store, tmp_path):
        path = tmp_path / "w.safetensors"
        save_file({"a": torch.ones(2)}, path)
        with pytest.raises(DataError, match=r"is not the published file of torchgeo:.*not e3a335e3"):
            add_weights(path, name="torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO", store=store)
        # No digest is known of this one, so that nobody can tell whose license it has.
        assert add_weights(path, name="imagenet:resnet50", store=store).license is None

    @pytest.mark.parametrize("name", ["mine", "imagenet", "imagenet:", "none", "imagenet:patchnet", "torchgeo:x"])
    def test_other_names(self, store, tmp_path, some_weights, name):
        path = tmp_path / "w.safetensors"
        path.write_bytes(some_weights)
        with pytest.raises(SettingError):
            add_weights(path, name=name, store=store)
        assert store.entries() == []

    def test_a_file_that_is_no_weights(self, store, tmp_path):
        path = tmp_path / "w.safetensors"
        path.write_bytes(b"<html>")
        with pytest.raises(DataError, match="holds no weights that can be read"):
            add_weights(path, store=store)
        with pytest.raises(DataError, match="cannot read the weights"):
            add_weights(tmp_path / "gone.safetensors", store=store)

    @pytest.mark.parametrize("wrong", ["mean=[0.5]", "scale=-1", "color=red", "mean"])
    def test_an_expectation_that_makes_no_sense(self, store, tmp_path, some_weights, wrong):
        path = tmp_path / "w.safetensors"
        path.write_bytes(some_weights)
        with pytest.raises(SettingError):
            add_weights(path, expects=[wrong], store=store)
