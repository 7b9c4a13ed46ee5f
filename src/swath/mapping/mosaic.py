"""Make a scene of labeled patches, whose classes are known, and measure the accuracy of a map of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from swath.errors import DataError
from swath.files import atomic_file
from swath.imagery import RGB

MOST_PATCHES = 625  # of a mosaic: 16 square kilometers per hundred patches, at EuroSAT's 10 m
BLOCK = 5  # columns of patches in which a mosaic is filled, so that classes lie together
_COLORS = {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue}


@dataclass(frozen=True)
class MapAccuracy:
    """Accuracy of a map against the known classes, counted.

    Attributes
    ----------
    patches, patches_right : int
        Patches, and those most of whose mapped pixels have the true class.
    pixels, pixels_right : int
        Mapped pixels, and those with the true class. Pixels of one patch are not independent: an interval
        belongs to the patches.
    """

    patches: int
    patches_right: int
    pixels: int
    pixels_right: int

    @property
    def patch_share(self) -> float:
        """Share of the patches that are right, 0-1."""
        return self.patches_right / self.patches

    @property
    def pixel_share(self) -> float:
        """Share of the mapped pixels that are right, 0-1; 0 if none is mapped."""
        return self.pixels_right / self.pixels if self.pixels else 0.0


def mosaic_order(labels: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Choose the patches of a mosaic: of each class alike many, lying together.

    Parameters
    ----------
    labels : numpy.ndarray
        int64 ``[N]``, the class of each patch.

    Returns
    -------
    order : numpy.ndarray
        int64, rows of the patches, at most :data:`MOST_PATCHES` of them, row by row of the mosaic.
    columns : int
        Patches side by side.
    """
    kinds = np.unique(labels)
    per_class = max(1, MOST_PATCHES // len(kinds))
    chosen = np.concatenate([np.flatnonzero(labels == kind)[:per_class] for kind in kinds])
    columns = min(BLOCK * max(1, round(len(chosen) ** 0.5 / BLOCK)), len(chosen))
    rows, width = len(chosen) // columns, min(BLOCK, columns)
    blocks = chosen[: rows * columns].reshape(-1, rows, width)
    return blocks.transpose(1, 0, 2).reshape(-1), columns


def write_mosaic(
    pixels: npt.NDArray[np.uint8],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    columns: int,
    out: Path,
    bands: Sequence[str] = RGB,
    crs: str = "EPSG:32632",
    gsd: float = 10.0,
    origin: tuple[float, float] = (600_000.0, 5_400_000.0),
    overwrite: bool = False,
) -> npt.NDArray[np.intp]:
    """Write patches side by side as one GeoTIFF scene.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8 ``[N, bands, P, P]``, laid row by row; N is a multiple of `columns`.
    labels : sequence of str
        N true classes.
    classes : sequence of str
        All classes in the model's order.
    columns : int
        Patches side by side.
    out : Path
        GeoTIFF to write, deflate without loss.
    bands : sequence of str
        Names of the bands.
    crs : str
        Coordinate reference system to state.
    gsd : float
        Meters per pixel.
    origin : tuple of float
        Easting and northing of the upper left corner, meters.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    numpy.ndarray
        ``[rows, columns]``, the place in `classes` of each patch's class.

    Raises
    ------
    DataError
        If the patches do not fill whole rows, or the labels do not fit.
    """
    count, depth, patch, width = pixels.shape
    if count == 0 or columns < 1 or count % columns or patch != width or depth != len(bands):
        raise DataError(
            f"patches of shape {pixels.shape} do not make a mosaic of {columns} to a row with bands {', '.join(bands)}",
            fix="give square patches that fill whole rows",
        )
    unknown = sorted(set(labels) - set(classes))
    if len(labels) != count or unknown:
        raise DataError(f"{len(labels)} labels for {count} patches; not among the classes: {unknown or 'none'}")
    rows = count // columns
    side = min(512, max(16, patch * columns // 16 * 16))
    with (
        atomic_file(out, overwrite=overwrite) as temporary,
        rasterio.open(
            temporary,
            "w",
            driver="GTiff",
            width=columns * patch,
            height=rows * patch,
            count=depth,
            dtype="uint8",
            crs=crs,
            transform=Affine(gsd, 0, origin[0], 0, -gsd, origin[1]),
            photometric="RGB" if tuple(bands) == RGB else "MINISBLACK",
            tiled=True,
            blockxsize=side,
            blockysize=side,
            compress="deflate",
            predictor=2,
        ) as dataset,
    ):
        dataset.descriptions = tuple(bands)
        dataset.colorinterp = [_COLORS.get(band, ColorInterp.undefined) for band in bands]
        for row in range(rows):
            strip = pixels[row * columns : (row + 1) * columns].transpose(1, 2, 0, 3)
            window = Window(0, row * patch, columns * patch, patch)
            dataset.write(strip.reshape(depth, patch, columns * patch), window=window)
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[label] for label in labels], np.intp).reshape(rows, columns)


def map_accuracy(land: Path | npt.NDArray[np.uint8], truth: npt.NDArray[np.intp], patch: int) -> MapAccuracy:
    """Compare a class raster with the classes of the patches of a mosaic.

    A patch counts as right if its true class is the most frequent one among its mapped pixels (the lower
    class number where two are as frequent).

    Parameters
    ----------
    land : Path or numpy.ndarray
        A map of the scene, as :func:`swath.mapping.map_scene` writes it, or its classes ``[height, width]``.
    truth : numpy.ndarray
        ``[rows, columns]``, from :func:`write_mosaic`.
    patch : int
        Pixels of a patch.

    Raises
    ------
    DataError
        If the map has not the size of the scene.
    """
    rows, columns = truth.shape
    if isinstance(land, Path):
        with rasterio.open(land.resolve(), driver="GTiff") as dataset:
            land = np.asarray(dataset.read(1))
    height, width = land.shape
    if (height, width) != (rows * patch, columns * patch):
        raise DataError(
            f"the map is {width} x {height} pixels and the mosaic {columns * patch} x {rows * patch}",
            fix="give the map of this mosaic",
        )
    values = land.reshape(rows, patch, columns, patch).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    counts = np.stack([np.bincount(own, minlength=256) for own in values])[:, 1:]
    true = truth.ravel()
    hits = counts[np.arange(len(true)), true]
    right = (counts.argmax(axis=1) == true) & (hits > 0)
    return MapAccuracy(len(true), int(right.sum()), int(counts.sum()), int(hits.sum()))
