"""Losses of the three tasks, on targets that may be fractional (after MixUp and CutMix).

Cross-entropy and binary cross-entropy (BCE) are torch's own; the focal loss follows Lin, Goyal, Girshick, He and
Dollár 2017, "Focal loss for dense object detection", equation 5, its alpha included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from swath.errors import SettingError
from swath.model.record import Task
from swath.training.recipe import Loss

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_loss(settings: Loss, *, task: Task, classes: Sequence[str], shares: npt.NDArray[np.float32]) -> LossFunction:
    """A function of logits ``[N, L]`` and target shares ``[N, L]`` to the mean loss.

    Parameters
    ----------
    settings : Loss
        Of the recipe.
    task : str
        Decides what ``auto`` means, and what class weights act on.
    classes : sequence of str
        Names that class weights may use.
    shares : numpy.ndarray
        Targets of the training patches, ``[N, L]``: what ``balanced`` counts.

    Raises
    ------
    SettingError
        If the loss does not suit the task, or a weight names an unknown class.
    """
    single = task == "single-label"
    name = settings.name if settings.name != "auto" else ("cross-entropy" if single else "bce")
    if (name == "cross-entropy") != single and name != "focal":
        raise SettingError(
            f"the loss {name} does not suit the {task} task", fix="set loss.name=auto, or task= to the one meant"
        )
    if single and settings.pos_weight is not None:
        raise SettingError(
            "pos_weight belongs to the binary and multi-label tasks", fix="use loss.class_weights instead"
        )
    if single and settings.alpha is not None:
        raise SettingError("alpha belongs to the binary and multi-label tasks", fix="use loss.class_weights instead")
    weights = _class_weights(settings, task, classes, shares)
    smoothing = settings.label_smoothing
    if single:
        if name == "focal":
            return lambda logits, targets: _focal(logits, _smoothed(targets, smoothing), weights, settings.gamma)
        return lambda logits, targets: F.cross_entropy(
            logits, targets, weight=weights.to(logits.device), label_smoothing=smoothing
        )
    pos_weight = _pos_weight(settings, shares)

    def bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        targets = targets * (1 - smoothing) + smoothing / 2
        each = F.binary_cross_entropy_with_logits(
            logits, targets, pos_weight=pos_weight.to(logits.device), reduction="none"
        )
        if name == "focal":
            p = torch.sigmoid(logits)
            each = each * (p * (1 - targets) + (1 - p) * targets) ** settings.gamma
            if settings.alpha is not None:
                each = each * (settings.alpha * targets + (1 - settings.alpha) * (1 - targets))
        return (each * _patch_weights(weights, targets, task)).mean()

    return bce


def _focal(logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, gamma: float) -> torch.Tensor:
    """Mean over patches of ``-sum_k w_k t_k (1 - p_k)^gamma log p_k``."""
    log_p = F.log_softmax(logits, dim=1)
    each = -weights.to(logits.device) * targets * (1 - log_p.exp()) ** gamma * log_p
    return each.sum(dim=1).mean()


def _smoothed(targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    return targets * (1 - smoothing) + smoothing / targets.shape[1]


def _patch_weights(weights: torch.Tensor, targets: torch.Tensor, task: Task) -> torch.Tensor:
    """Weights of the terms of a sigmoid loss, broadcast to ``[N, L]``."""
    weights = weights.to(targets.device)
    if task == "binary":
        return weights[0] * (1 - targets) + weights[1] * targets
    return weights


def _class_weights(settings: Loss, task: Task, classes: Sequence[str], shares: npt.NDArray[np.float32]) -> torch.Tensor:
    """One weight per class; ``balanced`` is ``N / (K n_k)``, as in scikit-learn."""
    asked = settings.class_weights
    if asked == "none":
        return torch.ones(len(classes))
    if asked == "balanced":
        counts = shares.sum(axis=0, dtype=np.float64)
        if task == "binary":
            counts = np.array([len(shares) - counts[0], counts[0]])
        return torch.tensor(counts.sum() / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)
    unknown = sorted(set(asked) - set(classes))
    if unknown:
        raise SettingError(
            f"loss.class_weights names '{unknown[0]}', which is no class", fix=f"classes: {', '.join(classes)}"
        )
    return torch.tensor([asked.get(name, 1.0) for name in classes], dtype=torch.float32)


def _pos_weight(settings: Loss, shares: npt.NDArray[np.float32]) -> torch.Tensor:
    """Weight of positives per logit; ``balanced`` is negatives per positive in the training patches."""
    logits = shares.shape[1]
    if settings.pos_weight == "balanced":
        positives = shares.sum(axis=0, dtype=np.float64)
        return torch.tensor((len(shares) - positives) / np.maximum(positives, 1), dtype=torch.float32)
    return torch.full((logits,), 1.0 if settings.pos_weight is None else float(settings.pos_weight))
