"""How the rule and the method of swath.imagery.color_match were chosen, and how other methods compare.

    python benchmarks/color_match_rule.py INDEX [--model eurosat] [--table]

INDEX is EuroSAT's, with a train and a val split. The rule: the share of pixels outside the training range, in groups
of 25 training patches of one class (40 groups per class) and in 150 random mixtures of classes, without and with the
`surface` shift of swath robustness. The method: accuracy on eight random mixtures of 150 val patches, each treated
as one scene, shifted and matched with several methods. No real scene and no test patch is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import finish, machine, parser, rows

from swath.data import cached_pixels, read_index
from swath.evaluation.robustness import find_shift
from swath.imagery.color_match import Quantiles, compare, match, measure_quantiles, patch_quantiles
from swath.imagery.rescaling import Rescaling
from swath.inference import load

GROUP, GROUPS, MIXTURES = 25, 40, 150
SCENES, SCENE = 8, 150
SHIFTED = (0, 2, 5)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("index", type=Path, help="EuroSAT's index")
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    args = options.parse_args()
    index = read_index(args.index)
    train, val = index.where("train"), index.where("val")
    pixels, labels = cached_pixels(train), np.array(train.labels)
    training = patch_quantiles(pixels)
    result = {
        "benchmark": "color_match_rule",
        "machine": machine(args.threads),
        "outside": outside(pixels, labels, training),
        "accuracy": accuracy(args, val, pixels, training),
    }
    args.index = args.index.name
    finish(result, args, table=table(result))


def outside(pixels: Any, labels: Any, training: Quantiles) -> dict[str, Any]:
    """Largest share of a band outside the range: by class, and in mixtures by severity of the shift."""
    rng = np.random.default_rng(0)
    classes = np.unique(labels)
    members = {name: np.flatnonzero(labels == name) for name in classes}

    def share(patches: Any) -> float:
        found = compare(flat(patches), training)
        return max(found.outside) if found else 0.0

    of_class = {
        str(name): max(share(pixels[rng.choice(own, GROUP, replace=False)]) for _ in range(GROUPS))
        for name, own in members.items()
    }
    mixed = []
    for _ in range(MIXTURES):
        drawn = rng.choice(len(classes), GROUP, p=rng.dirichlet([0.3] * len(classes)))
        patches = np.array(pixels[[rng.choice(members[classes[k]]) for k in drawn]])
        mixed.append([share(find_shift("surface").at(patches, level)) for level in range(6)])
    quantiles = np.quantile(mixed, (0, 0.05, 0.5, 0.95, 1), axis=0).T.round(3).tolist()
    return {
        "class_groups_largest": {name: round(v, 3) for name, v in of_class.items()},
        "mixtures_by_level_min_5_50_95_max": quantiles,
    }


def accuracy(args: Any, val: Any, pixels: Any, training: Quantiles) -> dict[str, dict[str, float]]:
    """Mean accuracy over the scenes, by method and severity of the shift."""
    classifier = load(args.model, threads=args.threads)
    patches, names = cached_pixels(val), classifier.record.class_names
    truth = np.array([names.index(label) for label in val.labels])
    rng = np.random.default_rng(0)
    scenes = []
    for _ in range(SCENES):
        drawn = rng.choice(len(names), SCENE, p=rng.dirichlet([0.4] * len(names)))
        scenes.append([rng.choice(np.flatnonzero(truth == k)) for k in drawn])
    means = flat(np.array(pixels[::8]))
    usual = means.mean(axis=1), means.std(axis=1)
    found: dict[str, dict[str, float]] = {}
    for name, made in matches(training, usual).items():
        for level in SHIFTED:
            right = []
            for scene in scenes:
                shifted = find_shift("surface").at(np.array(patches[scene]), level)
                correction = made(flat(shifted)) if made else None
                if correction is not None:
                    shifted = np.stack([correction.apply(patch) for patch in shifted])
                answers = classifier.run(shifted)["probabilities"].argmax(axis=1)
                right.append((answers == truth[scene]).mean())
            found.setdefault(name, {})[f"level {level}"] = round(float(np.mean(right)), 3)
    return found


def matches(training: Quantiles, usual: tuple[Any, Any]) -> dict[str, Callable[[Any], Rescaling] | None]:
    """Methods that make a correction from a scene's pixels ``[bands, n]``."""
    wanted = np.array(training.values)

    def linear(gain: Any, offset: Any) -> Rescaling:
        return Rescaling(tuple(np.ravel(gain).tolist()), tuple(np.ravel(offset).tolist()))

    def moments(scene: Any) -> Rescaling:
        ends = np.quantile(scene, (0.01, 0.99), axis=1)
        held = np.clip(scene, ends[0][:, None], ends[1][:, None])
        gain = np.clip(usual[1] / held.std(axis=1), 0.5, 2)
        return linear(gain, usual[0] - gain * held.mean(axis=1))

    def quantiles(scene: Any) -> Rescaling:
        own = np.array(measure_quantiles(scene).values)
        apart = own - own.mean(axis=1, keepdims=True)
        gain = np.clip((apart * wanted).sum(axis=1) / (apart**2).sum(axis=1), 0.6, 1.67)
        return linear(gain, wanted.mean(axis=1) - gain * own.mean(axis=1))

    def median(scene: Any) -> Rescaling:
        return linear(np.ones(len(wanted)), training.at(0.5) - np.median(scene, axis=1))

    def dark(scene: Any) -> Rescaling:
        low, high = np.quantile(scene, (0.02, 0.9), axis=1)
        gain = np.clip((training.at(0.9) - training.at(0.02)) / (high - low), 0.7, 1.4)
        return linear(gain, training.at(0.02) - gain * low)

    def ours(scene: Any) -> Rescaling:
        found = compare(scene, training)
        return match(found.quantiles, training) if found else linear(np.ones(3), np.zeros(3))

    return {
        "none": None,
        "mean and standard deviation": moments,
        "all quantiles, least squares": quantiles,
        "median only": median,
        "dark end, whole spread": dark,
        "dark end, root of the spread": ours,
    }


def flat(patches: Any) -> Any:
    """Pixels ``[bands, n]`` of patches."""
    return np.moveaxis(np.asarray(patches), 1, 0).reshape(patches.shape[1], -1)


def table(result: dict[str, Any]) -> list[str]:
    """Table of accuracy by method."""
    found = result["accuracy"]
    header = ["match", *(f"surface {level}" for level in SHIFTED)]
    return rows(header, [[name, *(f"{v:.3f}" for v in by.values())] for name, by in found.items()])


if __name__ == "__main__":
    main()
