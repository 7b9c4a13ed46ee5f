"""The training loop: seeded, resumable between epochs, chosen by validation, on Lightning Fabric."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from swath.errors import SettingError
from swath.progress import Progress, silent
from swath.training.average import Average
from swath.training.batches import Normalisation, Patches, white_of
from swath.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from swath.training.keep import kept_epoch, least_to_keep, score_weight
from swath.training.loss import make_loss
from swath.training.optim import build_optimisers
from swath.training.probe import Probe, can_probe, features_of
from swath.training.recipe import Freezing, Recipe
from swath.training.run import Run, Score
from swath.training.start import Start, make_start
from swath.training.targets import Targets, one_hot
from swath.weights import WeightFacts


@dataclass(frozen=True)
class Fitted:
    """A trained network with the weights of the epoch that is kept.

    Attributes
    ----------
    network : torch.nn.Module
        On the CPU, in evaluation mode.
    history : list of dict
        One row an epoch.
    kept : int
        Place of the kept epoch in it.
    normalisation : Normalisation
        What its input needs.
    facts : WeightFacts or None
        What it started from.
    """

    network: nn.Module
    history: list[dict[str, float]]
    kept: int
    normalisation: Normalisation
    facts: WeightFacts | None


def has_bf16(accelerator: str = "auto") -> bool:
    """Whether what will run the training multiplies bf16 matrices in hardware."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def resolved(recipe: Recipe, *, accelerator: str = "auto") -> Recipe:
    """The recipe with the precision it will run in: ``auto`` is bf16 where the hardware has it."""
    if recipe.precision != "auto":
        return recipe
    return recipe.model_copy(update={"precision": "bf16" if has_bf16(accelerator) else "fp32"})


# Some parameters get no gradient while the backbone rests, and plain DDP waits for all of them.
_DDP_AT_REST = "ddp_find_unused_parameters_true"


def make_fabric(recipe: Recipe, *, accelerator: str = "auto", devices: int | str = 1) -> Fabric:
    """Fabric with the recipe's precision; see :func:`resolved`.

    Raises
    ------
    SettingError
        If this machine has no such accelerator, or not as many.
    """
    bf16 = resolved(recipe, accelerator=accelerator).precision == "bf16"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its notes would break the bars
    try:
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            precision="bf16-mixed" if bf16 else "32-true",
            strategy="auto" if recipe.freeze == Freezing() or devices in (1, "1") else _DDP_AT_REST,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingError(
            f"cannot train on accelerator '{accelerator}', devices {devices} ({reason})",
            fix="use --accelerator auto --devices 1",
        ) from error


def fit(
    train: Patches,
    val: Patches,
    recipe: Recipe,
    *,
    targets: Targets,
    folder: Path,
    identity: str,
    fabric: Fabric,
    cache: Path | None = None,
    ship: bool = False,
    progress: Progress = silent,
    on_ready: Callable[[], None] | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Fitted:
    """Train from the recipe's start, or go on from the checkpoint in `folder` if there is one.

    The same call on the same machine gives the same numbers: every epoch draws from its own seeded
    generator, so an interrupted run ends where an uninterrupted one does. ``on_ready`` is called once in the first
    process when everything is found to fit, before the checkpoint is looked for; ``on_epoch`` with each
    row of the history, first with those of an earlier call, then with each new one after its checkpoint is written;
    what it raises ends the run.

    Raises
    ------
    SettingError
        If the training diverges.
    DataError
        If the checkpoint is damaged or of another run.
    """
    start = make_start(train.pixels, recipe, logits=targets.logits, ship=ship, progress=progress)
    whole = start.network
    network, train, val = _what_learns(start, train, val, recipe, cache=cache, progress=progress)
    optimisers = build_optimisers(
        network,
        recipe.optimiser,
        backbone_rate=recipe.freeze.backbone_rate,
        bf16=recipe.precision == "bf16",
    )
    shares = one_hot(train.labels, targets.task, len(targets.classes))
    loss = make_loss(recipe.loss, task=targets.task, classes=targets.classes, shares=shares)
    if on_ready is not None and fabric.is_global_zero:
        on_ready()
    fabric.barrier()
    average = Average(network, recipe.average) if recipe.average else None
    history: list[dict[str, float]] = []
    best = {k: v.clone() for k, v in network.state_dict().items()}
    path = folder / CHECKPOINT
    checkpoint = read_checkpoint(path, identity=identity) if path.exists() else None
    if checkpoint is not None:
        history, best = list(checkpoint.history), dict(checkpoint.best)
        network.load_state_dict(checkpoint.network)
        if average is not None:
            average.restore(checkpoint.average)
    module: Any
    module, *wrapped = fabric.setup(network, *optimisers)
    if checkpoint is not None:
        # Only now: the weights are where they will be trained, and their states go there too.
        kept = [*checkpoint.optimisers, *[{}] * (len(optimisers) - len(checkpoint.optimisers))]
        for optimiser, tensors in zip(optimisers, kept, strict=True):
            restore_optimiser(optimiser, tensors)
    run = Run(
        network=module,
        plain=network,
        optimisers=wrapped,
        recipe=recipe,
        normalisation=start.normalisation,
        loss=loss,
        score=Score.of(targets.task),
        fabric=fabric,
        progress=progress,
        steps=len(train) // min(recipe.batch, len(train)),  # whole batches only, but at least one
        white=white_of(train.pixels),
        average=average,
    )
    score = run.score.column
    judging = score_weight(one_hot(val.labels, targets.task, len(targets.classes)), targets.task)
    if on_epoch is not None:
        for row in history:
            on_epoch(row)
    while len(history) < recipe.epochs and not _gave_up(history, score, recipe.patience):
        epoch, started = len(history), time.perf_counter()
        train_loss = run.epoch(train, shares, epoch)
        with run.averaged():
            reached, val_loss = run.validate(val, one_hot(val.labels, targets.task, len(targets.classes)))
            if reached >= least_to_keep([h[score] for h in history], patches=judging):
                best = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
        run.report(epoch, run.steps)
        seconds = time.perf_counter() - started
        row = {"epoch": epoch + 1, "seconds": seconds, "train_loss": train_loss}
        history.append(row | {"val_loss": val_loss, score: reached})
        if fabric.is_global_zero:
            states = [optimiser_tensors(o) for o in wrapped]
            shadow = average.state if average is not None else {}
            write_checkpoint(path, Checkpoint(identity, history, network.state_dict(), best, states, shadow))
        if on_epoch is not None:
            on_epoch(history[-1])
    network.load_state_dict(best)
    kept_at = kept_epoch([row[score] for row in history], patches=judging)
    return Fitted(whole.cpu().eval(), history, kept_at, start.normalisation, start.facts)


def _what_learns(
    start: Start, train: Patches, val: Patches, recipe: Recipe, *, cache: Path | None, progress: Progress
) -> tuple[nn.Module, Patches, Patches]:
    """The network and its patches; or its head alone and their features, where the rest would never change."""
    whole = start.network
    if not can_probe(whole, recipe):
        return whole, train, val
    bf16 = recipe.precision == "bf16"
    train, val = (
        features_of(whole, part, start.normalisation, bf16=bf16, cache=cache, progress=progress)
        for part in (train, val)
    )
    return Probe(cast(nn.Module, whole.head), recipe.network.dropout), train, val


def _gave_up(history: list[dict[str, float]], score: str, patience: int | None) -> bool:
    """Whether the last `patience` epochs brought nothing better."""
    if patience is None or not history:
        return False
    values = [row[score] for row in history]
    return len(values) - 1 - max(range(len(values)), key=values.__getitem__) >= patience
