"""Map accuracy where windows do not coincide with patches: on mosaics of val patches, cropped at any pixel.

    python benchmarks/off_grid.py INDEX [--model eurosat] [--split val] [--strides 64,16] [--table]

The windows of a real scene rarely coincide with its fields, and most contain more than one land cover. So patches of a
split form mosaics of 16 x 16, in fields of one class that are 1, 2 or 4 patches wide, and 960 x 960 pixels are cropped
from each at a random offset. The crop is mapped as any scene is. Reported are the shares of patch centers, and of all
pixels, with the correct class.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from common import finish, machine, parser, rows
from rasterio.windows import Window

from swath.data import cached_pixels, read_index
from swath.inference import load
from swath.mapping import map_scene, write_mosaic

SIDE, CUT = 16, 15  # patches per side: of the mosaic, and of the crop
FIELDS, MOSAICS, SEED = (1, 2, 4), 6, 3


def main() -> None:
    """Make mosaics, crop, map and compare."""
    options = parser(__doc__)
    options.add_argument("index", type=Path, help="EuroSAT's index")
    options.add_argument("--split", default="val", help="split whose patches form the mosaics")
    options.add_argument("--model", action="append", help="a model file or a shipped name; may be repeated")
    options.add_argument("--strides", default="64,16", help="strides in pixels, separated by commas")
    args = options.parse_args()
    part = read_index(args.index).where(args.split)
    patches, models = cached_pixels(part), args.model or ["eurosat"]
    strides = [int(stride) for stride in args.strides.split(",")]
    found = {model: measure(load(model, threads=args.threads), patches, part.labels, strides, args) for model in models}
    result = {
        "benchmark": "off_grid",
        "machine": machine(args.threads),
        "split": args.split,
        "mosaics": MOSAICS,
        "models": found,
    }
    args.index = args.index.name
    finish(result, args, table=table(found, strides))


def measure(classifier: Any, patches: Any, labels: Any, strides: list[int], args: Any) -> dict[str, Any]:
    """Shares of correct centers and pixels, by field size and stride."""
    names = classifier.record.class_names
    truth = np.array([names.index(label) for label in labels])
    rng, found = np.random.default_rng(SEED), {}
    for field in FIELDS:
        hits: dict[int, list[tuple[float, float]]] = {stride: [] for stride in strides}
        for _ in range(args.repeats or (2 if args.short else MOSAICS)):
            with tempfile.TemporaryDirectory() as folder:
                scene, land, centers = mosaic(patches, truth, names, field, rng, Path(folder))
                for stride in strides:
                    out = Path(folder) / f"{stride}.tif"
                    map_scene(classifier, scene, out=out, stride=stride, rescale="off")
                    with rasterio.open(out) as dataset:
                        right = dataset.read(1).astype(int) - 1 == land
                    hits[stride].append((float(right[tuple(centers.T)].mean()), float(right.mean())))
        found[str(field)] = {
            str(stride): dict(zip(("centers", "pixels"), np.mean(values, axis=0).round(4).tolist(), strict=True))
            for stride, values in hits.items()
        }
    return found


def mosaic(
    patches: Any, truth: Any, names: Any, field: int, rng: np.random.Generator, folder: Path
) -> tuple[Path, Any, Any]:
    """Write a scene; return its classes ``[H, W]`` and the centers of its complete patches ``[n, 2]``."""
    patch = patches.shape[-1]
    drawn = rng.integers(0, truth.max() + 1, (SIDE // field, SIDE // field))
    classes = np.kron(drawn, np.ones((field, field), int)).ravel()
    chosen = [rng.choice(np.flatnonzero(truth == k)) for k in classes]
    whole, scene = folder / "whole.tif", folder / "scene.tif"
    placed = write_mosaic(patches[chosen], [names[k] for k in classes], names, columns=SIDE, out=whole)
    top, left = rng.integers(0, patch, 2).tolist()
    size = CUT * patch
    with rasterio.open(whole) as dataset:
        cut = Window(left, top, size, size)
        place = {"width": size, "height": size, "transform": dataset.window_transform(cut)}
        with rasterio.open(scene, "w", **{**dataset.profile, **place}) as to:
            to.write(dataset.read(window=cut))
    land = np.kron(placed, np.ones((patch, patch), int))[top : top + size, left : left + size]
    places = [patch * i + patch // 2 for i in range(SIDE)]
    centers = np.array([(y - top, x - left) for y in places for x in places])
    inside = ((centers >= patch // 2) & (centers < size - patch // 2)).all(axis=1)
    return scene, land, centers[inside]


def table(found: dict[str, Any], strides: list[int]) -> list[str]:
    """Table of correct centers and pixels."""
    header = ["model", "fields", *(f"stride {stride}: {what}" for stride in strides for what in ("centers", "pixels"))]
    body = [
        [model, f"{field} x {field}", *(f"{100 * v:.1f} %" for s in strides for v in by[str(s)].values())]
        for model, fields in found.items()
        for field, by in fields.items()
    ]
    return rows(header, body)


if __name__ == "__main__":
    main()
