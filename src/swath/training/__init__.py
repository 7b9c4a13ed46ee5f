"""Training: an index and a recipe in, a run folder with a model file out. Torch lives here only.

``load_recipe`` reads a shipped recipe or a YAML file, ``recipe_for`` names the one that suits an index; ``train`` runs
it. Needs the ``train`` extra.
"""

from __future__ import annotations

from swath.training.budget import parse_duration
from swath.training.plan import RecipeChoice, choose_recipe, recipe_for
from swath.training.recipe import Recipe, load_recipe, recipe_names
from swath.training.train import TrainResult, train

__all__ = [
    "Recipe",
    "RecipeChoice",
    "TrainResult",
    "choose_recipe",
    "load_recipe",
    "parse_duration",
    "recipe_for",
    "recipe_names",
    "train",
]
