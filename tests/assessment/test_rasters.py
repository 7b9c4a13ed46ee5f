"""Class rasters: names, values and sizes on the ground."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio

from swath.assessment.rasters import TotalsCounter, open_classes
from swath.mapping import map_scene
from tests.assessment.maps import DEGREES, land, write_map


def test_a_map_of_swath_is_one(tiny_model: Path, tmp_path: Path) -> None:
    """Names, colors and areas are those of its legend."""
    random = np.random.default_rng(0)
    scene = random.integers(0, 255, (3, 256, 256), dtype=np.uint8)
    made = map_scene(
        str(tiny_model), scene, crs="EPSG:32632", transform=(10, 0, 6e5, 0, -10, 5.4e6), out=tmp_path / "map.tif"
    )
    with open_classes(tmp_path / "map.tif") as raster:
        counter = TotalsCounter(raster)
        for strip in raster.strips(stage="counting"):
            counter.add(*strip)
        totals = counter.totals()
        colors = raster.colors
    legend = {entry.name: entry for entry in made.legend if entry.pixels}
    assert set(totals.names) == set(legend)
    for value, name, pixels, hectares in zip(totals.values, totals.names, totals.pixels, totals.hectares, strict=True):
        assert (value, pixels) == (legend[name].value, legend[name].pixels)
        assert hectares == pytest.approx(legend[name].hectares)
        assert colors[value] == legend[name].color


def test_names_from_the_file_next_to_it(tmp_path: Path) -> None:
    path = write_map(tmp_path / "map.tif", land()[0], names=None)
    (tmp_path / "map.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><CategoryNames><Category>No data</Category>"
        "<Category>A &amp; B</Category><Category/><Category>same</Category><Category>same</Category>"
        "</CategoryNames></PAMRasterBand></PAMDataset>"
    )
    with open_classes(path) as raster:
        assert [raster.named(k) for k in range(6)] == ["No data", "A & B", "2", "same (3)", "same (4)", "5"]


@pytest.mark.parametrize("names", ["[1, 2", '{"a": 1}', "[1, 2, 3]", "null"])
def test_damaged_names_are_none(tmp_path: Path, names: str) -> None:
    path = write_map(tmp_path / "map.tif", land()[0], names=None)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(1, class_names=names)
    with open_classes(path) as raster:
        assert raster.named(1) == "1"


def test_pixels_of_degrees_have_the_size_of_their_row(tmp_path: Path) -> None:
    values = np.ones((60, 80), np.uint8)
    values[30:] = 2
    with open_classes(write_map(tmp_path / "map.tif", values, place=DEGREES)) as raster:
        counter = TotalsCounter(raster)
        for strip in raster.strips(stage="counting"):
            counter.add(*strip)
        totals = counter.totals()
        rows = np.arange(60)
        assert (np.diff(raster.hectares(rows, np.zeros(60, int))) > 0).all()  # towards the equator they grow
    assert totals.pixels.tolist() == [2400, 2400]
    # The same degrees: areas go with the difference of sines of latitude.
    sines = np.sin(np.radians([70, 64, 58]))
    assert totals.hectares[1] / totals.hectares[0] == pytest.approx(
        (sines[1] - sines[2]) / (sines[0] - sines[1]), rel=0.005
    )


def test_values_under_coordinates(tmp_path: Path) -> None:
    mapped, _ = land()
    with open_classes(write_map(tmp_path / "map.tif", mapped)) as raster:
        x = np.array([600_000.0, 600_799.9, 600_800.0, np.nan, np.inf, 599_999.9, 1e300])
        y = np.array([5_400_000.0, 5_399_400.1, 5_399_995.0, 5_399_995.0, 0.0, 5_399_995.0, 0.0])
        found, inside = raster.at(x, y)
    assert inside.tolist() == [True, True, False, False, False, False, False]
    expected = [int(mapped[0, 0]), int(mapped[59, 79])]
    assert found[:2].tolist() == [value if value else -1 for value in expected]
    assert (found[2:] == -1).all()
