"""``train``: an index and a recipe in, a run folder with a model file out.

The folder is checked before anything happens, and changed only when data and network are found to fit.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from torch import nn

from swath.data import PatchIndex
from swath.data.cache import patch_side
from swath.data.rows import unnamed_bands
from swath.errors import OutputError, SettingError, SwathError
from swath.files import check_output, one_run, write_text
from swath.machine import free_cores
from swath.model.record import Estimate
from swath.networks import CUSTOM, Network, check_module, smallest_patch
from swath.progress import Progress, silent
from swath.training.advice import compare_with_probe
from swath.training.budget import Budget
from swath.training.checkpoint import CHECKPOINT, check_identity
from swath.training.finalize import RESULT_FILES, calibrate, export_model, write_run
from swath.training.loop import TrainingLoop
from swath.training.mosaic import draw_batches
from swath.training.plan import RecipeChoice, note_cost, recipe_for, with_enough_steps, with_network_of_start
from swath.training.recipe import Freezing, Recipe, dump_recipe, load_recipe
from swath.training.run import (
    TrainingRun,
    decode_patches,
    identity_of,
    initialize_network,
    make_fabric,
    resolved,
    torch_settings,
)
from swath.training.targets import choose_targets, training_parts
from swath.weights import parse_spec

# What a run writes into its folder, the first to be removed first, and what of it before its first epoch.
BATCHES = "batches.png"
FIRST_FILES = ("recipe.yaml", BATCHES)
RUN_FILES = (*RESULT_FILES, CHECKPOINT, *FIRST_FILES)
MODEL = RESULT_FILES[0]
_log = logging.getLogger("swath")


@dataclass(frozen=True)
class TrainResult:
    """What a run produced.

    Attributes
    ----------
    model : pathlib.Path
        The model file.
    metrics : dict of str to Estimate
        On the validation split, with 95 % intervals.
    history : list of dict
        One row per epoch; of a network that began whole also one before the first step, epoch 0.
    """

    model: Path
    metrics: dict[str, Estimate]
    history: list[dict[str, float]]
    _network: nn.Module = field(repr=False, compare=False)

    def network(self) -> nn.Module:
        """The trained network, on the CPU and in evaluation mode.

        Returns
        -------
        torch.nn.Module
            Maps float32 patches ``[N, bands, P, P]``, normalized with ``mean`` and ``sd`` of the model file's input,
            to :class:`swath.networks.Outputs`. A module given as ``network=`` is its ``module``.
        """
        return self._network

    def __repr__(self) -> str:
        metrics = ", ".join(
            f"{name}={value.value:.4f} ({value.low:.4f} to {value.high:.4f}, n={value.n})"
            for name, value in self.metrics.items()
        )
        epochs = int(self.history[-1]["epoch"])
        return f"TrainResult({str(self.model)!r}, {epochs} epochs, validation {metrics})"


def train(
    index: PatchIndex,
    recipe: Recipe | str | Path | None = None,
    *,
    out: str | Path,
    network: nn.Module | None = None,
    name: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    devices: int | str = 1,
    cache: Path | None = None,
    require_redistributable: bool = False,
    budget: float | None = None,
    progress: Progress = silent,
) -> TrainResult:
    """Train a network on an index's train split, choose its epoch on val, and write the model file.

    Parameters
    ----------
    index : PatchIndex
        With ``train`` and ``val`` splits; the ``test`` split is not opened.
    recipe : Recipe, str or pathlib.Path
        Every choice of the run, the task and the weights to start from among them: a recipe, the name of one, or a
        ``.yaml`` file; see :func:`swath.training.load_recipe`. By default the number of training patches decides:
        :func:`swath.training.recipe_for`.
    out : str or pathlib.Path
        Folder of the run: ``model.onnx``, ``weights.safetensors``, ``recipe.yaml``, ``history.csv``,
        ``curves.svg``, ``batches.png``, ``metrics.json``, ``checkpoint.safetensors``.
    network : torch.nn.Module, optional
        Your own network in place of the recipe's: it gets float32 ``[N, bands, P, P]``, each band minus its mean and
        divided by its standard deviation over the training patches, and returns logits ``[N, K]`` (``[N, 1]`` for the
        binary task). A Keras 3 model with the torch backend is one too. It is trained in place.
    name : str, optional
        The model's name; the folder's by default.
    resume : bool
        Resume from the folder's last completed epoch; with `network`, of a module with the same tensors.
    overwrite : bool
        Discard an earlier run in the folder; other files in it are left alone.
    threads : int, optional
        By default, as many as the cores this process may use.
    accelerator, devices
        Passed to Lightning Fabric: ``auto``, ``cpu``, ``cuda`` or ``mps``, and how many of them.
    cache : pathlib.Path, optional
        Folder for decoded patches and features.
    require_redistributable : bool
        Refuse to start from weights whose license does not let the model be passed on.
    budget : float, optional
        Seconds the run may take, decoding and export included: by the time of its first steps it is planned for
        fewer epochs if need be, so that the learning rate still falls to its end. Calls that resume count together.

    Raises
    ------
    DataError
        If a split is missing, or a class has no patch in it.
    OutputError
        If the folder holds a run already and neither `resume` nor `overwrite` is given, or there is no room in it.
    SettingError
        If the options contradict each other, the patches are too small for the network, `network` does not fit the
        task or cannot be exported, there is no such accelerator, the budget is too short for one epoch, or the
        training diverges.
    ModelFileError
        If the exported graph does not agree with the network; no model file is written then.

    Examples
    --------
    >>> from swath.data import build_index, split_index
    >>> index = split_index(build_index("eurosat-mini"))  # doctest: +SKIP
    >>> result = train(index, load_recipe("flash", epochs=1), out="runs/first")  # doctest: +SKIP
    >>> result.network()(torch.zeros(1, 3, 64, 64)).logits.shape  # doctest: +SKIP
    torch.Size([1, 10])
    """
    out = Path(out)
    allowed = None if budget is None else Budget.of(budget)
    if recipe is None:
        choice = (
            recipe_for(index, cache=cache, progress=progress)
            if network is None
            else RecipeChoice("fast", "for a module")
        )
        _log.info("%s", choice)
        recipe = choice.name
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    _check_options(recipe, out, threads, resume=resume, overwrite=overwrite)
    name = out.resolve().name if name is None else name.strip()
    if not name:
        raise SettingError("the model has no name", fix="give --name NAME")
    parts = training_parts(index)
    targets = choose_targets(index, recipe)
    learned = [row for row, split in enumerate(index.column("split")) if split in parts]
    unnamed_bands(index.take(learned))  # the same in both, or refused; the test split is not opened
    if network is not None:
        recipe = _with_module(recipe, network, require_redistributable=require_redistributable)
    else:
        recipe = with_network_of_start(recipe)
        smallest_patch(recipe.network)  # before an earlier run is discarded: is there such a network?
    recipe = with_enough_steps(recipe, len(parts["train"]))
    note_cost(recipe, patch_side(parts["train"], recipe.size))
    # Of the recipe as given: a run may be resumed on other hardware.
    identity = identity_of(recipe, *(part.fingerprint for part in parts.values()))
    recipe = resolved(recipe, accelerator=accelerator)
    fabric = make_fabric(recipe, accelerator=accelerator, devices=devices)
    with _run_folder(out):
        if _is_first_process():
            _check_folder(out, identity=identity, resume=resume, overwrite=overwrite)
        fabric.launch()
        with torch_settings(threads or max(1, free_cores() // fabric.world_size)):
            run = TrainingRun(
                recipe,
                targets,
                *decode_patches(parts, recipe, targets, cache=cache, progress=progress),
                folder=out,
                identity=identity,
                fabric=fabric,
                module=network,
                cache=cache,
                require_redistributable=require_redistributable,
                budget=allowed,
                progress=progress,
            )
            initial = initialize_network(run)
            loop = TrainingLoop(run, initial)
            if fabric.is_global_zero:
                _begin(out, recipe, resume=resume)
                draw_batches(out / BATCHES, run, initial.normalization)
            fabric.barrier()
            trained = loop.fit()
            fabric.barrier()
            if not fabric.is_global_zero:
                return TrainResult(out / MODEL, {}, trained.history, trained.network)
            calibration = calibrate(run, trained)
            compared = compare_with_probe(run, calibration.outputs.logits)
            if compared is not None and compared.better:
                _log.warning("%s", compared)
            graph, record = export_model(run, index, trained, calibration, name=name)
            write_run(run, trained, graph, record)
            return TrainResult(out / MODEL, record.metrics, trained.history, trained.network)


@contextlib.contextmanager
def _run_folder(out: Path) -> Iterator[None]:
    """Hold the folder, and leave nothing of a run that is refused: no folder it made, no file before its checkpoint."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        with one_run(out) if _is_first_process() else contextlib.nullcontext():
            yield
    except SwathError:
        held = {path.name for path in out.iterdir()} if out.is_dir() else set()
        if made and held <= set(FIRST_FILES):
            for name in held:
                (out / name).unlink()
        for folder in made:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()
        raise


def _check_options(recipe: Recipe, out: Path, threads: int | None, *, resume: bool, overwrite: bool) -> None:
    if threads is not None and threads < 1:
        raise SettingError(f"{threads} threads", fix="give --threads 1 or more")
    if resume and overwrite:
        raise SettingError("--resume continues a run, and --overwrite discards it", fix="pass one of them")
    parse_spec(recipe.weights)  # before an earlier run is discarded: are there such weights?
    if overwrite and any(Path(recipe.weights).resolve() == (out / file).resolve() for file in RUN_FILES):
        raise SettingError(
            f"--overwrite would discard {recipe.weights}, which this run starts from", fix="give another --out"
        )


def _with_module(recipe: Recipe, module: nn.Module, *, require_redistributable: bool) -> Recipe:
    """The recipe with a user's module named as its network; refuses what a module cannot do."""
    check_module(module)
    if recipe.weights != "none":
        raise SettingError(
            f"the recipe starts from the weights {recipe.weights}, and a module brings its own",
            fix="use load_recipe(..., weights='none')",
        )
    if recipe.freeze != Freezing():
        raise SettingError(
            "the recipe freezes a backbone, and which part of a module that is cannot be known",
            fix="use load_recipe(..., freeze={}), and requires_grad_(False) on what shall not learn",
        )
    if require_redistributable:
        raise SettingError("the license of a module's weights is not known", fix="leave out require_redistributable")
    return recipe.model_copy(update={"network": Network(name=f"{CUSTOM}{type(module).__name__}")})


def _is_first_process() -> bool:
    """Whether this is the process that writes; launchers number the others in the environment."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def _check_folder(out: Path, *, identity: str, resume: bool, overwrite: bool) -> None:
    """Make the run's folder, or refuse one that holds another run."""
    check_output(out / MODEL, overwrite=True)
    held = [name for name in RUN_FILES if (out / name).exists()]
    if resume and CHECKPOINT in held:
        check_identity(out / CHECKPOINT, identity=identity)
        return
    # A run killed in its first epoch leaves its recipe only, and there is nothing to lose.
    if held and not overwrite and not (resume and MODEL not in held):
        raise OutputError(
            f"{out} holds a run already",
            fix="it has no checkpoint to resume from: pass --overwrite to start over"
            if resume
            else "pass --resume to continue it, or --overwrite to start over",
        )


def _begin(out: Path, recipe: Recipe, *, resume: bool) -> None:
    """Write the recipe, and remove what an earlier run wrote: a folder given by mistake loses nothing else."""
    for file in () if resume else RUN_FILES:
        (out / file).unlink(missing_ok=True)
    write_text(out / "recipe.yaml", dump_recipe(recipe))
