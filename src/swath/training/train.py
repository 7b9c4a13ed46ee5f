"""A training run from an index to a model file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from swath.data import PatchIndex
from swath.errors import OutputError, SettingError
from swath.files import atomic_file, check_output
from swath.inference.engines import free_cores
from swath.model.record import Estimate
from swath.networks import smallest_patch
from swath.progress import Progress, silent
from swath.training.checkpoint import CHECKPOINT, check_identity
from swath.training.finalize import finalize_run
from swath.training.loop import fit, make_fabric, resolved
from swath.training.recipe import Recipe, dump_recipe
from swath.training.targets import Targets, choose_targets, decoded, training_parts
from swath.weights import parse_spec, weights_fingerprint

MODEL = "model.onnx"
# What a run writes into its folder.
RUN_FILES = (
    CHECKPOINT,
    MODEL,
    "weights.safetensors",
    "recipe.yaml",
    "history.csv",
    "curves.png",
    "metrics.json",
)


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
    out: str | Path,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    cache: Path | None = None,
    require_redistributable: bool = False,
    progress: Progress = silent,
) -> TrainResult:
    """Train a network on an index's train split, choose it on val, and write the model file.

    Parameters
    ----------
    index : PatchIndex
        With ``train`` and ``val`` splits; the ``test`` split is not opened.
    recipe : Recipe
        Every choice of the run, the task and the weights to start from among them; see
        :func:`swath.training.load_recipe`.
    out : str or pathlib.Path
        Folder of the run: ``model.onnx``, ``weights.safetensors``, ``recipe.yaml``, ``history.csv``,
        ``curves.png``, ``metrics.json``, ``checkpoint.safetensors``.
    name : str, optional
        The model's name; the folder's by default.
    resume : bool
        Resume from the folder's last finished epoch.
    overwrite : bool
        Throw an earlier run in the folder away; other files in it are left alone.
    threads : int, optional
        By default, as many as the cores this process may use.
    accelerator, devices
        Handed to Lightning Fabric.
    cache : pathlib.Path, optional
        Folder for decoded patches and features.
    require_redistributable : bool
        Refuse to start from weights whose license does not let the model be passed on.

    Raises
    ------
    DataError
        If a split is missing, or a class has no patch in it.
    OutputError
        If the folder holds a run already and neither `resume` nor `overwrite` is given.
    SettingError
        If the options contradict each other, the patches are too small for the network, there is no such
        accelerator, or the training diverges.
    ModelFileError
        If the exported graph does not agree with the network; no model file is written then.
    """
    out = Path(out)
    _check_options(threads, resume=resume, overwrite=overwrite)
    name = out.resolve().name if name is None else name.strip()
    if not name:
        raise SettingError("the model has no name", fix="give --name NAME")
    parts = training_parts(index)
    targets = choose_targets(index, recipe)
    # Before an earlier run is thrown away: is there such a network, and are there such weights?
    smallest_patch(recipe.network)
    parse_spec(recipe.weights)
    if overwrite and any(Path(recipe.weights).resolve() == (out / file).resolve() for file in RUN_FILES):
        raise SettingError(
            f"--overwrite would throw away {recipe.weights}, which this run starts from",
            fix="give another --out",
        )
    identity = _identity(recipe, parts)  # of the recipe as asked for: a run may go on on other hardware
    recipe = resolved(recipe, accelerator=accelerator)
    fabric = make_fabric(recipe, accelerator=accelerator, devices=devices)
    if _is_first_process():
        _check_folder(out, identity=identity, resume=resume, overwrite=overwrite)
    fabric.launch()
    with torch_settings(threads or max(1, free_cores() // fabric.world_size)):
        return _run(
            index,
            parts,
            recipe,
            targets,
            fabric,
            restart=not resume,
            identity=identity,
            out=out,
            name=name,
            cache=cache,
            require_redistributable=require_redistributable,
            progress=progress,
        )


def _run(
    index: PatchIndex,
    parts: dict[str, PatchIndex],
    recipe: Recipe,
    targets: Targets,
    fabric: Fabric,
    *,
    restart: bool,
    identity: str,
    out: Path,
    name: str,
    cache: Path | None,
    require_redistributable: bool,
    progress: Progress,
) -> TrainResult:
    """Decode, train, and write what came of it."""
    patches = decoded(parts, recipe, targets, cache=cache, progress=progress)

    def begin() -> None:
        # Only what a run writes is removed: a folder given by mistake loses nothing else.
        for file in RUN_FILES if restart else ():
            (out / file).unlink(missing_ok=True)
        with atomic_file(out / "recipe.yaml", overwrite=True) as temporary:
            temporary.write_text(dump_recipe(recipe), encoding="utf-8")

    fitted = fit(
        patches["train"],
        patches["val"],
        recipe,
        targets=targets,
        folder=out,
        identity=identity,
        fabric=fabric,
        cache=cache,
        require_redistributable=require_redistributable,
        progress=progress,
        on_ready=begin,
    )
    fabric.barrier()
    model = out / MODEL
    if not fabric.is_global_zero:
        return TrainResult(model, {}, fitted.history)
    metrics = finalize_run(index, patches, recipe, targets, fitted, out=out, name=name, progress=progress)
    return TrainResult(model, metrics, fitted.history)


def _check_options(threads: int | None, *, resume: bool, overwrite: bool) -> None:
    if threads is not None and threads < 1:
        raise SettingError(f"{threads} threads", fix="give --threads 1 or more")
    if resume and overwrite:
        raise SettingError("--resume goes on with a run, --overwrite throws it away", fix="pass one of them")


@contextlib.contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """Set torch's threads and determinism, and leave all as it was, random numbers too."""
    before = torch.get_num_threads()
    strict, warn = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=warn)


def _is_first_process() -> bool:
    """Whether this is the process that writes; launchers number the others in the environment."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def _check_folder(out: Path, *, identity: str, resume: bool, overwrite: bool) -> None:
    """Make the run's folder, or refuse one that holds another run."""
    check_output(out / MODEL, overwrite=True)
    held = [name for name in RUN_FILES if (out / name).exists()]
    for name in map(Path, RUN_FILES):
        for left_over in out.glob(f".{name.stem}.*{name.suffix}"):  # by a run that was killed while writing
            left_over.unlink()
    if resume and CHECKPOINT in held:
        check_identity(out / CHECKPOINT, identity=identity)
        return
    # A run killed in its first epoch leaves its recipe only, and there is nothing to lose.
    if held and not overwrite and not (resume and MODEL not in held):
        raise OutputError(
            f"{out} holds a run already",
            fix="it has no checkpoint to resume from: pass --overwrite to start over"
            if resume
            else "pass --resume to go on, or --overwrite to start over",
        )


def _identity(recipe: Recipe, parts: dict[str, PatchIndex]) -> str:
    """What a checkpoint is of: the recipe but for its name, and the patches."""
    text = json.dumps(recipe.model_dump(mode="json", exclude={"name", "about"}), sort_keys=True)
    prints = "".join(part.fingerprint for part in parts.values())
    return hashlib.sha256((text + weights_fingerprint(recipe.weights) + prints).encode()).hexdigest()
