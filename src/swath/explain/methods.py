"""Ways to map the evidence for a class from a model file alone, by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy.typing as npt

from swath.errors import SettingError
from swath.explain.cam import Evidence, class_evidence
from swath.explain.occlusion import occlusion_evidence
from swath.inference import Classifier

METHODS = ("cam", "occlusion")


class Explainer(Protocol):
    """Maps the evidence in pictures, whatever the method."""

    def __call__(self, pixels: npt.NDArray[Any], *, classes: Sequence[str] | None = None) -> Evidence:
        """Explain pixels ``[N, bands, H, W]``: the classes named, or by default the predicted ones."""


def explainer(classifier: Classifier, method: str = "cam") -> Explainer:
    """Give the way to make maps that has this name.

    Raises
    ------
    SettingError
        If there is no such method.
    """
    if method == "cam":
        return partial(class_evidence, classifier)
    if method == "occlusion":
        return partial(occlusion_evidence, classifier)
    raise SettingError(
        f"there is no way to explain called '{method}'", fix=f"use one of {', '.join(METHODS)} or grad-cam"
    )
