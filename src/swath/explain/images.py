"""Explain image files: walk them, ask the model, check the maps, write a picture an image and a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath

from swath.data import walk_images
from swath.explain.cam import Evidence, class_number
from swath.explain.faithful import Faithfulness, faithfulness
from swath.explain.methods import Explainer, explainer
from swath.explain.overlay import overlay_picture
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.progress import Progress, silent


@dataclass(frozen=True)
class ExplainedImage:
    """One row of ``explain.csv``.

    Attributes
    ----------
    path : str
        The image, as it was found.
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
        ``holds`` or ``fails``, where the map was checked; else empty.
    beaten : int, optional
        How many of 19 random maps it beats, where it was checked.
    """

    path: str
    label: str
    confidence: float
    explained: str
    picture: str
    method: str = "cam"
    verdict: str = ""
    beaten: int | None = None


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
    """Write ``<stem>.<method>.png`` for every image and ``explain.csv`` into a folder.

    Parameters
    ----------
    classifier : Classifier
        A loaded model whose file carries activations and a head.
    inputs : sequence of Path
        Images, folders and zips.
    out : Path
        The folder to make.
    class_name : str, optional
        The class to explain in every image; by default each image's predicted one.
    explain : callable, optional
        Makes the maps; by default class activation maps. See :mod:`swath.explain.cam`.
    check : bool
        Hold every map against random ones and write the verdict beside it.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every image.

    Returns
    -------
    tuple of ExplainedImage
        One an image, in the order they were found.

    Raises
    ------
    SettingError
        If the model has no class `class_name`.
    DataError
        If there is no image, or one cannot be read or has not the model's bands and type.
    SwathError
        If the model has no class activation maps.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    if class_name is not None:
        class_number(classifier.record.class_names, class_name)
    explain = explain or explainer(classifier)
    images = walk_images(inputs)
    bands = classifier.record.input.bands
    rows: list[ExplainedImage] = []
    taken: set[str] = set()
    with atomic_folder(out, overwrite=overwrite, keep=(*inputs, classifier.path)) as folder:
        for name, data in images:
            pixels = classifier.pixels_of(data, name=name)
            evidence = explain(pixels[None], classes=class_name and [class_name])
            checked = faithfulness(classifier, pixels[None], evidence)[0] if check else None
            picture = picture_name(name, taken, method=evidence.method)
            called = PurePosixPath(name).name
            overlay_picture(folder / picture, pixels, evidence, bands=bands, name=called, check=checked)
            rows.append(_row(name, evidence, picture, checked))
            progress("explain", len(rows), len(images))
        table = folder / "explain.csv"
        # File names need not be valid text: their bytes are written as they are.
        with table.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([field.name for field in fields(ExplainedImage)])
            writer.writerows(astuple(row) for row in rows)
    return tuple(rows)


def _row(name: str, evidence: Evidence, picture: str, checked: Faithfulness | None) -> ExplainedImage:
    return ExplainedImage(
        path=name,
        label=evidence.labels[0],
        confidence=round(float(evidence.confidence[0]), 6),
        explained=evidence.explained[0],
        picture=picture,
        method=evidence.method,
        verdict="" if checked is None else "holds" if checked.holds else "fails",
        beaten=None if checked is None else checked.beaten,
    )


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
