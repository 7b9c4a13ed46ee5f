"""Teach a model file from labeled places and write a complete new one, with an account of what was gained."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from swath.config import printable
from swath.data import PatchIndex, cached_pixels
from swath.data.relabel import NEGATIVE
from swath.errors import DataError, ModelFileError, SettingError
from swath.evaluation.compare import mcnemar
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import paired_differences
from swath.files import check_output
from swath.inference import load
from swath.inference.choice import AUTO, choose_engine
from swath.inference.classifier import Classifier
from swath.inference.rescale import Asked, read_rescale
from swath.mapping.places import Places, match_names, read_places
from swath.model import ModelFile, check_not_model, read_model, write_model
from swath.model.memory import ClassMemory
from swath.model.record import Task, predicted_class
from swath.progress import Progress, silent
from swath.teaching.colors import asked_places, compare_renderings, other_rendering
from swath.teaching.head import FittedHead, Head, Lesson, fit_head, remember
from swath.teaching.result import ClassGain, TeachingResult, TeachingSource
from swath.teaching.settle import Settled, settle, taught_model
from swath.teaching.windows import (
    VIEWS,
    PlaceWindows,
    check_room,
    cut_windows,
    open_strips,
    pixel_centers,
    random_windows,
    turned_views,
)

Negatives = Literal["places", "random"]
FEW = 3  # places of a class below which nothing can be said of it
NEGATIVES_PER_POSITIVE, LEAST_NEGATIVES = 3, 30
MOST_CLASSES = 200
Ints = npt.NDArray[np.int64]
Remembered = tuple[npt.NDArray[np.float64], Ints, npt.NDArray[np.float64]]


def teach(
    model: str | Path,
    *,
    out: str | Path,
    scene: Any = None,
    places: str | Path | Places | None = None,
    patches: PatchIndex | None = None,
    only: bool = False,
    positive: str | None = None,
    negatives: Negatives = "places",
    bands: Sequence[int] | None = None,
    rescale: Asked = "auto",
    nodata: float | None = None,
    places_crs: Any = None,
    label_field: str | None = None,
    layer: str | None = None,
    seed: int = 0,
    engine: str = AUTO,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> TeachingResult:
    """Fit a model's linear head to labeled places of a scene, or to a few patches, and write it as a new model file.

    The network stays as it is. Windows around each place are cut from the scene as :func:`swath.mapping.map_scene`
    cuts them, shifted and turned; the head is fitted to their features with a penalty that draws it to what it was,
    next to features drawn from the statistics of the older classes that the file keeps. Temperature, prediction sets,
    thresholds and the detection of what is unlike the training data are settled on answers to places that were held
    out.

    Parameters
    ----------
    model : str or pathlib.Path
        A model file with an output ``features``, or the name of a shipped one.
    out : str or pathlib.Path
        Model file to write.
    scene : optional
        What :func:`swath.mapping.map_scene` takes; needs `places`.
    places : str, pathlib.Path or Places, optional
        Labeled places, or their file; see :func:`swath.mapping.places.read_places`. Classes may be new.
    patches : PatchIndex, optional
        Labeled patches, in place of a scene; its groups are held out together.
    only : bool
        Forget the older classes that no place has, and all that was learned of the others.
    positive : str, optional
        Make a detector of this class against everything else.
    negatives : str
        What everything else is: ``"places"`` of other classes, or ``"random"`` ones in the scene too.
    bands, rescale, nodata
        As for :func:`swath.mapping.map_scene`; the map of the new model is to be made with the same. With ``"auto"``
        the scene is taken in the rendering in which the model before knows more of the places; the result's source
        says which.
    places_crs, label_field, layer
        As for :func:`swath.mapping.places.read_places`.
    seed : int
        Of shifts, turns, and what is drawn.
    engine, threads
        As for :func:`swath.load`; in fp32 always.
    overwrite : bool
        Replace `out` if it exists.
    progress : Progress
        Called with stages ``"windows"``, ``"features"`` and ``"teaching"``.

    Returns
    -------
    TeachingResult
        What was gained, by cross-validation over places.

    Raises
    ------
    DataError
        If places or scene cannot be used, or there is one class only.
    ModelFileError
        If the model has no features, or the written graph does not give what was fitted.
    SettingError
        If options do not fit.
    OutputError
        If `out` exists without `overwrite` or cannot be written. Nothing is left half-written.
    """
    began = time.monotonic()
    out = Path(out)
    check_output(out, overwrite=overwrite)
    check_not_model(out, model)
    if (patches is None) == (scene is None and places is None):
        raise SettingError("a model is taught from places of a scene or from patches", fix="give --scene and --places")
    if patches is None and (scene is None or places is None):
        missing = "--scene" if scene is None else "--places"
        raise SettingError(f"places and their scene are needed, and {missing} is missing", fix=f"give {missing}")
    file = read_model(model)
    _check_model(file, positive)
    if engine.endswith("bf16"):
        raise SettingError("a model is taught in fp32", fix="give --engine openvino or --engine onnxruntime")
    exact = choose_engine(engine, ()).name
    classifier = load(file.path, engine=exact, threads=threads)
    if patches is not None:
        windows, source = _patch_windows(patches, file, seed=seed, negatives=negatives)
    else:
        windows, source = _scene_windows(
            classifier,
            file,
            scene,
            places if isinstance(places, Places) else _read(places, places_crs, label_field, layer),
            positive=positive,
            negatives=negatives,
            bands=bands,
            rescale=rescale,
            nodata=nodata,
            seed=seed,
            progress=progress,
        )
    _check_labels(windows.labels, positive)
    names = new_classes(file, windows.labels, only=only, positive=positive)
    labels = np.array([_number(label, names, positive) for label in windows.labels], np.int64)
    counts = {name: len(np.unique(windows.places[labels == k])) for k, name in enumerate(names) if (labels == k).any()}
    if len(counts) < 2:
        only_one = next(iter(counts))
        raise DataError(
            f"all {counts[only_one]} places are {only_one}, and a model learns a class from what is none of it",
            fix="label places of other classes too"
            + (
                ", or give --negatives random"
                if positive
                else f", or make a detector: --positive '{only_one}' --negatives random"
            ),
        )
    with threadpool_limits(limits=1, user_api="blas"):
        features, before = _run(classifier, windows.pixels, progress)
        memory = remembered_memory(file, names, only=only, positive=positive)
        remembered = _remembered(
            file, memory, places=float(np.mean(list(counts.values()))), width=features.shape[-1], seed=seed
        )
        start = start_head(classifier, names, positive=positive)
        lesson = Lesson(features, labels, windows.places, windows.groups, *remembered, start)
        fitted = fit_head(lesson, progress=progress)
        task: Task = "binary" if is_binary(file, positive) else "single-label"
        settled = settle(file.record, windows.pixels, lesson, fitted, names=names, task=task, memory=memory, only=only)
        graph, record = taught_model(
            file, windows, lesson, fitted, settled, engine=exact, source=source, counts=counts, only=only, name=out.stem
        )
        write_model(out, graph, record, overwrite=overwrite)
    return _result(
        out,
        file,
        windows,
        lesson,
        fitted,
        settled,
        before,
        names,
        counts,
        positive,
        source,
        memory is not None,
        only,
        time.monotonic() - began,
    )


def new_classes(file: ModelFile, labels: Sequence[str], *, only: bool, positive: str | None) -> tuple[str, ...]:
    """Classes of the taught model in order: the older ones that stay, then the new ones by name."""
    older = file.record.class_names
    found = set(labels)
    if file.record.task == "binary":
        stray = sorted(found - set(older))
        if positive is None and stray:
            raise DataError(
                f"model '{file.record.name}' detects {older[1]}, and places are '{stray[0]}'",
                fix=f"name them '{older[0]}' and '{older[1]}', or give --positive '{older[1]}'",
            )
        return older
    if positive is not None:
        return NEGATIVE.format(positive), positive
    kept = tuple(name for name in older if name in found or not only)
    return kept + tuple(sorted(found - set(older)))


def is_binary(file: ModelFile, positive: str | None) -> bool:
    """Whether the taught model is a detector."""
    return positive is not None or file.record.task == "binary"


def start_head(classifier: Classifier, names: Sequence[str], *, positive: str | None) -> Head:
    """The head of a model as one row per class of the taught one; zeros for new classes."""
    assert classifier.head is not None  # noqa: S101  (checked before)
    weight, bias = (np.asarray(part, np.float64) for part in classifier.head)
    older = classifier.record.class_names
    if classifier.record.task == "binary":  # one logit l is the pair (-l / 2, l / 2)
        return Head(np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2]))
    if positive is not None:
        if positive not in older:
            return Head(np.zeros((2, weight.shape[1])), np.zeros(2))
        k = older.index(positive)
        others = np.arange(len(older)) != k
        return Head(np.stack([weight[others].mean(0), weight[k]]), np.stack([bias[others].mean(), bias[k]]))
    rows = [older.index(name) if name in older else -1 for name in names]
    known = np.array([row >= 0 for row in rows])
    return Head(np.where(known[:, None], weight[rows], 0.0), np.where(known, bias[rows], 0.0))


def remembered_memory(file: ModelFile, names: Sequence[str], *, only: bool, positive: str | None) -> ClassMemory | None:
    """The memory of a model file with the class numbers of the taught one; None if there is none or it is dropped."""
    kept = file.record.memory
    if kept is None or only:
        return None
    older = file.record.class_names
    places = {name: k for k, name in enumerate(names)}
    numbers = (
        tuple(_number(older[k], names, positive) for k in kept.classes)
        if is_binary(file, positive)
        else tuple(places[older[k]] for k in kept.classes)
    )
    return kept.model_copy(update={"classes": numbers})


def _remembered(file: ModelFile, memory: ClassMemory | None, *, places: float, width: int, seed: int) -> Remembered:
    try:
        found = remember(memory, places=places, width=width, seed=seed)
    except ValueError as error:
        raise ModelFileError(f"the record of {file.path} is damaged ({error})", fix="get the file again") from error
    if found[0].shape[1] != width:
        raise ModelFileError(
            f"{file.path} remembers {found[0].shape[1]} features and gives {width}", fix="get the file again"
        )
    return found


def _number(label: str, names: Sequence[str], positive: str | None) -> int:
    if label in names:
        return list(names).index(label)
    return 0 if positive is not None else list(names).index(label)


def _check_labels(labels: Sequence[str], positive: str | None) -> None:
    found = sorted(set(labels))
    if len(found) > MOST_CLASSES:
        raise DataError(
            f"the places have {len(found):,} different classes ('{found[0]}', '{found[1]}', ...), and a map holds "
            f"{MOST_CLASSES} at most",
            fix="name the column of classes with --label-field",
        )
    for name in found:
        try:
            printable(name)
        except ValueError as error:
            raise DataError(f"a class has no usable name: {error}", fix="rename it in the file of places") from error
    if positive is not None and positive not in found:
        shown = ", ".join(found[:6])
        raise DataError(f"no place is {positive} (classes: {shown})", fix="name the class of some with --positive")


def _check_model(file: ModelFile, positive: str | None) -> None:
    record = file.record
    outputs = {output.name for output in file.graph.graph.output}
    classifier_head = {tensor.name for tensor in file.graph.graph.initializer} >= {"head.weight", "head.bias"}
    if "features" not in outputs or not classifier_head:
        raise ModelFileError(
            f"model '{record.name}' has no features with a linear head, which is what is taught",
            fix="teach a shipped model such as eurosat, or one that swath train has written",
        )
    if record.task == "multi-label":
        raise SettingError(
            f"model '{record.name}' is multi-label, and a place has one class", fix="teach a single-label model"
        )
    if record.task == "binary" and positive not in (None, record.class_names[1]):
        raise SettingError(
            f"model '{record.name}' detects {record.class_names[1]}, not {positive}",
            fix=f"give --positive '{record.class_names[1]}', or teach a single-label model",
        )


def _read(path: Any, crs: Any, label_field: str | None, layer: str | None) -> Places:
    return read_places(path, crs=crs, label_field=label_field, layer=layer)


def _scene_windows(
    classifier: Classifier,
    file: ModelFile,
    scene: Any,
    places: Places,
    *,
    positive: str | None,
    negatives: Negatives,
    bands: Sequence[int] | None,
    rescale: Asked,
    nodata: float | None,
    seed: int,
    progress: Progress,
) -> tuple[PlaceWindows, TeachingSource]:
    """Windows around the places, cut as a map would cut them, in the colors in which the model knows the places."""
    record = file.record
    classes = (*record.class_names, *([positive] if positive else []))
    labeled = places.labeled().matched(classes)
    size = record.input.size
    with open_strips(scene, record.input, bands=bands, rescale=rescale, nodata=nodata) as opened:
        strips, chosen, decision = opened
        windows = cut_windows(strips, labeled, size=size, views=VIEWS, seed=seed, progress=progress)
        used, found = decision.rendering, decision.warning
        wanted = str(read_rescale(rescale))
        other = other_rendering(decision)
        if other is not None:
            rows, asked = asked_places(windows.labels, windows.places, record.class_names)
            strips.rescaling = other.rescaling
            again = cut_windows(strips, labeled, size=size, views=VIEWS, seed=seed, progress=progress)
            choice = compare_renderings(classifier, windows.pixels[rows, 0], again.pixels[rows, 0], asked)
            if choice is not None and choice.better:
                windows, used, wanted = again, other, other.taken
                found = choice.note(wanted)
        strips.rescaling = used.rescaling
        if negatives == "random":
            if not is_binary(file, positive):
                raise SettingError("--negatives random is for detectors", fix="name the class with --positive")
            negative = NEGATIVE.format(positive) if record.task != "binary" else record.class_names[0]
            count = max(LEAST_NEGATIVES, NEGATIVES_PER_POSITIVE * len(set(windows.places.tolist())))
            windows = random_windows(
                strips, windows, pixel_centers(strips, labeled), count=count, size=size, label=negative, views=VIEWS,
                seed=seed + 1,
            )  # fmt: skip
    notes = [*windows.notes, *filter(None, (chosen.warning, found))]
    colors = "unchanged" if used.rescaling is None else decision.sentence
    if used is other:
        colors = f"--rescale {used.taken}, as the places have shown"
    source = TeachingSource(scene=strips.scene.name, colors=colors, rescale=wanted, bands=bands)
    return replace(windows, notes=tuple(notes)), source


def _patch_windows(
    index: PatchIndex, file: ModelFile, *, seed: int, negatives: Negatives
) -> tuple[PlaceWindows, TeachingSource]:
    """Views of the training patches of an index, or of all patches of one without splits."""
    if negatives == "random":
        raise SettingError("random negatives are cut from a scene", fix="give --scene and --places")
    counts = index.split_counts
    part = index.where("train") if counts.get("train") else index
    if any(len(labels) != 1 for labels in part.label_sets):
        raise DataError(f"patches of '{index.name}' have several labels", fix="give an index with one label per patch")
    spec = file.record.input
    check_room(len(part) * VIEWS, spec.size, bands=len(spec.bands), name=index.name)
    pixels = cached_pixels(part, bands=spec.bands, size=spec.size, of=spec.file_bands)
    labels = [next(iter(labels)) for labels in part.label_sets]
    spelled, notes = match_names(sorted(set(labels)), file.record.class_names)
    numbers = np.arange(len(labels), dtype=np.int64)
    groups = [group or f"#{row}" for row, group in enumerate(part.table.column("group").to_pylist())]
    windows = PlaceWindows(
        pixels=turned_views(np.asarray(pixels), views=VIEWS, seed=seed),
        labels=tuple(spelled.get(label, label) for label in labels),
        places=numbers,
        groups=np.unique(groups, return_inverse=True)[1].astype(np.int64),
        lonlat=np.empty((0, 2)),
        notes=notes,
    )
    return windows, TeachingSource(scene=None, index=index.name)


def _run(
    classifier: Classifier, pixels: npt.NDArray[Any], progress: Progress
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
    """Features ``[N, V, D]`` of all views, and the model's probabilities ``[N, K]`` for the centered ones."""
    n, views = pixels.shape[:2]
    flat = pixels.reshape(-1, *pixels.shape[2:])
    features, probabilities, step = [], [], 256
    for start in range(0, len(flat), step):
        found = classifier.run(np.ascontiguousarray(flat[start : start + step]), wanted=("features", "probabilities"))
        features.append(found["features"])
        probabilities.append(found["probabilities"])
        progress("features", min(start + step, len(flat)), len(flat))
    whole = np.concatenate(features).astype(np.float64).reshape(n, views, -1)
    return whole, np.concatenate(probabilities).reshape(n, views, -1)[:, 0]


def _result(
    out: Path,
    file: ModelFile,
    windows: PlaceWindows,
    lesson: Lesson,
    fitted: FittedHead,
    settled: Settled,
    before: npt.NDArray[np.float32],
    names: Sequence[str],
    counts: dict[str, int],
    positive: str | None,
    source: TeachingSource,
    remembers: bool,
    only: bool,
    seconds: float,
) -> TeachingResult:
    """Agreement with the places before and after, by those that were held out."""
    rows = np.unique(lesson.places, return_index=True)[1]  # one window per place
    truth = lesson.labels[rows]
    older = file.record.class_names
    said = predicted_class(file.record, before[rows])
    if is_binary(file, positive):
        first = np.array([_number(older[k], names, positive) for k in said], np.int64)
    else:
        places = {name: k for k, name in enumerate(names)}
        first = np.array([places.get(older[k], -1) for k in said], np.int64)
    second = settled.predicted[rows]
    # A class that the taught model does not have is wrong, whichever it is.
    first_known = np.where(first < 0, (truth + 1) % len(names), first)
    difference, _ = paired_differences(truth, second, first_known, classes=len(names))
    test = mcnemar(truth, first_known, second)
    n = len(truth)
    gains = tuple(
        ClassGain(
            name=name,
            places=counts[name],
            new=name not in older,
            before=proportion(int(((first == k) & (truth == k)).sum()), int((truth == k).sum())),
            after=proportion(int(((second == k) & (truth == k)).sum()), int((truth == k).sum())),
        )
        for k, name in enumerate(names)
        if name in counts
    )
    few = [f"{gain.name} ({gain.places})" for gain in gains if gain.places < FEW]
    notes = list(windows.notes)
    if few:
        notes.append(
            f"classes with fewer than {FEW} places: {', '.join(few)}; how well they were learned cannot be known"
        )
    alone = [
        gain.name
        for gain in gains
        if gain.places >= FEW and len(set(lesson.groups[lesson.labels == names.index(gain.name)].tolist())) == 1
    ]
    if alone:
        notes.append(
            f"all places of {', '.join(alone)} share ground and were held out together, so the numbers are too low "
            "for them: label some elsewhere"
        )
    if not remembers and not only:
        notes.append("the model file keeps no statistics of its classes, so what it knew may be forgotten")
    notes += settled.notes
    return TeachingResult(
        path=out,
        model=file.record.name,
        source=source,
        places=counts,
        before=proportion(int((first == truth).sum()), n),
        after=proportion(int((second == truth).sum()), n),
        difference=difference,
        test=test,
        classes=gains,
        strength=fitted.strength,
        notes=tuple(notes),
        seconds=seconds,
    )
