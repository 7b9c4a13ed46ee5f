"""Predictions for files, folders and zips, written as a CSV, JSON or Parquet table a few thousand rows at a time."""

from __future__ import annotations

import contextlib
import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from swath.data import Images, LeftOut, walk_images
from swath.errors import DataError, SettingError
from swath.files import as_cell, atomic_files, check_output
from swath.imagery import decode
from swath.imagery.sentinel2 import Product, find_product
from swath.inference.classifier import Classifier
from swath.inference.predictions import Predictions, check_top_k, concatenate
from swath.inference.rescale import IMAGES, Asked, RescaleDecision, Sample, decide_rescale, read_rescale, sample_images
from swath.progress import Progress, silent

Write = Callable[[Predictions, int | None], None]
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
        their labels, or as ``(no label)``.
    skipped : tuple of str
        Images that could not be read.
    other_sizes : int
        Images that were not of the model's patch size and were resized inside the graph.
    rescale : RescaleDecision
        How the images, all of them together, were taken to be drawn.
    ood : int or None
        Images unlike the training data; None where the model file cannot detect them.
    left_out : tuple of LeftOut
        Files in folders and archives that are no images swath reads, by reason and place.
    notes : tuple of str
        What else was decided when the inputs were listed, in words.
    """

    rows: int
    counts: dict[str, int]
    skipped: tuple[str, ...]
    other_sizes: int
    rescale: RescaleDecision
    ood: int | None = None
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()


def predict_files(
    classifier: Classifier,
    inputs: Sequence[Path],
    out: Path,
    *,
    top_k: int | None = None,
    skip_unreadable: bool = False,
    rescale: Asked = "off",
    overwrite: bool = False,
    progress: Progress = silent,
) -> PredictSummary:
    """Classify files, folders and zips; write CSV, JSON or Parquet by the ending of `out`.

    The columns are those of :meth:`swath.inference.Predictions.columns`.

    With another `rescale` than ``"off"`` all images are taken for one scene, of which up to 256 are a sample, and get
    one and the same rescaling (see :mod:`swath.inference.rescale`). What was done, or why nothing, is in
    ``p.csv.rescale.json`` next to the table ``p.csv``. It is ``"off"`` by default: the prediction of an image then does
    not depend on the others.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    inputs : sequence of pathlib.Path
        Images, folders (looked through) and zip archives.
    out : pathlib.Path
        Table to write: ``.csv``, ``.json`` or ``.parquet``.
    top_k : int, optional
        Also list the most probable classes, this many.
    skip_unreadable : bool
        Leave out images that cannot be read, and count them.
    rescale : str or tuple of float
        As for :func:`swath.mapping.map_scene`.
    overwrite : bool
        Replace an existing table.
    progress : Progress
        Called for every batch.

    Raises
    ------
    SettingError
        If the ending of `out` is not known, `top_k` is not between 1 and the number of classes, or the model
        file has no color statistics.
    DataError
        If there is no image, or one cannot be read and `skip_unreadable` is false.
    OutputError
        If `out` exists without `overwrite`, or cannot be written.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise SettingError(f"{out} does not end in {', '.join(SUFFIXES)}", fix="give --out preds.csv, say")
    check_top_k(top_k, classifier.record.class_names)
    wanted = read_rescale(rescale)
    for path in (out, _note_path(out)) if wanted.mode != "off" else (out,):
        check_output(path, overwrite=overwrite)
    skipped: list[str] = []
    problems: list[str] = []
    sizes: dict[bool, int] = {True: 0, False: 0}

    def unreadable(name: str, error: DataError) -> None:
        if not skip_unreadable:
            fix = f"{error.fix or 'remove it'}, or pass --skip-unreadable"
            if name.endswith(".parquet"):
                fix = "for an index use: swath evaluate"
            raise DataError(error.problem, fix=fix) from error
        skipped.append(name)
        problems.append(error.problem)

    images = walk_images(inputs, on_unreadable=unreadable)
    decision, dtype = _decide(classifier, images, rescale)
    rescaling = decision.rescaling

    def pictures() -> Iterator[tuple[str, npt.NDArray[Any]]]:
        for name, data in images:
            try:
                pixels = classifier.pixels_of(decode(data, name=name), name=name, data_type=dtype)
            except DataError as error:
                unreadable(name, error)
                continue
            sizes[pixels.shape[1] == pixels.shape[2] == classifier.size] += 1
            yield name, pixels if rescaling is None else rescaling.apply(pixels)

    counts: Counter[str] = Counter()
    done = 0
    ood: int | None = None
    held: list[Predictions] = []
    with _outputs(out, decision, overwrite=overwrite) as write:

        def flush() -> None:
            if held:
                write(concatenate(held), top_k)
                held.clear()

        for found in classifier.stream(pictures(), total=len(images), progress=progress):
            counts.update(found.counts)
            if found.is_ood is not None:
                ood = (ood or 0) + int(found.is_ood.sum())
            done += len(found)
            held.append(found)
            if sum(map(len, held)) >= ROWS_AT_A_TIME:
                flush()
        if not done:
            first = f"the first is {skipped[0]}: {problems[0]}"
            raise DataError(f"none of the {len(skipped)} images could be read ({first})", fix="check the files")
        flush()
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return PredictSummary(done, ordered, tuple(skipped), sizes[False], decision, ood, images.left_out, images.notes)


def _decide(classifier: Classifier, images: Images, asked: Asked) -> tuple[RescaleDecision, str]:
    """How the images were drawn, by some of them all together, and the type of their values."""
    spec = classifier.record.input
    exact = read_rescale(asked).mode == "off"
    few = images.spread(IMAGES) if spec.channel_quantiles is not None or not exact else ()
    products: set[Product] = set()

    def pixels_of(data: bytes, name: str) -> npt.NDArray[Any]:
        products.add(find_product([Path(name).name]))
        return classifier.pixels_of(data, name=name, data_type=spec.data_type if exact else None)

    parts = sample_images(few, pixels_of)
    dtype = parts[0].dtype.name if parts else spec.data_type
    parts = [one for one in parts if one.dtype == dtype]
    sample = Sample(
        pixels=np.concatenate([np.empty((len(spec.bands), 0), dtype), *parts], axis=1),
        product=products.pop() if len(products) == 1 else Product(),
        what="the images",
    )
    return decide_rescale(spec, sample, asked), dtype


def _note_path(out: Path) -> Path:
    """Where the rescaling is recorded; tables of one name and two kinds have one each."""
    return out.with_name(f"{out.name}.rescale.json")


@contextlib.contextmanager
def _outputs(out: Path, decision: RescaleDecision, *, overwrite: bool) -> Iterator[Write]:
    """Yield what adds rows to the table; when it is whole its note takes its name, and then the table does."""
    note = _note_path(out)
    noted = decision.asked != "off"
    files, earlier = ([out, note], []) if noted else ([out], [note])
    with atomic_files(files, overwrite=overwrite, obsolete=earlier) as paths:
        if noted:
            paths[note].write_text(json.dumps(decision.record(), indent=2) + "\n", encoding="utf-8")
        with _writer(paths[out]) as write:
            yield write


@contextlib.contextmanager
def _writer(path: Path) -> Iterator[Write]:
    """Yield a function that adds predictions to the table at `path`, of the kind its ending says."""
    with contextlib.ExitStack() as stack:
        if path.suffix.lower() == ".parquet":
            yield _parquet_writer(path, stack)
            return
        # File names need not be valid text: their bytes are written as they are.
        file = stack.enter_context(path.open("w", newline="", encoding="utf-8", errors="surrogateescape"))
        if path.suffix.lower() == ".csv":
            yield _csv_writer(file)
        else:
            yield _json_writer(file)
            file.write("\n]\n")


def _csv_writer(file: TextIO) -> Write:
    writer = csv.writer(file)
    headed = False

    def write(found: Predictions, top_k: int | None) -> None:
        nonlocal headed
        columns = found.columns(top_k=top_k)
        if not headed:
            writer.writerow(map(as_cell, columns))
            headed = True
        for row in zip(*columns.values(), strict=True):
            writer.writerow(f"{v:.6f}" if isinstance(v, float) else as_cell(v) for v in row)

    return write


def _json_writer(file: TextIO) -> Write:
    before = "[\n "

    def write(found: Predictions, top_k: int | None) -> None:
        nonlocal before
        columns = found.columns(top_k=top_k)
        for row in zip(*columns.values(), strict=True):
            file.write(before + json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False))
            before = ",\n "

    return write


def _parquet_writer(path: Path, stack: contextlib.ExitStack) -> Write:
    opened: list[pq.ParquetWriter] = []  # one, from the first predictions on, whose columns it has

    def write(found: Predictions, top_k: int | None) -> None:
        table = found.to_table(top_k=top_k)
        if not opened:
            opened.append(stack.enter_context(pq.ParquetWriter(path, table.schema, compression="zstd")))
        opened[0].write_table(table)

    return write
