"""How a scene was drawn, by what the model says of labeled places.

``--rescale auto`` of a map has the scene alone to go by. Labels are better evidence: the model that is taught is asked
about the places in two renderings, and the one in which it is surer of their classes is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.evaluation.temperature import fit_temperature
from swath.inference.classifier import Classifier
from swath.inference.rescale import Rendering, RescaleDecision

LEAST = 10  # places of classes that the model has, below which it is not asked
MOST = 100  # asked about
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ColorChoice:
    """Another rendering, compared with the one that a map would have.

    Attributes
    ----------
    better : bool
        Whether the model is surer of the places' classes in it.
    first, second : int
        Places that the model gives their class in the one and in the other.
    asked : int
        Places it was asked about.
    """

    better: bool
    first: int
    second: int
    asked: int

    def note(self, taken: str) -> str:
        """What was chosen, in one sentence without a full stop."""
        how = {"off": "as they are", "match": "with colors matched to the training images"}.get(
            taken, f"with --rescale {taken}"
        )
        return (
            f"the model before knows {self.second} of {self.asked} places {how}, and {self.first} "
            f"otherwise, so it was taught that way: map with --rescale {taken}"
        )


def other_rendering(decision: RescaleDecision) -> Rendering | None:
    """What else the scene may be; None where that was not looked at, or a user has decided."""
    return decision.alternative if decision.asked == "auto" and decision.compared else None


def asked_places(labels: tuple[str, ...], places: Ints, names: tuple[str, ...]) -> tuple[Ints, Ints]:
    """Windows to ask the model about, and their classes: one per place, of classes it has, :data:`MOST` at most.

    Examples
    --------
    >>> rows, classes = asked_places(("Forest", "Dump", "River", "River"), np.array([0, 1, 2, 2]), ("Forest", "River"))
    >>> rows.tolist(), classes.tolist()
    ([0, 2], [0, 1])
    """
    one = np.unique(places, return_index=True)[1]
    rows = np.array([row for row in one.tolist() if labels[row] in names], np.int64)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST)).round().astype(np.int64))]
    return rows, np.array([names.index(labels[row]) for row in rows.tolist()], np.int64)


def compare_renderings(
    classifier: Classifier, first: npt.NDArray[Any], second: npt.NDArray[Any], classes: Ints
) -> ColorChoice | None:
    """Ask a model about the same places in two renderings.

    Parameters
    ----------
    classifier : Classifier
        The model before; of one label per patch.
    first, second : numpy.ndarray
        ``[N, bands, P, P]``, windows around the places.
    classes : numpy.ndarray
        ``[N]`` int64, their classes.

    Returns
    -------
    ColorChoice or None
        None where there are fewer than :data:`LEAST` places, or they are of one class.
    """
    if len(classes) < LEAST or len(np.unique(classes)) < 2:
        return None
    one, other = (
        classifier.run(np.ascontiguousarray(pixels), wanted=("logits",))["logits"].astype(np.float64)
        for pixels in (first, second)
    )
    return choose_rendering(one, other, classes)


def choose_rendering(first: npt.NDArray[Any], second: npt.NDArray[Any], classes: Ints) -> ColorChoice:
    """Compare logits ``[N, L]`` of the same places in two renderings, each at its own temperature.

    The second is better where the mean logarithm of the probability of the true class is higher by more than the
    standard error of the paired difference.

    Examples
    --------
    >>> classes = np.arange(40) % 2
    >>> right = np.where(np.arange(2) == classes[:, None], 3.0, 0.0)
    >>> choose_rendering(right[::-1], right, classes).better, choose_rendering(right, right[::-1], classes).better
    (True, False)
    """
    surer, known = [], []
    for logits in (first, second):
        pair = np.concatenate([-logits / 2, logits / 2], axis=1) if logits.shape[1] == 1 else logits
        scaled = pair / fit_temperature(pair, classes)
        surer.append(scaled[np.arange(len(classes)), classes] - np.logaddexp.reduce(scaled, axis=1))
        known.append(int((pair.argmax(axis=1) == classes).sum()))
    gained = surer[1] - surer[0]
    error = float(gained.std(ddof=1)) / np.sqrt(len(gained))
    return ColorChoice(bool(gained.mean() > error), known[0], known[1], len(classes))
