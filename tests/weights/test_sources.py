"""From a specification to a verified file; the hub is a real server on loopback."""

from __future__ import annotations

import hashlib

import huggingface_hub
import pytest
import torch
from safetensors.torch import save, save_file

from swath.errors import DataError, SettingError
from swath.weights import Expectation, add_weights, locate
from swath.weights import known as tables
from swath.weights.known import PublishedWeights
from swath.weights.sources import Spec, identify, parse_spec
from tests.pairs import two_at_once

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
    with pytest.raises(DataError, match="resumes where it stopped"):
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
        handler.send(200, b'{"id": "me/mine"}')

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

    filled.script = [plain, says(200, b'{"id": "me/mine"}'), breaks_after(120_000), replaced]
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
        with pytest.raises(DataError, match="is not in the store, and the network is switched off"):
            find(store, offline=True)


class TestOffline:
    @pytest.mark.parametrize("way", ["environment", "hub's environment", "keyword"])
    def test_nothing_is_asked_and_the_message_says_what_to_put_where(self, filled, store, monkeypatch, way):
        if way == "environment":
            monkeypatch.setenv("SWATH_OFFLINE", "1")
        if way == "hub's environment":  # which its library reads once, when it is imported
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(DataError, match=f"{SPEC} is not in the store, and the network is switched off") as caught:
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

    def test_a_part_of_the_program_cannot_go_around_the_switch(self, filled, store, monkeypatch):
        monkeypatch.setenv("SWATH_OFFLINE", "1")
        with pytest.raises(DataError, match="the network is switched off"):
            find(store, offline=False)
        assert filled.requests == []


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
        assert identify("imagenet", network=network)[0] == "imagenet:resnet50"

    @pytest.mark.parametrize("backbone", ["resnet34", "mobilenetv2_100", "convnextv2_tiny"])
    def test_a_backbone_goes_by_timm_s_name_too(self, backbone):
        assert identify("imagenet", network=backbone)[0] == f"imagenet:{backbone}"

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
        return PublishedWeights("torchgeo/tiny", f"tiny-{digits}.pth", "b" * 40, "cc-by-4.0", expects, "resnet18", "")

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
    huggingface_hub.close_session()

    def forward(handler):
        handler.path = handler.path.removeprefix("http://hub.example.invalid")
        type(handler).proper(handler)

    def direct(handler):
        handler.send(200, some_weights)

    filled.script = [forward, forward, direct]
    assert find(store).path.read_bytes() == some_weights
    assert all(request[1].startswith("http://hub.example.invalid/") for request in filled.requests)


class TestHub:
    def test_length_checksum_and_commit_are_learned_without_fetching(self, filled, store):
        find(store)
        commands = [request[0] for request in filled.requests]
        paths = [request[1] for request in filled.requests]
        assert commands == ["HEAD", "GET", "GET"]
        assert paths == [
            "/me/mine/resolve/main/w.safetensors",
            "/api/models/me/mine/revision/main",
            f"/me/mine/resolve/{COMMIT}/w.safetensors",
        ]

    def test_it_is_told_nothing_of_the_machine(self, filled, store):
        find(store)
        assert not any("torch" in request[4] for request in filled.requests + filled.cdn.requests)

    def test_a_repository_that_has_moved_is_followed(self, filled, store, some_weights, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        filled.moved["me/old"] = "me/mine"
        filled.cards["me/old"] = filled.cards["me/mine"]
        assert find(store, "hf:me/old/w.safetensors").path.read_bytes() == some_weights
        assert {request[3] for request in filled.requests} == {"Bearer hf_secret"}

    def test_one_that_moves_in_circles_is_not_followed_for_ever(self, filled, store):
        filled.moved |= {"me/old": "me/new", "me/new": "me/old"}
        with pytest.raises(DataError):
            find(store, "hf:me/old/w.safetensors")

    @pytest.mark.parametrize(
        "headers", [{}, {"X_Linked_Size": "many"}, {"X_Linked_Size": "-1"}, {"X_Linked_Size": "0"}]
    )
    def test_a_hub_that_does_not_say_how_large_is_refused(self, filled, store, headers):
        filled.script = [says(302, Location="http://127.0.0.1:9/x", **headers)]
        with pytest.raises(DataError, match="does not say how large it is"):
            find(store)

    def test_a_move_to_what_is_no_address(self, filled, store):
        filled.script = [says(302, Location="http://[bad/x")] * 4
        with pytest.raises(DataError):
            find(store)
        assert store.entries() == []

    @pytest.mark.parametrize("wrong", ["http://[bad", "hub.example", "http://me:secret@hub.example"])
    def test_a_hub_that_is_no_address(self, store, monkeypatch, wrong):
        monkeypatch.setenv("HF_ENDPOINT", wrong)
        with pytest.raises(DataError) as caught:
            find(store)
        assert "set HF_ENDPOINT" in caught.value.fix
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_transient_troubles_are_tried_again(self, filled, store, status):
        filled.script = [says(status), says(status, Retry_After="0")]
        assert find(store).source == SPEC

    def test_a_lasting_trouble_ends(self, filled, store):
        filled.script = [says(503)] * 9
        with pytest.raises(DataError, match="answers 503, 4 times in a row") as caught:
            find(store)
        assert "swath weights add FILE" in caught.value.fix
        assert len(filled.requests) == 4

    @pytest.mark.parametrize(
        ("status", "code", "message"),
        [
            (401, "", "private, gated or not there"),
            (403, "GatedRepo", "private, gated or not there"),
            (404, "EntryNotFound", "no such file"),
            (404, "RevisionNotFound", "no such revision"),
            (404, "RepoNotFound", "no such repository"),
            (404, "", "no such repository, revision or file"),
            (410, "", "answers 410"),
        ],
    )
    def test_final_answers_say_what_they_mean(self, filled, store, status, code, message):
        filled.script = [says(status, X_Error_Code=code)]
        with pytest.raises(DataError, match=message) as caught:
            find(store)
        assert len(filled.requests) == 1
        assert caught.value.fix
        assert "\n" not in str(caught.value)

    def test_nobody_there(self, hub, store, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(DataError, match=r"cannot reach .*Connection refused"):
            find(store)

    def test_odd_names_are_quoted(self, store, monkeypatch):
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
        with pytest.raises(DataError) as caught:
            find(store, "hf:a/b/some folder/w #1.safetensors@refs/pr/1", offline=True)
        address = "https://hub.example/a/b/resolve/refs%2Fpr%2F1/some%20folder/w%20%231.safetensors"
        assert address in caught.value.fix


class TestToken:
    def test_it_is_in_no_message(self, filled, store, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        filled.script = [says(403)]
        with pytest.raises(DataError, match="the token has no access") as caught:
            find(store)
        assert "hf_secret" not in str(caught.value)
        assert "HF_TOKEN" in caught.value.fix

    def test_it_is_not_sent_in_the_open(self, filled, store, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("HF_ENDPOINT", "http://hub.example.invalid")
        monkeypatch.setenv("http_proxy", filled.url)
        huggingface_hub.close_session()
        filled.script = [says(404)]
        with pytest.raises(DataError):
            find(store)
        assert [request[3] for request in filled.requests] == [None]

    @pytest.mark.parametrize("token", ["hf_secret\nhf_other", "hf_secret other", "hf_sécret", "hf_secret\x07"])
    def test_what_can_be_none_is_refused_and_not_repeated(self, filled, store, monkeypatch, token):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SettingError, match="HF_TOKEN holds") as caught:
            find(store)
        assert "cret" not in str(caught.value)
        assert filled.requests == []

    def test_the_one_of_a_login_is_used(self, filled, store, monkeypatch, tmp_path):
        (tmp_path / "token").write_text("hf_stored")
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
        find(store)
        assert {request[3] for request in filled.requests} == {"Bearer hf_stored"}

    def test_without_one_nothing_is_sent(self, filled, store):
        find(store)
        assert {request[3] for request in filled.requests} == {None}


class TestCard:
    @pytest.fixture
    def bare(self, hub):
        """A file that says nothing of its license."""
        hub.files["me/mine/w.safetensors"] = save({"a": torch.ones(2)})
        return hub

    @pytest.mark.parametrize(
        ("card", "expected"),
        [
            ({"cardData": {"license": "apache-2.0"}}, ("apache-2.0", None)),
            ({"cardData": {"license": ["mit"]}}, ("mit", None)),
            ({"cardData": {"license": ["mit", "cc0-1.0"]}}, ("several: mit, cc0-1.0", None)),
            ({"tags": ["timm", "license:mit"]}, ("mit", None)),
            ({"cardData": None, "tags": None}, (None, None)),
            ({}, (None, None)),
            (
                {"cardData": {"license": "other", "license_name": "x-terms", "license_link": "https://x.example/t"}},
                ("x-terms", "https://x.example/t"),
            ),
            ({"cardData": {"license": "other", "license_link": "file:///etc"}}, ("other", None)),
            (
                {"cardData": {"license": "\ud800x\x1b[2J", "license_link": "https://x.example/\udfff"}},
                ("?x?[2J", "https://x.example/?"),
            ),
        ],
    )
    def test_the_license_is_read(self, bare, store, card, expected):
        bare.cards["me/mine"] = card
        found = find(store)
        assert (found.license, found.license_url) == expected

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"[" * 100_000, b'{"cardData": 3}'])
    def test_nonsense_is_an_error(self, bare, store, body):
        bare.script = [type(self).proper, says(200, body)]
        with pytest.raises(DataError, match="does not answer as the hub does"):
            find(store)

    @staticmethod
    def proper(handler):
        type(handler).proper(handler)


class TestSpec:
    def test_all_forms(self, tmp_path):
        file = tmp_path / "imagenet.safetensors"
        file.touch()
        assert parse_spec("none").kind == "none"
        assert parse_spec("imagenet").kind == "imagenet"
        assert parse_spec(str(file)) == Spec("file", str(file))
        assert parse_spec("torchgeo:A.B") == Spec("torchgeo", "A.B")
        plain = parse_spec("hf:timm/resnet50.a1_in1k/model.safetensors")
        assert (plain.repository, plain.filename, plain.revision) == (
            "timm/resnet50.a1_in1k", "model.safetensors", "main",
        )  # fmt: skip
        deep = parse_spec("hf:me/mine/some folder/w.safetensors@refs/pr/1")
        assert (deep.filename, deep.revision) == ("some folder/w.safetensors", "refs/pr/1")

    @pytest.mark.parametrize(
        "text", ["hf:", "hf:timm", "hf:timm/resnet50", "hf:a/b/../../c.safetensors", "hf:a/b/", "hf:../b/c.safetensors",
                 "hf:a/b//c.safetensors", "hf:a/b/c.safetensors@..", "hf:a/b/c.safetensors@", "hf:a?x/b/c.safetensors",
                 "hf:a--b/c/d.safetensors"]
    )  # fmt: skip
    def test_names_that_are_none(self, text):
        with pytest.raises(SettingError, match="not of the form hf:OWNER/NAME/FILE"):
            parse_spec(text)

    @pytest.mark.parametrize("suffix", [".bin", ".pth", ".pt", ".ckpt", ".PTH", ".pkl"])
    def test_pickles_on_the_hub_are_refused_with_a_way_to_convert(self, suffix):
        with pytest.raises(SettingError, match="a pickle can run anything") as caught:
            parse_spec(f"hf:a/b/weights{suffix}")
        assert "save_file" in caught.value.fix

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("imagnet", "no file of weights 'imagnet'"),
            ("", "are none of"),
            ("https://example.invalid/x.safetensors", "are none of"),
            ("timm:resnet50", "are none of"),
            ("hf:a/b/config.json", "no .safetensors file"),
        ],
    )
    def test_anything_else(self, text, message):
        with pytest.raises(SettingError, match=message):
            parse_spec(text)

    def test_a_folder_is_no_file(self, tmp_path):
        with pytest.raises(SettingError, match="no file of weights"):
            parse_spec(str(tmp_path))
