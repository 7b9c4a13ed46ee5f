"""How much random splits flatter where patches share ground: random folds against safe ones on three data sets.

    python benchmarks/split_bias.py [--rasters FOLDER] [--ucmerced ZIP] [--table] [--json FILE]

Results, with hardware, versions and n: BENCHMARKS.md.

- *Places*: around each labeled place of benchmarks/places/places.csv (field, river, road, town, and woods and scrub
  taken together) four patches of 64 pixels are cut from the three true-color scenes, each up to 16 pixels off,
  and saved as JPEG 75 without georeference. All have the place's label. Safe folds keep together what
  ``swath data split`` finds by content; *by scene* every fold is a scene, the hardest test there is.
- *UC Merced*: 2,100 patches of 256 pixels in 21 classes.
- *eurosat-mini*: the 2,000 EuroSAT patches shipped with swath.

The classifier is cheap: a multinomial logistic regression, once on the features of the shipped model ``eurosat`` (which
has learned from EuroSAT, so its row there flatters by itself) and once on color statistics. Accuracy is the mean over
three draws of five folds; intervals resample groups of patches that share ground, 95 %.
"""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
from common import finish, machine, parser, rows
from PIL import Image

from swath.data import PatchIndex, build_index, cached_pixels, class_numbers, color_features, group_duplicates
from swath.evaluation.predictions import model_outputs, model_pixels
from swath.evaluation.softmax import fit_softmax
from swath.inference import load

PLACES = Path(__file__).parent / "places" / "places.csv"
KINDS = {"scrub": "woods", "dry forest": "woods", "forest": "woods"}
SIDE, OFF, EACH, FOLDS, DRAWS, SEED = 64, 16, 4, 5, 3, 20261130
RIDGE, RESAMPLES = 0.01, 2000  # the ridge of swath label-issues


def cut_places(rasters: Path, out: Path) -> PatchIndex:
    """Cut patches around the labeled places."""
    random = np.random.default_rng(SEED)
    with PLACES.open(encoding="utf-8", newline="") as file:
        places = [place for place in csv.DictReader(file) if place["kind"] != "lake"]
    for scene in sorted({place["scene"] for place in places}):
        with rasterio.open(rasters / scene) as file:
            pixels = file.read([1, 2, 3])
        for number, place in enumerate(place for place in places if place["scene"] == scene):
            for k in range(EACH):
                middle = [int(place[axis]) + int(random.integers(-OFF, OFF + 1)) for axis in ("row", "col")]
                y, x = (min(max(m - SIDE // 2, 0), s - SIDE) for m, s in zip(middle, pixels.shape[1:], strict=True))
                kind = KINDS.get(place["kind"], place["kind"])
                path = out / kind / f"{Path(scene).stem}-{number}-{k}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                patch = np.ascontiguousarray(pixels[:, y : y + SIDE, x : x + SIDE].transpose(1, 2, 0))
                stream = io.BytesIO()
                Image.fromarray(patch).save(stream, "JPEG", quality=75)
                path.write_bytes(stream.getvalue())
    return build_index(out)


def correct(features: np.ndarray, labels: np.ndarray, folds: Sequence[np.ndarray]) -> np.ndarray:
    """Whether each patch is classified correctly by the regression on the other folds."""
    right = np.zeros(len(labels))
    for fold in folds:
        others = np.setdiff1d(np.arange(len(labels)), fold)
        fitted = fit_softmax(features[others], labels[others], outputs=int(labels.max()) + 1, ridge=RIDGE)
        right[fold] = fitted.probabilities(features[fold]).argmax(axis=1) == labels[fold]
    return right


def folds_of(groups: np.ndarray, seed: int) -> list[np.ndarray]:
    """Rows of each of five folds of about one size that keep groups whole, however few a class has."""
    names, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    home, filled = np.empty(len(names), int), np.zeros(FOLDS)
    for group in order:
        home[group] = filled.argmin()
        filled[home[group]] += sizes[group]
    return [np.flatnonzero(home[of] == fold) for fold in range(FOLDS)]


def interval(values: np.ndarray, groups: np.ndarray) -> list[float]:
    """Mean and its 95 % interval, groups resampled."""
    _, of = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(of, values), np.bincount(of)
    drawn = np.random.default_rng(0).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=RESAMPLES)
    low, high = np.percentile(drawn @ sums / (drawn @ sizes), (2.5, 97.5))
    return [round(float(v), 4) for v in (values.mean(), low, high)]


def measure(name: str, index: PatchIndex, *, by_scene: bool, threads: int | None) -> list[dict[str, object]]:
    """Compare the ways to make folds on one data set."""
    plain = index.with_columns({"group": [None] * len(index), "split": [None] * len(index)})
    safe = group_duplicates(plain)
    groups = np.array([group or path for group, path in zip(safe.column("group"), safe.paths, strict=True)])
    scenes = np.array([path.split("/")[-1].split("-")[0] for path in index.paths])
    labels = class_numbers(index.labels, index.classes)
    classifier = load("eurosat", threads=threads)
    network = model_outputs(classifier, model_pixels(classifier, index), wanted=("features",))["features"]
    described = {"network": network, "colors": color_features(np.asarray(cached_pixels(index, size=SIDE)))}
    results = []
    for features, values in described.items():
        ways = {
            "random": np.mean(
                [correct(values, labels, folds_of(np.array(index.paths), seed)) for seed in range(DRAWS)], axis=0
            ),
            "safe": np.mean([correct(values, labels, folds_of(groups, seed)) for seed in range(DRAWS)], axis=0),
        }
        if by_scene:
            ways["by scene"] = correct(values, labels, [np.flatnonzero(scenes == scene) for scene in np.unique(scenes)])
        results.append(
            {
                "set": name,
                "patches": len(index),
                "groups": len(set(groups)),
                "features": features,
                **{way: interval(right, groups) for way, right in ways.items()},
                "random less safe": interval(ways["random"] - ways["safe"], groups),
            }
        )
    return results


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    folder = Path(os.environ.get("SWATH_DATA", "."))
    options.add_argument("--rasters", type=Path, default=folder / "rasters")
    options.add_argument("--ucmerced", type=Path, default=folder / "ucmerced.zip")
    args = options.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as made:
        places = cut_places(args.rasters, Path(made) / "places")
        measured += measure("places", places, by_scene=True, threads=args.threads)
        measured += measure("UC Merced", build_index(args.ucmerced), by_scene=False, threads=args.threads)
        measured += measure("eurosat-mini", build_index("eurosat-mini"), by_scene=False, threads=args.threads)
    header = ("set", "patches", "groups", "features", "random", "safe", "random less safe", "by scene")
    body = []
    for row in measured:
        cells = []
        for way in ("random", "safe", "random less safe", "by scene"):
            value = row.get(way)
            cells.append("" if value is None else "{:.1f} ({:.1f} to {:.1f})".format(*(100 * v for v in value)))
        body.append((row["set"], f"{row['patches']:,}", f"{row['groups']:,}", row["features"], *cells))
    result = {
        "benchmark": "split_bias",
        "machine": machine(args.threads),
        "folds": FOLDS,
        "draws": DRAWS,
        "sets": measured,
    }
    finish(result, args, table=rows(header, body))


if __name__ == "__main__":
    main()
