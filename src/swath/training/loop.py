"""The training loop: seeded, resumable between epochs, chosen by validation, on Lightning Fabric."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from swath.errors import SettingError
from swath.evaluation import average_precision
from swath.model.record import Task
from swath.progress import Progress, silent
from swath.training.batches import Normalization, Patches, epoch_order, prepare, whitening_of
from swath.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from swath.training.loss import LossFunction, make_loss
from swath.training.optim import build_optimizers, rate
from swath.training.probe import Probe, can_probe, features_of
from swath.training.recipe import Freezing, Recipe
from swath.training.targets import InitialNetwork, Targets, initialize_network, one_hot
from swath.weights import WeightFacts

VALIDATION_BATCH = 512
Floats = npt.NDArray[np.float32]
State = dict[str, torch.Tensor]
# Some parameters get no gradient while the backbone rests, and plain DDP waits for all of them.
_DDP_AT_REST = "ddp_find_unused_parameters_true"


@dataclass(frozen=True)
class Score:
    """What chooses the epoch: accuracy for one label a patch, else average precision, which needs no threshold.

    Attributes
    ----------
    column : str
        Its name in the history.
    short : str
        Its name in the progress bar.
    """

    column: str
    short: str

    @classmethod
    def of(cls, task: Task) -> Score:
        """The score of a task."""
        if task == "single-label":
            return cls("val_accuracy", "val")
        return cls("val_average_precision", "val AP")

    def measure(self, logits: Floats, shares: Floats) -> float:
        """Score of logits ``[N, L]`` against targets ``[N, L]``, 0 to 1; the mean over the labels that occur."""
        if self.column == "val_accuracy":
            return float((logits.argmax(1) == shares.argmax(1)).mean())
        each = [
            average_precision(truth, values)
            for truth, values in zip(shares.T > 0.5, logits.T, strict=True)
            if truth.any()
        ]
        return float(np.mean(each)) if each else 0.0


@dataclass
class Run:
    """What one epoch needs.

    Attributes
    ----------
    network, plain : torch.nn.Module
        As Fabric wraps it, and bare.
    steps : int
        Steps an epoch.
    white : float
        The stored number that augmentation takes for white.
    average : Average or None
        Running average of the weights, if the recipe wants one.
    """

    network: nn.Module
    plain: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    recipe: Recipe
    normalization: Normalization
    loss: LossFunction
    score: Score
    fabric: Fabric
    progress: Progress
    steps: int
    white: float = 255.0
    average: WeightAverage | None = None
    note: str = ""

    def epoch(self, train: Patches, shares: Floats, epoch: int) -> float:
        """One pass over the training patches; returns the mean loss."""
        recipe, fabric = self.recipe, self.fabric
        torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        order = epoch_order(shares, recipe, generator=generator)
        batch_size, steps = min(recipe.batch_size, len(train)), self.steps
        enter_phase(self.plain, recipe.freeze, epoch=epoch)
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            # Each process takes its own share of the same seeded batch.
            chosen = np.sort(chosen)[fabric.global_rank :: fabric.world_size]
            values, wanted = prepare(
                torch.from_numpy(train.pixels[chosen]),
                torch.from_numpy(shares[chosen]),
                recipe,
                self.normalization,
                done=(epoch * steps + step) / (recipe.epochs * steps),
                top=self.white,
                generator=generator,
            )
            self._set_rates(epoch * steps + step, recipe.epochs * steps)
            logits = self.network(values.to(fabric.device)).logits
            loss = self.loss(logits.float(), wanted.to(fabric.device))
            fabric.backward(loss)
            for optimizer in self.optimizers:
                optimizer.step()
            if self.average is not None:
                self.average.update(self.plain, epoch * steps + step)
            total += float(loss.detach())
            if not math.isfinite(total):
                raise SettingError(
                    f"the training loss is no longer a number in epoch {epoch + 1}",
                    fix="lower the rates, for example --set optimizer.lr=0.02 --set optimizer.adamw_lr=0.001"
                    if recipe.optimizer.name == "muon"
                    else f"lower the rate, for example --set optimizer.lr={recipe.optimizer.lr / 10:g}",
                )
            self.report(epoch, step + 1)
        return total / steps

    def report(self, epoch: int, step: int) -> None:
        """Tell how far the whole run is, and the latest validation score."""
        done, total = epoch * self.steps + step, self.recipe.epochs * self.steps
        self.progress("training", done, total, note=f"epoch {epoch + 1}{self.note}")

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the running average in the weights' place for a while."""
        if self.average is None:
            yield
            return
        held = {name: value.detach().clone() for name, value in self.plain.state_dict().items()}
        self.plain.load_state_dict(self.average.state)
        try:
            yield
        finally:
            self.plain.load_state_dict(held)

    @torch.no_grad()
    def validate(self, val: Patches, shares: Floats) -> tuple[float, float]:
        """Score and mean loss on the validation patches."""
        self.network.eval()
        rows = []
        for start in range(0, len(val), VALIDATION_BATCH):
            part: Any = np.array(val.pixels[start : start + VALIDATION_BATCH])
            values = self.normalization.apply(torch.from_numpy(part))
            rows.append(self.network(values.to(self.fabric.device)).logits.float().cpu())
        logits = torch.cat(rows)
        loss = _plain_loss(logits, torch.from_numpy(shares), single=self.score.column == "val_accuracy")
        reached = self.score.measure(logits.numpy(), shares)
        self.note = f" · {self.score.short} {100 * reached:.1f} %"
        return reached, loss

    def _set_rates(self, step: int, total: int) -> None:
        settings = self.recipe.optimizer
        factor = rate(step, total, warmup=settings.warmup, schedule=settings.schedule)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor


def _plain_loss(logits: torch.Tensor, shares: torch.Tensor, *, single: bool) -> float:
    """Cross-entropy, or BCE, without weights or smoothing: comparable between recipes."""
    if single:
        return float(nn.functional.cross_entropy(logits, shares))
    return float(nn.functional.binary_cross_entropy_with_logits(logits, shares))


class WeightAverage:
    """``shadow = decay * shadow + (1 - decay) * weights`` after every step.

    The decay rises with the steps, ``min(decay, (1 + step) / (10 + step))``, so that the start is soon forgotten.

    Parameters
    ----------
    network : torch.nn.Module
        What is averaged; its norms' statistics too.
    decay : float
        0 to below 1.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: State = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Resume from an earlier average."""
        self.state = {name: value.clone() for name, value in state.items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take the weights after optimization step `step` (from 0) in."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            held = self.state[name]
            if held.is_floating_point():
                held.lerp_(value.to(held), 1 - decay)
            else:
                held.copy_(value)


def earliest_best_epoch(earlier: Sequence[float], *, patches: int) -> float:
    """The score from which an epoch's weights replace those kept before: one standard error below the best so far.

    The error is that of a share, and never less than one patch: all of a few patches right is luck as well.
    Rates fall to the end, so a later epoch is expected to be better; an earlier one that scored higher by less than
    chance does on so many patches was lucky (the rule of Breiman et al. 1984, CART, turned in time).
    """
    best = max(earlier, default=0.0)
    return best - max(math.sqrt(best * (1 - best) / patches), 1 / patches)


def score_weight(shares: npt.NDArray[Any], task: Task) -> int:
    """How many patches a validation score rests on: the ``patches`` of the other functions.

    An accuracy rests on all of them. An average precision rests on the positives: the rarer they are, the more of it
    is luck; a mean of several on as many as give such a mean the same variance.

    Parameters
    ----------
    shares : numpy.ndarray
        ``[N, L]`` targets.
    task : str
        Of the run.
    """
    if task == "single-label":
        return len(shares)
    positives = np.asarray(shares).sum(axis=0)
    positives = positives[positives > 0]
    return (
        max(1, round(len(positives) ** 2 / float((1 / positives).sum()))) if len(positives) else len(shares)
    )


def best_epoch(scores: Sequence[float], *, patches: int) -> int:
    """Place of the epoch that is kept: the last that reached :func:`earliest_best_epoch`.

    Parameters
    ----------
    scores : sequence of float
        Validation score of each epoch, 0 to 1, at least one.
    patches : int
        Validation patches that the score rests on; see :func:`score_weight`.
    """
    return max(n for n, s in enumerate(scores) if s >= earliest_best_epoch(scores[:n], patches=patches))


@dataclass(frozen=True)
class TrainedNetwork:
    """A trained network with the weights of the epoch that is kept.

    Attributes
    ----------
    network : torch.nn.Module
        On the CPU, in evaluation mode.
    history : list of dict
        One row an epoch.
    kept : int
        Place of the kept epoch in it.
    normalization : Normalization
        What its input needs.
    facts : WeightFacts or None
        What it started from.
    """

    network: nn.Module
    history: list[dict[str, float]]
    kept: int
    normalization: Normalization
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
    require_redistributable: bool = False,
    progress: Progress = silent,
    on_ready: Callable[[], None] | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> TrainedNetwork:
    """Train from the recipe's start, or resume from the checkpoint in `folder` if there is one.

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
    start = initialize_network(
        train.pixels,
        recipe,
        logits=targets.logits,
        require_redistributable=require_redistributable,
        progress=progress,
    )
    whole = start.network
    network, train, val = _trained_part(start, train, val, recipe, cache=cache, progress=progress)
    optimizers = build_optimizers(
        network,
        recipe.optimizer,
        backbone_lr_scale=recipe.freeze.backbone_lr_scale,
        bf16=recipe.precision == "bf16",
    )
    shares = one_hot(train.labels, targets.task, len(targets.classes))
    loss = make_loss(recipe.loss, task=targets.task, classes=targets.classes, shares=shares)
    if on_ready is not None and fabric.is_global_zero:
        on_ready()
    fabric.barrier()
    average = WeightAverage(network, recipe.ema_decay) if recipe.ema_decay else None
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
    module, *wrapped = fabric.setup(network, *optimizers)
    if checkpoint is not None:
        # Only now: the weights are where they will be trained, and their states go there too.
        kept = [*checkpoint.optimizers, *[{}] * (len(optimizers) - len(checkpoint.optimizers))]
        for optimizer, tensors in zip(optimizers, kept, strict=True):
            restore_optimizer(optimizer, tensors)
    run = Run(
        network=module,
        plain=network,
        optimizers=wrapped,
        recipe=recipe,
        normalization=start.normalization,
        loss=loss,
        score=Score.of(targets.task),
        fabric=fabric,
        progress=progress,
        steps=len(train) // min(recipe.batch_size, len(train)),  # whole batches only, but at least one
        white=whitening_of(train.pixels),
        average=average,
    )
    score = run.score.column
    judging = score_weight(one_hot(val.labels, targets.task, len(targets.classes)), targets.task)
    if on_epoch is not None:
        for row in history:
            on_epoch(row)
    while len(history) < recipe.epochs and not _stopped_early(history, score, recipe.early_stopping_patience):
        epoch, started = len(history), time.perf_counter()
        train_loss = run.epoch(train, shares, epoch)
        with run.averaged():
            reached, val_loss = run.validate(val, one_hot(val.labels, targets.task, len(targets.classes)))
            if reached >= earliest_best_epoch([h[score] for h in history], patches=judging):
                best = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
        run.report(epoch, run.steps)
        seconds = time.perf_counter() - started
        row = {"epoch": epoch + 1, "seconds": seconds, "train_loss": train_loss}
        history.append(row | {"val_loss": val_loss, score: reached})
        if fabric.is_global_zero:
            states = [optimizer_tensors(o) for o in wrapped]
            shadow = average.state if average is not None else {}
            write_checkpoint(path, Checkpoint(identity, history, network.state_dict(), best, states, shadow))
        if on_epoch is not None:
            on_epoch(history[-1])
    network.load_state_dict(best)
    kept_at = best_epoch([row[score] for row in history], patches=judging)
    return TrainedNetwork(whole.cpu().eval(), history, kept_at, start.normalization, start.facts)


def _trained_part(
    start: InitialNetwork,
    train: Patches,
    val: Patches,
    recipe: Recipe,
    *,
    cache: Path | None,
    progress: Progress,
) -> tuple[nn.Module, Patches, Patches]:
    """The network and its patches; or its head alone and their features, where the rest would never change."""
    whole = start.network
    if not can_probe(whole, recipe):
        return whole, train, val
    bf16 = recipe.precision == "bf16"
    train, val = (
        features_of(whole, part, start.normalization, bf16=bf16, cache=cache, progress=progress)
        for part in (train, val)
    )
    return Probe(cast(nn.Module, whole.head), recipe.network.dropout), train, val


def _stopped_early(history: list[dict[str, float]], score: str, early_stopping_patience: int | None) -> bool:
    """Whether the last `early_stopping_patience` epochs brought nothing better."""
    if early_stopping_patience is None or not history:
        return False
    values = [row[score] for row in history]
    return len(values) - 1 - max(range(len(values)), key=values.__getitem__) >= early_stopping_patience


def is_frozen(settings: Freezing, epoch: int) -> bool:
    """Whether the backbone rests in this epoch (counted from 0)."""
    return settings.epochs == "all" or epoch < settings.epochs


def enter_phase(network: nn.Module, settings: Freezing, *, epoch: int) -> None:
    """Set what trains in `epoch`: a resting backbone keeps every weight and every statistic bit for bit.

    Parameters
    ----------
    network : torch.nn.Module
        With ``new_modules``, the names of the modules that are not the backbone.
    settings : Freezing
        Of the recipe.
    epoch : int
        Counted from 0.
    """
    network.train()
    frozen = is_frozen(settings, epoch)
    for part in backbone_modules(network):
        part.requires_grad_(not frozen)
        if frozen:
            part.eval()  # norms keep their statistics, dropout is off
        elif settings.batch_norm == "frozen":
            for module in part.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
                    module.requires_grad_(False)


def backbone_modules(network: nn.Module) -> Iterator[nn.Module]:
    """The direct children of `network` that are pre-trained where anything is."""
    new_modules = cast("tuple[str, ...]", network.new_modules)
    return (module for name, module in network.named_children() if name not in new_modules)
