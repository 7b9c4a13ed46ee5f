"""Write the patches of an index again, with other pixels, and the index that lists them.

Whatever makes new patches of old ones encodes them with :func:`encode_patch` and hands them to
:func:`write_patches`: :func:`resample_index` here, which brings them to a coarser ground sampling distance, and
:func:`swath.data.fix_index`. The caller opens the output with :func:`swath.files.atomic_folder`, so that patches and
index appear together or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.io import MemoryFile

from swath.data.index import GSD_TOLERANCE, PatchIndex, write_index
from swath.data.rows import decode_patch, map_patches
from swath.errors import SettingError
from swath.files import atomic_folder
from swath.imagery import resample_to_gsd
from swath.imagery.header import mode_name
from swath.imagery.resize import resampled_side
from swath.progress import Progress, silent

INDEX = "index.parquet"

_PNG_MODES = {"L", "LA", "RGB", "RGBA", "I;16"}


@dataclass(frozen=True)
class EncodedPatch:
    """One patch as a lossless file, and what an index says of it.

    Attributes
    ----------
    data : bytes
        Content of the file.
    suffix : str
        ``.png`` or ``.tif``.
    width, height : int
        Pixels.
    mode : str
        As :attr:`swath.imagery.Picture.mode`.
    """

    data: bytes
    suffix: str
    width: int
    height: int
    mode: str


def encode_patch(pixels: npt.NDArray[Any], bands: Sequence[str]) -> EncodedPatch:
    """Encode one patch without loss; the same pixels give the same bytes.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]`` uint8 or uint16.
    bands : sequence of str
        One name per band.

    Returns
    -------
    EncodedPatch
        A PNG where PNG can hold the bands, else a GeoTIFF with band descriptions.
    """
    count, height, width = pixels.shape
    mode = mode_name(str(pixels.dtype), tuple(bands))
    if mode in _PNG_MODES:
        stream = BytesIO()
        planes = pixels[0] if count == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        Image.fromarray(planes).save(stream, "PNG")
        return EncodedPatch(stream.getvalue(), ".png", width, height, mode)
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, compress="deflate", photometric="MINISBLACK") as dataset:
            dataset.write(pixels)
            dataset.descriptions = tuple(bands)
        return EncodedPatch(bytes(memory.read()), ".tif", width, height, mode)


def write_patches(
    index: PatchIndex, folder: Path, patches: Iterable[EncodedPatch], *, gsd: Sequence[float | None]
) -> PatchIndex:
    """Write one file per row of an index and return the index of these files.

    Parameters
    ----------
    index : PatchIndex
        N patches; labels, splits, groups, places and footprints, source and license are kept.
    folder : Path
        Where to write, at the paths the patches have in `index` with the suffix of their new format. The old
        suffix is kept in the name where two patches would otherwise get the same one.
    patches : iterable of EncodedPatch
        The N new patches in row order, such as :func:`swath.data.rows.map_patches` yields them.
    gsd : sequence of float or None
        Meters per pixel of each new patch.

    Returns
    -------
    PatchIndex
        Rows in the same order; its root is `folder`.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("path", "sha256", "width", "height", "mode")}
    taken: set[str] = set()
    for before, patch in zip(index.paths, patches, strict=True):
        path = PurePosixPath(before).with_suffix(patch.suffix).as_posix()
        if path.lower() in taken:  # a.jpg next to a.png; to some file systems A and a are the same
            path = f"{before}{patch.suffix}"
        taken.add(path.lower())
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(patch.data)
        row = (path, hashlib.sha256(patch.data).hexdigest(), patch.width, patch.height, patch.mode)
        for values, value in zip(columns.values(), row, strict=True):
            values.append(value)
    return index.with_columns({**columns, "gsd": gsd}, root=folder.resolve())


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
    """Write the patches as a coarser sensor would have recorded them, and their index.

    Labels, splits, groups, places, source and license are kept; see :func:`swath.imagery.resample_to_gsd` for
    what happens to the pixels.

    Parameters
    ----------
    index : PatchIndex
        Patches of 8 or 16 bits.
    out : Path
        Folder for the patches (PNG, or GeoTIFF where PNG cannot hold the bands) and ``index.parquet``.
    gsd, factor : float
        Target ground sampling distance in meters per pixel, or how many times coarser: one of the two.
    gsd_from : float, optional
        Meters per pixel of patches whose index does not say.
    sensor_blur : bool
        Blur as a sensor's point spread does; otherwise an antialiasing filter only.
    overwrite : bool
        Replace what is in `out`.
    progress : Progress
        Called with stage ``"resample"``.

    Returns
    -------
    PatchIndex
        The index in ``out/index.parquet``.

    Raises
    ------
    SettingError
        If not exactly one of `gsd` and `factor` is given, the meters per pixel are not known or `gsd_from`
        contradicts the index, or the target is not coarser.
    DataError
        If a patch would be left with fewer than 8 pixels a side, has changed or cannot be read.
    OutputError
        If `out` is not empty and `overwrite` is false, or holds the patches or the working folder.
    """
    known = index.column("gsd")
    steps = [_step(one, gsd=gsd, factor=factor, gsd_from=gsd_from) for one in known]
    sides = zip(index.column("width"), index.column("height"), strict=True)
    for (width, height), (before, after) in set(zip(sides, steps, strict=True)):  # before any work is done
        resampled_side(min(width, height), gsd_from=before, gsd_to=after)

    def coarser(data: bytes, row: int) -> EncodedPatch:
        picture, (before, after) = decode_patch(data, index.paths[row]), steps[row]
        pixels = resample_to_gsd(picture.pixels, gsd_from=before, gsd_to=after, sensor_blur=sensor_blur)
        return encode_patch(pixels, picture.bands)

    scaled = [None if one is None and gsd_from is None else after for one, (_, after) in zip(known, steps, strict=True)]
    target = f"{gsd:g} m" if gsd is not None else f"{factor:g} times coarser"
    with atomic_folder(out, overwrite=overwrite, keep=index.inputs) as folder:
        patches = map_patches(index, coarser, stage="resample", progress=progress)
        made = replace(write_patches(index, folder, patches, gsd=scaled), name=f"{index.name}, {target}")
        write_index(made, folder / INDEX)
    return replace(made, root=out.resolve(), file=out / INDEX)


def _step(
    known: float | None, *, gsd: float | None, factor: float | None, gsd_from: float | None
) -> tuple[float, float]:
    """Meters per pixel of one patch before and after, or plain factors where the meters are not known."""
    if (gsd is None) == (factor is None):
        raise SettingError("give either a target GSD or a factor", fix="use --gsd METERS or --factor TIMES")
    if known is not None and gsd_from is not None and abs(known - gsd_from) > GSD_TOLERANCE * known:
        raise SettingError(
            f"the index says its patches have {known:g} m per pixel, not {gsd_from:g}", fix="leave out --from-gsd"
        )
    start = known if known is not None else gsd_from
    if factor is not None:
        return start or 1.0, (start or 1.0) * factor
    if start is None or gsd is None:
        raise SettingError(
            "the index does not say how many meters per pixel its patches have",
            fix="give it with --from-gsd METERS, or use --factor TIMES",
        )
    return start, gsd
