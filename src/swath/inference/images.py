"""Images as people hold them, turned into a model's pixels: one rule for the bands, one for the type of numbers.

Files, bytes, Pillow images, rasterio datasets and data arrays say which bands they have, and the model's are taken by
name. Plain arrays do not: the axis that is as long as the model has bands is the bands' axis. Numbers are taken as
they were stored, because scaling is inside the model file; floating-point pixels are refused rather than guessed at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sized
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from PIL.Image import Image as PillowImage
from rasterio.io import DatasetReader

from swath.errors import DataError, SettingError
from swath.imagery import Picture, decode, select_bands
from swath.imagery.header import mode_name, numbered_bands, units_of
from swath.imagery.photos import picture_of
from swath.imagery.rasters import read_dataset, read_virtual
from swath.model import Record


class SupportsArray(Protocol):
    """A NumPy array, or what can be one: torch tensors, xarray DataArrays and others."""

    def __array__(self) -> Any:
        """Give the values as a NumPy array."""


Layout = Literal["chw", "hwc"]
Image: TypeAlias = str | os.PathLike[str] | bytes | bytearray | Picture | PillowImage | DatasetReader | SupportsArray

MODELS = "the model's"
_VIRTUAL = "/vsi"  # how names of GDAL's virtual file systems begin
_DIMENSIONS = {
    "band": {"band", "bands", "channel", "channels"},
    "y": {"y", "lat", "latitude", "row", "height"},
    "x": {"x", "lon", "longitude", "column", "width"},
}


def named_images(images: Image | Iterable[Image]) -> tuple[Iterable[tuple[str, Image]], int | None]:
    """Each image with a name for messages and tables, and how many there are if that is known.

    One image alone is taken as a list of one, an array of four dimensions as a batch.
    """
    one = isinstance(images, str | os.PathLike | bytes | bytearray | Picture | PillowImage | DatasetReader)
    several: Any = images
    if _is_data_array(images):
        several = _split_batch(images)
    elif not one and hasattr(images, "__array__"):
        array = _as_array(images)
        several = [array] if array.ndim < 4 else list(array)
    elif one or not isinstance(images, Iterable):
        several = [images]
    total = len(several) if isinstance(several, Sized) else None
    return ((_name_of(image, number), image) for number, image in enumerate(several)), total


def image_pixels(
    image: Image, record: Record, *, name: str, layout: Layout | None = None, data_type: str | None = MODELS
) -> npt.NDArray[Any]:
    """The model's bands ``[bands, H, W]`` of one image.

    Parameters
    ----------
    image : Image
        A path or ``/vsi...`` name, the bytes of a file, a decoded or Pillow image, an open rasterio dataset,
        an ``xarray.DataArray`` with dimensions such as band, y and x, or an array ``[bands, H, W]`` or
        ``[H, W, bands]``.
    record : Record
        Of the model.
    name : str
        What messages call the image.
    layout : {"chw", "hwc"}, optional
        Which axis of a plain array holds the bands: the first or the last. By default the one that is as
        long as the model has bands.
    data_type : str or None
        Type of the values: by default the model's; another one if they are to be rescaled, or None for any.

    Raises
    ------
    DataError
        If the image cannot be read, or does not have the model's bands or type.
    SettingError
        If there is no such layout.
    """
    if layout is not None and layout not in get_args(Layout):
        raise SettingError(f"layout={layout!r}", fix="give 'chw' (bands first) or 'hwc' (bands last)")
    found = _picture(image, name)
    bands, wanted = record.input.bands, record.input.data_type
    dtype = found.dtype if isinstance(found, np.ndarray) else found.pixels.dtype
    if data_type not in {MODELS, None, wanted} and dtype != data_type:
        raise DataError(f"{name} is {dtype}, and others are {data_type}", fix="classify them by themselves")
    if data_type in {MODELS, wanted} and dtype != wanted:
        raise DataError(
            f"{name} is {dtype}, model '{record.name}' takes {wanted}",
            fix=_mend(dtype, wanted, is_file=isinstance(image, str | os.PathLike | bytes | Picture)),
        )
    if isinstance(found, np.ndarray):
        pixels = _bands_first(found, len(bands), layout, name)
    else:
        try:
            pixels = select_bands(found, bands, of=record.input.file_bands)
        except DataError as error:
            raise DataError(f"{name}: {error.problem}", fix=error.fix) from error
    if pixels.ndim != 3 or len(pixels) != len(bands) or 0 in pixels.shape:
        shape = found.shape if isinstance(found, np.ndarray) else pixels.shape
        raise DataError(
            f"{name} has shape {shape}, model '{record.name}' takes [{len(bands)}, H, W] or "
            f"[H, W, {len(bands)}] ({', '.join(bands)})"
        )
    return pixels


def _picture(image: Any, name: str) -> Picture | npt.NDArray[Any]:
    """The image with the names of its bands, or as an array if it has none."""
    found: Picture | npt.NDArray[Any]
    if isinstance(image, Picture):
        found = image
    elif isinstance(image, bytes | bytearray):
        found = decode(bytes(image), name=name)
    elif isinstance(image, str | os.PathLike):
        found = _of_path(str(image), name)
    elif isinstance(image, PillowImage):
        found = picture_of(image, name=name)
    elif isinstance(image, DatasetReader):
        found = read_dataset(image, name=name)
    elif _is_data_array(image):
        found = _of_data_array(image, name)
    elif hasattr(image, "__array__"):
        found = _as_array(image)
    else:
        raise DataError(
            f"{name} is of type {type(image).__name__}, which is no image to swath",
            fix="give a path, bytes, a Pillow image, an open rasterio dataset or an array",
        )
    return found


def _of_path(path: str, name: str) -> Picture:
    if path.startswith(_VIRTUAL):
        return read_virtual(path)
    if Path(path).is_dir():
        raise DataError(f"{name} is a folder", fix="give its files, or use swath.inference.predict_files")
    return decode(Path(path), name=name)


def _as_array(image: Any) -> npt.NDArray[Any]:
    """A NumPy array of whatever offers one; a torch tensor may need its gradient, or be on a GPU."""
    if hasattr(image, "detach") and hasattr(image, "cpu"):
        image = image.detach().cpu()
    return np.asarray(image)


def _bands_first(pixels: npt.NDArray[Any], bands: int, layout: Layout | None, name: str) -> npt.NDArray[Any]:
    """Put the axis of the bands first; the shape is checked by the caller."""
    if pixels.ndim == 2 and bands == 1:
        return pixels[np.newaxis]
    if pixels.ndim != 3:
        return pixels
    first, last = pixels.shape[0] == bands, pixels.shape[-1] == bands
    if layout is None and first and last:
        raise DataError(
            f"{name} has shape {pixels.shape}, so its bands may be the first or the last axis",
            fix='say which with layout="chw" or layout="hwc"',
        )
    hwc = layout == "hwc" or (layout is None and last)
    return np.moveaxis(pixels, -1, 0) if hwc else pixels


def _mend(dtype: np.dtype[Any], wanted: str, *, is_file: bool) -> str:
    if is_file and dtype not in (np.uint8, np.uint16):
        kind, high = ("UInt16", 65535) if wanted == "uint16" else ("Byte", 255)
        return (
            "give the whole numbers before any scaling, or rescale them as those of the training data, as with: "
            f"gdal_translate -ot {kind} -scale LOW HIGH 0 {high} IN.tif OUT.tif"
        )
    if dtype.kind == "f":
        high = np.iinfo(wanted).max
        return (
            f"give the whole numbers of the file, before any scaling; of values from 0 to 1 these are "
            f"np.rint({high} * pixels).astype('{wanted}')"
        )
    if wanted == "uint16":
        return "give the numbers as stored, not a picture of them"
    if dtype == np.uint16:
        return "rescale reflectance to 8 bits: swath predict --rescale auto, or swath.imagery.rescale_reflectance"
    return "if its values are whole numbers from 0 to 255, give pixels.astype('uint8')"


def _is_data_array(image: object) -> bool:
    """Whether it is an ``xarray.DataArray``, recognized by what it offers: xarray need not be installed."""
    return all(hasattr(image, name) for name in ("dims", "coords", "transpose", "to_numpy"))


def _dimension(image: Any, role: str) -> Any | None:
    """What a data array calls its dimension of bands, rows or columns."""
    return next((dim for dim in image.dims if str(dim).lower() in _DIMENSIONS[role]), None)


def _split_batch(image: Any) -> list[Any]:
    """A data array as a list of images: several if it has a dimension besides bands, rows and columns."""
    others = [dim for dim in image.dims if all(dim != _dimension(image, role) for role in _DIMENSIONS)]
    if len(others) != 1 or len(image.dims) != 4:
        return [image]
    return [image.isel({others[0]: place}) for place in range(image.sizes[others[0]])]


def _of_data_array(image: Any, name: str) -> Picture:
    """The bands by their labels, or by the names rioxarray keeps; numbered labels leave them to their order."""
    band, y, x = (_dimension(image, role) for role in ("band", "y", "x"))
    if y is None or x is None or len(image.dims) != 2 + (band is not None):
        raise DataError(
            f"{name} has the dimensions {', '.join(map(str, image.dims))}, and swath looks for band, y and x",
            fix="rename them, as in image.rename({'time': 'band'}), or give image.to_numpy()",
        )
    pixels = image.transpose(*(() if band is None else (band,)), y, x).to_numpy()
    pixels = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    labels = image.coords[band].to_numpy().tolist() if band is not None and band in image.coords else []
    if not all(isinstance(label, str) for label in labels) or not labels:
        labels = image.attrs.get("long_name", ())
    named = isinstance(labels, list | tuple) and len(labels) == len(pixels)
    bands = tuple(str(label).lower() for label in labels) if named else numbered_bands(len(pixels))
    if len(pixels) == 1 and not named:
        bands = ("gray",)
    dtype = pixels.dtype.name
    return Picture(pixels, bands, units_of(dtype), mode_name(dtype, bands))


def _name_of(image: Any, number: int) -> str:
    """Paths and files are called by themselves, other images by their place."""
    if isinstance(image, str | os.PathLike):
        return str(image)
    file = image.filename if hasattr(image, "filename") else image.name if isinstance(image, DatasetReader) else ""
    return str(file) if file else f"image {number}"
