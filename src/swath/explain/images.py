"""Explain image files: the model's answer, a map of the evidence and, if asked for, a verdict on the map.

:func:`explanations` measures, image by image; :func:`write_explanations` writes one picture per image and a table;
:func:`explain_images` does both for files on disk.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy.typing as npt

from swath.data import walk_images
from swath.explain.evidence import Evidence, Explainer, class_number, explainer
from swath.explain.faithful import Faithfulness, faithfulness
from swath.explain.overlay import overlay_picture
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.progress import Progress, silent

TABLE = "explain.csv"


@dataclass(frozen=True)
class Explanation:
    """One image with its map.

    Attributes
    ----------
    path : str
        Name of the image.
    pixels : numpy.ndarray
        ``[bands, H, W]``, the model's bands.
    evidence : Evidence
        Of this one image.
    check : Faithfulness or None
        The verdict on the map, if asked for.
    """

    path: str
    pixels: npt.NDArray[Any]
    evidence: Evidence
    check: Faithfulness | None


@dataclass(frozen=True)
class ExplainedImage:
    """One row of ``explain.csv``.

    Attributes
    ----------
    path : str
        Name of the image.
    label : str
        The predicted class.
    confidence : float
        Its probability.
    explained : str
        The class the map is about.
    picture : str
        Name of the written PNG.
    method : str
        How the map was made.
    verdict : str
        ``holds`` or ``fails``; empty if the map was not checked.
    beaten : int, optional
        How many of 19 random maps it beats, if it was checked.
    """

    path: str
    label: str
    confidence: float
    explained: str
    picture: str
    method: str = "cam"
    verdict: str = ""
    beaten: int | None = None


def explanations(
    classifier: Classifier,
    images: Iterable[tuple[str, Any]],
    *,
    class_name: str | None = None,
    explain: Explainer | None = None,
    check: bool = False,
) -> Iterator[Explanation]:
    """Explain images one by one, so that only one is in memory.

    Parameters
    ----------
    classifier : Classifier
        A loaded model; for class activation maps its file must carry activations and a head.
    images : iterable of (str, bytes or array)
        Name and encoded content, or pixels ``[bands, H, W]``, of each image.
    class_name : str, optional
        The class to explain in every image; by default each image's predicted one.
    explain : callable, optional
        Makes the maps; by default class activation maps. See :func:`swath.explain.explainer`.
    check : bool
        Compare every map with random ones.

    Raises
    ------
    SettingError
        If the model has no class `class_name`.
    DataError
        If an image cannot be read or has not the model's bands and data type.
    SwathError
        If the model has no class activation maps.

    Examples
    --------
    >>> import numpy as np, swath
    >>> classifier = swath.load("eurosat")
    >>> black = np.zeros((3, 64, 64), np.uint8)
    >>> [found.evidence.maps.shape for found in explanations(classifier, [("black", black)])]
    [(1, 4, 4)]
    """
    if class_name is not None:
        class_number(classifier.record.class_names, class_name)
    explain = explain or explainer(classifier)
    for name, image in images:
        pixels = classifier.pixels_of(image, name=name)
        evidence = explain(pixels[None], classes=class_name and [class_name])
        checked = faithfulness(classifier, pixels[None], evidence)[0] if check else None
        yield Explanation(name, pixels, evidence, checked)


def write_explanations(
    folder: Path, explained: Iterable[Explanation], *, bands: Sequence[str]
) -> tuple[ExplainedImage, ...]:
    """Write ``<stem>.<method>.png`` for every image and ``explain.csv`` into an existing folder.

    Parameters
    ----------
    folder : Path
        Where to write.
    explained : iterable of Explanation
        From :func:`explanations`.
    bands : sequence of str
        The model's bands.

    Returns
    -------
    tuple of ExplainedImage
        The rows of the table.
    """
    rows: list[ExplainedImage] = []
    taken: set[str] = set()
    for one in explained:
        evidence, check = one.evidence, one.check
        picture = picture_name(one.path, taken, method=evidence.method)
        name = PurePosixPath(one.path).name
        (folder / picture).write_bytes(overlay_picture(one.pixels, evidence, bands=bands, name=name, check=check))
        rows.append(
            ExplainedImage(
                path=one.path,
                label=evidence.labels[0],
                confidence=round(float(evidence.confidence[0]), 6),
                explained=evidence.explained[0],
                picture=picture,
                method=evidence.method,
                verdict="" if check is None else "holds" if check.holds else "fails",
                beaten=None if check is None else check.beaten,
            )
        )
    # File names need not be valid text: their bytes are written as they are.
    with (folder / TABLE).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(ExplainedImage)])
        writer.writerows(astuple(row) for row in rows)
    return tuple(rows)


def explain_images(
    classifier: Classifier,
    inputs: Sequence[Path],
    out: Path,
    *,
    class_name: str | None = None,
    explain: Explainer | None = None,
    check: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> tuple[ExplainedImage, ...]:
    """Explain image files: write a folder of pictures and ``explain.csv``, all or nothing.

    Parameters
    ----------
    classifier, class_name, explain, check
        As for :func:`explanations`.
    inputs : sequence of Path
        Images, folders and zips.
    out : Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every image.

    Returns
    -------
    tuple of ExplainedImage
        One per image, in the order they were found.

    Raises
    ------
    SettingError, DataError, SwathError
        As :func:`explanations`, and if there is no image.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    images = walk_images(inputs)

    def counted() -> Iterator[Explanation]:
        measured = explanations(classifier, images, class_name=class_name, explain=explain, check=check)
        for number, one in enumerate(measured, start=1):
            yield one
            progress("explain", number, len(images))

    with atomic_folder(out, overwrite=overwrite, keep=(*inputs, classifier.path)) as folder:
        return write_explanations(folder, counted(), bands=classifier.record.input.bands)


def picture_name(name: str, taken: set[str], *, method: str = "cam") -> str:
    """Choose a file name for the picture of image `name` that is not in `taken`, and add it there.

    Names that differ only in case count as the same: some file systems cannot hold both.
    """
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(name.replace("\\", "/")).stem).strip("._") or "image"
    stem, number = stem.encode()[:100].decode(errors="ignore"), 1  # file systems count bytes
    candidate = f"{stem}.{method}.png"
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}.{method}.png"
    taken.add(candidate.lower())
    return candidate
