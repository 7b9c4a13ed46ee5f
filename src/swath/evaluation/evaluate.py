"""Measure a model on one split of an index and write down what was found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError
from swath.evaluation.intervals import proportion
from swath.evaluation.results import Evaluation
from swath.evaluation.tasks import SplitPredictions, measured
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.inference.predictions import Predictions, joined
from swath.pages.wording import written
from swath.progress import Progress, silent

TEST_ACCESSES = "test_accesses.jsonl"
_BATCH = 256


def model_pixels(
    classifier: Classifier, part: PatchIndex, *, progress: Progress = silent
) -> npt.NDArray[Any]:
    """Pixels of all patches as the model takes them; of the model's size if they are not squares of one."""
    width, height = (part.table.column(name).unique().to_pylist() for name in ("width", "height"))
    size = None if len(width) == 1 and width == height else classifier.size
    return cached_pixels(part, bands=classifier.record.input.bands, size=size, progress=progress)


def model_outputs(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    *,
    wanted: Sequence[str] = ("probabilities",),
    stage: str = "classify",
    progress: Progress = silent,
) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs of the graph for all patches, by name, a batch at a time."""
    parts: list[dict[str, npt.NDArray[np.float32]]] = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(dict(classifier.run(pixels[start : start + _BATCH], wanted=wanted)))
        progress(stage, min(start + _BATCH, len(pixels)), len(pixels))
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def evaluate(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str = "test",
    out: str | Path,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Evaluation:
    """Measure `classifier` on one split of `index`, beside the baselines of its record.

    Writes into the folder `out`, all or nothing: ``metrics.json`` (see :class:`Evaluation`) and
    ``predictions.csv`` (path, label, predicted, confidence, and probabilities where a threshold decides);
    ``confusion.csv`` and ``.png`` (single-label, binary) or ``labels.csv`` (multi-label); ``per_class.png``
    (single-label, multi-label); ``curves.png``, precision-recall and ROC (binary, multi-label). Thresholds
    are those of the model file: there is no way to choose one here. Patches that are not all squares of one
    size are resized to the model's own.

    A test split that is looked at again and again stops being a test. So each access to the test split appends
    one line to ``test_accesses.jsonl`` in the folder that holds `out` (the run's folder), before any
    answer is computed: date, model, fingerprint of the index, number of patches.

    Parameters
    ----------
    classifier : Classifier
        A loaded model of any task.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        ``"test"``, ``"val"`` or ``"train"``.
    out : str or pathlib.Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError
        If the split is empty, patches have one label where the model gives several or the other way round,
        or a class is not one of the model's.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    out = Path(out)
    record = classifier.record
    part = checked_split(index, split=split, classes=record.class_names, task=record.task)
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path)) as folder:
        if split == "test":
            note_test_access(
                out.parent / TEST_ACCESSES, model=record.name, fingerprint=index.fingerprint, n=len(part)
            )
        answered = predict_split(classifier, index, split=split, progress=progress)
        evaluation = measured(answered, folder)
        (folder / "metrics.json").write_text(evaluation.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return evaluation


def predict_split(
    classifier: Classifier, index: PatchIndex, *, split: str, progress: Progress = silent
) -> SplitPredictions:
    """Run a model on one split of an index. Opening ``test`` is for :func:`evaluate`, which makes a note of it.

    Raises
    ------
    DataError
        As :func:`evaluate`.
    """
    record = classifier.record
    part = checked_split(index, split=split, classes=record.class_names, task=record.task)
    pixels = model_pixels(classifier, part, progress=progress)
    answers = _run(classifier, pixels, progress=progress)
    facts = {
        "model": record.name,
        "split": split,
        "n": len(part),
        "fingerprint": index.fingerprint,
        "trained_on": record.data.fingerprint,
        "protocol": record.data.split_protocol,
        "engine": classifier.engine,
        "ood": None if answers.is_ood is None else proportion(int(answers.is_ood.sum()), len(part)),
    }
    return SplitPredictions(record, part, pixels, answers.probabilities, facts)


def checked_split(index: PatchIndex, *, split: str, classes: tuple[str, ...], task: str) -> PatchIndex:
    """Give the split's part of `index`, or say why it cannot be evaluated.

    Raises
    ------
    DataError
        As :func:`evaluate`.
    """
    if index.multi_label != (task == "multi-label"):
        given = "carry lists of labels" if index.multi_label else "have one label each"
        raise DataError(
            f"the model is {task}, and the patches of index '{index.name}' {given}",
            fix="make the index from a table with a column 'labels'"
            if task == "multi-label"
            else "make a binary index with: swath data binary INDEX --positive CLASS"
            if task == "binary"
            else "use a multi-label model",
        )
    splits = [name for name in index.split_counts if name is not None]
    if not splits:
        raise DataError("the index has no splits", fix="make them with: swath data split")
    if split not in splits:
        raise DataError(
            f"the index has no patch in split '{split}'", fix=f"its splits are: {', '.join(splits)}"
        )
    part = index.where(split)
    found: Iterable[str] = part.classes if task == "multi-label" else part.labels
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise DataError(
            f"split '{split}' has classes the model does not know: {', '.join(map(written, unknown))}",
            fix=f"make a binary index with: swath data binary INDEX --positive '{written(classes[1], limit=200)}'"
            if task == "binary" and classes[1] in index.classes
            else f"rename or drop them; the model's classes: {', '.join(map(written, classes))}",
        )
    return part


def note_test_access(path: Path, *, model: str, fingerprint: str, n: int) -> None:
    """Append one line to the record of test accesses."""
    line = {
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "fingerprint": fingerprint,
        "n": n,
    }
    # One short append reaches the file whole or not at all; earlier lines are never rewritten.
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _run(classifier: Classifier, pixels: npt.NDArray[Any], *, progress: Progress) -> Predictions:
    parts = []
    for start in range(0, len(pixels), _BATCH):
        parts.append(classifier.answer(pixels[start : start + _BATCH], batch_size=_BATCH))
        progress("evaluate", min(start + _BATCH, len(pixels)), len(pixels))
    return joined(parts)
