"""Downloads from a real server on loopback that misbehaves as real ones do."""

from __future__ import annotations

import hashlib
import threading

import pytest

from swath import fetch as download
from swath.data import NAMED, get
from swath.data.named import NamedSet
from swath.errors import DataError, OutputError, SettingError
from tests.pairs import two_at_once

from .archiveserver import DATA, Server, breaks_after, proper, says
from .makers import write

PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def known(server, monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    made = NamedSet(
        name="tiny",
        filename="Tiny.zip",
        urls=(f"{server.url}/tiny.zip",),
        sha256=hashlib.sha256(DATA).hexdigest(),
        size=len(DATA),
        source="test",
        license="CC0-1.0",
        attribution="us",
    )
    monkeypatch.setitem(NAMED, "tiny", made)
    return made


def fetch(out, **options):
    return get("tiny", out, pause=0, **options)


def test_fetches_into_a_file_or_a_folder(server, known, tmp_path):
    assert fetch(tmp_path) == tmp_path / "Tiny.zip"
    assert fetch(tmp_path / "new") == tmp_path / "new" / "Tiny.zip"
    assert fetch(tmp_path / "deep" / "mine.zip") == tmp_path / "deep" / "mine.zip"
    assert (tmp_path / "Tiny.zip").read_bytes() == (tmp_path / "deep" / "mine.zip").read_bytes() == DATA
    assert list(tmp_path.rglob("*.part")) == []


def test_does_nothing_if_it_is_there_already(server, known, tmp_path):
    write(tmp_path / "Tiny.zip", DATA)
    assert fetch(tmp_path) == tmp_path / "Tiny.zip"
    assert server.requests == []


def test_another_file_in_its_place_is_kept_unless_asked(server, known, tmp_path):
    mine = write(tmp_path / "Tiny.zip", b"precious")
    with pytest.raises(OutputError, match="exists already"):
        fetch(tmp_path)
    assert mine.read_bytes() == b"precious"
    assert server.requests == []
    fetch(tmp_path, overwrite=True)
    assert mine.read_bytes() == DATA


def test_goes_on_where_the_connection_broke(server, known, tmp_path):
    server.script = [breaks_after(100_000), breaks_after(50_000)]
    assert fetch(tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_call_goes_on_from_the_part(server, known, tmp_path):
    server.script = [breaks_after(120_000), *[says(503)] * 3]
    with pytest.raises(DataError, match="resumes where it stopped"):
        fetch(tmp_path)
    part = tmp_path / "Tiny.zip.part"
    assert part.read_bytes() == DATA[:120_000]
    assert not (tmp_path / "Tiny.zip").exists()
    server.requests.clear()
    assert fetch(tmp_path).read_bytes() == DATA
    assert server.requests == [("/tiny.zip", "bytes=120000-")]
    assert not part.exists()


def test_a_part_of_something_else_costs_one_new_start(server, known, tmp_path):
    write(tmp_path / "Tiny.zip.part", b"x" * 1000)
    assert fetch(tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]


def test_a_part_that_is_too_long_is_dropped(server, known, tmp_path):
    write(tmp_path / "Tiny.zip.part", b"x" * (len(DATA) + 5))
    assert fetch(tmp_path).read_bytes() == DATA


def test_a_part_that_is_whole_needs_no_request(server, known, tmp_path):
    write(tmp_path / "Tiny.zip.part", DATA)
    assert fetch(tmp_path).read_bytes() == DATA
    assert server.requests == []


def test_a_server_that_ignores_range_is_read_from_the_start(server, known, tmp_path):
    server.script = [breaks_after(100_000), says(200, DATA)]
    assert fetch(tmp_path).read_bytes() == DATA


def test_a_server_that_resumes_elsewhere_is_not_believed(server, known, tmp_path):
    wrong = says(206, DATA[50_000:], Content_Range=f"bytes 50000-{len(DATA) - 1}/{len(DATA)}")
    server.script = [breaks_after(100_000), wrong]
    assert fetch(tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", None]


def test_a_range_the_server_refuses_is_dropped(server, known, tmp_path):
    server.script = [breaks_after(100_000), says(416)]
    assert fetch(tmp_path).read_bytes() == DATA
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", None]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_tries_again_after_a_passing_trouble(server, known, tmp_path, status):
    server.script = [says(status, b"busy"), says(status)]
    notes = []
    assert fetch(tmp_path, progress=lambda *a, note="": notes.append(note)).read_bytes() == DATA
    assert f"trying again: the server answers {status}" in notes


def test_gives_up_after_four_failures_in_a_row(server, known, tmp_path):
    server.script = [says(503)] * 9
    with pytest.raises(DataError, match=r"cannot download tiny \(.*answers 503, 4 times in a row") as caught:
        fetch(tmp_path)
    assert len(server.requests) == 4
    assert "--mirror" in caught.value.fix


def test_failures_do_not_add_up_while_there_is_progress(server, known, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS_BYTES", 10_000)
    server.script = [breaks_after(30_000)] * 8
    assert fetch(tmp_path).read_bytes() == DATA
    assert len(server.requests) == 9


def test_the_same_bytes_again_are_no_progress(server, known, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS_BYTES", 10_000)
    server.script = [breaks_after(30_000), says(416)] * 20
    with pytest.raises(DataError, match="4 times in a row"):
        fetch(tmp_path)
    assert len(server.requests) < 10


def test_two_at_once_fetch_it_once(server, known, tmp_path):
    found = two_at_once(lambda progress: fetch(tmp_path / "Tiny.zip", progress=progress), proper, server.script)
    assert found == [tmp_path / "Tiny.zip"] * 2
    assert found[0].read_bytes() == DATA
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "Tiny.zip"]


def test_waits_as_long_as_the_server_asks_and_longer_each_time(server, known, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    server.script = [says(503, Retry_After="7"), says(503), says(503, Retry_After="99999")]
    get("tiny", tmp_path, pause=1.0)
    assert waits == [7, 2, download.MAX_WAIT]


@pytest.mark.parametrize("after", ["Wed, 21 Oct 2026 07:28:00 GMT", "soon", "-5", ""])
def test_a_retry_after_that_is_no_number_is_passed_over(server, known, tmp_path, after):
    server.script = [says(503, Retry_After=after)]
    assert fetch(tmp_path).read_bytes() == DATA


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_final_answer_is_taken_as_final(server, known, tmp_path, status):
    server.script = [says(status)]
    with pytest.raises(DataError, match=f"answers {status}"):
        fetch(tmp_path)
    assert len(server.requests) == 1


def test_wrong_bytes_are_never_kept(server, known, tmp_path):
    server.script = [says(200, DATA[:-1] + b"?")] * 5
    with pytest.raises(DataError, match="is not the published tiny: its SHA-256 is"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("body", [b"<html>please log in</html>", DATA + b"more"])
def test_a_page_in_place_of_the_archive_is_refused_at_once(server, known, tmp_path, body):
    server.script = [says(200, body)] * 5
    with pytest.raises(DataError, match=f"it has {len(body)} bytes, not 300000"):
        fetch(tmp_path)
    assert len(server.requests) == 1
    assert not (tmp_path / "Tiny.zip").exists()


def test_a_stream_without_an_end_is_cut_off(server, known, tmp_path):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        for _ in range(10_000):
            handler.wfile.write(bytes(100_000))

    server.script = [endless]
    with pytest.raises(DataError, match="more than 300000 bytes"):
        fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_follows_redirects(server, known, tmp_path):
    server.script = [says(302, Location=f"{server.url}/elsewhere"), says(307, Location="/again")]
    assert fetch(tmp_path).read_bytes() == DATA
    assert [path for path, _ in server.requests] == ["/tiny.zip", "/elsewhere", "/again"]


def test_a_redirect_to_a_local_file_is_not_followed(server, known, tmp_path):
    secret = write(tmp_path / "secret.zip", DATA)
    server.script = [says(302, Location=f"file://{secret}")] * 9
    with pytest.raises(DataError):
        fetch(tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


def test_a_circle_of_redirects_ends(server, known, tmp_path):
    server.script = [says(302, Location="/tiny.zip")] * 200
    with pytest.raises(DataError):
        fetch(tmp_path)


@pytest.mark.parametrize(("status", "times"), [(503, 4), (404, 1), (403, 1)])
def test_the_next_address_is_tried(server, known, tmp_path, monkeypatch, status, times):
    urls = (f"{server.url}/first", f"{server.url}/second")
    monkeypatch.setitem(NAMED, "tiny", NamedSet(**{**vars(known), "urls": urls}))
    server.script = [says(status)] * times
    assert fetch(tmp_path).read_bytes() == DATA
    assert [path for path, _ in server.requests] == ["/first"] * times + ["/second"]


def test_proxies_are_taken_from_the_environment(server, known, tmp_path, monkeypatch):
    away = NamedSet(**{**vars(known), "urls": ("http://data.example.invalid/tiny.zip",)})
    monkeypatch.setitem(NAMED, "tiny", away)
    monkeypatch.setenv("http_proxy", server.url)
    assert fetch(tmp_path).read_bytes() == DATA
    assert server.requests == [("http://data.example.invalid/tiny.zip", None)]
    (tmp_path / "Tiny.zip").unlink()
    monkeypatch.setenv("no_proxy", "example.invalid")
    with pytest.raises(DataError, match="no connection"):
        fetch(tmp_path)


def test_offline_the_message_says_what_to_do(known, tmp_path, monkeypatch):
    nobody = NamedSet(**{**vars(known), "urls": ("http://127.0.0.1:9/tiny.zip",)})
    monkeypatch.setitem(NAMED, "tiny", nobody)
    with pytest.raises(DataError, match=r"cannot download tiny .*no connection: Connection refused") as caught:
        fetch(tmp_path)
    assert "network and proxy settings" in caught.value.fix
    assert "--mirror FILE_OR_URL" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_address_is_used_instead(server, known, tmp_path):
    assert fetch(tmp_path, mirror=f"{server.url}/mirror/tiny").read_bytes() == DATA
    assert [path for path, _ in server.requests] == ["/mirror/tiny"]


@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_a_mirror_file_is_copied_and_checked(server, known, tmp_path, kind):
    copy = write(tmp_path / "usb" / "copy.zip", DATA)
    assert fetch(tmp_path / "out.zip", mirror=kind(copy)).read_bytes() == DATA
    assert server.requests == []
    copy.write_bytes(DATA[:-1] + b"?")
    with pytest.raises(DataError, match=r"copy\.zip is not the published tiny: its SHA-256"):
        fetch(tmp_path / "other.zip", mirror=kind(copy))
    assert not (tmp_path / "other.zip").exists()
    with pytest.raises(DataError, match="no mirror file"):
        fetch(tmp_path / "other.zip", mirror=kind(tmp_path / "gone.zip"))


@pytest.mark.parametrize("address", ["http://", "http://127.0.0.1:port/x", "http://[::1/x"])
def test_addresses_that_are_none(known, tmp_path, address):
    with pytest.raises(DataError):
        fetch(tmp_path, mirror=address)


def test_progress_counts_bytes_to_the_end(server, known, tmp_path):
    seen = []
    fetch(tmp_path, progress=lambda stage, done, total, note="": seen.append((stage, done, total)))
    assert seen[0] == ("download", 0, len(DATA))
    assert seen[-1] == ("download", len(DATA), len(DATA))


def test_a_place_that_cannot_be_written(server, known, tmp_path):
    write(tmp_path / "file", b"")
    with pytest.raises(OutputError, match="cannot make the folder"):
        fetch(tmp_path / "file" / "x.zip")
    (tmp_path / "Tiny.zip.part").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        fetch(tmp_path)


def test_unknown_names(tmp_path):
    with pytest.raises(SettingError, match="known names: eurosat-rgb"):
        get("eurosat", tmp_path)
