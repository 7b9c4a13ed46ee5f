"""A small model that remembers its classes, a scene in other light, and places in it."""

from __future__ import annotations

import csv

import numpy as np
import rasterio
from rasterio import Affine

from swath.inference import load
from swath.model import read_model, write_model
from swath.model.memory import ClassMemory
from tests.tiny import CLASSES, patches, write_tiny_model

BLOCK = 64
TRANSFORM = Affine(10, 0, 500000, 0, -10, 5300000)
# What the classes look like in the scene: not as the tiny model has learned them.
COLORS = {"Forest": (75, 78, 46), "Residential": (172, 110, 98), "River": (115, 92, 60), "SeaLake": (66, 60, 85)}
COLORS["Dump"] = (180, 90, 60)


def remembering_model(path, **options):
    """The tiny model with a memory measured on patches of its classes."""
    write_tiny_model(path, **options)
    file = read_model(path)
    pixels = np.concatenate([patches(name, 30) for name in CLASSES])
    features = load(path, threads=1).run(pixels, wanted=("features",))["features"]
    memory = ClassMemory.of(features, np.repeat(np.arange(len(CLASSES)), 30))
    write_model(path, file.graph, file.record.model_copy(update={"memory": memory}), overwrite=True)
    return path


def checkerboard(names, *, rows=6, columns=6):
    """A table of names in which every class takes its turn, row by row."""
    return [[names[(row * columns + column) % len(names)] for column in range(columns)] for row in range(rows)]


def write_scene(path, classes, *, seed=0, crs="EPSG:32632", nodata=()):
    """Write a scene of square blocks of one class each; those of `nodata` hold none."""
    rows, columns = len(classes), len(classes[0])
    rng = np.random.default_rng(seed)
    pixels = np.empty((3, rows * BLOCK, columns * BLOCK), np.uint8)
    for row, names in enumerate(classes):
        for column, name in enumerate(names):
            color = np.array(COLORS[name]) + rng.normal(0, 5, 3)
            values = np.clip(color[:, None, None] + rng.normal(0, 6, (3, BLOCK, BLOCK)), 1, 255)
            empty = (row, column) in nodata
            block = np.s_[:, row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            pixels[block] = 0 if empty else np.rint(values)
    settings = {"driver": "GTiff", "height": rows * BLOCK, "width": columns * BLOCK, "count": 3, "dtype": "uint8"}
    settings |= {"transform": TRANSFORM, "nodata": 0} | ({"crs": crs} if crs else {})
    with rasterio.open(path, "w", **settings) as out:
        out.write(pixels)
    return path


def middles(classes):
    """A place (column, row, class) in the middle of every block."""
    return [
        ((column + 0.5) * BLOCK, (row + 0.5) * BLOCK, name)
        for row, names in enumerate(classes)
        for column, name in enumerate(names)
    ]


def write_places(path, places):
    """Write places of pixels (column, row, class) as CSV in the scene's coordinates."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "class", "crs"])
        for column, row, name in places:
            writer.writerow([500000 + 10 * column, 5300000 - 10 * row, name, "EPSG:32632"])
    return path
