"""Exact class activation maps from a model file's own activations and head.

For a network that ends in global average pooling and a linear layer, the logit of class ``k`` is
``b[k] + mean over (h, w) of sum over c of W[k, c] * A[c, h, w]``. The inner sum is the class activation
map (Zhou, Khosla, Lapedriza, Oliva and Torralba 2016, "Learning deep features for discriminative
localization", CVPR): how much each place adds to, or takes from, the logit. A binary model has one logit,
that of its positive class; the map of the negative class is the same with the other sign.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError, SwathError
from swath.inference import Classifier
from swath.model import Record
from swath.model.record import NONE, leading

# Activations are by far the largest output of a network; this many images at a time keeps them small.
BATCH = 128


@dataclass(frozen=True)
class Evidence:
    """Maps of the evidence for a class on a coarse grid, and what the network answered.

    Attributes
    ----------
    maps : numpy.ndarray
        ``[N, h, w]`` float32, positive where a place speaks for the class. Class activation maps are in
        units of the logit before temperature; their mean over ``(h, w)`` plus the class's bias is the
        logit. What the numbers of other methods are is told where they are made.
    explained : tuple of str
        The class each map is about.
    labels : tuple of str
        The predicted class of each image; its labels, joined, for a multi-label model.
    confidence : numpy.ndarray
        ``[N]`` float32, as in :class:`swath.inference.Predictions`.
    method : str
        How the maps were made: ``cam``, ``occlusion`` or ``grad-cam``.
    """

    maps: npt.NDArray[np.float32]
    explained: tuple[str, ...]
    labels: tuple[str, ...]
    confidence: npt.NDArray[np.float32]
    method: str = "cam"


def class_evidence(
    classifier: Classifier, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None
) -> Evidence:
    """Split the logit of one class an image over the places of the network's last activations.

    Parameters
    ----------
    classifier : Classifier
        A loaded model whose file carries activations and a head.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16, as decoded.
    classes : sequence of str, optional
        The class to explain, one name an image; by default the predicted one; see
        :func:`explained_classes`.

    Raises
    ------
    SwathError
        If the model's network does not end in global average pooling and a linear layer.
    SettingError
        If a class is not one of the model's, or there is not one name an image.
    """
    names = classifier.record.class_names
    if classifier.head is None or "activations" not in classifier.outputs:
        raise SwathError(
            f"model '{classifier.record.name}' has no class activation maps: its network does not end in "
            "global average pooling and one linear layer",
            fix="use --method occlusion, or --method grad-cam with the folder of its training run",
        )
    wanted = class_numbers(names, classes, images=len(pixels))
    weight = classifier.head[0]
    if classifier.record.task == "binary":
        weight = np.concatenate([-weight, weight])

    maps: list[npt.NDArray[np.float32]] = []
    explained: list[int] = []
    labels: list[str] = []
    confidence: list[float] = []
    for start in range(0, len(pixels), BATCH):
        part = pixels[start : start + BATCH]
        outputs = classifier.run(part, batch_size=BATCH, wanted=("activations", "probabilities"))
        judged = classifier.decide(outputs["probabilities"])
        chosen = (
            explained_classes(classifier.record, judged.probabilities)
            if wanted is None
            else wanted[start : start + BATCH]
        )
        maps.append(np.einsum("nc,nchw->nhw", weight[chosen], outputs["activations"], dtype=np.float32))
        explained.extend(chosen.tolist())
        labels.extend(judged.named)
        confidence.extend(judged.confidence.tolist())
    return Evidence(
        maps=np.concatenate(maps) if maps else np.zeros((0, 1, 1), np.float32),
        explained=tuple(names[k] for k in explained),
        labels=tuple(labels),
        confidence=np.array(confidence, np.float32),
    )


def explained_classes(record: Record, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Places ``[N]`` of the classes to explain by default: the one predicted, or of several labels the most
    probable one; where an image has none, the most probable class all the same.
    """
    chosen = leading(record, probabilities)
    return np.where(chosen == NONE, probabilities.argmax(axis=1), chosen)


def activation_maps(
    classifier: Classifier, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None
) -> npt.NDArray[np.float32]:
    """Class activation maps at the size of the input.

    Parameters
    ----------
    classifier, pixels, classes
        As for :func:`class_evidence`.

    Returns
    -------
    numpy.ndarray
        ``[N, H, W]`` float32, in units of the logit before temperature; positive speaks for the class.

    Raises
    ------
    SwathError, SettingError
        As :func:`class_evidence`.
    """
    evidence = class_evidence(classifier, pixels, classes=classes)
    return upsample(evidence.maps, height=pixels.shape[2], width=pixels.shape[3])


def class_numbers(
    names: Sequence[str], classes: Sequence[str] | None, *, images: int
) -> npt.NDArray[np.int64] | None:
    """Give the place in `names` of the class to explain in each image; None where none is asked for.

    Raises
    ------
    SettingError
        If a class is not one of the model's, or there is not one name an image.
    """
    if classes is None:
        return None
    if len(classes) != images:
        raise SettingError(f"{len(classes)} class names for {images} images", fix="give one name an image")
    return np.array([class_number(names, name) for name in classes], np.int64)


def upsample(maps: npt.NDArray[np.float32], *, height: int, width: int) -> npt.NDArray[np.float32]:
    """Interpolate maps to another grid: bilinear, with pixel centers at half-integers.

    Outside the outermost centers the edge value is held, so nothing is extrapolated. For whole-number
    enlargements every place keeps its weight and the mean of a map does not change.

    Parameters
    ----------
    maps : numpy.ndarray
        ``[N, h, w]`` float32.
    height, width : int
        The wanted grid, pixels.

    Returns
    -------
    numpy.ndarray
        ``[N, height, width]`` float32.
    """
    rows = _weights(maps.shape[1], height)
    columns = _weights(maps.shape[2], width)
    return np.asarray(rows @ maps @ columns.T, np.float32)


def class_number(names: Sequence[str], name: str) -> int:
    """Give the place of class `name` in `names`.

    Raises
    ------
    SettingError
        Naming the nearest classes, or all of them where none is near.
    """
    if name in names:
        return list(names).index(name)
    lower = {n.lower(): n for n in names}
    near = [lower[m] for m in difflib.get_close_matches(name.lower(), list(lower), n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"the model's classes: {', '.join(names)}"
    raise SettingError(f"the model has no class '{name}'", fix=hint)


def _weights(source: int, target: int) -> npt.NDArray[np.float32]:
    """Interpolation matrix ``[target, source]``; its rows sum to 1."""
    center = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    left = np.minimum(np.floor(center).astype(np.int64), source - 1)
    right = np.minimum(left + 1, source - 1)
    share = center - left
    matrix = np.zeros((target, source), np.float32)
    np.add.at(matrix, (np.arange(target), left), 1 - share)
    np.add.at(matrix, (np.arange(target), right), share)
    return matrix
