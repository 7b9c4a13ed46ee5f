"""A model's predictions on the patches of a split: the one path from an index to numbers.

:func:`predict_split` checks that a split can be measured, decodes it, runs the model on :data:`BATCH` patches at a
time and returns :class:`SplitPredictions`: truth and predictions as class numbers, patch by patch. Everything that
is measured on labeled patches starts from it. :func:`prepare_output` comes first where the result is written: it
refuses what cannot be measured or written, and notes an access to the test split.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from swath.data import PatchIndex, cached_pixels, class_numbers, label_matrix, read_index
from swath.errors import DataError
from swath.evaluation.metrics import confusion_matrix
from swath.evaluation.seen import SeenRows, seen_rows
from swath.files import check_folder
from swath.inference import Classifier, load
from swath.inference.predictions import Predictions, concatenate
from swath.model import Record
from swath.pages.text import written
from swath.progress import Progress, silent

BATCH = 256  # patches per call of the model
SAMPLE = 200  # train patches that tell whether a model learned from an index
TEST_ACCESSES = "test_accesses.jsonl"
_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make the loss infinite
Model = Classifier | str | Path
Index = PatchIndex | str | Path


@dataclass(frozen=True, eq=False, repr=False)
class SplitPredictions:
    """What a model predicts for N patches of a split, next to the truth.

    Attributes
    ----------
    record : Record
        Of the model: task, classes and thresholds.
    engine : str
        What ran the model, and in which precision.
    split : str
        The split of the index.
    fingerprint : str
        Of the whole index.
    part : PatchIndex
        The N patches.
    rows : numpy.ndarray
        ``[N]`` int64, which rows of the split they are.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` as the model takes them.
    predictions : Predictions
        Labels, confidences, probabilities, and where the model file allows it out-of-distribution flags.
    outputs : mapping of str to numpy.ndarray
        Further outputs of the graph that were asked for, float32 by name, such as ``logits [N, L]``.
    inputs : tuple of pathlib.Path
        Files and folders that an output must not replace: patches, index and model.
    test : int
        Patches of the split ``test`` of the index, where another split is predicted.
    """

    record: Record
    engine: str
    split: str
    fingerprint: str
    part: PatchIndex
    rows: npt.NDArray[np.int64]
    pixels: npt.NDArray[Any]
    predictions: Predictions
    outputs: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    inputs: tuple[Path, ...] = ()
    test: int = 0

    def __len__(self) -> int:
        return len(self.part)

    def __repr__(self) -> str:
        right = f"{int(self.right.sum()):,} of {len(self):,} patches right"
        return f"<SplitPredictions of '{self.record.name}' on {self.split}: {right}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes of the model."""
        return self.record.class_names

    @property
    def paths(self) -> list[str]:
        """Path of each patch, relative to the root of the index."""
        return self.part.paths

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """``[N, K]``, calibrated."""
        return self.predictions.probabilities

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """``[N]``, the probability of the predicted class."""
        return self.predictions.confidence

    @cached_property
    def truth(self) -> npt.NDArray[Any]:
        """Labels of the patches: ``[N]`` int64 class numbers, or of a multi-label model ``[N, K]`` bool."""
        if self.record.task == "multi-label":
            return label_matrix(self.part.label_sets, self.classes) > 0
        return class_numbers(self.part.labels, self.classes)

    @cached_property
    def predicted(self) -> npt.NDArray[Any]:
        """Predicted labels, in the form of :attr:`truth`."""
        if self.record.task == "multi-label":
            return label_matrix(self.predictions.label_sets, self.classes) > 0
        return class_numbers(self.predictions.labels, self.classes)

    @cached_property
    def right(self) -> npt.NDArray[np.bool_]:
        """``[N]``, whether the prediction is the truth; of several labels, whether all are."""
        same = np.asarray(self.truth == self.predicted)
        return np.asarray(same.reshape(len(self), -1).all(axis=1))

    @cached_property
    def loss(self) -> npt.NDArray[np.float64]:
        """``[N]`` float64, negative logarithm of the probability of the true class; of one label per patch."""
        own = self.probabilities[np.arange(len(self)), self.truth].astype(np.float64)
        return np.asarray(-np.log(np.maximum(own, _SMALLEST)) + 0.0)

    @cached_property
    def confusion(self) -> npt.NDArray[np.int64]:
        """``[K, K]`` int64 counts, true classes in rows; of one label per patch."""
        return confusion_matrix(self.truth, self.predicted, classes=len(self.classes))

    @cached_property
    def seen(self) -> SeenRows:
        """Which of the patches the model has seen, by their pixels."""
        found = seen_rows(self.record, self.pixels)
        return with_fields(found, count=found.count.model_copy(update={"test": self.test}))

    def take(self, rows: npt.NDArray[Any]) -> SplitPredictions:
        """Return some of the patches: ``[N]`` bool, or places."""
        places = np.arange(len(self))[rows]
        return with_fields(
            self,
            part=with_fields(self.part, table=self.part.table.take(pa.array(places))),
            rows=self.rows[places],
            pixels=self.pixels[places],
            predictions=self.predictions[places],
            outputs={name: values[places] for name, values in self.outputs.items()},
        )


def predict_split(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str,
    rows: npt.NDArray[np.int64] | None = None,
    outputs: Sequence[str] = (),
    stage: str = "evaluate",
    progress: Progress = silent,
) -> SplitPredictions:
    """Run a model on the patches of one split; the caller notes an access to ``test``.

    Parameters
    ----------
    classifier : Classifier
        A loaded model of any task.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        ``"train"``, ``"val"`` or ``"test"``.
    rows : numpy.ndarray, optional
        ``[N]`` int64 rows of the split; all by default. See :func:`sample_rows`.
    outputs : sequence of str
        Further outputs of the graph, such as ``"features"``. Each patch is then seen in one view, whatever the
        classifier's test-time augmentation.
    stage : str
        Name of the work for `progress`.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError
        If the split is empty, patches have one label where the model gives several or the other way round,
        or a class is not one of the model's.

    Examples
    --------
    >>> import swath
    >>> from swath.data import build_index
    >>> from swath.evaluation.predictions import predict_split
    >>> found = predict_split(swath.load("eurosat"), build_index("eurosat-mini"), split="val")
    >>> found.probabilities.shape
    (200, 10)
    """
    record = classifier.record
    part = checked_split(index, split=split, classes=record.class_names, task=record.task)
    pixels = model_pixels(classifier, part, progress=progress)
    if rows is None:
        rows = np.arange(len(part))
    else:
        part = with_fields(part, table=part.table.take(pa.array(rows)))
        pixels = np.ascontiguousarray(pixels[rows])
    found: dict[str, npt.NDArray[np.float32]] = {}
    if outputs:
        wanted = ("probabilities", *outputs)
        found = model_outputs(classifier, pixels, wanted=wanted, stage=stage, progress=progress)
        predictions = classifier.decide(found.pop("probabilities"))
    else:
        predictions = predict_pixels(classifier, pixels, stage=stage, progress=progress)
    inputs = (*index.inputs, classifier.path)
    test = 0 if split == "test" else index.split_counts.get("test", 0)
    return SplitPredictions(
        record, classifier.engine, split, index.fingerprint, part, rows, pixels, predictions, found, inputs, test
    )


def predict_pixels(
    classifier: Classifier, pixels: npt.NDArray[Any], *, stage: str = "evaluate", progress: Progress = silent
) -> Predictions:
    """Classify patches ``[N, bands, H, W]`` that are decoded already."""
    return concatenate([classifier.answer(batch) for batch in batches(pixels, stage=stage, progress=progress)])


def model_outputs(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    *,
    wanted: Sequence[str] = ("probabilities",),
    stage: str = "classify",
    progress: Progress = silent,
) -> dict[str, npt.NDArray[np.float32]]:
    """Outputs of the graph for patches ``[N, bands, H, W]``, by name."""
    parts = [classifier.run(batch, wanted=wanted) for batch in batches(pixels, stage=stage, progress=progress)]
    return {name: np.concatenate([part[name] for part in parts]) for name in wanted}


def batches(pixels: npt.NDArray[Any], *, stage: str, progress: Progress = silent) -> Iterator[npt.NDArray[Any]]:
    """Patches, :data:`BATCH` at a time; the engine cuts these into the batches that it runs fastest."""
    for start in range(0, len(pixels), BATCH):
        yield pixels[start : start + BATCH]
        progress(stage, min(start + BATCH, len(pixels)), len(pixels))


def model_pixels(classifier: Classifier, part: PatchIndex, *, progress: Progress = silent) -> npt.NDArray[Any]:
    """Decode patches as the model takes them; of the model's size if they are not squares of one size."""
    width, height = (part.table.column(name).unique().to_pylist() for name in ("width", "height"))
    size = None if len(width) == 1 and width == height else classifier.size
    spec = classifier.record.input
    return cached_pixels(part, bands=spec.bands, size=size, of=spec.file_bands, progress=progress)


def learned_from(classifier: Classifier, index: PatchIndex) -> bool:
    """Whether the model learned from the train split of `index`, or most of it, as some of its patches tell."""
    if index.fingerprint == classifier.record.data.fingerprint:
        return True  # with no look at any patch
    if "train" not in index.split_counts:
        return False
    part = index.where("train")
    some = with_fields(part, table=part.table.take(pa.array(sample_rows(len(part), SAMPLE, seed=0))))
    try:
        seen = seen_rows(classifier.record, model_pixels(classifier, some)).count
    except DataError:  # train patches may lie elsewhere, or be of another kind than those that are measured
        return False
    return 2 * seen.train > seen.patches


def sample_rows(n: int, limit: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Sorted rows of up to `limit` of `n` patches, drawn at random so that they represent all of them.

    A larger `limit` adds to the rows of a smaller one.
    """
    return np.sort(np.random.default_rng(seed).permutation(n)[:limit])


def checked_split(index: PatchIndex, *, split: str, classes: tuple[str, ...], task: str) -> PatchIndex:
    """Return the split's part of `index`, or say why a model cannot be measured on it.

    Raises
    ------
    DataError
        As :func:`predict_split`.
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
            f"index '{index.name}' has no patch in split '{split}'", fix=f"its splits are: {', '.join(splits)}"
        )
    part = index.where(split)
    found: Iterable[str] = part.classes if task == "multi-label" else part.labels
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise DataError(
            f"split '{split}' of index '{index.name}' has classes the model does not know: "
            f"{', '.join(map(written, unknown))}",
            fix=f"make a binary index with: swath data binary INDEX --positive '{written(classes[1], limit=200)}'"
            if task == "binary" and classes[1] in index.classes
            else f"rename or drop them; the model's classes: {', '.join(map(written, classes))}",
        )
    return part


def open_inputs(model: Model, index: Index) -> tuple[Classifier, PatchIndex]:
    """Load a model and read an index, where they are given by name or path."""
    return (
        model if isinstance(model, Classifier) else load(model),
        index if isinstance(index, PatchIndex) else read_index(index),
    )


def prepare_output(
    classifier: Classifier, index: PatchIndex, *, split: str, out: Path, overwrite: bool, limit: int = 0
) -> None:
    """Refuse what cannot be measured or written, before any work; then note an access to the test split.

    Parameters
    ----------
    classifier, index, split
        As for :func:`predict_split`.
    out : pathlib.Path
        The folder to be written; accesses are noted in the folder that holds it.
    overwrite : bool
        Replace an existing folder.
    limit : int
        Patches to look at, where it is not all of them.

    Raises
    ------
    DataError, OutputError
        If the split cannot be measured, or `out` exists without `overwrite`, holds an input or cannot be written.
    """
    record = classifier.record
    n = len(checked_split(index, split=split, classes=record.class_names, task=record.task))
    check_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path))
    if split == "test":
        note_test_access(
            out.parent / TEST_ACCESSES, model=record.name, fingerprint=index.fingerprint, n=min(n, limit or n)
        )


def note_test_access(path: Path, *, model: str, fingerprint: str, n: int) -> None:
    """Append one line to the record of accesses to the test split."""
    line = {
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "fingerprint": fingerprint,
        "n": n,
    }
    # One short append reaches the file whole or not at all; earlier lines are never rewritten.
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
