"""What is remembered of weights, and what a run writes into its own."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from swath.errors import SettingError
from swath.networks import Network
from swath.weights import OWN, Expectation, WeightFacts, license_warning, weights_metadata
from swath.weights.facts import expects_of, license_kind, license_of, network_of


def facts(license, source="hf:a/b/c.safetensors"):
    return WeightFacts(source=source, license=license, network="resnet18", style="timm", sha256="0" * 64)


def test_random_weights_can_always_be_shipped():
    none = WeightFacts(source="none", network="patchnet")
    none.check_redistributable()
    assert (none.pretrained, none.warning, none.license_kind) == (False, None, "open")


def test_an_open_license_can_be_shipped():
    facts("apache-2.0").check_redistributable()
    assert facts("apache-2.0").warning is None


def test_a_closed_one_cannot_and_says_so():
    with pytest.raises(SettingError, match=r"license \(cc-by-nc-4.0\) of the weights hf:a/b/c.safetensors") as caught:
        facts("cc-by-nc-4.0").check_redistributable()
    assert "leave out --require-redistributable" in caught.value.fix


def test_an_unknown_one_cannot_and_says_how_to_state_it():
    with pytest.raises(SettingError, match="is not known") as caught:
        facts(None).check_redistributable()
    assert "swath weights add FILE --license" in caught.value.fix
    assert "swath weights get" in caught.value.fix


def test_facts_survive_json():
    made = WeightFacts(
        source="x", network="n", expects=Expectation(), license="mit", sha256="1" * 64, changes=("a", "b")
    )
    assert WeightFacts.model_validate_json(made.model_dump_json()) == made


def test_a_run_s_metadata_is_read_back_from_its_file(tmp_path):
    network, expects = Network(name="resnet18"), Expectation(mean=(0.1, 0.2, 0.3))
    made = weights_metadata(expects, network, license="cc-by-4.0")
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", made)
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        metadata = file.metadata()
    assert expects_of(metadata, where="w") == expects
    assert network_of(metadata, where="w") == network
    assert license_of(metadata) == "cc-by-4.0"
    assert license_of(weights_metadata(expects, network)) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"scale": -1}', '{"nonsense": 1}', "[" * 5000])
def test_damaged_metadata_is_an_error(text):
    with pytest.raises(SettingError, match="file x"):
        expects_of({"swath.expects": text}, where="file x")
    with pytest.raises(SettingError, match="file x"):
        network_of({"swath.network": text.replace("scale", "stem")}, where="file x")


def test_no_metadata_is_none():
    assert expects_of({}, where="x") is None
    assert network_of({}, where="x") is None


def test_a_stated_normalization_is_read():
    assert expects_of({"normalisation": "mean 0.5 std 0.5"}, where="x").mean == (0.5, 0.5, 0.5)
    three = expects_of({"normalisation": "mean 0.485, 0.456,0.406 sd 0.229,0.224,0.225"}, where="x")
    assert (three.mean, three.sd, three.scale) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 255)


@pytest.mark.parametrize(
    "text", ["", "imagenet", "mean 0.5", "mean 0.5 std 0", "mean . std .", "mean 1,2 std 1", "mean 0.5 std 0.5 or so"]
)
def test_anything_else_is_not_guessed_at(text):
    assert expects_of({"normalisation": text}, where="x") is None
    assert expects_of({}, where="x") is None


def test_licenses_in_either_spelling():
    assert license_of({"license": "mit"}) == license_of({"licence": "mit"}) == "mit"
    assert license_of({}) is None


@pytest.mark.parametrize(
    "license",
    ["apache-2.0", "Apache-2.0", "MIT", "bsd-3-clause", "CC-BY-4.0", "cc-by-sa-4.0", "CC0-1.0", "GPL-3.0-only",
     "LGPL-2.1-or-later", " mit ", "cc by 4.0", OWN],
)  # fmt: skip
def test_open_licenses_allow_shipping(license):
    assert license_kind(license) == "open"
    assert license_warning(license, "x") is None


@pytest.mark.parametrize(
    ("license", "kind", "reason"),
    [
        ("cc-by-nc-4.0", "non-commercial", "forbids commercial use"),
        ("CC-BY-NC-SA-4.0", "non-commercial", "forbids commercial use"),
        ("CC-BY-NC", "non-commercial", "forbids commercial use"),
        ("Creative Commons Attribution-NonCommercial 4.0", "non-commercial", "forbids commercial use"),
        ("research only", "non-commercial", "forbids commercial use"),
        ("cc-by-nd-4.0", "no-derivatives", "anything derived"),
        ("CC-BY-NC-ND-4.0", "no-derivatives", "anything derived"),
        ("other", "custom", "terms of its own"),
        ("dinov3-license", "custom", "terms of its own"),
        ("openrail", "custom", "terms of its own"),
        ("several: mit, cc0-1.0", "custom", "terms of its own"),
        ("OlmoEarth Artifact License", "custom", "terms of its own"),
        (None, "unknown", "is not known"),
        ("", "unknown", "is not known"),
        ("unknown", "unknown", "is not known"),
        ("-", "unknown", "is not known"),
    ],
)
def test_all_others_do_not(license, kind, reason):
    assert license_kind(license) == kind
    warning = license_warning(license, "hf:a/b/c")
    assert reason in warning
    assert "hf:a/b/c" in warning
    assert "cannot be shipped" in warning
