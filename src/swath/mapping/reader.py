"""Open a scene: a raster file, a ``/vsi`` name, an open dataset or an array; and choose its bands.

Whatever it comes from, a scene is a :class:`Scene` to the rest of this package: facts and one function that reads a
window. What cannot be mapped (other values than the model takes, missing bands, storage that would take too much
memory) is refused here, before any work.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from rasterio.windows import Window

from swath.errors import DataError, SettingError
from swath.imagery.arrays import bands_first
from swath.imagery.header import RGB
from swath.imagery.products import find_files
from swath.imagery.rasters import RasterBands, check_blocks, equals_nodata, sound
from swath.imagery.remote import gdal_settings, is_address
from swath.imagery.rgb import band_word, find_band, is_known, is_numbered, plain_name, thematic_mapper
from swath.imagery.sentinel2 import EUROSAT_WHITE, Product, find_product
from swath.imagery.stack import BandStack, open_stack
from swath.imagery.stores import SceneFiles
from swath.inference.rescale import Rescale, check_rescale
from swath.mapping.opening import CACHE, ENVIRONMENT, cut_off, file_name, open_raster_of, use_own_proj_data
from swath.model.record import InputSpec

# GDAL's cache is for the blocks of one row of them at least: they are decoded whole.
_MAX_CACHE = 640 * 2**20
_NUMBER = re.compile(r"b\d+")
_NUMBERED = re.compile(r"band_\d+")  # what a band without a name is called
_ROWS, _COLUMNS = {"y", "lat", "latitude"}, {"x", "lon", "longitude"}


Read = Callable[[Sequence[int], Window], tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]]


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
        Value that means no data, in the first band that has one.
    block : int
        Rows that are stored, and so decoded, together.
    read : callable
        Takes band numbers, counted from 1, and a window; gives values ``[n, rows, columns]``, and where they are data:
        bool ``[n or 1, rows, columns]``, or None if all of them are.
    scaling : tuple of float or None
        Scale and offset by which the scene says that its stored values become physical ones.
    placing : str or None
        Why a scene without coordinates has none, if the file says how it could get some.
    product : Product
        What its name and tags say of a product of Sentinel-2.
    tag : str or None
        How it was drawn, by its tag SWATH_RESCALE.
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
    read: Read
    scaling: tuple[float, float] | None = None
    placing: str | None = None
    product: Product = field(default_factory=Product)
    tag: str | None = None


@contextlib.contextmanager
def open_scene(
    scene: Any,
    *,
    crs: Any = None,
    transform: Any = None,
    nodata: float | None = None,
    black: bool = False,
    name: str | None = None,
) -> Iterator[Scene]:
    """Open a scene, of whatever kind.

    No data is what the scene says it is, as :meth:`swath.imagery.rasters.RasterBands.read_with_mask` has it; of an
    array, its fill value, masked values, and what is NaN or infinite.

    Parameters
    ----------
    scene : path, str, list of them, rasterio dataset, numpy.ndarray or xarray.DataArray
        A local GeoTIFF (COGs too), JPEG 2000, PNG or JPEG; the ``/vsi...`` name of one, as GDAL takes it; a product or
        several files of one band each, as :func:`swath.imagery.products.find_files` takes them; an open dataset,
        which stays open; an array ``[bands, H, W]``, ``[H, W, bands]`` or ``[H, W]``; or a DataArray with dimensions
        ``y``, ``x`` and at most one more, which is read window by window and so may be lazy.
    crs, transform : optional
        Replace the scene's own: what :meth:`rasterio.crs.CRS.from_user_input` takes, and an affine transform or
        its first six numbers.
    nodata : float, optional
        Value that means no data in every band, in place of the scene's own.
    black : bool
        Whether 0 means no data in values of more than 8 bits where the scene states no value, as in Sentinel-2
        products, which do not state it.
    name : str, optional
        What messages call it; by default the file's name, or "the array".

    Raises
    ------
    DataError
        If there is no such file, the scene is none of these, or it cannot be read in strips of bounded memory.
    SettingError
        If `nodata` is no value that the scene's type can hold, or PROJ finds no data of its own.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(session=DummySession(), **ENVIRONMENT))
        use_own_proj_data()
        away = any(map(is_address, scene if isinstance(scene, list | tuple) else [scene]))
        if away:
            stack.enter_context(rasterio.Env(**gdal_settings()))
        if isinstance(scene, list | tuple) and len(scene) == 1:
            scene = scene[0]
        files = find_files(scene)
        if files is not None:
            stacked = stack.enter_context(open_stack(files))
            opened = _stacked_scene(stacked, files, name=name or files.name, nodata=nodata, black=black)
        elif isinstance(scene, str | Path):
            found = stack.enter_context(open_raster_of(str(scene)))
            with sound(str(scene), found.driver):
                opened = _dataset_scene(found, name or file_name(scene), nodata=nodata, black=black)
        elif hasattr(scene, "dataset_mask"):
            with sound(scene.name, scene.driver):
                opened = _dataset_scene(scene, name or Path(scene.name).name, nodata=nodata, black=black)
        elif hasattr(scene, "dims") and hasattr(scene, "coords"):
            opened = _labeled_scene(scene, nodata=nodata, black=black, name=name)
        elif isinstance(scene, np.ndarray):
            cube = bands_first(scene, name="the scene")
            opened = _array_scene(cube, name=name or "the array", nodata=nodata, black=black)
        else:
            raise DataError(
                f"a scene cannot be a {type(scene).__name__}",
                fix="give a path, an open rasterio dataset, a NumPy array or an xarray.DataArray",
            )
        if away:
            opened = replace(opened, read=_from_server(opened.read, opened.name))
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=_cache(opened)))
        if crs is not None:
            opened = replace(opened, crs=_crs(crs))
        if transform is not None:
            opened = replace(opened, transform=Affine(*tuple(transform)[:6]))
        if not all(map(math.isfinite, opened.transform)) or not opened.transform.determinant:
            raise DataError(
                f"{opened.name} places its pixels by a transform that gives them no size",
                fix="correct it, for example with: gdal_edit.py -a_ullr WEST NORTH EAST SOUTH",
            )
        yield opened


def _from_server(read: Read, name: str) -> Read:
    """Read as `read` does, with errors that speak of the server."""

    def again(bands: Sequence[int], window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        try:
            return read(bands, window)
        except DataError as error:
            raise cut_off(name, error) from error

    return again


def _dataset_scene(dataset: DatasetReader, name: str, *, nodata: float | None, black: bool) -> Scene:
    bands = RasterBands(dataset, name=name)
    check_blocks(dataset, name=name)
    asked = _nodata_of(nodata, dataset.dtypes[0], scene=name)
    stated = next((value for value in bands.nodata if value is not None), None)
    if asked is None and stated is None and black and bands.dtype != "uint8":
        asked = 0.0
    pairs = set(zip(dataset.scales, dataset.offsets, strict=True))
    scaling = pairs.pop() if len(pairs) == 1 else None

    def read(chosen: Sequence[int], window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        return bands.read_with_mask(chosen, window, nodata=asked)

    return Scene(
        name=name,
        height=dataset.height,
        width=dataset.width,
        dtype=bands.dtype,
        bands=tuple(None if _NUMBERED.fullmatch(band) else band for band in bands.names),
        crs=dataset.crs,
        transform=dataset.transform,
        nodata=stated if asked is None else asked,
        block=max(height for height, _ in dataset.block_shapes),
        read=read,
        scaling=None if scaling == (1.0, 0.0) else scaling,
        placing=_placing(dataset),
        product=find_product(_said(dataset)),
        tag=dataset.tags().get("SWATH_RESCALE"),
    )


def _stacked_scene(stack: BandStack, files: SceneFiles, *, name: str, nodata: float | None, black: bool) -> Scene:
    """A scene of several files."""
    asked = _nodata_of(nodata, stack.dtype, scene=name)
    stated = next((value for value in stack.nodata if value is not None), None)
    if asked is None and stated is None and black and stack.dtype != "uint8":
        asked = 0.0

    def read(chosen: Sequence[int], window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        return stack.read_with_mask(chosen, window, nodata=asked)

    return Scene(
        name=name,
        height=stack.height,
        width=stack.width,
        dtype=stack.dtype,
        bands=stack.names,
        crs=stack.crs,
        transform=stack.transform,
        nodata=stated if asked is None else asked,
        block=stack.block,
        read=read,
        scaling=stack.scaling,
        product=files.product if files.product != Product() else find_product(stack.tags),
    )


def _said(dataset: DatasetReader) -> list[str]:
    """What may name the product: the file, the folder of a product it lies in, and its tags."""
    path = Path(dataset.name)
    folders = [folder.name for folder in path.parents if folder.suffix.upper() == ".SAFE"]
    return [path.name, *folders, *dataset.tags().values()]


def _placing(dataset: DatasetReader) -> str | None:
    """How a raster without a grid of coordinates says where it lies."""
    points, system = dataset.gcps
    if dataset.crs or not (points or dataset.rpcs):
        return None
    if points:
        where = f" in {system.to_string()[:40]}" if system else ""
        return f"it is placed by {len(points)} ground control points{where}: warp it first, with gdalwarp -tps"
    return "it is placed by rational polynomial coefficients: warp it first, with gdalwarp -rpc"


def _nodata_of(nodata: float | None, dtype: str, *, scene: str) -> float | None:
    """The nodata value asked for; refuses one that no pixel can have."""
    if nodata is None or np.issubdtype(np.dtype(dtype), np.floating):
        return nodata
    limits = np.iinfo(dtype)
    if not (math.isfinite(nodata) and limits.min <= nodata <= limits.max and nodata == int(nodata)):
        raise SettingError(
            f"no pixel of {scene} can be {nodata:g}: its values are whole numbers from {limits.min} to {limits.max}",
            fix="leave out --nodata, or give the value its pixels without data have",
        )
    return nodata


def _array_scene(
    cube: Any, *, name: str, nodata: float | None, black: bool, stated: float | None = None, **known: Any
) -> Scene:
    """A scene of anything that is cut as ``cube[band, rows, columns]``."""
    dtype = np.dtype(cube.dtype)
    if dtype.kind not in "uif":
        raise DataError(f"{name} holds {dtype} values", fix="give uint8, uint16, int16 or float32 values")
    place = {"bands": (None,) * cube.shape[0], "crs": None, "transform": Affine.identity()} | known
    asked = _nodata_of(nodata, dtype.name, scene=name)
    value = stated if asked is None else asked
    if value is None and black and dtype != np.uint8:
        value = 0.0

    def read(bands: Sequence[int], window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        rows, columns = window.toslices()
        parts = [np.ma.asarray(cube[band - 1, rows, columns]) for band in bands]
        values = np.stack([part.data for part in parts], dtype=dtype.name)
        present: list[npt.NDArray[np.bool_]] = []
        if any(part.mask is not np.ma.nomask for part in parts):
            present.append(~np.stack([np.ma.getmaskarray(part) for part in parts]))
        if value is not None:
            present.append(~equals_nodata(values, value))
        if dtype.kind == "f":
            present.append(np.isfinite(values))
        return values, functools.reduce(np.logical_and, present) if present else None

    _, height, width = cube.shape
    return Scene(name=name, height=height, width=width, dtype=dtype.name, block=1, read=read, nodata=value, **place)


def _labeled_scene(data: Any, *, nodata: float | None, black: bool, name: str | None) -> Scene:
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
        name=name or str(data.name or "the array"),
        nodata=nodata,
        black=black,
        stated=None if filled is None else float(filled),
        bands=tuple(None if name is None else str(name) for name in names),
        crs=_labeled_crs(data),
        transform=_labeled_transform(data, *found),
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


def check_values(scene: Scene, spec: InputSpec, *, rescale: Rescale) -> None:
    """Refuse a scene whose values are not those the model was trained on, before any work.

    Parameters
    ----------
    scene : Scene
        Where its values have to be rescaled, some are read, to say how.
    spec : InputSpec
        What the model expects.
    rescale : Rescale
        What is asked for.

    Raises
    ------
    DataError
        If the type is another one and nothing says how the scene is rescaled.
    SettingError
        If it is to be rescaled and that makes no sense.
    """
    check_rescale(rescale, spec, dtype=scene.dtype, what=scene.name)
    if scene.dtype == spec.data_type or rescale.limits is not None:
        return
    if rescale.mode != "off" and (spec.rendering is not None or scene.tag is not None):
        return
    needed, bits = spec.data_type, {"uint8": "8-bit (uint8)", "uint16": "16-bit (uint16)"}
    fix = "give a scene of that type"
    if needed == "uint8":
        fix = likely_range(scene) or (
            "rescale reflectance to 8 bit with --rescale 0:2750, as EuroSAT was (1000:3750 where 1000 was added "
            "to the values, as Sentinel-2 does from processing baseline 04.00)"
        )
    holds = bits.get(scene.dtype, scene.dtype)
    raise DataError(f"{scene.name} holds {holds} values and the model takes {bits[needed]} ones", fix=fix)


def likely_range(scene: Scene) -> str | None:
    """How to rescale a scene to 8 bits as EuroSAT was, by what it says of its values or by the values themselves.

    None for values that look like reflectance times 10,000, as products of Sentinel-2 hold it.
    """
    high = EUROSAT_WHITE / 10_000  # as reflectance
    if scene.scaling is not None and scene.scaling[0] > 0:
        scale, offset = scene.scaling
        return (
            f"rescale reflectance to 8 bit with --rescale {-offset / scale:.6g}:{(high - offset) / scale:.6g}, which "
            f"is 0 to {high:g} by the scene's own scale of {scale:g} and offset of {offset:g}"
        )
    side = 256
    corner = Window(
        max(0, (scene.width - side) // 2),
        max(0, (scene.height - side) // 2),
        min(side, scene.width),
        min(side, scene.height),
    )
    bands = [at for at, name in enumerate(scene.bands, start=1) if name != "alpha"]
    try:
        values, present = scene.read(bands[:3], corner)
    except DataError:
        values, present = np.zeros((1, 1, 1)), None
    largest = float(np.max(values, initial=0, where=True if present is None else present))
    if 0 < largest <= 2.0 and scene.dtype.startswith("float"):
        return f"its values look like reflectance from 0 to 1: rescale them to 8 bit with --rescale 0:{high:g}"
    if 0 < largest <= 200 and scene.dtype.startswith("float"):
        return f"its values look like reflectance in percent: rescale them to 8 bit with --rescale 0:{100 * high:g}"
    if 0 < largest <= 255:
        return "its values end at 255, as those of 8-bit pictures do: bring them to 8 bit with --rescale 0:255"
    return None


def _cache(scene: Scene) -> int:
    """Bytes of GDAL's cache that let each block be decoded once: two rows of blocks, within bounds."""
    across = scene.width * len(scene.bands) * np.dtype(scene.dtype).itemsize
    return min(max(CACHE, 2 * scene.block * across), _MAX_CACHE)


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
    sensor: str | None = None,
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
    sensor : str, optional
        Whose bands these are, where the scene itself says so: then numbers of bands are in no doubt.

    Raises
    ------
    SettingError
        If `asked` does not name as many bands as the model needs, or one the scene does not have.
    DataError
        If the scene has fewer bands than the model, or bands without names of another number than `of`; if all of its
        bands are known and one is missing, or a known band is
        not where the model's order has it.
    """
    plain = [plain_name(name or "") for name in names]
    usable = [i for i, name in enumerate(plain, start=1) if name != "alpha"]
    if asked is not None:
        return _asked(tuple(asked), usable, needed, scene)
    if of is not None and not any(plain[i - 1] for i in usable):
        numbers = [int(band.removeprefix("band_")) for band in needed if is_numbered(band)]
        if len(usable) != of or len(numbers) != len(needed):
            example = ",".join(str(number) for number in range(1, len(needed) + 1))
            raise DataError(
                f"{scene} has {len(usable)} bands without names, and the model takes {', '.join(needed)} of {of}",
                fix=f"say which bands of the scene these are, such as --bands {example}",
            )
        return Bands(tuple(usable[number - 1] for number in numbers), "by number")
    if [plain[i - 1] for i in usable] == ["gray"] and tuple(needed) == RGB:
        return Bands(tuple(usable) * 3, "by name", "the scene is gray: red, green and blue are the same band")
    if len(usable) < len(needed):
        raise DataError(
            f"{scene} has {len(usable)} bands and the model needs {len(needed)} ({', '.join(needed)})",
            fix="give a scene with all of the model's bands",
        )
    found = [None if (at := find_band(names, band, bare=True)) is None else at + 1 for band in needed]
    if None not in found and len(set(found)) == len(found):
        indexes = tuple(i for i in found if i is not None)
        numbered = [names[i - 1] for i in indexes if _NUMBER.fullmatch(plain_name(band_word(names[i - 1] or "")))]
        numbering = "Landsat 4 to 7 number" if thematic_mapper(names) else "Sentinel-2 numbers"
        warning = (
            f"bands {', '.join(str(n) for n in numbered)} were read as {', '.join(needed)}, "
            f"as {numbering} them; use --bands if this is another sensor"
            if numbered and sensor is None
            else None
        )
        return Bands(indexes, "by name", warning)
    misplaced = any(i is not None and usable[at] != i for at, i in enumerate(found))
    if misplaced or all(is_known(names[i - 1] or "") for i in usable):
        missing = [band for band, i in zip(needed, found, strict=True) if i is None]
        raise DataError(
            f"{scene} has bands {', '.join(str(names[i - 1]) for i in usable)} but not {', '.join(missing)}",
            fix="say which bands to use instead, such as --bands 1,2,3"
            if sensor is None
            else f"give all of what was downloaded of {sensor}, or say which bands to use instead: --bands 1,2,3",
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


def _asked(asked: tuple[int, ...], usable: Sequence[int], needed: Sequence[str], scene: str) -> Bands:
    if len(asked) != len(needed):
        raise SettingError(
            f"{len(asked)} bands were asked for and the model needs {len(needed)} ({', '.join(needed)})",
            fix=f"give --bands {len(needed)} numbers, in that order",
        )
    outside = [index for index in asked if index not in usable]
    if outside:
        raise SettingError(
            f"{scene} has no band {outside[0]} to classify by",
            fix=f"give --bands numbers among {', '.join(map(str, usable))}; alpha is no band",
        )
    return Bands(asked, "asked for")
