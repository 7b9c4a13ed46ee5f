"""Patches and generators for the tests of this folder."""

from __future__ import annotations

import torch

from tests import tiny


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int = 8, *, size: int = 32, label: str = "River") -> torch.Tensor:
    """Textured patches uint8 ``[n, 3, size, size]``."""
    return torch.from_numpy(tiny.patches(label, n, size=size))
