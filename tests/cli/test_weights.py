"""``swath weights`` from the outside."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from swath.cli import app
from swath.errors import SwathError
from tests.weights.hubserver import says, serving


@pytest.fixture
def file(tmp_path):
    save_file({"a": torch.ones(3)}, tmp_path / "mine.safetensors")
    return tmp_path / "mine.safetensors"


@pytest.fixture(autouse=True)
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    for name in ("HF_TOKEN", "SWATH_OFFLINE", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments):
    result = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result


def test_list_shows_what_is_known_and_what_is_there(file):
    empty = run("list").stdout
    assert "is empty" in empty
    assert "imagenet, for mobilenetv2_100" in empty
    assert "torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO" in empty
    run("add", file, "--as", "imagenet:mobilenet_v2", "--license", "apache-2.0")
    assert "imagenet:mobilenetv2_100\n" in run("list").stdout.split("known by name")[0]


def test_add_says_what_is_not_known(file):
    result = run("add", file)
    assert "license unknown" in result.stdout
    assert "the input the network expects is not known" in result.stderr
    assert "cannot be shipped" in result.stderr
    stated = run("add", file, "--license", "mit", "--set", "mean=[0.5,0.5,0.5]", "--set", "sd=[0.5,0.5,0.5]")
    assert stated.stderr == "next: swath weights list\n"


def test_get_fetches_and_then_verifies(monkeypatch, file):
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.files["me/mine/w.safetensors"] = file.read_bytes()
        hub.cards["me/mine"] = {"cardData": {"license": "cc-by-nc-4.0"}}
        result = run("get", "hf:me/mine/w.safetensors")
        assert "checksum verified, cc-by-nc-4.0" in result.stdout
        assert "forbids commercial use" in result.stderr
    monkeypatch.setenv("SWATH_OFFLINE", "1")
    assert "checksum verified" in run("get", "hf:me/mine/w.safetensors").stdout


def test_get_says_where_no_checksum_is_published(monkeypatch, file):
    body = file.read_bytes()
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.script = [says(200, body), says(200, b'{"id": "me/mine"}'), says(200, body)]
        assert "checksum not published" in run("get", "hf:me/mine/w.safetensors").stdout


def test_get_does_not_take_a_file(file):
    with pytest.raises(SwathError, match=f"is a file already; .* swath weights add {file}"):
        run("get", file)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["get", "imagenet"], "imagenet needs a network"),
        (["get", "imagenet", "--network", "patchnet"], "no ImageNet weights for 'patchnet'"),
        (["get", "torchgeo:ResNet18"], "not known here"),
        (["get", "hf:a/b/c.bin"], "a pickle can run anything"),
        (["add", "gone.safetensors"], "cannot read the weights gone.safetensors"),
    ],
)
def test_mistakes_are_one_message(arguments, message):
    with pytest.raises(SwathError, match=message):
        run(*arguments)
