"""Second opinions on images: which are asked about, what is said of each by both, and the table of it.

The classifier's answer stays what it is. Where the other model disagrees, both stand next to each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import LeftOut, walk_images
from swath.errors import SettingError
from swath.files import atomic_file, check_output, write_csv
from swath.inference import Classifier
from swath.inference.predictions import Predictions, concatenate
from swath.model import Record
from swath.opinion.answers import Opinion
from swath.opinion.client import VisionModel
from swath.opinion.cost import Cost
from swath.opinion.prompt import Question, make_question, read_definitions
from swath.opinion.selection import check_task, unsure_rows
from swath.progress import Progress, silent

SUFFIXES = (".csv", ".json")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, repr=False)
class PreparedImages:
    """Classified images and the questions about some of them; nothing has been asked yet.

    Attributes
    ----------
    classifier : str
        Its name.
    predictions : Predictions
        Of all N images.
    unsure : numpy.ndarray
        ``[N]`` bool, where the classifier is unsure or the image is unlike its training data.
    rows : tuple of int
        The images to ask about.
    questions : tuple of Question
        One for each of these.
    estimate : Cost
        What it will take to ask those that have not been answered before.
    left_out : tuple of LeftOut
        Files in folders and archives that are no images swath reads.
    """

    classifier: str
    predictions: Predictions
    unsure: Mask
    rows: tuple[int, ...]
    questions: tuple[Question, ...]
    estimate: Cost
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, repr=False)
class OpinionTable:
    """What both models say of N images.

    Attributes
    ----------
    classifier, vision_model : str
        Their names.
    predictions : Predictions
        Of the classifier, as ``swath predict`` gives them.
    unsure : numpy.ndarray
        ``[N]`` bool, as in :class:`PreparedImages`.
    opinions : tuple of Opinion or None
        One per image; None where it was not to be asked.
    cost : Cost
        What the opinions took, those that were kept from before among them.
    requests : int
        Sent in this run.
    """

    classifier: str
    vision_model: str
    predictions: Predictions
    unsure: Mask
    opinions: tuple[Opinion | None, ...]
    cost: Cost
    requests: int

    def __len__(self) -> int:
        return len(self.opinions)

    @property
    def asked(self) -> int:
        """Images that an opinion was to be asked on."""
        return sum(one is not None for one in self.opinions)

    @property
    def differing(self) -> int:
        """Images on which the other model names another class."""
        labels = self.predictions.labels
        return sum(
            one is not None and one.names_a_class and one.label != label
            for one, label in zip(self.opinions, labels, strict=True)
        )

    def columns(self) -> dict[str, list[Any]]:
        """The table by column: path, label, confidence and is_ood of the classifier; unsure; what the other says."""
        found = self.predictions
        said = [one or Opinion(outcome="not asked", detail="the classifier is not unsure") for one in self.opinions]
        return {
            "path": found.paths,
            "label": found.labels,
            "confidence": [round(value, 6) for value in found.confidence.tolist()],
            "is_ood": [None] * len(self) if found.is_ood is None else found.is_ood.tolist(),
            "unsure": self.unsure.tolist(),
            **opinion_columns(said),
            "differs": [
                one.names_a_class and one.label != label for one, label in zip(said, found.labels, strict=True)
            ],
        }


def opinion_columns(opinions: Sequence[Opinion]) -> dict[str, list[Any]]:
    """What opinions hold, by column of a table."""
    return {
        "opinion": [one.label for one in opinions],
        "opinion_confidence": [one.confidence for one in opinions],
        "outcome": [one.outcome for one in opinions],
        "reason": [one.reason for one in opinions],
        "detail": [one.detail for one in opinions],
        "prompt_tokens": [one.prompt_tokens for one in opinions],
        "completion_tokens": [one.completion_tokens for one in opinions],
    }


def prepare_images(
    classifier: Classifier,
    inputs: Sequence[str | Path],
    model: VisionModel,
    *,
    definitions: Mapping[str, str] | None = None,
    only_unsure: bool = False,
    below: float | None = None,
    progress: Progress = silent,
) -> PreparedImages:
    """Classify images and make the questions; nothing leaves this machine.

    Parameters
    ----------
    classifier : Classifier
        A model with one label per image.
    inputs : sequence of pathlib.Path
        Images, folders and zip archives.
    model : VisionModel
        Whom the questions are for.
    definitions : mapping of str to str, optional
        A line on each class, or on some; by default what ``read_definitions(None, classes)`` gives.
    only_unsure : bool
        Ask only where the classifier is unsure; see :func:`swath.opinion.selection.unsure_rows`.
    below : float, optional
        Unsure is who is less confident than this, 0-1.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError, SettingError
        If an image cannot be read, the model gives several labels per image, or a setting is not valid.
    """
    check_task(classifier.record)
    images = walk_images([Path(path) for path in inputs])
    pixels: list[npt.NDArray[Any]] = []

    def decoded() -> Any:
        for name, data in images:
            pixels.append(classifier.pixels_of(data, name=name))
            yield name, pixels[-1]

    predictions = concatenate(list(classifier.stream(decoded(), total=len(images), progress=progress)))
    prepared = prepare_predictions(
        classifier.record, predictions, pixels, model, definitions=definitions, only_unsure=only_unsure, below=below
    )
    return replace(prepared, left_out=images.left_out)


def prepare_predictions(
    record: Record,
    predictions: Predictions,
    pixels: Sequence[npt.NDArray[Any]],
    model: VisionModel,
    *,
    definitions: Mapping[str, str] | None = None,
    only_unsure: bool = False,
    below: float | None = None,
) -> PreparedImages:
    """Make the questions about images that are classified already; nothing leaves this machine.

    Parameters
    ----------
    record : Record
        Of the classifier.
    predictions : Predictions
        Of N images.
    pixels : sequence of numpy.ndarray
        ``[bands, H, W]`` of each, as the classifier takes them.
    model, definitions, only_unsure, below
        As for :func:`prepare_images`.

    Raises
    ------
    DataError, SettingError
        If the classifier gives several labels per image, or a setting is not valid.
    """
    check_task(record)
    names, spec = record.class_names, record.input
    lines = read_definitions(None, names) if definitions is None else definitions
    unsure = unsure_rows(record, predictions, below=below)
    rows = np.flatnonzero(unsure).tolist() if only_unsure else list(range(len(predictions)))
    questions = tuple(
        make_question(pixels[row], bands=spec.bands, classes=names, definitions=lines, gsd=spec.gsd) for row in rows
    )
    return PreparedImages(record.name, predictions, unsure, tuple(rows), questions, model.estimate(questions))


def ask_images(
    prepared: PreparedImages,
    model: VisionModel,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> OpinionTable:
    """Ask about prepared images.

    Parameters
    ----------
    prepared : PreparedImages
        From :func:`prepare_images`.
    model : VisionModel
        The one they were prepared for.
    out : str or pathlib.Path, optional
        Table to write, ``.csv`` or ``.json``; its columns are those of :meth:`OpinionTable.columns`.
    overwrite : bool
        Replace it.
    progress : Progress
        Called for every image.

    Raises
    ------
    SettingError
        If the ending of `out` is not known; and as :meth:`VisionModel.ask`.
    DataError, MissingExtraError
        As :meth:`VisionModel.ask`.
    OutputError
        If `out` exists without `overwrite`, or cannot be written.
    """
    if out is not None:
        check_table(out, overwrite=overwrite)
    before = model.requests
    found = model.ask(prepared.questions, progress=progress)
    opinions: list[Opinion | None] = [None] * len(prepared.predictions)
    for row, opinion in zip(prepared.rows, found, strict=True):
        opinions[row] = opinion
    table = OpinionTable(
        prepared.classifier,
        model.settings.model,
        prepared.predictions,
        prepared.unsure,
        tuple(opinions),
        model.counted(found),
        model.requests - before,
    )
    if out is not None:
        _write(Path(out), table.columns(), overwrite=overwrite)
    return table


def check_table(out: str | Path, *, overwrite: bool = False) -> None:
    """Refuse a table that cannot be written, before anything is paid for.

    Raises
    ------
    SettingError, OutputError
        As :func:`ask_images`.
    """
    if Path(out).suffix.lower() not in SUFFIXES:
        raise SettingError(f"{out} does not end in {' or '.join(SUFFIXES)}", fix="give --out opinions.csv, say")
    check_output(Path(out), overwrite=overwrite)


def _write(out: Path, columns: Mapping[str, Sequence[Any]], *, overwrite: bool) -> None:
    rows = list(zip(*columns.values(), strict=True))
    with atomic_file(out, overwrite=overwrite) as temporary:
        if out.suffix.lower() == ".csv":
            write_csv(temporary, list(columns), rows)
        else:
            listed = [dict(zip(columns, row, strict=True)) for row in rows]
            temporary.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
