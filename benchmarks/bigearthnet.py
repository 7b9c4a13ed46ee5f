"""What the model says of nine real patches of surface reflectance from Europe that it has nothing to do with.

    python benchmarks/bigearthnet.py FOLDER [--model eurosat] [--model other.onnx] [--table]

FOLDER holds patches of BigEarthNet (Sumbul et al. 2019; CDLA-Permissive-1.0) as GeoTIFF, 120 x 120 pixels of level 2A
with the bands B02, B03, B04, B08, and ``labels.csv`` with their CORINE classes, several a patch. One of snow is left
out. Every patch is drawn as EuroSAT would be (the usual air put back) and as true-color pictures with three whites, and
classified in windows every 8 pixels. A window is *compatible* if its class may be one of the patch's CORINE classes:
that is not accuracy, as the classes are those of the whole patch, and nine patches are an example, not a test.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from common import finish, machine, parser, rows

from swath.imagery import sentinel2
from swath.inference import load

SNOW = "20180204"  # date of the patch under snow
WHITES = (2000.0, 2750.0, 3558.0)  # DN
SIZE, STRIDE = 64, 8
CROPS, GREEN, TREES = {"AnnualCrop", "PermanentCrop"}, {"Pasture", "HerbaceousVegetation"}, {"Forest"}
COMPATIBLE = {
    "arable": CROPS,
    "Pastures": GREEN,
    "Complex cultivation": CROPS,
    "agriculture, with significant areas of natural vegetation": CROPS | GREEN | TREES,
    "forest": TREES,
    "Transitional woodland": TREES | {"HerbaceousVegetation"},
    "Peatbogs": {"HerbaceousVegetation"},
}
Pixels = npt.NDArray[np.uint8]


def main() -> None:
    """Classify, compare and print."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--model", action="append", help="a model file or a shipped name; may be repeated")
    args = options.parse_args()
    with (args.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        patches = [row for row in csv.DictReader(file) if SNOW not in row["file"]]
    drawn = drawings([reflectance(args.folder / patch["file"]) for patch in patches])
    found: list[dict[str, Any]] = []
    for name in args.model or ["eurosat"]:
        classifier = load(name, threads=args.threads)
        for drawing, pictures in drawn.items():
            shares = [
                compatible(classifier.predict(windows(picture)).labels, patch["corine_labels"])
                for picture, patch in zip(pictures, patches, strict=True)
            ]
            found.append(
                {"model": Path(name).name, "drawn": drawing, "compatible": float(np.mean(shares)), "patches": shares}
            )
    table = rows(
        ["model", "drawn as", "all", *(str(n + 1) for n in range(len(patches)))],
        [
            [
                one["model"],
                one["drawn"],
                f"{100 * one['compatible']:.0f} %",
                *(f"{100 * s:.0f}" for s in one["patches"]),
            ]
            for one in found
        ],
    )
    result = {"benchmark": "bigearthnet", "machine": machine(args.threads), "results": found}
    finish(result, args, table=table)


def reflectance(path: Path) -> npt.NDArray[Any]:
    """Red, green and blue ``[3, H, W]``, in DN."""
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read([3, 2, 1]), np.float64)


def drawings(patches: Sequence[npt.NDArray[Any]]) -> dict[str, list[Pixels]]:
    """Pictures ``[3, H, W]`` of the patches by how they are drawn."""
    slope, offset = (np.array(v)[:, None, None] for v in (sentinel2.SLOPE, sentinel2.OFFSET))
    made = {"EuroSAT": [_picture(1 + (slope * patch + offset) * 254 / sentinel2.EUROSAT_WHITE) for patch in patches]}
    return made | {f"true color, {white:g}": [_picture(p * 255 / white) for p in patches] for white in WHITES}


def _picture(values: npt.NDArray[Any]) -> Pixels:
    return np.asarray(np.clip(np.rint(values), 1, 255), np.uint8)


def windows(picture: Pixels) -> Pixels:
    """Windows ``[N, P, P, 3]`` of a picture ``[3, H, W]``."""
    cut = np.lib.stride_tricks.sliding_window_view(picture, (SIZE, SIZE), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    return np.ascontiguousarray(cut.transpose(1, 2, 3, 4, 0).reshape(-1, SIZE, SIZE, len(picture)))


def compatible(labels: Sequence[str], corine: str) -> float:
    """Share of the labels that may be one of a patch's CORINE classes."""
    allowed = set[str]().union(*(classes for words, classes in COMPATIBLE.items() if words in corine))
    return sum(label in allowed for label in labels) / len(labels)


if __name__ == "__main__":
    main()
