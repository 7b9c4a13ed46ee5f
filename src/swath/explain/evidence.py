"""Maps of the evidence for a class: where in a picture the answer comes from, by two methods that need no torch.

*Class activation maps* are exact. For a network that ends in global average pooling and a linear layer, the logit of
class ``k`` is ``b[k] + mean over (h, w) of sum over c of W[k, c] * A[c, h, w]``. The inner sum is the class activation
map (Zhou, Khosla, Lapedriza, Oliva and Torralba 2016, "Learning deep features for discriminative localization",
CVPR): how much each place adds to, or takes from, the logit. A binary model has one logit, that of its positive class;
the map of the negative class is the same with the other sign.

*Occlusion maps* cover a part of the picture and measure how much of the answer is lost (Zeiler and Fergus 2014,
"Visualizing and understanding convolutional networks", ECCV, section 4.2). They need nothing of a network but its
answers, so they exist for every model file, at the cost of one run per cover.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError, SwathError
from swath.inference import Classifier
from swath.model import Record
from swath.model.record import NONE, InputSpec, predicted_class

METHODS = ("cam", "occlusion")
# Activations are by far the largest output of a network; this many images at a time keeps them small.
BATCH = 128
Fill = Literal["training", "blur", "patch"]
BLUR = 10  # the blur's standard deviation is a tenth of the side: 6 pixels of 64
CELLS = 8  # cells per side: 8 pixels each on a patch of 64
COVER = 2  # cells per side that are covered at a time, so that covers overlap by half

Maps = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]
MapBatch = Callable[[npt.NDArray[Any], Mapping[str, npt.NDArray[np.float32]], Numbers], Maps]


@dataclass(frozen=True)
class Evidence:
    """Maps of the evidence for a class on a coarse grid, and the model's answers.

    Attributes
    ----------
    maps : numpy.ndarray
        ``[N, h, w]`` float32, positive where a place adds to the class. Class activation maps are in units of the
        logit before temperature; their mean over ``(h, w)`` plus the class's bias is the logit. Occlusion maps are
        in log-odds.
    explained : tuple of str
        The class each map is about.
    labels : tuple of str
        The predicted class of each image; its labels, joined, for a multi-label model.
    confidence : numpy.ndarray
        ``[N]`` float32, as in :class:`swath.inference.Predictions`.
    method : str
        ``cam``, ``occlusion`` or ``grad-cam``.
    """

    maps: Maps
    explained: tuple[str, ...]
    labels: tuple[str, ...]
    confidence: npt.NDArray[np.float32]
    method: str = "cam"

    def __getitem__(self, rows: slice) -> Evidence:
        """The maps of some of the images."""
        return Evidence(
            self.maps[rows], self.explained[rows], self.labels[rows], self.confidence[rows], method=self.method
        )


class Explainer(Protocol):
    """Makes the maps of one model, by whatever method."""

    def __call__(self, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None) -> Evidence:
        """Explain pixels ``[N, bands, H, W]``: the named classes, by default the predicted ones."""


def explainer(classifier: Classifier, method: str = "cam") -> Explainer:
    """Choose a method by name.

    Parameters
    ----------
    classifier : Classifier
        The model to explain.
    method : str
        One of :data:`METHODS`. Grad-CAM needs torch; see ``swath.training.gradcam``.

    Raises
    ------
    SettingError
        If there is no such method.

    Examples
    --------
    >>> import swath
    >>> explainer(swath.load("eurosat"), "occlusion").func.__name__
    'occlusion_evidence'
    """
    if method == "cam":
        return partial(class_evidence, classifier)
    if method == "occlusion":
        return partial(occlusion_evidence, classifier)
    raise SettingError(f"there is no explanation method '{method}'", fix=f"use one of {', '.join(METHODS)} or grad-cam")


def class_evidence(
    classifier: Classifier, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None
) -> Evidence:
    """Split the logit of one class per image over the places of the network's last activations.

    Parameters
    ----------
    classifier : Classifier
        A loaded model whose file carries activations and a head.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16, as decoded.
    classes : sequence of str, optional
        The class to explain, one name per image; by default the predicted one (of several labels the most probable
        one, and of no label the most probable class).

    Raises
    ------
    SwathError
        If the model's network does not end in global average pooling and a linear layer.
    SettingError
        If a class is not one of the model's, or there is not one name per image.

    Examples
    --------
    >>> import numpy as np, swath
    >>> classifier = swath.load("eurosat")
    >>> class_evidence(classifier, np.zeros((2, 3, 64, 64), np.uint8), classes=["River", "Forest"]).maps.shape
    (2, 4, 4)
    """
    if classifier.head is None or not has_class_evidence(classifier):
        raise SwathError(
            f"model '{classifier.record.name}' has no class activation maps: its network does not end in "
            "global average pooling and one linear layer",
            fix="use --method occlusion, or --method grad-cam with the folder of its training run",
        )
    weight = classifier.head[0]
    if classifier.record.task == "binary":
        weight = np.concatenate([-weight, weight])

    def maps(_pixels: npt.NDArray[Any], outputs: Mapping[str, Maps], numbers: Numbers) -> Maps:
        return np.asarray(np.einsum("nc,nchw->nhw", weight[numbers], outputs["activations"], dtype=np.float32))

    return _evidence(classifier, pixels, classes, maps, wanted=("activations",), method="cam")


def has_class_evidence(classifier: Classifier) -> bool:
    """Whether the network ends in global average pooling and a linear layer, so that exact maps exist."""
    return classifier.head is not None and "activations" in classifier.outputs


def occlusion_evidence(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    *,
    classes: Sequence[str] | None = None,
    cells: int = CELLS,
    cover: int = COVER,
    fill: Fill = "training",
) -> Evidence:
    """Map how much each part of a picture contributes to the answer, by covering it.

    A square of ``cover x cover`` cells slides over the picture cell by cell, past its edges too, so that
    every cell is covered equally often. A cell's value is the mean, over the covers that hide it, of the
    log-odds of the class that are lost. Log-odds, because near-certain answers barely move in
    probability, and because a score of one class alone says nothing where others move with it.

    Parameters
    ----------
    classifier : Classifier
        Any loaded model.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16, as decoded.
    classes : sequence of str, optional
        As for :func:`class_evidence`.
    cells : int
        Cells per side of the map; fewer where the picture has fewer pixels.
    cover : int
        Cells per side of the cover.
    fill : str
        What covers; see :func:`canvas`.

    Returns
    -------
    Evidence
        Its maps are ``[N, cells, cells]``, in log-odds.

    Raises
    ------
    SettingError
        If a class is not one of the model's, there is not one name per image, or `cells` or `cover` is
        out of range.
    """
    if not 1 <= cover < cells:
        raise SettingError(
            f"a cover of {cover} of {cells} cells per side", fix="give at least one cell, and fewer than all"
        )
    edges = [np.linspace(0, side, min(cells, side) + 1).round().astype(int) for side in pixels.shape[2:]]
    grid = [len(along) - 1 for along in edges]

    def maps(seen: npt.NDArray[Any], outputs: Mapping[str, Maps], numbers: Numbers) -> Maps:
        found = np.zeros((len(seen), *grid), np.float32)
        whole = log_odds(outputs["logits"], numbers, classifier)
        hidden = canvas(seen, fill, classifier.record.input)
        for rows, columns in _covers(grid, cover):
            tried = np.array(seen)
            place = (..., _span(edges[0], rows), _span(edges[1], columns))
            tried[place] = hidden[place]
            logits = classifier.run(tried, wanted=("logits",))["logits"]
            lost = whole - log_odds(logits, numbers, classifier)
            found[:, rows, columns] += lost[:, None, None] / cover**2
        return found

    return _evidence(classifier, pixels, classes, maps, wanted=("logits",), method="occlusion")


def _evidence(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    classes: Sequence[str] | None,
    maps: MapBatch,
    *,
    wanted: Sequence[str],
    method: str,
) -> Evidence:
    """Run the model batch by batch, choose the class to explain of each image, and map it."""
    names = classifier.record.class_names
    asked = class_numbers(names, classes, images=len(pixels))
    found: list[Maps] = []
    explained: list[int] = []
    labels: list[str] = []
    confidence: list[float] = []
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        outputs = classifier.run(pixels[part], wanted=(*wanted, "probabilities"))
        answers = classifier.decide(outputs["probabilities"])
        numbers = explained_classes(classifier.record, answers.probabilities) if asked is None else asked[part]
        found.append(maps(pixels[part], outputs, numbers))
        explained.extend(numbers.tolist())
        labels.extend(answers.named)
        confidence.extend(answers.confidence.tolist())
    return Evidence(
        maps=np.concatenate(found) if found else np.zeros((0, 1, 1), np.float32),
        explained=tuple(names[k] for k in explained),
        labels=tuple(labels),
        confidence=np.array(confidence, np.float32),
        method=method,
    )


def explained_classes(record: Record, probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Class numbers ``[N]`` to explain by default: the predicted class, or of several labels the most probable one;
    where an image has no label, the most probable class.
    """
    chosen = predicted_class(record, probabilities)
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
        ``[N, H, W]`` float32, in units of the logit before temperature; positive adds to the class.

    Raises
    ------
    SwathError, SettingError
        As :func:`class_evidence`.
    """
    evidence = class_evidence(classifier, pixels, classes=classes)
    return upsample(evidence.maps, height=pixels.shape[2], width=pixels.shape[3])


def class_numbers(names: Sequence[str], classes: Sequence[str] | None, *, images: int) -> npt.NDArray[np.int64] | None:
    """Find the class numbers to explain, one per image; None where no class is asked for.

    Raises
    ------
    SettingError
        If a class is not one of the model's, or there is not one name per image.
    """
    if classes is None:
        return None
    if len(classes) != images:
        raise SettingError(f"{len(classes)} class names for {images} images", fix="give one name per image")
    return np.array([class_number(names, name) for name in classes], np.int64)


def class_number(names: Sequence[str], name: str) -> int:
    """Find the number of a class by its name.

    Raises
    ------
    SettingError
        If there is no such class; the message names the nearest ones.
    """
    if name in names:
        return list(names).index(name)
    lower = {n.lower(): n for n in names}
    near = [lower[m] for m in difflib.get_close_matches(name.lower(), list(lower), n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"the model's classes: {', '.join(names)}"
    raise SettingError(f"the model has no class '{name}'", fix=hint)


def upsample(maps: npt.NDArray[np.float32], *, height: int, width: int) -> npt.NDArray[np.float32]:
    """Interpolate maps to another grid: bilinear, with pixel centers at half-integers.

    Outside the outermost centers the edge value is repeated; nothing is extrapolated. For whole-number
    enlargements the mean of a map does not change.

    Parameters
    ----------
    maps : numpy.ndarray
        ``[N, h, w]`` float32.
    height, width : int
        The target grid, pixels.

    Returns
    -------
    numpy.ndarray
        ``[N, height, width]`` float32.
    """
    rows = _weights(maps.shape[1], height)
    columns = _weights(maps.shape[2], width)
    return np.asarray(rows @ maps @ columns.T, np.float32)


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


def canvas(pixels: npt.NDArray[Any], fill: Fill, spec: InputSpec) -> npt.NDArray[Any]:
    """Pixels to show in place of hidden ones.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16.
    fill : str
        ``training``: the mean color of the training patches; ``blur``: the picture itself, blurred with a tenth of
        its side; ``patch``: the mean color of the picture.
    spec : InputSpec
        Of the model, with the mean color of the training patches.

    Returns
    -------
    numpy.ndarray
        Shape and dtype of `pixels`.
    """
    if fill == "blur":
        rows, columns = (_gaussian(side) for side in pixels.shape[2:])
        values = rows @ pixels.astype(np.float32) @ columns.T
    elif fill == "patch":
        values = pixels.mean(axis=(2, 3), keepdims=True, dtype=np.float32)
    else:
        values = np.array(spec.channel_mean, np.float32)[None, :, None, None]
    whole = np.rint(values).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return np.broadcast_to(whole, pixels.shape)


def _gaussian(side: int) -> npt.NDArray[np.float32]:
    """Blur matrix ``[side, side]``; its rows sum to 1, at the edges too."""
    place = np.arange(side)
    distance = (place[:, None] - place[None, :]) / max(side / BLUR, 1e-6)
    weight = np.exp(-0.5 * distance**2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)


def log_odds(
    logits: npt.NDArray[np.float32], numbers: npt.NDArray[np.int64], classifier: Classifier
) -> npt.NDArray[np.float32]:
    """Log-odds ``log(p / (1 - p))`` of one class per image, computed from the logits which avoids rounding at 1.

    Parameters
    ----------
    logits : numpy.ndarray
        ``[N, K]``, or ``[N, 1]`` of a binary model.
    numbers : numpy.ndarray
        ``[N]`` int64, class numbers in the order of the model's record.
    classifier : Classifier
        The model, for its task and temperature.

    Returns
    -------
    numpy.ndarray
        ``[N]`` float32.
    """
    scaled = logits.astype(np.float64) / classifier.record.temperature
    every = np.arange(len(scaled))
    if classifier.record.task == "binary":
        return np.asarray(np.where(numbers == 1, scaled[:, 0], -scaled[:, 0]), np.float32)
    own = scaled[every, numbers]
    if classifier.record.task == "multi-label":
        return np.asarray(own, np.float32)
    others = scaled.copy()
    others[every, numbers] = -np.inf
    highest = others.max(axis=1)
    rest = highest + np.log(np.exp(others - highest[:, None]).sum(axis=1))
    return np.asarray(own - rest, np.float32)


def _covers(shape: Sequence[int], cover: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of cells that each cover hides inside the picture."""

    def along(cells: int) -> list[slice]:
        return [slice(max(0, i), min(cells, i + cover)) for i in range(1 - cover, cells)]

    for rows in along(shape[0]):
        for columns in along(shape[1]):
            yield rows, columns


def _span(edges: npt.NDArray[np.int64], cells: slice) -> slice:
    """Pixels of a run of cells."""
    return slice(int(edges[cells.start]), int(edges[cells.stop]))
