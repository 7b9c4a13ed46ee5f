"""What each part of the shipped model's training brings: short trainings that differ in one thing.

    python benchmarks/training_causes.py DATA --keep FOLDER [--variant NAME …] [--table]

DATA holds ``eurosat_rgb.zip`` and ``eurosat_train.csv``, the published train list, of which 6,500 patches are learned
from, 1,000 select the epoch, and 4,000 others are the test: as they are; as a true-color picture of surface reflectance
with an air and a white of its own for each; as surface reflectance put back by the usual line; and as windows between
four patches, whose class is that of the patch at the window's center. Every network has 12 epochs, one thread, the
seed of the recipe. A variant that FOLDER holds already is not trained again.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import numpy as np
from common import finish, machine, parser, rows

from swath.data import PatchIndex, build_index, cached_pixels, split_index
from swath.imagery import RGB, sentinel2
from swath.inference import Classifier, load
from swath.training import load_recipe, train

LEARNED, CHOSEN, TESTED, EPOCHS = 6500, 1000, 4000, 12
WINDOWS = 3000
NETWORK = "network={name: stripnet, stem: 24, widths: [64, 128, 128, 256]}"
PADDED = "network={name: patchnet, stem: 32, widths: [64, 128, 256]}"
RENDERING, WINDOWED = "augmentation.rendering=0.5", "augmentation.windows=0.3"
SENSOR = ("augmentation.sensor_shift=0.45", "augmentation.sensor_shift_prob=0.2")
VARIANTS = {
    "plain": (NETWORK,),
    "rendering": (NETWORK, RENDERING),
    "rendering, windows": (NETWORK, RENDERING, WINDOWED),
    "rendering, windows, sensor shift": (NETWORK, RENDERING, WINDOWED, *SENSOR),
    "the same, padded": (PADDED, RENDERING, WINDOWED, *SENSOR),
}


def main() -> None:
    """Train what is missing, test all."""
    options = parser(__doc__)
    options.add_argument("data", type=Path)
    options.add_argument("--keep", type=Path, required=True, help="folder of the trained networks")
    options.add_argument("--variant", action="append", choices=VARIANTS, help="by default all; may be repeated")
    args = options.parse_args()
    args.keep.mkdir(parents=True, exist_ok=True)
    index = parted(args.data, args.keep)
    test = index.where("test")
    pixels, labels = np.asarray(cached_pixels(test, bands=RGB, size=64)), np.array(test.labels)
    views = rendered(pixels, labels)
    found = {}
    for name in args.variant or VARIANTS:
        folder = args.keep / name.replace(", ", "-").replace(" ", "-")
        recipe = load_recipe("dense", changes=[f"epochs={EPOCHS}", "min_steps=1", *VARIANTS[name]])
        if not (folder / "model.onnx").exists():
            train(index, recipe, out=folder, name="variant", threads=1, overwrite=True)
        classifier = load(folder / "model.onnx", threads=args.threads)
        found[name] = {view: share_right(classifier, *of) for view, of in views.items()}
    result = {"benchmark": "training_causes", "machine": machine(args.threads), "variants": found}
    args.data = args.data.name
    lines = [[name, *(f"{100 * share:.1f} %" for share in row.values())] for name, row in found.items()]
    finish(result, args, table=rows(["accuracy of", *views], lines))


def parted(data: Path, folder: Path) -> PatchIndex:
    """The patches of the published train list in three parts."""
    with (data / "eurosat_train.csv").open(newline="", encoding="utf-8") as file:
        paths = [row["path"] for row in csv.DictReader(file)]
    random.Random(5).shuffle(paths)
    ends = np.cumsum([LEARNED, CHOSEN, TESTED])
    lists = {}
    for split, part in zip(("train", "val", "test"), np.split(np.array(paths), ends), strict=False):
        lists[split] = folder / f"{split}.csv"
        lists[split].write_text("path\n" + "\n".join(part) + "\n", encoding="utf-8")
    return split_index(build_index(data / "eurosat_rgb.zip", part_of="eurosat-rgb"), lists=lists)


def rendered(pixels: Any, labels: Any) -> dict[str, tuple[Any, Any]]:
    """Pixels and labels of each view of the test patches."""
    rng, n = np.random.default_rng(7), len(pixels)
    clear, usual, slope = (np.array(v) for v in (sentinel2.CLEAR_OFFSET, sentinel2.OFFSET, sentinel2.SLOPE))
    white = rng.uniform(2000, 4000, (n, 1))
    air = clear + rng.uniform(0, 1, (n, 1)) * (usual - clear) + rng.normal(0, 20, (n, 3))
    drawn = sentinel2.surface_picture(white, slope * np.exp(rng.normal(0, 0.05, (n, 3))), air)
    back = sentinel2.from_surface_picture(white, slope, usual)
    exact = _line(pixels, *drawn)
    picture, put_back = _bytes(exact), _bytes(_line(exact, back[0], np.broadcast_to(back[1], (n, 3))))
    return {
        "as they are": (pixels, labels),
        "true color": (picture, labels),
        "put back": (put_back, labels),
        "windows": between(pixels, labels, rng),
    }


def _line(values: Any, gain: Any, shift: Any) -> Any:
    return values * np.asarray(gain)[..., None, None] + np.asarray(shift)[..., None, None]


def _bytes(values: Any) -> Any:
    return np.clip(np.rint(values), 1, 255).astype(np.uint8)


def between(pixels: Any, labels: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """Windows of a mosaic of all patches, and the class of the patch at each one's center."""
    patch, side = pixels.shape[-1], int(len(pixels) ** 0.5)
    order = rng.permutation(len(pixels))[: side * side]
    land = pixels[order].reshape(side, side, 3, patch, patch).transpose(2, 0, 3, 1, 4)
    land, classes = land.reshape(3, side * patch, side * patch), labels[order].reshape(side, side)
    down, across = rng.integers(1, patch, (2, WINDOWS))
    row, column = rng.integers(0, side - 1, (2, WINDOWS))
    corners = zip(row * patch + down, column * patch + across, strict=True)
    windows = np.stack([land[:, y : y + patch, x : x + patch] for y, x in corners])
    return windows, classes[row + (down >= patch // 2), column + (across >= patch // 2)]


def share_right(classifier: Classifier, pixels: Any, labels: Any) -> float:
    """Accuracy."""
    names = np.array(classifier.record.class_names)
    return round(float((names[classifier.answer(pixels).probabilities.argmax(1)] == labels).mean()), 4)


if __name__ == "__main__":
    main()
