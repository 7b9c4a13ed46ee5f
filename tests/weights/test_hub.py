"""The hub's protocol, spoken by a real server on loopback."""

from __future__ import annotations

import pytest

from swath.errors import DataError, SettingError
from swath.weights.hub import address, authorization, card_license, look_up

from .hubserver import COMMIT, says

FILE = ("me/mine", "w.safetensors", "main")


def looked_up(*where):
    return look_up(*(where or FILE), copy="get it elsewhere", pause=0)


@pytest.fixture
def filled(hub):
    hub.files["me/mine/w.safetensors"] = b"x" * 1000
    return hub


def test_length_checksum_and_commit_are_learned_without_fetching(filled):
    found = looked_up()
    assert (found.size, len(found.sha256), found.commit) == (1000, 64, COMMIT)
    assert found.url == f"{filled.url}/me/mine/resolve/{COMMIT}/w.safetensors"
    assert [request[0] for request in filled.requests] == ["HEAD"]
    assert filled.cdn.requests == []


def test_a_repository_that_has_moved_is_followed(filled):
    filled.script = [says(307, Location="/me/mine/resolve/main/w.safetensors")]
    assert looked_up("me/old", "w.safetensors", "main").size == 1000


def test_a_repository_that_moves_in_circles_is_not_followed_for_ever(filled):
    filled.script = [says(307, Location="/me/mine/resolve/main/w.safetensors")] * 50
    with pytest.raises(DataError, match="how large"):
        looked_up()
    assert len(filled.requests) < 10


def test_a_small_file_has_no_checksum(filled):
    filled.script = [says(200, b"x" * 7, ETag='"0123456789abcdef0123456789abcdef01234567"')]
    found = looked_up()
    assert (found.size, found.sha256, found.commit) == (7, None, None)


@pytest.mark.parametrize("headers", [{}, {"X_Linked_Size": "many"}, {"X_Linked_Size": "-1"}])
def test_a_hub_that_does_not_say_how_large_is_refused(filled, headers):
    filled.script = [says(302, Location="http://127.0.0.1:9/x", **headers)]
    with pytest.raises(DataError, match="does not say how large the file is"):
        looked_up()


def test_an_empty_file_is_said_to_be_empty(filled):
    filled.files["me/mine/w.safetensors"] = b""
    with pytest.raises(DataError, match="is an empty file"):
        looked_up()


def test_a_move_to_what_is_no_address(filled):
    filled.script = [says(302, Location="http://[bad/x")]
    with pytest.raises(DataError, match="sends on to what is no address"):
        looked_up()


@pytest.mark.parametrize("wrong", ["http://[bad", "hub.example", "http://me:secret@hub.example"])
def test_a_hub_that_is_no_address(monkeypatch, wrong):
    monkeypatch.setenv("HF_ENDPOINT", wrong)
    with pytest.raises(DataError) as caught:
        looked_up()
    assert "set HF_ENDPOINT" in caught.value.fix
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_passing_troubles_are_tried_again(filled, status):
    filled.script = [says(status), says(status, Retry_After="0")]
    assert looked_up().size == 1000


def test_a_lasting_trouble_ends(filled):
    filled.script = [says(503)] * 9
    with pytest.raises(DataError, match="answers 503, 4 times in a row") as caught:
        looked_up()
    assert "get it elsewhere" in caught.value.fix
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
def test_final_answers_say_what_they_mean(filled, status, code, message):
    filled.script = [says(status, X_Error_Code=code)]
    with pytest.raises(DataError, match=message) as caught:
        looked_up()
    assert len(filled.requests) == 1
    assert caught.value.fix


def test_nobody_there(monkeypatch, hub):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"cannot reach .*Connection refused"):
        looked_up()


class TestToken:
    def test_it_goes_to_the_hub(self, filled, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        filled.script = [says(307, Location="/me/mine/resolve/main/w.safetensors")]
        looked_up()
        assert [request[3] for request in filled.requests] == ["Bearer hf_secret"] * 2

    def test_it_is_in_no_message(self, filled, monkeypatch):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        filled.script = [says(403)]
        with pytest.raises(DataError, match="the token in HF_TOKEN has no access") as caught:
            looked_up()
        assert "hf_secret" not in str(caught.value)

    @pytest.mark.parametrize(
        ("hub_address", "sent"),
        [("https://hub.example", True), ("http://hub.example", False), ("http://127.0.0.1:80", True)],
    )
    def test_it_is_not_sent_in_the_open(self, monkeypatch, hub_address, sent):
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("HF_ENDPOINT", hub_address)
        assert (authorization() is not None) == sent

    @pytest.mark.parametrize(
        "token", ["hf_secret\nhf_other", "hf_secret other", "hf_sécret", "hf_secret\x07"]
    )
    def test_what_can_be_none_is_refused_and_not_repeated(self, filled, monkeypatch, token):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SettingError, match="HF_TOKEN holds") as caught:
            looked_up()
        assert "cret" not in str(caught.value)
        assert filled.requests == []

    def test_without_one_nothing_is_sent(self, filled):
        looked_up()
        assert filled.requests[0][3] is None


class TestCard:
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
                {
                    "cardData": {
                        "license": "other",
                        "license_name": "x-terms",
                        "license_link": "https://x.example/t",
                    }
                },
                ("x-terms", "https://x.example/t"),
            ),
            ({"cardData": {"license": "other", "license_link": "file:///etc"}}, ("other", None)),
            (
                {"cardData": {"license": "\ud800x\x1b[2J", "license_link": "https://x.example/\udfff"}},
                ("?x?[2J", "https://x.example/?"),
            ),
        ],
    )
    def test_the_license_is_read(self, hub, card, expected):
        hub.cards["me/mine"] = card
        assert card_license("me/mine", "main", copy="", pause=0) == expected

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"[" * 100_000, b'{"cardData": 3}'])
    def test_nonsense_is_an_error(self, hub, body):
        hub.script = [says(200, body)]
        with pytest.raises(DataError, match="does not answer as the hub does"):
            card_license("me/mine", "main", copy="", pause=0)

    def test_a_page_without_an_end_is_cut_off(self, hub):
        hub.script = [says(200, bytes(5 * 2**20))]
        with pytest.raises(DataError, match="more than 4 MiB"):
            card_license("me/mine", "main", copy="", pause=0)


def test_odd_names_are_quoted(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
    assert address("a/b", "some folder/w #1.safetensors", "refs/pr/1") == (
        "https://hub.example/a/b/resolve/refs%2Fpr%2F1/some%20folder/w%20%231.safetensors"
    )
