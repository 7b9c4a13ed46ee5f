"""What a model file remembers of its classes, and by whom it was taught.

The memory is the mean and the standard deviation of the network's features, class by class: enough to draw features
that stand for the training data when the head is fitted again, and a few kilobytes. The lineage says from which file a
model was taught, and keeps salted codes of the places, so that the same places are not taken to assess its maps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import product
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from swath.config import Settings
from swath.model.ood import PackedArray
from swath.model.seen import PatchCodes

_CELLS = 100_000  # of a code's grid, per degree: about a meter
Floats = npt.NDArray[np.float64]


class ClassMemory(Settings):
    """Statistics of features: one row per class of the training data, and one more for each class taught later.

    Attributes
    ----------
    classes : tuple of int
        ``[C]``, the class of each row.
    counts : tuple of int
        ``[C]``, patches or places that it was measured on.
    mean, sd : PackedArray
        ``[C, D]``, of each feature.
    """

    classes: tuple[NonNegativeInt, ...] = Field(min_length=1)
    counts: tuple[PositiveInt, ...]
    mean: PackedArray
    sd: PackedArray

    @model_validator(mode="after")
    def _consistent(self) -> ClassMemory:
        rows = len(self.classes)
        if len(self.counts) != rows or self.mean.shape != self.sd.shape or self.mean.shape[:-1] != (rows,):
            raise ValueError("the memory of classes differs in length")
        return self

    @classmethod
    def of(cls, features: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> ClassMemory:
        """Measure features ``[N, D]`` of patches with labels ``[N]``."""
        values = np.asarray(features, np.float64)
        classes = np.unique(labels)
        parts = [values[labels == k] for k in classes]
        return cls(
            classes=tuple(classes.tolist()),
            counts=tuple(map(len, parts)),
            mean=PackedArray.pack(np.stack([part.mean(axis=0) for part in parts])),
            sd=PackedArray.pack(np.stack([part.std(axis=0) for part in parts])),
        )

    def joined(self, other: ClassMemory) -> ClassMemory:
        """The rows of both."""
        return ClassMemory(
            classes=self.classes + other.classes,
            counts=self.counts + other.counts,
            mean=PackedArray.pack(np.concatenate([self.mean.unpack(), other.mean.unpack()])),
            sd=PackedArray.pack(np.concatenate([self.sd.unpack(), other.sd.unpack()])),
        )

    def draw(self, each: int, *, seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Draw features that stand for patches of the classes.

        Parameters
        ----------
        each : int
            Per row, but no more than it was measured on.
        seed : int
            The same gives the same.

        Returns
        -------
        tuple of numpy.ndarray
            Features ``[M, D]``, and the row of each ``[M]``.

        Raises
        ------
        ValueError
            If the stored bytes are damaged.
        """
        mean, sd = self.mean.unpack(), self.sd.unpack()
        rng = np.random.default_rng(seed)
        rows = np.repeat(np.arange(len(mean)), np.minimum(each, self.counts))
        drawn = mean[rows] + sd[rows] * rng.standard_normal((len(rows), mean.shape[1]))
        return drawn, rows


class Teaching(Settings):
    """One time that a model was taught.

    Attributes
    ----------
    began_from : str
        Name of the model that was taught.
    sha256 : str
        Of its file.
    places : dict of str to int
        Places learned from, by class.
    forgot : bool
        Whether only these were kept, and the older classes forgotten.
    strength : float
        Weight of the penalty on changes of the head, chosen by cross-validation.
    colors : str
        What was done to the scene's colors.
    salt : str
        Hexadecimal; of the codes.
    codes : PatchCodes
        Codes of the places; no coordinates.
    """

    began_from: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    places: dict[str, PositiveInt]
    forgot: bool = False
    strength: float = Field(gt=0)
    colors: str = ""
    salt: str = Field(pattern=r"^[0-9a-f]{32}$", description="of the codes, hexadecimal")
    codes: PatchCodes = Field(description="salted codes of the places that it learned from")

    def knows(self, lonlat: Floats) -> npt.NDArray[np.bool_]:
        """Which places ``[N, 2]``, longitude and latitude, it learned from, to about a meter.

        Raises
        ------
        ValueError
            If the stored codes are damaged.
        """
        kept = self.codes.unpack()
        known = np.zeros(len(lonlat), bool)
        # Coordinates that went through another system may have crossed the border of a cell.
        for step in product((-1, 0, 1), repeat=2):
            known |= np.isin(_codes(_cells(lonlat) + step, self.salt), kept)
        return known


Taught = Annotated[
    tuple[Teaching, ...], Field(max_length=64, description="the times it was taught from places, oldest first")
]


def place_codes(lonlat: Floats, *, salt: str) -> PatchCodes:
    """Codes of places ``[N, 2]``, longitude and latitude in degrees, as a record keeps them.

    They keep places from being read off, not from being guessed by whoever tries all of a scene.
    """
    return PatchCodes.pack(_codes(_cells(lonlat), salt))


def taught_places(taught: Sequence[Teaching], lonlat: Floats) -> npt.NDArray[np.bool_]:
    """Which places a model learned from.

    Parameters
    ----------
    taught : sequence of Teaching
        Of the model's record.
    lonlat : numpy.ndarray
        ``[N, 2]``, longitude and latitude on WGS 84, degrees; see :attr:`swath.mapping.places.Places.lonlat`.

    Returns
    -------
    numpy.ndarray
        ``[N]`` bool.

    Raises
    ------
    ValueError
        If the stored codes are damaged.
    """
    known = np.zeros(len(lonlat), bool)
    for one in taught:
        known |= one.knows(lonlat)
    return known


def _cells(lonlat: Floats) -> npt.NDArray[np.int64]:
    return np.rint(np.asarray(lonlat, np.float64) * _CELLS).astype(np.int64)


def _codes(cells: npt.NDArray[np.int64], salt: str) -> npt.NDArray[np.uint64]:
    key = bytes.fromhex(salt)
    digests = [hashlib.blake2b(f"{x} {y}".encode(), key=key, digest_size=7).digest() for x, y in cells.tolist()]
    return np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
