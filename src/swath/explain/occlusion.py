"""Occlusion maps: cover a part of the picture, see how much of the answer goes with it.

Zeiler and Fergus 2014, "Visualizing and understanding convolutional networks" (ECCV), section 4.2. Needs
nothing of a network but its answers, so it works for every model file; it costs one run a cover.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError
from swath.explain.cam import Evidence, class_numbers, explained_classes
from swath.inference import Classifier
from swath.model.record import InputSpec

Fill = Literal["training", "blur", "patch"]
BLUR = 10  # the blur's standard deviation is a tenth of the side: 6 pixels of 64
CELLS = 8  # places a side: 8 pixels each on a patch of 64
COVER = 2  # cells a side that are covered at a time, so that covers overlap by half
BATCH = 128


def canvas(pixels: npt.NDArray[Any], fill: Fill, spec: InputSpec) -> npt.NDArray[Any]:
    """What is seen where `pixels` are hidden.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16.
    fill : str
        ``training``, ``blur`` or ``patch``; see this module.
    spec : InputSpec
        Of the model: it holds the mean color of the training patches.

    Returns
    -------
    numpy.ndarray
        Of the shape and type of `pixels`, in whole numbers as pixels are.
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


def occlusion_evidence(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    *,
    classes: Sequence[str] | None = None,
    cells: int = CELLS,
    cover: int = COVER,
    fill: Fill = "training",
) -> Evidence:
    """Map how much each part of a picture does for the answer, by covering it.

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
        The class to explain, one name an image; by default the predicted one; see
        :func:`swath.explain.cam.explained_classes`.
    cells : int
        Places a side of the map; fewer where the picture has fewer pixels.
    cover : int
        Cells a side of the cover.
    fill : str
        What covers; see :mod:`swath.explain.occlusion`.

    Returns
    -------
    Evidence
        Its maps are ``[N, cells, cells]``, in log-odds.

    Raises
    ------
    SettingError
        If a class is not one of the model's, there is not one name an image, or `cells` or `cover` is
        out of range.
    """
    if not 1 <= cover < cells:
        raise SettingError(
            f"a cover of {cover} of {cells} cells a side", fix="give at least one cell, and fewer than all"
        )
    names = classifier.record.class_names
    wanted = class_numbers(names, classes, images=len(pixels))
    edges = [np.linspace(0, side, min(cells, side) + 1).round().astype(int) for side in pixels.shape[2:]]
    maps = np.zeros((len(pixels), len(edges[0]) - 1, len(edges[1]) - 1), np.float32)
    explained = np.zeros(len(pixels), np.int64)
    labels: list[str] = []
    confidence: list[float] = []
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        outputs = classifier.run(pixels[part], wanted=("logits", "probabilities"))
        judged = classifier.decide(outputs["probabilities"])
        explained[part] = (
            explained_classes(classifier.record, judged.probabilities) if wanted is None else wanted[part]
        )
        labels.extend(judged.named)
        confidence.extend(judged.confidence.tolist())
        whole = log_odds(outputs["logits"], explained[part], classifier)
        hidden = canvas(pixels[part], fill, classifier.record.input)
        for rows, columns in _covers(maps.shape[1:], cover):
            tried = np.array(pixels[part])
            place = (..., _span(edges[0], rows), _span(edges[1], columns))
            tried[place] = hidden[place]
            logits = classifier.run(tried, wanted=("logits",))["logits"]
            lost = whole - log_odds(logits, explained[part], classifier)
            maps[part, rows, columns] += lost[:, None, None] / cover**2
    return Evidence(
        maps,
        tuple(names[k] for k in explained),
        tuple(labels),
        np.array(confidence, np.float32),
        method="occlusion",
    )


def log_odds(
    logits: npt.NDArray[np.float32], numbers: npt.NDArray[np.int64], classifier: Classifier
) -> npt.NDArray[np.float32]:
    """Log-odds ``log(p / (1 - p))`` of one class an image, from the logits and so without rounding at 1.

    Parameters
    ----------
    logits : numpy.ndarray
        ``[N, K]``, or ``[N, 1]`` of a binary model.
    numbers : numpy.ndarray
        ``[N]`` int64, places of the classes in the model's record.
    classifier : Classifier
        The model, which knows its task and temperature.

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
    """Cells that each cover hides, its part outside the picture left off."""

    def along(cells: int) -> list[slice]:
        return [slice(max(0, i), min(cells, i + cover)) for i in range(1 - cover, cells)]

    for rows in along(shape[0]):
        for columns in along(shape[1]):
            yield rows, columns


def _span(edges: npt.NDArray[np.int64], cells: slice) -> slice:
    """Pixels of a run of cells."""
    return slice(int(edges[cells.start]), int(edges[cells.stop]))
