"""From stored patches to the network and back, one batch at a time: order, augmentation, mixing, and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from swath.networks import Outputs
from swath.training.augment import (
    augment,
    mix,
    other_rendering,
    rand_augment,
    random_crop,
    random_gain,
    sensor_shift,
    windows,
)
from swath.training.recipe import Recipe

BATCH = 256  # patches at a time wherever a network is only evaluated


@dataclass(frozen=True)
class Patches:
    """Patches in memory or memory-mapped.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8 or uint16 ``[N, bands, P, P]``; or float32 features ``[N, D]`` of a frozen backbone.
    labels : numpy.ndarray
        int64 ``[N]``, class numbers; for multi-label float32 ``[N, K]`` of 0 and 1.
    """

    pixels: npt.NDArray[Any]
    labels: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each band, in stored units; the network's input is ``(pixels - mean) / sd``."""

    mean: npt.NDArray[np.float32]
    sd: npt.NDArray[np.float32]

    @classmethod
    def of(cls, pixels: npt.NDArray[Any]) -> Normalization:
        """Measure ``[N, bands, P, P]`` patches, in slices so that a memory map stays on disk."""
        count, total, square = 0, np.zeros(pixels.shape[1]), np.zeros(pixels.shape[1])
        for start in range(0, len(pixels), 1024):
            part = pixels[start : start + 1024].astype(np.float64)
            count += part.shape[0] * part.shape[2] * part.shape[3]
            total += part.sum((0, 2, 3))
            square += (part**2).sum((0, 2, 3))
        mean = total / count
        sd = np.sqrt(np.maximum(square / count - mean**2, 0))
        # A constant band carries no information; a standard deviation of one keeps it finite.
        return cls(mean.astype(np.float32), np.where(sd > 1e-6, sd, 1).astype(np.float32))

    def apply(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(pixels - mean) / sd`` as channels-last float32; features are returned unchanged."""
        if pixels.ndim == 2:
            return pixels
        mean = torch.from_numpy(self.mean).view(1, -1, 1, 1)
        sd = torch.from_numpy(self.sd).view(1, -1, 1, 1)
        return ((pixels.float() - mean) / sd).contiguous(memory_format=torch.channels_last)


def epoch_order(
    shares: npt.NDArray[np.float32], recipe: Recipe, *, generator: torch.Generator
) -> npt.NDArray[np.int64]:
    """Rows of the patches of one epoch, ``[N]``.

    Natural sampling takes each patch once. Balanced sampling draws N with replacement, every class (for
    sigmoid tasks: every label, and patches without any) as often as any other.

    Parameters
    ----------
    shares : numpy.ndarray
        Targets ``[N, L]``, 0 or 1.
    """
    if recipe.sampling == "natural":
        return torch.randperm(len(shares), generator=generator).numpy()
    label_matrix = shares > 0.5
    columns = np.concatenate([label_matrix, ~label_matrix.any(axis=1, keepdims=True)], axis=1)
    counts = columns.sum(axis=0)
    present = counts > 0
    weight = (columns[:, present] / counts[present]).sum(axis=1)
    drawn = torch.multinomial(torch.from_numpy(weight), len(shares), replacement=True, generator=generator)
    return drawn.numpy()


def whitening_of(pixels: npt.NDArray[Any]) -> float:
    """The stored value that augmentation treats as white.

    255 for 8-bit patches. Reflectance stored in 16 bits fills a small part of its range, so there it is the 99.9th
    percentile of a sample of the training patches.
    """
    if pixels.dtype == np.uint8 or pixels.ndim == 2:
        return 255.0
    step = -(-len(pixels) // 512)
    return max(1.0, float(np.percentile(pixels[::step], 99.9)))


def prepare(
    pixels: torch.Tensor,
    targets: torch.Tensor,
    recipe: Recipe,
    normalization: Normalization,
    *,
    done: float,
    top: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augment, normalize and mix one batch.

    Parameters
    ----------
    pixels : torch.Tensor
        ``[n, bands, P, P]`` as stored, or features ``[n, D]``, which are returned unchanged.
    targets : torch.Tensor
        Shares ``[n, L]``.
    done : float
        Completed share of the whole run, 0 to 1.
    top : float
        The stored number that is white; see :func:`whitening_of`.

    Returns
    -------
    tuple of torch.Tensor
        Values for the network, and shares.
    """
    settings = recipe.augmentation
    if pixels.ndim == 2:
        return pixels, targets
    pixels = augment(pixels, settings, generator=generator)
    if settings.crop is not None and done < settings.crop_until:
        pixels = random_crop(pixels, settings.crop, generator=generator)
    pixels = windows(pixels, settings.windows, generator=generator)
    pixels = rand_augment(pixels, settings.randaugment, generator=generator, top=top, bands=recipe.bands)
    pixels = other_rendering(pixels, settings.rendering, generator=generator)
    pixels = sensor_shift(
        pixels,
        settings.sensor_shift,
        generator=generator,
        top=top,
        bands=recipe.bands,
        kept=1 - settings.sensor_shift_prob,
    )
    values = random_gain(normalization.apply(pixels), settings.gain, generator=generator)
    return mix(values, targets, settings, generator=generator)


@torch.no_grad()
def outputs_of(
    network: nn.Module, normalization: Normalization, pixels: npt.NDArray[Any], *, device: torch.device | str = "cpu"
) -> Iterator[Outputs]:
    """Logits and features of patches as stored, or features, :data:`BATCH` at a time.

    Yields
    ------
    Outputs
        float32 on the CPU, without activations.
    """
    for start in range(0, len(pixels), BATCH):
        # A copy: torch warns of arrays it may not write to, and a memory map is one.
        values = normalization.apply(torch.from_numpy(np.array(pixels[start : start + BATCH])))
        found = network(values.to(device))
        yield Outputs(found.logits.float().cpu(), found.features.float().cpu(), None)
