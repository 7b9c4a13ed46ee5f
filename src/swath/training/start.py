"""Where a run starts: a network with random or loaded weights, and the normalisation its input needs."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from swath.networks import build_network
from swath.progress import Progress, silent
from swath.training.batches import Normalisation
from swath.training.recipe import Freezing, Recipe
from swath.weights import WeightFacts, check_expectation, load_weights

_log = logging.getLogger("swath")


@dataclass(frozen=True)
class Start:
    """A network before its first step.

    Attributes
    ----------
    network : torch.nn.Module
        Maps normalised patches to :class:`swath.networks.Outputs`.
    normalisation : Normalisation
        That of the training patches, or the one the loaded weights were trained with.
    facts : WeightFacts or None
        What was loaded.
    """

    network: nn.Module
    normalisation: Normalisation
    facts: WeightFacts | None


def make_start(
    pixels: npt.NDArray[Any],
    recipe: Recipe,
    *,
    logits: int,
    ship: bool = False,
    progress: Progress = silent,
) -> Start:
    """Build the recipe's network, seeded, and load its weights.

    Parameters
    ----------
    pixels : numpy.ndarray
        Training patches ``[N, bands, P, P]`` as stored.
    recipe : Recipe
        Network, weights and seed.
    logits : int
        Outputs of the network.
    ship : bool
        Refuse weights whose licence does not let the model be passed on.

    Raises
    ------
    SwathError
        If the weights are not to be had, do not fit the network, or expect another input.
    """
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, bands=pixels.shape[1], outputs=logits, size=pixels.shape[-1]).to(
        memory_format=torch.channels_last
    )
    measured = Normalisation.of(pixels)
    if recipe.weights == "none":
        if recipe.freeze != Freezing():
            _log.warning(
                "the backbone starts at random, and the recipe lets it rest or learn more slowly: "
                "give --weights, or --set 'freeze={}'"
            )
        return Start(network, measured, None)
    facts = load_weights(
        network, recipe.weights, network_name=recipe.network.name, bands=recipe.bands, progress=progress
    )
    if ship:
        facts.check_shipping()
    if facts.warning is not None:
        _log.warning(facts.warning)
    if facts.expects is None:
        _log.warning(
            "%s does not say what input it expects: that of the training patches is used", facts.source
        )
        return Start(network, measured, facts)
    check_expectation(
        facts.expects,
        bands=recipe.bands,
        data_type=pixels.dtype.name,
        largest=float(max(pixels[start : start + 1024].max() for start in range(0, len(pixels), 1024))),
        channel_mean=tuple(float(v) for v in measured.mean),
        source=facts.source,
    )
    mean, sd = (np.asarray(v, np.float32) for v in facts.expects.normalisation(recipe.bands))
    return Start(network, Normalisation(mean, sd), facts)
