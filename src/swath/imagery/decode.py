"""One decoder for every picture format, which it detects from the first bytes of a file, never from its name.

:func:`_reading` opens a picture and makes one error of whatever a decoder raises; the formats themselves are read in
``arrays.py`` (NumPy), ``photos.py`` (Pillow) and ``rasters.py`` (rasterio).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from swath.contents import SNIFFED_BYTES, mistaken_content
from swath.errors import DataError, MissingFileError, SwathError
from swath.imagery.arrays import ArrayReader
from swath.imagery.header import Header, Picture, Reader, orientation_tag
from swath.imagery.photos import PhotoReader
from swath.imagery.rasters import open_raster
from swath.imagery.structure import check_structure

SUFFIXES = frozenset(
    (
        ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".png", ".webp", ".gif", ".bmp", ".dib", ".pbm", ".pgm",
        ".ppm", ".pnm", ".tif", ".tiff", ".jp2", ".j2k", ".npy",
    )
)  # fmt: skip
"""Lower-case suffixes taken for pictures when folders and archives are walked."""

_FIRST_BYTES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WebP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x93NUMPY": "npy",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    **{b"P%d" % number: "PNM" for number in range(1, 7)},
}
# Lengths of the second header of a BMP, which tell one from a text that begins with BM.
_BMP_HEADERS = frozenset((12, 40, 52, 56, 64, 108, 124))
# What else bears the name of a picture, and what to do about it.
DEEP_PNG = "16-bit color PNG"
_LONGEST = 200  # letters of what a library says
_REMEDY = "replace it or leave it out"


def decode(
    source: Path | bytes, *, name: str | None = None, max_pixels: int = 100_000_000, georeference: bool = False
) -> Picture:
    """Decode a JPEG, PNG, WebP, GIF, BMP, PNM, TIFF, GeoTIFF, JPEG 2000 or ``.npy`` picture.

    The format is detected from the content. The EXIF orientation is applied; palettes are expanded to RGB
    (RGBA if they have transparent entries), values of fewer than eight bits are stretched to 0-255, CMYK
    is converted to RGB; all other values are as stored, and no bits are dropped. Band names come from the
    format, a GeoTIFF's band descriptions or its color interpretation, else they are ``band_1``...; nodata is
    left as it is.
    An ``.npy`` array is ``[H, W]``, ``[H, W, bands]`` or ``[bands, H, W]``: the band axis is the first
    or last one, whichever is shorter than both other axes, and an array where neither is is refused.

    Parameters
    ----------
    source : Path or bytes
        A file, or the content of one.
    name : str, optional
        What error messages call it; the path by default.
    max_pixels : int
        Most pixels (width x height) allowed, checked on the header before anything is decoded.
        Decoded bands may also not take more than 32 bytes for each pixel allowed, nor be more than 1,024.
    georeference : bool
        Also read what a GeoTIFF or JPEG 2000 itself says of its place (about a millisecond).

    Returns
    -------
    Picture
        ``[bands, H, W]``, contiguous, in memory of its own.

    Raises
    ------
    DataError
        Naming the file, if it cannot be opened, is not such a picture, is cut short or damaged, is too
        large, or holds several pages or frames.

    Examples
    --------
    >>> import io, numpy, swath.imagery
    >>> file = io.BytesIO()
    >>> numpy.save(file, numpy.zeros((3, 64, 48), "uint16"))
    >>> picture = swath.imagery.decode(file.getvalue())
    >>> picture.bands, picture.pixels.shape, picture.pixels.dtype.name
    (('band_1', 'band_2', 'band_3'), (3, 64, 48), 'uint16')
    """
    with _reading(source, name, max_pixels, georeference) as reader:
        return reader.read()


def probe(source: Path | bytes, *, name: str | None = None) -> Header:
    """Read a picture's size, bands, type and mode from its header alone, whatever its size.

    Parameters
    ----------
    source : Path or bytes
        A file, or the content of one.
    name : str, optional
        What error messages call it; the path by default.

    Returns
    -------
    Header
        What :func:`decode` would give; the pixels may still prove damaged.

    Raises
    ------
    DataError
        Naming the file, if it cannot be opened or its header is not that of a picture.
    """
    with _reading(source, name, sys.maxsize) as reader:
        return reader.header


@contextlib.contextmanager
def _reading(source: Path | bytes, name: str | None, max_pixels: int, georeference: bool = False) -> Iterator[Reader]:
    """Open a picture; everything a decoder may raise on a bad file becomes one DataError."""
    if name is None:
        name = str(source) if isinstance(source, Path) else "the picture"
    try:
        stream = source.open("rb") if isinstance(source, Path) else BytesIO(source)
    except OSError as error:
        mistake = MissingFileError if isinstance(error, FileNotFoundError) else DataError
        raise mistake(f"{name} cannot be opened ({error.strerror})", fix="check the path") from error
    with stream:
        kind = kind_of(stream, name)
        try:
            with _reader(source, stream, kind, name=name, max_pixels=max_pixels, georeference=georeference) as reader:
                yield reader
        except SwathError:
            raise
        except Exception as error:  # decoders raise nearly anything on hostile bytes
            # The first sentence of a library's own message: the others advise its programmers.
            reason = str(error).partition("\n")[0].partition(". ")[0][:_LONGEST]
            raise DataError(f"{name} is not a sound {kind} file ({reason})", fix=_REMEDY) from error


@contextlib.contextmanager
def _reader(
    source: Path | bytes, stream: BinaryIO, kind: str, *, name: str, max_pixels: int, georeference: bool
) -> Iterator[Reader]:
    if kind == "npy":
        yield ArrayReader(stream, name=name, max_pixels=max_pixels)
    elif kind in ("TIFF", "JPEG 2000"):
        driver = "GTiff" if kind == "TIFF" else "JP2OpenJPEG"
        check_structure(stream, kind, name=name)
        turn = orientation_tag(stream) if kind == "TIFF" else 1
        with open_raster(
            source, driver, name=name, max_pixels=max_pixels, orientation=turn, georeference=georeference
        ) as raster:
            yield raster
    elif kind == DEEP_PNG:
        # Pillow would cut the values to 8 bits; only the EXIF block in front of the pixels is taken from it.
        turn = PhotoReader(stream, "PNG", name=name, max_pixels=max_pixels).orientation()
        stream.seek(0)
        with open_raster(stream.read(), "PNG", name=name, max_pixels=max_pixels, orientation=turn) as raster:
            yield raster
    else:
        yield PhotoReader(stream, kind, name=name, max_pixels=max_pixels)


def kind_of(stream: BinaryIO, name: str) -> str:
    """Detect the format from the first bytes and rewind.

    Raises
    ------
    DataError
        If it is none that swath reads.
    """
    head = stream.read(26)
    stream.seek(0)
    if not head:
        raise DataError(f"{name} is an empty file", fix=_REMEDY)
    for first, kind in _FIRST_BYTES.items():
        if head.startswith(first) and _fits(kind, head):
            depth, color = head[24:25], head[25:26]  # of a PNG's first chunk; color 0 is gray
            return DEEP_PNG if kind == "PNG" and depth == b"\x10" and color != b"\0" else kind
    mistaken = mistaken_content(stream.read(SNIFFED_BYTES))
    stream.seek(0)
    what, fix = mistaken or ("", "convert it to one of these")
    raise DataError(
        f"{name} is not a JPEG, PNG, WebP, GIF, BMP, PNM, TIFF, JPEG 2000 or .npy picture"
        f"{f': it {what}' if what else ''}",
        fix=f"{fix} or leave it out",
    )


def _fits(kind: str, head: bytes) -> bool:
    """Whether the bytes after short signatures are those of the format too."""
    if kind == "WebP":
        return head[8:12] == b"WEBP"
    if kind == "BMP":
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    return kind != "PNM" or head[2:3].isspace() or head[2:3] == b"#"
