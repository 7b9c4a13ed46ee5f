"""A linear probe: the features of a frozen backbone, computed once and cached, and a head trained on them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from swath.data.cache import default_cache
from swath.files import atomic_file
from swath.networks import Outputs
from swath.progress import Progress, silent
from swath.training.batches import BATCH, Normalization, Patches, outputs_of
from swath.training.recipe import Recipe


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


def features_of(
    network: nn.Module,
    patches: Patches,
    normalization: Normalization,
    *,
    bf16: bool,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Patches:
    """Features ``[N, D]`` float32 in place of the pixels, from the cache if it holds them.

    The cached file is named by the SHA-256 of the backbone's weights, the normalization and the pixels.
    """
    key = _key(network, patches.pixels, normalization, bf16=bf16)
    path = (cache or default_cache()) / "features" / f"{key}.npy"
    if path.is_file():
        held = np.load(path, mmap_mode=None, allow_pickle=False)
        if held.ndim == 2 and len(held) == len(patches) and held.dtype == np.float32:
            return Patches(held, patches.labels)
    rows: list[npt.NDArray[np.float32]] = []
    network.eval()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for outputs in outputs_of(network, normalization, patches.pixels):
            rows.append(outputs.features.numpy())
            progress("features", min(len(rows) * BATCH, len(patches)), len(patches))
    features = np.concatenate(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, overwrite=True) as temporary, temporary.open("wb") as file:
        np.save(file, features, allow_pickle=False)
    return Patches(features, patches.labels)


def _key(network: nn.Module, pixels: npt.NDArray[Any], normalization: Normalization, *, bf16: bool) -> str:
    # Networks with the same weights may differ in padding or attention: their layers are hashed too.
    digest = hashlib.sha256(f"features 2 {pixels.shape} {pixels.dtype} {bf16} {network!r}".encode())
    for name, value in network.state_dict().items():
        if not name.startswith("head."):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.detach().cpu().numpy()).tobytes())
    digest.update(normalization.mean.tobytes() + normalization.sd.tobytes())
    for start in range(0, len(pixels), 1024):
        digest.update(np.ascontiguousarray(pixels[start : start + 1024]).tobytes())
    return digest.hexdigest()
