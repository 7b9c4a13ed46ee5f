"""Weights as training programs leave them: prefixes, containers, copies, and what is no file of weights at all."""

from __future__ import annotations

import gzip
import json
import logging
import pickle

import pytest
import torch
from torch import nn

from swath.contents import SNIFFED_BYTES, mistaken_content
from swath.errors import DataError, ModelFileError, SettingError
from swath.model import read_model
from swath.networks import Network, build_network
from swath.weights import load_weights
from swath.weights.tensors import read_tensors

SMALL = Network(name="patchnet", stem=4, widths=(4, 8))


def small(seed=0):
    torch.manual_seed(seed)
    return build_network(SMALL, bands=3, outputs=2, size=32)


def values(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def prefixed(front, tensors):
    return {f"{front}{name}": tensor for name, tensor in tensors.items()}


def load(path, store, *, network=None, name="patchnet"):
    network = network or small(9)
    facts = load_weights(network, str(path), network_name=name, bands=("red", "green", "blue"), store=store)
    return values(network), facts


def assert_same(got, wanted):
    assert set(got) == set(wanted)
    assert all(torch.equal(got[name], wanted[name]) for name in wanted if not name.endswith("num_batches_tracked"))


FRONTS = ["module.", "model.", "_orig_mod.", "encoder.", "backbone_net.", "net.", "student.", "teacher."]
FRONTS += ["module._orig_mod.", "model.module.encoder.", "anything.at.all.", "_orig_mod.module."]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("others", [{}, {"fc.weight": torch.ones(7, 3), "loss.scale": torch.tensor(1.0)}], ids=str)
def test_whatever_names_begin_with_is_taken_off(front, others, tmp_path, store, caplog):
    wanted = values(small(1))
    torch.save(prefixed(front, wanted) | others, tmp_path / "w.pth")
    got, facts = load(tmp_path / "w.pth", store)
    assert_same(got, wanted)
    assert f"'{front.replace('._orig_mod.', '.')}'" in " ".join(facts.changes)
    if others:
        assert "left out: 2 tensors" in " ".join(facts.changes)
        assert "fc.weight" in " ".join(facts.changes)


def test_wrappers_within_names_are_taken_off(tmp_path, store):
    wanted = values(small(1))
    torch.save({name.replace(".", "._orig_mod.", 1): value for name, value in wanted.items()}, tmp_path / "w.pth")
    assert_same(load(tmp_path / "w.pth", store)[0], wanted)


@pytest.mark.parametrize("front", ["", "module.", "backbone.", "model.backbone.", "encoder.resnet."])
@pytest.mark.parametrize(
    "head", [{}, {"fc.weight": torch.ones(1000, 512), "fc.bias": torch.ones(1000)}], ids=["", "fc"]
)
def test_a_published_network_under_any_front(front, head, tmp_path, store):
    made = build_network(Network(name="resnet18"), bands=3, outputs=2, size=64)
    wanted = {k.removeprefix("backbone."): v.clone() + 1 for k, v in values(made).items() if k.startswith("backbone.")}
    torch.save({"state_dict": prefixed(front, wanted | head), "epoch": 3}, tmp_path / "w.pth")
    got, _ = load(tmp_path / "w.pth", store, network=made, name="resnet18")
    assert_same({k: v for k, v in got.items() if k.startswith("backbone.")}, prefixed("backbone.", wanted))


def test_a_head_of_other_names_beside_a_backbone_is_left_out(tmp_path, store):
    made = build_network(Network(name="resnet18"), bands=3, outputs=2, size=64)
    wanted = {k: v.clone() + 1 for k, v in values(made).items() if k.startswith("backbone.")}
    torch.save(wanted | {"projector.0.weight": torch.ones(9, 512)}, tmp_path / "w.pth")
    got, facts = load(tmp_path / "w.pth", store, network=made, name="resnet18")
    assert_same({k: v for k, v in got.items() if k.startswith("backbone.")}, wanted)
    assert "projector.0.weight" in " ".join(facts.changes)


CONTAINERS = ["state_dict", "model_state_dict", "model", "network", "params", "weights", "ema", "model_ema", "my_net"]


@pytest.mark.parametrize("places", [[name] for name in CONTAINERS] + [["model", "network"], ["checkpoint", "a", "b"]])
def test_containers(places, tmp_path, store):
    wanted = values(small(1))
    held = wanted
    for place in reversed(places):
        held = {place: held, "epoch": 3, "best": 0.5}
    network = small()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(2, 3, 32, 32)).logits.sum().backward()
    optimizer.step()
    held |= {"optimizer": optimizer.state_dict(), "lr_schedulers": [{"last": 1}], "pytorch-lightning_version": "2"}
    torch.save(held, tmp_path / "w.ckpt")
    got, facts = load(tmp_path / "w.ckpt", store)
    assert_same(got, wanted)
    assert facts.changes == ()


@pytest.mark.parametrize(
    ("main", "averaged"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "ema"),
        ("model", "model_ema"),
        ("model_state_dict", "ema_state_dict"),
        ("params", "params_ema"),
        ("student", "teacher"),
    ],
)
def test_a_running_average_is_taken_and_said_and_the_other_can_be_chosen(main, averaged, tmp_path, store, caplog):
    plain, mean = values(small(1)), values(small(2))
    torch.save({main: prefixed("module.", plain), averaged: prefixed("module.", mean)}, tmp_path / "w.pth")
    with caplog.at_level(logging.WARNING, logger="swath"):
        got, facts = load(tmp_path / "w.pth", store)
    assert_same(got, mean)
    assert any(averaged in change and f"w.pth#{main}" in change for change in facts.changes)
    assert f"took the running average of the weights at '{averaged}'" in caplog.text
    assert_same(load(f"{tmp_path / 'w.pth'}#{main}", store)[0], plain)
    assert_same(load(f"{tmp_path / 'w.pth'}#{main}.module", store)[0], plain)


@pytest.mark.parametrize(("one", "two", "taken"), [("student", "teacher", 2), ("net", "ema_net", 1), ("q", "k", 1)])
def test_copies_under_prefixes_are_told_apart(one, two, taken, tmp_path, store):
    copies = {one: values(small(1)), two: values(small(2))}
    torch.save(prefixed(f"{one}.", copies[one]) | prefixed(f"{two}.", copies[two]), tmp_path / "w.pth")
    got, facts = load(tmp_path / "w.pth", store)
    first = two if taken == 2 or "ema" in two else one
    assert_same(got, copies[first])
    other = one if first == two else two
    assert any(f"w.pth#{other}" in change for change in facts.changes)
    assert_same(load(f"{tmp_path / 'w.pth'}#{other}", store)[0], copies[other])


def test_several_networks_without_a_sign_are_asked_about(tmp_path, store):
    held = {"generator": values(small(1)), "discriminator": values(small(2))}
    torch.save(held, tmp_path / "w.pth")
    with pytest.raises(DataError, match="several state dicts: generator, discriminator") as caught:
        load(tmp_path / "w.pth", store)
    assert "w.pth#generator" in caught.value.fix
    assert_same(load(f"{tmp_path / 'w.pth'}#discriminator", store)[0], held["discriminator"])
    with pytest.raises(DataError, match="no state dict at 'other'"):
        load(f"{tmp_path / 'w.pth'}#other", store)
    with pytest.raises(SettingError, match="no file of weights"):
        load(f"{tmp_path / 'no.pth'}#other", store)


def test_part_of_a_network_is_still_refused(tmp_path, store):
    wanted = dict(list(values(small(1)).items())[:-4])
    torch.save(prefixed("module.", wanted), tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"does not fit the network: .* missing"):
        load(tmp_path / "w.pth", store)


def test_a_whole_network_is_refused_with_the_way_on(tmp_path):
    torch.save(nn.Sequential(nn.Linear(2, 2)), tmp_path / "w.pth")
    with pytest.raises(
        DataError, match=r"an object of torch\.nn\.modules\.\w+\.\w+, perhaps a whole network"
    ) as caught:
        read_tensors(tmp_path / "w.pth")
    assert "model.state_dict()" in caught.value.fix
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "s.pt"))
    with pytest.raises(DataError, match="is a TorchScript program") as caught:
        read_tensors(tmp_path / "s.pt")
    assert "state_dict()" in caught.value.fix


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n"
MISTAKEN = {
    "empty": (b"", "is an empty file"),
    "lfs": (LFS, "is a Git LFS pointer"),
    "lfs with CRLF": (LFS.replace(b"\n", b"\r\n"), "is a Git LFS pointer"),
    "lfs with a byte order mark": (b"\xef\xbb\xbf" + LFS, "is a Git LFS pointer"),
    "annex": (b"/annex/objects/SHA256E-s1--abc.onnx\n", "is a git-annex pointer"),
    "dvc": (b"outs:\n- md5: abc\n  path: m.onnx\n", "is a DVC pointer"),
    "page": (b"\n  <!DOCTYPE html><html><head></head>Sign in</html>", "is a web page"),
    "short page": (b"<html></html>", "is a web page"),
    "page as XHTML": (b'<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html>', "is a web page"),
    "page in UTF-16": ("<html>é</html>".encode("utf-16"), "is a web page"),
    "long page": (b"<html>" + "é".encode() * SNIFFED_BYTES, "is a web page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is XML text .*AccessDenied"),
    "JSON": (b'{"error": "Repository not found"}', "is JSON text .*Repository not found"),
    "text": (b"Not Found", "is text: Not Found"),
    "gzip": (gzip.compress(b"x" * 500), "is packed with gzip"),
    "xz": (b"\xfd7zXZ\x00" + bytes(99), "is packed with xz"),
    "tar": (b"w.pth".ljust(257, b"\0") + b"ustar\0" + bytes(300), "is a tar archive"),
}


@pytest.mark.parametrize("kind", MISTAKEN)
def test_files_are_named_as_what_they_are(kind, tmp_path):
    content, says = MISTAKEN[kind]
    for suffix in ("pth", "safetensors", "bin"):
        (tmp_path / f"w.{suffix}").write_bytes(content)
        with pytest.raises(DataError, match=says) as caught:
            read_tensors(tmp_path / f"w.{suffix}")
        assert "\n" not in str(caught.value)
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelFileError, match=says) as caught:
        read_model(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    if "lfs" in kind:
        assert "git lfs pull" in caught.value.fix


def test_files_of_numbers_are_not_mistaken(tmp_path):
    torch.save(values(small(1)), tmp_path / "w.pth")
    assert mistaken_content((tmp_path / "w.pth").read_bytes()[:SNIFFED_BYTES]) is None
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    assert mistaken_content(len(header).to_bytes(8, "little") + header + bytes(4)) is None
    assert mistaken_content(read_model("eurosat").graph.SerializeToString()[:SNIFFED_BYTES]) is None


def test_a_cut_checkpoint_and_other_archives_are_named(tmp_path):
    torch.save(values(small(1)), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="is cut short"):
        read_tensors(tmp_path / "cut.pth")
    (tmp_path / "w.onnx").write_bytes(whole)
    with pytest.raises(ModelFileError, match="is a zip archive, as torch checkpoints are too"):
        read_model(tmp_path / "w.onnx")


def test_pickles_of_other_programs_and_model_files_are_named(tmp_path):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": [1.0]}, protocol=4))
    with pytest.raises(DataError, match="is a pickle of another kind than torch's"):
        read_tensors(tmp_path / "w.pkl")
    (tmp_path / "m.onnx").write_bytes(read_model("eurosat").graph.SerializeToString())
    with pytest.raises(DataError, match="is a model file, not weights") as caught:
        read_tensors(tmp_path / "m.onnx")
    assert "weights.safetensors" in caught.value.fix


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580, 0x8B18])
def test_a_header_whose_length_looks_like_another_format(length, tmp_path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(length)
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert read_tensors(tmp_path / "w.safetensors").tensors["a"].tolist() == [0]
