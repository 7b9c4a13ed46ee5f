"""Open a scene: a raster file, a ``/vsi`` name, an open dataset or an array; and choose its bands.

Whatever it comes from, a scene is a :class:`Scene` to the rest of this package: facts and one function that reads a
window. What cannot be mapped (other values than the model takes, missing bands, storage that would take too much
memory) is refused here, before any work.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from rasterio.windows import Window

from swath.errors import DataError, MissingFileError, SettingError
from swath.imagery.arrays import bands_first
from swath.imagery.decode import DEEP_PNG, kind_of
from swath.imagery.rgb import find_band, is_known, is_numbered, plain_name
from swath.inference.engines import free_cores

# Formats that are one local file, recognized by its first bytes. VRT and the like are left out: they name other
# files, remote ones too.
_DRIVERS = {"TIFF": "GTiff", "JPEG 2000": "JP2OpenJPEG", "PNG": "PNG", DEEP_PNG: "PNG", "JPEG": "JPEG"}
# GDAL's cache is for the blocks of one row of them at least: they are decoded whole.
_CACHE = 64 * 2**20
_MAX_CACHE = 640 * 2**20
# Sidecar files (world files, masks) are looked up by name; the folder, which may be huge, is never listed.
# Blocks are decoded and compressed on all cores where the format allows it.
ENVIRONMENT = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE", "GDAL_CACHEMAX": _CACHE, "GDAL_NUM_THREADS": str(free_cores())}
_MAX_BLOCK = 512 * 2**20
_COLORS = {ColorInterp.red: "red", ColorInterp.green: "green", ColorInterp.blue: "blue", ColorInterp.alpha: "alpha"}
_ROWS, _COLUMNS = {"y", "lat", "latitude"}, {"x", "lon", "longitude"}


@dataclass(frozen=True)
class Scene:
    """An opened scene; see :func:`open_scene`.

    Attributes
    ----------
    name : str
        What messages call it.
    height, width : int
        Pixels.
    dtype : str
        NumPy name of the stored type.
    bands : tuple of str or None
        What the scene calls its bands: descriptions, else colors.
    crs : rasterio.crs.CRS or None
        Coordinate reference system.
    transform : affine.Affine
        Pixels to coordinates.
    nodata : float or None
        Value that means no data.
    block : int
        Rows that are stored, and so decoded, together.
    read : callable
        Takes band numbers, counted from 1, and a window; gives values ``[bands, rows, columns]`` and, where the
        scene has a mask or an alpha band, a bool ``[rows, columns]`` that is True where there is data.
    """

    name: str
    height: int
    width: int
    dtype: str
    bands: tuple[str | None, ...]
    crs: Any
    transform: Affine
    nodata: float | None
    block: int
    read: Callable[[Sequence[int], Window], tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]]


@contextlib.contextmanager
def open_scene(scene: Any, *, crs: Any = None, transform: Any = None) -> Iterator[Scene]:
    """Open a scene, of whatever kind.

    Parameters
    ----------
    scene : path, str, rasterio dataset, numpy.ndarray or xarray.DataArray
        A local GeoTIFF (COGs too), JPEG 2000, PNG or JPEG; the ``/vsi...`` name of one, as GDAL takes it; an open
        dataset, which stays open; an array ``[bands, H, W]``, ``[H, W, bands]`` or ``[H, W]``; or a DataArray with
        dimensions ``y``, ``x`` and at most one more, which is read window by window and so may be lazy.
    crs, transform : optional
        Replace the scene's own: what :meth:`rasterio.crs.CRS.from_user_input` takes, and an affine transform or
        its first six numbers.

    Raises
    ------
    DataError
        If there is no such file, the scene is none of these, or it cannot be read in strips of bounded memory.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(session=DummySession(), **ENVIRONMENT))
        if isinstance(scene, str | Path):
            opened = _dataset_scene(stack.enter_context(_open_file(str(scene))), Path(scene).name)
        elif hasattr(scene, "dataset_mask"):
            opened = _dataset_scene(scene, Path(scene.name).name)
        elif hasattr(scene, "dims") and hasattr(scene, "coords"):
            opened = _labeled_scene(scene)
        elif isinstance(scene, np.ndarray):
            opened = _array_scene(bands_first(scene, name="the scene"), name="the array")
        else:
            raise DataError(
                f"a scene cannot be a {type(scene).__name__}",
                fix="give a path, an open rasterio dataset, a NumPy array or an xarray.DataArray",
            )
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_cache(opened)))
        if crs is not None:
            opened = replace(opened, crs=_crs(crs))
        if transform is not None:
            opened = replace(opened, transform=Affine(*tuple(transform)[:6]))
        yield opened


def _open_file(name: str) -> DatasetReader:
    """Open a local file of one of the formats, or what a ``/vsi`` name leads to."""
    target, driver = name, None
    # A /vsi name leads into GDAL's virtual file system, to another machine maybe: the user wants it so.
    if not name.startswith("/vsi"):
        path = Path(name)
        if not path.is_file():
            raise MissingFileError(f"there is no scene {path}", fix="give a raster file or a /vsi name")
        check_name(path)
        # An absolute path of a file that exists is never taken for a URL.
        target, driver = str(path.resolve()), _driver(path)
    try:
        return rasterio.open(target, driver=driver, sharing=False)
    except RasterioError as error:
        raise DataError(
            f"{name} cannot be opened, is damaged or cut short ({error.__cause__ or error})",
            fix="check the name, or download or write the file again",
        ) from error


def _driver(path: Path) -> str:
    with path.open("rb") as stream, contextlib.suppress(DataError, KeyError):
        return _DRIVERS[kind_of(stream, path.name)]
    raise DataError(
        f"{path} is not a GeoTIFF, JPEG 2000, PNG or JPEG scene",
        fix="convert it, for example with: gdal_translate -of COG",
    )


def _dataset_scene(dataset: DatasetReader, name: str) -> Scene:
    if len(dataset.subdatasets) > 1:
        raise DataError(f"{name} holds {len(dataset.subdatasets)} pages", fix="save one scene per file")
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
    masked = any(
        flag in (MaskFlags.per_dataset, MaskFlags.alpha) for flags in dataset.mask_flag_enums for flag in flags
    )

    def read(bands: Sequence[int], window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        values = dataset.read(list(bands), window=window)
        return values, dataset.dataset_mask(window=window) > 0 if masked else None

    return Scene(
        name=name,
        height=dataset.height,
        width=dataset.width,
        dtype=dtype,
        bands=tuple(
            "alpha" if color == ColorInterp.alpha else (text or "").strip() or _COLORS.get(color)
            for text, color in zip(dataset.descriptions, dataset.colorinterp, strict=True)
        ),
        crs=dataset.crs,
        transform=dataset.transform,
        nodata=dataset.nodata,
        block=max(height for height, _ in dataset.block_shapes),
        read=read,
    )


def _array_scene(cube: Any, *, name: str, **known: Any) -> Scene:
    """A scene of anything that is cut as ``cube[band, rows, columns]``."""
    dtype = np.dtype(cube.dtype)
    if dtype.kind not in "uif":
        raise DataError(f"{name} holds {dtype} values", fix="give uint8, uint16, int16 or float32 values")

    def read(bands: Sequence[int], window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        rows, columns = window.toslices()
        parts = [np.ma.asarray(cube[band - 1, rows, columns]) for band in bands]
        values = np.stack([part.data for part in parts], dtype=dtype.name)
        if all(part.mask is np.ma.nomask for part in parts):
            return values, None
        return values, ~np.all([np.ma.getmaskarray(part) for part in parts], axis=0)

    count, height, width = cube.shape
    place = {"bands": (None,) * count, "crs": None, "transform": Affine.identity(), "nodata": None} | known
    return Scene(name=name, height=height, width=width, dtype=dtype.name, block=1, read=read, **place)


def _labeled_scene(data: Any) -> Scene:
    """A scene of an ``xarray.DataArray``, with its place by the conventions of rioxarray and odc-geo."""
    found = [next((dim for dim in data.dims if str(dim).lower() in names), None) for names in (_ROWS, _COLUMNS)]
    others = [dim for dim in data.dims if dim not in found]
    if None in found or len(others) > 1:
        raise DataError(
            f"a DataArray with the dimensions {', '.join(map(str, data.dims))} is not one scene",
            fix="give dimensions band, y and x, for example with .isel(time=0)",
        )
    names: Sequence[Any] = ()
    if others:
        cube, band = data.transpose(*others, *found), data.coords.get(others[0])
        described = data.attrs.get("long_name")
        names = described if isinstance(described, tuple | list) else () if band is None else band.values
    else:
        cube = data.expand_dims("band").transpose("band", *found)
    if len(names) != cube.shape[0] or not all(isinstance(name, str) for name in names):
        names = (None,) * cube.shape[0]
    filled = data.attrs.get("_FillValue", data.attrs.get("nodata", data.encoding.get("_FillValue")))
    return _array_scene(
        cube,
        name=str(data.name or "the array"),
        bands=tuple(None if name is None else str(name) for name in names),
        crs=_labeled_crs(data),
        transform=_labeled_transform(data, *found),
        nodata=None if filled is None else float(filled),
    )


def _labeled_crs(data: Any) -> Any:
    mapping = data.encoding.get("grid_mapping", data.attrs.get("grid_mapping", "spatial_ref"))
    stated = data.coords[mapping].attrs if mapping in data.coords else {}
    text = stated.get("crs_wkt", stated.get("spatial_ref", data.attrs.get("crs")))
    return None if text is None else _crs(text)


def _crs(stated: Any) -> CRS:
    try:
        return CRS.from_user_input(stated)
    except (CRSError, ValueError) as error:
        raise SettingError(
            f"{stated!r} is not a coordinate reference system", fix="give one such as crs='EPSG:32632'"
        ) from error


def _labeled_transform(data: Any, rows: Any, columns: Any) -> Affine:
    """From coordinates, which are those of the pixels' centers."""
    steps, starts = [], []
    for dim in (columns, rows):
        if dim not in data.coords or data.sizes[dim] < 2:
            return Affine.identity()
        centers = np.asarray(data.coords[dim].values, np.float64)
        step = (centers[-1] - centers[0]) / (len(centers) - 1)
        if step == 0 or not np.allclose(np.diff(centers), step, rtol=1e-3, atol=0):
            raise DataError(f"the coordinates along '{dim}' are not evenly spaced", fix="resample to a regular grid")
        steps.append(step)
        starts.append(centers[0] - step / 2)
    return Affine(steps[0], 0, starts[0], 0, steps[1], starts[1])


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


def check_values(dtype: str, needed: str, *, rescale: tuple[float, float] | None, scene: str) -> None:
    """Refuse a scene whose values are not those the model was trained on.

    Parameters
    ----------
    dtype : str
        Type of the scene's values.
    needed : str
        Type the model takes.
    rescale : tuple of float, optional
        LOW and HIGH reflectance, if the scene is to be rescaled.
    scene : str
        The scene's name, for messages.

    Raises
    ------
    DataError
        If the type is another one and the scene is not rescaled.
    SettingError
        If it is to be rescaled and that makes no sense.
    """
    bits = {"uint8": "8-bit (uint8)", "uint16": "16-bit (uint16)"}
    if rescale is None:
        if dtype == needed:
            return
        fix = (
            "rescale reflectance to 8 bit with --rescale 0:2750, as EuroSAT was (1000:3750 where 1000 was added "
            "to the values, as Sentinel-2 does from processing baseline 04.00)"
            if needed == "uint8"
            else "give a scene of that type"
        )
        raise DataError(
            f"{scene} holds {bits.get(dtype, dtype)} values and the model takes {bits[needed]} ones", fix=fix
        )
    if needed != "uint8":
        raise SettingError(
            f"the model takes {bits[needed]} values, and rescaling gives 8-bit ones", fix="leave out --rescale"
        )
    if not (math.isfinite(rescale[0]) and math.isfinite(rescale[1]) and rescale[1] > rescale[0]):
        raise SettingError(
            f"cannot rescale values from {rescale[0]:g} to {rescale[1]:g}",
            fix="give --rescale LOW:HIGH, LOW below HIGH",
        )
    if dtype == "uint8" and rescale[1] > 255:
        raise SettingError(
            f"{scene} is 8-bit already, its values end at 255 and not at {rescale[1]:g}", fix="leave out --rescale"
        )


def _cache(scene: Scene) -> int:
    """Bytes of GDAL's cache that let each block be decoded once: two rows of blocks, within bounds."""
    across = scene.width * len(scene.bands) * np.dtype(scene.dtype).itemsize
    return min(max(_CACHE, 2 * scene.block * across), _MAX_CACHE)


@dataclass(frozen=True)
class Bands:
    """The bands of a scene that are given to a model.

    Attributes
    ----------
    indexes : tuple of int
        Their numbers in the scene, counted from 1, in the model's order.
    how : str
        ``"asked for"``, ``"by name"``, ``"by number"`` or ``"by position"``.
    warning : str or None
        What the user should check, if anything.
    """

    indexes: tuple[int, ...]
    how: str
    warning: str | None = None


def choose_bands(
    names: Sequence[str | None],
    needed: Sequence[str],
    *,
    asked: Sequence[int] | None = None,
    of: int | None = None,
    scene: str,
) -> Bands:
    """Choose a model's bands from a scene's.

    Named bands are taken by name, even where there are just as many as the model needs: blue for red
    ruins a map. Bands whose names say nothing are taken by position, with a warning if some are left over or some
    have names; but not where a name says that the position is wrong.

    Parameters
    ----------
    names : sequence of str or None
        What the scene calls its bands, from their descriptions and colors; ``"alpha"`` is never a choice.
    needed : sequence of str
        The model's bands.
    asked : sequence of int, optional
        The user's own choice, counted from 1.
    of : int, optional
        Number of bands of the training files, where `needed` are numbers of bands without names.
    scene : str
        The scene's name, for messages.

    Raises
    ------
    SettingError
        If `asked` does not name as many bands as the model needs, or one the scene does not have.
    DataError
        If the scene has fewer bands than the model, or bands without names of another number than `of`; if all of its
        bands are known and one is missing, or a known band is
        not where the model's order has it.
    """
    if asked is not None:
        return _asked(tuple(asked), len(names), needed, scene)
    plain = [plain_name(name or "") for name in names]
    usable = [i for i, name in enumerate(plain, start=1) if name != "alpha"]
    if of is not None and not any(plain[i - 1] for i in usable):
        numbers = [int(band.removeprefix("band_")) for band in needed if is_numbered(band)]
        if len(usable) != of or len(numbers) != len(needed):
            example = ",".join(str(number) for number in range(1, len(needed) + 1))
            raise DataError(
                f"{scene} has {len(usable)} bands without names, and the model takes {', '.join(needed)} of {of}",
                fix=f"say which bands of the scene these are, such as --bands {example}",
            )
        return Bands(tuple(usable[number - 1] for number in numbers), "by number")
    if len(usable) < len(needed):
        raise DataError(
            f"{scene} has {len(usable)} bands and the model needs {len(needed)} ({', '.join(needed)})",
            fix="give a scene with all of the model's bands",
        )
    found = [None if (at := find_band(names, band, bare=True)) is None else at + 1 for band in needed]
    if None not in found and len(set(found)) == len(found):
        indexes = tuple(i for i in found if i is not None)
        numbered = [names[i - 1] for i in indexes if plain[i - 1][:1] == "b" and plain[i - 1][1:].isdigit()]
        warning = (
            f"bands {', '.join(str(n) for n in numbered)} were read as {', '.join(needed)}, "
            "as Sentinel-2 numbers them; use --bands if this is another sensor"
            if numbered
            else None
        )
        return Bands(indexes, "by name", warning)
    misplaced = any(i is not None and usable[at] != i for at, i in enumerate(found))
    if misplaced or all(is_known(plain[i - 1]) for i in usable):
        missing = [band for band, i in zip(needed, found, strict=True) if i is None]
        raise DataError(
            f"{scene} has bands {', '.join(str(names[i - 1]) for i in usable)} but not {', '.join(missing)}",
            fix="say which bands to use instead, such as --bands 1,2,3",
        )
    indexes = tuple(usable[: len(needed)])
    called = [str(names[i - 1]) for i in indexes if plain[i - 1]]
    if len(usable) == len(needed) and not called:
        return Bands(indexes, "by position")
    return Bands(
        indexes,
        "by position",
        f"the scene has {len(usable)} bands"
        + (f" (called {', '.join(called)})" if called else "")
        + f": the first {len(needed)} were read as {', '.join(needed)}; use --bands if they are not",
    )


def _asked(asked: tuple[int, ...], count: int, needed: Sequence[str], scene: str) -> Bands:
    if len(asked) != len(needed):
        raise SettingError(
            f"{len(asked)} bands were asked for and the model needs {len(needed)} ({', '.join(needed)})",
            fix=f"give --bands {len(needed)} numbers, in that order",
        )
    outside = [index for index in asked if not 1 <= index <= count]
    if outside:
        raise SettingError(f"{scene} has no band {outside[0]}", fix=f"give --bands numbers from 1 to {count}")
    return Bands(asked, "asked for")
