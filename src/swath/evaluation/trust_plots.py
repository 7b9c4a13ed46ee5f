"""The picture of calibration and of selective accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from swath.evaluation.calibration import Calibration
from swath.evaluation.selective import risk_coverage
from swath.explain.figures import save
from swath.files import atomic_file

_INK, _ACCENT, _SOFT = "#1d2a33", "#1f6f8b", "#8a98a1"


def trust_picture(
    path: Path,
    calibration: Calibration,
    right: npt.NDArray[np.bool_],
    confidence: npt.NDArray[Any],
    *,
    overwrite: bool = False,
) -> None:
    """Draw the reliability diagram, and the risk-coverage curve beside it.

    Parameters
    ----------
    path : Path
        The PNG to write.
    calibration : Calibration
        Of a model.
    right, confidence : numpy.ndarray
        ``[N]``: whether each answer is right, and how sure it was.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If `path` exists without `overwrite` or cannot be written.
    """
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, other = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    most = max(1, *(b.observed.n for b in calibration.bins))
    for one in calibration.bins:
        if one.observed.n:
            share = one.observed.n / most
            left.bar(one.low, 0.12 * share, width=one.high - one.low, align="edge", color="#e3e8eb", zorder=0)
            left.plot(
                [one.stated] * 2, [one.observed.low, one.observed.high], color=_SOFT, linewidth=4, alpha=0.5
            )
            left.plot(one.stated, one.observed.value, "o", color=_ACCENT, markersize=5)
    left.set_ylim(-0.01, 1.02)
    _finish(
        left, f"stated probability (grey: how many); ECE {calibration.ece.value:.4f}", "share that came true"
    )
    coverage, risk = risk_coverage(right, confidence)
    other.plot(coverage, 100 * risk, color=_ACCENT, linewidth=1.8)
    other.axhline(100 * float(risk[-1]), color=_SOFT, linewidth=1, linestyle=(0, (4, 3)))
    other.set_ylim(bottom=0)
    _finish(other, "share of answers kept, surest first", "% of them wrong (dashed: of all)")
    with atomic_file(path, overwrite=overwrite) as temporary:
        save(figure, temporary, dpi=130)


def _finish(axis: Axes, across: str, up: str) -> None:
    axis.set_xlim(-0.01, 1.01)
    axis.set_xlabel(across, color=_INK, fontsize=9)
    axis.set_ylabel(up, color=_INK, fontsize=9)
    axis.tick_params(length=0, labelsize=8)
    axis.grid(color="#e3e8eb")
    axis.set_axisbelow(True)
    axis.spines[:].set_visible(False)
