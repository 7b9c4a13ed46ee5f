"""Which fields of a recipe a search may change, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from swath.config import validate
from swath.networks.settings import OWN
from swath.training.recipe import Recipe

Value = float | int | bool
CROP = "augmentation.crop"  # on or off; its side stays the recipe's
_RATE = 5.0  # how far rates may go either way, as a factor


def search_space(recipe: Recipe) -> dict[str, BaseDistribution]:
    """The fields worth searching around a recipe, few enough for some dozens of trials.

    Every range holds the recipe's own value. What decides how long an epoch takes or what the result is for (the
    network, its size, batch, epochs, bands, loss) stays as it is.
    """
    optimiser, augmentation = recipe.optimiser, recipe.augmentation
    at_rest = recipe.freeze.epochs == "all"
    space: dict[str, BaseDistribution] = {"optimiser.lr": _around(optimiser.lr)}
    if optimiser.name == "muon":
        space["optimiser.other_lr"] = _around(optimiser.other_lr)
    else:
        usual = 0.1 if optimiser.name == "adamw" else 1e-3
        space["optimiser.weight_decay"] = FloatDistribution(0.0, max(usual, 2 * optimiser.weight_decay))
    if optimiser.name in ("muon", "sgd"):
        momentum = optimiser.momentum
        space["optimiser.momentum"] = FloatDistribution(min(0.4, momentum), max(0.95, momentum))
    if recipe.loss.name != "focal":
        smoothing = recipe.loss.label_smoothing
        space["loss.label_smoothing"] = FloatDistribution(0.0, max(0.2, smoothing))
    if recipe.network.name not in OWN or recipe.network.dropout:
        space["network.dropout"] = FloatDistribution(0.0, max(0.5, recipe.network.dropout))
    if recipe.weights != "none" and not at_rest:
        space["freeze.backbone_rate"] = FloatDistribution(min(0.05, recipe.freeze.backbone_rate), 1, log=True)
    if not at_rest:  # features of a backbone at rest are computed once, of patches as they are
        space["augmentation.shift"] = IntDistribution(0, min(64, max(8, 2 * augmentation.shift)))
        if augmentation.crop is not None:
            space[CROP] = CategoricalDistribution([True, False])
        if augmentation.sensor:
            space["augmentation.sensor"] = FloatDistribution(0.0, 1.0)
    return space


def start_values(recipe: Recipe, space: Mapping[str, BaseDistribution]) -> dict[str, Value]:
    """The recipe's own values of the fields of a space."""
    values: dict[str, Value] = {}
    for field in space:
        group, _, name = field.partition(".")
        value = getattr(getattr(recipe, group), name)
        values[field] = value is not None if field == CROP else value
    return values


def with_values(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """The recipe with other values in these fields; numbers to four digits, so that they can be read."""
    plain: dict[str, Any] = recipe.model_dump(mode="json")
    own = start_values(recipe, dict.fromkeys(values, FloatDistribution(0, 1)))
    for field, value in values.items():
        group, _, name = field.partition(".")
        if value == own[field]:
            continue
        if field == CROP:
            plain[group][name] = None
        else:
            plain[group][name] = float(f"{value:.4g}") if isinstance(value, float) else value
    return validate(Recipe, plain, where=f"recipe {recipe.name}")


def _around(rate: float) -> FloatDistribution:
    return FloatDistribution(rate / _RATE, rate * _RATE, log=True)
