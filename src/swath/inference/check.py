"""The export check's torch-free half: does a model file still give what it gave when it was written?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath.errors import ModelFileError
from swath.inference.choice import AUTO, engine_for
from swath.inference.classifier import Classifier
from swath.model import read_model
from swath.model.file import is_sealed
from swath.model.record import Record, label_mask, margins

# Products in bf16 move probabilities: twice as far as the export check saw on many more patches is still the same
# model. Models that record no such figure get what the shipped ones stay well within.
_BF16_SLACK, _BF16_TOLERANCE = 2.0, 0.1


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes
    ----------
    engine : str
        What ran the graph: engine, precision, threads and batch.
    patches : int
        Reference patches run.
    max_difference : float
        Largest difference of a probability from the stored one.
    tolerance : float
        Largest difference allowed at the precision that ran.
    sealed : bool
        Whether the file can show that its record is as it was written.
    """

    engine: str
    patches: int
    max_difference: float
    tolerance: float
    sealed: bool


def check_model(model: str | Path, *, engine: str = AUTO, threads: int | None = None) -> CheckResult:
    """Validate a model file, the codes of the patches it has seen too, and run its reference patches.

    In fp32 labels must be the stored ones and probabilities within the stored tolerance; in bf16 within
    :func:`bf16_tolerance`, and a label may differ only where the two classes were stored closer than that.
    What a threshold decides may differ only where the stored probability is closer to it than the tolerance.

    Raises
    ------
    ModelFileError
        If the file is not valid, its record was changed, or its probabilities or labels are no longer the stored ones.
    SettingError
        If the engine cannot be used.
    """
    file = read_model(model)
    sealed = is_sealed(file)
    reference = file.record.reference
    try:
        pixels = reference.unpack()
        for seen in file.record.seen:
            seen.check()
    except ValueError as error:
        raise ModelFileError(f"{file.path}: {error}") from error
    wanted = np.array(reference.probabilities, np.float32)
    runner, ran = engine_for(file, engine, threads=threads)
    classifier = Classifier(file, runner)  # predicts as for any other patch
    exact = runner.precision == "fp32"
    tolerance = reference.tolerance if exact else bf16_tolerance(file.record)
    worst = 0.0
    for batch_size in {1, len(pixels)}:
        got = np.concatenate(
            [classifier.answer(pixels[i : i + batch_size]).probabilities for i in range(0, len(pixels), batch_size)]
        )
        difference = float(np.abs(got - wanted).max()) if got.shape == wanted.shape else float("inf")
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
        if worst > tolerance or _moved(got, wanted, file.record, tolerance=tolerance, exact=exact):
            raise ModelFileError(
                f"{file.path} does not give its reference probabilities on {ran} "
                f"(largest difference {worst:.2g}, allowed {tolerance:.2g})",
                fix="the file or the engine is at fault: try another engine, or export the model again",
            )
    return CheckResult(ran, len(pixels), worst, tolerance, sealed)


def bf16_tolerance(record: Record) -> float:
    """How far a probability may move in bf16: twice as far as the export check measured, or 0.1 if it did not."""
    measured = [p.max_difference for p in record.parity if p.precision == "bf16"]
    return max(record.reference.tolerance, _BF16_SLACK * max(measured) if measured else _BF16_TOLERANCE)


def _moved(
    got: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32], record: Record, *, tolerance: float, exact: bool
) -> bool:
    """Whether a label differs from the stored one, though it was not stored within the tolerance."""
    if record.task != "single-label":
        changed = label_mask(record, got) != label_mask(record, wanted)
        return bool((changed & (margins(record, wanted) > tolerance)).any())
    rows = np.arange(len(wanted))
    margin = wanted.max(axis=1) - wanted[rows, got.argmax(axis=1)]
    changed = got.argmax(axis=1) != wanted.argmax(axis=1)
    return bool((changed & (margin >= (0.0 if exact else tolerance))).any())
