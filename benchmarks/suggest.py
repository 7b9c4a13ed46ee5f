"""Which windows to label first: what suggested places teach, compared with random ones, round after round.

    python benchmarks/suggest.py DATA [--part light merced new] [--seeds 32] [--strategies coverage ...] [--teach]

Results: docs/teaching.md. DATA holds ``eurosat_rgb.zip``, ``ucmerced.zip`` and ``scenes4_raw.zip``.

A scene is 576 windows of 64 pixels; every second one may be suggested, the others are tested and never suggested. Its
classes are as uneven as on real land: the class of rank r has a share of r^-a, where a is drawn from 0.5 to 2 for each
scene (at most 240 windows of a class, or what there is), and the order of the classes is drawn. 10, 20, 40 and 80
labels are bought in four rounds; after each the head is fitted as ``swath teach`` does, to the labels of all rounds and
the memory of the file, and gives the probabilities of the next. The measure, fixed before the first run: the area under
the curve of accuracy over the logarithm of the number of labels, as the mean accuracy. Macro-F1 likewise.

``light``: eight of EuroSAT's ten classes under a gain and a veil for each channel that no training has seen. The
windows of a class are those nearest in color to three of its patches, in shares of 4, 2 and 1: land of one class looks
alike in one scene. The model knows all classes.
``merced``: twelve of UC Merced's 21 classes, resampled to 0.6 m; an image gives four windows side by side, two to
suggest and two to test, as neighbors on the ground resemble each other. The model knows none of the classes.
``new``: eight classes of EuroSAT as it is, cloud and desert of the scenes4 set (decoded, resampled and written as JPEG
as EuroSAT is, so that files tell nothing), grouped by color as in ``light``. The model knows eight of the ten.

Seeds from 1000 on confirm; below, strategies were developed. Patches differ: of EuroSAT those that the model has
learned were for development, those that it has not are for confirmation; of the other sets one half each.

A place is seen once, centered, not six times; the strength of the penalty is 1e-3 without ``--teach``, and chosen
by cross-validation and followed by a temperature, as in ``swath teach``, with it. Intervals are Student's over seeds of
the paired differences. ``--scratch`` keeps the features of scenes, which take most of the time.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
from common import finish, machine, parser, rows
from PIL import Image
from teach import lesson_of, other_light, student
from threadpoolctl import threadpool_limits

from swath.data import build_index, cached_pixels
from swath.evaluation.metrics import confusion_matrix
from swath.evaluation.temperature import fit_temperature, to_probabilities
from swath.inference import Classifier, load
from swath.model.seen import find_seen
from swath.teaching.head import fit_head, fit_rows
from swath.teaching.suggest import Strategy, choose, greedy_coverage, squared_distances, uncertainty

PARTS = ("light", "merced", "new")
WINDOWS, MOST, CLASSES = 576, 240, 8
POINTS = (10, 20, 40, 80)
CONFIRMATION = 1000  # seeds from here on
LEARNED = 1000  # patches of a class, for development
CLOUD, DESERT, MERCED = 10, 11, 10  # numbers of new classes, after EuroSAT's
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Round:
    """What is known when places are suggested: windows, rows that have labels, and how many more are wanted."""

    features: Floats
    probabilities: Floats
    labeled: Ints
    n: int
    rng: np.random.Generator

    @property
    def free(self) -> npt.NDArray[np.bool_]:
        """Windows without a label."""
        found = np.ones(len(self.features), bool)
        found[self.labeled] = False
        return found


Rule = Callable[[Round], Any]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("data", type=Path)
    options.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--seeds", type=int, default=32)
    options.add_argument("--first", type=int, default=CONFIRMATION, help="first seed; below 1000 for development")
    options.add_argument("--strategies", nargs="+", choices=sorted(RULES), default=["coverage"])
    options.add_argument("--teach", action="store_true", help="strength and temperature as swath teach; slower")
    options.add_argument("--scratch", type=Path, default=None, help="folder to keep features of scenes in")
    args = options.parse_args()
    classifier = load(args.model, engine="openvino", threads=args.threads)
    table, shown = [], []
    with threadpool_limits(limits=1, user_api="blas"):
        for part in args.part:
            for row in measure(classifier, part, args):
                table.append(row)
                gain, f1 = row["gain"], row["macro_f1_gain"]
                points = [f"{100 * value:.1f}" for value in row["accuracy"]]
                shown.append([part, row["strategy"], *points, _points(gain), _points(f1), row["reached"]])
    header = ["set", "strategy", *(f"{n} labels" for n in POINTS), "area, points", "macro-F1, points", "as random's 40"]
    result = {"benchmark": "suggest", "machine": machine(args.threads), "model": args.model, "results": table}
    args.data, args.scratch = args.data.name, None
    finish(result, args, table=rows(header, shown))


def measure(classifier: Classifier, part: str, args: Any) -> list[dict[str, Any]]:
    """Learning curves of random places and of strategies, over the same scenes."""
    curves: dict[str, list[Floats]] = {}
    later = args.first >= CONFIRMATION
    ground = Ground(classifier, part, args.data, later=later, scratch=args.scratch)
    for seed in range(args.first, args.first + args.seeds):
        scene = ground.scene(seed)
        for name in ("random", *args.strategies):
            curves.setdefault(name, []).append(curve(classifier, scene, RULES[name], seed, whole=args.teach))
        print(f"{part} {seed}", file=sys.stderr, flush=True)
    made = {name: np.array(values) for name, values in curves.items()}
    chance = made["random"][..., 0].mean(axis=0)
    found = []
    for name, values in made.items():
        difference = area(values) - area(made["random"])
        mean = values.mean(axis=0)
        found.append(
            {
                "part": part,
                "strategy": name,
                "seeds": args.seeds,
                "labels": POINTS,
                "accuracy": mean[:, 0].tolist(),
                "macro_f1": mean[:, 1].tolist(),
                "gain": student(difference[:, 0]),
                "macro_f1_gain": student(difference[:, 1]),
                "better": int((difference[:, 0] > 0).sum()),
                "reached": labels_for(mean[:, 0], float(chance[2])),
                "labels_for_random": {n: labels_for(mean[:, 0], float(a)) for n, a in zip(POINTS, chance, strict=True)},
            }
        )
    return found


def area(curves: Floats) -> Floats:
    """Mean height ``[N, 2]`` of curves ``[N, 4, 2]`` over the logarithm of the number of labels."""
    return np.trapezoid(curves, np.log2(POINTS), axis=1) / np.log2(POINTS[-1] / POINTS[0])


def labels_for(heights: Floats, wanted: float) -> str:
    """Labels at which a curve first reaches a height, between its points on a scale of logarithms."""
    if heights[0] >= wanted:
        return f"{POINTS[0]} or fewer" if heights[0] > wanted else str(POINTS[0])
    above = np.flatnonzero(heights >= wanted)
    if not len(above):
        return f"over {POINTS[-1]}"
    k = int(above[0])
    part = (wanted - heights[k - 1]) / (heights[k] - heights[k - 1])
    return f"{POINTS[k - 1] * (POINTS[k] / POINTS[k - 1]) ** part:.0f}"


def curve(classifier: Classifier, scene: dict[str, Any], rule: Rule, seed: int, *, whole: bool) -> Floats:
    """Accuracy and macro-F1 ``[4, 2]`` on the windows that cannot be suggested, after each round."""
    own = np.arange(len(scene["truth"])) % 2 == 0
    features, truth, probabilities = scene["features"][own], scene["truth"][own], scene["probabilities"][own]
    tested, wanted = scene["features"][~own], scene["truth"][~own]
    older = len(classifier.record.class_names)
    labeled, found = np.empty(0, np.int64), []
    for turn, n in enumerate(POINTS):
        rng = np.random.default_rng([seed, turn])
        labeled = np.concatenate([labeled, rule(Round(features, probabilities, labeled, n - len(labeled), rng))])
        assert len(np.unique(labeled)) == n
        known = np.unique(np.concatenate([np.arange(older), truth[labeled]]))  # a class is there once it has a label
        lesson = lesson_of(classifier, features[labeled][:, None], np.searchsorted(known, truth[labeled]), len(known))
        if whole:
            fitted = fit_head(lesson)
            head, temperature = fitted.head, fit_temperature(fitted.held_out[:, 0], lesson.labels)
        else:
            head, temperature = fit_rows(lesson, np.ones(n, bool), strength=1e-3), classifier.record.temperature
        said = known[head.logits(tested).argmax(axis=1)]
        found.append([float((said == wanted).mean()), _macro_f1(wanted, said)])
        probabilities = to_probabilities(head.logits(features), "single-label", temperature)
    return np.array(found)


class Ground:
    """Windows from which scenes are put together, their classes, and features of those that keep their light."""

    def __init__(self, classifier: Classifier, part: str, data: Path, *, later: bool, scratch: Path | None) -> None:
        self.classifier, self.part, self.scratch = classifier, part, scratch
        self.name = f"{part}-{'confirmation' if later else 'development'}"
        if part == "merced":
            self.pixels, self.labels = merced(data, later)
        else:
            self.pixels, self.labels = eurosat(classifier, data, later)
        if part == "new":
            others, called = cloud_and_desert(data, later)
            self.pixels = np.concatenate([self.pixels, others])
            self.labels = np.concatenate([self.labels, called])
        self.whole = None if part == "light" else self.outputs(self.pixels, self.name)

    def scene(self, seed: int) -> dict[str, Any]:
        """Features, probabilities and classes of 576 windows, of which every second one may be suggested."""
        rng = np.random.default_rng([seed, PARTS.index(self.part)])
        chosen = self.choose(rng)
        if self.whole is None:
            found = self.outputs(other_light(self.pixels[chosen], rng), f"{self.name}-{seed}")
        else:
            found = {name: values[chosen] for name, values in self.whole.items()}
        return found | {"truth": self.labels[chosen]}

    def choose(self, rng: np.random.Generator) -> Ints:
        """Rows of the windows of a scene."""
        labels = self.labels
        if self.part == "merced":
            images = labels[::4]
            classes = rng.permutation(np.unique(images))[:12]
            members = [np.flatnonzero(images == k) for k in classes]
            sizes = uneven([len(rows) for rows in members], WINDOWS // 4, rng)
            some = np.concatenate([rng.permutation(m)[:n] for m, n in zip(members, sizes, strict=True)])
            return np.asarray((4 * rng.permutation(some)[:, None] + np.arange(4)).ravel(), np.int64)
        classes = rng.permutation(len(self.classifier.record.class_names))[:CLASSES]
        if self.part == "new":
            classes = rng.permutation(np.concatenate([classes, [CLOUD, DESERT]]))
        members = [np.flatnonzero(labels == k) for k in classes]
        sizes = uneven([min(len(rows), MOST) for rows in members], WINDOWS, rng)
        some = [alike(self.pixels, m, n, rng) for m, n in zip(members, sizes, strict=True)]
        return np.asarray(rng.permutation(np.concatenate(some)), np.int64)

    def outputs(self, pixels: Pixels, name: str) -> dict[str, Floats]:
        """Features and probabilities, kept where asked."""
        kept = None if self.scratch is None else self.scratch / f"{name}.npz"
        if kept is not None and kept.is_file():
            return dict(np.load(kept))
        found = [
            self.classifier.run(np.ascontiguousarray(pixels[k : k + 256]), wanted=("features", "probabilities"))
            for k in range(0, len(pixels), 256)
        ]
        made = {
            name: np.concatenate([one[name] for one in found]).astype(np.float64)
            for name in ("features", "probabilities")
        }
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            np.savez(kept, **made)
        return made


def uneven(limits: list[int], total: int, rng: np.random.Generator) -> Ints:
    """Sizes of classes by rank, a power law, none above its limit; what is cut off goes to the others."""
    weights = np.arange(1, len(limits) + 1) ** -rng.uniform(0.5, 2.0)
    most, free = np.array(limits, float), np.ones(len(limits), bool)
    sizes = np.zeros(len(limits))
    while True:
        sizes[free] = (total - sizes[~free].sum()) * weights[free] / weights[free].sum()
        over = free & (sizes > most)
        if not over.any():
            break
        sizes[over], free = most[over], free & ~over
    whole = np.floor(sizes).astype(np.int64)
    whole[np.argsort(whole - sizes, kind="stable")[: total - whole.sum()]] += 1
    return whole


def alike(pixels: Pixels, members: Ints, n: int, rng: np.random.Generator) -> Ints:
    """`n` members near to three of them in color, in shares of 4, 2 and 1: half of the nearest ones each."""
    colors = np.concatenate([pixels[members].mean(axis=(2, 3)), pixels[members].std(axis=(2, 3))], axis=1)
    free, taken = np.ones(len(members), bool), []
    for size in (n - n * 2 // 7 - n // 7, n * 2 // 7, n // 7):
        if size:
            distances = ((colors - colors[rng.choice(np.flatnonzero(free))]) ** 2).sum(axis=1)
            nearest = np.argsort(np.where(free, distances, np.inf), kind="stable")[: min(2 * size, int(free.sum()))]
            got = rng.permutation(nearest)[:size]
            free[got] = False
            taken.append(members[got])
    return np.concatenate(taken) if taken else np.empty(0, np.int64)


def half(labels: Ints, later: bool) -> npt.NDArray[np.bool_]:
    """Patches for development, or the others, for confirmation."""
    order = np.random.default_rng(15).permutation(len(labels))
    own = np.zeros(len(labels), bool)
    own[order[int(later) :: 2]] = True
    return own


def eurosat(classifier: Classifier, data: Path, later: bool) -> tuple[Pixels, Ints]:
    """Patches that the model has not learned, for confirmation, or some that it has, and their classes."""
    index = build_index(data / "eurosat_rgb.zip", part_of="eurosat-rgb")
    pixels = np.asarray(cached_pixels(index))
    learned, _, _ = find_seen(classifier.record.seen[0], pixels)
    names = list(classifier.record.class_names)
    labels = np.array([names.index(next(iter(found))) for found in index.label_sets], np.int64)
    own = ~learned
    if not later:
        own = np.zeros(len(labels), bool)
        for k in range(len(names)):
            own[np.flatnonzero(learned & (labels == k))[:LEARNED]] = True
    return pixels[own], labels[own]


def merced(data: Path, later: bool) -> tuple[Pixels, Ints]:
    """Four windows of each image, one after the other, and their classes, counted after EuroSAT's."""
    images, names = _images(data / "ucmerced.zip", 2, 128)
    labels = MERCED + np.unique(names, return_inverse=True)[1]
    own = half(labels, later)
    windows = images[own].reshape(-1, 3, 2, 64, 2, 64).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 3, 64, 64)
    return windows, np.repeat(labels[own], 4)


def cloud_and_desert(data: Path, later: bool) -> tuple[Pixels, Ints]:
    """Patches of the two classes, written as JPEG again, and their classes."""
    numbers = {"cloudy": CLOUD, "desert": DESERT}
    images, names = _images(data / "scenes4_raw.zip", 1, 64, only=tuple(numbers), quality=90)
    labels = np.array([numbers[name] for name in names], np.int64)
    own = half(labels, later)
    return images[own], labels[own]


def _images(
    archive: Path, folder: int, side: int, *, only: tuple[str, ...] = (), quality: int | None = None
) -> tuple[Pixels, list[str]]:
    """Images ``[N, 3, side, side]`` of an archive, and the names of their folders."""
    pixels, names = [], []
    with zipfile.ZipFile(archive) as opened:
        for member in sorted(opened.namelist()):
            parts = member.split("/")
            if not member.endswith(".jpg") or (only and parts[folder] not in only):
                continue
            image = Image.open(io.BytesIO(opened.read(member))).convert("RGB")
            image = image.resize((side, side), Image.Resampling.BOX)
            if quality is not None:
                stream = io.BytesIO()
                image.save(stream, "JPEG", quality=quality)
                image = Image.open(stream)
            pixels.append(np.asarray(image).transpose(2, 0, 1))
            names.append(parts[folder])
    return np.stack(pixels), names


def _macro_f1(truth: Ints, said: Ints) -> float:
    """Mean F1 of the classes that the tested windows have."""
    matrix = confusion_matrix(truth, said, classes=int(max(truth.max(), said.max())) + 1)
    both = matrix.sum(axis=0) + matrix.sum(axis=1)
    there = matrix.sum(axis=1) > 0
    return float((2 * np.diag(matrix)[there] / both[there]).mean())


def _points(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['value']:+.1f} ({100 * estimate['low']:+.1f} to {100 * estimate['high']:+.1f})"


def _swath(strategy: Strategy) -> Rule:
    """A strategy of ``swath suggest``, which knows the windows that were taught and not their labels."""
    return lambda now: choose(
        now.features, now.probabilities, n=now.n, strategy=strategy, taught=~now.free, seed=int(now.rng.integers(2**31))
    )


def _apart(one: Floats, other: Floats) -> Floats:
    found: Floats = np.maximum((one**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * one @ other.T, 0)
    return found


def _means(now: Round, k: int, weights: Floats, fixed: Floats) -> Floats:
    """Centers of k-means, `k` more than the fixed ones, which stay."""
    features, centers = now.features, fixed
    for _ in range(k):
        chance = weights * (_apart(features, centers).min(axis=1) if len(centers) else 1)
        drawn = now.rng.choice(len(features), p=chance / chance.sum())
        centers = np.concatenate([centers, features[drawn][None]])
    for _ in range(30):
        nearest = _apart(features, centers).argmin(axis=1)
        for j in range(len(fixed), len(centers)):
            own = nearest == j
            if own.any():
                centers[j] = np.average(features[own], axis=0, weights=weights[own])
    return centers


def _clusters(weigh: Callable[[Floats], Floats]) -> Rule:
    """The windows nearest to the centers of clusters, of which those of labeled windows are fixed (Zhdanov 2019)."""

    def rule(now: Round) -> list[int]:
        centers = _means(now, now.n, weigh(now.probabilities), now.features[now.labeled])
        free, found = now.free, []
        for center in centers[-now.n :]:
            found.append(int(np.where(free, ((now.features - center) ** 2).sum(axis=1), np.inf).argmin()))
            free[found[-1]] = False
        return found

    return rule


def _typical(now: Round) -> list[int]:
    """The densest windows of the largest clusters without a label (TypiClust: Hacohen et al. 2022)."""
    spread = np.sqrt(np.sort(_apart(now.features, now.features), axis=1)[:, 1:21]).mean(axis=1)
    count = now.n + len(now.labeled)
    centers = _means(now, count, np.ones(len(spread)), now.features[:0])
    own = _apart(now.features, centers).argmin(axis=1)
    order = np.argsort(-np.bincount(own, minlength=count), kind="stable")
    order = np.concatenate([order[~np.isin(order, own[now.labeled])], *[order] * now.n])
    free, found = now.free, []
    for k in order:
        members = np.flatnonzero(free & (own == k))
        if len(found) < now.n and len(members):
            found.append(int(members[spread[members].argmin()]))
            free[found[-1]] = False
    return found


def _covered(now: Round) -> list[int]:
    """Balls that hold most windows without a labeled one (ProbCover: Yehuda et al. 2022)."""
    distances = _apart(now.features, now.features)
    ball = distances <= np.quantile(distances, 0.03)
    left, free, found = ~ball[now.labeled].any(axis=0), now.free, []
    for _ in range(now.n):
        held = ball @ left.astype(float) + 1e-6 * now.rng.random(len(left))
        found.append(int(np.where(free, held, -1).argmax()))
        free[found[-1]] = False
        left &= ~ball[found[-1]]
    return found


def _badge(now: Round) -> list[int]:
    """k-means++ on gradients of the head (Ash et al. 2020)."""
    gradient = now.probabilities.astype(np.float64)
    gradient[np.arange(len(gradient)), gradient.argmax(axis=1)] -= 1
    product = (gradient @ gradient.T) * (1 + now.features @ now.features.T)
    lengths, free = np.diag(product), now.free
    found, near = [int(np.where(free, lengths, -1).argmax())], np.full(len(gradient), np.inf)
    while len(found) < now.n:
        k = found[-1]
        free[k] = False
        near = np.minimum(near, np.maximum(lengths + lengths[k] - 2 * product[k], 0))
        chance = np.where(free, near + 1e-12, 0)
        found.append(int(now.rng.choice(len(gradient), p=chance / chance.sum())))
    return found


def _balanced(now: Round) -> list[int]:
    """In turn from the classes that the model predicts, the least sure ones first."""
    said, unsure = now.probabilities.argmax(axis=1), uncertainty(now.probabilities)
    turns, free, found = np.bincount(said[now.labeled], minlength=now.probabilities.shape[1]), now.free, []
    for _ in range(now.n):
        there = np.unique(said[free])
        least = there[turns[there].argmin()]
        found.append(int(np.where(free & (said == least), unsure, -1).argmax()))
        free[found[-1]] = False
        turns[least] += 1
    return found


def _isolated(now: Round) -> Ints:
    """The windows least like the ten most similar others, by the cosine of their features: the out-of-distribution."""
    unit = now.features - now.features.mean(axis=0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    known = np.sort(unit @ unit.T, axis=1)[:, -11:-1].mean(axis=1)
    return np.argsort(np.where(now.free, known, np.inf), kind="stable")[: now.n]


def _covering(weigh: Callable[[Floats], Floats]) -> Rule:
    """Coverage with other weights."""
    return lambda now: greedy_coverage(squared_distances(now.features), weigh(now.probabilities), ~now.free, now.n)


def _alike(probabilities: Floats) -> Floats:
    return np.ones(len(probabilities))


def _margin(probabilities: Floats) -> Floats:
    return 0.05 + uncertainty(probabilities)


def _entropy(probabilities: Floats) -> Floats:
    return np.asarray(0.05 - (probabilities * np.log(probabilities + 1e-12)).sum(axis=1))


RULES: dict[str, Rule] = {
    **{name: _swath(name) for name in get_args(Strategy)},
    "coverage-alike": _covering(_alike),
    "coverage-margin": _covering(_margin),
    "coverage-entropy": _covering(_entropy),
    "clusters": _clusters(_alike),
    "clusters-margin": _clusters(_margin),
    "typiclust": _typical,
    "probcover": _covered,
    "badge": _badge,
    "classes-in-turn": _balanced,
    "isolated": _isolated,
}

if __name__ == "__main__":
    main()
