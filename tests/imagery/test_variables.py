"""Variables of NetCDF files and Zarr folders as bands."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.windows import Window
from scipy.io import netcdf_file

from swath.errors import DataError
from swath.mapping.reader import open_scene

PLACE = Affine(10, 0, 600_000, 0, -10, 5_400_000)
HEIGHT, WIDTH = 40, 60
VALUES = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH)


def write_zarr(path, *names, shift=1000):
    """A folder of one array a name, as GDAL writes it."""
    profile = {"driver": "Zarr", "width": WIDTH, "height": HEIGHT, "count": 1, "dtype": "uint16"}
    for at, name in enumerate(names):
        more = {"APPEND_SUBDATASET": "YES"} if at else {}
        with rasterio.open(path, "w", crs="EPSG:32632", transform=PLACE, ARRAY_NAME=name, **profile, **more) as dataset:
            dataset.write(VALUES + at * shift, 1)
    return path


def write_netcdf(path, variables, *, attributes=None):
    """A NetCDF 3 file of int16 variables over y and x, or one more dimension, by the CF conventions."""
    netcdf = netcdf_file(path, "w")
    sizes = {"y": HEIGHT, "x": WIDTH, "band": 3, "time": 2}
    for name, size in sizes.items():
        netcdf.createDimension(name, size)
    for name, start, step in (("x", PLACE.c, PLACE.a), ("y", PLACE.f, PLACE.e)):
        axis = netcdf.createVariable(name, "f8", (name,))
        axis[:] = start + step * (np.arange(sizes[name]) + 0.5)
        axis.standard_name, axis.units = f"projection_{name}_coordinate", "m"
    system = netcdf.createVariable("spatial_ref", "i4", ())
    system.crs_wkt, system.grid_mapping_name = rasterio.CRS.from_epsg(32632).to_wkt(), "transverse_mercator"
    for name, (dimensions, values) in variables.items():
        made = netcdf.createVariable(name, "i2", dimensions)
        made[:] = values
        made.grid_mapping = "spatial_ref"
        for key, value in (attributes or {}).items():
            setattr(made, key, value)
    netcdf.close()
    return path


def opened(scene):
    with open_scene(scene) as found:
        values, present = found.read(range(1, len(found.bands) + 1), Window(3, 5, 20, 10))
    return found, values, present


def test_arrays_named_after_bands_are_the_bands_of_a_zarr_folder(tmp_path):
    path = write_zarr(tmp_path / "s.zarr", "B02", "B03", "B04")
    scene, values, _ = opened(path)
    assert (scene.bands, scene.crs.to_epsg(), scene.transform) == (("B02", "B03", "B04"), 32632, PLACE)
    for at in range(3):
        np.testing.assert_array_equal(values[at], VALUES[5:15, 3:23] + at * 1000)
    scene, values, _ = opened(f"{path}:B03")
    np.testing.assert_array_equal(values[0], VALUES[5:15, 3:23] + 1000)


def test_variables_named_after_bands_are_the_bands_of_a_netcdf_file(tmp_path):
    bands = {name: (("y", "x"), VALUES + at * 1000) for at, name in enumerate(("blue", "green", "red"))}
    attributes = {"scale_factor": 1e-4, "add_offset": -0.1, "_FillValue": np.int16(305)}
    path = write_netcdf(tmp_path / "s.nc", bands | {"cloud": (("y", "x"), 0)}, attributes=attributes)
    scene, values, present = opened(path)
    assert (scene.bands, scene.transform) == (("blue", "green", "red"), PLACE)
    assert scene.scaling == pytest.approx((1e-4, -0.1))
    np.testing.assert_array_equal(values[2], VALUES[5:15, 3:23] + 2000)
    np.testing.assert_array_equal(present[0], VALUES[5:15, 3:23] != 305)


def test_a_variable_of_several_bands_is_named(tmp_path):
    cube = np.stack([VALUES, VALUES + 1, VALUES + 2])
    variables = {"cube": (("band", "y", "x"), cube), "dem": (("y", "x"), VALUES)}
    path = write_netcdf(tmp_path / "s.nc", variables)
    scene, values, _ = opened(f"{path}:cube")
    assert len(scene.bands) == 3
    np.testing.assert_array_equal(values, cube[:, 5:15, 3:23])
    with pytest.raises(DataError, match=r"not named after bands; name one of dem, cube, as in .*s\.nc:dem"):
        opened(path)
    with pytest.raises(DataError, match=r"holds no variable other; give one of dem, cube"):
        opened(f"{path}:other")
    scene, values, _ = opened(write_netcdf(tmp_path / "one.nc", {"cube": variables["cube"]}))
    np.testing.assert_array_equal(values, cube[:, 5:15, 3:23])


def test_several_dates_are_refused(tmp_path):
    path = write_netcdf(tmp_path / "s.nc", {"cube": (("time", "band", "y", "x"), 1)})
    with pytest.raises(DataError, match="has the dimensions time, band besides y and x; select one date first"):
        opened(path)


def test_what_is_neither_is_said(tmp_path):
    (tmp_path / "text.nc").write_text("no")
    with pytest.raises(DataError, match="is no NetCDF file"):
        opened(tmp_path / "text.nc")
    (tmp_path / "cut.nc").write_bytes(b"CDF\1")
    with pytest.raises(DataError, match=r"cut\.nc cannot be opened"):
        opened(tmp_path / "cut.nc")
    (tmp_path / "e.zarr").mkdir()
    with pytest.raises(DataError, match="is no Zarr folder"):
        opened(tmp_path / "e.zarr")
    with pytest.raises(DataError, match="there is no scene"):
        opened(tmp_path / "none.nc:B04")
