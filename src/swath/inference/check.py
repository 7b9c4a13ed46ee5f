"""The gate's torch-free half: does a model file still give what it gave when it was written?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swath.errors import ModelFileError
from swath.inference.engines import make_engine
from swath.model import read_model


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes
    ----------
    engine : str
        What ran the graph.
    patches : int
        Golden patches run.
    max_difference : float
        Largest difference of a probability from the stored one.
    tolerance : float
        Largest difference allowed.
    """

    engine: str
    patches: int
    max_difference: float
    tolerance: float


def check_model(model: str | Path, *, engine: str = "onnxruntime", threads: int | None = None) -> CheckResult:
    """Validate a model file and run its golden patches.

    Raises
    ------
    ModelFileError
        If the file is not valid, or its probabilities or labels are no longer the stored ones.
    """
    file = read_model(model)
    golden = file.record.golden
    try:
        pixels = golden.unpack()
    except ValueError as error:
        raise ModelFileError(f"{file.path}: {error}") from error
    wanted = np.array(golden.probabilities, np.float32)
    runner = make_engine(engine, file.graph, threads=threads)
    worst = 0.0
    for batch in {1, len(pixels)}:
        got = np.concatenate(
            [
                runner.run(pixels[i : i + batch], ("probabilities",))["probabilities"]
                for i in range(0, len(pixels), batch)
            ]
        )
        difference = float(np.abs(got - wanted).max()) if got.shape == wanted.shape else float("inf")
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
        if worst > golden.tolerance or (got.argmax(1) != wanted.argmax(1)).any():
            raise ModelFileError(
                f"{file.path} does not give its golden probabilities on {runner.name} "
                f"(largest difference {worst:.2g}, allowed {golden.tolerance:.2g})",
                fix="the file or the engine is at fault: try another engine, or export the model again",
            )
    return CheckResult(runner.name, len(pixels), worst, golden.tolerance)
