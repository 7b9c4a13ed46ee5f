"""Predictions for files, folders and zips, as a table."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from swath.data import walk_images
from swath.errors import DataError, SettingError
from swath.files import atomic_file, check_output
from swath.imagery import Picture, decode
from swath.inference.classifier import Classifier
from swath.progress import Progress, silent

Row = dict[str, Any]
SUFFIXES = (".csv", ".json", ".parquet")


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

    def pictures() -> Iterator[tuple[str, Picture]]:
        for name, data in walk_images(inputs):
            try:
                picture = decode(data, name=name)
            except DataError as error:
                if not skip_unreadable:
                    raise DataError(error.problem, fix="remove it, or pass --skip-unreadable") from error
                skipped.append(name)
                continue
            sizes[picture.height == picture.width == classifier.size] += 1
            yield name, picture

    rows: list[Row] = []
    for names, probabilities in classifier.stream(pictures(), progress=progress):
        judged = classifier.judge(probabilities)
        for i, (name, top) in enumerate(zip(names, judged.top(top_k or 1), strict=True)):
            row: Row = {"path": name, "label": top[0][0], "confidence": top[0][1]}
            for place, (label, p) in enumerate(top[1:], start=2):
                row |= {f"top_{place}": label, f"top_{place}_p": p}
            row |= {f"p_{c}": float(p) for c, p in zip(classes, probabilities[i], strict=True)}
            rows.append(row)
    if not rows:
        raise DataError(f"none of the {len(skipped)} images could be read", fix="check the files")
    _write(rows, out, overwrite=overwrite)
    labels = [row["label"] for row in rows]
    counts = {c: labels.count(c) for c in sorted(set(labels), key=lambda c: (-labels.count(c), c))}
    return PredictSummary(len(rows), counts, tuple(skipped), sizes[False])


def _write(rows: list[Row], out: Path, *, overwrite: bool) -> None:
    with atomic_file(out, overwrite=overwrite) as temporary:
        match out.suffix.lower():
            case ".csv":
                with temporary.open("w", newline="", encoding="utf-8") as file:
                    writer = csv.DictWriter(file, fieldnames=list(rows[0]))
                    writer.writeheader()
                    for row in rows:
                        writer.writerow({k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()})
            case ".json":
                temporary.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            case _:
                pq.write_table(pa.Table.from_pylist(rows), temporary, compression="zstd")
