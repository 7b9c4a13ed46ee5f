"""Pictures and a scene to try the page on, made of the patches that are shipped with swath."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from swath.progress import Progress, silent

if TYPE_CHECKING:
    from swath.data import PatchIndex
    from swath.inference import Classifier

SHIPPED = "eurosat-mini"
Pixels = npt.NDArray[Any]
_ARCHIVE = resources.files("swath") / "data" / "shipped" / f"{SHIPPED}.zip"  # importing swath.data takes a second


@lru_cache(maxsize=1)
def names() -> dict[str, list[str]]:
    """Names of the shipped pictures in their archive, by class."""
    with resources.as_file(_ARCHIVE) as path, zipfile.ZipFile(path) as archive:
        found: dict[str, list[str]] = {}
        for name in sorted(archive.namelist()):
            if name.endswith(".jpg"):
                found.setdefault(name.split("/")[0], []).append(name)
    return found


def read(pictures: Sequence[str]) -> list[bytes]:
    """The files of some of them."""
    with resources.as_file(_ARCHIVE) as path, zipfile.ZipFile(path) as archive:
        return [archive.read(name) for name in pictures]


def labeled(classifier: Classifier, *, progress: Progress = silent) -> tuple[Pixels, list[str], list[str]]:
    """All shipped pictures as a model takes them, ``[N, bands, H, W]``, with their labels and names.

    Raises
    ------
    DataError
        If the model has other bands.
    """
    by_class = names()
    found = [name for label in by_class for name in by_class[label]]
    decoded = []
    for name, data in zip(found, read(found), strict=True):
        decoded.append(classifier.pixels_of(data, name=name))
        progress("read", len(decoded), len(found))
    return np.stack(decoded), [name.split("/")[0] for name in found], found


@lru_cache(maxsize=1)
def patches() -> PatchIndex:
    """The shipped pictures with their labels and splits; takes seconds the first time."""
    from swath.data import build_index

    return build_index(SHIPPED)


def write_scene(out: Path) -> Path:
    """Write a scene of shipped patches side by side, the classes in blocks; its place on the globe is made up."""
    from swath.imagery import decode
    from swath.mapping import mosaic_order, write_mosaic

    by_class = names()
    classes = list(by_class)
    pictures = [name for label in classes for name in by_class[label]]
    numbers = np.repeat(np.arange(len(classes), dtype=np.int64), [len(by_class[label]) for label in classes])
    order, columns = mosaic_order(numbers)
    chosen = [pictures[row] for row in order]
    pixels = np.stack([decode(data, name=name).pixels for name, data in zip(chosen, read(chosen), strict=True)])
    labels = [classes[numbers[row]] for row in order]
    write_mosaic(pixels, labels, classes, columns=columns, out=out, overwrite=True)
    return out
