"""What a model file keeps to detect patches that are unlike its training data, and how arrays are packed in it."""

from __future__ import annotations

import base64
import math
import zlib
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, PositiveInt, model_validator

from swath.config import Settings

MAX_BYTES = 64 * 2**20

Floats = npt.NDArray[np.float64]


class PackedArray(Settings):
    """An array, each of its last rows rounded to 255 steps between the largest value and its negative."""

    shape: tuple[PositiveInt, ...] = Field(min_length=1, max_length=3)
    values: str = Field(description="zlib-compressed int8 in C order, base64")
    scale: str = Field(description="zlib-compressed little-endian float32, one per row, base64")

    @classmethod
    def pack(cls, array: Floats) -> PackedArray:
        """Store a finite `array` of one to three dimensions."""
        scale = np.maximum(np.abs(array).max(axis=-1, keepdims=True), 1e-30).astype("<f4") / 127
        values = np.rint(array / scale).astype(np.int8)
        return cls(shape=array.shape, values=pack_bytes(values), scale=pack_bytes(scale))

    def unpack(self) -> Floats:
        """Give the array back, float64.

        Raises
        ------
        ValueError
            If the stored bytes are damaged or larger than they say.
        """
        values = unpack_bytes(self.values, self.shape, np.dtype(np.int8))
        scale = unpack_bytes(self.scale, (*self.shape[:-1], 1), np.dtype("<f4"))
        if not np.isfinite(scale).all():
            raise ValueError("statistics hold a number that is not finite")
        return np.asarray(values * scale.astype(np.float64))


class RobustScale(Settings):
    """A score's median and its distance to the 95 % quantile, on validation patches."""

    median: float
    spread: float = Field(gt=0)


class OutOfDistribution(Settings):
    """How far a patch is from the training data, and from which score on it is called unlike it.

    A patch is described by its energy, the leading principal components of the network's features with the
    logarithm of what they leave over, and its texture and colors, which come from the pixels alone. Each class
    is a normal distribution of these; see :mod:`swath.inference.ood`.

    Attributes
    ----------
    projection : PackedArray
        ``[r, D]`` principal components of the features.
    center : tuple of float
        ``[D]`` mean of the features.
    mean, scale : tuple of float
        ``[F]``, standardize the description.
    classes : PackedArray
        ``[C, F]`` means of the classes, standardized.
    whitening : PackedArray
        ``[C or 1, F, F]`` lower triangles L with ``L L^T`` the inverse covariance of a class.
    energy, distance : RobustScale
        Scales on which the two scores are added.
    threshold : float
        Least score that is called unlike the training data.
    false_alarms : float
        Share of patches like the training data that reach the threshold, at most.
    renderings : dict of str to float
        That share of the validation patches in each rendering, where the model is meant for several.
    patches : int
        Validation patches it was chosen on.
    """

    method: Literal["energy + class Gaussians of features, texture and color"] = (
        "energy + class Gaussians of features, texture and color"
    )
    projection: PackedArray
    center: tuple[float, ...]
    mean: tuple[float, ...]
    scale: tuple[Annotated[float, Field(gt=0)], ...]
    classes: PackedArray
    whitening: PackedArray
    energy: RobustScale
    distance: RobustScale
    threshold: float
    false_alarms: float = Field(gt=0, lt=1)
    patches: int = Field(gt=0)
    renderings: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> OutOfDistribution:
        f, shape = len(self.mean), self.whitening.shape
        if len(self.scale) != f or self.classes.shape[1:] != (f,) or shape[1:] != (f, f):
            raise ValueError("the statistics differ in length")
        if shape[0] not in (1, self.classes.shape[0]):
            raise ValueError("whitening needs one matrix, or one per class")
        if self.projection.shape[1:] != (len(self.center),):
            raise ValueError("projection and center differ in length")
        return self


def pack_bytes(array: npt.NDArray[Any]) -> str:
    """The values of an array in C order, zlib-compressed, base64."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(array).tobytes(), 9)).decode("ascii")


def unpack_bytes(
    text: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, what: str = "statistics"
) -> npt.NDArray[Any]:
    """The array that :func:`pack_bytes` packed.

    Raises
    ------
    ValueError
        If the stored bytes are damaged or larger than they say; it names `what` is stored.
    """
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise ValueError(f"{what} of {size} bytes")
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (zlib.error, ValueError) as error:
        raise ValueError(f"{what} are damaged ({error})") from error
    if len(raw) != size:
        raise ValueError(f"{what} do not have the size they state")
    return np.frombuffer(raw, dtype).reshape(shape)
