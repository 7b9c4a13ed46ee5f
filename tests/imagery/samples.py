"""Small pictures with known pixels, written by the libraries people write theirs with."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import rasterio.shutil
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

HEIGHT, WIDTH = 12, 20


def sharp(bands: int = 1, dtype: str = "uint8") -> np.ndarray:
    """``[bands, 12, 20]`` with no two pixels of a band alike, over the whole range of the type."""
    step = 1 if dtype == "uint8" else 257
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    planes = [np.roll(values, 7 * band) * step for band in range(bands)]
    return np.stack(planes).astype(dtype)


def smooth(bands: int = 1) -> np.ndarray:
    """``[bands, 32, 48]`` uint8 slopes that lossy coding keeps nearly as they are."""
    rows, columns = np.mgrid[0:32, 0:48]
    planes = [40 + 2 * columns + rows, 200 - 3 * columns, 60 + 4 * rows, 90 + columns + rows]
    return np.stack(planes[:bands]).astype(np.uint8)


def image(pixels: np.ndarray, mode: str | None = None) -> Image.Image:
    """A Pillow image of ``[bands, H, W]``."""
    if mode == "CMYK":
        return Image.merge("CMYK", [Image.fromarray(plane) for plane in pixels])
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file written by Pillow."""
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def raster(
    pixels: np.ndarray,
    driver: str = "GTiff",
    *,
    descriptions: tuple[str, ...] = (),
    colors: tuple[ColorInterp, ...] = (),
    palette: dict[int, tuple[int, ...]] | None = None,
    **options: Any,
) -> bytes:
    """The bytes of a file written by rasterio."""
    count, height, width = pixels.shape
    profile = {"count": count, "height": height, "width": width, "dtype": pixels.dtype.name, **options}
    with MemoryFile() as memory:
        with memory.open(driver=driver, **profile) as dataset:
            if colors:  # before the pixels: afterwards it is too late for some formats
                dataset.colorinterp = colors
            dataset.write(pixels)
            if descriptions:
                dataset.descriptions = descriptions
            if palette:
                dataset.write_colormap(1, palette)
        return memory.read()


def jpeg_2000(pixels: np.ndarray) -> bytes:
    """A lossless JPEG 2000, gray or in color."""
    options = {"QUALITY": "100", "REVERSIBLE": "YES", "YCBCR420": "NO"}
    source = raster(pixels, **({"photometric": "RGB"} if len(pixels) == 3 else {}))
    # Copied, as the program gdal_translate does: only so are the colors written too.
    with MemoryFile(source) as tiff, tiff.open() as dataset, MemoryFile(ext=".jp2") as target:
        rasterio.shutil.copy(dataset, target.name, driver="JP2OpenJPEG", **options)
        return target.read()


def npy(array: np.ndarray) -> bytes:
    """The bytes of an ``.npy`` file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def png(width: int, height: int, rows: bytes, *, depth: int = 8, color: int = 2, interlaced: bool = False) -> bytes:
    """A PNG put together by hand; `rows` are its pixels with a filter byte before each row."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is `width` by `height`."""
    return png(width, height, bytes(100))


def every_format() -> dict[str, bytes]:
    """One sound file of each format, by the suffix it belongs to."""
    return {
        ".jpg": saved(image(smooth(3)), "JPEG"),
        ".png": saved(image(sharp(3)), "PNG"),
        ".webp": saved(image(sharp(3)), "WEBP", lossless=True),
        ".tif": raster(sharp(3)),
        ".jp2": jpeg_2000(sharp(3)),
        ".npy": npy(sharp(1)[0]),
        ".gif": saved(image(sharp(1)), "GIF"),
        ".bmp": saved(image(sharp(3)), "BMP"),
        ".ppm": saved(image(sharp(3)), "PPM"),
        ".pgm": saved(image(sharp(1)), "PPM"),
    }
