"""A local file put into the store."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save, save_file

from swath.errors import DataError, SettingError
from swath.weights import Expectation, add_weights, locate


def test_a_file_stands_in_for_imagenet(store, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(save({"a": torch.ones(2)}, {"license": "mit", "normalisation": "mean 0.5 std 0.5"}))
    made = add_weights(path, name="imagenet:mobilenet_v2", store=store)
    assert (made.name, made.license) == ("imagenet:mobilenetv2_100", "mit")
    found = locate("imagenet", store=store, network="mobilenet_v2", offline=True)
    assert found.expects.mean == (0.5, 0.5, 0.5)  # the file's own word goes before the table's


def test_what_is_stated_goes_before_what_the_file_says(store, tmp_path, some_weights):
    path = tmp_path / "w.safetensors"
    path.write_bytes(some_weights)
    made = add_weights(
        path, name="imagenet:resnet18", license="cc-by-nc-4.0", expects=["scale=1"], store=store
    )
    assert (made.license, made.expects.scale, made.expects.mean) == (
        "cc-by-nc-4.0",
        1,
        Expectation().mean,
    )


def test_a_table_fills_in_the_rest_of_the_published_file(store, tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    for module in ("adding", "store"):
        monkeypatch.setattr(f"swath.weights.{module}.sha256_of", lambda _: "e3a335e3" + 56 * "0")
    made = add_weights(path, name="torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO", store=store)
    assert (made.license, made.expects.scale) == ("cc-by-4.0", 10_000)


def test_another_file_gets_neither_the_name_nor_its_license(store, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(DataError, match=r"is not the published file of torchgeo:.*not e3a335e3"):
        add_weights(path, name="torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO", store=store)
    # No digest is known of this one, so that nobody can tell whose license it has.
    assert add_weights(path, name="imagenet:resnet50", store=store).license is None


@pytest.mark.parametrize("name", ["mine", "imagenet", "imagenet:", "none", "imagenet:patchnet", "torchgeo:x"])
def test_other_names(store, tmp_path, some_weights, name):
    path = tmp_path / "w.safetensors"
    path.write_bytes(some_weights)
    with pytest.raises(SettingError):
        add_weights(path, name=name, store=store)
    assert store.entries() == []


def test_a_file_that_is_no_weights(store, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"<html>")
    with pytest.raises(DataError, match="holds no weights that can be read"):
        add_weights(path, store=store)
    with pytest.raises(DataError, match="cannot read the weights"):
        add_weights(tmp_path / "gone.safetensors", store=store)


@pytest.mark.parametrize("wrong", ["mean=[0.5]", "scale=-1", "color=red", "mean"])
def test_an_expectation_that_makes_no_sense(store, tmp_path, some_weights, wrong):
    path = tmp_path / "w.safetensors"
    path.write_bytes(some_weights)
    with pytest.raises(SettingError):
        add_weights(path, expects=[wrong], store=store)
