"""What goes around a taught head: temperature, sets, thresholds and out-of-distribution statistics, and the record.

All of it is settled on answers to windows that were held out, at the strength that cross-validation chose.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

import swath
from swath.errors import ModelFileError
from swath.evaluation.calibration import conformal_quantiles
from swath.evaluation.metrics import confusion_matrix, measure, measure_binary
from swath.evaluation.ranking import best_threshold
from swath.evaluation.temperature import fit_binary_temperature, fit_temperature, to_probabilities
from swath.inference.choice import make_engine
from swath.inference.ood import PatchOutputs, energies, extend_out_of_distribution
from swath.model import ModelFile, Record
from swath.model.graph import head_of, replace_head
from swath.model.memory import ClassMemory, Teaching, place_codes
from swath.model.ood import OutOfDistribution
from swath.model.record import ClassInfo, EngineParity, Estimate, ReferencePatches, Task, class_infos
from swath.model.seen import salt_of, with_seen
from swath.teaching.head import FittedHead, Head, Lesson
from swath.teaching.result import TeachingSource
from swath.teaching.windows import PlaceWindows

BATCHES = (1, 2, 7, 256)
MAX_DIFFERENCE = 1e-3
REFERENCE_PATCHES = 10
_CHECKED, _CHECKED_SMALL = 64, 16  # windows at most, in one batch and in several
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Settled:
    """What held-out answers decide.

    Attributes
    ----------
    names : tuple of str
        Classes in order.
    task : str
        Of the taught model.
    temperature : float
        Divides the logits.
    thresholds, conformal : dict of str to float
        As in the record.
    out_of_distribution : OutOfDistribution or None
        With the taught classes; None where the model before had none.
    memory : ClassMemory
        What was remembered, and the taught classes.
    predicted : numpy.ndarray
        int64 ``[N]``, the held-out class of each window's centered view.
    metrics : dict of str to Estimate
        On places, one window each.
    notes : tuple of str
        What the places were too few for.
    """

    names: tuple[str, ...]
    task: Task
    temperature: float
    thresholds: dict[str, float]
    conformal: dict[str, float]
    out_of_distribution: OutOfDistribution | None
    memory: ClassMemory
    predicted: npt.NDArray[np.int64]
    metrics: dict[str, Estimate]
    notes: tuple[str, ...]


def settle(
    record: Record,
    pixels: npt.NDArray[Any],
    lesson: Lesson,
    fitted: FittedHead,
    *,
    names: Sequence[str],
    task: Task,
    memory: ClassMemory | None,
    only: bool,
) -> Settled:
    """Settle what goes around the head on the held-out logits.

    Parameters
    ----------
    record : Record
        Of the model before.
    pixels : numpy.ndarray
        ``[N, V, bands, P, P]`` of the windows.
    lesson, fitted
        What the head was fitted to, and the fit.
    names, task
        Of the taught model.
    memory : ClassMemory, optional
        What was remembered, with the class numbers of the taught model.
    only : bool
        Whether older classes are forgotten.
    """
    n, views = lesson.features.shape[:2]
    held = as_outputs(fitted.held_out, task)
    rows = np.unique(lesson.places, return_index=True)[1]
    truth, centered = lesson.labels[rows], held[rows, 0]
    notes: list[str] = []
    thresholds: dict[str, float] = {}
    if task == "binary":
        temperature = fit_binary_temperature(centered, truth[:, None].astype(np.float64))
        probabilities = to_probabilities(held[:, 0], task, temperature)
        thresholds = {names[1]: best_threshold(truth > 0, probabilities[rows, 1])}
        metrics = measure_binary(
            truth > 0, probabilities[rows, 1], threshold=thresholds[names[1]], names=names
        ).headline()
        predicted = (probabilities[:, 1] >= thresholds[names[1]]).astype(np.int64)
    else:
        temperature = fit_temperature(centered, truth)
        probabilities = to_probabilities(held[:, 0], task, temperature)
        predicted = probabilities.argmax(axis=1).astype(np.int64)
        measured = measure(confusion_matrix(truth, predicted[rows], classes=len(names)), names)
        metrics = {"accuracy": measured.accuracy, "macro_f1": measured.macro_f1}
    conformal = conformal_quantiles(probabilities[rows], truth)
    open_levels = [level for level, quantile in conformal.items() if quantile >= 1]
    if open_levels:
        notes.append(f"{len(rows)} places are too few for prediction sets of {', '.join(open_levels)}: they hold all")
    kept, found = record.out_of_distribution, None
    if kept is not None:
        scored = np.zeros((n, views), bool)
        scored[rows, 0] = True
        flat = PatchOutputs(
            pixels.reshape(-1, *pixels.shape[2:]), lesson.features.reshape(n * views, -1), held.reshape(n * views, -1)
        )
        found = extend_out_of_distribution(
            kept,
            flat,
            np.repeat(lesson.labels, views),
            np.repeat(fitted.folds, views),
            scored.ravel(),
            task=task,
            temperature=temperature,
            size=record.input.size,
            older_energy=None if memory is None else _older_energy(memory, fitted.head, task, temperature),
            forget=only,
        )
    own = ClassMemory.of(lesson.features.reshape(n * views, -1), np.repeat(lesson.labels, views))
    counted = tuple(len(np.unique(lesson.places[lesson.labels == k])) for k in own.classes)
    own = own.model_copy(update={"counts": counted})
    return Settled(
        names=tuple(names),
        task=task,
        temperature=temperature,
        thresholds=thresholds,
        conformal=conformal,
        out_of_distribution=found,
        memory=own if memory is None else memory.joined(own),
        predicted=predicted,
        metrics=metrics,
        notes=tuple(notes),
    )


def as_outputs(logits: npt.NDArray[Any], task: Task) -> npt.NDArray[np.float32]:
    """Logits ``[..., L]`` as the graph gives them: of a detector the one of the positive class."""
    if task == "binary":
        logits = logits[..., 1:] - logits[..., :1]
    return np.asarray(logits, np.float32)


def _older_energy(memory: ClassMemory, head: Head, task: Task, temperature: float) -> Floats:
    """Mean energy of what each row of a memory stands for."""
    drawn, rows = memory.draw(200, seed=0)
    energy = energies(as_outputs(head.logits(drawn), task), task=task, temperature=temperature)
    return np.asarray(np.bincount(rows, weights=energy) / np.bincount(rows))


def taught_model(
    file: ModelFile,
    windows: PlaceWindows,
    lesson: Lesson,
    fitted: FittedHead,
    settled: Settled,
    *,
    engine: str,
    source: TeachingSource,
    counts: Mapping[str, int],
    only: bool,
    name: str,
) -> tuple[onnx.ModelProto, Record]:
    """The taught graph, which gives what was fitted, and its record.

    Raises
    ------
    ModelFileError
        If it does not.
    """
    before, task = file.record, settled.task
    weight, bias = fitted.head.weight, fitted.head.bias
    if task == "binary":
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    graph = replace_head(
        file.graph,
        np.asarray(weight, np.float32),
        np.asarray(bias, np.float32),
        task=task,
        temperature=settled.temperature,
    )
    chosen = _spread_over_classes(lesson.labels, _CHECKED)
    sample = np.ascontiguousarray(windows.pixels[chosen, 0])
    wanted = to_probabilities(
        as_outputs(fitted.head.logits(lesson.features[chosen, 0]), task), task, settled.temperature
    )
    parity, given = _check_graph(graph, sample, wanted, engine=engine)
    sha256 = hashlib.sha256(file.path.read_bytes()).hexdigest()
    digest = hashlib.sha256(np.ascontiguousarray(windows.pixels[:, 0]).tobytes()).hexdigest()
    salt = salt_of(f"{sha256} {digest}")
    at = windows.lonlat[np.isfinite(windows.lonlat).all(axis=1)]
    teaching = {
        "began_from": before.name,
        "sha256": sha256,
        "places": dict(counts),
        "forgot": only,
        "strength": fitted.strength,
        "colors": source.colors,
        "salt": salt,
        "codes": place_codes(at, salt=salt),
    }
    infos = _infos(settled.names, before.classes, binary=task == "binary")
    values = dict(before) | {
        "schema_version": Record.model_fields["schema_version"].default,
        "name": name,
        "created": datetime.now(UTC).date().isoformat(),
        "task": task,
        "total_parameters": before.total_parameters + weight.size + bias.size - _head_size(file),
        "classes": infos,
        "temperature": settled.temperature,
        "thresholds": settled.thresholds,
        "conformal": settled.conformal,
        "out_of_distribution": settled.out_of_distribution,
        "memory": settled.memory,
        "taught": (*before.taught, Teaching.model_validate(teaching)),
        "seen": with_seen(
            before.seen,
            bands=before.input.bands,
            train=np.ascontiguousarray(windows.pixels[:, 0]),
            size=before.input.size,
            salt=salt,
        ),
        "metrics": settled.metrics,
        "baselines": None,
        "parity": (parity,),
        "reference": ReferencePatches.pack(
            sample[:REFERENCE_PATCHES], given[:REFERENCE_PATCHES], tolerance=MAX_DIFFERENCE
        ),
        "versions": before.versions | {"swath": swath.__version__},
    }
    return graph, Record.model_validate(values)


def _check_graph(
    graph: onnx.ModelProto, pixels: npt.NDArray[Any], wanted: npt.NDArray[np.float32], *, engine: str
) -> tuple[EngineParity, npt.NDArray[np.float32]]:
    """The export check: the graph on an engine gives what the head in numpy gives, at several batch sizes."""
    runner = make_engine(engine, graph, threads=1)
    worst, agreed, first = 0.0, 1.0, np.empty(0, np.float32)
    for batch in BATCHES:
        sample = pixels if batch >= len(pixels) else pixels[:_CHECKED_SMALL]
        parts = [runner.run(sample[i : i + batch], ("probabilities",)) for i in range(0, len(sample), batch)]
        got = np.concatenate([part["probabilities"] for part in parts])
        first = first if len(first) else got
        difference = float(np.abs(got - wanted[: len(got)]).max())
        worst = max(worst, difference if np.isfinite(difference) else float("inf"))
        agreed = min(agreed, float((got.argmax(1) == wanted[: len(got)].argmax(1)).mean()))
    if worst > MAX_DIFFERENCE:
        raise ModelFileError(
            f"the taught graph does not give what was fitted (largest difference {worst:.2g}), so no model file was "
            "written",
            fix="try another engine: --engine onnxruntime",
        )
    parity = EngineParity(
        engine=runner.name,
        precision=runner.precision,
        patches=len(pixels),
        batch_sizes=BATCHES,
        max_difference=worst,
        label_agreement=agreed,
    )
    return parity, first


def _infos(names: Sequence[str], older: Sequence[ClassInfo], *, binary: bool) -> tuple[ClassInfo, ...]:
    """Classes with the colors they had; new ones get their own."""
    if binary:
        return class_infos(names, binary=True)
    colors = {info.name: info.color_hint for info in older}
    return tuple(
        info.model_copy(update={"color_hint": colors.get(info.name, info.color_hint)}) for info in class_infos(names)
    )


def _head_size(file: ModelFile) -> int:
    head = head_of(file.graph)
    return 0 if head is None else head[0].size + head[1].size


def _spread_over_classes(labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Up to `most` rows, one of each class in turn."""
    turn = np.zeros(len(labels), np.int64)
    for k in np.unique(labels):
        turn[labels == k] = np.arange((labels == k).sum())
    return np.lexsort((labels, turn))[:most]
