"""What the model file keeps to doubt single answers by: conformal quantiles, and what strange patches look like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from swath.evaluation.conformal import conformal_quantiles
from swath.evaluation.out_of_distribution import TRAIN_PATCHES, Seen, fit_out_of_distribution
from swath.model.unlike import OutOfDistribution
from swath.training.batches import Patches
from swath.training.judge import to_probabilities
from swath.training.targets import Targets


def conformal_of(val: Seen, patches: Patches, targets: Targets, *, temperature: float) -> dict[str, float]:
    """Quantiles for prediction sets, from validation patches; none for several labels a patch.

    The temperature was fitted on the same patches: one number on thousands of them, which moves coverage by less
    than its interval.
    """
    if targets.task == "multi-label":
        return {}
    return conformal_quantiles(to_probabilities(val.logits, targets.task, temperature), patches.labels)


def out_of_distribution_of(
    look: Callable[[Patches], Seen],
    train: Patches,
    val: Seen,
    targets: Targets,
    *,
    temperature: float,
    size: int,
) -> OutOfDistribution | None:
    """Fit on evenly spread training patches, not augmented; None where validation patches are too few.

    Parameters
    ----------
    look : callable
        Runs the network over patches.
    train : Patches
        All of them.
    val : Seen
        Validation patches.
    targets : Targets
        Task and classes.
    temperature : float
        Divides the logits.
    size : int
        Side of the patches the network sees.
    """
    few = np.unique(np.linspace(0, len(train) - 1, min(len(train), TRAIN_PATCHES)).round().astype(np.int64))
    sample = Patches(np.ascontiguousarray(train.pixels[few]), train.labels[few])
    groups = sample.labels if sample.labels.ndim == 1 else np.zeros(len(few), np.int64)
    return fit_out_of_distribution(
        look(sample), groups, val, task=targets.task, temperature=temperature, size=size
    )
