"""From a specification to a verified file."""

from __future__ import annotations

import hashlib

import pytest
import torch
from safetensors.torch import save, save_file

from swath.errors import DataError, SettingError
from swath.weights import Expectation, add_weights, locate
from swath.weights import known as tables
from swath.weights.known import PublishedWeights
from swath.weights.sources import store_name
from tests.fetch.pairs import two_at_once

from .hubserver import COMMIT, breaks_after, says

SPEC = "hf:me/mine/w.safetensors"


@pytest.fixture
def filled(hub, some_weights):
    hub.files["me/mine/w.safetensors"] = some_weights
    hub.cards["me/mine"] = {"cardData": {"license": "cc-by-4.0"}}
    return hub


def find(store, spec=SPEC, **options):
    return locate(spec, store=store, pause=0, **options)


def test_fetched_once_and_verified(filled, store, some_weights):
    found = find(store)
    assert found.path.read_bytes() == some_weights
    assert found.sha256 == hashlib.sha256(some_weights).hexdigest()
    assert (found.source, found.license) == (SPEC, "cc-by-4.0")
    assert store.find(SPEC).url == f"{filled.url}/me/mine/resolve/{COMMIT}/w.safetensors"
    filled.requests.clear()
    assert find(store) == found
    assert filled.requests == []


def test_progress_counts_bytes_to_the_end(filled, store, some_weights):
    seen = []
    find(store, progress=lambda stage, done, total, note="": seen.append((stage, done, total)))
    assert seen[0] == ("download", 0, len(some_weights))
    assert seen[-1] == ("download", len(some_weights), len(some_weights))


def test_goes_on_where_the_connection_broke(filled, store, some_weights):
    filled.cdn.script = [breaks_after(100_000), breaks_after(50_000)]
    assert find(store).path.read_bytes() == some_weights
    assert [request[2] for request in filled.cdn.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_from_the_part(filled, store, some_weights):
    filled.cdn.script = [breaks_after(120_000), *[says(503)] * 3]
    with pytest.raises(DataError, match="goes on where it stopped"):
        find(store)
    assert store.entries() == []
    filled.cdn.requests.clear()
    assert find(store).path.read_bytes() == some_weights
    assert [request[2] for request in filled.cdn.requests] == ["bytes=120000-"]
    assert list((store.folder / "partial").iterdir()) == []


def test_wrong_bytes_are_never_kept(filled, store, some_weights):
    filled.cdn.script = [says(200, some_weights[:-1] + b"!")] * 3
    with pytest.raises(DataError, match=f"is not the published {SPEC}: its SHA-256 is") as caught:
        find(store)
    assert f"swath weights add FILE --as {SPEC}" in caught.value.fix
    assert [p for p in store.folder.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize("more", [b"", b"more" * 60_000])
def test_another_length_is_refused(filled, store, more):
    filled.cdn.script = [says(200, b"<html>please log in</html>" + more)] * 3
    with pytest.raises(DataError, match="bytes, not 20"):
        find(store)
    assert store.entries() == []


def test_the_token_does_not_reach_the_store_the_hub_sends_on_to(filled, store, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    find(store)
    assert {request[3] for request in filled.requests} == {"Bearer hf_secret"}
    assert [request[3] for request in filled.cdn.requests] == [None]
    texts = [p.read_bytes() for p in store.folder.rglob("*") if p.is_file()]
    assert not any(b"hf_secret" in text or b"signature" in text for text in texts)


def test_a_file_without_a_published_checksum_is_remembered_by_its_own(filled, store, some_weights):
    def plain(handler):
        handler.send(200, some_weights, ETag='"' + "a" * 40 + '"')

    def card(handler):
        handler.send(200, b"{}")

    filled.script = [plain, card, plain]
    found = find(store)
    assert found.sha256 == hashlib.sha256(some_weights).hexdigest()
    assert found.license == "mit"  # the card has none, the file itself does
    assert not found.published
    assert not find(store).published


def test_without_a_published_checksum_two_versions_are_never_joined(filled, store):
    old, new = (save({"weight": torch.full((50_000,), value)}) for value in (0.0, 1.0))
    filled.files = {"me/mine/w.safetensors": old}

    def plain(handler):
        handler.send(200, old)

    def replaced(handler):
        start = int((handler.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        where = {"Content_Range": f"bytes {start}-{len(new) - 1}/{len(new)}"} if start else {}
        handler.send(206 if start else 200, new[start:], **where)

    filled.script = [plain, says(200, b"{}"), breaks_after(120_000), replaced]
    assert find(store).path.read_bytes() == new


def test_a_page_in_place_of_a_file_is_not_kept(filled, store):
    filled.files["me/mine/w.safetensors"] = b"<html>please log in</html>"
    with pytest.raises(DataError, match="holds no weights that can be read"):
        find(store)
    assert [p for p in store.folder.rglob("*") if p.is_file()] == []


def test_two_at_once_fetch_it_once(filled, store):
    found = two_at_once(
        lambda progress: find(store, progress=progress),
        lambda handler: type(handler).proper(handler),
        filled.cdn.script,
    )
    assert found[0] == found[1]
    assert len(filled.cdn.requests) == 1
    assert list((store.folder / "partial").iterdir()) == []


def test_the_same_content_under_another_name_is_not_fetched_again(filled, store, some_weights):
    filled.files["me/copy/x.safetensors"] = some_weights
    filled.cards["me/copy"] = {"cardData": {"license": "mit"}}
    first, second = find(store), find(store, "hf:me/copy/x.safetensors")
    assert first.path == second.path
    assert (first.license, second.license) == ("cc-by-4.0", "mit")
    assert len(filled.cdn.requests) == 1


def test_a_damaged_file_in_the_store_is_not_used(filled, store):
    path = find(store).path
    path.write_bytes(b"?" + path.read_bytes()[1:])
    with pytest.raises(DataError, match="is not the file it was") as caught:
        find(store)
    assert "delete it, and fetch it again" in caught.value.fix


class TestLost:
    @pytest.fixture
    def lost(self, filled, store, tmp_path, some_weights):
        """A name of which a user stated something, and whose file is gone."""
        (tmp_path / "w.safetensors").write_bytes(some_weights)
        options = {"name": SPEC, "license": "cc-by-nc-4.0", "expects": ["scale=1"]}
        store.holds(add_weights(tmp_path / "w.safetensors", store=store, **options).sha256).unlink()
        return filled

    def test_it_is_fetched_again_and_what_was_stated_is_kept(self, lost, store, some_weights):
        for _ in range(2):
            found = find(store)
            assert found.path.read_bytes() == some_weights
            assert (found.license, found.expects.scale) == ("cc-by-nc-4.0", 1)
        assert len(lost.cdn.requests) == 1

    def test_another_file_is_refused(self, lost, store):
        lost.files["me/mine/w.safetensors"] = save({"other": torch.ones(2)})
        with pytest.raises(DataError, match=f"is not the {SPEC} that was in the store") as caught:
            find(store)
        assert f"swath weights add FILE --as {SPEC}" in caught.value.fix
        assert lost.cdn.requests == []

    def test_another_file_without_a_published_checksum_is_refused(self, lost, store, some_weights):
        def plain(handler):
            handler.send(200, some_weights[:-1] + b"!")

        lost.script = [plain] * 3
        with pytest.raises(DataError, match=f"is not the published {SPEC}: its SHA-256 is"):
            find(store)

    def test_offline_the_message_is_the_usual_one(self, lost, store):
        with pytest.raises(DataError, match="is not in the store, and SWATH_OFFLINE forbids"):
            find(store, offline=True)


class TestOffline:
    @pytest.mark.parametrize("way", ["environment", "keyword"])
    def test_nothing_is_asked_and_the_message_says_what_to_put_where(self, filled, store, monkeypatch, way):
        if way == "environment":
            monkeypatch.setenv("SWATH_OFFLINE", "1")
        with pytest.raises(
            DataError, match=f"{SPEC} is not in the store, and SWATH_OFFLINE forbids"
        ) as caught:
            find(store, offline=True if way == "keyword" else None)
        assert f"{filled.url}/me/mine/resolve/main/w.safetensors" in caught.value.fix
        assert f"swath weights add FILE --as {SPEC}" in caught.value.fix
        assert filled.requests == filled.cdn.requests == []

    def test_what_the_message_says_works(self, filled, store, tmp_path, some_weights):
        (tmp_path / "got.safetensors").write_bytes(some_weights)
        add_weights(tmp_path / "got.safetensors", name=SPEC, store=store)
        found = find(store, offline=True)
        assert found.path.read_bytes() == some_weights
        assert found.license == "mit"
        assert filled.requests == []

    def test_the_store_is_used(self, filled, store):
        found = find(store)
        filled.requests.clear()
        assert find(store, offline=True) == found
        assert filled.requests == []

    @pytest.mark.parametrize("value", ["0", "", " "])
    def test_zero_is_online(self, filled, store, monkeypatch, value):
        monkeypatch.setenv("SWATH_OFFLINE", value)
        assert find(store).source == SPEC

    def test_the_keyword_wins(self, filled, store, monkeypatch):
        monkeypatch.setenv("SWATH_OFFLINE", "1")
        assert find(store, offline=False).source == SPEC


class TestNamed:
    def test_imagenet_is_one_name_for_each_backbone(self, hub, store, some_weights):
        hub.files["timm/mobilenetv2_100.ra_in1k/model.safetensors"] = some_weights
        found = find(store, "imagenet", network="mobilenet_v2")
        assert found.source == "imagenet:mobilenetv2_100"
        assert found.license == "apache-2.0"
        assert found.expects == Expectation()
        assert not any("/api/" in request[1] for request in hub.requests)  # the table knows the license

    @pytest.mark.parametrize("network", ["resnet50", "resnet50_fpn", "timm:resnet50"])
    def test_networks_on_one_backbone_share_its_weights(self, network):
        assert store_name("imagenet", network=network) == "imagenet:resnet50"

    @pytest.mark.parametrize("backbone", ["resnet34", "mobilenetv2_100", "convnextv2_tiny"])
    def test_a_backbone_goes_by_timm_s_name_too(self, backbone):
        assert store_name("imagenet", network=backbone) == f"imagenet:{backbone}"

    def test_offline_the_message_names_what_add_takes(self, store, tmp_path, some_weights):
        with pytest.raises(DataError) as caught:
            find(store, "imagenet", network="mobilenet_v2", offline=True)
        (tmp_path / "w.safetensors").write_bytes(some_weights)
        add_weights(tmp_path / "w.safetensors", name=caught.value.fix.rpartition("--as ")[2], store=store)
        assert find(store, "imagenet", network="mobilenet_v2", offline=True).license == "mit"

    @pytest.mark.parametrize("network", [None, "patchnet", "resnet5000"])
    def test_imagenet_needs_a_network_that_has_some(self, store, network):
        with pytest.raises(SettingError, match=r"no ImageNet weights for|needs a network"):
            find(store, "imagenet", network=network)

    def test_torchgeo(self, hub, store, tmp_path, monkeypatch):
        body, digits = self.checkpoint(tmp_path)
        entry = self.entry(digits)
        monkeypatch.setitem(tables.TORCHGEO, "Tiny.MOCO", entry)
        hub.files[f"torchgeo/tiny/tiny-{digits}.pth"] = body
        found = find(store, "torchgeo:Tiny.MOCO")
        assert (found.source, found.license) == ("torchgeo:Tiny.MOCO", "cc-by-4.0")
        assert found.expects.scale == 10_000
        assert hub.requests[0][1] == f"/torchgeo/tiny/resolve/{'b' * 40}/tiny-{digits}.pth"

    def test_torchgeo_s_own_digits_are_held_to(self, hub, store, tmp_path, monkeypatch):
        body, _ = self.checkpoint(tmp_path)
        monkeypatch.setitem(tables.TORCHGEO, "Tiny.MOCO", self.entry("00000000"))
        hub.files["torchgeo/tiny/tiny-00000000.pth"] = body
        with pytest.raises(DataError, match="its SHA-256 should begin with 00000000"):
            find(store, "torchgeo:Tiny.MOCO")
        assert hub.cdn.requests == []

    def checkpoint(self, tmp_path):
        torch.save({"a": torch.ones(3)}, tmp_path / "w.pth")
        body = (tmp_path / "w.pth").read_bytes()
        return body, hashlib.sha256(body).hexdigest()[:8]

    def entry(self, digits):
        expects = tables.TORCHGEO["ResNet18_Weights.SENTINEL2_RGB_MOCO"].expects
        return PublishedWeights(
            "torchgeo/tiny", f"tiny-{digits}.pth", "b" * 40, "cc-by-4.0", expects, "resnet18", ""
        )

    def test_none_names_nothing(self, store):
        with pytest.raises(SettingError, match="names no weights"):
            find(store, "none")


class TestFile:
    def test_a_file_is_used_where_it_lies(self, store, tmp_path, some_weights):
        path = tmp_path / "mine.safetensors"
        path.write_bytes(some_weights)
        found = find(store, str(path))
        assert (found.path, found.source, found.license) == (path, "mine.safetensors", "mit")
        assert store.entries() == []

    def test_what_was_once_stated_of_its_content_is_remembered(self, store, tmp_path):
        path = tmp_path / "mine.safetensors"
        save_file({"a": torch.ones(2)}, path)
        assert find(store, str(path)).license is None
        add_weights(path, license="cc-by-nc-4.0", expects=["mean=[0.5, 0.5, 0.5]"], store=store)
        path.rename(tmp_path / "renamed.safetensors")
        found = find(store, str(tmp_path / "renamed.safetensors"))
        assert found.license == "cc-by-nc-4.0"
        assert found.expects.mean == (0.5, 0.5, 0.5)

    def test_what_was_stated_goes_before_what_another_name_says(self, filled, store):
        path = find(store).path  # its card says cc-by-4.0
        add_weights(path, license="cc-by-nc-4.0", expects=["scale=1"], store=store)
        found = find(store, str(path))
        assert (found.license, found.expects.scale) == ("cc-by-nc-4.0", 1)

    def test_what_was_stated_fills_in_what_a_name_leaves_open(self, hub, store):
        hub.files["me/mine/w.safetensors"] = save({"a": torch.ones(2)})
        hub.cards["me/mine"] = {}
        found = find(store)
        assert found.license is None
        add_weights(found.path, license="mit", expects=["scale=1"], store=store)
        found = find(store)
        assert (found.license, found.expects.scale) == ("mit", 1)


def test_proxies_are_taken_from_the_environment(filled, store, monkeypatch, some_weights):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.invalid")
    monkeypatch.setenv("http_proxy", filled.url)

    def forward(handler):
        handler.path = handler.path.removeprefix("http://hub.example.invalid")
        type(handler).proper(handler)

    def direct(handler):
        handler.send(200, some_weights)

    filled.script = [forward, forward, direct]
    assert find(store).path.read_bytes() == some_weights
    assert all(request[1].startswith("http://hub.example.invalid/") for request in filled.requests)
