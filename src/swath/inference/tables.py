"""Predictions for files, folders and zips, as a table."""

from __future__ import annotations

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from swath.data import walk_images
from swath.errors import DataError, SettingError
from swath.files import atomic_file, check_output
from swath.imagery import Picture, decode
from swath.inference.classifier import Classifier, Predictions
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
        Images of each predicted class, most frequent first.
    skipped : tuple of str
        Images that could not be read.
    other_sizes : int
        Images that were not of the model's patch size and were resized inside the graph.
    """

    rows: int
    counts: dict[str, int]
    skipped: tuple[str, ...]
    other_sizes: int


def predict_files(
    classifier: Classifier,
    inputs: Sequence[Path],
    out: Path,
    *,
    top_k: int | None = None,
    skip_unreadable: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PredictSummary:
    """Classify files, folders and zips; write CSV, JSON or Parquet by the ending of `out`.

    Columns: ``path``, ``label``, ``confidence``, then ``top_2``, ``top_2_p``... up to `top_k`, then
    ``p_<class>`` for every class.

    Raises
    ------
    SettingError
        If the ending of `out` is not known, or `top_k` is not between 1 and the number of classes.
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
    check_output(out, overwrite=overwrite)
    skipped: list[str] = []
    sizes: dict[bool, int] = {True: 0, False: 0}

    def unreadable(name: str, error: DataError) -> None:
        if not skip_unreadable:
            raise DataError(error.problem, fix="remove it, or pass --skip-unreadable") from error
        skipped.append(name)

    images = walk_images(inputs, on_unreadable=unreadable)

    def pictures() -> Iterator[tuple[str, Picture]]:
        for name, data in images:
            try:
                picture = decode(data, name=name)
            except DataError as error:
                unreadable(name, error)
                continue
            sizes[picture.height == picture.width == classifier.size] += 1
            yield name, picture

    counts: Counter[str] = Counter()
    held: list[Row] = []
    with atomic_file(out, overwrite=overwrite) as temporary, _writer(temporary) as write:
        for names, probabilities in classifier.stream(pictures(), total=len(images), progress=progress):
            rows = _rows(names, classifier.judge(probabilities), top_k or 1)
            counts.update(row["label"] for row in rows)
            held += rows
            if len(held) >= ROWS_AT_A_TIME:
                write(held)
                held = []
        if not counts:
            raise DataError(f"none of the {len(skipped)} images could be read", fix="check the files")
        if held:
            write(held)
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return PredictSummary(counts.total(), ordered, tuple(skipped), sizes[False])


def _rows(names: Sequence[str], judged: Predictions, top_k: int) -> list[Row]:
    """Rows of the table for a batch of images."""
    rows: list[Row] = []
    for name, top, probabilities in zip(names, judged.top(top_k), judged.probabilities, strict=True):
        row: Row = {"path": name, "label": top[0][0], "confidence": top[0][1]}
        for place, (label, p) in enumerate(top[1:], start=2):
            row |= {f"top_{place}": label, f"top_{place}_p": p}
        row |= {f"p_{c}": float(p) for c, p in zip(judged.classes, probabilities, strict=True)}
        rows.append(row)
    return rows


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Callable[[list[Row]], None]]:
    """Yield a function that adds rows to the table at `path`, of the kind its ending says."""
    match path.suffix.lower():
        case ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                yield _csv_writer(file)
        case ".json":
            with path.open("w", encoding="utf-8") as file:
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
        table = pa.Table.from_pylist(rows)
        if not open_writers:
            open_writers.append(stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd")))
        open_writers[0].write_table(table)

    return write
