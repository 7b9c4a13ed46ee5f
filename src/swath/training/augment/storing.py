"""Between patches as stored and the floats that arithmetic needs."""

from __future__ import annotations

import torch


def share_of(n: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """Places of a random subset of `n` patches, each in it with chance `share`; int64, sorted."""
    return (torch.rand(n, generator=generator) < share).nonzero().squeeze(1)


def as_stored(values: torch.Tensor, dtype: torch.dtype, *, top: float) -> torch.Tensor:
    """Bring floats back to the type and range of stored values; `values` are overwritten."""
    values = values.clamp_(0, top)
    return values.to(dtype) if dtype.is_floating_point else values.round_().to(dtype)
