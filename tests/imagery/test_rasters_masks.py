"""Where rasters hold data, held against the masks of rasterio and GDAL on files of every kind there is."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from swath.imagery.rasters import RasterBands, equals_nodata

SIDE = 12
GRID = Affine(10, 0, 6e5, 0, -10, 5.4e6)
LOWEST = float(np.finfo("float32").min)


def values(count, dtype, *, gap=None, seed=0):
    """Noise ``[count, SIDE, SIDE]`` whose upper half holds `gap`, one value for all bands or one each."""
    made = np.random.default_rng(seed).integers(10, 200, (count, SIDE, SIDE)).astype(dtype)
    if gap is not None:
        made[:, : SIDE // 2] = np.broadcast_to(np.asarray(gap), (count,)).astype(dtype)[:, None, None]
    return made


def write(path, pixels, *, mask=None, colors=None, colormap=None, tags=None, msk=False, **profile):
    count, height, width = pixels.shape
    defaults = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=not msk),
        rasterio.open(path, "w", **(defaults | {"crs": "EPSG:32632", "transform": GRID} | profile)) as made,
    ):
        if colors:
            made.colorinterp = colors
        made.write(pixels)
        if colormap:
            made.write_colormap(1, colormap)
        if mask is not None:
            made.write_mask(mask)
        made.update_tags(**(tags or {}))
    return path


HALF = np.full((SIDE, SIDE), 255, np.uint8)
HALF[: SIDE // 2] = 0
GRAY, UNDEFINED, ALPHA = ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha
R, G, B = ColorInterp.red, ColorInterp.green, ColorInterp.blue


def with_alpha(place, count, dtype="uint8", *, partial=False):
    """Noise with an alpha band at a place from 0, and the colors that say so."""
    pixels = values(count, dtype)
    pixels[place] = np.where(HALF > 0, 128 if partial else np.iinfo(dtype).max, 0).astype(dtype)
    colors = [GRAY if band == 0 else UNDEFINED for band in range(count)]
    colors[place] = ALPHA
    return pixels, colors


# What is written, and whether GDAL's own mask of the dataset is right about it: it knows an alpha band only as the
# last of two or four, keeps infinite values, and asks one nodata value of all bands.
FILES = {
    "plain 8 bit": ({"pixels": values(3, "uint8")}, True),
    "plain float": ({"pixels": values(3, "float32")}, True),
    "one band": ({"pixels": values(1, "uint16")}, True),
    "nodata 0": ({"pixels": values(3, "uint8", gap=0), "nodata": 0}, True),
    "nodata 255": ({"pixels": values(3, "uint8", gap=255), "nodata": 255}, True),
    "nodata 65535": ({"pixels": values(3, "uint16", gap=65535), "nodata": 65535}, True),
    "nodata -9999": ({"pixels": values(3, "int16", gap=-9999), "nodata": -9999}, True),
    "nodata -32768": ({"pixels": values(4, "int16", gap=-32768), "nodata": -32768}, True),
    "nodata of 32-bit integers": ({"pixels": values(3, "int32", gap=-(2**31)), "nodata": -(2**31)}, True),
    "nodata NaN": ({"pixels": values(3, "float32", gap=np.nan), "nodata": np.nan}, True),
    "nodata -9999 of floats": ({"pixels": values(3, "float32", gap=-9999), "nodata": -9999}, True),
    "nodata lowest float": ({"pixels": values(3, "float32", gap=LOWEST), "nodata": LOWEST}, True),
    "nodata lowest float, rounded": ({"pixels": values(3, "float32", gap=LOWEST), "nodata": -3.4028235e38}, True),
    "nodata lowest float, as -3.4e38": ({"pixels": values(3, "float32", gap=LOWEST), "nodata": -3.4e38}, True),
    "nodata lowest 32-bit float in 64 bits": (
        {"pixels": values(3, "float64", gap=LOWEST), "nodata": -3.4028235e38},
        True,
    ),
    "nodata of 32 bits in 64": (
        {"pixels": values(3, "float64", gap=float(np.float32(-999.9))), "nodata": -999.9},
        True,
    ),
    "nodata highest float, as 3.4e38": ({"pixels": values(3, "float32", gap=-LOWEST), "nodata": 3.4e38}, True),
    "nodata one bit off": (
        {"pixels": values(3, "float32", gap=np.nextafter(np.float32(-999.9), np.float32(0))), "nodata": -999.9},
        True,
    ),
    "nodata of doubles": ({"pixels": values(3, "float64", gap=-1e20), "nodata": -1e20}, True),
    "nodata 0.1 as double": ({"pixels": values(3, "float32", gap=0.1), "nodata": 0.1}, True),
    "nodata that no pixel has": ({"pixels": values(3, "uint16"), "nodata": 65535}, True),
    "mask inside": ({"pixels": values(3, "uint8"), "mask": HALF}, True),
    "mask beside": ({"pixels": values(3, "uint8"), "mask": HALF, "msk": True}, True),
    "mask of one band": ({"pixels": values(1, "uint16"), "mask": HALF}, True),
    "mask of seven bands": ({"pixels": values(7, "uint16"), "mask": HALF}, True),
    "mask and nodata": ({"pixels": values(3, "uint8", gap=0), "mask": HALF, "nodata": 0}, True),
    "gray and alpha": ({"pixels": with_alpha(1, 2)[0], "colors": with_alpha(1, 2)[1]}, True),
    "RGB and alpha": ({"pixels": with_alpha(3, 4)[0], "colors": [R, G, B, ALPHA]}, True),
    "RGB and half-transparent alpha": ({"pixels": with_alpha(3, 4, partial=True)[0], "colors": [R, G, B, ALPHA]}, True),
    "16-bit RGB and alpha": ({"pixels": with_alpha(3, 4, "uint16")[0], "colors": [R, G, B, ALPHA]}, True),
    "alpha last of five": ({"pixels": with_alpha(4, 5)[0], "colors": with_alpha(4, 5)[1]}, False),
    "alpha last of three": ({"pixels": with_alpha(2, 3)[0], "colors": with_alpha(2, 3)[1]}, False),
    "alpha first": ({"pixels": with_alpha(0, 4)[0], "colors": with_alpha(0, 4)[1]}, False),
    "alpha in the middle": ({"pixels": with_alpha(2, 6)[0], "colors": with_alpha(2, 6)[1]}, False),
    "alpha and nodata": ({"pixels": with_alpha(3, 4)[0], "colors": [R, G, B, ALPHA], "nodata": 0}, True),
    "a nodata color": ({"pixels": values(3, "uint8", gap=(9, 0, 7)), "tags": {"NODATA_VALUES": "9 0 7"}}, True),
    "palette and nodata": (
        {
            "pixels": values(1, "uint8", gap=0),
            "nodata": 0,
            "colormap": {i: (i, i // 2, 9, 255) for i in range(256)},
            "photometric": "palette",
        },
        True,
    ),
    "minus infinity": ({"pixels": values(3, "float32", gap=-np.inf)}, False),
    "NaN that nobody states": ({"pixels": values(3, "float32", gap=np.nan)}, False),
    "infinity and nodata": ({"pixels": values(3, "float32", gap=np.inf), "nodata": -9999}, False),
}


def halves(mask):
    """Whether the upper and the lower half of a scene are data: each is of one kind in all of the files."""
    assert mask.shape == (SIDE, SIDE)
    upper, lower = mask[: SIDE // 2], mask[SIDE // 2 :]
    assert upper.all() or not upper.any()
    assert lower.all() or not lower.any()
    return bool(upper.any()), bool(lower.any())


@pytest.mark.filterwarnings("ignore::rasterio.errors.NodataShadowWarning")
@pytest.mark.parametrize("name", FILES)
def test_data_are_where_gdal_says_so_or_better(tmp_path, name):
    options, gdal_is_right = FILES[name]
    path = write(tmp_path / "s.tif", **options)
    with rasterio.open(path) as dataset:
        bands = RasterBands(dataset, name="s.tif")
        chosen = [place for place, band in enumerate(bands.names, start=1) if band != "alpha"]
        _, present = bands.read_with_mask(chosen)
        theirs = halves(dataset.dataset_mask() > 0)
    ours = (True, True) if present is None else halves(present.any(axis=0))
    plain = name.startswith(("plain", "one band")) or name == "nodata that no pixel has"
    assert ours == ((True, True) if plain else (False, True))
    assert (ours == theirs) == gdal_is_right


def test_each_band_has_its_own_nodata_value(tmp_path):
    """A format that allows it: GeoTIFF has one value for all bands."""
    pixels = values(3, "uint8", gap=(3, 4, 5))
    write(tmp_path / "s.tif", pixels)
    rasterio.shutil.copy(tmp_path / "s.tif", tmp_path / "s.vrt", driver="VRT")
    text = (tmp_path / "s.vrt").read_text()
    for band, value in ((1, 3), (2, 4), (3, 5)):
        head = f'<VRTRasterBand dataType="Byte" band="{band}"'
        place = text.index(">", text.index(head)) + 1
        text = f"{text[:place]}<NoDataValue>{value}</NoDataValue>{text[place:]}"
    (tmp_path / "s.vrt").write_text(text)
    with rasterio.open(tmp_path / "s.vrt") as dataset:
        _, present = RasterBands(dataset, name="s.vrt").read_with_mask([1, 2, 3])
    np.testing.assert_array_equal(present, np.broadcast_to(HALF > 0, (3, SIDE, SIDE)))


def test_the_users_value_replaces_the_files(tmp_path):
    path = write(tmp_path / "s.tif", values(3, "uint8", gap=7), nodata=9)
    with rasterio.open(path) as dataset:
        _, present = RasterBands(dataset, name="s.tif").read_with_mask([1, 2], nodata=7)
    assert halves(present.any(axis=0)) == (False, True)


NUMBERS = st.floats(-1e30, 1e30, allow_subnormal=False).filter(lambda number: number == 0 or abs(number) > 1e-30)


HUGE = st.floats(1e37, 3.4e38).flatmap(lambda value: st.sampled_from([value, -value]))


@settings(max_examples=300)
@given(
    st.sampled_from(["float32", "float64"]),
    NUMBERS | HUGE | st.just(LOWEST),
    st.integers(-4, 4),
    st.sampled_from([1, 1 - 1e-9, 1 + 1e-8, 1 + 1e-7, 1 - 4e-7, 1 + 5e-7, 1 - 1e-6, 1 - 1e-3, 0.5]),
)
def test_nodata_is_compared_as_gdal_does(dtype, nodata, steps, factor):
    """A value, its neighbors a few bits off or a little smaller or larger, and GDAL's mask of them."""
    with np.errstate(over="ignore"):
        value = (np.array(nodata, "float64") * factor).astype(dtype)
    assume(np.isfinite(value))
    for _ in range(abs(steps) if nodata not in (0, LOWEST) else 0):
        value = np.nextafter(value, np.array(np.inf if steps > 0 else -np.inf, dtype))
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", width=1, height=1, count=1, dtype=dtype, nodata=nodata) as made:
            made.write(value.reshape(1, 1, 1))
        with memory.open() as made:
            stated, theirs = made.nodata, not made.read_masks(1)[0, 0]
    assert bool(equals_nodata(value.reshape(1), stated)[0]) == theirs
