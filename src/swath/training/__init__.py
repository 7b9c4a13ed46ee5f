"""Training: an index and a recipe in, a run folder with a model file out. Torch lives here only.

``load_recipe`` reads a shipped recipe or a YAML file; ``train`` runs it. Needs the ``train`` extra.
"""

from __future__ import annotations

from swath.training.recipe import Recipe, load_recipe, recipe_names
from swath.training.train import TrainResult, train

__all__ = ["Recipe", "TrainResult", "load_recipe", "recipe_names", "train"]
