"""swath: labeled satellite patches to a classifier you can trust, and on to a georeferenced land map.

>>> import swath
>>> classifier = swath.load("eurosat")  # doctest: +SKIP
>>> classifier.predict(["patch.jpg"]).labels  # doctest: +SKIP
['Forest']
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swath.inference import Classifier, Predictions, load

__version__ = "0.1.0"
__all__ = ["Classifier", "Predictions", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Load the public names on first use, so that ``import swath`` stays instant."""
    if name in {"Classifier", "Predictions", "load"}:
        from swath import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'swath' has no attribute '{name}'")
