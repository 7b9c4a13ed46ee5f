"""Which patches a second opinion is asked on: those where the classifier is unsure, by one rule."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, SettingError
from swath.evaluation.calibration import prediction_sets
from swath.inference.predictions import Predictions
from swath.model import Record

BELOW = 0.9  # confidence below which a model without prediction sets is unsure


def check_task(record: Record) -> None:
    """Refuse a model whose answer is not one class per image.

    Raises
    ------
    DataError
        If it gives several labels.
    """
    if record.task == "multi-label":
        raise DataError(
            f"model '{record.name}' gives several labels per image, and an opinion is one class",
            fix="use a model with one label per image",
        )


def unsure_rows(record: Record, predictions: Predictions, *, below: float | None = None) -> npt.NDArray[np.bool_]:
    """Where a classifier is unsure, or a patch is unlike its training data.

    It is unsure where the prediction set of its model file, at the largest coverage there is, holds no class or
    several; or, with `below` or where the file has no such sets, where its confidence is lower.

    Parameters
    ----------
    record : Record
        Of the classifier.
    predictions : Predictions
        Of N patches.
    below : float, optional
        A confidence to use in place of the prediction sets, 0-1.

    Returns
    -------
    numpy.ndarray
        ``[N]`` bool.

    Raises
    ------
    SettingError
        If `below` is not between 0 and 1.
    """
    if below is not None and not 0 < below <= 1:
        raise SettingError(f"--below {below}", fix="give a confidence above 0 and at most 1, as in --below 0.9")
    if below is None and record.conformal:
        sets = prediction_sets(predictions.probabilities, record.conformal[max(record.conformal)])
        unsure = sets.sum(axis=1) != 1
    else:
        unsure = predictions.confidence < (BELOW if below is None else below)
    return np.asarray(unsure if predictions.is_ood is None else unsure | predictions.is_ood)


def unsure_rule(record: Record, *, below: float | None = None, detects_ood: bool) -> str:
    """The rule in words.

    >>> import swath
    >>> unsure_rule(swath.load("eurosat").record, detects_ood=True)
    'its 95 % prediction set does not hold exactly one class, or the patch is unlike the training data'
    """
    if below is None and record.conformal:
        rule = f"its {100 * float(max(record.conformal)):g} % prediction set does not hold exactly one class"
    else:
        rule = f"its confidence is below {BELOW if below is None else below:g}"
    return f"{rule}, or the patch is unlike the training data" if detects_ood else rule
