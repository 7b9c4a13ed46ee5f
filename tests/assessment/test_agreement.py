"""A map against another raster: any grid, any system, and never called accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from swath.assessment.agreement import measure_agreement
from swath.errors import DataError
from tests.assessment.maps import UTM, land, write_map

GROUPS = {"Forest": "trees", "10": "trees", "River": "water", "80": "water", "Town": "built", "50": "built"}
VALUES = np.array([0, 10, 80, 50], np.uint8)  # of another product, by the map's values


def test_two_maps_of_one_grid_are_compared_pixel_by_pixel(tmp_path: Path) -> None:
    mapped, truth = land()
    truth[:, :5] = 0
    one, two = write_map(tmp_path / "one.tif", mapped), write_map(tmp_path / "two.tif", truth)
    (found,) = measure_agreement([one], two).maps
    both = (mapped > 0) & (truth > 0)
    assert found.pixels == both.sum()
    assert found.overall == pytest.approx((mapped == truth)[both].mean(), rel=1e-4)
    assert found.hectares == pytest.approx(both.sum() / 100, rel=2e-3)
    assert found.left_out == {"without a class in the reference": int((mapped > 0)[:, :5].sum())}
    assert found.of_map(0) == pytest.approx((truth[both & (mapped == 1)] == 1).mean(), rel=1e-4)
    assert found.of_reference(1) == pytest.approx((mapped[both & (truth == 2)] == 2).mean(), rel=1e-4)


def test_a_map_agrees_with_itself_in_another_system(tmp_path: Path) -> None:
    values = np.kron(land(12, 16)[0], np.ones((10, 10), np.uint8))  # areas wider than a pixel
    one = write_map(tmp_path / "one.tif", values)
    with rasterio.open(one) as dataset:
        left, bottom, right, top = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
        there = Affine((right - left) / 160, 0, left, 0, (bottom - top) / 120, top)
        other = np.zeros((120, 160), np.uint8)
        reproject(
            VALUES[values],
            other,
            src_transform=dataset.transform,
            src_crs=dataset.crs,
            dst_transform=there,
            dst_crs="EPSG:4326",
            resampling=Resampling.nearest,
        )
    product = write_map(tmp_path / "product.tif", other, place=("EPSG:4326", there), names=None)
    (found,) = measure_agreement([one], product, groups=GROUPS).maps
    assert found.classes == ("trees", "water", "built")
    assert found.overall > 0.9
    assert found.pixels > 0.97 * (values > 0).sum()


def test_a_reference_without_nodata_ends_where_it_ends(tmp_path: Path) -> None:
    mapped, _ = land()
    one = write_map(tmp_path / "one.tif", mapped)
    part = write_map(tmp_path / "part.tif", VALUES[mapped][:, :40], names=None, nodata=None)
    (found,) = measure_agreement([one], part, groups=GROUPS).maps
    assert found.overall == 1
    assert found.left_out["without a class in the reference"] == (mapped[:, 40:] > 0).sum()


def test_what_has_no_group_is_counted(tmp_path: Path) -> None:
    mapped, truth = land()
    one, two = write_map(tmp_path / "one.tif", mapped), write_map(tmp_path / "two.tif", truth)
    groups = {"Forest": "green", "Town": "built"}
    (found,) = measure_agreement([one], two, groups=groups).maps
    both = (mapped > 0) & (truth > 0)
    assert found.left_out["in no group of the legend"] == (both & ((mapped == 2) | (truth == 2))).sum()


def test_agreement_is_never_called_accuracy(tmp_path: Path) -> None:
    mapped, truth = land()
    one, two = write_map(tmp_path / "one.tif", mapped), write_map(tmp_path / "two.tif", truth)
    text = "\n".join(measure_agreement([one], two).lines())
    assert "agreement" in text
    assert text.count("accuracy") == 1  # "this is agreement, not accuracy"


def test_no_class_in_common_asks_for_a_legend(tmp_path: Path) -> None:
    mapped, _ = land()
    one = write_map(tmp_path / "one.tif", mapped)
    product = write_map(tmp_path / "product.tif", VALUES[mapped], names=None)
    with pytest.raises(DataError, match=r"Forest, River, Town.*10, 50, 80.*--legend"):
        measure_agreement([one], product)


def test_places_that_do_not_meet(tmp_path: Path) -> None:
    mapped, _ = land()
    one = write_map(tmp_path / "one.tif", mapped)
    far = write_map(tmp_path / "far.tif", mapped, place=(UTM[0], UTM[1] @ Affine.translation(0, 10_000)))
    with pytest.raises(DataError, match=r"no pixel of one\.tif can be compared with far\.tif"):
        measure_agreement([one], far)
    with pytest.raises(DataError, match="in no group"):
        measure_agreement([one], one, groups={"x": "y"})
