"""How long a map takes and how much memory, measured in a moment before a long run."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from swath.inference import Classifier, load
from swath.mapping.grid import Grid, make_grid
from swath.mapping.reader import Scene, open_scene
from swath.mapping.strips import Strip, piece_rows
from swath.mapping.windows import Windows, default_stride, make_windows, window_work, within_seconds
from swath.mapping.writer import PREVIEW, tile_rows
from swath.model import read_model

LONG = 30.0  # seconds from which on a run is worth a line before it
_PIECES = 4  # one that is read, one that waits, one that is held and the two joined for the next strip


@dataclass(frozen=True)
class MapEstimate:
    """What a map takes.

    Attributes
    ----------
    seconds : float
        Time to classify all windows. Those without data are not classified, and cost nothing.
    memory : int
        Bytes, of the whole process.
    windows : int
        How many are laid.
    stride : int
        Pixels from one to the next.
    """

    seconds: float
    memory: int
    windows: int
    stride: int


def estimate_map(
    model: Classifier | str | Path,
    scene: Any,
    *,
    stride: int | None = None,
    min_area: bool = False,
    dense: bool | None = None,
    batch_size: int = 1024,
    clock: Callable[[], float] = time.perf_counter,
) -> MapEstimate | None:
    """Estimate what a map takes, from some windows that are classified twice, of which the second time counts.

    Parameters
    ----------
    model, scene, stride, dense, batch_size
        As for :func:`swath.map_scene`, whose map is kept in files.
    min_area : bool
        Whether there will be a minimum mapping unit.
    clock : callable
        Gives the time in seconds.

    Returns
    -------
    MapEstimate or None
        None for a map of few seconds, by the operations of the network: then nothing is measured.

    Raises
    ------
    DataError
        If the scene cannot be read.
    SettingError
        If an option does not fit the model or the scene.

    Examples
    --------
    >>> estimate_map("eurosat", np.zeros((3, 128, 192), np.uint8)) is None
    True
    """
    classifier = model if isinstance(model, Classifier) else load(model)
    file = read_model(classifier.path)
    with open_scene(scene) as opened:
        shape = opened.height, opened.width
        stride = default_stride(classifier, *shape) if stride is None else stride
        grid = make_grid(*shape, patch=file.record.input.size, stride=stride)
        if within_seconds(file, window_work(classifier, file, grid)):
            return None
        windows = make_windows(classifier, grid, batch_size=batch_size, dense=dense)
        rows, columns = windows.probe()
        spec = file.record.input
        size = grid.rows.span(rows), grid.cols.span(columns)
        noise = np.random.default_rng(0).integers(1, 200, (len(spec.bands), *size)).astype(spec.data_type)
        strip = Strip(0, rows, 0, noise, np.ones(size, bool))
        held = np.ones((rows, columns), bool)
        windows.classify(strip, held)  # the first time engines prepare themselves
        began = clock()
        windows.classify(strip, held)
        each = (clock() - began) / held.size
        memory = _peak() + _buffers(opened, grid, windows, len(spec.bands), spec.data_type, min_area=min_area)
    return MapEstimate(each * grid.windows, memory, grid.windows, grid.stride)


def _peak() -> int:
    """Bytes that this process has held at most so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _buffers(scene: Scene, grid: Grid, windows: Windows, bands: int, dtype: str, *, min_area: bool) -> int:
    """Bytes of the rows of a scene and its map that are in hand at a time."""
    across = scene.width * (bands * np.dtype(dtype).itemsize + 1)
    strip = grid.rows.span(windows.rows) * across
    pieces = _PIECES * max(piece_rows(scene, bands) * across, strip)
    tiles = 4 * 2 * tile_rows(scene.width) * scene.width  # of four layers, with their overviews
    shown = min(PREVIEW, max(scene.height, scene.width)) ** 2 * (4 * bands + 8)
    return pieces + tiles + shown + (6 * scene.height * scene.width if min_area else 0)
