"""How a file stores its picture, apart from the picture itself: what may separate classes by file headers alone."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from io import BytesIO

import rasterio
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from PIL.PngImagePlugin import PngImageFile
from rasterio.io import MemoryFile
from rasterio.session import DummySession

from swath.errors import DataError, SwathError
from swath.imagery.decode import kind_of, probe

# Sum of the luminance table that a quality of 50 stands for (ITU-T T.81, Annex K, Table K.1).
_LUMINANCE = 3688
_SAMPLING = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_BLOCKS = ("exif", "icc_profile", "dpi", "adobe", "comment", "gamma", "transparency", "XML:com.adobe.xmp")


@dataclass(frozen=True)
class Storage:
    """Contents of the headers of a file.

    Attributes
    ----------
    kind : str
        ``JPEG``, ``PNG``, ``WebP``, ``TIFF``, ``JPEG 2000`` or ``npy``, by content.
    width, height : int
        Pixels, upright.
    mode : str
        As :attr:`swath.imagery.Picture.mode`.
    compression : str
        In words: ``quality 75, 4:2:0``, ``deflate, interlaced``; empty where there is nothing to say.
    tables : str
        Eight hexadecimal digits that stand for a JPEG's quantization tables; empty for others.
    extras : str
        Blocks besides the pixels, such as ``dpi, exif``; empty if there are none.
    bytes : int
        Length of the file.
    """

    kind: str
    width: int
    height: int
    mode: str
    compression: str
    tables: str
    extras: str
    bytes: int


def storage(data: bytes, *, name: str) -> Storage:
    """Read the headers of a picture; nothing is decoded.

    Parameters
    ----------
    data : bytes
        The content of a file.
    name : str
        What messages call it.

    Raises
    ------
    DataError
        If it is not such a picture as :func:`swath.imagery.decode` reads.
    """
    header = probe(data, name=name)
    kind = kind_of(BytesIO(data), name).removeprefix("16-bit color ")
    compression, tables, extras = "", "", ""
    try:
        if kind == "JPEG":
            compression, tables, extras = _jpeg(data)
        elif kind == "PNG":
            image = PngImageFile(BytesIO(data))
            compression = "deflate, interlaced" if image.info.get("interlace") else "deflate"
            extras = _extras(image.info)
        elif kind == "WebP":
            compression = "lossless" if _webp_pixels(data) == b"VP8L" else "lossy"
        elif kind in ("TIFF", "JPEG 2000"):
            compression = _raster(data)
    except SwathError:
        raise
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        raise DataError(f"{name} is not a sound {kind} file ({error})") from error
    return Storage(kind, header.width, header.height, header.mode, compression, tables, extras, bytes=len(data))


def _jpeg(data: bytes) -> tuple[str, str, str]:
    image = JpegImageFile(BytesIO(data))
    tables = image.quantization
    words = [f"quality {_quality(sum(tables[min(tables)]))}"] if tables else []
    if len(image.layer) == 3:  # one or four components are not subsampled as a rule
        words.append(_SAMPLING.get(get_sampling(image), "other sampling"))
    if "progressive" in image.info or "progression" in image.info:
        words.append("progressive")
    digest = hashlib.sha256(repr(sorted((k, list(v)) for k, v in tables.items())).encode()).hexdigest()
    return ", ".join(words), digest[:8], _extras(image.info)


def _quality(total: int) -> int:
    """Quality on the scale of the Independent JPEG Group, from the sum of the luminance table.

    Their tables are the standard's, in percent ``5000 / q`` below quality 50 and ``200 - 2 q`` above.
    """
    percent = 100 * total / _LUMINANCE
    quality = 5000 / percent if percent > 100 else (200 - percent) / 2
    return max(1, min(100, round(quality)))


def _extras(info: dict[str | tuple[int, int], object]) -> str:
    return ", ".join(block for block in _BLOCKS if info.get(block))


def _webp_pixels(data: bytes) -> bytes:
    """Name of the chunk that holds a WebP's pixels (RFC 9649): color profiles and more may come before it."""
    place = 12
    while place + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, place)
        if kind in (b"VP8L", b"VP8 "):
            return bytes(kind)
        place += 8 + length + length % 2
    return b""


def _raster(data: bytes) -> str:
    with (
        rasterio.Env(session=DummySession(), GDAL_PAM_ENABLED="NO"),
        MemoryFile(data, filename="image") as memory,
        memory.open() as dataset,
    ):
        words = [str(dataset.profile.get("compress") or "not compressed").lower()]
        if dataset.profile.get("tiled"):
            words.append("tiled")
        if dataset.crs is not None:
            words.append("placed on the globe")
        return ", ".join(words)
