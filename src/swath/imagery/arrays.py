"""Arrays as pictures: which axis holds the bands, and ``.npy`` files, whose header is checked and nothing unpickled."""

from __future__ import annotations

import math
import os
import warnings
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.imagery.header import Header, Picture, check_size, mode_name, numbered_bands, units_of

# Files of Python 2 are read like any other. A filter set once is safe with threads.
warnings.filterwarnings("ignore", message="Reading `.npy` or `.npz` file", category=UserWarning)


class ArrayReader:
    """An opened ``.npy`` file holding ``[H, W]``, ``[H, W, bands]`` or ``[bands, H, W]``.

    Which axis holds the bands is decided as by :func:`bands_first`.

    Raises
    ------
    DataError
        If the type is not a plain number, the shape cannot be read as one picture, the file is not
        as long as the header says, or the picture is above the limits.
    """

    def __init__(self, stream: BinaryIO, *, name: str, max_pixels: int) -> None:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, self._fortran, stored = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, self._fortran, stored = np.lib.format.read_array_header_2_0(stream)
        else:
            raise DataError(
                f"{name} is .npy version {version[0]}.{version[1]}, which holds records and not pixels",
                fix="save a plain array of numbers with numpy.save",
            )
        if stored.kind not in "uif" or stored.itemsize > 8:
            raise DataError(
                f"{name} holds values of type {stored}, not plain numbers",
                fix="save it as one of uint8, uint16, int16 or float32 with numpy.save",
            )
        self._shape = tuple(int(length) for length in shape)
        self._stored = stored
        axis = _band_axis(self._shape, name=name)
        lengths = list(self._shape)
        count = 1 if axis is None else lengths.pop(axis)
        height, width = lengths
        check_size(width, height, name=name, max_pixels=max_pixels, bands=count, dtype=stored.name)
        _check_length(stream, math.prod(self._shape) * stored.itemsize, name=name)
        bands = ("gray",) if count == 1 else numbered_bands(count)
        self._stream = stream
        self.header = Header(width, height, bands, stored.name, mode_name(stored.name, bands))

    def read(self) -> Picture:
        """Read the values, in this machine's byte order."""
        values = np.frombuffer(self._stream.read(), dtype=self._stored)
        array = values.reshape(self._shape, order="F" if self._fortran else "C")
        array = bands_first(array)
        header = self.header
        pixels = array.astype(header.dtype, order="C", copy=True)
        return Picture(pixels, header.bands, units_of(header.dtype), header.mode)


def bands_first(array: npt.NDArray[Any], *, name: str = "the array") -> npt.NDArray[Any]:
    """View an array ``[H, W]``, ``[H, W, bands]`` or ``[bands, H, W]`` as ``[bands, H, W]``.

    The band axis of a three-axis array is the first or the last one, whichever is shorter than both other axes.

    Raises
    ------
    DataError
        If neither is, or there are not two or three axes.
    """
    axis = _band_axis(array.shape, name=name)
    return array[np.newaxis] if axis is None else np.moveaxis(array, axis, 0)


def _band_axis(shape: tuple[int, ...], *, name: str) -> int | None:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise DataError(
            f"{name} holds an array of shape {shape}, not one picture",
            fix="save each picture as [H, W], [H, W, bands] or [bands, H, W]",
        )
    if len(shape) == 2:
        return None
    first, middle, last = shape
    if first < min(middle, last):
        return 0
    if last < min(first, middle):
        return 2
    raise DataError(
        f"{name} holds an array of shape {shape}, where the band axis cannot be distinguished from rows and columns",
        fix="give [bands, H, W] or [H, W, bands] with more rows and columns than bands, or write it as a GeoTIFF",
    )


def _check_length(stream: BinaryIO, expected: int, *, name: str) -> None:
    start = stream.tell()
    found = stream.seek(0, os.SEEK_END) - start
    stream.seek(start)
    if found != expected:
        raise DataError(
            f"{name} holds {found} bytes of pixels where its header promises {expected}",
            fix="write the file again, it was cut short or altered",
        )
