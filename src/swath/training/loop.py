"""The training loop: seeded, resumable between epochs, chosen by validation, on Lightning Fabric."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.nn import functional as F

from swath.errors import SettingError
from swath.networks import NETWORKS, PatchNet, StripNet
from swath.progress import Progress, silent
from swath.training.augment import augment, random_crop, random_gain
from swath.training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from swath.training.optim import build_optimisers, rate
from swath.training.recipe import Recipe

VALIDATION_BATCH = 512


@dataclass(frozen=True)
class Patches:
    """Patches in memory or memory-mapped.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8 or uint16 ``[N, bands, P, P]``.
    labels : numpy.ndarray
        int64 ``[N]``, places in the list of classes.
    """

    pixels: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Normalisation:
    """Mean and spread of each band over the training patches, in stored units."""

    mean: npt.NDArray[np.float32]
    sd: npt.NDArray[np.float32]

    @classmethod
    def of(cls, pixels: npt.NDArray[Any]) -> Normalisation:
        """Measure ``[N, bands, P, P]`` patches, in slices so that a memory map stays on disk."""
        count, total, square = 0, np.zeros(pixels.shape[1]), np.zeros(pixels.shape[1])
        for start in range(0, len(pixels), 1024):
            part = pixels[start : start + 1024].astype(np.float64)
            count += part.shape[0] * part.shape[2] * part.shape[3]
            total += part.sum((0, 2, 3))
            square += (part**2).sum((0, 2, 3))
        mean = total / count
        sd = np.sqrt(np.maximum(square / count - mean**2, 0))
        # A constant band carries nothing; a spread of one keeps it finite.
        return cls(mean.astype(np.float32), np.where(sd > 1e-6, sd, 1).astype(np.float32))

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(pixels - mean) / sd`` as channels-last float32."""
        mean = torch.from_numpy(self.mean).view(1, -1, 1, 1)
        sd = torch.from_numpy(self.sd).view(1, -1, 1, 1)
        return ((pixels.float() - mean) / sd).contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Fitted:
    """A trained network with the weights that did best on validation."""

    network: PatchNet | StripNet
    history: list[dict[str, float]]
    normalisation: Normalisation


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
        return Fabric(accelerator=accelerator, devices=devices, precision="bf16-mixed" if bf16 else "32-true")
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
    classes: int,
    folder: Path,
    identity: str,
    fabric: Fabric,
    progress: Progress = silent,
) -> Fitted:
    """Train from scratch, or go on from the checkpoint in `folder` if there is one.

    The same call on the same machine gives the same numbers: every epoch draws from its own seeded
    generator, so an interrupted run ends where an uninterrupted one does.

    Raises
    ------
    SettingError
        If the training diverges.
    DataError
        If the checkpoint is damaged or of another run.
    """
    torch.manual_seed(recipe.seed)
    normalisation = Normalisation.of(train.pixels)
    settings = recipe.network
    network = NETWORKS[settings.name](
        train.pixels.shape[1], classes, stem=settings.stem, widths=settings.widths, dropout=settings.dropout
    ).to(memory_format=torch.channels_last)
    muon, adam = build_optimisers(network, recipe.optimiser)
    history: list[dict[str, float]] = []
    best = {k: v.clone() for k, v in network.state_dict().items()}
    path = folder / CHECKPOINT
    if path.exists():
        checkpoint = read_checkpoint(path, identity=identity)
        history, best = list(checkpoint.history), dict(checkpoint.best)
        network.load_state_dict(checkpoint.network)
        for optimiser, tensors in zip((muon, adam), checkpoint.optimisers, strict=True):
            restore_optimiser(optimiser, tensors)
    module: Any
    module, muon, adam = fabric.setup(network, muon, adam)
    run = _Run(module, (muon, adam), recipe, normalisation, fabric, progress, steps=_steps(train, recipe))
    for epoch in range(len(history), recipe.epochs):
        started = time.perf_counter()
        loss = run.epoch(train, epoch)
        accuracy, val_loss = run.validate(val)
        run.report(epoch, run.steps)
        seconds = time.perf_counter() - started
        row = {"epoch": epoch + 1, "seconds": seconds, "train_loss": loss}
        row |= {"val_loss": val_loss, "val_accuracy": accuracy}
        if accuracy >= max((h["val_accuracy"] for h in history), default=0.0):
            best = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
        history.append(row)
        if fabric.is_global_zero:
            states = [optimiser_tensors(o) for o in (muon, adam)]
            write_checkpoint(path, Checkpoint(identity, history, network.state_dict(), best, states))
    network.load_state_dict(best)
    return Fitted(network.cpu().eval(), history, normalisation)


def _steps(train: Patches, recipe: Recipe) -> int:
    """Steps an epoch: whole batches only, but at least one."""
    return len(train) // min(recipe.batch, len(train))


@dataclass
class _Run:
    """What one epoch needs."""

    network: nn.Module
    optimisers: tuple[torch.optim.Optimizer, ...]
    recipe: Recipe
    normalisation: Normalisation
    fabric: Fabric
    progress: Progress
    steps: int
    note: str = ""

    def epoch(self, train: Patches, epoch: int) -> float:
        """One pass over the training patches; returns the mean loss."""
        recipe, fabric = self.recipe, self.fabric
        torch.manual_seed(recipe.seed * 100_003 + epoch)  # dropout
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + epoch)
        order = torch.randperm(len(train), generator=generator).numpy()
        batch, steps = min(recipe.batch, len(train)), self.steps
        peaks = (recipe.optimiser.lr, recipe.optimiser.other_lr)
        self.network.train()
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            # Each process takes its own share of the same seeded batch.
            chosen = np.sort(chosen)[fabric.global_rank :: fabric.world_size]
            done = (epoch * steps + step) / (recipe.epochs * steps)
            pixels = augment(torch.from_numpy(train.pixels[chosen]), recipe.augmentation, generator=generator)
            if recipe.augmentation.crop is not None and done < recipe.augmentation.crop_until:
                pixels = random_crop(pixels, recipe.augmentation.crop, generator=generator)
            values = random_gain(
                self.normalisation.apply(pixels), recipe.augmentation.gain, generator=generator
            )
            labels = torch.from_numpy(train.labels[chosen]).to(fabric.device)
            factor = rate(epoch * steps + step, recipe.epochs * steps, warmup=recipe.optimiser.warmup)
            for optimiser, peak in zip(self.optimisers, peaks, strict=True):
                optimiser.zero_grad(set_to_none=True)
                for group in optimiser.param_groups:
                    group["lr"] = peak * factor
            logits = self.network(values.to(fabric.device)).logits
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
            fabric.backward(loss)
            for optimiser in self.optimisers:
                optimiser.step()
            total += float(loss.detach())
            if not math.isfinite(total):
                raise SettingError(
                    f"the training loss is no longer a number in epoch {epoch + 1}",
                    fix="lower the rates, for example --set optimiser.lr=0.02 --set optimiser.other_lr=0.001",
                )
            self.report(epoch, step + 1)
        return total / steps

    def report(self, epoch: int, step: int) -> None:
        """Tell how far the whole run is, and the latest validation accuracy."""
        done, total = epoch * self.steps + step, self.recipe.epochs * self.steps
        self.progress("training", done, total, note=f"epoch {epoch + 1}{self.note}")

    @torch.no_grad()
    def validate(self, val: Patches) -> tuple[float, float]:
        """Accuracy and mean cross-entropy on the validation patches."""
        self.network.eval()
        right, loss = 0, 0.0
        for start in range(0, len(val), VALIDATION_BATCH):
            part = slice(start, start + VALIDATION_BATCH)
            values = self.normalisation.apply(torch.from_numpy(np.array(val.pixels[part])))
            labels = torch.from_numpy(val.labels[part]).to(self.fabric.device)
            logits = self.network(values.to(self.fabric.device)).logits.float()
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        accuracy = right / len(val)
        self.note = f" · val {100 * accuracy:.1f} %"
        return accuracy, loss / len(val)
