"""One run under way: an epoch of training, and a look at the validation patches."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import nn

from swath.errors import SettingError
from swath.evaluation import average_precision
from swath.model.record import Task
from swath.progress import Progress
from swath.training.average import Average
from swath.training.batches import Normalisation, Patches, epoch_order, prepare
from swath.training.loss import LossFunction
from swath.training.optim import rate
from swath.training.phases import enter_phase
from swath.training.recipe import Recipe

VALIDATION_BATCH = 512

Floats = npt.NDArray[np.float32]


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
    optimisers: Sequence[torch.optim.Optimizer]
    recipe: Recipe
    normalisation: Normalisation
    loss: LossFunction
    score: Score
    fabric: Fabric
    progress: Progress
    steps: int
    white: float = 255.0
    average: Average | None = None
    note: str = ""

    def epoch(self, train: Patches, shares: Floats, epoch: int) -> float:
        """One pass over the training patches; returns the mean loss."""
        recipe, fabric = self.recipe, self.fabric
        torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        order = epoch_order(shares, recipe, generator=generator)
        batch, steps = min(recipe.batch, len(train)), self.steps
        enter_phase(self.plain, recipe.freeze, epoch=epoch)
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            # Each process takes its own share of the same seeded batch.
            chosen = np.sort(chosen)[fabric.global_rank :: fabric.world_size]
            values, wanted = prepare(
                torch.from_numpy(train.pixels[chosen]),
                torch.from_numpy(shares[chosen]),
                recipe,
                self.normalisation,
                done=(epoch * steps + step) / (recipe.epochs * steps),
                top=self.white,
                generator=generator,
            )
            self._set_rates(epoch * steps + step, recipe.epochs * steps)
            logits = self.network(values.to(fabric.device)).logits
            loss = self.loss(logits.float(), wanted.to(fabric.device))
            fabric.backward(loss)
            for optimiser in self.optimisers:
                optimiser.step()
            if self.average is not None:
                self.average.update(self.plain, epoch * steps + step)
            total += float(loss.detach())
            if not math.isfinite(total):
                raise SettingError(
                    f"the training loss is no longer a number in epoch {epoch + 1}",
                    fix="lower the rates, for example --set optimiser.lr=0.02 --set optimiser.other_lr=0.001"
                    if recipe.optimiser.name == "muon"
                    else f"lower the rate, for example --set optimiser.lr={recipe.optimiser.lr / 10:g}",
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
            values = self.normalisation.apply(torch.from_numpy(part))
            rows.append(self.network(values.to(self.fabric.device)).logits.float().cpu())
        logits = torch.cat(rows)
        loss = _plain_loss(logits, torch.from_numpy(shares), single=self.score.column == "val_accuracy")
        reached = self.score.measure(logits.numpy(), shares)
        self.note = f" · {self.score.short} {100 * reached:.1f} %"
        return reached, loss

    def _set_rates(self, step: int, total: int) -> None:
        settings = self.recipe.optimiser
        factor = rate(step, total, warmup=settings.warmup, schedule=settings.schedule)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor


def _plain_loss(logits: torch.Tensor, shares: torch.Tensor, *, single: bool) -> float:
    """Cross-entropy, or BCE, without weights or smoothing: comparable between recipes."""
    if single:
        return float(nn.functional.cross_entropy(logits, shares))
    return float(nn.functional.binary_cross_entropy_with_logits(logits, shares))
