"""Open a scene, and refuse one that cannot be mapped."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession

from swath.errors import DataError, MissingFileError, SettingError
from swath.imagery.rgb import find_band, is_known, plain_name
from swath.inference.engines import free_cores

# Formats that are one local file, told by its first bytes. VRT and the like are left out: they name other
# files, remote ones too.
_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
}
# GDAL's cache is for the blocks of one row of them at least: they are decoded whole.
_CACHE = 64 * 2**20
_MAX_CACHE = 640 * 2**20
# Sidecar files (world files, masks) are looked up by name; the folder, which may be huge, is never listed.
# Blocks are decoded and compressed on all cores where the format allows it.
ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_CACHEMAX": _CACHE,
    "GDAL_NUM_THREADS": str(free_cores()),
}
_MAX_BLOCK = 512 * 2**20
_COLORS = {
    ColorInterp.red: "red",
    ColorInterp.green: "green",
    ColorInterp.blue: "blue",
    ColorInterp.alpha: "alpha",
}


class Scene:
    """An opened scene; see :func:`open_scene`.

    Attributes
    ----------
    name : str
        What messages call it.
    width, height : int
        Pixels.
    crs : rasterio.crs.CRS or None
        Coordinate reference system.
    transform : affine.Affine
        Pixels to coordinates.
    dtype : str
        NumPy name of the stored type.
    bands : tuple of str or None
        What the scene calls its bands: descriptions, else colors.
    """

    def __init__(self, dataset: DatasetReader, *, name: str) -> None:
        self.dataset = dataset
        self.name = name
        self.width: int = dataset.width
        self.height: int = dataset.height
        self.crs = dataset.crs
        self.transform = dataset.transform
        self.dtype: str = dataset.dtypes[0]
        self.bands = tuple(
            "alpha" if color == ColorInterp.alpha else (text or "").strip() or _COLORS.get(color)
            for text, color in zip(dataset.descriptions, dataset.colorinterp, strict=True)
        )


@contextlib.contextmanager
def open_scene(path: Path) -> Iterator[Scene]:
    """Open a local GeoTIFF (COGs too), JPEG 2000, PNG or JPEG scene.

    Raises
    ------
    DataError
        If there is no such file, it is none of these, or it cannot be read in strips of bounded memory.
    """
    if not path.is_file():
        raise MissingFileError(f"there is no scene {path}", fix="give a raster file on this machine")
    check_name(path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(session=DummySession(), **ENVIRONMENT))
        driver = _driver(path)
        try:
            # An absolute path of a file that exists is never taken for a URL.
            dataset = stack.enter_context(rasterio.open(path.resolve(), driver=driver, sharing=False))
        except RasterioError as error:
            raise DataError(
                f"{path} is a damaged or cut-short scene ({error.__cause__ or error})",
                fix="fetch or write the file again",
            ) from error
        _check_storage(dataset, path.name)
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_cache(dataset)))
        yield Scene(dataset, name=path.name)


def check_name(path: Path) -> None:
    """Refuse a path that GDAL cannot be given.

    Raises
    ------
    SettingError
        If it is not UTF-8.
    """
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise SettingError(f"the name {str(path)!a} is not UTF-8", fix="rename it") from None


def check_values(dtype: str, wanted: str, *, rescale: tuple[float, float] | None, scene: str) -> None:
    """Refuse a scene whose values are not those the model was trained on.

    Parameters
    ----------
    dtype : str
        Type of the scene's values.
    wanted : str
        Type the model takes.
    rescale : tuple of float, optional
        LOW and HIGH the scene is to be rendered with.
    scene : str
        The scene's name, for messages.

    Raises
    ------
    DataError
        If the type is another one and the scene is not rendered.
    SettingError
        If it is to be rendered and that makes no sense.
    """
    bits = {"uint8": "8-bit (uint8)", "uint16": "16-bit (uint16)"}
    if rescale is None:
        if dtype == wanted:
            return
        fix = (
            "render reflectance to 8 bit with --rescale 0:2750, as EuroSAT was (1000:3750 where 1000 was added "
            "to the numbers, as Sentinel-2 does from processing baseline 04.00)"
            if wanted == "uint8"
            else "give a scene of that type"
        )
        raise DataError(
            f"{scene} holds {bits.get(dtype, dtype)} values and the model takes {bits[wanted]} ones", fix=fix
        )
    if wanted != "uint8":
        raise SettingError(
            f"the model takes {bits[wanted]} values, rendering makes 8-bit ones", fix="leave out --rescale"
        )
    if not (math.isfinite(rescale[0]) and math.isfinite(rescale[1]) and rescale[1] > rescale[0]):
        raise SettingError(
            f"cannot render values from {rescale[0]:g} to {rescale[1]:g}",
            fix="give --rescale LOW:HIGH, LOW below HIGH",
        )
    if dtype == "uint8" and rescale[1] > 255:
        raise SettingError(
            f"{scene} is 8-bit already, its values end at 255 and not at {rescale[1]:g}",
            fix="leave out --rescale",
        )


def _driver(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(16)
    for first, driver in _DRIVERS.items():
        if head.startswith(first):
            return driver
    raise DataError(
        f"{path} is not a GeoTIFF, JPEG 2000, PNG or JPEG scene",
        fix="convert it, for example with: gdal_translate -of COG",
    )


def _cache(dataset: DatasetReader) -> int:
    """Bytes of cache that let each block be decoded once: two rows of blocks, within bounds."""
    height, width = dataset.block_shapes[0]
    across = math.ceil(dataset.width / width) * width * dataset.count * np.dtype(dataset.dtypes[0]).itemsize
    return int(min(max(_CACHE, 2 * height * across), _MAX_CACHE))


def _check_storage(dataset: DatasetReader, name: str) -> None:
    if len(dataset.subdatasets) > 1:
        raise DataError(f"{name} holds {len(dataset.subdatasets)} pages", fix="save one scene a file")
    dtype = dataset.dtypes[0]
    if dtype.startswith("complex"):
        raise DataError(f"{name} holds {dtype} values", fix="write its magnitude as float32")
    # Blocks are decoded whole, so one that holds the whole scene would break the bound on memory.
    for height, width in dataset.block_shapes:
        if height * width * dataset.count * np.dtype(dtype).itemsize > _MAX_BLOCK:
            raise DataError(
                f"{name} is stored in blocks of {width} x {height} pixels, which take too much memory",
                fix="write it in tiles, for example with: gdal_translate -of COG",
            )


@dataclass(frozen=True)
class Bands:
    """The bands of a scene that stand for a model's.

    Attributes
    ----------
    indexes : tuple of int
        Their numbers in the scene, counted from 1, in the model's order.
    how : str
        ``"asked for"``, ``"by name"`` or ``"by position"``.
    warning : str or None
        What the user should check, if anything.
    """

    indexes: tuple[int, ...]
    how: str
    warning: str | None = None


def choose_bands(
    names: Sequence[str | None], wanted: Sequence[str], *, asked: Sequence[int] | None = None, scene: str
) -> Bands:
    """Choose a model's bands from a scene's.

    Named bands are taken by name, even where there are just as many as the model wants: blue for red
    ruins a map. Bands whose names say nothing are taken by position, with a warning if some are left over or some
    have names; but not where a name says that the position is wrong.

    Parameters
    ----------
    names : sequence of str or None
        What the scene calls its bands, from their descriptions and colors; ``"alpha"`` is never a choice.
    wanted : sequence of str
        The model's bands.
    asked : sequence of int, optional
        The user's own choice, counted from 1.
    scene : str
        The scene's name, for messages.

    Raises
    ------
    SettingError
        If `asked` does not name as many bands as the model wants, or one the scene does not have.
    DataError
        If the scene has fewer bands than the model, all of its bands are known and one is missing, or a band that is
        known lies elsewhere than the model's order has it.
    """
    if asked is not None:
        return _asked(tuple(asked), len(names), wanted, scene)
    plain = [plain_name(name or "") for name in names]
    usable = [i for i, name in enumerate(plain, start=1) if name != "alpha"]
    if len(usable) < len(wanted):
        raise DataError(
            f"{scene} has {len(usable)} bands and the model needs {len(wanted)} ({', '.join(wanted)})",
            fix="give a scene with all of the model's bands",
        )
    found = [None if (at := find_band(names, band, bare=True)) is None else at + 1 for band in wanted]
    if None not in found and len(set(found)) == len(found):
        indexes = tuple(i for i in found if i is not None)
        numbered = [names[i - 1] for i in indexes if plain[i - 1][:1] == "b" and plain[i - 1][1:].isdigit()]
        warning = (
            f"bands {', '.join(str(n) for n in numbered)} were read as {', '.join(wanted)}, "
            "as Sentinel-2 numbers them; use --bands if this is another sensor"
            if numbered
            else None
        )
        return Bands(indexes, "by name", warning)
    misplaced = any(i is not None and usable[at] != i for at, i in enumerate(found))
    if misplaced or all(is_known(plain[i - 1]) for i in usable):
        missing = [band for band, i in zip(wanted, found, strict=True) if i is None]
        raise DataError(
            f"{scene} has bands {', '.join(str(names[i - 1]) for i in usable)} but not {', '.join(missing)}",
            fix="say which bands to use instead, such as --bands 1,2,3",
        )
    indexes = tuple(usable[: len(wanted)])
    called = [str(names[i - 1]) for i in indexes if plain[i - 1]]
    if len(usable) == len(wanted) and not called:
        return Bands(indexes, "by position")
    return Bands(
        indexes,
        "by position",
        f"the scene has {len(usable)} bands"
        + (f" (called {', '.join(called)})" if called else "")
        + f": the first {len(wanted)} were read as {', '.join(wanted)}; use --bands if they are not",
    )


def _asked(asked: tuple[int, ...], count: int, wanted: Sequence[str], scene: str) -> Bands:
    if len(asked) != len(wanted):
        raise SettingError(
            f"{len(asked)} bands were asked for and the model needs {len(wanted)} ({', '.join(wanted)})",
            fix=f"give --bands {len(wanted)} numbers, in that order",
        )
    outside = [index for index in asked if not 1 <= index <= count]
    if outside:
        raise SettingError(f"{scene} has no band {outside[0]}", fix=f"give --bands numbers from 1 to {count}")
    return Bands(asked, "asked for")
