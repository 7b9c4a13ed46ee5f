"""Does a map depend on what the network learned? Forget it, and look whether the map notices.

The model parameter randomization test of Adebayo, Gilmer, Muelly, Goodfellow, Hardt and Kim 2018, "Sanity
checks for saliency maps" (NeurIPS), section 3.1: weights are drawn again from the top of the network
downwards, and the map of the same class is compared with the map before by rank correlation. A map that
stays alike shows edges of the picture, not reasons of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from swath.errors import ModelFileError
from swath.explain.methods import Explainer, explainer
from swath.inference import Classifier
from swath.model import ModelFile

Part = Literal["head", "upper half", "all"]

PARTS: tuple[Part, ...] = ("head", "upper half", "all")
DRAWS = 8
# Operators whose second input is what a network learned of connections; norms and biases are left as they are.
_LAYERS = {"Conv", "Gemm", "MatMul"}


@dataclass(frozen=True)
class RandomizationResult:
    """How alike maps are before and after some layers forgot what they learned.

    Attributes
    ----------
    part : str
        What was drawn again: ``head``, ``upper half`` or ``all`` of the layers.
    correlations : numpy.ndarray
        ``[draws, N]`` float64, Spearman's rank correlation between the two maps of each picture, -1 to 1.
    """

    part: Part
    correlations: npt.NDArray[np.float64]


def weight_randomization(
    explain: Explainer,
    randomized_explainer: Callable[[Part, int], Explainer],
    pixels: npt.NDArray[Any],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[RandomizationResult, ...]:
    """Compare the maps of a network with those of the same network after it forgot.

    One draw decides little: random weights can agree with the learned ones on all pictures at once, or
    disagree on all. So there are several, and it is their mean that should be near 0.

    Parameters
    ----------
    explain : callable
        Makes the maps of the network as it is.
    randomized_explainer : callable
        Given a part and a seed, makes the maps of the network with that part drawn again.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    draws : int
        How often each part is drawn.
    seed : int
        Of the first draw.

    Returns
    -------
    tuple of Randomized
        The head alone, the upper half of the layers, all of them.
    """
    before = explain(pixels)
    found = []
    for part in PARTS:
        rows = [
            rank_correlation(
                before.maps, randomized_explainer(part, seed + i)(pixels, classes=before.explained).maps
            )
            for i in range(draws)
        ]
        found.append(RandomizationResult(part, np.stack(rows)))
    return tuple(found)


def randomized_explainer_factory(
    classifier: Classifier, file: ModelFile, method: str
) -> Callable[[Part, int], Explainer]:
    """Make explainers of a model file whose weights were drawn again.

    Parameters
    ----------
    classifier : Classifier
        The model as loaded: the others run on the same engine.
    file : ModelFile
        The same model, with its graph.
    method : str
        As for :func:`swath.explain.methods.explainer`.
    """

    def make(part: Part, seed: int) -> Explainer:
        graph = randomized(file.graph, part, seed=seed)
        other = Classifier(ModelFile(file.record, graph, file.path), classifier.same_engine(graph))
        return explainer(other, method)

    return make


def randomized(graph: onnx.ModelProto, part: Part, *, seed: int) -> onnx.ModelProto:
    """Draw the weights of the uppermost layers anew: normal about 0, with each layer's own spread.

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
        raise ModelFileError("the model stores no weights of layers, so they cannot be drawn again")
    rng = np.random.default_rng(seed)
    for name in layers[-layers_of(part, len(layers)) :]:
        weight = numpy_helper.to_array(stored[name])
        drawn = rng.normal(0, weight.std(), weight.shape).astype(weight.dtype)
        stored[name].CopyFrom(numpy_helper.from_array(drawn, name))
    return other


def layers_of(part: Part, layers: int) -> int:
    """How many of `layers`, counted from the top, belong to a part."""
    return {"head": 1, "upper half": -(-layers // 2), "all": layers}[part]


def rank_correlation(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
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
