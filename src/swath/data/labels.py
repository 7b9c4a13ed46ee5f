"""Labels as numbers: the place of each label in a list of classes, the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt


def class_numbers(labels: Iterable[str], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Number of each label: its place in `classes`.

    Parameters
    ----------
    labels : iterable of str
        N labels, each one of `classes`.
    classes : sequence of str
        Class names in order, all different.

    Returns
    -------
    numpy.ndarray
        ``[N]`` int64.

    Raises
    ------
    KeyError
        If a label is not one of `classes`.

    Examples
    --------
    >>> class_numbers(["River", "Forest", "River"], ("Forest", "River")).tolist()
    [1, 0, 1]
    """
    places = {name: place for place, name in enumerate(classes)}
    return np.array([places[label] for label in labels], np.int64)


def label_matrix(label_sets: Iterable[Sequence[str]], classes: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Sets of labels as a table: which of `classes` each patch has.

    Parameters
    ----------
    label_sets : iterable of sequence of str
        The labels of each of N patches.
    classes : sequence of str
        The K class names in order.

    Returns
    -------
    numpy.ndarray
        ``[N, K]`` bool.

    Examples
    --------
    >>> label_matrix([("River",), (), ("Forest", "River")], ("Forest", "River")).astype(int).tolist()
    [[0, 1], [0, 0], [1, 1]]
    """
    return np.array([[name in labels for name in classes] for labels in label_sets], bool)
