from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from swath.errors import DataError
from swath.imagery import SUFFIXES, decode, probe

from .samples import every_format, image, npy, png_claiming, raster, saved, sharp, smooth

FILES = every_format()


@pytest.mark.parametrize("suffix", sorted(FILES))
def test_a_file_and_its_bytes_decode_alike(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(FILES[suffix])
    from_file, from_bytes = decode(path), decode(FILES[suffix])
    np.testing.assert_array_equal(from_file.pixels, from_bytes.pixels)
    assert (from_file.bands, from_file.units, from_file.mode) == (from_bytes.bands, from_bytes.units, from_bytes.mode)


@pytest.mark.parametrize("suffix", sorted(FILES))
def test_probe_tells_what_decode_will_give(suffix):
    header, picture = probe(FILES[suffix]), decode(FILES[suffix])
    assert (header.bands, header.height, header.width) == (picture.bands, *picture.pixels.shape[1:])
    assert (header.dtype, header.mode) == (picture.pixels.dtype.name, picture.mode)


def test_every_walked_suffix_is_one_that_decodes():
    same = {
        ".jpg": ".jpeg .jpe .jfif .pjpeg .pjp",
        ".tif": ".tiff",
        ".jp2": ".j2k",
        ".bmp": ".dib",
        ".pgm": ".pbm .pnm",
    }
    assert {*FILES, *" ".join(same.values()).split()} == SUFFIXES


@pytest.mark.parametrize("suffix", sorted(FILES))
@pytest.mark.parametrize("lie", [".jpg", ".tif", ".npy", ".txt", ""])
def test_a_suffix_that_lies_changes_nothing(tmp_path, suffix, lie):
    path = tmp_path / f"a{lie}"
    path.write_bytes(FILES[suffix])
    np.testing.assert_array_equal(decode(path).pixels, decode(FILES[suffix]).pixels)


@pytest.mark.parametrize("suffix", sorted(FILES))
@pytest.mark.parametrize("share", [0.03, 0.3, 0.6, 0.75])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, suffix, share):
    data = FILES[suffix]
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: max(1, int(len(data) * share))])
    with pytest.raises(DataError, match=rf"cut\{suffix}"):
        decode(path)


@pytest.mark.parametrize("suffix", sorted(FILES))
def test_a_cut_anywhere_never_gives_other_pixels(suffix):
    # A PNG that lacks only its checksum and end mark is whole, a GIF its end mark; nothing else may pass.
    data = FILES[suffix]
    whole = decode(data).pixels
    for length in {*range(1, len(data), max(1, len(data) // 60)), *range(len(data) - 24, len(data))}:
        try:
            pixels = decode(data[:length], name="cut").pixels
        except DataError:
            continue
        assert suffix in (".png", ".gif")
        assert length >= len(data) - 20
        np.testing.assert_array_equal(pixels, whole)


@pytest.mark.parametrize("suffix", sorted(FILES))
def test_damaged_bytes_give_a_picture_or_one_data_error(suffix):
    rng = np.random.default_rng(0)
    for _ in range(40):
        data = bytearray(FILES[suffix])
        for place in rng.integers(0, len(data), 4):
            data[place] = rng.integers(256)
        try:
            picture = decode(bytes(data), max_pixels=100_000)
        except DataError:
            continue
        assert picture.pixels.shape[0] == len(picture.bands)


def test_an_empty_file(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(DataError, match=r"empty\.png is an empty file"):
        decode(path)


@pytest.mark.parametrize(
    "content", [b"path,label\na.jpg,Forest\n", b"\0" * 100, b"BM, a text", b"P9 5 5", b"RIFF1234WAVE"]
)
def test_a_file_that_is_no_picture(tmp_path, content):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"notes\.png is not a JPEG, PNG, WebP, GIF, BMP, PNM, TIFF, JPEG 2000 or \.npy"
    ):
        decode(path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "nothing.png", tmp_path):
        with pytest.raises(DataError, match=f"{path.name}.* cannot be opened"):
            decode(path)


def bombs() -> dict[str, bytes]:
    """Files of a few kilobytes that would take gigabytes of memory."""
    large = saved(Image.new("1", (30_000, 30_000)), "PNG")
    tiff = raster(
        np.zeros((1, 12_000, 10_000), np.uint8), compress="deflate", tiled=True, blockxsize=512, blockysize=512
    )
    return {"png": png_claiming(60_000, 60_000), "one-bit png": large, "tiff": tiff}


@pytest.mark.parametrize(("kind", "data"), bombs().items())
def test_a_bomb_is_refused_before_it_is_decoded(kind, data):
    assert len(data) < 200_000
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb says it has .* pixels, above the limit of 100000000; cut it"):
        decode(data, name="bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_bomb_may_be_probed():
    header = probe(png_claiming(60_000, 50_000))
    assert (header.width, header.height) == (60_000, 50_000)


def test_many_bands_count_against_memory():
    data = raster(np.zeros((40, 64, 64), np.float32), compress="deflate")
    with pytest.raises(DataError, match="40 float32 bands of 64 x 64 pixels, more memory"):
        decode(data, max_pixels=64 * 64)
    assert decode(data, max_pixels=64 * 64 * 5).pixels.shape == (40, 64, 64)


def test_the_limit_is_the_last_size_allowed():
    data = npy(sharp(1)[0])
    assert decode(data, max_pixels=240).pixels.size == 240
    with pytest.raises(DataError):
        decode(data, max_pixels=239)


def test_bytes_without_a_name_are_called_the_picture():
    with pytest.raises(DataError, match=r"^the picture is an empty file"):
        decode(b"")


def test_pillow_s_own_limit_plays_no_part(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode(FILES[".png"]).pixels.shape == (3, 12, 20)


def test_bytes_behind_the_end_do_not_matter():
    # Cameras and archives pad files; what follows the end of a picture is not part of it.
    data = saved(image(smooth(3)), "JPEG") + bytes(50)
    assert decode(data).pixels.shape == (3, 32, 48)
