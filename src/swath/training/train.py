"""A training run from an index to a model file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, OutputError, SettingError
from swath.files import atomic_file, check_output
from swath.imagery import RGB
from swath.inference.engines import free_cores
from swath.model.record import Estimate
from swath.progress import Progress, silent
from swath.training.checkpoint import CHECKPOINT
from swath.training.finish import finish
from swath.training.loop import Patches, fit, make_fabric
from swath.training.recipe import Recipe, dump_recipe


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind.

    Attributes
    ----------
    model : pathlib.Path
        The model file.
    metrics : dict of str to Estimate
        On the validation split.
    history : list of dict
        One row an epoch.
    """

    model: Path
    metrics: dict[str, Estimate]
    history: list[dict[str, float]]


def train(
    index: PatchIndex,
    recipe: Recipe,
    *,
    out: Path,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    cache: Path | None = None,
    progress: Progress = silent,
) -> TrainResult:
    """Train a network on an index's train split, choose it on val, and write the model file.

    Parameters
    ----------
    index : PatchIndex
        With ``train`` and ``val`` splits; the ``test`` split is not opened.
    recipe : Recipe
        Every choice of the run; see :func:`swath.training.load_recipe`.
    out : pathlib.Path
        Folder of the run: ``model.onnx``, ``weights.safetensors``, ``recipe.yaml``, ``history.csv``,
        ``curves.png``, ``metrics.json``, ``checkpoint.safetensors``.
    name : str, optional
        The model's name; the folder's by default.
    resume : bool
        Go on from the folder's last finished epoch.
    overwrite : bool
        Throw an earlier run in the folder away.
    threads : int, optional
        By default, as many as the cores this process may use.
    accelerator, devices
        Handed to Lightning Fabric.

    Raises
    ------
    DataError
        If a split is missing, or a class has no patch in it.
    OutputError
        If the folder holds a run already and neither `resume` nor `overwrite` is given.
    """
    _check_threads(threads)
    parts = _splits(index)
    _prepare(out, resume=resume, overwrite=overwrite)
    torch.set_num_threads(threads or free_cores())
    torch.use_deterministic_algorithms(True, warn_only=True)
    fabric = make_fabric(recipe, accelerator=accelerator, devices=devices)
    fabric.launch()
    classes = index.classes
    patches = {}
    for split, part in parts.items():
        pixels = cached_pixels(part, bands=RGB, size=recipe.size, cache=cache, progress=progress)
        labels = np.array([classes.index(label) for label in part.labels], np.int64)
        patches[split] = Patches(pixels, labels)
    if patches["train"].pixels.shape[1:] != patches["val"].pixels.shape[1:]:
        raise DataError(
            "train and val patches differ in size", fix="give --set size=64, or the size you want"
        )
    identity = _identity(recipe, parts)
    if fabric.is_global_zero:
        with atomic_file(out / "recipe.yaml", overwrite=True) as temporary:
            temporary.write_text(dump_recipe(recipe), encoding="utf-8")
    fitted = fit(
        patches["train"],
        patches["val"],
        recipe,
        classes=len(classes),
        folder=out,
        identity=identity,
        fabric=fabric,
        progress=progress,
    )
    fabric.barrier()
    model = out / "model.onnx"
    if not fabric.is_global_zero:
        return TrainResult(model, {}, fitted.history)
    metrics = finish(index, patches, recipe, fitted, out=out, name=name or out.name, progress=progress)
    return TrainResult(model, metrics, fitted.history)


def _check_threads(threads: int | None) -> None:
    if threads is not None and threads < 1:
        raise SettingError(f"{threads} threads", fix="give --threads 1 or more")


def _splits(index: PatchIndex) -> dict[str, PatchIndex]:
    """The train and val parts, each with every class in it."""
    if len(index.classes) < 2:
        raise DataError("the index has one class only", fix="add patches of another class")
    parts = {split: index.where(split) for split in ("train", "val")}
    for split, part in parts.items():
        missing = sorted(set(index.classes) - set(part.labels))
        if missing:
            raise DataError(
                f"the {split} split has no patch of {', '.join(missing)}",
                fix="make splits with: swath data split",
            )
    return parts


def _prepare(out: Path, *, resume: bool, overwrite: bool) -> None:
    check_output(out / "model.onnx", overwrite=True)
    if not any(out.iterdir()):
        return
    if resume and (out / CHECKPOINT).exists():
        return
    if not resume and not overwrite:
        raise OutputError(
            f"{out} holds a run already", fix="pass --resume to go on, or --overwrite to start over"
        )
    # Only what a run writes is removed: a folder given by mistake loses nothing else.
    for name in (CHECKPOINT, "model.onnx", "weights.safetensors", "recipe.yaml", "history.csv", "curves.png"):
        (out / name).unlink(missing_ok=True)
    (out / "metrics.json").unlink(missing_ok=True)


def _identity(recipe: Recipe, parts: dict[str, PatchIndex]) -> str:
    """What a checkpoint is of: the recipe but for its name, and the patches."""
    text = json.dumps(recipe.model_dump(mode="json", exclude={"name", "about"}), sort_keys=True)
    prints = "".join(part.fingerprint for part in parts.values())
    return hashlib.sha256((text + prints).encode()).hexdigest()
