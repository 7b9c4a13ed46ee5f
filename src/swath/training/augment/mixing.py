"""Mixing patches of one batch with each other, and their targets in the same proportion."""

from __future__ import annotations

import numpy as np
import torch

from swath.training.recipe import Augmentation

Mixed = tuple[torch.Tensor, torch.Tensor]


def mix(values: torch.Tensor, targets: torch.Tensor, settings: Augmentation, *, generator: torch.Generator) -> Mixed:
    """Mix a batch by MixUp or CutMix, whichever is on; where both are, one of them at random a batch.

    Parameters
    ----------
    values : torch.Tensor
        Normalized patches, float ``[N, bands, P, P]``.
    targets : torch.Tensor
        Float ``[N, K]``: a probability per class, or 0 and 1 per label.
    settings : Augmentation
        ``mixup`` and ``cutmix`` are the alphas.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    tuple of torch.Tensor
        Values and targets; those given, if neither is on.
    """
    if settings.mixup and settings.cutmix:
        first = bool(torch.rand((), generator=generator) < 0.5)
    else:
        first = bool(settings.mixup)
    if first:
        return mixup(values, targets, settings.mixup, generator)
    return cutmix(values, targets, settings.cutmix, generator)


def mixup(values: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator) -> Mixed:
    """Blend each patch with another: ``w * own + (1 - w) * other``, w from Beta(alpha, alpha).

    Zhang, Cisse, Dauphin and Lopez-Paz 2018, "mixup: beyond empirical risk minimization"; here every pair
    has its own w. Parameters and results are those of :func:`mix`; alpha 0 changes nothing.
    """
    if alpha == 0:
        return values, targets
    order = torch.randperm(len(values), generator=generator)
    own = _beta(alpha, len(values), generator)
    blended = torch.lerp(values[order], values, own.view(-1, 1, 1, 1).to(values))
    return blended, _blend_targets(targets, order, own)


def cutmix(values: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator) -> Mixed:
    """Paste a rectangle of another patch into each; targets follow the area that is left.

    Yun et al. 2019, "CutMix: regularization strategy to train strong classifiers with localizable
    features", section 3.1: the rectangle has the patch's proportions and area ``1 - w`` with w from
    Beta(alpha, alpha), its center is anywhere, and what falls outside is lost. Here every pair has its own.
    Parameters and results are those of :func:`mix`; alpha 0 changes nothing.
    """
    if alpha == 0:
        return values, targets
    n, _, height, width = values.shape
    order = torch.randperm(n, generator=generator)
    side = (1 - _beta(alpha, n, generator)).sqrt()
    inside = [_stretch(n, length, side, generator) for length in (height, width)]
    box = inside[0][:, :, None] & inside[1][:, None, :]
    own = 1 - box.float().mean((1, 2))
    return torch.where(box[:, None], values[order], values), _blend_targets(targets, order, own)


def windows(pixels: torch.Tensor, share: float, *, generator: torch.Generator) -> torch.Tensor:
    """Make of some patches what a map's window shows where four patches meet.

    The patch is moved by up to half its side, either way, so that it still holds the window's center; what that leaves
    free becomes parts of three more patches. Its class stays the target: a map's pixels have the class of what lies
    at the center of their windows. It comes before colors are changed, as one scene is drawn in one way.

    Parameters
    ----------
    pixels : torch.Tensor
        As stored, ``[N, bands, P, P]``.
    share : float
        Of the patches, 0 to 1, that become windows.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    torch.Tensor
        Pixels; those given at share 0.
    """
    if share == 0:
        return pixels
    chosen = share_of(len(pixels), share, generator)
    down, right = (_moved(len(chosen), side, generator) for side in pixels.shape[2:])
    made = _rolled(pixels[chosen], down, right)
    rows, columns = (_held(length, moved) for length, moved in zip(pixels.shape[2:], (down, right), strict=True))
    for below, beyond in ((rows, ~columns), (~rows, columns), (~rows, ~columns)):
        others = torch.randint(len(pixels), (len(chosen),), generator=generator)
        inside = below[:, None, :, None] & beyond[:, None, None, :]
        made = torch.where(inside, _rolled(pixels[others], down, right), made)
    return pixels.index_copy(0, chosen, made)


def _moved(n: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """`n` moves that keep the middle of `length` pixels among them."""
    return torch.randint(-((length - 1) // 2), (length - 1) // 2 + 1, (n,), generator=generator)


def _rolled(pixels: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Patches moved down and to the right; what leaves at one side comes back at the other."""
    n, bands, height, width = pixels.shape
    rows = (torch.arange(height) - down[:, None]) % height
    columns = (torch.arange(width) - right[:, None]) % width
    pixels = pixels.gather(2, rows[:, None, :, None].expand(n, bands, height, width))
    return pixels.gather(3, columns[:, None, None, :].expand(n, bands, height, width))


def _held(length: int, moved: torch.Tensor) -> torch.Tensor:
    """Which of `length` rows or columns a patch that moved still holds: ``[n, length]``."""
    came_from = torch.arange(length) - moved[:, None]
    return (came_from >= 0) & (came_from < length)


def _stretch(n: int, length: int, side: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Which of `length` rows or columns lie in stretches of share `side` around random centers: ``[n, length]``."""
    center = torch.randint(length, (n,), generator=generator)
    half = (side * length).long() // 2
    place = torch.arange(length)
    return (place >= (center - half)[:, None]) & (place < (center + half)[:, None])


def _blend_targets(targets: torch.Tensor, order: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    return torch.lerp(targets[order], targets, own[:, None].to(targets))


def _beta(alpha: float, n: int, generator: torch.Generator) -> torch.Tensor:
    """`n` draws from Beta(alpha, alpha); torch's own sampler takes no generator, numpy's is seeded from it."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, n)).float()


def share_of(n: int, share: float, generator: torch.Generator) -> torch.Tensor:
    """Places of a random subset of `n` patches, each in it with chance `share`; int64, sorted."""
    return (torch.rand(n, generator=generator) < share).nonzero().squeeze(1)


def as_stored(values: torch.Tensor, dtype: torch.dtype, *, top: float) -> torch.Tensor:
    """Bring floats back to the type and range of stored values; `values` are overwritten."""
    values = values.clamp_(0, top)
    return values.to(dtype) if dtype.is_floating_point else values.round_().to(dtype)
