from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from swath.errors import DataError
from swath.imagery import RGB, decode, probe

from .samples import image, png, saved, sharp, smooth

RGBA = (*RGB, "alpha")


def test_jpeg_rgb():
    picture = decode(saved(image(smooth(3)), "JPEG", quality=95, subsampling=0))
    assert (picture.bands, picture.mode, picture.units) == (RGB, "RGB", "display")
    assert picture.pixels.dtype == np.uint8
    np.testing.assert_allclose(picture.pixels.astype(int), smooth(3), atol=5)


def test_jpeg_gray():
    picture = decode(saved(image(smooth(1)), "JPEG", quality=95))
    assert (picture.bands, picture.mode, picture.units) == (("gray",), "L", "display")
    np.testing.assert_allclose(picture.pixels.astype(int), smooth(1), atol=4)


def test_jpeg_cmyk_becomes_rgb():
    ink = smooth(4)
    picture = decode(saved(image(ink, "CMYK"), "JPEG", quality=95))
    assert (picture.bands, picture.mode) == (RGB, "CMYK")
    ideal = (255.0 - ink[:3]) * (255.0 - ink[3]) / 255
    np.testing.assert_allclose(picture.pixels, ideal, atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(kind, orientation):
    # Pillow's own transposition says what the viewer should see.
    stored = image(smooth(3))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "PNG": {}, "WEBP": {"lossless": True}}[kind]
    data = saved(stored, kind, exif=exif.tobytes(), **options)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    wanted = np.asarray(stored.transpose(turns[orientation]) if orientation > 1 else stored).transpose(2, 0, 1)
    picture = decode(data)
    assert picture.pixels.shape == wanted.shape
    np.testing.assert_allclose(picture.pixels.astype(int), wanted, atol=5 if kind == "JPEG" else 0)
    assert picture.pixels.flags.c_contiguous
    header = probe(data)
    assert (header.width, header.height) == (picture.width, picture.height)


@pytest.mark.parametrize(
    ("bands", "names", "mode"), [(1, ("gray",), "L"), (2, ("gray", "alpha"), "LA"), (3, RGB, "RGB"), (4, RGBA, "RGBA")]
)
def test_png_8_bit_is_exact(bands, names, mode):
    picture = decode(saved(image(sharp(bands)), "PNG"))
    assert (picture.bands, picture.mode, picture.units) == (names, mode, "display")
    np.testing.assert_array_equal(picture.pixels, sharp(bands))


def test_png_16_bit_gray_keeps_every_bit():
    picture = decode(saved(image(sharp(1, "uint16")), "PNG"))
    assert (picture.bands, picture.mode, picture.units) == (("gray",), "I;16", "digital number")
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, sharp(1, "uint16"))


def test_png_one_bit_becomes_black_and_white():
    bits = sharp(1)[0] % 3 == 0
    picture = decode(saved(Image.fromarray(bits), "PNG"))
    assert (picture.bands, picture.mode) == (("gray",), "1")
    np.testing.assert_array_equal(picture.pixels[0], np.where(bits, 255, 0))


@pytest.mark.parametrize(("depth", "step"), [(2, 85), (4, 17)])
def test_png_of_few_bits_reaches_from_black_to_white(depth, step):
    values = np.arange(16) % 2**depth
    picture = decode(png(16, 1, b"\0" + packed(values, depth), depth=depth, color=0))
    np.testing.assert_array_equal(picture.pixels[0, 0], values * step)


def packed(values: np.ndarray, depth: int) -> bytes:
    bits = (values[:, np.newaxis] >> np.arange(depth)[::-1]) & 1
    return np.packbits(bits.astype(np.uint8)).tobytes()


def stored_rows(pixels: np.ndarray, *, interlaced: bool) -> bytes:
    """Pixels ``[H, W, samples]`` as a PNG stores them, in seven passes (Adam7) or in one."""
    whole = ["0::1 0::1"]
    passes = ["0::8 0::8", "0::8 4::8", "4::8 0::4", "0::4 2::4", "2::4 0::2", "0::2 1::2", "1::2 0::1"]
    rows = b""
    for text in passes if interlaced else whole:
        (top, down), (left, across) = ((int(n) for n in part.split("::")) for part in text.split())
        part = pixels[top::down, left::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part if row.size)
    return rows


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("size", [(12, 20), (1, 1), (3, 5), (9, 2)])
@pytest.mark.parametrize("black", [False, True])
def test_a_png_whose_rows_end_early_is_refused(interlaced, size, black):
    pixels = np.random.default_rng(0).integers(1, 255, (*size, 3)).astype(np.uint8)
    if black:  # as missing rows look
        pixels[-1] = 0
    rows = stored_rows(pixels, interlaced=interlaced)
    whole = png(size[1], size[0], rows, interlaced=interlaced)
    np.testing.assert_array_equal(decode(whole).pixels, pixels.transpose(2, 0, 1))
    short = png(size[1], size[0], rows[: -1 - 3 * size[1]], interlaced=interlaced)
    with pytest.raises(DataError, match="scan"):
        decode(short, name="scan")


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "I;16"])
def test_a_black_png_is_whole(mode):
    picture = decode(saved(Image.new(mode, (13, 7)), "PNG"))
    assert picture.pixels.shape[1:] == (7, 13)


def palette_image() -> tuple[Image.Image, np.ndarray, np.ndarray]:
    numbers = sharp(1)[0] % 5
    colors = np.array([[255, 0, 0], [0, 200, 0], [0, 0, 150], [10, 20, 30], [255, 255, 255]], np.uint8)
    picture = Image.fromarray(numbers).convert("P")
    picture.putdata(numbers.ravel().tolist())
    picture.putpalette(colors.ravel().tolist())
    return picture, numbers, colors


def test_png_palette_becomes_rgb():
    stored, numbers, colors = palette_image()
    picture = decode(saved(stored, "PNG"))
    assert (picture.bands, picture.mode, picture.units) == (RGB, "P", "display")
    np.testing.assert_array_equal(picture.pixels, colors[numbers].transpose(2, 0, 1))


@pytest.mark.parametrize("transparency", [2, bytes([255, 255, 0, 128, 255])])
def test_png_palette_with_transparent_entries_becomes_rgba(transparency):
    stored, numbers, colors = palette_image()
    picture = decode(saved(stored, "PNG", transparency=transparency))
    assert (picture.bands, picture.mode) == (RGBA, "P")
    np.testing.assert_array_equal(picture.pixels[:3], colors[numbers].transpose(2, 0, 1))
    alpha = np.array([255, 255, 0, 128 if isinstance(transparency, bytes) else 255, 255])
    np.testing.assert_array_equal(picture.pixels[3], alpha[numbers])


def test_webp_lossless_is_exact():
    picture = decode(saved(image(sharp(3)), "WEBP", lossless=True))
    assert (picture.bands, picture.mode, picture.units) == (RGB, "RGB", "display")
    np.testing.assert_array_equal(picture.pixels, sharp(3))


def test_webp_lossy():
    picture = decode(saved(image(smooth(3)), "WEBP", quality=95))
    assert (picture.bands, picture.mode) == (RGB, "RGB")
    np.testing.assert_allclose(picture.pixels.astype(int), smooth(3), atol=8)


def test_webp_with_alpha():
    picture = decode(saved(image(sharp(4)), "WEBP", lossless=True, exact=True))
    assert (picture.bands, picture.mode) == (RGBA, "RGBA")
    np.testing.assert_array_equal(picture.pixels, sharp(4))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_animations_are_refused(kind):
    frames = [image(np.roll(sharp(3), i, axis=2)) for i in range(3)]
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(DataError, match=r"film is an animated .* one still picture"):
        decode(data, name="film")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "PPM"])
@pytest.mark.parametrize("bands", [1, 3])
def test_lossless_formats_of_old_keep_every_value(kind, bands):
    pixels = sharp(bands) // 16 * 16 if kind == "GIF" else sharp(bands)  # a GIF holds 256 colors
    picture = decode(saved(image(pixels), kind))
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(pixels, picture.pixels.shape))


@pytest.mark.parametrize("data", [b"P5 2 1 65535\n\x01\x02\x03\x04", b"P5 2 1 4095\n\x01\x02\x03\x04",
                                  b"P6 1 1 65535\n\x01\x02\x03\x04\x05\x06", b"P2 2 1 65535\n1 65535\n"])  # fmt: skip
def test_numbers_that_pillow_would_change_are_refused(data):
    with pytest.raises(DataError, match=r"deep is a PNM of more than 8 bits; save it as PNG or TIFF"):
        decode(data, name="deep")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html><body>not found</body></html>", "a web page"),
        (b"<html>", "a web page"),
        (b"../../images/Forest_1.jpg", "as a link does that was copied as text"),
        (b"D:\\data\\a.tif\n", "as a link does that was copied as text"),
    ],
)
def test_what_is_no_picture_is_called_what_it_is(data, what):
    with pytest.raises(DataError, match=f"odd (is|holds) .*{what}|odd is {what}"):
        decode(data, name="odd")


def test_decoded_pixels_may_be_written_to():
    pixels = decode(saved(image(sharp(3)), "PNG")).pixels
    pixels[0, 0, 0] = 9
    assert pixels[0, 0, 0] == 9


@pytest.mark.parametrize(
    "options", [{"quality": 90}, {"lossless": True}, {"quality": 90, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}]
)
def test_webp_size_is_checked_before_the_canvas_is_made(options):
    # The simple lossy, the lossless and the extended layout keep their size in three different places.
    data = saved(image(smooth(3)), "WEBP", **options)
    with pytest.raises(DataError, match="48 x 32 pixels, above the limit of 1000"):
        decode(data, max_pixels=1000)
    header = probe(data)
    assert (header.width, header.height) == (48, 32)
