"""A COG by its address: ranges of it and nothing else, from servers of all kinds."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil
from rasterio.windows import Window

from swath.errors import DataError, MissingFileError
from swath.imagery import remote
from swath.imagery.products import find_files
from swath.imagery.remote import is_address
from swath.mapping.reader import open_scene
from tests.imagery.rangeserver import range_server
from tests.mapping.scenes import write_scene

PIXELS = np.random.default_rng(0).integers(1, 255, (3, 1024, 1024)).astype(np.uint8)
WINDOW = Window(100, 500, 300, 400)
PART = PIXELS[:, 500:900, 100:400]


@pytest.fixture(scope="module")
def cog(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("cog")
    write_scene(folder / "plain.tif", PIXELS)
    rasterio.shutil.copy(folder / "plain.tif", folder / "cog.tif", driver="COG", compress="deflate", blocksize=256)
    return (folder / "cog.tif").read_bytes()


def read_on_a_thread(address):
    """A window of a scene, read on a thread as maps read it; errors are raised here."""
    with open_scene(address) as scene:
        found = []

        def read():
            try:
                found.append(scene.read([1, 2, 3], WINDOW)[0])
            except DataError as error:
                found.append(error)

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    if isinstance(found[0], DataError):
        raise found[0]
    return found[0]


@pytest.mark.parametrize("query", ["", "?key=secret&x=1"])
def test_what_is_needed_is_read_in_ranges_and_nothing_else_is_asked_for(cog, query):
    with range_server(**{"cog.tif": cog}) as server:
        np.testing.assert_array_equal(read_on_a_thread(server.url("/cog.tif") + query), PART)
        assert {path for path, _ in server.asked} == {"/cog.tif"}
        ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", wanted) for _, wanted in server.asked if wanted != "HEAD"]
        assert all(ranges), "every request is for a range"
        assert sum(int(found[2]) - int(found[1]) + 1 for found in ranges) < len(cog) * 0.9


def test_a_file_that_changed_is_read_again(cog, tmp_path):
    with range_server(**{"cog.tif": cog}) as server:
        read_on_a_thread(server.url("/cog.tif"))
        server.files["/cog.tif"] = write_scene(tmp_path / "b.tif", PIXELS[::-1]).read_bytes()
        np.testing.assert_array_equal(read_on_a_thread(server.url("/cog.tif")), PART[::-1])


def test_bands_by_their_addresses_are_one_scene(tmp_path):
    files = {
        f"{name}.tif": write_scene(tmp_path / f"{name}.tif", PIXELS[at : at + 1]).read_bytes()
        for at, name in enumerate(("B04", "B03", "B02"))
    }
    with range_server(**files) as server:
        addresses = [server.url(f"/{name}") + "?key=secret" for name in files]
        assert [file.band for file in find_files(addresses).bands] == ["B04", "B03", "B02"]
        np.testing.assert_array_equal(read_on_a_thread(addresses), PART)
        assert {path for path, _ in server.asked} == {f"/{name}" for name in files}


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("whole", "does not serve ranges of a file; download the file first"),
        ("other", "does not serve ranges of a file"),
        ("error", r"answers 500 \(Internal Server Error\)"),
        ("short", "was cut short by its server; try again"),
        ("garbage", "is not a JPEG, PNG"),
        ("redirect file:///etc/passwd", "answers 302"),
        ("redirect ftp://127.0.0.1/x", "cannot be reached"),
        ("redirect /cog.tif", "answers 302"),
    ],
)
def test_a_server_that_misbehaves_at_once_is_found_out_by_the_first_range(cog, mode, says):
    with range_server(**{"cog.tif": cog}) as server:
        server.mode = mode
        with pytest.raises(DataError, match=says) as refused:
            read_on_a_thread(server.url("/cog.tif") + "?key=secret")
        assert "secret" not in str(refused.value)
        assert len(server.asked) <= 12


@pytest.mark.parametrize("mode", ["whole", "error", "short", "garbage", "hang"])
def test_a_server_that_misbehaves_later_ends_in_one_sentence(cog, mode, monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT", 1.0)
    monkeypatch.setattr(remote, "RETRIES", 0)
    with range_server(**{"cog.tif": cog}) as server:
        server.mode, server.good = mode, 1
        with pytest.raises(DataError, match=r"cog\.tif could not be read from its server .*; try again, or download"):
            read_on_a_thread(server.url("/cog.tif"))


def test_a_server_that_never_answers_is_left(cog, monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT", 0.5)
    with range_server(**{"cog.tif": cog}) as server:
        server.mode = "hang"
        with pytest.raises(DataError, match=r"did not answer within 0\.5 seconds; try again"):
            read_on_a_thread(server.url("/cog.tif"))
    with pytest.raises(DataError, match="cannot be reached"):
        read_on_a_thread(server.url("/cog.tif"))


def test_what_is_not_there_is_said(cog):
    with (
        range_server(**{"cog.tif": cog}) as server,
        pytest.raises(MissingFileError, match=r"there is no .*/b\.tif \(404\)"),
    ):
        read_on_a_thread(server.url("/b.tif"))


def test_a_path_is_never_an_address_and_offline_nothing_is_asked(cog, monkeypatch):
    assert not is_address(Path("http://h/a.tif"))
    assert not is_address("file:///etc/passwd")
    with range_server(**{"cog.tif": cog}) as server:
        monkeypatch.setenv("SWATH_OFFLINE", "1")
        with pytest.raises(DataError, match="the network is switched off"):
            read_on_a_thread(server.url("/cog.tif"))
        assert not server.asked
    with pytest.raises(DataError, match="user name or password in it"):
        read_on_a_thread("https://me:secret@h/a.tif")
