from __future__ import annotations

import struct
import zipfile

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from swath.errors import DataError
from swath.imagery import RGB, decode, probe
from swath.imagery.rasters import read_dataset, read_virtual

from .samples import image, jpeg_2000, raster, saved, sharp, smooth


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 3])
def test_tiff_of_every_type_is_exact(dtype, bands):
    pixels = sharp(bands, "uint16" if dtype == "uint16" else "uint8").astype(dtype)
    if dtype == "float32":
        pixels = pixels / np.float32(7) - 5
    options = {"photometric": "RGB"} if bands == 3 else {}
    picture = decode(raster(pixels, **options))
    assert picture.bands == (("gray",) if bands == 1 else RGB)
    assert picture.units == ("display" if dtype == "uint8" else "digital number")
    names = {("uint8", 1): "L", ("uint8", 3): "RGB", ("uint16", 1): "I;16"}
    assert picture.mode == names.get((dtype, bands), f"{dtype} x {bands}")
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 16, "blockysize": 16}])
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw"])
def test_tiff_layouts_hold_the_same_pixels(interleave, layout, compress):
    pixels = sharp(5, "uint16")
    picture = decode(raster(pixels, interleave=interleave, compress=compress, **layout))
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_bands_are_named_by_their_descriptions():
    data = raster(sharp(4, "uint16"), descriptions=("B02", "B03 ", "Red", "NIR"))
    picture = decode(data)
    assert picture.bands == ("b02", "b03", "red", "nir")
    assert picture.mode == "uint16 x 4"


def test_bands_without_names_are_numbered():
    assert decode(raster(sharp(5, "uint16"), photometric="minisblack")).bands == (
        "band_1",
        "band_2",
        "band_3",
        "band_4",
        "band_5",
    )


def test_doubtful_names_become_numbers():
    data = raster(sharp(2, "uint16"), descriptions=("nir", "NIR"))
    assert decode(data).bands == ("band_1", "band_2")


def test_gray_and_alpha():
    data = raster(sharp(2), colors=(ColorInterp.gray, ColorInterp.alpha))
    picture = decode(data)
    assert (picture.bands, picture.mode) == (("gray", "alpha"), "LA")


def test_tiff_palette_becomes_rgb():
    numbers = sharp(1) % 4
    colors = {0: (255, 0, 0, 255), 1: (0, 200, 0, 255), 2: (0, 0, 150, 255), 3: (9, 8, 7, 255)}
    picture = decode(raster(numbers, photometric="palette", palette=colors))
    assert (picture.bands, picture.mode, picture.units) == (RGB, "P", "display")
    table = np.array([colors[i][:3] for i in range(4)], np.uint8)
    np.testing.assert_array_equal(picture.pixels, table[numbers[0]].transpose(2, 0, 1))


def test_tiff_one_bit_becomes_black_and_white():
    bits = sharp(1)[0] % 3 == 0
    picture = decode(saved(Image.fromarray(bits), "TIFF"))
    assert (picture.bands, picture.mode) == (("gray",), "1")
    np.testing.assert_array_equal(picture.pixels[0], np.where(bits, 255, 0))


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17)])
@pytest.mark.parametrize("bands", [1, 3])
def test_tiff_of_few_bits_reaches_from_black_to_white_as_a_png_does(bits, step, bands):
    values = sharp(bands) % 2**bits
    picture = decode(raster(values, nbits=bits))
    assert picture.pixels.dtype == np.uint8
    np.testing.assert_array_equal(picture.pixels, values * step)


def test_tiff_of_twelve_bits_is_as_stored():
    values = sharp(1, "uint16") % 4096
    np.testing.assert_array_equal(decode(raster(values, nbits=12)).pixels, values)


def test_tiff_cmyk_becomes_rgb():
    ink = smooth(4)
    picture = decode(saved(image(ink, "CMYK"), "TIFF"))
    assert (picture.bands, picture.mode) == (RGB, "CMYK")
    np.testing.assert_allclose(picture.pixels, (255.0 - ink[:3]) * (255.0 - ink[3]) / 255, atol=1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_orientation_is_applied(orientation):
    stored = sharp(3)
    data = saved(image(stored), "TIFF", tiffinfo={274: orientation})
    jpeg_like = saved(image(stored), "PNG", exif=orientation_block(orientation))
    np.testing.assert_array_equal(decode(data).pixels, decode(jpeg_like).pixels)
    header = probe(data)
    assert (header.height, header.width) == decode(data).pixels.shape[1:]


def orientation_block(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes()


def test_several_pages_are_refused():
    pages = [image(sharp(1)), image(sharp(1))]
    data = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="scan holds 2 pages; save one page a file"):
        decode(data, name="scan")


def test_complex_values_are_refused():
    with pytest.raises(DataError, match="radar holds complex64 values"):
        decode(raster(sharp(1).astype(np.complex64)), name="radar")


def test_nodata_is_left_as_it_is():
    pixels = sharp(1, "uint16")
    np.testing.assert_array_equal(decode(raster(pixels, nodata=int(pixels[0, 3, 3]))).pixels, pixels)


def test_files_beside_a_picture_are_not_looked_at(tmp_path):
    # A side file could otherwise change names and values of a picture it came with.
    path = tmp_path / "a.tif"
    path.write_bytes(raster(sharp(1, "uint16")))
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><Description>evil</Description></PAMRasterBand></PAMDataset>"
    )
    assert decode(path).bands == ("gray",)


@pytest.mark.parametrize(
    ("dtype", "bands", "names", "mode"),
    [
        ("uint8", 1, ("gray",), "L"),
        ("uint8", 3, RGB, "RGB"),
        ("uint16", 1, ("gray",), "I;16"),
        ("uint16", 3, RGB, "uint16 x 3"),
    ],
)
def test_jpeg_2000_lossless_is_exact(dtype, bands, names, mode):
    picture = decode(jpeg_2000(sharp(bands, dtype)))
    assert (picture.bands, picture.mode) == (names, mode)
    assert picture.units == ("display" if dtype == "uint8" else "digital number")
    np.testing.assert_array_equal(picture.pixels, sharp(bands, dtype))


def test_jpeg_2000_without_its_box_is_read_too():
    data = jpeg_2000(sharp(1))
    stream = data[data.index(b"\xff\x4f\xff\x51") :]
    np.testing.assert_array_equal(decode(stream).pixels, sharp(1))


@pytest.mark.parametrize(("bands", "names"), [(3, RGB), (4, (*RGB, "alpha"))])
def test_png_16_bit_color_keeps_every_bit(bands, names):
    picture = decode(raster(sharp(bands, "uint16"), "PNG"))
    assert (picture.bands, picture.mode) == (names, f"uint16 x {bands}")
    np.testing.assert_array_equal(picture.pixels, sharp(bands, "uint16"))


def test_a_hostile_path_is_a_plain_file_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = tmp_path / "vsicurl" / "a,b?.tif"
    name.parent.mkdir()
    name.write_bytes(raster(sharp(1)))
    np.testing.assert_array_equal(decode(name.relative_to(tmp_path)).pixels, sharp(1))


def test_a_tiff_of_thousands_of_bands_is_refused():
    data = raster(np.zeros((1025, 1, 1), np.uint8), interleave="pixel")
    for read in (decode, probe):
        with pytest.raises(DataError, match="cube says it has 1025 bands"):
            read(data, name="cube")


def test_a_huge_block_in_a_small_picture_is_refused():
    # The picture is 12 x 20; one block of it says it is 4096 x 4096 and would be decoded whole.
    data = raster(sharp(1), tiled=True, blockxsize=4096, blockysize=4096, compress="deflate")
    assert len(data) < 200_000
    with pytest.raises(DataError, match="4096 x 4096 pixels, above the limit of 1000000"):
        decode(data, max_pixels=1_000_000)


def test_tiles_that_cannot_be_decoded_are_no_zeros(tmp_path, monkeypatch):
    # With several threads GDAL gives them as zeros, or as the memory was, and no error.
    monkeypatch.setenv("GDAL_NUM_THREADS", "4")
    pixels = np.random.default_rng(0).integers(0, 255, (1, 256, 256)).astype(np.uint8)
    data = bytearray(raster(pixels, "JP2OpenJPEG", BLOCKXSIZE=64, BLOCKYSIZE=64, QUALITY="100", REVERSIBLE="YES"))
    at, tile = data.index(b"\xff\x90"), 0
    while data[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        if tile >= 2:
            data[at + 14 : at + length] = b"\xff" * (length - 14)
        at, tile = at + length, tile + 1
    assert tile == 4
    (tmp_path / "a.jp2").write_bytes(data)
    for source in (bytes(data), tmp_path / "a.jp2"):
        with pytest.raises(DataError, match=r"a\.jp2 is a damaged or cut-short JPEG 2000 file"):
            decode(source, name="a.jp2")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_png_in_an_archive_that_is_cut_short_is_refused(tmp_path, part):
    data = raster(np.random.default_rng(0).integers(0, 255, (3, 64, 64)).astype(np.uint8), "PNG")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", data[: int(part * len(data))])
    with pytest.raises(DataError, match=r"a\.png is a damaged or cut-short PNG file"):
        read_virtual(f"/vsizip/{tmp_path}/a.zip/a.png")


def test_what_gdal_says_of_a_damaged_tag_is_an_error_of_swath(tmp_path):
    data = bytearray(raster(sharp(1), transform=rasterio.Affine(1, 0, 5, 0, -1, 5)))
    for at in (at for at in range(len(data)) if data.startswith(struct.pack("<HH", 33550, 12), at)):
        data[at : at + 2] = struct.pack("<H", 45312)  # a tag of its type that libtiff does not know
    (tmp_path / "a.tif").write_bytes(data)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        read_dataset(dataset, name="a.tif")
