"""Analyze a model's mistakes on one split: what they have in common, and which patches to look at.

:func:`measure_errors` analyzes and returns an :class:`ErrorAnalysis` without touching a file;
:func:`write_errors` writes one into a folder; :func:`find_errors` does both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.evaluation.errors.findings import ErrorAnalysis, ErrorDetails, confused_pairs, weakest_classes
from swath.evaluation.errors.page import choose_galleries, evidence_maps, write_errors_page, write_every_map
from swath.evaluation.errors.slices import Slicing, measure_slices, slicings
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import measure
from swath.evaluation.predictions import Index, Model, SplitPredictions, open_inputs, predict_split, prepare_output
from swath.evaluation.results import FEW
from swath.explain import has_class_evidence
from swath.files import atomic_folder, write_csv
from swath.inference import Classifier
from swath.pages.text import written
from swath.progress import Progress, silent

Maps = Literal["shown", "all"]


def find_errors(
    model: Model,
    index: Index,
    *,
    split: str = "val",
    maps: Maps = "shown",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ErrorAnalysis:
    """Analyze the mistakes of a model on one split of an index.

    With `out`, the files of :func:`write_errors` are written, all or nothing; an access to ``test`` then adds a line
    to ``test_accesses.jsonl`` in the folder that holds `out`, as :func:`swath.evaluation.evaluate` does.

    Parameters
    ----------
    model : Classifier, str or pathlib.Path
        A single-label or binary model: loaded, a model file, or the name of a shipped model.
    index : PatchIndex, str or pathlib.Path
        Labeled patches with splits, or the file of such an index.
    split : str
        ``"val"`` by default: a test split whose single mistakes were acted on is no longer a test.
    maps : str
        ``"shown"``: heat maps of the patches on the page; ``"all"``: also a picture of every misclassified patch, in
        a folder per label and answer.
    out : str or pathlib.Path, optional
        The folder to make. Nothing is written without it.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every batch.

    Raises
    ------
    SettingError
        If the model is multi-label, or `maps` is ``"all"`` and it has no class activation maps.
    DataError
        If the split is empty, patches have no single label, or a class is not one of the model's.
    OutputError
        If `out` exists without `overwrite` or cannot be written.

    Examples
    --------
    >>> from swath.data import build_index
    >>> from swath.evaluation.errors import find_errors
    >>> found = find_errors("eurosat", build_index("eurosat-mini"))
    >>> found.errors, found.n
    (3, 200)
    """
    classifier, index = open_inputs(model, index)
    _check_task(classifier)
    if out is not None:
        prepare_output(classifier, index, split=split, out=Path(out), overwrite=overwrite)
    analysis = measure_errors(classifier, index, split=split, maps=maps, progress=progress)
    if out is not None:
        write_errors(analysis, out, overwrite=overwrite, progress=progress)
    return analysis


def measure_errors(
    classifier: Classifier, index: PatchIndex, *, split: str = "val", maps: Maps = "shown", progress: Progress = silent
) -> ErrorAnalysis:
    """Analyze mistakes; nothing is written, and an access to ``test`` is not noted.

    Raises
    ------
    SettingError, DataError
        As :func:`find_errors`.
    """
    _check_task(classifier)
    if maps == "all" and not has_class_evidence(classifier):
        raise SettingError(
            f"the model '{classifier.record.name}' has no class activation maps",
            fix="leave out --maps all, or explain single patches: swath explain MODEL IMAGES --method occlusion",
        )
    found = predict_split(classifier, index, split=split, progress=progress)
    parted, alike = slicings(found.part, found.pixels, bands=found.record.input.bands)
    pairs = confused_pairs(found.confusion, found.classes)
    galleries = choose_galleries(found, pairs)
    wrong = [np.flatnonzero(~found.right)] if maps == "all" else []
    rows = np.unique(np.concatenate([*galleries.values(), *wrong])) if galleries else np.empty(0, np.int64)
    evidence, note = evidence_maps(classifier, found, rows, progress=progress)
    return ErrorAnalysis(
        model=found.record.name,
        split=split,
        engine=found.engine,
        fingerprint=found.fingerprint,
        trained_on=found.record.data.fingerprint,
        n=len(found),
        errors=int((~found.right).sum()),
        seen=found.seen.count,
        unseen_accuracy=found.seen.proportion(found.right),
        accuracy=proportion(int(found.right.sum()), len(found)),
        pairs=pairs,
        weakest=weakest_classes(found.confusion, found.classes, measure(found.confusion, found.classes)),
        slices=measure_slices(found.right, found.truth, parted),
        alike=tuple(alike),
        warnings=_warnings(found),
        details=ErrorDetails(found, parted, galleries, evidence, note, every_map=maps == "all"),
    )


def write_errors(
    analysis: ErrorAnalysis, out: str | Path, *, overwrite: bool = False, progress: Progress = silent
) -> None:
    """Write an error analysis into a folder, all or nothing.

    ``index.html`` (the page, with pictures inside), ``errors.csv`` (every patch: path, label, predicted, confidence,
    loss, slices), ``errors.json`` (see :class:`ErrorAnalysis`) and, where it was made with ``maps="all"``, ``maps/``
    with one picture per misclassified patch, which ``errors.csv`` then names.

    Raises
    ------
    DataError
        If the analysis was read from JSON and holds no patches.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    details = analysis.details
    if details is None:
        raise DataError(
            "the error analysis holds numbers only, no patches", fix="analyze again: find_errors(MODEL, INDEX)"
        )
    with atomic_folder(Path(out), overwrite=overwrite, keep=details.predictions.inputs) as folder:
        (folder / "errors.json").write_text(analysis.to_json(), encoding="utf-8")
        pictures = write_every_map(folder, details, progress=progress) if details.every_map else None
        _write_table(folder / "errors.csv", details.predictions, details.slicings, pictures)
        write_errors_page(folder / "index.html", analysis)


def _check_task(classifier: Classifier) -> None:
    if classifier.record.task == "multi-label":
        raise SettingError(
            "the model is multi-label, and error analysis needs one class per patch",
            fix="use a single-label or binary model",
        )


def _warnings(found: SplitPredictions) -> tuple[str, ...]:
    said = []
    n = len(found.truth)
    if n < FEW:
        said.append(f"only {n} patches (fewer than {FEW}): most differences between slices go undetected")
    if found.seen.count.seen:
        said.append("on patches that the model has seen it makes fewer and other mistakes than on new ones")
    if found.split == "test":
        said.append("single test patches are shown: do not choose anything by them")
    there = set(found.truth.tolist())
    if len(there) == 1:
        said.append(f"all patches are {written(found.classes[there.pop()])}: nothing is known of other classes")
    # Patch by patch, as the first that differs ends it: a comparison of all at once is as large as the split.
    if all(np.array_equal(patch, found.pixels[0]) for patch in found.pixels):
        said.append("all patches are the same picture: no prediction can be right for two labels")
    return tuple(said)


def _write_table(path: Path, found: SplitPredictions, parted: list[Slicing], pictures: dict[int, str] | None) -> None:
    """Write one row per patch."""
    header = ["path", "label", "predicted", "confidence", "loss", *(s.by for s in parted)]
    columns = [
        found.paths,
        found.part.labels,
        found.predictions.labels,
        [f"{value:.6f}" for value in found.confidence],
        [f"{value:.6f}" for value in found.loss],
        *(s.names for s in parted),
    ]
    for slicing in parted:
        if slicing.values is not None:
            header.append(f"{slicing.by}_value")
            columns.append([f"{value:.4f}" for value in slicing.values])
    if pictures is not None:
        header.append("map")
        columns.append([pictures.get(row, "") for row in range(len(found))])
    write_csv(path, header, zip(*columns, strict=True))
