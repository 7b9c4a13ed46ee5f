"""Small class rasters whose truth is known, and places on them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine

from swath.assessment.accuracy import read_reference
from swath.assessment.rasters import open_classes
from swath.mapping.places import LabeledPlace, Places, write_places

NAMES = ("No data", "Forest", "River", "Town")
UTM = ("EPSG:32632", Affine(10, 0, 600_000, 0, -10, 5_400_000))
DEGREES = ("EPSG:4326", Affine(0.2, 0, 8, 0, -0.2, 70))  # rows differ in size by far
Values = npt.NDArray[Any]


def land(height: int = 60, width: int = 80, *, seed: int = 0) -> tuple[Values, Values]:
    """A map with some nodata, and what is really there."""
    random = np.random.default_rng(seed)
    mapped = random.choice([0, 1, 2, 3], (height, width), p=[0.05, 0.65, 0.1, 0.2]).astype(np.uint8)
    truth = np.where(random.random(mapped.shape) < 0.85, mapped, random.integers(1, 4, mapped.shape)).astype(np.uint8)
    return mapped, np.where(truth == 0, np.uint8(1), truth)


def write_map(
    path: Path,
    values: Values,
    *,
    place: tuple[str | None, Affine] = UTM,
    names: Sequence[str] | None = NAMES,
    nodata: float | None = 0,
    **more: Any,
) -> Path:
    """Write a class raster as swath map does it: names in a tag, nodata 0."""
    crs, transform = place
    profile = {"driver": "GTiff", "height": values.shape[-2], "width": values.shape[-1], "count": 1} | more
    with rasterio.open(
        path, "w", dtype=values.dtype.name, crs=crs, transform=transform, nodata=nodata, **profile
    ) as dataset:
        dataset.write(values if values.ndim == 3 else values[None])
        if names is not None:
            dataset.update_tags(1, class_names=json.dumps(names))
    return path


def labeled(sample: Path, map_: Path, truth: Values, *, out: Path | None = None, names: Sequence[str] = NAMES) -> Path:
    """The sample with the truth filled in."""
    places = read_reference(sample)
    with open_classes(map_) as raster:
        xy = np.array([row.geometry["coordinates"] for row in places.rows])
        rows, columns = raster.pixel(xy[:, 0], xy[:, 1])
    filled = [replace(row, label=names[int(truth[r, c])]) for row, r, c in zip(places.rows, rows, columns, strict=True)]
    out = sample.with_name(f"{sample.stem}-labeled.gpkg") if out is None else out
    return save(out, replace(places, rows=tuple(filled)))


def save(path: Path, places: Places) -> Path:
    """Write places, whatever is there."""
    write_places(path, places, overwrite=True)
    return path


def points(
    coordinates: Sequence[tuple[float, float]], labels: Sequence[str | None], **columns: Sequence[Any]
) -> Places:
    """Points in UTM, with columns."""
    rows = tuple(
        LabeledPlace(
            {"type": "Point", "coordinates": list(xy)},
            label,
            f"row {k}",
            {name: values[k] for name, values in columns.items()},
        )
        for k, (xy, label) in enumerate(zip(coordinates, labels, strict=True))
    )
    return Places(rows, rasterio.CRS.from_epsg(32632), "places.gpkg", "reference")
