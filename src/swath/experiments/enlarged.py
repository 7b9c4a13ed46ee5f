"""The same patches twice as large, enlarged by interpolation and by a small super-resolution network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace as with_fields
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from swath.data import PatchIndex, cached_pixels, read_index, write_index
from swath.files import atomic_folder
from swath.progress import Progress, silent
from swath.training.superres import train_superres, upscale, upscale_bicubic

WAYS = ("bicubic", "super-resolution")
FACTOR = 2
INDEX = "index.parquet"
_BLOCK = 512
Enlarge = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]


def enlarged_indexes(
    index: PatchIndex, out: Path, *, split: str, threads: int | None = None, progress: Progress = silent
) -> dict[str, PatchIndex]:
    """Write both enlargements of the train and evaluated patches, unless they are there.

    The super-resolution network learns from train patches alone, by undoing a reduction of them. Rows keep
    their order, so that answers can be paired with those to the patches as they are.

    Parameters
    ----------
    index : PatchIndex
        8-bit patches of red, green and blue.
    out : pathlib.Path
        Folder, of this index and split alone.
    split : str
        The evaluated split.

    Returns
    -------
    dict of str to PatchIndex
        By way of enlarging.

    Raises
    ------
    DataError
        If the patches are not 8-bit squares of one even size.
    """
    if not all((out / way / INDEX).is_file() for way in WAYS):
        # A copy: torch warns of arrays it may not write to, and a memory map is one.
        train: npt.NDArray[Any] = np.array(cached_pixels(index.where("train"), progress=progress))
        module = train_superres(train, factor=FACTOR, threads=threads, progress=progress)
        wanted = pc.is_in(index.table["split"], value_set=pa.array(["train", split]))
        part = with_fields(index, table=index.table.filter(wanted))
        enlargers: dict[str, Enlarge] = {
            "bicubic": lambda pixels: upscale_bicubic(pixels, factor=FACTOR),
            "super-resolution": lambda pixels: upscale(module, pixels),
        }
        for way in WAYS:
            with atomic_folder(out / way, overwrite=True) as folder:
                _write(part, folder, enlargers[way], way=way, progress=progress)
    return {way: read_index(out / way / INDEX) for way in WAYS}


def _write(part: PatchIndex, folder: Path, enlarge: Enlarge, *, way: str, progress: Progress) -> None:
    pixels = cached_pixels(part, progress=progress)
    columns: dict[str, list[Any]] = {name: [] for name in ("path", "sha256", "width", "height", "mode")}
    for start in range(0, len(part), _BLOCK):
        large = enlarge(np.array(pixels[start : start + _BLOCK]))
        for row, patch in enumerate(large, start=start):
            stream = BytesIO()
            Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0))).save(
                stream, "PNG", compress_level=1
            )
            name = f"{row:08d}.png"  # labels may hold what no file name may
            (folder / name).write_bytes(stream.getvalue())
            facts = (name, hashlib.sha256(stream.getvalue()).hexdigest(), *patch.shape[:0:-1], "RGB")
            for column, value in zip(columns.values(), facts, strict=True):
                column.append(value)
        progress(f"enlarging, {way}", start + len(large), len(part))
    columns["gsd"] = [gsd if gsd is None else gsd / FACTOR for gsd in part.table["gsd"].to_pylist()]
    table = part.table
    for column_name, values in columns.items():
        place = table.schema.get_field_index(column_name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    made = with_fields(part, root=folder.resolve(), table=table, name=f"{part.name}, enlarged ({way})")
    write_index(made, folder / INDEX)
