"""Tiles show what the rasters of a map hold, wherever on the globe it lies, and say why where there are none."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from morecantile import Tile
from PIL import Image
from rasterio import Affine
from rasterio.warp import transform
from rio_tiler.constants import WEB_MERCATOR_TMS

from swath.mapping.grid import make_grid
from swath.mapping.styles import confidence_color
from swath.mapping.writer import map_layers, raster_writers
from swath.model.record import class_infos
from swath.progress import silent
from swath.service.intake import RefusedError
from swath.service.tiles import TiledMap, draw_tile, read_map
from tests.tiny import CLASSES

UTM = Affine(10, 0, 500_000, 0, -10, 5_300_000)
PLACES: dict[str, tuple[str, Affine]] = {
    "UTM": ("EPSG:32632", UTM),
    "degrees": ("EPSG:4326", Affine(0.00015, 0, 9, 0, -0.0001, 47.9)),
    "a rotated grid": ("EPSG:32632", UTM @ Affine.rotation(30)),
}
SHAPE = (900, 1100)
NOISE = 0.15  # of a pixel from its edge: GDAL may be wrong by an eighth of one


def noise_map(
    folder: Path, crs: str | None, grid: Affine, *, shape: tuple[int, int] = SHAPE, ood: bool = False, task: str = "m"
) -> Path:
    """The files of a map in which every pixel has a random class, or none."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    classes = class_infos(CLASSES)
    layers = map_layers(make_grid(*shape, patch=64, stride=64), classes, ood=ood)
    paths = {"classes": folder / "map.tif", "confidence": folder / "map.confidence.tif", "ood": folder / "map.ood.tif"}
    system = None if crs is None else rasterio.CRS.from_user_input(crs)
    labels = rng.integers(0, len(CLASSES) + 1, (1, *shape), np.uint8)
    values = {
        "classes": labels,
        "confidence": np.where(labels, rng.integers(0, 101, labels.shape), 255).astype(np.uint8),
        "ood": np.where(labels, labels % 2, 255).astype(np.uint8),
    }
    with raster_writers(layers, paths, crs=system, transform=grid, tags={}, progress=silent) as writers:
        for name, writer in writers.items():
            writer.write(values[name])
    record = {
        "model": {"name": "tiny", "task": task},
        "classes": [{"value": one.value + 1, "name": one.name, "color": one.color_hint} for one in classes],
        "files": {name: path.name if name != "ood" or ood else None for name, path in paths.items()},
    }
    (folder / "map.json").write_text(json.dumps(record))
    return folder / "map.json"


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        assert (image.format, image.mode) == ("PNG", "RGBA")
        return np.array(image)


def labels(png: bytes) -> npt.NDArray[np.uint8]:
    """The class of every pixel of a tile, by its color."""
    image = pixels(png)
    found = np.zeros(image.shape[:2], np.uint8)
    for one in class_infos(CLASSES):
        found[(image == (*one.rgb, 255)).all(axis=-1)] = one.value + 1
    assert ((found > 0) == (image[..., 3] == 255)).all()
    assert np.isin(image[..., 3], (0, 255)).all()
    return found


def tile_at(shown: TiledMap, zoom: int, *, where: tuple[float, float] | None = None) -> Tile:
    return WEB_MERCATOR_TMS.tile(*(where or shown.center), zoom)


def truth(
    raster: Path, tile: Tile, side: int, at: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """What a raster holds under pixels ``[2, n]`` of a tile, point by point; and whether that is beyond doubt."""
    bounds = WEB_MERCATOR_TMS.xy_bounds(tile)
    step = (bounds.right - bounds.left) / side
    with rasterio.open(raster) as whole:
        factors, crs = whole.overviews(1), whole.crs

        def places(rows: Any, columns: Any) -> tuple[Any, Any]:
            x, y = bounds.left + (columns + 0.5) * step, bounds.top - (rows + 0.5) * step
            return tuple(np.array(v) for v in transform("EPSG:3857", crs, x.tolist(), y.tolist())[:2])

        x, y = places(np.array([side / 2, side / 2]), np.array([side / 2, side / 2 + 1]))
        there = ~whole.transform @ (x, y)
        coarse = math.hypot(there[0][1] - there[0][0], there[1][1] - there[1][0])
    level = sum(factor <= 1.02 * coarse for factor in factors) - 1
    with rasterio.open(raster, **({"overview_level": level} if level >= 0 else {})) as dataset:
        values = np.pad(dataset.read(1), 1, constant_values=int(dataset.nodata))
        column, row = ~dataset.transform @ places(*at)
    sure = (abs(column % 1 - 0.5) < 0.5 - NOISE) & (abs(row % 1 - 0.5) < 0.5 - NOISE)
    row, column = (
        np.clip(np.floor(v), -1, size).astype(int) + 1
        for v, size in ((row, values.shape[0] - 2), (column, values.shape[1] - 2))
    )
    return values[row, column], sure


@pytest.fixture(scope="module", params=PLACES)
def noise(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise_map(tmp_path_factory.mktemp("noise"), *PLACES[request.param])


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("finer", [2, 0, -1, -2, -5])
def test_a_pixel_shows_what_lies_under_its_middle(noise: Path, finer: int, side: int):
    """At the zoom level of the map and closer each pixel is the map's; farther away it is that of an overview."""
    shown = read_map(noise)
    assert shown.overviews == (2, 4)
    zoom = shown.max_zoom + finer
    west, south, east, north = shown.bounds
    middle, corner = tile_at(shown, zoom), tile_at(shown, zoom, where=(west + (east - west) / 40, (south + north) / 2))
    at = np.random.default_rng(1).integers(0, side, (2, 4000))
    seen = 0
    for tile in {middle, corner}:
        expected, sure = truth(noise.with_name("map.tif"), tile, side, at)
        found = labels(draw_tile(shown, tile.z, tile.x, tile.y, side=side))[*at]
        np.testing.assert_array_equal(found[sure], expected[sure])
        seen += int(sure.sum())
        assert len(np.unique(found)) == len(CLASSES) + 1
    assert seen > 1500


def test_confidence_has_its_own_colors(noise: Path):
    shown = read_map(noise)
    tile = tile_at(shown, shown.max_zoom)
    at = np.random.default_rng(1).integers(0, 256, (2, 500))
    expected, sure = truth(noise.with_name("map.confidence.tif"), tile, 256, at)
    found = pixels(draw_tile(shown, tile.z, tile.x, tile.y, layer="confidence"))[*at]
    for value, color in zip(expected[sure], found[sure], strict=True):
        assert tuple(color) == ((0, 0, 0, 0) if value == 255 else (*bytes.fromhex(confidence_color(value)), 255))


def test_neighbors_fit_each_other(noise: Path):
    """Four tiles show what the tile does of which they are the quarters, pixel by pixel."""
    shown = read_map(noise)
    tile = tile_at(shown, shown.max_zoom)
    parts = [
        [draw_tile(shown, tile.z + 1, 2 * tile.x + right, 2 * tile.y + down) for right in (0, 1)] for down in (0, 1)
    ]
    whole = np.vstack([np.hstack([labels(part) for part in row]) for row in parts])
    twice = labels(draw_tile(shown, tile.z, tile.x, tile.y, side=512))
    assert (whole == twice).mean() > 0.99  # GDAL interpolates the transform over another grid


def test_ood_is_hatched(tmp_path: Path):
    """The same lines as in the map's picture; they run on from tile to tile."""
    shown = read_map(noise_map(tmp_path, *PLACES["UTM"], ood=True))
    tile = tile_at(shown, shown.max_zoom + 2)
    at = np.indices((256, 512)).reshape(2, -1)
    two = [pixels(draw_tile(shown, tile.z, tile.x + right, tile.y)) for right in (0, 1)]
    found = np.hstack(two)[*at].astype(int)
    parts = [truth(tmp_path / name, tile, 256, at) for name in ("map.tif", "map.ood.tif")]
    (classes, sure), (ood, _) = parts
    plain = shown.tables["classes"][classes].astype(int)
    lines = (256 * (tile.x + tile.y) + at.sum(axis=0)) % 7 < 2
    sure &= classes > 0
    np.testing.assert_array_equal(found[..., 3][sure], 255)
    hatched = sure & (ood == 1) & lines
    np.testing.assert_array_equal(found[hatched, :3], (plain[hatched, :3] + 510) // 3)
    rest = sure & ~hatched
    np.testing.assert_array_equal(found[rest], plain[rest])
    assert hatched.sum() > 1000


def test_what_a_binary_model_does_not_look_for_is_transparent(tmp_path: Path):
    shown = read_map(noise_map(tmp_path, *PLACES["UTM"], task="binary"))
    tile = tile_at(shown, shown.max_zoom)
    assert CLASSES[0] not in shown.colors["classes"]
    assert set(np.unique(labels(draw_tile(shown, *numbers(tile))))) == {0, 2, 3, 4}


def numbers(tile: Tile) -> tuple[int, int, int]:
    return tile.z, tile.x, tile.y


@pytest.mark.parametrize(
    ("crs", "grid", "places"),
    [
        # From Fiji's largest island to its easternmost ones.
        ("EPSG:32760", Affine(5000, 0, 600_000, 0, -5000, 8_200_000), [(178.5, -17.8), (-178.8, -18.2)]),
        ("EPSG:4326", Affine(0.05, 0, 170, 0, -0.05, 10), [(172, 8), (-175, 8)]),
        ("EPSG:4326", Affine(0.05, 0, -190, 0, -0.05, 10), [(172, 8), (-175, 8)]),
        ("EPSG:4326", Affine(0.9, 0, 0, 0, -1, 80), [(10, 40), (-10, 40), (170, 40), (-170, 40)]),
        # Around the North Pole, which itself is nowhere in Web Mercator.
        ("EPSG:3413", Affine(50_000, 0, -2_500_000, 0, -50_000, 2_500_000), [(-45, 80), (135, 80), (-179.5, 75)]),
        ("EPSG:3857", Affine(5000, 0, 1_000_000, 0, -5000, 6_500_000), [(10, 50), (11, 49)]),
    ],
    ids=["UTM across 180", "170 to 190", "-190 to -170", "0 to 360", "polar", "Web Mercator"],
)
def test_a_map_is_shown_wherever_it_lies(crs: str, grid: Affine, places: list[tuple[float, float]], tmp_path: Path):
    record = noise_map(tmp_path, crs, grid, shape=(100, 100) if crs != "EPSG:4326" else (100, 400))
    shown = read_map(record)
    west, south, east, north = shown.bounds
    for zoom in (0, 1, shown.max_zoom, shown.max_zoom + 2):
        for where in places:
            lon, lat = where
            assert south <= lat <= north
            assert any(west <= lon + turn <= east for turn in (0, 360))
            tile = tile_at(shown, zoom, where=where)
            found = labels(draw_tile(shown, *numbers(tile)))
            x, y = WEB_MERCATOR_TMS.xy(*where)
            bounds = WEB_MERCATOR_TMS.xy_bounds(tile)
            at = np.array([[(bounds.top - y)], [(x - bounds.left)]]) * 256 / (bounds.right - bounds.left)
            around = (np.clip(np.arange(-8, 9)[:, None] + at.astype(int).ravel(), 0, 255)).T
            assert found[np.ix_(*around)].any(), (zoom, where)
    far = WEB_MERCATOR_TMS.tile(places[0][0], -60 if places[0][1] > 0 else 60, 5)
    assert not labels(draw_tile(shown, *numbers(far))).any()


@pytest.mark.parametrize(
    ("crs", "grid", "why"),
    [
        (None, Affine.identity(), "no coordinate reference system"),
        ('LOCAL_CS["site",UNIT["m",1]]', UTM, "no place on the globe"),
        ("EPSG:4326", UTM, "are not the degrees"),
        ("EPSG:3031", Affine(1000, 0, -50_000, 0, -1000, 50_000), "beyond 85.05 degrees"),
    ],
    ids=["no CRS", "of a site", "meters as degrees", "the South Pole"],
)
def test_a_map_without_a_place_says_why(crs: str | None, grid: Affine, why: str, tmp_path: Path):
    record = noise_map(tmp_path, crs, grid, shape=(100, 100))
    with pytest.raises(RefusedError, match=why) as refused:
        read_map(record)
    assert refused.value.status == 409


def test_tiles_that_are_none(noise: Path):
    shown = read_map(noise)
    for zoom, x, y in ((25, 0, 0), (-1, 0, 0), (3, 8, 0), (3, 0, 8), (3, -1, 0), (0, 0, 1), (10**9, 0, 0)):
        with pytest.raises(RefusedError, match="there is no tile") as refused:
            draw_tile(shown, zoom, x, y)
        assert refused.value.status == 404
