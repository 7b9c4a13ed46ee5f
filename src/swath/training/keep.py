"""Which epoch's weights a run keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.model.record import Task


def least_to_keep(earlier: Sequence[float], *, patches: int) -> float:
    """The score from which an epoch's weights replace those kept before: one standard error below the best so far.

    The error is that of a share, and never less than one patch: all of a few patches right is luck as well.
    Rates fall to the end, so a later epoch is expected to be better; an earlier one that scored higher by less than
    chance does on so many patches was lucky (the rule of Breiman et al. 1984, CART, turned in time).
    """
    best = max(earlier, default=0.0)
    return best - max(math.sqrt(best * (1 - best) / patches), 1 / patches)


def score_weight(shares: npt.NDArray[Any], task: Task) -> int:
    """How many patches a validation score rests on: the ``patches`` of the other functions.

    An accuracy rests on all of them. An average precision rests on the positives: the rarer they are, the more of it
    is luck; a mean of several on as many as give such a mean the same variance.

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
    return (
        max(1, round(len(positives) ** 2 / float((1 / positives).sum()))) if len(positives) else len(shares)
    )


def kept_epoch(scores: Sequence[float], *, patches: int) -> int:
    """Place of the epoch that is kept: the last that reached :func:`least_to_keep`.

    Parameters
    ----------
    scores : sequence of float
        Validation score of each epoch, 0 to 1, at least one.
    patches : int
        Validation patches that the score rests on; see :func:`score_weight`.
    """
    return max(n for n, s in enumerate(scores) if s >= least_to_keep(scores[:n], patches=patches))
