"""Read a scene once, from top to bottom, and cut the strips under the rows of windows from memory.

On the way values become those that the model takes, by one line per band. Statistics of them are collected
as each row goes by. Strips overlap as windows do; pieces of the scene that several of them need are held until the last
one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery.rescaling import Rescaling
from swath.inference.rescale import Asked, RescaleDecision, Sample, decide_rescale, read_rescale
from swath.mapping.grid import Grid
from swath.mapping.reader import Scene, likely_range
from swath.model.record import InputSpec

_PIECE = 24 * 2**20  # bytes read at a time, where the scene's blocks allow it
_TALLEST = 96 * 2**20  # blocks of more than this are taken in parts, from GDAL's cache
# A sample is 8 x 8 squares of 128 pixels: all of a small scene, and few of the blocks of a large one.
_SQUARES, _SQUARE = 8, 128
# Rescaled pixels of which nothing can be seen: reflectance in percent, rescaled as if it were in ten thousandths, ends
# here, and dark water does not.
_DARKEST, _NEARLY_ALL = 6, 0.95
_EVERY = 4  # every fourth pixel each way says enough about a mean


@dataclass(frozen=True)
class Piece:
    """Neighboring rows of a scene, mirrored to the left and right.

    Attributes
    ----------
    start : int
        First row.
    pixels : numpy.ndarray
        ``[bands, rows, columns]`` in the model's data type; columns from the first window's to the last's.
    valid : numpy.ndarray
        bool ``[rows, columns]``, False where there is no data.
    """

    start: int
    pixels: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Strip:
    """The pixels under some neighboring rows of windows.

    Attributes
    ----------
    first, windows : int
        The first of the rows of windows, and how many there are.
    start : int
        Row of the scene at which the strip starts; negative before its first row.
    pixels : numpy.ndarray
        ``[bands, rows, columns]`` in the model's data type; columns from the first window's to the last's.
    valid : numpy.ndarray
        bool ``[rows, columns]``, False where there is no data.
    """

    first: int
    windows: int
    start: int
    pixels: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


class PixelStatistics:
    """Sums over the pixels with data that go by, of every fourth one each way.

    Attributes
    ----------
    count, black : int
        Pixels seen, and those of them that are 0 in all bands.
    """

    def __init__(self, bands: int) -> None:
        self._sums = np.zeros(bands)
        self.count = self.black = 0

    def add(self, start: int, pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Add the rows from `start` on: ``[bands, rows, columns]``, and where they are data."""
        part = np.s_[-start % _EVERY :: _EVERY, ::_EVERY]
        there = valid[part]
        seen = pixels[:, *part]
        if not there.any() and valid.any():  # specks of data between the pixels that are looked at
            seen, there = pixels, valid
        seen = seen.reshape(len(seen), -1) if there.all() else seen[:, there]
        self._sums += seen.sum(axis=1, dtype=np.uint64)
        self.count += seen.shape[1]
        self.black += seen.shape[1] - int(np.count_nonzero(seen.any(axis=0)))

    @property
    def means(self) -> tuple[float, ...] | None:
        """Mean of each band; None if no pixel has data."""
        return tuple((self._sums / self.count).tolist()) if self.count else None


class SmallScene:
    """A scene at reduced size, averaged while it goes by, for people to look at.

    Parameters
    ----------
    height, width, bands : int
        Of the scene.
    dtype : str
        Of its pixels.
    longest : int
        Pixels of a side of the result, at most: both sides are halved until they fit.
    """

    def __init__(self, height: int, width: int, bands: int, *, dtype: Any, longest: int) -> None:
        self._factor = 1
        while -(-max(height, width) // self._factor) > longest:
            self._factor *= 2
        shape = -(-height // self._factor), -(-width // self._factor)
        self._dtype = np.dtype(dtype)
        self._sums = np.zeros((bands, *shape), self._dtype if self._factor == 1 else np.float32)
        self._counts = np.zeros(shape, np.uint32)

    def add(self, start: int, pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Add the rows from `start` on: ``[bands, rows, columns]``, and where they are data."""
        factor, rows = self._factor, valid.shape[0]
        if factor == 1:
            self._sums[:, start : start + rows] = pixels
            self._counts[start : start + rows] = valid
            return
        columns = np.arange(0, valid.shape[1], factor)
        ends = np.flatnonzero((start + np.arange(rows)) % factor == 0)
        tops = ends if len(ends) and ends[0] == 0 else np.concatenate([[0], ends])
        part = slice(start // factor, start // factor + len(tops))
        whole = bool(valid.all())
        for band, sums in zip(pixels, self._sums, strict=True):
            there = band if whole else np.where(valid, band, band.dtype.type(0))
            down = np.add.reduceat(there, tops, axis=0, dtype=np.float32)
            sums[part] += np.add.reduceat(down, columns, axis=1)
        down = np.add.reduceat(valid, tops, axis=0, dtype=np.uint32)
        self._counts[part] += np.add.reduceat(down, columns, axis=1)

    def result(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels ``[bands, h, w]`` as they are stored, and where there are data."""
        if self._factor == 1:
            return self._sums, self._counts > 0
        means = self._sums / np.maximum(self._counts, 1)
        return (np.rint(means) if self._dtype.kind in "ui" else means).astype(self._dtype), self._counts > 0


class Strips:
    """Gives the strips under the rows of windows, from top to bottom.

    A pixel has no data where the scene has none in every chosen band; see :func:`swath.mapping.reader.open_scene`.

    Parameters
    ----------
    scene : Scene
    grid : Grid
        The windows.
    bands : sequence of int
        Bands to read, counted from 1.
    keeps : callable, optional
        Says which pixels ``[rows, width]`` are mapped, so many from a row on; the others are no data. By default, all.

    Attributes
    ----------
    scene, grid
        As given.
    rescaling : Rescaling or None
        Applied to all pixels with data that are read from now on.
    statistics : PixelStatistics
        Of the pixels read by :meth:`pieces` so far.
    picture : SmallScene or None
        Gets all pixels that :meth:`pieces` reads: as they are where the model could take them so, else rescaled.
    """

    rescaling: Rescaling | None = None
    picture: SmallScene | None = None

    def __init__(
        self,
        scene: Scene,
        grid: Grid,
        *,
        bands: Sequence[int],
        keeps: Callable[[int, int], npt.NDArray[np.bool_]] | None = None,
    ) -> None:
        self.scene, self.grid, self._bands, self._keeps = scene, grid, list(bands), keeps
        self.statistics = PixelStatistics(len(self._bands))
        cols = grid.cols
        self._columns = cols.source(cols.first, cols.first + cols.span(cols.windows))

    def __iter__(self) -> Iterator[Strip]:
        """The strip under each row of windows."""
        return self.cut(self.pieces())

    @property
    def bands(self) -> int:
        """How many bands are read."""
        return len(self._bands)

    def sample(self) -> npt.NDArray[Any]:
        """Pixels ``[bands, n]`` with data from squares spread over the whole scene, about a million at most, as stored.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        parts = []
        for top, height in _spread(self.scene.height):
            for left, width in _spread(self.scene.width):
                values, valid = self._stored(Window(left, top, width, height))
                parts.append(values[:, valid])
        return np.concatenate(parts, axis=1)

    def pieces(self) -> Iterator[Piece]:
        """Read the scene's rows, each once, in whole rows of its blocks where those are not too tall.

        Raises
        ------
        DataError
            If the file is damaged.
        """
        step = piece_rows(self.scene, len(self._bands))
        for start in range(0, self.scene.height, step):
            yield self._read(start, min(step, self.scene.height - start))

    def cut(self, pieces: Iterator[Piece], *, windows: int = 1) -> Iterator[Strip]:
        """Cut strips from pieces.

        Parameters
        ----------
        pieces : iterator of Piece
            From :meth:`pieces`, perhaps by way of another thread.
        windows : int
            Rows of windows in a strip; the last one may have fewer.
        """
        rows = self.grid.rows
        firsts = range(0, rows.windows, windows)
        starts = [rows.first + first * rows.stride for first in firsts]
        counts = [min(windows, rows.windows - first) for first in firsts]
        wanted = [rows.source(s, s + rows.span(n)) for s, n in zip(starts, counts, strict=True)]
        # Mirrored rows lie further up than the strip itself: a row is let go when no later strip needs it.
        needed = np.minimum.accumulate([int(w.min()) for w in wanted][::-1])[::-1].tolist()
        held = next(pieces)
        for first, start, count, source, low in zip(firsts, starts, counts, wanted, needed, strict=True):
            while held.start + len(held.valid) <= source.max():
                held = _join(held, next(pieces), low)
            inside = start >= 0 and start + len(source) <= rows.length
            top = start - held.start
            part = slice(top, top + len(source)) if inside else source - held.start
            yield Strip(first, count, start, held.pixels[:, part], held.valid[part])

    def window(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels ``[bands, rows, columns]`` as the model gets them, and where they are data."""
        values, present = self.scene.read(self._bands, window)
        return self._rescaled(values, present), _anywhere(present, values)

    def _read(self, start: int, count: int) -> Piece:
        stored, present = self.scene.read(self._bands, Window(0, start, self.scene.width, count))
        values, valid = self._rescaled(stored, present), _anywhere(present, stored)
        if self._keeps is not None:  # what lies outside stays in view of the windows that reach there
            valid = valid & self._keeps(start, count)
        if self.picture is not None:
            self.picture.add(start, stored if stored.dtype == values.dtype else values, valid)
        self.statistics.add(start, values, valid)
        return Piece(start, self._widen(values), self._widen(valid))

    def _stored(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        """Pixels as the scene holds them, and where they are data."""
        values, present = self.scene.read(self._bands, window)
        return values, _anywhere(present, values)

    def _rescaled(self, values: npt.NDArray[Any], present: npt.NDArray[np.bool_] | None) -> npt.NDArray[Any]:
        """Pixels in the model's data type."""
        if self.rescaling is None:
            return values
        if values.dtype != self.rescaling.data_type:  # 0 is no data in rescaled pictures, band by band
            return self.rescaling.apply(values, np.True_ if present is None else present)
        # Black stays black, so that a collar nobody declared still differs from land.
        return self.rescaling.apply(values, _anywhere(present, values) & values.any(axis=0))

    def _widen(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Mirror columns ``[..., columns]`` at both sides; what lies between is copied as it is."""
        cols, width = self.grid.cols, len(self._columns)
        left, right = -cols.first, -cols.first + cols.length
        if (left, right) == (0, width):
            return values
        if not any(values.strides):  # one value for all places
            return np.broadcast_to(values[(0,) * values.ndim], (*values.shape[:-1], width))
        wide = np.empty((*values.shape[:-1], width), values.dtype)
        wide[..., left:right] = values
        wide[..., :left] = values[..., self._columns[:left]]
        wide[..., right:] = values[..., self._columns[right:]]
        return wide


def piece_rows(scene: Scene, bands: int) -> int:
    """Rows of so many bands of a scene that are read at a time."""
    across = scene.width * bands * np.dtype(scene.dtype).itemsize
    block = scene.block
    if block * across > _TALLEST:
        return math.ceil(block / math.ceil(block * across / _TALLEST))
    return block * max(1, _PIECE // (block * across))


def _spread(side: int) -> list[tuple[int, int]]:
    """Start and length of the squares of a sample along one side: in the middle of equal parts."""
    part = max(_SQUARE, math.ceil(side / _SQUARES))
    rooms = [(start, min(part, side - start)) for start in range(0, side, part)]
    return [(start + max(0, room - _SQUARE) // 2, min(room, _SQUARE)) for start, room in rooms]


def _join(held: Piece, following: Piece, low: int) -> Piece:
    """Append a piece to the rows held from `low` on."""
    drop = min(max(0, low - held.start), len(held.valid))
    if drop == len(held.valid):
        return following
    valid = (held.valid[drop:], following.valid)
    return Piece(
        held.start + drop, np.concatenate([held.pixels[:, drop:], following.pixels], axis=1), np.concatenate(valid)
    )


def _anywhere(present: npt.NDArray[np.bool_] | None, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where any band has data: ``[rows, columns]``, of one value where all of it is data."""
    if present is None:
        return np.broadcast_to(np.True_, values.shape[1:])
    return np.asarray(present.any(axis=0))


def rescale_scene(strips: Strips, spec: InputSpec, asked: Asked, *, whole: Strips | None = None) -> RescaleDecision:
    """Decide how a scene was drawn, and have its strips rescaled so.

    Parameters
    ----------
    strips : Strips
        Of the scene, or of a part of it.
    spec : InputSpec
        What the model expects.
    asked : str or tuple of float
        What ``--rescale`` takes.
    whole : Strips, optional
        Of the whole scene, whose values decide; by default `strips`.

    Raises
    ------
    SettingError, DataError
        As :func:`swath.inference.rescale.decide_rescale`; or if a range puts nearly all pixels on one value.
    """
    scene = strips.scene
    sample = Sample(pixels=(whole or strips).sample(), product=scene.product, tag=scene.tag, scaling=scene.scaling)
    decision = decide_rescale(spec, sample, asked)
    limits = read_rescale(decision.rendering.taken).limits
    line = decision.rescaling if limits is not None else None
    if line is not None and _collapsed(line.apply(sample.pixels[..., None], np.True_)):
        low, high = np.percentile(sample.pixels, (0.5, 99.5)).tolist()
        raise DataError(
            f"--rescale {decision.rendering.taken} puts nearly all pixels of {scene.name} on one value",
            fix=f"99 % of its values lie between {low:.4g} and {high:.4g}: "
            + (likely_range(scene) or f"give a range that fits them, as --rescale {_rounded(low, high)}"),
        )
    strips.rescaling = decision.rescaling
    return decision


def _collapsed(pixels: npt.NDArray[Any]) -> bool:
    """Whether nearly all pixels ``[bands, n, 1]`` of every band have the highest value, or about the lowest."""
    if not pixels.size:
        return False
    return all(max(np.mean(band <= _DARKEST), np.mean(band == 255)) >= _NEARLY_ALL for band in pixels)


def _rounded(low: float, high: float) -> str:
    """A range around another one, with two digits."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1)
    return f"{math.floor(low / step) * step:g}:{math.ceil(high / step) * step:g}"
