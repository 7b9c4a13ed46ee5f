"""What --rescale auto brings to scenes drawn in other ways than EuroSAT's, and what it costs those that are not.

    python benchmarks/rescale.py INDEX [--model eurosat] [--scenes 12] [--windows 100] [--table]

INDEX is EuroSAT's, with a val split; of it only patches that the model has not learned from are used. A scene is a set
of windows: of a random mixture of classes (Dirichlet, 0.35), or of one class alone, each class in turn. It is drawn as
EuroSAT's pictures, as a true-color picture of level 2A or 1C with a random white (2000 to 4000 DN), or as the numbers
of either level, through a random air with some noise of its own. Its class accuracy is that of the same patches as they
are (numbers: 0 to 2750), with quantiles matched, with white and air known, and with auto. No real scene and no test
patch is used: what helps here need not help there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import finish, machine, parser, rows

from swath.data import cached_pixels, read_index
from swath.imagery import sentinel2
from swath.imagery.rescaling import Rescaling
from swath.imagery.sentinel2 import Drawing, Level
from swath.inference import Classifier, load
from swath.inference.rescale import Sample, decide_rescale
from swath.model.seen import find_seen

BANDS = ("red", "green", "blue")
KINDS = ("eurosat", "tci", "l1c picture", "l2a numbers", "l1c numbers")
WAYS = ("as it is", "matched", "known", "auto")
SLOPE_SD, OFFSET_SD = 0.05, 20.0  # of a band's air: logarithm; DN


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("index", type=Path, help="EuroSAT's index")
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--scenes", type=int, default=12, help="mixtures of each kind, next to one scene per class")
    options.add_argument("--windows", type=int, default=100, help="of a scene")
    args = options.parse_args()
    if args.short:
        args.scenes, args.windows = 2, 30
    classifier = load(args.model, threads=args.threads)
    patches, truth = unlearned(classifier, args.index)
    rng = np.random.default_rng(0)
    found: dict[str, list[dict[str, Any]]] = {}
    classes = len(classifier.record.classes)
    mixes = [rng.dirichlet([0.35] * classes) for _ in range(args.scenes)]
    for kind in KINDS:
        for what, shares in (("mixed", mixes), ("one class", list(np.eye(classes)))):
            scenes = []
            for share in shares[: args.scenes if args.short else None]:
                drawn = rng.choice(classes, args.windows, p=share)
                chosen = np.array([rng.choice(np.flatnonzero(truth == k)) for k in drawn])
                scenes.append(measure(classifier, patches[chosen], truth[chosen], kind, rng))
            found[f"{kind}, {what}"] = scenes
    result = {
        "benchmark": "rescale",
        "machine": machine(args.threads),
        "model": args.model,
        "patches": len(truth),
        "scenes": found,
    }
    args.index = args.index.name
    finish(result, args, table=table(found))


def unlearned(classifier: Classifier, path: Path) -> tuple[Any, Any]:
    """Patches of the val split that the model did not learn from, and their classes."""
    val = read_index(path).where("val")
    pixels, names = np.asarray(cached_pixels(val)), classifier.record.class_names
    truth = np.array([names.index(label) for label in val.labels])
    for seen in classifier.record.seen:
        learned, _, similar = find_seen(seen, pixels)
        pixels, truth = pixels[~learned & ~similar], truth[~learned & ~similar]
    return pixels, truth


def measure(classifier: Classifier, patches: Any, truth: Any, kind: str, rng: Any) -> dict[str, Any]:
    """Accuracy of one scene in every way."""
    stored, actual = draw(patches, kind, rng)
    flat = np.ascontiguousarray(np.moveaxis(stored, 1, 0)).reshape(3, -1)
    spec, sample = classifier.record.input, Sample(flat)
    auto = decide_rescale(spec, sample)
    plain = None if stored.dtype == np.uint8 else Rescaling.between(0, sentinel2.EUROSAT_WHITE, bands=3)
    ways = {
        "as it is": plain,
        "matched": decide_rescale(spec, sample, "match").rescaling,
        "known": None if actual is None else actual.rescaling(BANDS),
        "auto": auto.rescaling,
    }
    right = {}
    for name, line in ways.items():
        pixels = stored if line is None else np.stack([line.apply(patch) for patch in stored])
        right[name] = float((classifier.run(pixels)["probabilities"].argmax(axis=1) == truth).mean())
    return {**right, "taken": auto.rendering.taken}


def draw(patches: Any, kind: str, rng: Any) -> tuple[Any, Drawing | None]:
    """Patches as a product of that kind would hold them, and what is to be known of it."""
    if kind == "eurosat":
        return patches, None
    level: Level = "l1c" if kind.startswith("l1c") else "l2a"
    air = float(rng.uniform(0, 1)) if level == "l2a" else 1.0
    white = None if kind.endswith("numbers") else float(rng.uniform(2000, 4000))
    slope, offset = np.ones(3), np.zeros(3)
    if level == "l2a":
        clear = np.array(sentinel2.CLEAR_OFFSET)
        slope = np.array(sentinel2.SLOPE) * np.exp(rng.normal(0, SLOPE_SD, 3))
        offset = clear + air * (np.array(sentinel2.OFFSET) - clear) + rng.normal(0, OFFSET_SD, 3)
    # Numbers are what a picture would show whose white is its highest value.
    gain, shift = sentinel2.surface_picture(255.0 if white is None else white, slope, offset)
    values = patches * gain[:, None, None] + shift[:, None, None]
    top, dtype = (65535, np.uint16) if white is None else (255, np.uint8)
    return np.clip(np.rint(values), 1, top).astype(dtype), Drawing(level, white, air)


def table(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Mean accuracy by kind of scene and way, and the worst loss of auto."""
    body = []
    for kind, scenes in found.items():
        means = [f"{100 * np.mean([scene[way] for scene in scenes]):.1f}" for way in WAYS]
        worst = 100 * min(scene["auto"] - scene["as it is"] for scene in scenes)
        changed = sum(scene["taken"] != "off" for scene in scenes)
        body.append([kind, len(scenes), *means, f"{worst:+.1f}", f"{changed} of {len(scenes)}"])
    return rows(["scenes", "n", *WAYS, "worst of auto", "rescaled"], body)


if __name__ == "__main__":
    main()
