from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from rasterio.io import MemoryFile

from swath.errors import DataError
from swath.imagery import storage


def saved(kind, image=None, **options):
    image = image or Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8))
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("quality", [20, 30, 50, 60, 75, 85, 90, 95])
def test_jpeg_quality_is_read_from_its_tables(quality):
    found = storage(saved("JPEG", quality=quality, subsampling=0), name="x")
    assert (found.kind, found.width, found.height, found.mode) == ("JPEG", 32, 24, "RGB")
    said = int(found.compression.split()[1].rstrip(","))
    assert abs(said - quality) <= 1
    assert found.compression.endswith("4:4:4")


def test_sampling_progression_and_tables():
    plain, other = (storage(saved("JPEG", quality=q), name="x") for q in (75, 76))
    assert plain.compression == "quality 75, 4:2:0"
    assert plain.tables != other.tables
    assert len(plain.tables) == 8
    progressive = storage(saved("JPEG", quality=75, progressive=True), name="x")
    assert progressive.compression == "quality 75, 4:2:0, progressive"
    assert progressive.tables == plain.tables


def test_modes_blocks_and_length():
    data = saved("JPEG", Image.new("CMYK", (8, 8)), dpi=(300, 300))
    found = storage(data, name="x")
    assert (found.mode, found.bytes) == ("CMYK", len(data))
    assert "dpi" in found.extras
    assert storage(saved("JPEG"), name="x").extras == ""


def test_png_webp_npy_and_tiff():
    assert storage(saved("PNG"), name="x").compression == "deflate"
    assert storage(saved("WebP", lossless=True), name="x").compression == "lossless"
    assert storage(saved("WebP", quality=50), name="x").compression == "lossy"
    profiled = saved("WebP", lossless=True, icc_profile=bytes(501))
    assert storage(profiled, name="x").compression == "lossless"
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 9))
    assert storage(saved("WebP", clear, quality=50), name="x").compression == "lossy"
    stream = io.BytesIO()
    np.save(stream, np.zeros((9, 8, 3), np.uint8))
    array = storage(stream.getvalue(), name="x")
    assert (array.kind, array.width, array.height, array.compression) == ("npy", 8, 9, "")
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", width=16, height=16, count=4, dtype="uint16", compress="deflate", crs="EPSG:4326"
        ) as target:
            target.write(np.zeros((4, 16, 16), np.uint16))
        found = storage(bytes(memory.read()), name="x")
    assert (found.kind, found.compression) == ("TIFF", "deflate, placed on the globe")


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_what_is_no_picture_is_named(data):
    with pytest.raises(DataError, match=r"mine\.jpg"):
        storage(data, name="mine.jpg")
