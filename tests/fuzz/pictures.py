"""Pictures and rasters of every format that is read, changed in their chunks, segments, tags and headers."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from PIL import Image
from rasterio.io import MemoryFile

import swath
from swath.imagery import decode, probe
from swath.imagery.storage import storage
from tests.fuzz.mutants import FLOATS, NUMBERS, Rng, mutate_bytes, mutate_text, number, pick
from tests.tiny import patch, write_patches, write_tiny_model

_SIDE = 24
_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 338, 339, 347,
         33432, 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113, 50674, 50844)  # fmt: skip
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


class Pictures:
    """Pictures as `predict`, `data index`, `data report` and `map` read them."""

    name = "pictures"
    told = ()

    def __init__(self, folder: Path) -> None:
        self.seeds = dict(_photos()) | dict(_rasters()) | dict(_arrays())
        self._tree = write_patches(folder / "tree", classes=("Forest", "River"), n=3, size=_SIDE)
        self._classifier = swath.load(write_tiny_model(folder / "tiny.onnx"), engine="onnxruntime", threads=1)

    def make(self, rng: Rng, place: Path) -> Path:
        """Write a mutant of one of the seeds."""
        name = pick(rng, sorted(self.seeds))
        data, kind = self.seeds[name], name.partition("-")[0]
        changes: dict[str, Callable[[bytes, Rng], bytes]] = {
            "png": _change_png, "jpeg": _change_jpeg, "tif": _change_tiff, "npy": _change_npy, "jp2": _change_boxes,
            "webp": _change_riff,
        }  # fmt: skip
        for _ in range(int(rng.integers(1, 3))):
            if kind in changes and rng.random() < 0.6:
                # What an earlier change has left may no longer have the format's own parts.
                with contextlib.suppress(Exception):
                    data = changes[kind](data, rng)
            else:
                data = mutate_bytes(data, rng, head=pick(rng, (32, 200, None)))
        path = place / f"mutant.{kind}"
        path.write_bytes(data)
        return path

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Decode, index, classify and map it."""
        data = path.read_bytes()
        yield lambda: probe(path)
        yield lambda: decode(path, georeference=True)
        yield lambda: decode(data, name=path.name)
        yield lambda: storage(data, name=path.name)
        yield lambda: self._classifier.predict(path)
        yield lambda: swath.map_scene(self._classifier, path)
        yield lambda: swath.map_scene(self._classifier, path, rescale=(0, 200), out=path.parent / "map.tif")

        def index() -> None:
            target = self._tree / "Forest" / path.name
            try:
                target.write_bytes(data)
                swath.build_index(self._tree)
            finally:
                target.unlink()

        yield index


def _photos() -> Iterator[tuple[str, bytes]]:
    color = Image.fromarray(patch("River", seed=1, size=_SIDE))
    clear = Image.fromarray(np.dstack([patch("River", seed=2, size=_SIDE), np.full((_SIDE, _SIDE), 200, np.uint8)]))
    deep = Image.fromarray(np.arange(_SIDE * _SIDE, dtype=np.uint16).reshape(_SIDE, _SIDE) * 100)
    exif = Image.Exif()
    exif[274] = 6
    variants = {
        "png-rgb": (color, {}),
        "png-rgba": (clear, {}),
        "png-palette": (color.quantize(16), {"transparency": 3}),
        "png-gray": (color.convert("L"), {"exif": exif}),
        "png-bit": (color.convert("1"), {}),
        "png-deep": (deep, {}),
        "jpeg-rgb": (color, {"quality": 90, "exif": exif}),
        "jpeg-gray": (color.convert("L"), {}),
        "jpeg-cmyk": (color.convert("CMYK"), {}),
        "jpeg-progressive": (color, {"progressive": True, "subsampling": 2, "dpi": (300, 300)}),
        "gif-palette": (color.quantize(32), {}),
        "bmp-rgb": (color, {}),
        "bmp-palette": (color.quantize(16), {}),
        "webp-lossy": (color, {"quality": 80}),
        "webp-lossless": (clear, {"lossless": True, "exif": exif}),
        "ppm-rgb": (color, {}),
        "pgm-gray": (color.convert("L"), {}),
        "pbm-bit": (color.convert("1"), {}),
        "tif-packed": (color, {"compression": "packbits", "exif": exif}),
        "tif-lzw": (color, {"compression": "tiff_lzw"}),
        "tif-jpeg": (color, {"compression": "jpeg"}),
        "tif-fax": (color.convert("1"), {"compression": "group4"}),
        "tif-cmyk": (color.convert("CMYK"), {}),
    }
    for name, (image, options) in variants.items():
        kind = {"png": "PNG", "jpeg": "JPEG", "gif": "GIF", "bmp": "BMP", "webp": "WEBP", "tif": "TIFF"}
        stream = io.BytesIO()
        image.save(stream, kind.get(name.partition("-")[0], "PPM"), **options)
        yield name, stream.getvalue()


def _rasters() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500000, 0, -10, 5300000)}
    degrees = {"crs": "EPSG:4326", "transform": rasterio.Affine(1e-4, 0, 11, 0, -1e-4, 48)}
    variants: dict[str, tuple[str, int, dict[str, Any]]] = {
        "tif-geo": ("uint8", 3, {**place, "nodata": 0}),
        "tif-tiled": (
            "uint16",
            4,
            {**degrees, "tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"},
        ),
        "tif-float": ("float32", 3, {**place, "predictor": 3, "compress": "lzw", "nodata": -9999.0}),
        "tif-zstd": ("uint16", 2, {"compress": "zstd", "interleave": "band"}),
        "tif-big": ("uint8", 3, {"BIGTIFF": "YES"}),
        "tif-bits": ("uint8", 1, {"NBITS": 4}),
        "tif-signed": ("int16", 1, {**place, "compress": "deflate", "predictor": 2}),
        "jp2-rgb": ("uint8", 3, dict(place)),
        "jp2-deep": ("uint16", 1, {}),
        "png-color16": ("uint16", 3, {}),
    }
    drivers = {"tif": "GTiff", "jp2": "JP2OpenJPEG", "png": "PNG"}
    for name, (dtype, count, options) in variants.items():
        pixels = rng.integers(1, 15 if "bits" in name else 250, (count, _SIDE, _SIDE)).astype(dtype)
        with MemoryFile() as memory:
            profile = {"driver": drivers[name[:3]], "dtype": dtype, "count": count, "width": _SIDE, "height": _SIDE}
            with memory.open(**profile, **options) as target:
                target.write(pixels)
                if name == "tif-geo":
                    target.descriptions = ("red", "green", "blue")
                    target.update_tags(1, note="a tag")
            yield name, memory.read()


def _arrays() -> Iterator[tuple[str, bytes]]:
    for dtype in ("uint8", "uint16", ">f4"):
        stream = io.BytesIO()
        np.save(stream, np.arange(_SIDE * _SIDE * 3).reshape(_SIDE, _SIDE, 3).astype(dtype))
        yield f"npy-{dtype.strip('>')}", stream.getvalue()


def _change_png(data: bytes, rng: Rng) -> bytes:
    """Change, drop, repeat or add a chunk; checksums are right afterwards."""
    chunks, at = [], 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks.append((kind, data[at + 8 : at + 8 + length]))
        at += 12 + length
    place = int(rng.integers(len(chunks)))
    kind, body = chunks[place]
    match int(rng.integers(8)):
        case 0 | 1:
            head = list(struct.unpack(">IIBBBBB", chunks[0][1]))
            field = int(rng.integers(7))
            head[field] = abs(number(rng)) % 2**32 if field < 2 else int(pick(rng, (0, 1, 2, 3, 4, 6, 8, 16, 255)))
            chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *head))
        case 2:
            del chunks[place]
        case 3:
            chunks.insert(int(rng.integers(len(chunks))), (kind, body))
        case 4:
            chunks = [
                (k, zlib.compress(mutate_bytes(zlib.decompress(b), rng))) if k == b"IDAT" else (k, b) for k, b in chunks
            ]
        case 5:
            chunks[place] = (kind, mutate_bytes(body, rng))
        case 6:
            chunks[place] = (bytes(pick(rng, (b"IDAT", b"PLTE", b"tRNS", b"IEND", b"fdAT", b"zzzz"))), body)
        case _:
            packed = zlib.compress(bytes(int(pick(rng, (10, 10**5, 50_000_000)))))
            exif = b"II*\0\x08\0\0\0" + mutate_bytes(struct.pack("<HHHIHH", 1, 274, 3, 1, 6, 0), rng)
            extra = pick(
                rng,
                (
                    (b"iCCP", b"icc\0\0" + packed),
                    (b"zTXt", b"note\0\0" + packed),
                    (b"iTXt", b"note\0\1\0\0\0" + packed),
                    (b"tEXt", b"note\0" + bytes(rng.integers(0, 256, 30, np.uint8))),
                    (b"eXIf", exif),
                    (b"acTL", struct.pack(">II", abs(number(rng)) % 2**32, 0)),
                    (b"fcTL", struct.pack(">IIIIIHHBB", 0, abs(number(rng)) % 2**32, 9, 0, 0, 1, 1, 0, 0)),
                    (b"tRNS", bytes(rng.integers(0, 256, int(pick(rng, (0, 1, 2, 6, 300))), np.uint8))),
                    (b"PLTE", bytes(rng.integers(0, 256, int(pick(rng, (0, 1, 3, 48, 900))), np.uint8))),
                    (b"gAMA", struct.pack(">I", abs(number(rng)) % 2**32)),
                    (b"pHYs", struct.pack(">IIB", 0, abs(number(rng)) % 2**32, 1)),
                ),
            )
            chunks.insert(int(rng.integers(1, len(chunks) + 1)), extra)
    body = b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + body


def _change_jpeg(data: bytes, rng: Rng) -> bytes:
    """Change, drop or repeat a segment; the lengths of segments stay right."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = struct.unpack_from(">H", data, at + 2)[0]
        segments.append((data[at + 1], data[at + 4 : at + 2 + length]))
        at += 2 + length
    rest = data[at:]
    place = int(rng.integers(len(segments)))
    marker, body = segments[place]
    match int(rng.integers(7)):
        case 0 | 1:
            place = next(i for i, (m, _) in enumerate(segments) if m in (0xC0, 0xC1, 0xC2))
            frame = bytearray(segments[place][1])
            field = int(rng.integers(5))
            if field < 2:
                frame[1 + 2 * field : 3 + 2 * field] = struct.pack(">H", abs(number(rng)) % 65536)
            else:
                frame[int(rng.integers(5, len(frame)))] = int(pick(rng, (0, 1, 2, 3, 4, 0x11, 0x22, 0x44, 255)))
            segments[place] = (int(pick(rng, (segments[place][0], 0xC0, 0xC1, 0xC2, 0xC3, 0xC9))), bytes(frame))
        case 2:
            del segments[place]
        case 3:
            segments.insert(int(rng.integers(len(segments))), (marker, body))
        case 4 | 5:
            segments[place] = (marker, mutate_bytes(body, rng)[:65000])
        case _:
            extra = (
                (0xDD, b"\0\x01"),
                (0xEE, b"Adobe\0\x64\0\0\0\0\x02"),
                (0xE2, b"MPF\0" + body[:200]),
                (0xFE, b"\x1b[2J"),
            )
            segments.insert(int(rng.integers(1, len(segments) + 1)), pick(rng, extra))
    head = b"".join(struct.pack(">BBH", 0xFF, m, len(b) + 2) + b for m, b in segments)
    return data[:2] + head + rest


def _change_tiff(data: bytes, rng: Rng) -> bytes:
    """Change tags of the first directory: their number, type, count or value."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", data, 8 if big else 4)[0]
    count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, start)[0]
    first, size, wide = start + (8 if big else 2), 20 if big else 12, "Q" if big else "I"
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = first + size * int(rng.integers(count))
        tag, kind, items = struct.unpack_from(f"{order}HH{wide}", changed, at)
        value_at = at + 4 + struct.calcsize(wide)
        match int(rng.integers(6)):
            case 0:
                struct.pack_into(f"{order}H", changed, at, int(pick(rng, _TAGS)))
            case 1:
                struct.pack_into(f"{order}H", changed, at + 2, int(pick(rng, (0, 1, 2, 3, 4, 5, 11, 12, 16, 99))))
            case 2:
                struct.pack_into(f"{order}{wide}", changed, at + 4, abs(number(rng)) % 2 ** (64 if big else 32))
            case _:
                # A value of its own type, in the entry or where the entry points.
                length = _SIZES.get(kind, 1)
                if length * items > struct.calcsize(wide):
                    value_at = struct.unpack_from(f"{order}{wide}", changed, value_at)[0]
                    value_at += length * int(rng.integers(min(items, 64)))
                if kind in (11, 12):
                    struct.pack_into(
                        f"{order}{'f' if kind == 11 else 'd'}", changed, value_at, float(pick(rng, FLOATS[:9]))
                    )
                else:
                    small = pick(rng, NUMBERS) if rng.random() < 0.5 else int(rng.integers(12))
                    changed[value_at : value_at + length] = (small % 2 ** (8 * length)).to_bytes(
                        length, "little" if order == "<" else "big"
                    )
        del tag
    return bytes(changed)


def _change_npy(data: bytes, rng: Rng) -> bytes:
    """Write another header of the right length."""
    length = struct.unpack_from("<H", data, 8)[0]
    head = data[10 : 10 + length].decode("latin-1")
    swaps = (
        ("<u2", "|O"), ("|u1", "<U1000000"), ("|u1", "|V0"), ("|u1", "<f2"), ("|u1", "<c16"), ("|u1", "|b1"),
        ("<u2", "<M8[s]"),
        ("False", "True"), ("(24, 24, 3)", "(0, 24, 3)"), ("(24, 24, 3)", "(-24, -24, 3)"), ("(24, 24, 3)", "(1728,)"),
        ("(24, 24, 3)", "(99999999, 99999999, 3)"), ("(24, 24, 3)", "()"), ("(24, 24, 3)", "(24, 24.0, 3)"),
        ("(24, 24, 3)", "(24, True, 72)"), ("'shape'", "'shapes'"), ("{", "{" * 200), ("False", "1 and False"),
        ("}", "+1}"),
    )  # fmt: skip
    head = head.replace(*pick(rng, swaps)) if rng.random() < 0.7 else mutate_text(head, rng)
    encoded = head.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        return b"\x93NUMPY\x02\0" + struct.pack("<I", len(encoded)) + encoded + data[10 + length :]
    return data[:8] + struct.pack("<H", len(encoded) % 65536) + encoded + data[10 + length :]


def _change_boxes(data: bytes, rng: Rng) -> bytes:
    """Change a JPEG 2000 file where its codestream says sizes and components (SIZ, COD, QCD)."""
    marker = pick(rng, (b"\xff\x51", b"\xff\x52", b"\xff\x5c", b"\xff\x90", b"ihdr", b"colr", b"jp2c"))
    at = data.index(marker)
    changed = bytearray(data)
    place = at + 2 + int(rng.integers(46))
    code, bits = pick(rng, (("B", 8), ("H", 16), ("I", 32)))
    struct.pack_into(f">{code}", changed, place, abs(number(rng)) % 2**bits)
    return bytes(changed)


def _change_riff(data: bytes, rng: Rng) -> bytes:
    """Change the chunks of a WebP: their kinds, lengths and the canvas."""
    changed = bytearray(data)
    at = int(pick(rng, (4, 12, 16, 20, 21, 23, 24, 26, 27, 28)))
    if at == 12 and rng.random() < 0.7:
        changed[12:16] = pick(rng, (b"VP8X", b"VP8L", b"VP8 ", b"ANIM", b"ANMF", b"ALPH", b"EXIF"))
    else:
        struct.pack_into("<I", changed, at, abs(number(rng)) % 2**32)
    return bytes(changed)
