"""Classify the windows of a strip: patch by patch, or all at once where the network allows it.

A network without padding can be run over many windows at once and gives exactly what it gives for each of
them (:mod:`swath.model.dense`), at every multiple of its total stride. Other strides take several passes,
each of them shifted by some pixels. Which way is faster follows from how many pixels pass through the
network: a window costs ``patch x patch`` of them by itself and ``passes x stride x stride`` densely. So
windows are classified densely where twice the latter is not more than the former; both give the same map, and mark
the same windows as unlike the training data.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from swath.errors import ModelFileError, SettingError
from swath.inference import Classifier
from swath.inference.engines import Engine
from swath.inference.ood import NEEDED
from swath.mapping.grid import Grid, make_grid
from swath.mapping.strips import Strip
from swath.model import ModelFile, read_model
from swath.model.cost import measure_cost
from swath.model.dense import dense_graph, dense_stride

Values = npt.NDArray[np.float32]

# Pixels down and across that the dense network is run over at a time: enough for the overlap of
# neighboring tiles, a patch less a stride, to cost little, and few enough for activations to stay small.
_TALL, _WIDE = 512, 1024
_RESULTS = 32 * 2**20  # bytes that a pass gives, and of probabilities in hand, however small the stride
_FEW_SECONDS = 6e11  # operations: 8 seconds of two cores with AVX2
_HALF_MINUTE = 2.4e12
_PROBED = 64  # windows that show how long one takes
_HELD = 128 * 2**20  # bytes of pixels handed to the engine at a time, however large the windows


class Windows(Protocol):
    """Classifies the windows of strips of up to `rows` rows of windows."""

    rows: int
    dense: bool
    detects_ood: bool

    def classify(self, strip: Strip, held: npt.NDArray[np.bool_]) -> Values:
        """Probabilities ``[rows, windows, K]``, and after them, where `detects_ood`, 1 for a window that is unlike the
        training data and 0 for others; anything where `held` ``[rows, windows]`` is False."""

    def probe(self) -> tuple[int, int]:
        """Rows and columns of windows that are enough to show how fast it is."""


def make_windows(classifier: Classifier, grid: Grid, *, batch_size: int, dense: bool | None = None) -> Windows:
    """Choose how to classify the windows of `grid`.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    grid : Grid
        The windows.
    batch_size : int
        Windows handed to the engine at a time.
    dense : bool, optional
        Ask for one way or the other; by default the faster one.

    Raises
    ------
    ModelFileError
        If the dense way is asked for and the network does not allow it.
    SettingError
        If the dense way is asked for with test-time augmentation.
    """
    step = None
    if dense is not False and classifier.tta == 1:
        file = read_model(classifier.path)
        step = dense_stride(file.graph, size=grid.patch)
    faster = step is not None and dense_is_faster(grid, step)
    if step is None or not (dense or faster):
        if dense and classifier.tta > 1:
            raise SettingError(
                "a dense pass does no test-time augmentation", fix="classify patch by patch, or with --tta 1"
            )
        if dense:
            raise ModelFileError(
                f"model '{classifier.record.name}' cannot be run densely: its network pads its layers",
                fix="classify patch by patch",
            )
        return PatchByPatch(classifier, grid, batch_size=batch_size)
    spacing = math.lcm(step, grid.stride)
    graph = dense_graph(file.graph, size=grid.patch, stride=spacing)
    engine = classifier.same_engine(graph)
    return Dense(classifier, engine, grid, spacing=spacing)


def default_stride(classifier: Classifier, height: int, width: int) -> int:
    """The stride of a map when none is asked for: a quarter of the patch where a dense pass costs little more for it.

    Else it is a quarter of the patch while that takes half a minute of two cores, half of it, or the patch itself: what
    windows between patches add to a map is worth the wait (docs/mapping.md). What it takes is estimated from the
    operations of the network, so that the same scene has the same stride on every machine.
    """
    file = read_model(classifier.path)
    patch = file.record.input.size
    for part in (4, 2):
        grid = make_grid(height, width, patch=patch, stride=max(1, patch // part))
        if _dense_step(classifier, file, grid):
            return grid.stride
        if _operations(file, window_work(classifier, file, grid)) <= _HALF_MINUTE:
            return grid.stride
    return patch


def window_work(classifier: Classifier, file: ModelFile, grid: Grid) -> float:
    """Single windows that cost as much as a map does in the way that :func:`make_windows` chooses for it."""
    step = _dense_step(classifier, file, grid)
    if step is None:
        return float(grid.windows * classifier.tta)
    return dense_passes(grid, step) * grid.rows.length * grid.cols.length / grid.patch**2


def _dense_step(classifier: Classifier, file: ModelFile, grid: Grid) -> int | None:
    """The network's total stride, if it is run densely unless asked otherwise."""
    step = dense_stride(file.graph, size=grid.patch) if classifier.tta == 1 else None
    return step if step is not None and dense_is_faster(grid, step) else None


def within_seconds(file: ModelFile, windows: float) -> bool:
    """Whether so many windows take a few seconds and no more, by the operations of the network."""
    return _operations(file, windows) <= _FEW_SECONDS


def _operations(file: ModelFile, windows: float) -> float:
    spec = file.record.input
    cost = measure_cost(file.graph, (1, len(spec.bands), spec.size, spec.size), where=file.record.name)
    return windows * cost.operations


def dense_passes(grid: Grid, step: int) -> int:
    """Passes over a scene that the dense way takes for a network with a total stride of `step` pixels."""
    return int((step // math.gcd(step, grid.stride)) ** 2)


def dense_is_faster(grid: Grid, step: int) -> bool:
    """Is the dense way faster for a network with a total stride of `step` pixels?"""
    return 2 * dense_passes(grid, step) * grid.stride**2 <= grid.patch**2


def with_data(strip: Strip, grid: Grid) -> npt.NDArray[np.bool_]:
    """Which windows ``[rows, windows]`` of a strip hold any data."""
    patch, stride = grid.patch, grid.stride
    if strip.valid.all():
        return np.ones((strip.windows, grid.cols.windows), bool)
    tops = range(0, strip.windows * stride, stride)
    columns = np.stack([strip.valid[top : top + patch].any(axis=0) for top in tops])
    return np.asarray(sliding_window_view(columns, patch, axis=1)[:, ::stride].any(axis=2), bool)


class PatchByPatch:
    """Cuts every window out and classifies it by itself.

    Parameters
    ----------
    classifier : Classifier
    grid : Grid
        The windows.
    batch_size : int
        Windows handed to the engine at a time; fewer if they are large.
    """

    dense = False

    def __init__(self, classifier: Classifier, grid: Grid, *, batch_size: int) -> None:
        spec = classifier.record.input
        window = grid.patch**2 * len(spec.bands) * np.dtype(spec.data_type).itemsize
        batch_size = max(1, min(batch_size, _HELD // window))
        self._classifier, self._grid, self._batch = classifier, grid, batch_size
        self.detects_ood = classifier.detects_ood
        # Several rows of a narrow scene fill a batch.
        self.rows = min(grid.rows.windows, max(1, batch_size // grid.cols.windows))

    def probe(self) -> tuple[int, int]:
        """As :class:`Windows` says: several of the engine's own batches."""
        return 1, min(self._grid.cols.windows, self._batch, _PROBED)

    def classify(self, strip: Strip, held: npt.NDArray[np.bool_]) -> Values:
        """As :class:`Windows` says; 0 where `held` ``[rows, windows]`` is False."""
        patch, stride = self._grid.patch, self._grid.stride
        # Views of the strip, no copies: [rows, windows, bands, patch, patch].
        view = sliding_window_view(strip.pixels, (patch, patch), axis=(1, 2))[:, ::stride, ::stride]
        windows = view.transpose(1, 2, 0, 3, 4)
        classes = len(self._classifier.record.classes)
        values = np.zeros((*held.shape, classes + self.detects_ood), np.float32)
        rows, columns = np.nonzero(held)
        for start in range(0, len(rows), self._batch):
            part = (rows[start : start + self._batch], columns[start : start + self._batch])
            answers = self._classifier.answer(windows[part])
            values[(*part, slice(classes))] = answers.probabilities
            if answers.is_ood is not None:
                values[(*part, classes)] = answers.is_ood
        return values


class Dense:
    """Runs a dense graph over tiles of many windows.

    Parameters
    ----------
    classifier : Classifier
        Whose model it is.
    engine : Engine
        Runs a graph of :func:`swath.model.dense.dense_graph`.
    grid : Grid
        The windows.
    spacing : int
        Pixels from one window to the next in one pass: the stride the graph was made for.
    """

    dense = True

    def __init__(self, classifier: Classifier, engine: Engine, grid: Grid, *, spacing: int) -> None:
        self._classifier, self._engine, self._grid, self._spacing = classifier, engine, grid, spacing
        self.detects_ood = classifier.detects_ood
        self._wanted = ("probabilities", *(NEEDED if self.detects_ood else ()))
        self._classes, self._every = len(classifier.record.classes), spacing // grid.stride
        room = max(1, _RESULTS // (4 * self._classes * grid.cols.windows))
        self.rows = self._even(grid.rows.windows, most=min(max(1, _TALL // grid.stride), room))
        # What a pass gives for a window, its features above all, is held for as many windows as there is room for.
        outputs = sum(classifier.head[0].shape) if self.detects_ood and classifier.head is not None else 0
        across = _RESULTS // (4 * (self._classes + outputs) * math.ceil(self.rows / self._every))
        self._columns = self._even(grid.cols.windows, most=max(1, min(_WIDE // grid.stride, across * self._every)))

    def probe(self) -> tuple[int, int]:
        """As :class:`Windows` says: a tile."""
        return self.rows, min(self._columns, self._grid.cols.windows)

    def classify(self, strip: Strip, held: npt.NDArray[np.bool_]) -> Values:
        """As :class:`Windows` says; 0 in tiles without any data."""
        rows, columns = held.shape
        values = np.zeros((rows, columns, self._classes + self.detects_ood), np.float32)
        every, width = self._every, min(self._columns, columns)
        for left in range(0, columns, width):
            # The last tile begins early enough to be as wide as the others: engines like one shape.
            first = min(left, columns - width)
            if not held[:, first : first + width].any():
                continue
            for down in range(min(every, rows)):
                for across in range(min(every, width)):
                    tile = self._run(strip, range(down, rows, every), range(first + across, first + width, every))
                    values[down::every, first + across : first + width : every] = tile
        return values

    def _run(self, strip: Strip, rows: range, columns: range) -> Values:
        """One pass over the windows in these rows and columns."""
        patch, stride = self._grid.patch, self._grid.stride
        part = np.s_[
            :, rows[0] * stride : rows[-1] * stride + patch, columns[0] * stride : columns[-1] * stride + patch
        ]
        pixels: npt.NDArray[Any] = np.ascontiguousarray(strip.pixels[part])
        found = {name: maps[0] for name, maps in self._engine.run(pixels[None], self._wanted).items()}
        values = [found["probabilities"]]
        if self.detects_ood:
            ood = self._classifier.ood_windows(pixels, *(found[name] for name in NEEDED), stride=self._spacing)
            values.append(ood[None].astype(np.float32))
        return np.moveaxis(np.concatenate(values), 0, -1)

    def _even(self, windows: int, *, most: int) -> int:
        """Windows of a tile, a multiple of the passes, so that tiles are few and nearly as large as each other."""
        share = math.ceil(windows / math.ceil(windows / most))
        return min(windows, math.ceil(share / self._every) * self._every)
