"""Look at a model's mistakes on one split, and write down what they have in common."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from swath.data import PatchIndex, class_numbers
from swath.errors import SettingError
from swath.evaluation.errors.findings import ErrorAnalysis, ErrorInputs, confused_pairs, weakest_classes
from swath.evaluation.errors.page import write_errors_page
from swath.evaluation.errors.slices import Slicing, measure_slices, slicings
from swath.evaluation.evaluate import TEST_ACCESSES, checked_split, note_test_access, predict_split
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import confusion_matrix, measure
from swath.evaluation.results import FEW
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.pages.wording import written
from swath.progress import Progress, silent


def find_errors(
    classifier: Classifier,
    index: PatchIndex,
    *,
    out: str | Path,
    split: str = "val",
    overwrite: bool = False,
    progress: Progress = silent,
) -> ErrorAnalysis:
    """Analyze the mistakes of `classifier` on one split of `index`.

    Writes into the folder `out`, all or nothing: ``index.html`` (the page, with pictures inside),
    ``errors.csv`` (every patch: path, label, predicted, confidence, loss, slices) and ``errors.json`` (see
    :class:`ErrorAnalysis`). Opening ``test`` adds a line to ``test_accesses.jsonl`` in the folder that
    holds `out`, as :func:`swath.evaluation.evaluate` does.

    Parameters
    ----------
    classifier : Classifier
        A loaded single-label or binary model.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        ``"val"`` by default: whoever looks at single mistakes will act on them, and a test split that was
        acted on is none any more.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every batch.

    Raises
    ------
    SettingError
        If the model is multi-label.
    DataError
        If the split is empty, patches have no single label, or a class is not one of the model's.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    out = Path(out)
    _check_task(classifier)
    n = len(
        checked_split(index, split=split, classes=classifier.record.class_names, task=classifier.record.task)
    )
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path)) as folder:
        if split == "test":
            note_test_access(
                out.parent / TEST_ACCESSES, model=classifier.record.name, fingerprint=index.fingerprint, n=n
            )
        analysis, answers, parted = analyze_errors(classifier, index, split=split, progress=progress)
        text = analysis.model_dump_json(indent=2) + "\n"
        (folder / "errors.json").write_text(text, encoding="utf-8")
        _write_table(folder / "errors.csv", answers, parted)
        write_errors_page(folder / "index.html", classifier, answers, analysis, progress=progress)
    return analysis


def analyze_errors(
    classifier: Classifier, index: PatchIndex, *, split: str = "val", progress: Progress = silent
) -> tuple[ErrorAnalysis, ErrorInputs, list[Slicing]]:
    """Analyze mistakes without writing anything; whoever opens ``test`` with it makes a note of that.

    Returns
    -------
    tuple of ErrorAnalysis, Answers and list of Slicing
        What was found, the answers it was found in, and how they were sliced.

    Raises
    ------
    SettingError, DataError
        As :func:`find_errors`.
    """
    _check_task(classifier)
    record = classifier.record
    names = record.class_names
    answered = predict_split(classifier, index, split=split, progress=progress)
    part, pixels, probabilities = answered.part, answered.pixels, answered.probabilities
    truth = part.targets(names, multi_label=False)
    # The record's thresholds decide a binary model, so the classifier is asked, not argmax.
    predicted = class_numbers(classifier.decide(probabilities).labels, names)
    answers = ErrorInputs(part, pixels, names, probabilities, truth, predicted)
    parted, alike = slicings(part, pixels, bands=record.input.bands)
    confusion = confusion_matrix(truth, predicted, classes=len(names))
    same_index = index.fingerprint == record.data.fingerprint
    analysis = ErrorAnalysis(
        model=record.name,
        split=split,
        engine=classifier.engine,
        fingerprint=index.fingerprint,
        trained_on=record.data.fingerprint,
        n=len(truth),
        errors=int((~answers.right).sum()),
        accuracy=proportion(int(answers.right.sum()), len(truth)),
        pairs=confused_pairs(confusion, names),
        weakest=weakest_classes(confusion, names, measure(confusion, names)),
        slices=measure_slices(answers.right, truth, parted),
        alike=tuple(alike),
        warnings=_warnings(answers, split=split, same_index=same_index),
    )
    return analysis, answers, parted


def _check_task(classifier: Classifier) -> None:
    if classifier.record.task == "multi-label":
        raise SettingError(
            "the model is multi-label, and error analysis goes through one class a patch",
            fix="use a single-label or binary model",
        )


def _warnings(answers: ErrorInputs, *, split: str, same_index: bool) -> tuple[str, ...]:
    found = []
    n = len(answers.truth)
    if n < FEW:
        found.append(f"only {n} patches (fewer than {FEW}): most differences between slices stay unseen")
    if same_index and split == "train":
        found.append("the model was trained on these patches: it makes other mistakes on new ones")
    if split == "test":
        found.append("this looked at single test patches: do not choose anything by them")
    there = set(answers.truth.tolist())
    if len(there) == 1:
        found.append(
            f"all patches are {written(answers.classes[there.pop()])}: nothing is known of other classes"
        )
    # Patch by patch, as the first that differs ends it: a comparison of all at once is as large as the split.
    if all(np.array_equal(patch, answers.pixels[0]) for patch in answers.pixels):
        found.append("all patches are the same picture: no answer can be right for two labels")
    return tuple(found)


def _write_table(path: Path, answers: ErrorInputs, parted: Sequence[Slicing]) -> None:
    """Write one row a patch."""
    measured = [slicing for slicing in parted if slicing.values is not None]
    header = ["path", "label", "predicted", "confidence", "loss"]
    header += [slicing.by for slicing in parted] + [f"{slicing.by}_value" for slicing in measured]
    slices = zip(*(slicing.names for slicing in parted), strict=True) if parted else [()] * len(answers.truth)
    values = np.array([s.values for s in measured]).T if measured else np.empty((len(answers.truth), 0))
    columns = zip(
        answers.part.paths,
        answers.part.labels,
        answers.predicted.tolist(),
        answers.confidence.tolist(),
        answers.loss.tolist(),
        slices,
        values.tolist(),
        strict=True,
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for name, label, called, confidence, loss, parts, numbers in columns:
            fixed = [name, label, answers.classes[called], f"{confidence:.6f}", f"{loss:.6f}"]
            writer.writerow([*fixed, *parts, *(f"{number:.4f}" for number in numbers)])
