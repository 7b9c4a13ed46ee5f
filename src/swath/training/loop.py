"""The training loop: seeded, resumable between epochs, chosen by validation, on Lightning Fabric.

:class:`TrainingLoop` fits a network. What it needs is below it: the :class:`Score` that chooses the epoch, the rule by
which one is kept (:func:`best_epoch`), the running average of the weights, when the backbone is frozen, and the
:class:`Probe`: where the backbone is always frozen, its features are computed once and the head is trained on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from swath.data.cache import default_cache, writable_cache
from swath.errors import DataError, SettingError
from swath.evaluation import average_precision
from swath.files import atomic_file
from swath.model.record import Task
from swath.networks import Outputs
from swath.training.batches import BATCH, Patches, epoch_order, outputs_of, prepare, whitening_of
from swath.training.budget import TRIAL, as_duration
from swath.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from swath.training.loss import make_loss
from swath.training.optim import build_optimizers, rate
from swath.training.recipe import Freezing, Recipe
from swath.training.run import InitialNetwork, TrainingRun

_log = logging.getLogger("swath")
Floats = npt.NDArray[np.float32]
State = dict[str, torch.Tensor]
_NORM_BATCHES = 24  # from which the statistics of norms are measured


@dataclass(frozen=True)
class TrainedNetwork(InitialNetwork):
    """A trained network with the weights of the epoch that is kept; on the CPU, in evaluation mode.

    Attributes
    ----------
    history : list of dict
        One row per epoch; of a network that began whole also one before the first step, epoch 0, without training
        scores.
    kept : int
        Place of the kept epoch in it.
    epochs : int
        How many were planned in the end: the recipe's, or what a budget of time was enough for.
    """

    history: list[dict[str, float]]
    kept: int
    epochs: int


class TrainingLoop:
    """Trains a run's network, or its head alone on features where the rest never changes.

    Making one builds everything an epoch needs, so that what does not fit is said before anything is written.

    Parameters
    ----------
    run : TrainingRun
        Recipe, patches and hardware.
    initial : InitialNetwork
        Where training starts.

    Raises
    ------
    SettingError
        If the loss does not suit the task or its classes.
    """

    def __init__(self, run: TrainingRun, initial: InitialNetwork) -> None:
        recipe, targets = run.recipe, run.targets
        self.run, self.initial = run, initial
        self.train, self.val, self.plain = run.train, run.val, initial.network
        if can_probe(initial.network, recipe):
            self.train, self.val = (features_of(run, initial, part) for part in (run.train, run.val))
            self.plain = Probe(cast(nn.Module, initial.network.head), recipe.network.dropout)
        self.network: Any = self.plain  # as Fabric wraps it, once fitting begins
        self.optimizers: Sequence[torch.optim.Optimizer] = build_optimizers(
            self.plain,
            recipe.optimizer,
            backbone_lr_scale=recipe.freeze.backbone_lr_scale,
            bf16=recipe.precision == "bf16",
        )
        self.shares, self.val_shares = (targets.shares(part.labels) for part in (self.train, self.val))
        self.loss = make_loss(recipe.loss, task=targets.task, classes=targets.classes, shares=self.shares)
        self.score = Score.of(targets.task)
        self.average = WeightAverage(self.plain, recipe.ema_decay) if recipe.ema_decay else None
        self.steps = len(self.train) // min(recipe.batch_size, len(self.train))  # whole batches, at least one
        self.epochs = recipe.epochs  # fewer where a budget of time is short
        self.white = whitening_of(self.train.pixels)
        self.note = ""
        facts = initial.facts
        # What a resumed run may return to is what initialize_network made once more, not in the checkpoint.
        whole = facts is not None and facts.whole
        if recipe.start_share and not whole:
            raise SettingError(
                f"start_share={recipe.start_share:g} mixes the trained weights with those of a network that knows the "
                "same classes, and this training begins with none",
                fix="give the weights of one, such as --set weights=runs/first/weights.safetensors, or leave it out",
            )
        self._may_stay = recipe.keep_start and whole
        self._began: State = _copied(self.plain) if self._may_stay or recipe.start_share else {}
        self._earlier = 0.0  # seconds of calls before this one
        self._pace: float | None = None  # seconds per epoch, once it is known

    def fit(self, *, on_epoch: Callable[[dict[str, float]], None] | None = None) -> TrainedNetwork:
        """Train from the initial network, or resume from the checkpoint in the run's folder if there is one.

        The same call on the same machine gives the same numbers: every epoch draws from its own seeded generator, so
        an interrupted run ends where an uninterrupted one does.

        Parameters
        ----------
        on_epoch : callable, optional
            Called with each row of the history: first with those of an earlier call, then with each new one after
            its checkpoint is written. An exception it raises ends the run.

        Raises
        ------
        SettingError
            If the training diverges.
        DataError
            If the checkpoint is damaged, or of another run or network.
        OutputError
            If the checkpoint cannot be written; the one before it stays.
        """
        run, recipe, column = self.run, self.run.recipe, self.score.column
        history, best = self._start()
        self._earlier = sum(row["seconds"] for row in history)
        if history:
            self._plan(_done(history), history[-1]["seconds"])
        else:
            if run.budget is not None and run.budget.left(0.0) <= 0:
                raise run.budget.refusal(run.budget.left(0.0))
            history += self._before_the_first_step()
        patches, scores = score_weight(self.val_shares, run.targets.task), [h[column] for h in history if h["epoch"]]
        if on_epoch is not None:
            for row in history:
                on_epoch(row)
        while _done(history) < self.epochs and not _stopped_early(history, column, recipe.early_stopping_patience):
            epoch, started = _done(history), run.clock()
            train_loss, train_score = self.epoch(epoch)
            with self.averaged():
                reached, val_loss = self.validate()
                if reached >= earliest_best_epoch(scores, patches=patches):
                    best = _copied(self.plain)
            scores.append(reached)
            self.report(epoch, self.steps)
            seconds = run.clock() - started
            row = {"epoch": epoch + 1, "seconds": seconds, "train_loss": train_loss, self.score.train: train_score}
            history.append(row | {"val_loss": val_loss, column: reached})
            if run.fabric.is_global_zero:
                states = [optimizer_tensors(o) for o in self.optimizers]
                shadow = self.average.state if self.average is not None else {}
                write_checkpoint(
                    run.folder / CHECKPOINT,
                    Checkpoint(run.identity, history, self.plain.state_dict(), best, states, shadow),
                )
            self._plan(_done(history), run.clock() - started)
            if on_epoch is not None:
                on_epoch(history[-1])
        kept, facts = best_epoch(scores, patches=patches) + self._may_stay, self.initial.facts
        self.plain.load_state_dict(best)
        if recipe.start_share:
            self._mix_with_start()
            best = _copied(self.plain)
        if self._may_stay and facts is not None:
            began, reached = history[0][column], history[kept][column]
            if not is_gain(reached, began, patches=patches):
                kept, best, facts = 0, self._began, facts.model_copy(update={"untouched": True})
                _log.warning(
                    "the weights of %s stay as they are: %.1f %% on val before the first step, and after it %.1f %%, "
                    "which is no gain beyond chance (to train on anyway: --set keep_start=false)",
                    facts.source,
                    100 * began,
                    100 * reached,
                )
        self.plain.load_state_dict(best)
        return TrainedNetwork(
            self.initial.network.cpu().eval(), self.initial.normalization, facts, history, kept, self.epochs
        )

    @torch.no_grad()
    def _mix_with_start(self) -> None:
        """Move the weights part of the way back to where they began, and measure the norms' statistics again.

        A fine-tuned network and its start are joined by a line on which networks do well on what both know, and often
        better than either where neither has been (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models",
        CVPR). Statistics of activations are no weights: those between two networks belong to neither.
        """
        recipe = self.run.recipe
        for name, value in self.plain.state_dict().items():
            if value.is_floating_point():
                value.lerp_(self._began[name].to(value), recipe.start_share)
        norms = [one for one in self.plain.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
        if recipe.freeze.batch_norm == "frozen":
            norms = []
        momenta = [norm.momentum for norm in norms]
        self.plain.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over the batches
            norm.train()
        generator = torch.Generator().manual_seed(recipe.seed)
        order, size = epoch_order(self.shares, recipe, generator=generator), min(recipe.batch_size, len(self.train))
        for step in range(min(self.steps, _NORM_BATCHES) if norms else 0):
            chosen = np.sort(order[step * size : (step + 1) * size])
            pixels, shares = torch.from_numpy(self.train.pixels[chosen]), torch.from_numpy(self.shares[chosen])
            values, _ = prepare(
                pixels, shares, recipe, self.initial.normalization, done=1.0, top=self.white, generator=generator
            )
            self.plain(values.to(self.run.fabric.device))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.plain.eval()

    def _before_the_first_step(self) -> list[dict[str, float]]:
        """The row of epoch 0, if the network may stay as it began."""
        if not self._may_stay:
            return []
        started = self.run.clock()
        reached, val_loss = self.validate()
        row = {"epoch": 0, "seconds": self.run.clock() - started, "train_loss": math.nan, self.score.train: math.nan}
        return [row | {"val_loss": val_loss, self.score.column: reached}]

    def _start(self) -> tuple[list[dict[str, float]], State]:
        """Move the network to its device, as the checkpoint has it; returns the history and the best weights."""
        path, raw = self.run.folder / CHECKPOINT, self.optimizers
        checkpoint = read_checkpoint(path, identity=self.run.identity) if path.exists() else None
        if checkpoint is not None:
            held, own = (
                {name: tuple(value.shape) for name, value in state.items()}
                for state in (checkpoint.network, self.plain.state_dict())
            )
            if held != own:
                name = min(name for name in held | own if held.get(name) != own.get(name))
                raise DataError(
                    f"{path} is of another network: its tensor {name} has another name or shape",
                    fix="resume with the same network, or pass --overwrite",
                )
            self.plain.load_state_dict(checkpoint.network)
            if self.average is not None:
                self.average.restore(checkpoint.average)
        self.network, *self.optimizers = self.run.fabric.setup(self.plain, *raw)
        if checkpoint is None:
            return [], _copied(self.plain)
        # Only now: the weights are where they will be trained, and their states go there too.
        kept = [*checkpoint.optimizers, *[{}] * (len(raw) - len(checkpoint.optimizers))]
        for optimizer, tensors in zip(raw, kept, strict=True):
            restore_optimizer(optimizer, tensors)
        return list(checkpoint.history), dict(checkpoint.best)

    def epoch(self, epoch: int) -> tuple[float, float]:
        """One pass over the training patches.

        Returns
        -------
        tuple of float
            Mean loss, and the score of the outputs for the augmented patches as they were learned from.
        """
        recipe, fabric = self.run.recipe, self.run.fabric
        torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        order = epoch_order(self.shares, recipe, generator=generator)
        batch_size, steps = min(recipe.batch_size, len(self.train)), self.steps
        enter_phase(self.plain, recipe.freeze, epoch=epoch)
        total, seen = 0.0, list[tuple[torch.Tensor, torch.Tensor]]()
        began = started = self.run.clock()
        trial = min(TRIAL, max(1, steps // 2))
        for step in range(steps):
            if step == 1 < trial:  # the first step takes longer than others
                started = self.run.clock()
            if step == trial and self._pace is None:
                validation = len(self.val) / (3 * batch_size)  # in steps: one without gradients is a third of one
                now = self.run.clock()
                step_seconds = (now - started) / (trial - (trial > 1))
                self._plan(epoch, step_seconds * (steps + validation), spent=now - began)
            chosen = order[step * batch_size : (step + 1) * batch_size]
            # Each process takes its own share of the same seeded batch.
            chosen = np.sort(chosen)[fabric.global_rank :: fabric.world_size]
            values, wanted = prepare(
                torch.from_numpy(self.train.pixels[chosen]),
                torch.from_numpy(self.shares[chosen]),
                recipe,
                self.initial.normalization,
                done=(epoch * steps + step) / (self.epochs * steps),
                top=self.white,
                generator=generator,
            )
            self._set_rates(epoch * steps + step, self.epochs * steps)
            logits = self.network(values.to(fabric.device)).logits
            loss = self.loss(logits.float(), wanted.to(fabric.device))
            fabric.backward(loss)
            for optimizer in self.optimizers:
                optimizer.step()
            if self.average is not None:
                self.average.update(self.plain, epoch * steps + step)
            total += float(loss.detach())
            seen.append((logits.detach().float().cpu(), wanted))
            if not math.isfinite(total):
                raise SettingError(
                    f"the training loss is no longer a number in epoch {epoch + 1}",
                    fix="lower the rates, for example --set optimizer.lr=0.02 --set optimizer.adamw_lr=0.001"
                    if recipe.optimizer.name == "muon"
                    else f"lower the rate, for example --set optimizer.lr={recipe.optimizer.lr / 10:g}",
                )
            self.report(epoch, step + 1)
        outputs, shares = (torch.cat(parts).numpy() for parts in zip(*seen, strict=True))
        return total / steps, self.score.measure(outputs, shares)

    def _plan(self, done: int, pace: float, *, spent: float = 0.0) -> None:
        """Fit the epochs to what is left of the budget.

        `done` of them are behind, the next have `pace` seconds each, of which `spent` are over.
        """
        budget, wanted = self.run.budget, self.run.recipe.epochs
        first, self._pace = self._pace is None, pace
        if budget is None:
            return
        left = budget.left(self._earlier) + spent
        planned, left = self.run.fabric.broadcast((min(wanted, done + budget.epochs(left, pace)), left))
        if not planned:
            raise budget.refusal(left, pace)
        planned = max(planned, done + (spent > 0))  # what has begun is finished
        if first and planned < wanted:
            _log.warning(
                "a budget of %s is enough for %d of %d epochs, %s each",
                as_duration(budget.seconds),
                planned,
                wanted,
                as_duration(pace),
            )
        self.epochs = planned

    def report(self, epoch: int, step: int) -> None:
        """Report progress of the whole run, and the latest validation score."""
        done, total = epoch * self.steps + step, self.epochs * self.steps
        self.run.progress("training", done, total, note=f"epoch {epoch + 1}{self.note}")

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Use the running average in place of the weights inside the block."""
        if self.average is None:
            yield
            return
        held = {name: value.detach().clone() for name, value in self.plain.state_dict().items()}
        self.plain.load_state_dict(self.average.state)
        try:
            yield
        finally:
            self.plain.load_state_dict(held)

    def validate(self) -> tuple[float, float]:
        """Score and mean loss on the validation patches."""
        self.network.eval()
        outputs = outputs_of(self.network, self.initial.normalization, self.val.pixels, device=self.run.fabric.device)
        logits, shares = torch.cat([one.logits for one in outputs]), torch.from_numpy(self.val_shares)
        # Without weights or smoothing: comparable between recipes.
        loss = (
            nn.functional.cross_entropy(logits, shares)
            if self.run.targets.task == "single-label"
            else nn.functional.binary_cross_entropy_with_logits(logits, shares)
        )
        reached = self.score.measure(logits.numpy(), self.val_shares)
        self.note = f" · {self.score.short} {100 * reached:.1f} %"
        return reached, float(loss)

    def _set_rates(self, step: int, total: int) -> None:
        settings = self.run.recipe.optimizer
        factor = rate(step, total, warmup=settings.warmup, schedule=settings.schedule)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor


@dataclass(frozen=True)
class Score:
    """What chooses the epoch: accuracy for the single-label task, else average precision, which needs no threshold.

    Attributes
    ----------
    column : str
        Its name in the history, of the validation patches.
    train : str
        The same, of the augmented training patches.
    short : str
        Its name in the progress bar.
    """

    column: str
    train: str
    short: str

    @classmethod
    def of(cls, task: Task) -> Score:
        """The score of a task."""
        if task == "single-label":
            return cls("val_accuracy", "train_accuracy", "val")
        return cls("val_average_precision", "train_average_precision", "val AP")

    def measure(self, logits: Floats, shares: Floats) -> float:
        """Score of logits ``[N, L]`` against targets ``[N, L]``, 0 to 1; the mean over the labels that occur."""
        if self.column == "val_accuracy":  # of mixed patches the larger share
            return float((logits.argmax(1) == shares.argmax(1)).mean())
        each = [
            average_precision(truth, values)
            for truth, values in zip(shares.T > 0.5, logits.T, strict=True)
            if truth.any()
        ]
        return float(np.mean(each)) if each else 0.0


def _copied(network: nn.Module) -> State:
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


def _done(history: list[dict[str, float]]) -> int:
    """Completed epochs."""
    return int(history[-1]["epoch"]) if history else 0


def _stopped_early(history: list[dict[str, float]], score: str, early_stopping_patience: int | None) -> bool:
    """Whether the last `early_stopping_patience` epochs brought no better score."""
    if early_stopping_patience is None or not history:
        return False
    values = [row[score] for row in history]
    return len(values) - 1 - max(range(len(values)), key=values.__getitem__) >= early_stopping_patience


def earliest_best_epoch(earlier: Sequence[float], *, patches: int) -> float:
    """The score from which an epoch's weights replace those kept before: one standard error below the best so far.

    The standard error is that of a share, and at least one patch: a perfect score on a few patches is luck as well.
    Learning rates fall to the end, so a later epoch is expected to be better, and a lead within chance is luck (the
    one-standard-error rule of Breiman et al. 1984, CART, applied to epochs).
    """
    best = max(earlier, default=0.0)
    return best - _standard_error(best, patches)


def is_gain(score: float, start: float, *, patches: int) -> bool:
    """Whether a trained network is better than the one it began as: by more than one standard error.

    Of two that chance cannot tell apart the start is the better bet, for it learned from more than these patches.
    """
    return score > start + _standard_error(start, patches)


def _standard_error(score: float, patches: int) -> float:
    return max(math.sqrt(score * (1 - score) / patches), 1 / patches)


def score_weight(shares: npt.NDArray[Any], task: Task) -> int:
    """Effective number of patches behind a validation score: the ``patches`` of the other functions.

    All of them for an accuracy; the positives for an average precision, which is noisier the rarer they are; and for a
    mean of several the number that gives such a mean the same variance.

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
    return max(1, round(len(positives) ** 2 / float((1 / positives).sum()))) if len(positives) else len(shares)


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


class WeightAverage:
    """Exponential moving average of a network's weights: ``shadow = decay * shadow + (1 - decay) * weights``.

    The decay rises with the steps, ``min(decay, (1 + step) / (10 + step))``: the initial weights soon have no effect.

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
        """Update with the weights after optimization step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            held = self.state[name]
            if held.is_floating_point():
                held.lerp_(value.to(held), 1 - decay)
            else:
                held.copy_(value)


def is_frozen(settings: Freezing, epoch: int) -> bool:
    """Whether the backbone is frozen in this epoch (counted from 0)."""
    return settings.epochs == "all" or epoch < settings.epochs


def enter_phase(network: nn.Module, settings: Freezing, *, epoch: int) -> None:
    """Set what trains in `epoch`: a frozen backbone keeps every weight and every statistic bit for bit.

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
    """The direct children of `network` that belong to the backbone."""
    new_modules = cast("tuple[str, ...]", network.new_modules)
    return (module for name, module in network.named_children() if name not in new_modules)


class Probe(nn.Module):
    """The head of a network, on features instead of patches.

    Parameters
    ----------
    head : torch.nn.Linear
        Shared with the network it belongs to: training it trains that network.
    dropout : float
        Share of the features dropped while training.
    """

    new_modules = ("head", "dropout")

    def __init__(self, head: nn.Module, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.head = head

    def forward(self, features: torch.Tensor) -> Outputs:
        """Map features ``[N, D]`` to :class:`Outputs` without activations."""
        return Outputs(self.head(self.dropout(features)), features, None)


def can_probe(network: nn.Module, recipe: Recipe) -> bool:
    """Whether features can be computed once: the backbone is always frozen and no patch is augmented."""
    augmentation = recipe.augmentation
    changed = any(
        value for name, value in augmentation.model_dump().items() if name not in ("crop_until", "sensor_shift_prob")
    )
    return (
        recipe.freeze.epochs == "all"
        and not changed
        and set(cast("tuple[str, ...]", network.new_modules)) <= {"dropout", "head"}
    )


def features_of(run: TrainingRun, initial: InitialNetwork, patches: Patches) -> Patches:
    """Features ``[N, D]`` float32 in place of the pixels, from the cache if it holds them.

    The cached file is named by the SHA-256 of the backbone's weights, the normalization and the pixels.
    """
    bf16 = run.recipe.precision == "bf16"
    key = _key(initial, patches.pixels, bf16=bf16)
    path = (run.cache or default_cache()) / "features" / f"{key}.npy"
    if path.is_file():
        held = np.load(path, mmap_mode=None, allow_pickle=False)
        if held.ndim == 2 and len(held) == len(patches) and held.dtype == np.float32:
            return Patches(held, patches.labels)
    rows: list[npt.NDArray[np.float32]] = []
    initial.network.eval()
    run.progress("features", 0, len(patches))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for outputs in outputs_of(initial.network, initial.normalization, patches.pixels):
            rows.append(outputs.features.numpy())
            run.progress("features", min(len(rows) * BATCH, len(patches)), len(patches))
    features = np.concatenate(rows)
    if writable_cache(path.parent):
        # Another run that computed the same features holds the file for as long as it writes them.
        with atomic_file(path, overwrite=True, waiting=lambda _: None) as temporary, temporary.open("wb") as file:
            np.save(file, features, allow_pickle=False)
    return Patches(features, patches.labels)


def _key(initial: InitialNetwork, pixels: npt.NDArray[Any], *, bf16: bool) -> str:
    # Networks with the same weights may differ in padding or attention: their layers are hashed too.
    digest = hashlib.sha256(f"features 2 {pixels.shape} {pixels.dtype} {bf16} {initial.network!r}".encode())
    for name, value in initial.network.state_dict().items():
        if not name.startswith("head."):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    digest.update(initial.normalization.mean.tobytes() + initial.normalization.sd.tobytes())
    for start in range(0, len(pixels), 1024):
        digest.update(np.ascontiguousarray(pixels[start : start + 1024]).tobytes())
    return digest.hexdigest()
