from __future__ import annotations

import io

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery import decode, probe
from swath.imagery.structure import check_structure

from .samples import every_format, jpeg_2000, raster, sharp


@pytest.mark.parametrize("big", ["NO", "YES"])
def test_a_tiff_whose_directory_is_elsewhere(big, tmp_path, capfd):
    data = bytearray(raster(sharp(1), BIGTIFF=big))
    place = slice(8, 16) if big == "YES" else slice(4, 8)
    data[place] = (2 ** (8 * (place.stop - place.start)) - 2).to_bytes(place.stop - place.start, "little")
    (tmp_path / "a.tif").write_bytes(data)
    for source in (tmp_path / "a.tif", bytes(data)):
        with pytest.raises(DataError, match=r"a\.tif is a damaged or cut-short TIFF file \(its first directory"):
            decode(source, name="a.tif")
    assert capfd.readouterr() == ("", "")


def tiled() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 256, 384)).astype(np.uint8)
    return raster(pixels, "JP2OpenJPEG", BLOCKXSIZE=64, BLOCKYSIZE=64)  # doubled by GDAL


def test_a_jpeg_2000_cut_short_between_two_tiles_is_noticed():
    data = tiled()
    check_structure(io.BytesIO(data), "JPEG 2000", name="a.jp2")
    at, places = data.index(b"\xff\x90"), []
    while data[at : at + 2] == b"\xff\x90":
        places.append(at)
        at += int.from_bytes(data[at + 6 : at + 10], "big")
    assert len(places) > 2
    for kept in (1, len(places) - 1):
        with pytest.raises(
            DataError, match=rf"a\.jp2 is .* JPEG 2000 file \(it holds {kept} of its {len(places)} tiles\)"
        ):
            decode(data[: places[kept]], name="a.jp2")


@pytest.mark.parametrize("height", [24, 480, 2**31])
def test_a_jpeg_2000_that_says_it_is_higher(height):
    data = bytearray(jpeg_2000(sharp(1)))
    at = data.index(b"\xff\x51") + 10
    data[at : at + 4] = height.to_bytes(4, "big")
    with pytest.raises(DataError, match=r"\((it holds 1 of its \d+ tiles|it says it has 178,956,971 tiles)\)"):
        probe(bytes(data), name="a.jp2")


@pytest.mark.parametrize("bare", [False, True])
def test_headers_that_end_early(bare):
    data = jpeg_2000(sharp(1))
    data = data[data.index(b"\xff\x4f\xff\x51") :] if bare else data
    check_structure(io.BytesIO(data), "JPEG 2000", name="a.jp2")
    for length in range(data.index(b"\xff\x90")):
        with pytest.raises(DataError, match=r"^a\.jp2 is a damaged or cut-short JPEG 2000 file \("):
            check_structure(io.BytesIO(data[:length]), "JPEG 2000", name="a.jp2")


def test_sound_files_pass_and_are_rewound():
    for kind in ("TIFF", "JPEG 2000", "PNG"):
        stream = io.BytesIO(every_format()[{"TIFF": ".tif", "JPEG 2000": ".jp2", "PNG": ".png"}[kind]])
        check_structure(stream, kind, name="a")
        assert stream.tell() == 0
