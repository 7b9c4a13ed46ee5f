"""Predictions for files, folders and zips, as a table."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from swath.data import Images, walk_images
from swath.errors import DataError, SettingError
from swath.files import atomic_file, check_output
from swath.imagery import decode
from swath.inference.classifier import Classifier
from swath.inference.color_match import IMAGES, ColorMatch, check_mode, compare_scene, sample_images
from swath.inference.predictions import NO_LABEL, Predictions
from swath.progress import Progress, silent

Row = dict[str, Any]
SUFFIXES = (".csv", ".json", ".parquet")
ROWS_AT_A_TIME = 16_384  # held in memory before they are written


@dataclass(frozen=True)
class PredictSummary:
    """What was written.

    Attributes
    ----------
    rows : int
        Images classified.
    counts : dict of str to int
        Images of each predicted class, most frequent first; images of a multi-label model count for each of
        their labels, or as :data:`NO_LABEL`.
    skipped : tuple of str
        Images that could not be read.
    other_sizes : int
        Images that were not of the model's patch size and were resized inside the graph.
    color_match : Harmony
        How the images' channels, all of them together, compare with the training patches', and what was done.
    ood : int or None
        Images that are not like the training data; None where the model file cannot tell.
    """

    rows: int
    counts: dict[str, int]
    skipped: tuple[str, ...]
    other_sizes: int
    color_match: ColorMatch
    ood: int | None = None


def predict_files(
    classifier: Classifier,
    inputs: Sequence[Path],
    out: Path,
    *,
    top_k: int | None = None,
    skip_unreadable: bool = False,
    match_colors: str = "off",
    overwrite: bool = False,
    progress: Progress = silent,
) -> PredictSummary:
    """Classify files, folders and zips; write CSV, JSON or Parquet by the ending of `out`.

    Columns: ``path``, ``label``, ``confidence``, then ``top_2``, ``top_2_p``... up to `top_k`, then
    ``p_<class>`` for every class, and ``is_ood``, true where an image is not like the training data, if the
    model file can tell. For a multi-label model ``labels``, joined by ``;`` and perhaps empty, in
    place of ``label``, and the most probable labels, if asked for, from ``top_1`` on, above their
    thresholds or not.

    The channels of up to 256 of the images are compared with the training patches'. With `match_colors`
    ``"on"``, or ``"auto"`` where they lie outside, all images get one and the same correction (see
    :mod:`swath.imagery.color_match`). What was done, or why nothing, is in ``p.csv.color_match.json`` beside the table
    ``p.csv``. It is ``"off"`` by default: an image's answer then does not depend on the images beside it.

    Raises
    ------
    SettingError
        If the ending of `out` is not known, `top_k` is not between 1 and the number of classes, or the model
        cannot harmonize.
    DataError
        If there is no image, or one cannot be read and `skip_unreadable` is false.
    OutputError
        If `out` exists without `overwrite`, or cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise SettingError(f"{out} does not end in {', '.join(SUFFIXES)}", fix="give --out preds.csv, say")
    classes = classifier.record.class_names
    if top_k is not None and not 1 <= top_k <= len(classes):
        raise SettingError(f"--top-k {top_k}", fix=f"give a number between 1 and {len(classes)}")
    check_mode(match_colors)
    for path in (out, _note_beside(out)) if match_colors != "off" else (out,):
        check_output(path, overwrite=overwrite)
    skipped: list[str] = []
    sizes: dict[bool, int] = {True: 0, False: 0}

    def unreadable(name: str, error: DataError) -> None:
        if not skip_unreadable:
            fix = f"{error.fix or 'remove it'}, or pass --skip-unreadable"
            if name.endswith(".parquet"):
                fix = "for an index use: swath evaluate"
            raise DataError(error.problem, fix=fix) from error
        skipped.append(name)

    images = walk_images(inputs, on_unreadable=unreadable)
    color_match = _color_match(classifier, images, mode=match_colors)

    def pictures() -> Iterator[tuple[str, npt.NDArray[Any]]]:
        for name, data in images:
            try:
                pixels = classifier.pixels_of(decode(data, name=name), name=name)
            except DataError as error:
                unreadable(name, error)
                continue
            sizes[pixels.shape[1] == pixels.shape[2] == classifier.size] += 1
            yield name, pixels if color_match.correction is None else color_match.correction.apply(pixels)

    counts: Counter[str] = Counter()
    done = 0
    ood: int | None = None
    held: list[Row] = []
    with _outputs(out, color_match, overwrite=overwrite) as write:
        for names, judged in classifier.stream(pictures(), total=len(images), progress=progress):
            several = classifier.record.task == "multi-label"
            rows = _rows_of_sets(names, judged, top_k or 0) if several else _rows(names, judged, top_k or 1)
            for labels in judged.label_sets:
                counts.update(labels or (NO_LABEL,))
            if judged.is_ood is not None:
                ood = (ood or 0) + int(judged.is_ood.sum())
                rows = [row | {"is_ood": bool(u)} for row, u in zip(rows, judged.is_ood, strict=True)]
            done += len(rows)
            held += rows
            if len(held) >= ROWS_AT_A_TIME:
                write(held)
                held = []
        if not done:
            raise DataError(f"none of the {len(skipped)} images could be read", fix="check the files")
        if held:
            write(held)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return PredictSummary(done, ordered, tuple(skipped), sizes[False], color_match, ood)


def _color_match(classifier: Classifier, images: Images, *, mode: str) -> ColorMatch:
    """Compare some of the images, all together, with the training patches."""
    spec = classifier.record.input
    few = images.spread(IMAGES) if spec.channel_quantiles is not None else ()
    parts = sample_images(few, lambda data, name: classifier.pixels_of(data, name=name))
    empty = np.empty((len(spec.bands), 0), spec.data_type)
    return compare_scene(np.concatenate([empty, *parts], axis=1), spec, mode=mode, what="the images")


def _note_beside(out: Path) -> Path:
    """Where it is said what was done to the pixels; tables of one name and two kinds have one each."""
    return out.with_name(f"{out.name}.color_match.json")


@contextlib.contextmanager
def _outputs(out: Path, color_match: ColorMatch, *, overwrite: bool) -> Iterator[Callable[[list[Row]], None]]:
    """Yield what adds rows to the table; when it is whole its note takes its name, and then the table does."""
    note = _note_beside(out)
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(atomic_file(out, overwrite=overwrite))
        if color_match.asked != "off":
            said = stack.enter_context(atomic_file(note, overwrite=overwrite))
            said.write_text(json.dumps(color_match.record(), indent=2) + "\n", encoding="utf-8")
        yield stack.enter_context(_writer(temporary))
    if color_match.asked == "off" and overwrite:
        note.unlink(missing_ok=True)  # of an earlier table of this name


def _rows(names: Sequence[str], judged: Predictions, top_k: int) -> list[Row]:
    """Rows of the table for a batch of images: the class decided for, then the others by probability."""
    rows: list[Row] = []
    tops = judged.top(len(judged.classes) if top_k > 1 else 1)
    for name, label, p, top, probabilities in zip(
        names, judged.labels, judged.confidence, tops, judged.probabilities, strict=True
    ):
        row: Row = {"path": name, "label": label, "confidence": float(p)}
        others = [pair for pair in top if pair[0] != label]
        row |= _listed(others[: top_k - 1], start=2)
        rows.append(row | _each(judged.classes, probabilities))
    return rows


def _rows_of_sets(names: Sequence[str], judged: Predictions, top_k: int) -> list[Row]:
    """Rows of the table for a batch of images with several labels each."""
    rows: list[Row] = []
    for name, labels, p, top, probabilities in zip(
        names, judged.labels, judged.confidence, judged.top(top_k), judged.probabilities, strict=True
    ):
        row: Row = {"path": name, "labels": labels, "confidence": float(p)}
        rows.append(row | _listed(top, start=1) | _each(judged.classes, probabilities))
    return rows


def _listed(top: Sequence[tuple[str, float]], *, start: int) -> Row:
    row: Row = {}
    for place, (label, p) in enumerate(top, start=start):
        row |= {f"top_{place}": label, f"top_{place}_p": p}
    return row


def _each(classes: Sequence[str], probabilities: npt.NDArray[np.float32]) -> Row:
    return {f"p_{name}": float(p) for name, p in zip(classes, probabilities, strict=True)}


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[list[Row]], None]]:
    """Yield a function that adds rows to the table at `path`, of the kind its ending says."""
    match path.suffix.lower():
        case ".csv":
            # File names need not be valid text: their bytes are written as they are.
            with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                yield _csv_writer(file)
        case ".json":
            with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
                yield _json_writer(file)
                file.write("\n]\n")
        case _:
            with contextlib.ExitStack() as stack:
                yield _parquet_writer(path, stack)


def _csv_writer(file: TextIO) -> Callable[[list[Row]], None]:
    writer = csv.writer(file)
    headed = False

    def write(rows: list[Row]) -> None:
        nonlocal headed
        if not headed:
            writer.writerow(rows[0])
            headed = True
        for row in rows:
            writer.writerow(f"{v:.6f}" if isinstance(v, float) else v for v in row.values())

    return write


def _json_writer(file: TextIO) -> Callable[[list[Row]], None]:
    before = "[\n "

    def write(rows: list[Row]) -> None:
        nonlocal before
        for row in rows:
            file.write(before + json.dumps(row, ensure_ascii=False))
            before = ",\n "

    return write


def _parquet_writer(path: Path, stack: contextlib.ExitStack) -> Callable[[list[Row]], None]:
    open_writers: list[pq.ParquetWriter] = []  # one, from the first rows on, whose columns it has

    def write(rows: list[Row]) -> None:
        # Parquet holds valid text only.
        named = [
            row | {"path": os.fsencode(str(row["path"])).decode("utf-8", "backslashreplace")} for row in rows
        ]
        table = pa.Table.from_pylist(named)
        if not open_writers:
            open_writers.append(stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd")))
        open_writers[0].write_table(table)

    return write
