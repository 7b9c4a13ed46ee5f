"""Tests of whether a map is true of the network: three questions, and a verdict on a single map.

*Does the answer depend on the marked pixels?* The deletion and insertion curves of Petsiuk, Das and Saenko 2018, "RISE:
randomized input sampling for explanation of black-box models" (BMVC), section 4.2. Deletion hides the pixels a map
marks first: the probability falls early, and the area under its curve is small. Insertion shows them first on a blurred
picture: the probability rises early, and the area is large. An area means little by itself, so it is compared with
those of random maps on the same grid (as coarse as the map: single random pixels are another kind of damage) and of
the distance from the center.

*Does the map depend on what the network learned?* The model parameter randomization test of Adebayo, Gilmer, Muelly,
Goodfellow, Hardt and Kim 2018, "Sanity checks for saliency maps" (NeurIPS), section 3.1: weights are drawn again from
the top of the network downwards, and the maps of the same class are compared by rank correlation. A map that stays
similar shows edges of the picture, not reasons of the network.

*Does it point at the right place?* Four patches in one picture, one of them of the class in question, as in the grid
pointing game of Böhle, Fritz and Schiele 2021, "Convolutional dynamic alignment networks for interpretable
classifications" (CVPR): the share of a map's positive mass in the right quadrant should be near 1; by chance it is 1/4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from swath.errors import DataError, ModelFileError, SettingError
from swath.explain.evidence import Evidence, Explainer, Fill, canvas, explainer, upsample
from swath.imagery import resize
from swath.inference import Classifier
from swath.model import ModelFile, read_model

Heat = npt.NDArray[np.float32]

STEPS = 16
STEPS_ALONE = 8  # for the verdict on one picture, which ranks twenty areas and needs no fine curve
DELETED: Fill = "training"
INSERTED: Fill = "blur"
RANDOM_MAPS = 19  # with 19 random maps, being among the best two of twenty has a chance of one in ten
BEATEN = 18
_BATCH = 128
Part = Literal["head", "upper half", "all"]
PARTS: tuple[Part, ...] = ("head", "upper half", "all")
DRAWS = 8
# Operators whose second input is what a network learned of connections; norms and biases are left as they are.
_LAYERS = {"Conv", "Gemm", "MatMul"}
Variant = Literal["crops", "shrunk"]
VARIANTS: tuple[Variant, ...] = ("crops", "shrunk")


@dataclass(frozen=True)
class Faithfulness:
    """Effect of hiding pixels in the order of one picture's map, compared with random maps.

    Attributes
    ----------
    deletion : float
        Area under the map's deletion curve, 0-1.
    random : float
        Mean area of the random maps.
    beaten : int
        Random maps whose area is larger than the map's.
    of : int
        How many random maps there were.
    """

    deletion: float
    random: float
    beaten: int
    of: int

    @property
    def holds(self) -> bool:
        """Whether the map passes: it beats at least 18 of 19 random maps."""
        return self.beaten >= BEATEN / RANDOM_MAPS * self.of

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        beats = f"{self.beaten} of {self.of} random maps"
        if self.holds:
            return f"map holds: hiding what it marks costs more than {beats}"
        least = math.ceil(BEATEN / RANDOM_MAPS * self.of)
        return f"MAP FAILS, do not read it: hiding what it marks costs more than only {beats}; {least} are needed"


def faithfulness(
    classifier: Classifier, pixels: npt.NDArray[Any], evidence: Evidence, *, seed: int = 0
) -> tuple[Faithfulness, ...]:
    """Compare the map of every picture with random maps, one picture at a time.

    Parameters
    ----------
    classifier : Classifier
        The model the maps are about.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, the pictures.
    evidence : Evidence
        Their maps.
    seed : int
        Seed of the random maps.

    Returns
    -------
    tuple of Faithfulness
        One per picture.
    """
    side = classifier.size
    # As the model's own graph does first: twenty copies of a large picture need not be kept in memory.
    small = resize(pixels, side)
    grid = (evidence.maps.shape[1], evidence.maps.shape[2])
    names = classifier.record.class_names
    own = upsample(evidence.maps, height=side, width=side)
    random = random_heat(RANDOM_MAPS, grid, (side, side), seed=seed)
    found = []
    for i, name in enumerate(evidence.explained):
        heat = np.concatenate([own[i : i + 1], random])
        numbers = np.full(len(heat), names.index(name))
        twenty = np.repeat(small[i : i + 1], len(heat), axis=0)
        area = area_under(deletion(classifier, twenty, heat, numbers, steps=STEPS_ALONE))
        beaten = int((area[0] < area[1:]).sum())
        found.append(Faithfulness(float(area[0]), float(area[1:].mean()), beaten, RANDOM_MAPS))
    return tuple(found)


@dataclass(frozen=True)
class Curves:
    """Probability of the explained class as pixels are hidden or shown; see :func:`area_under`.

    Attributes
    ----------
    deletion, insertion : numpy.ndarray
        ``[N, S + 1]`` float32, from no pixel to all of them in S steps of equal size.
    """

    deletion: npt.NDArray[np.float32]
    insertion: npt.NDArray[np.float32]


def curves(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    heat: Heat,
    numbers: npt.NDArray[np.int64],
    *,
    steps: int = STEPS,
    deleted: Fill = DELETED,
    inserted: Fill = INSERTED,
) -> Curves:
    """Measure the deletion and insertion curves of maps.

    Parameters
    ----------
    classifier : Classifier
        The model the maps are about.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16, as decoded.
    heat : numpy.ndarray
        ``[N, H, W]``: pixels are hidden, or shown, in falling order; equal ones row by row.
    numbers : numpy.ndarray
        ``[N]`` int64, the explained class of each picture.
    steps : int
        Into how many equal parts the pixels are divided.
    deleted, inserted : str
        What replaces hidden pixels in the two curves; see :func:`swath.explain.evidence.canvas`.

    Raises
    ------
    SettingError
        If `steps` is not positive, or the maps and the pictures differ in size.
    """
    if steps < 1:
        raise SettingError(f"{steps} steps", fix="give 1 or more")
    gone = deletion(classifier, pixels, heat, numbers, steps=steps, fill=deleted)
    # Insertion is deletion in reverse with another fill: what is shown first is hidden last.
    come = deletion(classifier, pixels, -heat, numbers, steps=steps, fill=inserted)[:, ::-1]
    return Curves(gone, come)


def deletion(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    heat: Heat,
    numbers: npt.NDArray[np.int64],
    *,
    steps: int = STEPS,
    fill: Fill = DELETED,
) -> npt.NDArray[np.float32]:
    """Probability of each picture's class ``[N, steps + 1]`` as its pixels are hidden, hottest first."""
    n, _, height, width = pixels.shape
    if heat.shape != (n, height, width):
        raise SettingError(
            f"maps have shape {heat.shape}, pictures {pixels.shape}", fix="bring the maps to the pictures' size"
        )
    found = np.zeros((n, steps + 1), np.float32)
    cuts = np.linspace(0, height * width, steps + 1).round()
    for start in range(0, n, _BATCH):
        part = slice(start, start + _BATCH)
        seen = pixels[part]
        hidden = canvas(seen, fill, classifier.record.input)
        order = np.argsort(-heat[part].reshape(len(seen), -1), axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
        rank = rank.reshape(len(seen), 1, height, width)
        for step, cut in enumerate(cuts):
            answers = classifier.run(np.where(rank < cut, hidden, seen))["probabilities"]
            found[part, step] = answers[np.arange(len(seen)), numbers[part]]
    return found


def random_heat(n: int, grid: tuple[int, int], size: tuple[int, int], *, seed: int) -> Heat:
    """Maps ``[n, *size]`` of independent random numbers on a grid, interpolated as maps are."""
    drawn = np.random.default_rng(seed).normal(size=(n, *grid)).astype(np.float32)
    return upsample(drawn, height=size[0], width=size[1])


def center_heat(n: int, size: tuple[int, int]) -> Heat:
    """Maps ``[n, *size]`` that are hottest in the center, by distance in shares of the sides."""
    rows, columns = ((np.arange(side) + 0.5) / side - 0.5 for side in size)
    one = -np.hypot(rows[:, None], columns[None, :]).astype(np.float32)
    return np.broadcast_to(one, (n, *size))


def area_under(curve: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Areas ``[N]`` under curves ``[N, S + 1]`` over shares 0-1, by the trapezoidal rule."""
    values = curve.astype(np.float64)
    return np.asarray((values[:, :-1] + values[:, 1:]).mean(axis=1) / 2)


def weight_randomization(
    explain: Explainer,
    randomized_explainer: Callable[[Part, int], Explainer],
    pixels: npt.NDArray[Any],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Part, npt.NDArray[np.float64]]:
    """Compare the maps of a network with those of the same network with newly drawn weights.

    One draw decides little: random weights can agree with the learned ones on all pictures at once, or
    disagree on all. So there are several, and their mean should be near 0.

    Parameters
    ----------
    explain : callable
        Makes the maps of the trained network.
    randomized_explainer : callable
        Given a part and a seed, makes the maps of the network with that part drawn again.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    draws : int
        Draws of each part.
    seed : int
        Of the first draw.

    Returns
    -------
    dict of str to numpy.ndarray
        For the head, the upper half of the layers and all of them: Spearman's rank correlation between the two maps
        of each picture, ``[draws, N]`` float64, -1 to 1.
    """
    before = explain(pixels)

    def correlations(part: Part, draw: int) -> npt.NDArray[np.float64]:
        after = randomized_explainer(part, draw)(pixels, classes=before.explained)
        return rank_correlation(before.maps, after.maps)

    return {part: np.stack([correlations(part, seed + i) for i in range(draws)]) for part in PARTS}


def randomized_explainer_factory(classifier: Classifier, method: str) -> Callable[[Part, int], Explainer]:
    """Make explainers of a model with newly drawn weights, on the same engine.

    Parameters
    ----------
    classifier : Classifier
        The model; its file is read again for the graph.
    method : str
        As for :func:`swath.explain.evidence.explainer`.

    Returns
    -------
    callable
        Given a part of the layers and a seed, makes the explainer.
    """
    file = read_model(classifier.path)

    def make(part: Part, seed: int) -> Explainer:
        graph = randomized(file.graph, part, seed=seed)
        other = Classifier(ModelFile(file.record, graph, file.path), classifier.same_engine(graph))
        return explainer(other, method)

    return make


def randomized(graph: onnx.ModelProto, part: Part, *, seed: int) -> onnx.ModelProto:
    """Draw the weights of the uppermost layers again: normal about 0, with each layer's own spread.

    Parameters
    ----------
    graph : onnx.ModelProto
        A whole model; it is not changed.
    part : str
        ``head`` is the last layer, ``upper half`` the last half of them (the head among them), ``all`` all.
    seed : int
        Seed of the draws.

    Raises
    ------
    ModelFileError
        If the graph stores no weights of layers.
    """
    other = onnx.ModelProto()
    other.CopyFrom(graph)
    stored = {tensor.name: tensor for tensor in other.graph.initializer}
    inputs = [name for node in other.graph.node if node.op_type in _LAYERS for name in node.input[:2]]
    layers = [name for name in dict.fromkeys(inputs) if name in stored and len(stored[name].dims) > 1]
    if not layers:
        raise ModelFileError("the model stores no weights of layers, so none can be drawn again")
    rng = np.random.default_rng(seed)
    for name in layers[-layers_of(part, len(layers)) :]:
        weight = numpy_helper.to_array(stored[name])
        drawn = rng.normal(0, weight.std(), weight.shape).astype(weight.dtype)
        stored[name].CopyFrom(numpy_helper.from_array(drawn, name))
    return other


def layers_of(part: Part, layers: int) -> int:
    """How many of `layers`, counted from the top, belong to a part."""
    return {"head": 1, "upper half": -(-layers // 2), "all": layers}[part]


def rank_correlation(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Spearman's rank correlation of maps ``[N, h, w]``, pair by pair; 0 where one of them is flat."""
    one, two = (_ranks(maps.reshape(len(maps), -1)) for maps in (first, second))
    one, two = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, two))
    scale = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.asarray((one * two).sum(axis=1) / np.where(scale > 0, scale, 1))


def _ranks(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Ranks within each row; equal values share the mean of their ranks."""
    ranks = np.empty(values.shape)
    for row, out in zip(values, ranks, strict=True):
        _, place, count = np.unique(row, return_inverse=True, return_counts=True)
        out[...] = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranks


@dataclass(frozen=True)
class Composites:
    """Pictures of four quadrants, one of them of the target class.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]``.
    numbers : numpy.ndarray
        ``[N]`` int64, the target class.
    quadrants : numpy.ndarray
        ``[N]`` int64, quadrant of the target class: 0 upper left, 1 upper right, 2 lower left, 3 lower right.
    """

    pixels: npt.NDArray[Any]
    numbers: npt.NDArray[np.int64]
    quadrants: npt.NDArray[np.int64]


def composites(
    pixels: npt.NDArray[Any], labels: npt.NDArray[np.int64], *, count: int, variant: Variant = "crops", seed: int = 0
) -> Composites:
    """Make composites of four patches at the size of one, the model's own.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[M, bands, S, S]``, the patches, S even.
    labels : numpy.ndarray
        ``[M]`` int64, their classes.
    count : int
        Number of composites; every patch is the target once before any is again.
    variant : str
        ``crops`` takes the middle of every patch, a quarter of its area, at its own ground resolution.
        ``shrunk`` takes whole patches at half their resolution, which the network was not trained at.
    seed : int
        Of the other patches and the quadrants.

    Raises
    ------
    DataError
        If the patches are of one class only, or have an odd side.
    """
    side = pixels.shape[-1]
    if len(np.unique(labels)) < 2:
        raise DataError("composites need patches of two classes or more", fix="check the map on other patches")
    if side % 2 or pixels.shape[-2] != side:
        raise DataError(f"patches of {pixels.shape[-2]} x {side} pixels cannot be quartered")
    half, quarter = side // 2, side // 4
    rng = np.random.default_rng(seed)
    targets = np.resize(rng.permutation(len(pixels)), count)
    quadrants = rng.integers(0, 4, count)
    made = np.empty((count, *pixels.shape[1:]), pixels.dtype)
    for i, (row, quadrant) in enumerate(zip(targets, quadrants, strict=True)):
        others = iter(rng.choice(np.flatnonzero(labels != labels[row]), 3).tolist())
        for place in range(4):
            patch = pixels[int(row) if place == quadrant else next(others)]
            small = (
                patch[:, quarter : quarter + half, quarter : quarter + half]
                if variant == "crops"
                else resize(patch, half)
            )
            top, left = half * (place // 2), half * (place % 2)
            made[i, :, top : top + half, left : left + half] = small
    return Composites(made, labels[targets], quadrants)


def share_inside(
    maps: npt.NDArray[np.float32], quadrants: npt.NDArray[np.int64], *, side: int
) -> npt.NDArray[np.float64]:
    """Share of each map's positive mass that lies in its quadrant.

    Parameters
    ----------
    maps : numpy.ndarray
        ``[N, h, w]`` float32, on the network's own grid.
    quadrants : numpy.ndarray
        ``[N]`` int64, as in :class:`Composites`.
    side : int
        Side of the pictures, pixels: maps are interpolated to it as they are drawn.

    Returns
    -------
    numpy.ndarray
        ``[N]`` float64, 0-1; 0 where nothing is positive.
    """
    heat = np.maximum(upsample(maps, height=side, width=side), 0).astype(np.float64)
    half = side // 2
    quartered = heat[:, : 2 * half, : 2 * half].reshape(len(heat), 2, half, 2, half).sum(axis=(2, 4))
    mass = quartered.reshape(len(heat), 4)
    total = mass.sum(axis=1)
    inside = mass[np.arange(len(mass)), quadrants]
    return np.asarray(inside / np.where(total > 0, total, 1))
