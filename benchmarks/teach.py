"""What a few labeled places teach the shipped model: mosaics in other light, real scenes, and classes it does not have.

    python benchmarks/teach.py DATA --part mosaics|rasters|new|time [--model eurosat] [--mosaics 20] [--seeds 5]

Results: docs/teaching.md. DATA holds ``eurosat_rgb.zip``, ``rasters/`` and ``ucmerced.zip``.

``mosaics``: 50 patches per class of EuroSAT that the model has not learned from (its own record says which) are put
next to each other and rendered in light that no training has seen: a gain and a veil of its own for each channel.
5, 10 and 20 places per class are learned, the 30 others are tested, and so are 1,000 patches of EuroSAT as it is that
no mosaic holds. Next to what ``swath teach`` does: a logistic regression on colors, one and 3 nearest neighbors on the
model's features, and the head fitted without memory and without the head there was. Intervals are Student's over
mosaics, each the mean of its draws.

``rasters``: the scenes and places of benchmarks/own_scene.py; 3 and 5 places per class are learned and the others of
the scene tested. Nothing was chosen by them.

``new``: five classes of UC Merced, resampled to 64 pixels, next to EuroSAT patches in one scene; 20 places per class.

``time``: ``swath teach`` with 200 places of a mosaic, seconds after imports.
"""

from __future__ import annotations

import csv
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from common import finish, machine, parser, rows
from rasterio import Affine
from rasterio.crs import CRS
from threadpoolctl import threadpool_limits

from swath.data import build_index, cached_pixels
from swath.data.statistics import color_features
from swath.evaluation.calibration import conformal_quantiles, prediction_sets
from swath.evaluation.intervals import t_quantile
from swath.evaluation.softmax import fit_softmax
from swath.evaluation.temperature import fit_temperature, to_probabilities
from swath.inference import Classifier, load
from swath.inference.color_match import compare_scene
from swath.mapping.grid import make_grid
from swath.mapping.places import LabeledPlace, Places
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.model.seen import find_seen
from swath.teaching import teach
from swath.teaching.head import FittedHead, Head, Lesson, fit_head, remember
from swath.teaching.windows import PlaceWindows, cut_windows

SIZE = 64
UTM, TRANSFORM = CRS.from_epsg(32632), Affine(10, 0, 500000, 0, -10, 5300000)
LEARNED, TESTED, KEPT = 20, 30, 1000
PLACES = Path(__file__).parent / "places" / "places.csv"
NEW = ("airplane", "freeway", "harbor", "parkinglot", "storagetanks")
Ints = npt.NDArray[np.int64]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("data", type=Path)
    options.add_argument("--part", choices=("mosaics", "rasters", "new", "time"), required=True)
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--mosaics", type=int, default=20)
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--draws", type=int, default=20, help="of places, on the rasters")
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


def scene_windows(classifier: Classifier, scene: Any, places: Places, **known: Any) -> PlaceWindows:
    """Windows around places as ``swath teach`` cuts them, with colors matched where a map would match them."""
    with open_scene(scene, **known) as opened:
        strips = Strips(opened, make_grid(opened.height, opened.width, patch=SIZE, stride=SIZE), bands=(1, 2, 3))
        strips.correction = compare_scene(strips.sample(), classifier.record.input).correction
        return cut_windows(strips, places, size=SIZE)


def features_of(classifier: Classifier, windows: PlaceWindows) -> npt.NDArray[np.float64]:
    """Features ``[N, V, D]``."""
    n, views = windows.pixels.shape[:2]
    flat = np.ascontiguousarray(windows.pixels.reshape(-1, *windows.pixels.shape[2:]))
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


def answers(
    classifier: Classifier, learned: Any, labels: Ints, colors: Any, tests: list[tuple[Any, Any]], classes: int
) -> dict[str, list[Ints]]:
    """Classes that every method gives to each set of test patches: features and colors."""
    fitted = fit_head(lesson_of(classifier, learned, labels, classes)).head
    bare = fit_head(lesson_of(classifier, learned, labels, classes, memory=False)).head
    flat, tiled = learned.reshape(-1, learned.shape[-1]), np.repeat(labels, learned.shape[1])
    logistic = fit_softmax(flat, tiled, outputs=classes, ridge=1e-2)
    by_color = fit_softmax(colors, labels, outputs=classes, ridge=1e-2)
    found: dict[str, list[Ints]] = {}
    for features, seen in tests:
        distances = ((features[:, None] - learned[None, :, 0]) ** 2).sum(axis=2)
        near = labels[np.argsort(distances, axis=1)[:, :3]]
        three = np.array([np.bincount(row, minlength=classes).argmax() for row in near])
        for name, said in (
            ("before", older_head(classifier, classes).logits(features).argmax(1)),
            ("taught", fitted.logits(features).argmax(1)),
            ("no memory", bare.logits(features).argmax(1)),
            ("logistic", logistic.predict(features)),
            ("1 neighbor", labels[distances.argmin(axis=1)]),
            ("3 neighbors", three),
            ("colors", by_color.predict(seen)),
        ):
            found.setdefault(name, []).append(np.asarray(said))
    return found


def mosaics(classifier: Classifier, args: Any) -> tuple[dict[str, Any], list[str]]:
    """Accuracy on other places of mosaics, and on EuroSAT as it is."""
    pixels, labels = held_out(classifier, args.data)
    names = classifier.record.class_names
    rng = np.random.default_rng(2026)
    order = rng.permutation(len(labels))
    kept, pool = order[:KEPT], order[KEPT:]
    plain = classifier.run(np.ascontiguousarray(pixels[kept]), wanted=("features",))["features"].astype(np.float64)
    plain_colors, plain_truth = color_features(pixels[kept]), labels[kept]
    scores: dict[tuple[int, str], list[list[float]]] = {}
    for _ in range(args.mosaics):
        chosen = np.concatenate(
            [rng.choice(pool[labels[pool] == k], LEARNED + TESTED, replace=False) for k in range(len(names))]
        )
        chosen = rng.permutation(chosen)
        scene = other_light(sewn(pixels[chosen], 25), rng)
        places = grid_places([names[k] for k in labels[chosen]], 25)
        windows = scene_windows(classifier, scene, places, crs=UTM, transform=TRANSFORM)
        features, truth = features_of(classifier, windows), labels[chosen]
        colors = color_features(np.ascontiguousarray(windows.pixels[:, 0]))
        found: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for _ in range(args.seeds):
            turn = rng.permutation(len(truth))
            rank = np.empty(len(truth), np.int64)
            for k in range(len(names)):
                own = turn[truth[turn] == k]
                rank[own] = np.arange(len(own))
            test = rank >= LEARNED
            for n in (5, 10, 20):
                few = rank < n
                tests = [(features[test, 0], colors[test]), (plain, plain_colors)]
                for name, (scene_said, plain_said) in answers(
                    classifier, features[few], truth[few], colors[few], tests, len(names)
                ).items():
                    right = float((scene_said == truth[test]).mean()), float((plain_said == plain_truth).mean())
                    found.setdefault((n, name), []).append(right)
        for key, values in found.items():
            scores.setdefault(key, []).append(np.mean(values, axis=0).tolist())
    table, shown = [], []
    for (n, name), values in scores.items():
        after, kept_right = np.array(values).T
        before, kept_before = np.array(scores[n, "before"]).T
        mended = (after.mean() - before.mean()) / (1 - before.mean())
        row = {
            "places": n,
            "method": name,
            "scene": student(after),
            "gain": student(after - before),
            "mended": float(mended),
            "eurosat": float(kept_right.mean()),
            "eurosat_lost": float((kept_before - kept_right).mean()),
        }
        table.append(row)
        shown.append([n, name, _percent(row["scene"]), f"{100 * mended:.0f} %", f"{100 * row['eurosat']:.1f} %"])
    header = ["places a class", "method", "scene", "errors mended", "EuroSAT as it is"]
    return {"mosaics": args.mosaics, "seeds": args.seeds, "results": table}, rows(header, shown)


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
        windows = scene_windows(
            classifier, args.data / "rasters" / scene, Places(made, CRS.from_epsg(4326), "places.csv")
        )
        features = features_of(classifier, windows)
        truth = np.array([names.index(label) for label in windows.labels], np.int64)
        accepted = [[names.index(name) for name in place["accept"].split(";")] for place in own]
        first = older_head(classifier, len(names)).logits(features[:, 0]).argmax(1)
        for n in (3, 5):
            gains, befores, afters, lost = [], [], [], []
            for _ in range(args.draws):
                learned = np.zeros(len(truth), bool)
                for k in np.unique(truth):
                    rows_of = np.flatnonzero(truth == k)
                    learned[rng.permutation(rows_of)[: min(n, len(rows_of) - 1)]] = True
                head = fit_head(lesson_of(classifier, features[learned], truth[learned], len(names))).head
                second = head.logits(features[:, 0]).argmax(1)
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
                "before": float(np.mean(befores)),
                "after": float(np.mean(afters)),
                "gain": gain,
                "eurosat_lost": float(np.mean(lost)),
            }
            table.append(row)
            shown.append(
                [scene, n, f"{100 * row['before']:.0f} %", f"{100 * row['after']:.0f} %",
                 f"{100 * gain['value']:+.0f} ({100 * gain['low']:+.0f} to {100 * gain['high']:+.0f})",
                 f"{100 * row['eurosat_lost']:.1f}"]
            )  # fmt: skip
    header = ["scene", "places a class", "before", "after", "gain, points", "EuroSAT lost, points"]
    return {"draws": args.draws, "results": table}, rows(header, shown)


def new(classifier: Classifier, args: Any) -> tuple[dict[str, Any], list[str]]:
    """F1 of a class that the model does not have, and coverage of its prediction sets."""
    pixels, labels = held_out(classifier, args.data)
    index = build_index(args.data / "ucmerced.zip")
    other = np.asarray(cached_pixels(index, size=SIZE))
    called = np.array([next(iter(found)) for found in index.label_sets])
    names = classifier.record.class_names
    rng = np.random.default_rng(5)
    table, shown = [], []
    for name in NEW:
        for _ in range(args.seeds):
            old = np.concatenate(
                [rng.choice(np.flatnonzero(labels == k), 50, replace=False) for k in range(len(names))]
            )
            strange = rng.choice(np.flatnonzero(called == name), 50, replace=False)
            every = np.concatenate([pixels[old], other[strange]])
            truth = np.concatenate([labels[old], np.full(50, len(names))])
            order = rng.permutation(len(truth))
            every, truth = every[order], truth[order]
            windows = scene_windows(
                classifier,
                other_light(sewn(every, 25), rng),
                grid_places([(*names, name)[k] for k in truth], 25),
                crs=UTM,
                transform=TRANSFORM,
            )
            features = features_of(classifier, windows)
            learned = np.zeros(len(truth), bool)
            for k in range(len(names) + 1):
                learned[np.flatnonzero(truth == k)[:20]] = True
            fitted = fit_head(lesson_of(classifier, features[learned], truth[learned], len(names) + 1))
            said, covered = _sets(fitted, features[~learned, 0], truth[learned], truth[~learned])
            true = truth[~learned]
            hits = int(((said == len(names)) & (true == len(names))).sum())
            f1 = 2 * hits / (int((said == len(names)).sum()) + int((true == len(names)).sum()))
            table.append({"class": name, "f1": f1, "coverage": covered})
        own = [row for row in table if row["class"] == name]
        shown.append([name, *(f"{np.median([row[key] for row in own]):.3f}" for key in ("f1", "coverage"))])
    return {"seeds": args.seeds, "results": table}, rows(["class", "F1, median", "90 % sets hold"], shown)


def _sets(fitted: FittedHead, features: Any, learned: Ints, truth: Ints) -> tuple[Ints, float]:
    held = np.asarray(fitted.held_out[:, 0], np.float32)
    temperature = fit_temperature(held, learned)
    quantile = conformal_quantiles(to_probabilities(held, "single-label", temperature), learned)["0.90"]
    logits = np.asarray(fitted.head.logits(features), np.float32)
    probabilities = to_probabilities(logits, "single-label", temperature)
    sets = prediction_sets(probabilities, quantile)
    return probabilities.argmax(1), float(sets[np.arange(len(truth)), truth].mean())


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
