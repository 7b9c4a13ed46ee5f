"""Accuracy of maps of real scenes at labeled places, as they are and rescaled.

    python benchmarks/own_scene.py RASTERS [--model eurosat] [--strides 64,16] [--picture docs/scene_before_after.jpg]

RASTERS is a folder with the three true-color scenes that benchmarks/places/places.csv names: Sentinel-2, surface
reflectance, 927 x 927 pixels of 10 m, in Mexico. The scenes are not part of the project (their license is not
established); the coordinates are: 176 clear places, labeled once on enlarged images before any
map was made and not checked on the ground, each with the EuroSAT classes that count as correct.
Leafless scrub and dry forest, of which EuroSAT has none, may be HerbaceousVegetation or Forest; a dry river bed is
River, any road Highway. Every scene is mapped with --rescale off and auto, and the class at a place is compared
with the correct ones. Intervals are Wilson's at 95 %; nearby places resemble each other (spatial autocorrelation), so
the true intervals are wider. Two kinds of places are *distinguished* in a scene if their predicted classes, correct or
not, differ by more than chance: chi-squared test of kinds and predicted classes, with 9,999 permutations.
"""

from __future__ import annotations

import csv
import itertools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from common import finish, machine, parser, rows
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from scipy.stats import PermutationMethod, chi2_contingency

from swath.evaluation.intervals import proportion
from swath.inference import Classifier, load
from swath.mapping import map_scene

PLACES = Path(__file__).parent / "places" / "places.csv"
MODES = ("off", "auto")
APART = ("town", "river", "field")
FEW = 5  # a kind with fewer places in a scene is not reported


def main() -> None:
    """Map, compare and print."""
    options = parser(__doc__)
    options.add_argument("rasters", type=Path, help="folder of the three scenes")
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--engine", default="auto", help="inference engine")
    options.add_argument("--strides", default="64,16", help="strides in pixels, separated by commas")
    options.add_argument("--picture", type=Path, default=None, help="draw the maps of the last stride here")
    args = options.parse_args()
    classifier = load(args.model, engine=args.engine, threads=args.threads)
    strides = [int(part) for part in args.strides.split(",")]
    with PLACES.open(encoding="utf-8", newline="") as file:
        places = list(csv.DictReader(file))
    maps: dict[tuple[str, str, int], tuple[np.ndarray, Any]] = {}
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for stride in strides:
            for mode in MODES:
                answers, summaries = [], {}
                for scene in sorted({place["scene"] for place in places}):
                    out = Path(folder) / f"{mode}-{stride}-{scene}"
                    summary = map_scene(classifier, args.rasters / scene, out=out, stride=stride, rescale=mode)
                    summaries[scene] = {
                        "rescale": summary.rescale.record(),
                        "share": {c.name: round(c.share, 4) for c in summary.legend if c.pixels},
                    }
                    own = [place for place in places if place["scene"] == scene]
                    answers += look_up(out, own, classifier)
                    with rasterio.open(out) as dataset:
                        maps[scene, mode, stride] = dataset.read(1), dataset.colormap(1)
                results.append({"stride": stride, "rescale": mode, **map_accuracy(answers), "scenes": summaries})
    if args.picture is not None:
        draw(args.picture, maps, strides[-1], classifier)
    result = {
        "benchmark": "own_scene",
        "machine": machine(args.threads),
        "model": args.model,
        "engine": classifier.engine,
        "places": len(places),
        "results": results,
    }
    args.rasters = args.rasters.name
    finish(result, args, table=table(results))


def look_up(path: Path, places: list[dict[str, str]], classifier: Classifier) -> list[dict[str, Any]]:
    """Look up the class of a map at each place."""
    names = (None, *classifier.record.class_names)
    with rasterio.open(path) as dataset:
        values = dataset.read(1)
        found = []
        for place in places:
            row, column = dataset.index(float(place["x"]), float(place["y"]))
            predicted = names[values[row, column]]
            right = predicted in place["accept"].split(";")
            answer = {"scene": place["scene"], "kind": place["kind"], "predicted": predicted, "right": right}
            found.append(answer)
    marks = path.with_name(f"{path.stem}.ood{path.suffix}")
    if marks.exists():
        with rasterio.open(marks) as dataset:
            values = dataset.read(1)
            for place, answer in zip(places, found, strict=True):
                answer["ood"] = bool(values[dataset.index(float(place["x"]), float(place["y"]))] == 1)
    return found


def map_accuracy(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of correct places: all, by kind, by scene, and by scene and kind, with their predicted classes."""

    def share(part: list[dict[str, Any]]) -> dict[str, Any]:
        estimate = proportion(sum(a["right"] for a in part), len(part)).model_dump()
        predicted = dict(Counter(str(a["predicted"]) for a in part).most_common())
        return {**{k: round(v, 4) for k, v in estimate.items()}, "predicted": predicted}

    def by(*keys: str) -> dict[str, Any]:
        groups: dict[str, list[dict[str, Any]]] = {}
        for answer in answers:
            groups.setdefault(", ".join(answer[key] for key in keys), []).append(answer)
        return {name: share(part) for name, part in groups.items()}

    found = {"all": share(answers), "kinds": by("kind"), "scene": by("scene")}
    known = [answer for answer in answers if not answer.get("ood", True)]
    if known:
        found["not_ood"] = share(known)
    return {**found, "scene_and_kind": by("scene", "kind"), "distinguished": distinguished(answers)}


def distinguished(answers: list[dict[str, Any]]) -> dict[str, float]:
    """The p-value of the difference in predicted classes, for each scene and pair of kinds."""
    found = {}
    for scene in sorted({a["scene"] for a in answers}):
        predicted = {
            kind: [str(a["predicted"]) for a in answers if (a["scene"], a["kind"]) == (scene, kind)] for kind in APART
        }
        for one, other in itertools.combinations([k for k in APART if len(predicted[k]) >= FEW], 2):
            names = sorted({*predicted[one], *predicted[other]})
            counts = [[predicted[kind].count(name) for name in names] for kind in (one, other)]
            draws = PermutationMethod(n_resamples=9999, rng=np.random.default_rng(0))
            alike = len(names) < 2 or chi2_contingency(counts, correction=False, method=draws).pvalue
            found[f"{scene}, {one} from {other}"] = float(alike)
    return found


def table(results: list[dict[str, Any]]) -> list[str]:
    """Table of the share of correct places by kind, without and with color matching."""
    header = ["places", "n", *(f"stride {r['stride']}, {r['rescale']}" for r in results)]
    names = ["all", *results[0]["scene"], *results[0]["kinds"]]

    def cells(name: str) -> list[dict[str, Any]]:
        return [r["all"] if name == "all" else {**r["scene"], **r["kinds"]}[name] for r in results]

    body = [
        [
            name,
            cells(name)[0]["n"],
            *(f"{100 * c['value']:.0f} % ({100 * c['low']:.0f}-{100 * c['high']:.0f})" for c in cells(name)),
        ]
        for name in names
    ]
    for pair in results[0]["distinguished"]:
        body.append([f"p-value: {pair}", "", *(f"{r['distinguished'][pair]:.4f}" for r in results)])
    return rows(header, body)


def draw(path: Path, maps: dict[Any, Any], stride: int, classifier: Classifier) -> None:
    """The maps, not the scenes: off above, auto below."""
    scenes = sorted({scene for scene, _, _ in maps})
    figure = Figure(figsize=(3.1 * len(scenes), 7.0), layout="constrained")
    axes = figure.subplots(len(MODES), len(scenes))
    for line, mode in zip(axes, MODES, strict=True):
        for axis, scene in zip(line, scenes, strict=True):
            values, colors = maps[scene, mode, stride]
            palette = np.array([colors[i][:3] for i in range(256)], np.uint8)
            axis.imshow(palette[values], interpolation="nearest")
            axis.set_title(f"{scene.removesuffix('.tif')}, {mode}", fontsize=8)
            axis.set_axis_off()
    seen = sorted({int(v) for values, _ in maps.values() for v in np.unique(values)} - {0})
    infos = classifier.record.classes
    handles = [Patch(color=f"#{infos[v - 1].color_hint}", label=infos[v - 1].name) for v in seen]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, format="jpeg", facecolor="white", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
