"""Which labels are probably wrong: confident learning on out-of-fold probabilities, in numpy.

Northcutt, Jiang and Chuang 2021, "Confident learning: estimating uncertainty in dataset labels", JAIR 70,
1373-1411. A patch counts towards class ``j`` if its probability of ``j`` reaches what patches labeled ``j`` have
on average; patches that count towards another class than their label are counted (the confident joint) and are
the candidates. The probabilities must come from a network that did not learn from the patch's own label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.errors import DataError, SettingError

_TIES = 1e-9  # a mean of equal numbers may lie a rounding error above them
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelIssues:
    """N patches in the order in which their labels should be looked at.

    Attributes
    ----------
    order : numpy.ndarray
        ``[N]`` int64 rows, most suspicious first: all candidates, then all others.
    candidate : numpy.ndarray
        ``[N]`` bool, by row: whether the patch counts off the diagonal of the confident joint.
    suggested : numpy.ndarray
        ``[N]`` int64, by row: the class a candidate counts towards; for others the most probable but the label.
    score : numpy.ndarray
        ``[N]`` float64, by row, 0-1: 1 is certainty of another class than the label, 0 of the label.
    thresholds : numpy.ndarray
        ``[K]`` float64: mean probability of each class among patches labeled so; infinite without any.
    joint : numpy.ndarray
        ``[K, K]`` int64, the confident joint: labels in rows, classes counted towards in columns.
    counts : numpy.ndarray
        ``[K]`` int64, patches of each label; more than a row of `joint` where some count towards no class.
    """

    order: Labels
    candidate: npt.NDArray[np.bool_]
    suggested: Labels
    score: Floats
    thresholds: Floats
    joint: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    @property
    def estimated(self) -> float:
        """How many labels are wrong, as estimated: the patches off the diagonal of the joint."""
        return float(len(self.order) * (1 - np.trace(estimated_joint(self.joint, self.counts))))


def label_issues(probabilities: npt.NDArray[Any], labels: Labels) -> LabelIssues:
    """Rank patches by how probably their label is wrong.

    Candidates come first, and among equals the larger score: the normalized margin of the paper (section
    3.2, "prune by noise rate"), turned so that 1 is most suspicious.

    Parameters
    ----------
    probabilities : numpy.ndarray
        ``[N, K]`` out-of-fold, each row summing to 1.
    labels : numpy.ndarray
        ``[N]`` int64 class numbers, as given.

    Raises
    ------
    DataError
        If the shapes do not fit, a number is not a probability, or a label is no class.
    """
    p = _checked(probabilities, labels)
    n, k = p.shape
    rows = np.arange(n)
    own = p[rows, labels]
    others = p.copy()
    others[rows, labels] = -1.0
    counts = np.bincount(labels, minlength=k)
    thresholds = np.full(k, np.inf)
    np.divide(np.bincount(labels, weights=own, minlength=k), counts, out=thresholds, where=counts > 0)
    reached = np.where(p >= thresholds - _TIES, p, -1.0)
    chosen = reached.argmax(axis=1)
    counted = reached.max(axis=1) >= 0
    joint = np.bincount(labels[counted] * k + chosen[counted], minlength=k * k).reshape(k, k)
    candidate = counted & (chosen != labels)
    score = (1 - own + others.max(axis=1)) / 2
    return LabelIssues(
        order=np.lexsort((rows, -score, ~candidate)).astype(np.int64),
        candidate=candidate,
        suggested=np.where(candidate, chosen, others.argmax(axis=1)).astype(np.int64),
        score=score,
        thresholds=thresholds,
        joint=joint.astype(np.int64),
        counts=counts.astype(np.int64),
    )


def estimated_joint(joint: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]) -> Floats:
    """Share of patches by given label (rows) and true class (columns), as estimated (the paper's Eq. 3).

    Each row of the confident joint is stretched to the patches that carry its label; a row that counted
    nothing is taken as right.

    Parameters
    ----------
    joint : numpy.ndarray
        ``[K, K]`` int64, the confident joint.
    counts : numpy.ndarray
        ``[K]`` int64, patches of each label.

    Returns
    -------
    numpy.ndarray
        ``[K, K]`` float64, summing to 1.
    """
    filled = np.where(joint.sum(axis=1, keepdims=True) > 0, joint, np.eye(len(joint)))
    stretched = filled / filled.sum(axis=1, keepdims=True) * counts[:, None]
    return np.asarray(stretched / stretched.sum())


def _checked(probabilities: npt.NDArray[Any], labels: Labels) -> Floats:
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or len(p) != len(labels) or not len(p) or p.shape[1] < 2:
        raise DataError(
            f"probabilities of shape {list(p.shape)} do not fit {len(labels)} labels",
            fix="give [N, K] with at least two classes and one label a row",
        )
    if not (np.isfinite(p).all() and (p >= 0).all() and (p <= 1 + 1e-6).all()):
        raise DataError("probabilities must lie between 0 and 1", fix="give a model's probabilities, not logits")
    if labels.min() < 0 or labels.max() >= p.shape[1]:
        raise DataError(f"a label is not one of the {p.shape[1]} classes")
    return p


def inject_label_noise(
    index: PatchIndex, *, share: float = 0.05, towards: Mapping[str, str] | None = None, seed: int = 0
) -> tuple[PatchIndex, npt.NDArray[np.int64]]:
    """Give a share of the patches a wrong label.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each, taken as right.
    share : float
        Of all patches.
    towards : mapping of str to str, optional
        Class-dependent noise: only patches of these classes are flipped, each to the class it is mapped to. By
        default the noise is symmetric: any patch, any other class.
    seed : int
        Another seed flips others.

    Returns
    -------
    tuple of PatchIndex and numpy.ndarray
        The same patches, and the rows with a wrong label ``[M]`` int64, ascending.

    Raises
    ------
    SettingError
        If a class is unknown or mapped to itself, or fewer patches can be flipped than are asked for.
    """
    classes = index.classes
    for name, other in (towards or {}).items():
        if name == other or not {name, other} <= set(classes):
            raise SettingError(f"cannot flip '{name}' to '{other}'", fix=f"the classes: {', '.join(classes)}")
    labels = list(index.labels)
    able = [row for row, label in enumerate(labels) if towards is None or label in towards]
    wanted = round(share * len(labels))
    if len(classes) < 2 or not 0 < wanted <= len(able):
        raise SettingError(f"cannot flip {wanted} of {len(able)} labels", fix="choose another share")
    random = np.random.default_rng(seed)
    flipped = np.sort(random.choice(np.array(able), wanted, replace=False)).astype(np.int64)
    for row in flipped.tolist():
        others = [name for name in classes if name != labels[row]]
        drawn = others[int(random.integers(len(others)))]
        labels[row] = drawn if towards is None else towards[labels[row]]
    return index.with_columns({"label": labels}), flipped
