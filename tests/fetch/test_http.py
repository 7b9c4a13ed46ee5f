"""One request: which failures may pass, and whom a secret reaches. Downloads are tested with data and weights."""

from __future__ import annotations

import pytest

from swath.errors import DataError
from swath.fetch import ResponseError, check_address, request
from tests.weights.hubserver import says, serving


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving() as hub:
        yield hub


def asked(url, **options):
    return request(url, copy="do it by hand", pause=0, **options)


def test_an_answer_is_read(server):
    server.script = [says(200, b"hello", X_Thing="1")]
    answer = asked(f"{server.url}/x")
    assert (answer.status, answer.body, answer.headers["X-Thing"]) == (200, b"hello", "1")


def test_redirects_are_followed_or_given_back(server):
    server.script = [says(302, Location="/y"), says(200, b"there")]
    assert asked(f"{server.url}/x").body == b"there"
    server.script = [says(302, Location="/y")]
    answer = asked(f"{server.url}/x", follow=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/y")


@pytest.mark.parametrize("where", ["same", "other"])
def test_a_secret_follows_to_the_same_host_alone(server, where):
    target = "/y" if where == "same" else f"{server.cdn.url}/y"
    server.script = [says(302, Location=target), says(200)]
    server.cdn.script = [says(200)]
    asked(f"{server.url}/x", authorization="Bearer s")
    seen = [request[3] for request in server.requests + server.cdn.requests]
    assert seen == ["Bearer s", "Bearer s" if where == "same" else None]


def test_a_secret_does_not_come_back_by_a_detour(server):
    server.script = [says(302, Location=f"{server.cdn.url}/y"), says(200)]
    server.cdn.script = [says(302, Location=f"{server.url}/z")]
    asked(f"{server.url}/x", authorization="Bearer s")
    assert [request[3] for request in server.requests] == ["Bearer s", None]


def test_a_final_answer_carries_its_headers(server):
    server.script = [says(404, X_Error_Code="EntryNotFound")]
    with pytest.raises(ResponseError, match="answers 404") as caught:
        asked(f"{server.url}/x")
    assert (caught.value.status, caught.value.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert caught.value.fix == "do it by hand"


def test_local_files_are_not_opened(tmp_path, server):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(DataError):
        asked(f"file://{tmp_path}/secret")
    server.script = [says(302, Location=f"file://{tmp_path}/secret")] * 4
    with pytest.raises(DataError):
        asked(f"{server.url}/x")


def test_waits_as_long_as_the_server_asks(server, monkeypatch):
    waits = []
    monkeypatch.setattr("swath.fetch.small.time.sleep", waits.append)
    server.script = [says(503, Retry_After="7"), says(429), says(503, Retry_After="99999"), says(200)]
    request(f"{server.url}/x", copy="", pause=1.0)
    assert waits == [7, 2, 60]


def test_an_answer_that_breaks_off_is_asked_for_again(server):
    def breaks_off(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "40")
        handler.end_headers()
        handler.wfile.write(b'{"half')
        handler.close_connection = True

    server.script = [breaks_off, says(200, b"whole")]
    assert asked(f"{server.url}/x").body == b"whole"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/a b.zip",
        "http://a b/x",
        "http://[bad/x",
        "http://127.0.0.1:port/x",
        "ftp://a/x",
        "x",
    ],
)
def test_what_is_no_address_is_not_blamed_on_the_network(server, url):
    with pytest.raises(DataError, match="is not an address that can be fetched") as caught:
        asked(url)
    assert caught.value.fix == "do it by hand"


def test_neither_is_a_redirect_to_one(server):
    server.script = [says(302, Location="http://127.0.0.1:port/x")] * 4
    with pytest.raises(DataError, match="is not an address that can be fetched"):
        asked(f"{server.url}/x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://me:secret@host/x", "http://secret@host", "http://me:secret@[bad/x"])
def test_a_password_in_an_address_is_refused_and_not_repeated(url):
    with pytest.raises(DataError, match="user name or password") as caught:
        asked(url)
    assert "secret" not in str(caught.value)


def test_an_at_sign_behind_the_host_is_no_user():
    check_address("https://host/a@b/c?d=e@f", fix="")
