"""The linear head fitted again: from views of places, next to features drawn from what the file remembers.

The fit is a multinomial logistic regression whose penalty draws towards the head there was, so that what the places do
not speak of stays. How strong it is is settled by cross-validation over places that share no ground, never over
shifted copies of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.evaluation.softmax import Softmax, fit_softmax
from swath.evaluation.temperature import fit_temperature, mean_nll
from swath.model.memory import ClassMemory
from swath.progress import Progress, silent

STRENGTHS = (3e-4, 1e-4)
FOLDS = 5
FEW = 40  # groups up to which there are twice as many folds
DRAWS = 40  # remembered features per row
# Weight of a row of the memory in places, at least, and per place that a class has; no more than it was measured on.
MEMORY_WEIGHT, MEMORY_PER_PLACE = 10.0, 1.0
STEPS = 400
TOLERANCE = 1e-4
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Head:
    """A linear head.

    Attributes
    ----------
    weight : numpy.ndarray
        float64 ``[K, D]``.
    bias : numpy.ndarray
        float64 ``[K]``.
    """

    weight: Floats
    bias: Floats

    def logits(self, features: npt.NDArray[Any]) -> Floats:
        """Logits ``[..., K]`` of features ``[..., D]``."""
        found: Floats = np.asarray(features, np.float64) @ self.weight.T + self.bias
        return found


@dataclass(frozen=True)
class Lesson:
    """What a head is fitted to.

    Attributes
    ----------
    features : numpy.ndarray
        float64 ``[N, V, D]`` of the views of each window.
    labels, places, groups : numpy.ndarray
        int64 ``[N]``: class, place, and group that is held out together.
    remembered, remembered_labels, remembered_weights : numpy.ndarray
        ``[M, D]``, ``[M]`` and ``[M]``: drawn from the memory, and how much each counts in places; M may be 0.
    start : Head
        The head there was, with rows of zeros for new classes.
    """

    features: Floats
    labels: Ints
    places: Ints
    groups: Ints
    remembered: Floats
    remembered_labels: Ints
    remembered_weights: Floats
    start: Head


def remember(memory: ClassMemory | None, *, places: float, width: int, seed: int) -> tuple[Floats, Ints, Floats]:
    """Features drawn from a memory, their classes, and how much each counts; none without a memory.

    Parameters
    ----------
    memory : ClassMemory, optional
        What to draw from.
    places : float
        Mean number of places of the classes that have some: the more is learned, the more is remembered.
    width : int
        Number of features.
    seed : int
        Of what is drawn.

    Raises
    ------
    ValueError
        If the stored bytes are damaged.
    """
    if memory is None:
        return np.empty((0, width)), np.empty(0, np.int64), np.empty(0)
    drawn, rows = memory.draw(DRAWS, seed=seed)
    weights = np.minimum(max(MEMORY_WEIGHT, MEMORY_PER_PLACE * places), memory.counts) / np.bincount(rows)
    return drawn, np.array(memory.classes, np.int64)[rows], weights[rows]


@dataclass(frozen=True)
class FittedHead:
    """A head and what cross-validation says of it.

    Attributes
    ----------
    head : Head
        Fitted to all windows.
    strength : float
        Of the penalty, the best of :data:`STRENGTHS`.
    held_out : numpy.ndarray
        float64 ``[N, V, K]``, logits of each window by a head that was not fitted to its group.
    folds : numpy.ndarray
        int64 ``[N]``.
    """

    head: Head
    strength: float
    held_out: Floats
    folds: Ints


def fit_head(lesson: Lesson, *, strengths: Sequence[float] = STRENGTHS, progress: Progress = silent) -> FittedHead:
    """Choose the strength by cross-validation over groups, and fit to all of them.

    Parameters
    ----------
    lesson : Lesson
        What to fit to.
    strengths : sequence of float
        Of the penalty on changes of the head, to choose from; the stronger one of equally good ones.
    progress : Progress
        Called with stage ``"teaching"`` for every fit.
    """
    folds = make_folds(lesson.labels, lesson.groups)
    numbers = np.unique(folds)
    total, done = len(strengths) * len(numbers) + 1, 0
    best: tuple[float, float, Floats] | None = None
    fits: dict[int, Softmax] = {}  # of each fold, where the next strength begins
    for strength in sorted(strengths, reverse=True):
        held_out = np.empty((*lesson.features.shape[:2], len(lesson.start.bias)))
        for fold in numbers:
            rows = folds == fold
            learned = ~rows if len(numbers) > 1 else rows
            head, fits[fold] = fit_rows(lesson, learned, strength=strength, begin=fits.get(fold))
            held_out[rows] = head.logits(lesson.features[rows])
            done += 1
            progress("teaching", done, total)
        loss = _place_loss(held_out, lesson)
        if best is None or loss < best[0] - 1e-6:
            best = (loss, strength, held_out)
    assert best is not None  # noqa: S101  (there is a strength)
    head, _ = fit_rows(lesson, np.ones(len(folds), bool), strength=best[1])
    progress("teaching", total, total)
    return FittedHead(head, best[1], best[2], folds)


def make_folds(labels: Ints, groups: Ints) -> Ints:
    """Folds ``[N]`` that keep groups whole and spread each class; groups of rare classes are dealt first.

    Examples
    --------
    >>> make_folds(np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])).tolist()
    [0, 1, 0, 0]
    """
    names, first = np.unique(groups, return_index=True)
    count = min(len(names), FOLDS if len(names) > FEW else 2 * FOLDS)
    sizes = np.bincount(labels)
    dealt = np.zeros((count, len(sizes)))
    fold_of: dict[int, int] = {}
    order = sorted(range(len(names)), key=lambda k: (sizes[labels[groups == names[k]]].min(), first[k]))
    for k in order:
        here = np.bincount(labels[groups == names[k]], minlength=len(sizes))
        classes = np.flatnonzero(here)
        fold = min(range(count), key=lambda f: (dealt[f, classes].sum(), dealt[f].sum(), f))
        dealt[fold] += here
        fold_of[int(names[k])] = fold
    return np.array([fold_of[group] for group in groups.tolist()], np.int64)


def fit_rows(
    lesson: Lesson, rows: npt.NDArray[np.bool_], *, strength: float, begin: Softmax | None = None
) -> tuple[Head, Softmax]:
    """A head fitted to some of the windows, and to what is remembered; and its change, from which a fit may begin."""
    views, width = lesson.features.shape[1:]
    values = np.concatenate([lesson.features[rows].reshape(-1, width), lesson.remembered])
    labels = np.concatenate([np.repeat(lesson.labels[rows], views), lesson.remembered_labels])
    # A place counts as one, however many windows and views it has.
    share = 1 / np.bincount(lesson.places[rows])[lesson.places[rows]]
    weights = np.concatenate([np.repeat(share / views, views), lesson.remembered_weights])
    center, scale = _units(lesson)
    fitted = fit_softmax(
        (values - center) / scale,
        labels,
        outputs=len(lesson.start.bias),
        ridge=strength,
        steps=STEPS,
        tolerance=TOLERANCE,
        weights=weights,
        offset=lesson.start.logits(values),
        standardize=False,
        begin=begin,
        dtype=np.float32,
    )
    change = fitted.weights.T / scale
    return Head(lesson.start.weight + change, lesson.start.bias + fitted.bias - change @ center), fitted


def _units(lesson: Lesson) -> tuple[Floats, float]:
    """Center and one scale for all features, at which their mean squared length is 1."""
    values = lesson.features[:, 0] if not len(lesson.remembered) else lesson.remembered
    center = values.mean(axis=0)
    return center, float(np.sqrt(((values - center) ** 2).sum(axis=1).mean())) or 1.0


def _place_loss(logits: Floats, lesson: Lesson) -> float:
    """Mean negative log-likelihood of the places' classes at the temperature then fitted, one window each."""
    views = logits.shape[1]
    rows = np.unique(lesson.places, return_index=True)[1]
    flat, labels = logits[rows].reshape(-1, logits.shape[-1]), np.repeat(lesson.labels[rows], views)
    return mean_nll(flat, labels, fit_temperature(flat, labels))
