"""A coarser copy of labeled patches: what a network for coarse pixels can be pre-trained on."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from dataclasses import replace as with_fields
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from swath.data.archives import PatchReader, open_patches
from swath.data.fix import encode_lossless
from swath.data.index import PatchIndex, read_index, write_index
from swath.data.threads import in_order
from swath.errors import DataError, SettingError
from swath.files import atomic_folder
from swath.imagery import decode, probe, resample_to_gsd
from swath.imagery.resample import resampled_side
from swath.progress import Progress, silent

INDEX = "index.parquet"


@dataclass(frozen=True)
class Step:
    """How far one patch is resampled: meters a pixel, or plain factors where the meters are not known."""

    gsd_from: float
    gsd_to: float
    meters: bool


def resample_index(
    index: PatchIndex,
    out: Path,
    *,
    gsd: float | None = None,
    factor: float | None = None,
    gsd_from: float | None = None,
    sensor_blur: bool = True,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PatchIndex:
    """Write patches as a coarser sensor would have recorded them, and their index.

    Labels, splits, groups, places, source and license stay; see :func:`swath.imagery.resample` for what
    happens to the pixels.

    Parameters
    ----------
    index : PatchIndex
        Patches of 8 or 16 bits.
    out : Path
        Folder for the patches (PNG, or GeoTIFF where PNG cannot hold the bands) and ``index.parquet``.
    gsd, factor : float
        Meters a pixel wanted, or how many times coarser: one of the two.
    gsd_from : float, optional
        Meters a pixel of patches whose index does not say.
    sensor_blur : bool
        Blur as by a sensor's point spread; else only without aliasing.
    overwrite : bool
        Replace what is in `out`.
    progress : Progress
        Called with stage ``"resample_to_gsd"``.

    Returns
    -------
    PatchIndex
        The index written.

    Raises
    ------
    SettingError
        If not exactly one of `gsd` and `factor` is given, the meters a pixel are not known or said twice
        and differently, or the target is not coarser.
    DataError
        If a patch would be left with fewer than 8 pixels a side, has changed or cannot be read.
    OutputError
        If `out` is not empty and `overwrite` is false, or holds the patches or the working folder.
    """
    known: list[float | None] = index.table["gsd"].to_pylist()
    steps = [_step(one, gsd=gsd, factor=factor, gsd_from=gsd_from) for one in known]
    sides = zip(index.table["width"].to_pylist(), index.table["height"].to_pylist(), strict=True)
    for (width, height), step in set(zip(sides, steps, strict=True)):  # before any work is done
        resampled_side(min(width, height), gsd_from=step.gsd_from, gsd_to=step.gsd_to)
    columns: dict[str, list[Any]] = {name: [] for name in ("path", "sha256", "width", "height", "mode")}
    with atomic_folder(out, overwrite=overwrite, keep=index.inputs) as folder:
        names = _plain_names(index.paths)
        with open_patches(index.root) as reader:
            work = partial(_write, index, reader, folder, names, steps, sensor_blur)
            for rows in in_order(work, len(index), stage="resample", progress=progress):
                for row in rows:
                    for name, value in row.items():
                        columns[name].append(value)
        table = index.table
        columns["gsd"] = [step.gsd_to if step.meters else None for step in steps]
        for name, values in columns.items():
            place = table.schema.get_field_index(name)
            field = table.schema.field(place)
            table = table.set_column(place, field, pa.array(values, field.type))
        named = f"{gsd:g} m" if gsd is not None else f"{factor:g} times coarser"
        made = with_fields(index, root=folder.resolve(), table=table, name=f"{index.name}, {named}")
        write_index(made, folder / INDEX)
    return read_index(out / INDEX)


def _step(known: float | None, *, gsd: float | None, factor: float | None, gsd_from: float | None) -> Step:
    """What happens to a patch of `known` meters a pixel."""
    if (gsd is None) == (factor is None):
        raise SettingError(
            "give either the meters a pixel wanted or a factor", fix="use --gsd METERS or --factor TIMES"
        )
    if known is not None and gsd_from is not None and known != gsd_from:
        raise SettingError(
            f"the index says its patches have {known:g} m a pixel, not {gsd_from:g}",
            fix="leave out --from-gsd",
        )
    start = known if known is not None else gsd_from
    if factor is not None:
        return Step(start or 1.0, (start or 1.0) * factor, meters=start is not None)
    if start is None or gsd is None:
        raise SettingError(
            "the index does not say how many meters a pixel its patches have",
            fix="say it with --from-gsd METERS, or use --factor TIMES",
        )
    return Step(start, gsd, meters=True)


def _plain_names(paths: list[str]) -> list[str]:
    """Names without suffix; with it, where two would be alike."""
    plain = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    # Some file systems take A and a for the same.
    counts = Counter(name.lower() for name in plain)
    return [name if counts[name.lower()] == 1 else path for name, path in zip(plain, paths, strict=True)]


def _write(
    index: PatchIndex,
    reader: PatchReader,
    folder: Path,
    names: list[str],
    steps: list[Step],
    sensor_blur: bool,
    rows: range,
) -> list[dict[str, Any]]:
    """Degrade some rows; returns what the new index says of each."""
    contents = index.table["sha256"].slice(rows.start, len(rows)).to_pylist()
    made = []
    for row, content in zip(rows, contents, strict=True):
        path = index.paths[row]
        data = reader.read(path)
        if hashlib.sha256(data).hexdigest() != content:
            raise DataError(f"{path} has changed since it was indexed", fix="run swath data index again")
        picture = decode(data, name=path)
        if picture.pixels.dtype not in (np.uint8, np.uint16):
            raise DataError(
                f"{path} holds {picture.pixels.dtype}; patches are 8 or 16 bit", fix="convert the patches"
            )
        step = steps[row]
        pixels = resample_to_gsd(
            picture.pixels, gsd_from=step.gsd_from, gsd_to=step.gsd_to, sensor_blur=sensor_blur
        )
        written, suffix = encode_lossless(pixels, picture.bands)
        target = folder / f"{names[row]}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(written)
        header = probe(written, name=path)
        made.append(
            {
                "path": f"{names[row]}{suffix}",
                "sha256": hashlib.sha256(written).hexdigest(),
                "width": header.width,
                "height": header.height,
                "mode": header.mode,
            }
        )
    return made
