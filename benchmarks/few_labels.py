"""Twenty labels per class: the default training against scratch and against a linear probe, over several draws.

    python benchmarks/few_labels.py DATA [--data ucmerced|eurosat] [--start eurosat|FILE] [--draws 5] [--table]

Results: docs/training.md. The bar: the default is better than the better of the two others by a paired interval, in at
most 120 CPU seconds after imports.

DATA holds ``ucmerced.zip``, or ``eurosat_rgb.zip`` with the published lists ``eurosat_train.csv`` and
``eurosat_val.csv``. Each draw takes ``--labels`` patches of each class for training and ``--val`` others to choose
the epoch, both of UC Merced's train part or of EuroSAT's val list. All are tested on the same patches, of which no
draw takes any: UC Merced's test part, or 150 of each class of the val list that are kept from the draws. The shipped
model learned from EuroSAT, so there ``--start`` must be one that did not see the val list: ``scripts/train_shipped.py
DATA --measure`` trains it, or any recipe on the train list alone does. ``default`` is ``train`` without a recipe;
``scratch`` is ``fast`` with its 26 epochs in batches of 256, however few steps these are; ``probe`` is a logistic
regression on the features of the start, its penalty chosen by three-fold cross-validation on the training patches,
and ``probe, 8 views`` learns from the rotations and flips of each patch as well. ``start`` is the start as it is, where
it knows the classes.

CPU seconds are those of the process in ``train``, from the decoded cache to the model file, with ``--threads`` 1 by
default. The interval is that of the mean over patches of the paired difference, each averaged over the draws.
"""

from __future__ import annotations

import csv
import resource
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from common import finish, machine, parser, rows

import swath
from swath.data import PatchIndex, build_index, cached_pixels
from swath.evaluation.intervals import mean_difference
from swath.evaluation.softmax import fit_softmax
from swath.inference.classifier import augmented_views
from swath.networks import build_network
from swath.training import Recipe, load_recipe, recipe_for, train
from swath.training.batches import Normalization, outputs_of
from swath.training.plan import with_network_of_start
from swath.weights import classes_of_weights, load_weights

SIZE = 64
RIDGES = (1e-3, 1e-2, 1e-1)
FOLDS = 3
TESTED = 150  # EuroSAT patches per class
Right = npt.NDArray[np.bool_]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--data", choices=("ucmerced", "eurosat"), default="ucmerced")
    options.add_argument("--start", default="eurosat", help="what the default and the probe start from")
    options.add_argument("--draws", type=int, default=5)
    options.add_argument("--labels", type=int, default=20, help="training patches per class")
    options.add_argument("--val", type=int, default=5, help="validation patches per class")
    options.add_argument("--set", nargs="*", default=[], dest="changes", metavar="FIELD=VALUE", help="of the default")
    options.add_argument("--recipe", default=None, help="in place of the default")
    options.add_argument("--turned", action="store_true", help="also a probe that learns from rotations and flips")
    options.add_argument("--first", type=int, default=0, help="number of the first draw")
    options.add_argument("--keep", type=Path, default=None, help="folder of answers; a draw in it is not run again")
    args = options.parse_args()
    threads = args.threads or 1
    pool, test = ucmerced(args.folder) if args.data == "ucmerced" else eurosat(args.folder)
    rights: dict[str, list[Right]] = {}
    seconds: list[float] = []
    for draw in range(args.first, args.first + args.draws):
        kept = args.keep / f"{args.data}-{draw}.npz" if args.keep else None
        if kept is None or not kept.is_file():
            index = drawn(pool, test, labels=args.labels, val=args.val, seed=draw)
            found, cpu = measured(index, args, threads=threads)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                np.savez(kept, cpu=cpu, **found)
        else:
            with np.load(kept) as held:
                found, cpu = {name: held[name] for name in held.files if name != "cpu"}, float(held["cpu"])
        seconds.append(cpu)
        for name, answers in found.items():
            rights.setdefault(name, []).append(answers)
        shown = ", ".join(f"{name} {100 * answers.mean():.1f} %" for name, answers in found.items())
        print(f"draw {draw}: {shown}; default {cpu:.0f} CPU-s", file=sys.stderr, flush=True)
    report(args, rights, seconds)


def measured(index: PatchIndex, args: Any, *, threads: int) -> tuple[dict[str, Right], float]:
    """Which test patches each way gets right, and the CPU seconds of the default."""
    changes = [f"size={SIZE}", *([] if args.start == "eurosat" else [f"weights={args.start}"]), *args.changes]
    recipe = load_recipe(args.recipe or recipe_for(index, changes=changes).name, changes=changes)
    right, cpu = trained(index, recipe, threads=threads)
    scratch, _ = trained(index, load_recipe("fast", size=SIZE, min_steps=0), threads=threads)
    found = {"default": right, "scratch": scratch, "probe": probed(index, recipe, views=1, threads=threads)}
    if args.turned:
        found["probe, 8 views"] = probed(index, recipe, views=8, threads=threads)
    if set(index.classes) <= set(classes_of_weights(args.start)):
        found["start"] = untouched(index, recipe, threads=threads)
    return found, cpu


def ucmerced(folder: Path) -> tuple[PatchIndex, PatchIndex]:
    """The patches that draws take theirs from, and those all are tested on."""
    index = build_index(folder / "ucmerced.zip")
    return index.where("train"), index.where("test")


def eurosat(folder: Path) -> tuple[PatchIndex, PatchIndex]:
    """The same of EuroSAT's val list: its last patches of each class are tested on."""
    with (folder / "eurosat_val.csv").open(newline="", encoding="utf-8") as file:
        listed = {"/".join(row["path"].split("/")[-2:]) for row in csv.DictReader(file)}
    index = build_index(folder / "eurosat_rgb.zip")
    members = [k for k, path in enumerate(index.paths) if "/".join(path.split("/")[-2:]) in listed]
    part = index.take(np.random.default_rng(0).permutation(members).tolist())
    tested = [k for name in part.classes for k in np.flatnonzero(np.array(part.labels) == name)[:TESTED]]
    return part.take(sorted(set(range(len(part))) - set(tested))), part.take(tested)


def drawn(pool: PatchIndex, test: PatchIndex, *, labels: int, val: int, seed: int) -> PatchIndex:
    """An index of `labels` training and `val` validation patches per class, and all test patches."""
    random, names = np.random.default_rng(1_000 + seed), np.array(pool.labels)
    taken = {name: random.permutation(np.flatnonzero(names == name)) for name in pool.classes}
    parts = []
    for split, part in (("train", slice(labels)), ("val", slice(labels, labels + val))):
        chosen = pool.take(np.sort(np.concatenate([taken[name][part] for name in pool.classes])).tolist())
        parts.append(chosen.with_columns({"split": [split] * len(chosen)}))
    parts.append(test.with_columns({"split": ["test"] * len(test)}))
    return joined(parts)


def joined(parts: list[PatchIndex]) -> PatchIndex:
    """Indexes of one root as one."""
    return replace(parts[0], table=pa.concat_tables([part.table for part in parts]), split_protocol="drawn")


def trained(index: PatchIndex, recipe: Recipe, *, threads: int) -> tuple[Right, float]:
    """Which test patches the trained model gets right, and the CPU seconds of its training."""
    for split in ("train", "val", "test"):
        cached_pixels(index.where(split), size=SIZE)
    with tempfile.TemporaryDirectory() as folder:
        start = cpu_seconds()
        result = train(index, recipe, out=Path(folder) / "run", threads=threads, accelerator="cpu")
        spent = cpu_seconds() - start
        classifier = swath.load(result.model, engine="onnxruntime", threads=threads)
        test = index.where("test")
        names = np.array(classifier.record.class_names)
        pixels = cached_pixels(test, size=SIZE)
        answers = classifier.run(np.ascontiguousarray(pixels))["probabilities"].argmax(1)
    return names[answers] == np.array(test.labels), spent


def probed(index: PatchIndex, recipe: Recipe, *, views: int, threads: int) -> Right:
    """Which test patches a logistic regression on frozen features gets right."""
    outputs = extractor(recipe, index, threads=threads)

    def features(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.concatenate([o.features.numpy() for o in outputs(pixels)])

    train, test = index.where("train"), index.where("test")
    pixels = np.asarray(cached_pixels(train, size=SIZE))
    shown = [features(view) for view in (pixels, *augmented_views(pixels, views))]
    labels, count = train.targets(index.classes), len(index.classes)
    fold = np.random.default_rng(0).permutation(len(labels)) % FOLDS

    def fit(rows: npt.NDArray[np.bool_], ridge: float) -> Any:
        learned = np.concatenate([view[rows] for view in shown])
        return fit_softmax(learned, np.tile(labels[rows], views), outputs=count, ridge=ridge)

    def score(ridge: float) -> int:
        held = [(fold == k, fit(fold != k, ridge)) for k in range(FOLDS)]
        return sum(int((fitted.predict(shown[0][rows]) == labels[rows]).sum()) for rows, fitted in held)

    fitted = fit(np.ones(len(labels), bool), max(RIDGES, key=score))
    return np.asarray(
        fitted.predict(features(np.asarray(cached_pixels(test, size=SIZE)))) == test.targets(index.classes)
    )


def untouched(index: PatchIndex, recipe: Recipe, *, threads: int) -> Right:
    """Which test patches the start gets right before it learns anything."""
    test = index.where("test")
    outputs = extractor(recipe, index, threads=threads)(np.asarray(cached_pixels(test, size=SIZE)))
    answers = np.concatenate([o.logits.numpy() for o in outputs]).argmax(1)
    return np.asarray(answers == test.targets(index.classes))


def extractor(recipe: Recipe, index: PatchIndex, *, threads: int) -> Any:
    """Patches in, outputs of the network that the recipe starts from out, a batch at a time."""
    chosen = with_network_of_start(
        recipe if recipe.weights != "none" else recipe.model_copy(update={"weights": "eurosat"})
    )
    classes = index.classes
    network = build_network(chosen.network, bands=3, outputs=len(classes), size=SIZE).eval()
    facts = load_weights(network, chosen.weights, network_name=chosen.network.name, bands=chosen.bands, classes=classes)
    if facts.expects is None:
        raise SystemExit(f"{chosen.weights} does not say what input it expects")
    mean, sd = (np.asarray(v, np.float32) for v in facts.expects.normalization(chosen.bands))

    def outputs(pixels: npt.NDArray[np.uint8]) -> Any:
        torch.set_num_threads(threads)
        return outputs_of(network, Normalization(mean, sd), pixels)

    return outputs


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def report(args: Any, rights: dict[str, list[Right]], seconds: list[float]) -> None:
    """Print means, paired differences with intervals, and CPU seconds."""
    mean = {name: np.mean(several, axis=0) for name, several in rights.items()}  # of each patch over the draws
    others = [name for name in rights if name != "default"]
    differences = {name: mean_difference(mean["default"] - mean[name]) for name in others}
    result = {
        "machine": machine(args.threads or 1),
        "patches": args.data,
        "start": Path(args.start).name,
        "draws": args.draws,
        "labels_per_class": args.labels,
        "test_patches": len(mean["default"]),
        "accuracy": {
            name: {"mean": float(mean[name].mean()), "draws": [round(float(r.mean()), 4) for r in several]}
            for name, several in rights.items()
        },
        "default_less": {name: value.model_dump() for name, value in differences.items()},
        "cpu_seconds": [round(s, 1) for s in seconds],
    }
    body = [(name, f"{100 * float(mean[name].mean()):.1f} %", _gain(differences.get(name))) for name in rights]
    finish(result, args, table=rows(("way", "accuracy", "the default is better by, points"), body))


def _gain(difference: Any) -> str:
    if difference is None:
        return ""
    return f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"


if __name__ == "__main__":
    main()
