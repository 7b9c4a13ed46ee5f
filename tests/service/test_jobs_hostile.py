"""Hostile scenes: each is refused or ends as a failed job with a sentence, and the next good scene is mapped."""

from __future__ import annotations

import io
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rasterio import Affine
from rasterio.io import MemoryFile

from tests.service.conftest import jpeg
from tests.service.hostile import VRT, WIDE_JPEG, png, saved
from tests.service.servers import Client, Running, running, wait_until
from tests.service.test_jobs import TIFF, _maker, scene

MIB = 2**20
MEMORY = 512 * MIB  # that a map may take here beyond its model
BASE = 400 * MIB  # of the process with its engine and the model
PLACE = {"crs": "EPSG:32632", "transform": Affine(10, 0, 500_000, 0, -10, 5_300_000)}
Make = Callable[[bytes, int], bytes]  # of a good scene, and of a port on which nobody may knock


def header(width: int, height: int, *, bands: int = 3, rows: int | None = None, tile: int | None = None) -> bytes:
    """A TIFF that says of itself what it likes, and holds 200 bytes."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(277, 3, 1, bands)]
    if tile is None:
        entries += [(273, 4, 1, 8), (278, 4, 1, rows or height), (279, 4, 1, 100)]
    else:
        entries += [(322, 4, 1, tile), (323, 4, 1, tile), (324, 4, 1, 8), (325, 4, 1, 100)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(204)


def tiff(width: int, height: int, *, bands: int = 3, dtype: str = "uint8", **options: object) -> bytes:
    """A TIFF without any data."""
    with MemoryFile() as memory:
        size = {"width": width, "height": height, "count": bands, "dtype": dtype}
        with memory.open(driver="GTiff", sparse_ok=True, compress="deflate", **size, **PLACE, **options):
            pass
        return bytes(memory.read())


def wide() -> bytes:
    """Tiles that are not there, in a row so long that a strip of them fills the memory."""
    return tiff(4_000_000, 200, tiled=True, blockxsize=512, blockysize=256, interleave="pixel")


def bomb() -> bytes:
    """All pixels in one strip, just within what may be decoded at once: 500 MB in 500 KB."""
    with MemoryFile() as memory:
        size = {"width": 12_900, "height": 12_900, "count": 3, "dtype": "uint8", "blockysize": 12_900}
        with memory.open(driver="GTiff", compress="deflate", interleave="pixel", nodata=0, **size, **PLACE) as out:
            out.write(np.ones((3, 12_900, 12_900), np.uint8))
        return bytes(memory.read())


def vrt(source: str) -> bytes:
    return (
        '<VRTDataset rasterXSize="64" rasterYSize="64">'
        + "".join(
            f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename>{source}</SourceFilename>'
            f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
            for band in (1, 2, 3)
        )
        + "</VRTDataset>"
    ).encode()


def zipped(data: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("../scene.tif", data)
    return stream.getvalue()


def half(kind: str) -> Make:
    """A picture cut short, sent as a TIFF."""
    return lambda good, port: jpeg("Forest", kind=kind)[:500]


def says(text: str) -> Make:
    return lambda good, port: text.format(address=f"http://127.0.0.1:{port}/scene.tif").encode()


QUICK: dict[str, Make] = {
    "zero bytes": lambda good, port: b"",
    "a VRT that names an address": lambda good, port: vrt(f"/vsicurl/http://127.0.0.1:{port}/scene.tif"),
    "a TIFF cut short": lambda good, port: good[: len(good) // 2],
    "a TIFF of 60,000 by 60,000 pixels": lambda good, port: header(60_000, 60_000),
}
SLOW: dict[str, Make] = {
    "one byte": lambda good, port: b"I",
    "text": lambda good, port: b"no scene at all",
    "a TIFF cut in its header": lambda good, port: good[:20],
    "a TIFF whose directory is not in it": lambda good, port: b"II*\0" + struct.pack("<I", 2**31) + bytes(50),
    "a VRT that names a file": lambda good, port: vrt("/etc/passwd"),
    "a VRT by another's hand": lambda good, port: VRT,
    "a TIFF's first bytes, then a VRT": lambda good, port: b"II*\0" + vrt(f"/vsicurl/http://127.0.0.1:{port}/scene.tif"),
    "a VRT after half a TIFF": lambda good, port: good[:300] + vrt("/etc/passwd"),
    "a service that is to be asked": says("<GDAL_WMS><Service name='WMS'><ServerUrl>{address}</ServerUrl></Service>"),
    "a virtual Zarr": says('{{"zarr_format": 2, "uri": "{address}"}}'),
    "the name of a file": says("/vsicurl/{address}"),
    "a zip with ../ in it": lambda good, port: zipped(good),
    "gzip": lambda good, port: zlib.compress(good, wbits=31),
    "HDF5": lambda good, port: b"\x89HDF\r\n\x1a\n" + bytes(500),
    "a PNG cut short": half("PNG"),
    "a JPEG cut short": half("JPEG"),
    "a PNG of 60,000 by 60,000 pixels": lambda good, port: png(60_000, 60_000, zlib.compress(bytes(1000))),
    "a JPEG of 65,500 by 65,500 pixels": lambda good, port: WIDE_JPEG,
    "a gray picture of 8 pixels": lambda good, port: saved("BMP", "L", (8, 8)),
    "one row of 2,147,483,647 pixels": lambda good, port: header(2**31 - 1, 1),
    "2,147,483,647 rows": lambda good, port: header(1, 2**31 - 1, rows=1),
    "no columns": lambda good, port: header(0, 64),
    "tiles of 2 billion pixels a side": lambda good, port: header(64, 64, tile=2**31 - 16),
    "20,000 bands": lambda good, port: header(64, 64, bands=20_000),
    "values of another type": lambda good, port: tiff(64, 64, dtype="complex64"),
    "one band": lambda good, port: tiff(64, 64, bands=2),
    "tiles that are not there": lambda good, port: tiff(200_000, 200_000, tiled=True, blockxsize=512, blockysize=512),
}  # fmt: skip
LONG: dict[str, Make] = {
    "a strip that fills the memory": lambda good, port: wide(),
    "500 MB in 500 KB": lambda good, port: bomb(),
}


@dataclass(frozen=True)
class Strict:
    """A service with a limit of memory, and a port nobody may come to."""

    running: Running
    folder: Path
    good: bytes
    listener: socket.socket

    @property
    def client(self) -> Client:
        return self.running.client

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])


@pytest.fixture(scope="module")
def strict(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Strict]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "tmp").mkdir()
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        patch.setenv("TMPDIR", str(folder / "tmp"))
        with running(tiny_model, jobs=folder / "jobs", max_map_memory=MEMORY, max_scene_bytes=32 * MIB) as one:
            yield Strict(one, folder, scene(folder), listener)


def test_there_are_thirty_of_them():
    assert len(QUICK) + len(SLOW) + len(LONG) >= 30


@pytest.mark.parametrize("name", QUICK)
def test_a_hostile_scene_gets_a_sentence(strict: Strict, name: str):
    refuse(strict, QUICK[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_another_hostile_scene_gets_a_sentence(strict: Strict, name: str):
    refuse(strict, SLOW[name])


@pytest.mark.soak
@pytest.mark.parametrize("name", LONG)
def test_a_hostile_scene_that_takes_a_minute_gets_a_sentence(strict: Strict, name: str):
    refuse(strict, LONG[name])


def refuse(strict: Strict, make: Make) -> None:
    """Send a scene; it is refused, or fails within its memory, and nothing of it is left."""
    data = make(strict.good, strict.port)
    answer = strict.client.post(
        "/v1/map", data, TIFF, Content_Disposition='attachment; filename="../../../../tmp/scene.tif"'
    )
    if answer.status == 202:
        job, peak = answer.json["id"], [0]
        wait_until(lambda: watched(strict.client, job, peak) in {"done", "failed"}, "the job ends")
        said = strict.client.get(f"/v1/map/{job}").json
        left = [path.name for path in (strict.folder / "jobs" / job / "map").iterdir()]
        tile = strict.client.get(f"/v1/maps/{job}/0/0/0.png")
        assert strict.client.ask("DELETE", f"/v1/map/{job}").status == 200
        assert (said["state"], left, tile.status) == ("failed", [], 409)
        assert peak[0] < BASE + MEMORY
        sentence = said["error"]
    else:
        assert 400 <= answer.status < 500
        sentence = answer.error
    assert 10 < len(sentence) < 1000
    assert sentence.isprintable()
    for never in ("Traceback", "ended with status", str(strict.folder), "root:"):
        assert never not in sentence
    assert not list((strict.folder / "jobs").iterdir())
    assert not list((strict.folder / "tmp").iterdir())
    with pytest.raises(BlockingIOError):
        strict.listener.accept()


def watched(client: Client, job: str, peak: list[int]) -> str:
    """The state of a job, and the most memory that its process was seen to hold."""
    maker = _maker(os.getpid())
    if maker is not None:
        try:
            status = Path(f"/proc/{maker}/status").read_text()
            peak[0] = max(peak[0], 1024 * int(status.partition("VmHWM:")[2].split()[0]))
        except (FileNotFoundError, ProcessLookupError, IndexError):
            pass
    return str(client.get(f"/v1/map/{job}").json["state"])


def test_the_next_good_scene_is_mapped(strict: Strict):
    job, peak = strict.client.post("/v1/map", strict.good, TIFF).json["id"], [0]
    wait_until(lambda: watched(strict.client, job, peak) in {"done", "failed"}, "the job ends")
    assert strict.client.get(f"/v1/map/{job}").json["state"] == "done"
    assert 100 * MIB < peak[0] < BASE + MEMORY
    assert strict.client.ask("DELETE", f"/v1/map/{job}").status == 200


def test_a_scene_of_more_pixels_than_maps_are_made_of(tiny_model: Path, tmp_path: Path):
    with running(tiny_model, jobs=tmp_path / "jobs", max_scene_pixels=1000) as one:
        job = one.client.post("/v1/map", scene(tmp_path), TIFF).json["id"]
        wait_until(lambda: one.client.get(f"/v1/map/{job}").json["state"] == "failed", "the job fails")
        error = one.client.get(f"/v1/map/{job}").json["error"]
        assert error.startswith("the scene has 147,456 pixels and the service maps 1,000 at most")
        assert "--max-scene-pixels" in error
