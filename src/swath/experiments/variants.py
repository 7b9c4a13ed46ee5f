"""One variant of an experiment: what it trains, on how many labels, and its stored predictions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import swath
from swath.config import validate
from swath.data import PatchIndex, cached_pixels, class_numbers
from swath.errors import DataError
from swath.evaluation.seen import SeenCount, seen_rows
from swath.experiments.views import view_named
from swath.files import atomic_file, write_text
from swath.progress import Progress, silent
from swath.training import Recipe, load_recipe, train
from swath.training.checkpoint import CHECKPOINT
from swath.training.run import identity_of
from swath.training.train import MODEL

EVERY = 7  # of a class's patches that a variant may use, every 7th chooses its epoch instead of training
ANSWERS, FACTS = "answers.npz", "variant.json"
_BLOCK = 4096  # patches shown at a time


def subset(index: PatchIndex, *, fraction: float, seed: int, evaluated: str | None) -> PatchIndex:
    """The index a variant sees: part of the train split cut into train and val, the evaluated split as test.

    Of each class the first ``fraction`` in a seeded order is kept, at least two, so smaller shares are parts of
    larger ones, and so are their train and val parts. Everything else belongs to no split: the evaluated patches
    choose nothing. Near duplicates may lie on both sides of the inner cut, which flatters the choice of the
    epoch and not the result.

    Parameters
    ----------
    index : PatchIndex
        With a train split and the evaluated one.
    fraction : float
        Above 0, to 1.
    seed : int
        Of the order.
    evaluated : str or None
        ``val`` or ``test``, or none of them.

    Raises
    ------
    DataError
        If a class has fewer than two training patches.
    """
    given = index.table.column("split").to_pylist()
    splits: list[str | None] = ["test" if evaluated is not None and split == evaluated else None for split in given]
    rows: dict[str, list[int]] = {}
    for row, (split, label) in enumerate(zip(given, index.labels, strict=True)):
        if split == "train":
            rows.setdefault(label, []).append(row)
    for label, places in sorted(rows.items()):
        if len(places) < 2:
            raise DataError(f"class {label} has one training patch", fix="add patches, or drop the class")
        digest = int.from_bytes(hashlib.sha256(f"{seed} {label}".encode()).digest()[:8], "little")
        order = np.random.default_rng(digest).permutation(sorted(places, key=lambda r: index.paths[r]))
        kept = order[: max(2, round(fraction * len(order)))]
        for number, row in enumerate(kept.tolist()):
            splits[row] = "train" if number % EVERY else "val"
    return index.with_columns(
        {"split": splits},
        split_protocol=f"{100 * fraction:g} % of the train split, seed {seed}, "
        + (f"{evaluated} as test" if evaluated else "nothing as test"),
    )


@dataclass(frozen=True)
class Variant:
    """What one line of the result table is about.

    Attributes
    ----------
    name : str
        In tables and folders.
    recipe : str
        A recipe's name or file.
    changes : tuple of str
        Fields of the recipe that differ, as ``field=value``.
    fraction : float
        Share of the training labels it uses, above 0 to 1.
    against : str, optional
        The variant it is compared with.
    minutes_of : str, optional
        Train for as many epochs as fit the seconds another variant took.
    pace_of : str, optional
        The variant of the same recipe and labels whose pace says how many epochs that are.
    view : str
        Preprocessing of the evaluated patches; see :mod:`swath.experiments.views`.
    shares : str, optional
        Use the network of another variant, trained once, under this view.
    weights_of : str, optional
        Start from the weights of another variant.
    on : str
        Which patches it trains on: ``main``, an enlargement of them, or ``first``, another set that is only a
        preparation and answers for nothing.
    """

    name: str
    recipe: str = "fast"
    changes: tuple[str, ...] = ()
    fraction: float = 1.0
    against: str | None = None
    minutes_of: str | None = None
    pace_of: str | None = None
    view: str = "unchanged"
    shares: str | None = None
    weights_of: str | None = None
    on: str = "main"


@dataclass(frozen=True)
class VariantResult:
    """One variant and seed: how long it trained, and its predictions for the evaluated patches.

    Attributes
    ----------
    variant : Variant
        What it was.
    seed : int
        Of the recipe and of the choice of labels.
    truth, predicted : numpy.ndarray
        ``[N]`` int64 places in the sorted class names, in the order of the index; none of a preparation for others.
    seconds : float
        Of training epochs.
    labels : int
        Training and inner validation patches used.
    epochs : int
        Trained.
    folder : pathlib.Path
        Where its files are.
    identity : str
        Hash of its recipe, its patches and the variants it builds on.
    seen : SeenCount or None
        How many of the evaluated patches its model has seen: of a start, or copies in both splits. None of a
        preparation.
    """

    variant: Variant
    seed: int
    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    seconds: float
    labels: int
    epochs: int
    folder: Path = Path()
    identity: str = ""
    seen: SeenCount | None = None


def run_variant(
    variant: Variant,
    index: PatchIndex,
    *,
    seed: int,
    evaluated: str,
    out: Path,
    done: Mapping[str, VariantResult],
    threads: int | None = None,
    progress: Progress = silent,
) -> VariantResult:
    """Train a variant and predict the evaluated patches, or read both where an earlier call has done so.

    Parameters
    ----------
    variant : Variant
        What to run.
    index : PatchIndex
        Whole; see :func:`swath.experiments.variants.subset`.
    seed : int
        Of the recipe and of the choice of labels.
    evaluated : str
        The split to answer for.
    out : pathlib.Path
        Folder of this variant and seed: a training run, ``answers.npz`` and ``variant.json``.
    done : mapping of str to VariantResult
        Variants of the same seed that were run before.

    Raises
    ------
    DataError
        If the folder holds a variant of other settings or other patches.
    """
    owner = None if variant.shares is None else done[variant.shares]
    folder = out if owner is None else owner.folder
    answers = variant.on != "first"
    part = subset(index, fraction=variant.fraction, seed=seed, evaluated=evaluated if answers else None)
    recipe = load_recipe(variant.recipe, changes=[*variant.changes, f"seed={seed}"])
    if variant.minutes_of is not None:
        recipe = _as_long_as(recipe, done[variant.minutes_of], done[variant.pace_of or variant.minutes_of])
    # Other variants count by what they are of, not by where they are.
    others = [done[name].identity for name in (variant.shares, variant.weights_of) if name is not None]
    identity = identity_of(recipe, part.fingerprint, variant.view, *others)
    facts: dict[str, Any] = json.loads((out / FACTS).read_text(encoding="utf-8")) if (out / FACTS).is_file() else {}
    if facts and facts["identity"] != identity:
        raise DataError(
            f"{out} holds a variant of other settings or other patches",
            fix="give another --out, or remove that folder to train the variant again",
        )
    finished = "seconds" in facts and (not answers or (out / ANSWERS).is_file())
    if not finished:
        trained_before = "seconds" in facts and (folder / MODEL).is_file()
        if owner is not None:
            facts = {"seconds": owner.seconds, "epochs": owner.epochs}
        elif not trained_before:
            write_facts(out / FACTS, {"identity": identity})
            if variant.weights_of is not None:
                start = (done[variant.weights_of].folder / "weights.safetensors").resolve()
                recipe = recipe.model_copy(update={"weights": str(start)})
            rows = train(
                part, recipe, out=folder, name=variant.name, resume=True, threads=threads, progress=progress
            ).history
            facts = {"seconds": sum(row["seconds"] for row in rows), "epochs": int(rows[-1]["epoch"])}
    truth = predicted = np.empty(0, np.int64)
    if answers and finished:
        with np.load(out / ANSWERS, allow_pickle=False) as held:
            truth, predicted = held["truth"], held["predicted"]
    elif answers:
        truth = part.where("test").targets(part.classes, multi_label=False)
        predicted, seen = _predict(variant, part, folder / MODEL, threads=threads, progress=progress)
        facts["seen"] = seen.model_dump()
        with atomic_file(out / ANSWERS, overwrite=True) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, truth=truth, predicted=predicted)
    if not finished:
        used = part.split_counts["train"] + part.split_counts["val"]
        facts |= {"identity": identity, "labels": used}
        write_facts(out / FACTS, facts)
        (folder / CHECKPOINT).unlink(missing_ok=True)  # a finished variant is never resumed
    return VariantResult(
        variant,
        seed,
        truth,
        predicted,
        facts["seconds"],
        facts["labels"],
        facts["epochs"],
        out,
        identity,
        validate(SeenCount, facts["seen"], where=str(out / FACTS)) if "seen" in facts else None,
    )


def _predict(
    variant: Variant, part: PatchIndex, model: Path, *, threads: int | None, progress: Progress
) -> tuple[npt.NDArray[np.int64], SeenCount]:
    """Class numbers ``[N]`` that a model predicts for the evaluated patches, and how many of these it has seen."""
    test = part.where("test")
    classifier = swath.load(model, threads=threads)
    sides = {side for name in ("width", "height") for side in test.table.column(name).unique().to_pylist()}
    # Patches of one size are resized by the graph, as in use; others need one size to lie in one array.
    size = None if len(sides) == 1 else classifier.record.input.size
    pixels = cached_pixels(test, bands=classifier.record.input.bands, size=size, progress=progress)
    show = view_named(variant.view)
    labels: list[str] = []
    for start in range(0, len(test), _BLOCK):
        shown = show(np.ascontiguousarray(pixels[start : start + _BLOCK]))
        labels += classifier.predict(shown).labels
        progress("answers", len(labels), len(test), note=variant.name)
    return class_numbers(labels, part.classes), seen_rows(classifier.record, pixels).count


def _as_long_as(recipe: Recipe, other: VariantResult, own: VariantResult) -> Recipe:
    """The recipe with the epochs that fit the seconds `other` took, at the pace of `own`, of the same recipe."""
    epochs = round(other.seconds * own.epochs / own.seconds)
    return recipe.model_copy(update={"epochs": min(max(1, epochs), 10_000), "min_steps": 0})


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write what a folder is of and holds, as JSON."""
    write_text(path, json.dumps(facts, indent=2) + "\n")
