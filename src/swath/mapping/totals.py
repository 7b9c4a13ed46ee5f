"""Count the pixels and the hectares of every class while a map is made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.mapping.area import PixelArea


@dataclass(frozen=True)
class ClassTotal:
    """What a map says of one class.

    Attributes
    ----------
    name : str
        The class.
    pixels : int
        Pixels mapped as it.
    share : float
        Its part of the mapped pixels, 0-1.
    hectares : float or None
        Its area; None where a scene's pixels have no known size.
    """

    name: str
    pixels: int
    share: float
    hectares: float | None


class Totals:
    """Counts class numbers row by row.

    Parameters
    ----------
    names : sequence of str
        Classes; class i is stored as i + 1.
    area : PixelArea, optional
        Area of the pixels of each row.
    """

    def __init__(self, names: tuple[str, ...], area: PixelArea | None) -> None:
        self._names, self._area = names, area
        self._pixels = np.zeros(len(names) + 1, np.int64)
        self._metres = np.zeros(len(names) + 1)
        self._unlike = 0

    def add(self, start: int, labels: npt.NDArray[np.uint8]) -> None:
        """Count `labels` ``[rows, width]``, the map from row `start` on."""
        values, rows = len(self._pixels), len(labels)
        if labels.strides[0] == 0:  # one row, repeated
            count = np.bincount(labels[0], minlength=values)
            self._pixels += rows * count
            if self._area is not None:
                self._metres += self._area.rows[start : start + rows].sum() * count
            return
        places = labels + np.arange(rows, dtype=np.intp)[:, None] * values
        counts = np.bincount(places.ravel(), minlength=rows * values).reshape(rows, values)
        self._pixels += counts.sum(axis=0)
        if self._area is not None:
            self._metres += self._area.rows[start : start + rows] @ counts

    def add_unlike(self, unlike: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of ``[rows, width]`` that are 1: not like the training data."""
        self._unlike += int(np.count_nonzero(unlike == 1))

    @property
    def unlike_share(self) -> float:
        """Part of the mapped pixels that is not like the training data, 0-1."""
        return self._unlike / max(self.mapped, 1)

    @property
    def nodata(self) -> int:
        """Pixels without a class."""
        return int(self._pixels[0])

    @property
    def mapped(self) -> int:
        """Pixels with a class."""
        return int(self._pixels[1:].sum())

    def classes(self) -> tuple[ClassTotal, ...]:
        """One total a class, in the model's order."""
        mapped = max(self.mapped, 1)
        return tuple(
            ClassTotal(
                name,
                int(pixels),
                int(pixels) / mapped,
                None if self._area is None else float(metres) / 10_000,
            )
            for name, pixels, metres in zip(self._names, self._pixels[1:], self._metres[1:], strict=True)
        )
