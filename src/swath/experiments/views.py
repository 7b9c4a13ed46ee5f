"""Preprocessing of the patches a network is evaluated on: right, and wrong in common ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError
from swath.evaluation.robustness.shifts import find_shift, usable

Pixels = npt.NDArray[Any]
View = Callable[[Pixels], Pixels]


def _bgr(pixels: Pixels) -> Pixels:
    """Bands in reverse order, as one image library gives them."""
    return np.ascontiguousarray(pixels[:, ::-1])


def _brightest(pixels: Pixels) -> Pixels:
    """Each patch stretched so that its brightest pixel is white: what a patch is depends on one pixel."""
    top = np.iinfo(pixels.dtype).max
    largest = pixels.max(axis=(1, 2, 3), keepdims=True).astype(np.float32)
    stretched: Pixels = np.rint(pixels * (top / np.maximum(largest, 1))).astype(pixels.dtype)
    return stretched


def _each_standard(pixels: Pixels) -> Pixels:
    """Each band of each patch brought to one mean and spread: color is lost."""
    values = pixels.astype(np.float32)
    mean, sd = values.mean(axis=(2, 3), keepdims=True), values.std(axis=(2, 3), keepdims=True)
    top = np.iinfo(pixels.dtype).max
    values = np.rint((values - mean) / np.maximum(sd, 1) * top / 6 + top / 2)
    standard: Pixels = np.clip(values, 0, top).astype(pixels.dtype)
    return standard


def _halved(pixels: Pixels) -> Pixels:
    """Numbers at half their size, as a wrong divisor makes them."""
    return pixels // 2


def _small(pixels: Pixels) -> Pixels:
    """Every second pixel left out and doubled: nearest-neighbor resizing there and back."""
    height, width = pixels.shape[2:]
    large = pixels[:, :, ::2, ::2].repeat(2, axis=2).repeat(2, axis=3)
    return np.ascontiguousarray(large[:, :, :height, :width])


_VIEWS: dict[str, View] = {
    "unchanged": lambda pixels: pixels,
    "bands reversed": _bgr,
    "stretched to the brightest pixel": _brightest,
    "each patch standardized": _each_standard,
    "divided by two": _halved,
    "resized by nearest neighbor": _small,
}


# Shifts of the robustness suite that stand for another sensor, at its middle and strongest level.
SENSORS = tuple(
    f"{name}, level {level}"
    for name in ("surface", "gain", "gamma", "haze", "blur", "resample", "jpeg", "noise")
    for level in (3, 5)
)


def view_names() -> tuple[str, ...]:
    """Names of the right view, which changes nothing, and of the wrong ones."""
    return tuple(_VIEWS)


def can_show(name: str, *, bands: Sequence[str], side: int) -> bool:
    """Whether patches of these bands and this side can be shown so: not every shift suits all of them."""
    shifts, _ = usable(bands, side)
    return name not in SENSORS or name.rpartition(", level ")[0] in {shift.name for shift in shifts}


def view_named(name: str) -> View:
    """The view of that name: ``[N, bands, H, W]`` to the same shape and type.

    Raises
    ------
    SettingError
        If there is none.
    """
    if name in SENSORS:
        shift, _, level = name.rpartition(", level ")
        return lambda pixels: find_shift(shift).at(pixels, int(level))
    if name not in _VIEWS:
        raise SettingError(f"there is no view '{name}'", fix=f"use one of {', '.join(_VIEWS)}")
    return _VIEWS[name]
