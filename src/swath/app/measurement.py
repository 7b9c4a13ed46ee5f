"""A visitor's model and labeled patches, measured: everything of the page Model but the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swath.app.settings import MOST_PATCHES, PATCH_PIXELS
from swath.data import PatchIndex, build_index
from swath.data.cache import cache_in
from swath.errors import DataError
from swath.evaluation import Comparison, Evaluation, measure_split
from swath.evaluation.compare import measure_comparison
from swath.evaluation.errors.findings import confused_pairs
from swath.evaluation.errors.page import choose_galleries, evidence_maps
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.results import display_name
from swath.explain.pictures import panels
from swath.inference import Classifier, check_model, load
from swath.model import Record, card, read_model
from swath.pages.text import counted, listed, with_interval
from swath.progress import Progress, silent

SPLIT = "test"
_TITLES = {
    "loss": "Wrong, and the right class hardly considered",
    "sure": "Wrong, but confident",
    "unsure": "Right, but unsure",
}
_UNTESTED = "None of these maps was compared with random ones, as the page Classify does: some may show nothing."
_HIDDEN = ("file",)  # rows of a card that name a folder of this machine


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A model file that may be run.

    Attributes
    ----------
    classifier : Classifier
        The model.
    card : tuple of (str, str)
        What it says of itself, by name.
    checked : str
        What the check of the file found, in a sentence.
    """

    classifier: Classifier
    card: tuple[tuple[str, str], ...]
    checked: str


@dataclass(frozen=True)
class Tile:
    """A patch with its maps of evidence, JPEG, and what is said below it."""

    picture: bytes
    caption: str
    alt: str


@dataclass(frozen=True, eq=False)
class Measurement:
    """A model measured on labeled patches.

    Attributes
    ----------
    evaluation : Evaluation
        All numbers and charts.
    galleries : dict of str to list of Tile
        Patches to look at, by title.
    note : str
        What the maps next to them show, or why there are none.
    """

    evaluation: Evaluation
    galleries: dict[str, list[Tile]]
    note: str


def open_model(model: str | Path, *, engine: str = "auto", threads: int | None = None) -> OpenedModel:
    """Validate a model file as something that anybody may have written, run its reference patches, and load it.

    Raises
    ------
    SwathError
        If it is no model file, its record or its graph is not sound, or it does not give what it gave when written.
    """
    rows = tuple((name, value) for name, value in card(read_model(model)) if name not in _HIDDEN)
    found = check_model(model, engine=engine, threads=threads)
    sealed = "" if found.sealed else " It was written without a digest of its record, so changes of it would not show."
    checked = (
        f"Sound: it gives on its {found.patches} reference patches what it gave when it was written (largest "
        f"difference of a probability {found.max_difference:.1e}).{sealed}"
    )
    return OpenedModel(load(model, engine=engine, threads=threads), rows, checked)


def shipped_part(patches: PatchIndex) -> PatchIndex:
    """The test patches of the shipped set."""
    return patches.where(SPLIT)


def open_patches(archive: Path, *, progress: Progress = silent) -> PatchIndex:
    """Index a zip of labeled patches, all of which are measured on.

    Parameters
    ----------
    archive : pathlib.Path
        Folders named after classes, or pictures with a table of labels.
    progress : Progress
        Called for every patch.

    Raises
    ------
    DataError
        If it is no such archive, is damaged or unsafe, or holds too much.
    """
    found = build_index(archive, skip_unreadable=True, progress=progress)
    if len(found) > MOST_PATCHES:
        raise DataError(f"there are {len(found):,} patches", fix=f"give {MOST_PATCHES:,} or fewer")
    pixels = int(np.dot(found.column("width"), found.column("height")))
    if pixels > PATCH_PIXELS:
        raise DataError(
            f"these patches have {pixels / 1e6:,.0f} million pixels together",
            fix=f"give fewer or smaller ones, {PATCH_PIXELS // 1_000_000} million pixels at most",
        )
    return found.with_columns({"split": [SPLIT] * len(found)})


def measure(model: Classifier, patches: PatchIndex, folder: Path, *, progress: Progress = silent) -> Measurement:
    """Measure a model on labeled patches, and choose those to look at.

    Parameters
    ----------
    model : Classifier
        Of any task.
    patches : PatchIndex
        All in one split.
    folder : pathlib.Path
        Where decoded patches are kept: they are the visitor's.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError
        If the patches have classes that the model does not know, or other bands.
    """
    with cache_in(folder):
        evaluation = measure_split(model, patches, split=SPLIT, progress=progress)
    found = evaluation.predictions
    if found is None or model.record.task == "multi-label":
        return Measurement(evaluation, {}, "")
    galleries = choose_galleries(found, confused_pairs(found.confusion, found.classes))
    chosen = {_TITLES[title]: rows for title, rows in galleries.items() if title in _TITLES}
    rows = np.unique(np.concatenate(list(chosen.values()))) if chosen else np.empty(0, np.int64)
    maps, note = evidence_maps(model, found, rows, progress=progress)
    return Measurement(
        evaluation,
        {title: [_tile(found, row, maps.get(row, [])) for row in rows.tolist()] for title, rows in chosen.items()},
        f"{note} {_UNTESTED}" if maps else note,
    )


def compare(
    first: Classifier, second: Classifier, patches: PatchIndex, folder: Path, *, progress: Progress = silent
) -> Comparison:
    """Compare two models on the same patches.

    Raises
    ------
    DataError
        If their classes differ, or as :func:`measure`.
    """
    with cache_in(folder):
        return measure_comparison(first, second, patches, split=SPLIT, progress=progress)


def learned(record: Record) -> list[str]:
    """What a model was trained on, in sentences."""
    data = record.data
    counts = listed([f"{n:,} {split}" for split, n in data.counts.items()]) if data.counts else "an unknown number of"
    said = [f"Trained on {data.name}: {counts} patches; split: {data.split_protocol}."]
    if data.attribution:
        said.append(f"Source: {data.attribution}.")
    if record.taught:
        said.append(f"Afterwards it was taught {counted(len(record.taught), 'time', 'times')} from labeled places.")
    return said


def stated(record: Record) -> list[tuple[str, str]]:
    """The metrics in a model file, with their intervals."""
    return [(display_name(name), with_interval(value)) for name, value in record.metrics.items()]


def _tile(found: SplitPredictions, row: int, maps: Sequence[np.ndarray]) -> Tile:
    label, said = found.part.labels[row], found.predictions.labels[row]
    sure = f"{100 * found.confidence[row]:.1f} %"
    caption = f"{label}, {sure}" if label == said else f"labeled {label}, answered {said} ({sure})"
    picture = panels(found.pixels[row], bands=found.record.input.bands, maps=maps)
    return Tile(picture, caption, f"Patch {found.paths[row]}, {caption}")
