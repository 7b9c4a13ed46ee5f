"""Whom a token reaches, which addresses are refused, and one download of a file at a time.

How downloads are resumed and tried again is tested with data and weights.
"""

from __future__ import annotations

import threading

import pytest

from swath.errors import DataError, OutputError
from swath.fetch import RemoteFile, check_address, download_lock, fetch
from tests.weights.hubserver import says, serving


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving() as hub:
        yield hub


def fetched(url, part, *, size=5, token=None):
    remote = RemoteFile("it", (url,), size=size, sha256=None, copy="do it by hand", token=token)
    fetch(remote, part, pause=0)
    return part.read_bytes()


class TestToken:
    @pytest.mark.parametrize("where", ["same", "other"])
    def test_it_follows_to_the_same_host_alone(self, server, tmp_path, where):
        target = "/y" if where == "same" else f"{server.cdn.url}/y"
        server.script = [says(302, Location=target), says(200, b"there")]
        server.cdn.script = [says(200, b"there")]
        assert fetched(f"{server.url}/x", tmp_path / "part", token="s") == b"there"
        seen = [request[3] for request in server.requests + server.cdn.requests]
        assert seen == ["Bearer s", "Bearer s" if where == "same" else None]

    def test_it_does_not_come_back_by_a_detour(self, server, tmp_path):
        server.script = [says(302, Location=f"{server.cdn.url}/y"), says(200, b"there")]
        server.cdn.script = [says(302, Location=f"{server.url}/z")]
        fetched(f"{server.url}/x", tmp_path / "part", token="s")
        assert [request[3] for request in server.requests] == ["Bearer s", None]

    def test_it_is_not_printed(self):
        assert "hf_secret" not in repr(RemoteFile("it", ("http://x",), 1, None, copy="", token="hf_secret"))

    def test_it_is_sent_again_with_each_attempt(self, server, tmp_path):
        server.script = [says(503), says(200, b"there")]
        fetched(f"{server.url}/x", tmp_path / "part", token="s")
        assert [request[3] for request in server.requests] == ["Bearer s"] * 2


class TestAddress:
    def test_local_files_are_not_opened(self, tmp_path, server):
        (tmp_path / "file").write_text("local")
        with pytest.raises(DataError):
            fetched(f"file://{tmp_path}/file", tmp_path / "part")
        server.script = [says(302, Location=f"file://{tmp_path}/file")] * 4
        with pytest.raises(DataError):
            fetched(f"{server.url}/x", tmp_path / "part")
        assert not (tmp_path / "part").exists()

    @pytest.mark.parametrize(
        "url",
        ["http://127.0.0.1:9/a b.zip", "http://a b/x", "http://[bad/x", "http://127.0.0.1:port/x", "ftp://a/x", "x"],
    )
    def test_what_is_none_is_not_blamed_on_the_network(self, tmp_path, url):
        with pytest.raises(DataError, match="is not an address") as caught:
            fetched(url, tmp_path / "part")
        assert caught.value.fix == "do it by hand"

    def test_neither_is_a_redirect_to_one(self, server, tmp_path):
        server.script = [says(302, Location="http://127.0.0.1:port/x")] * 4
        with pytest.raises(DataError, match="is not an address"):
            fetched(f"{server.url}/x", tmp_path / "part")
        assert len(server.requests) == 1

    @pytest.mark.parametrize("url", ["http://me:secret@host/x", "http://secret@host", "http://me:secret@[bad/x"])
    def test_a_password_is_refused_and_not_repeated(self, url):
        with pytest.raises(DataError, match="user name or password") as caught:
            check_address(url, fix="")
        assert "secret" not in str(caught.value)

    def test_an_at_sign_behind_the_host_is_no_user(self):
        check_address("https://host/a@b/c?d=e@f", fix="")


class TestLock:
    def test_the_second_waits_for_the_first_and_nothing_is_left(self, tmp_path):
        part, order, waiting = tmp_path / "x.part", [], threading.Event()

        def second():
            def progress(*arguments, note=""):
                order.append((*arguments, note))
                waiting.set()

            with download_lock(part, size=7, progress=progress):
                order.append("second")

        with download_lock(part, size=7):
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(10)
            order.append("first")
        thread.join(10)
        assert order[0][:3] == ("download", 0, 7)
        assert "waiting" in order[0][3]
        assert order[1:] == ["first", "second"]
        assert list(tmp_path.iterdir()) == []

    def test_many_take_turns(self, tmp_path):
        inside, most = [], []

        def one():
            for _ in range(5):
                with download_lock(tmp_path / "x.part", size=1):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert (len(most), max(most)) == (20, 1)

    def test_an_error_inside_lets_go(self, tmp_path):
        with pytest.raises(KeyError), download_lock(tmp_path / "x.part", size=1):
            raise KeyError
        with download_lock(tmp_path / "x.part", size=1):
            pass
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OutputError), download_lock(tmp_path / "file" / "x.part", size=1):
            pass
