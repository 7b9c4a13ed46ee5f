"""JPEG, PNG, WebP, GIF, BMP and PNM through Pillow.

Pillow's format classes are entered directly: the format is known by its first bytes, and
``Image.open`` would warn or raise by a process-wide pixel limit of its own.
"""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.WebPImagePlugin import WebPImageFile

from swath.errors import DataError
from swath.imagery.header import RGB, Header, Picture, check_size, orientation_tag, units_of, upright, upright_size

_CLASSES: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "PNM": PpmImageFile,
}

# Pillow mode: what to convert it to first (None: nothing), the bands that gives, their type.
_MODES: dict[str, tuple[str | None, tuple[str, ...], str]] = {
    "RGB": (None, RGB, "uint8"),
    "L": (None, ("gray",), "uint8"),
    "RGBA": (None, (*RGB, "alpha"), "uint8"),
    "LA": (None, ("gray", "alpha"), "uint8"),
    "1": ("L", ("gray",), "uint8"),
    "P": ("RGB", RGB, "uint8"),
    "CMYK": ("RGB", RGB, "uint8"),
    "I;16": (None, ("gray",), "uint16"),
}
# Samples a pixel by a PNG's color type.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# First column and row, and steps to the next, of the passes in which an interlaced PNG is stored (Adam7).
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_TRANSPARENT_PALETTE = ("RGBA", (*RGB, "alpha"), "uint8")


class PhotoReader:
    """An opened JPEG, PNG, WebP, GIF, BMP or PNM file of at most 16 bits gray or 8 bits color.

    Raises
    ------
    DataError
        If the picture is above the limits, animated, or stored in a mode swath does not read.
    """

    def __init__(self, stream: BinaryIO, kind: str, *, name: str, max_pixels: int) -> None:
        if kind == "WebP":  # the class allocates the canvas at once, so its size is checked before
            check_size(*_webp_size(stream), name=name, max_pixels=max_pixels)
        image = _CLASSES[kind](stream)
        check_size(*image.size, name=name, max_pixels=max_pixels)
        if getattr(image, "n_frames", 1) > 1:
            raise DataError(f"{name} is an animated {kind}", fix="save one still picture a file")
        if isinstance(image, PpmImageFile) and _is_deep(image):
            raise DataError(
                f"{name} is a PNM of more than 8 bits", fix="save it as PNG or TIFF, which keep the numbers"
            )
        self._image, self._stream, self._name = image, stream, name
        self._convert, self._bands, self._dtype = _stored_as(image, name)

    @property
    def header(self) -> Header:
        """Size and storage of the picture."""
        width, height = upright_size(*self._image.size, self.orientation())
        return Header(width, height, self._bands, self._dtype, self._image.mode)

    def orientation(self) -> int:
        """EXIF orientation, 1 to 8, as far as the file has been read."""
        return _orientation(self._image)

    def read(self) -> Picture:
        """Decode the pixels and apply the orientation.

        Raises
        ------
        DataError
            If a PNG ends before its last row, which Pillow leaves black.
        """
        image = self._image
        values = np.asarray(image)
        # Missing rows are the last ones and black; only interlaced ones lie anywhere.
        suspect = isinstance(image, PngImageFile) and (image.info.get("interlace") or not values[-1].any())
        if suspect and _ends_early(self._stream):
            raise DataError(f"{self._name} holds fewer rows of pixels than it says", fix="replace it or leave it out")
        return picture_of(image, name=self._name, values=values)


def picture_of(image: Image, *, name: str, values: npt.NDArray[Any] | None = None) -> Picture:
    """The pixels of a Pillow image, as :func:`swath.imagery.decode` gives those of a file: upright, RGB of palettes.

    Parameters
    ----------
    image : PIL.Image.Image
        Any image of at most 16 bits gray or 8 bits color.
    name : str
        What error messages call it.
    values : numpy.ndarray, optional
        Its own values, if they are at hand.

    Raises
    ------
    DataError
        If it is in a mode swath does not read.
    """
    convert, bands, dtype = _stored_as(image, name)
    if convert is not None or values is None:
        values = np.asarray(image if convert is None else image.convert(convert))
    # Asked for after decoding: a PNG may carry its EXIF block behind the pixels.
    orientation = _orientation(image)
    planes = values[np.newaxis] if values.ndim == 2 else values.transpose(2, 0, 1)
    # A copy, which may be written to; Pillow's buffer may not.
    return Picture(upright(planes, orientation).copy(order="C"), bands, units_of(dtype), image.mode)


def _stored_as(image: Image, name: str) -> tuple[str | None, tuple[str, ...], str]:
    """The mode to convert an image to first, if any, and the bands and type that this gives."""
    if image.mode not in _MODES:
        raise DataError(
            f"{name} is a picture in mode {image.mode}, which swath does not read", fix="save it as 8-bit gray or RGB"
        )
    palette_alpha = image.mode == "P" and "transparency" in image.info
    return _TRANSPARENT_PALETTE if palette_alpha else _MODES[image.mode]


def _orientation(image: Image) -> int:
    exif = image.info.get("exif")
    return orientation_tag(BytesIO(exif.removeprefix(b"Exif\0\0"))) if exif else 1


def _is_deep(image: PpmImageFile) -> bool:
    """Whether the greatest value is above 255: Pillow would change such numbers."""
    settings = image.tile[0].args
    return image.mode == "I" or (isinstance(settings, tuple) and int(settings[1]) > 255)


def _ends_early(stream: BinaryIO) -> bool:
    """Whether a PNG's pixels unpack to fewer bytes than its header promises (ISO/IEC 15948, clauses 7 to 11)."""
    stream.seek(0)
    data = stream.read()
    width, height, depth, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    expected = 0
    for left, top, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            expected += max(rows, 0) * (1 + -(-columns * depth * _SAMPLES[color] // 8))
    packed, place = [], 8
    while place + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind == b"IDAT":
            packed.append(data[place + 8 : place + 8 + length])
        place += 12 + length
    return len(zlib.decompressobj().decompress(b"".join(packed), expected)) < expected


def _webp_size(stream: BinaryIO) -> tuple[int, int]:
    """Canvas width and height (RFC 9649, sections 2.5 to 2.7); rewinds the stream."""
    head = stream.read(30).ljust(30, b"\0")
    stream.seek(0)
    match head[12:16]:
        case b"VP8X":
            low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", head, 24)
            return (low_width | high_width << 16) + 1, (low_height | high_height << 16) + 1
        case b"VP8L":
            bits = struct.unpack_from("<I", head, 21)[0]
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            width, height = struct.unpack_from("<HH", head, 26)
            return width & 0x3FFF, height & 0x3FFF
