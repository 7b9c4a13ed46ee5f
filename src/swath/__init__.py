"""swath: labeled satellite patches to a classifier you can trust, and on to a georeferenced land map.

The names below are the whole face of the package; each is imported when it is first used, so that
``import swath`` is instant and only `Recipe`, `load_recipe` and `train` need the ``train`` extra.

>>> import numpy as np
>>> import swath
>>> classifier = swath.load("eurosat")
>>> classifier.predict(np.full((64, 64, 3), (35, 70, 110), np.uint8)).labels
['SeaLake']
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would take longer than all the rest
if TYPE_CHECKING:
    from swath.data import PatchIndex, build_index, read_index, split_index
    from swath.errors import SwathError
    from swath.evaluation import evaluate
    from swath.inference import Classifier, Predictions, load
    from swath.mapping import map_scene
    from swath.training import Recipe, load_recipe
    from swath.training.train import train

__version__ = "0.1.0"
__all__ = [
    "Classifier",
    "PatchIndex",
    "Predictions",
    "Recipe",
    "SwathError",
    "__version__",
    "build_index",
    "evaluate",
    "load",
    "load_recipe",
    "map_scene",
    "read_index",
    "split_index",
    "train",
]

_ROOMS = {
    "swath.data": ("PatchIndex", "build_index", "read_index", "split_index"),
    "swath.errors": ("SwathError",),
    "swath.evaluation": ("evaluate",),
    "swath.inference": ("Classifier", "Predictions", "load"),
    "swath.mapping": ("map_scene",),
    "swath.training": ("Recipe", "load_recipe", "train"),
}

if not TYPE_CHECKING:  # type checkers see the imports above, and no other names

    def __getattr__(name):
        """Import a public name on first use."""
        from importlib import import_module

        room = next((room for room, names in _ROOMS.items() if name in names), None)
        if room is None:
            raise AttributeError(f"module 'swath' has no attribute '{name}'")
        try:
            value = getattr(import_module(room), name)
        except ModuleNotFoundError as error:
            if room != "swath.training" or (error.name or "").startswith("swath"):
                raise
            from swath.errors import MissingExtraError

            raise MissingExtraError(f"swath.{name}", extra="train") from error
        return globals().setdefault(name, value)

    def __dir__():
        """Every public name; those for training only where torch is installed, so that help works without."""
        from importlib.util import find_spec

        absent = () if find_spec("torch") else _ROOMS["swath.training"]
        return sorted({*globals(), *__all__} - set(absent))
