"""Zip archives of patches, changed in their directory, headers and names."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import swath
from swath.inference import predict_files
from tests.fuzz.mutants import TEXTS, Rng, mutate_bytes, number, pick
from tests.tiny import patch, write_tiny_model

_NAMES = (
    "../x.png", "/etc/x.png", "C:\\x.png", "a\\..\\..\\x.png", "Forest//1.png", "./Forest/1.png", "Forest/",
    "x" * 5000, "a/" * 300 + "x.png", "CON.png", ".png", "Forest/1.PNG", "Forest /9.png", "forest/9.png",
    "__MACOSX/._1.png",
)  # fmt: skip
# Fields of an entry of the directory, and of a member's own header: where they stand and how wide they are.
_ENTRY = {4: 2, 6: 2, 8: 2, 10: 2, 12: 2, 14: 2, 16: 4, 20: 4, 24: 4, 28: 2, 30: 2, 32: 2, 34: 2, 36: 2, 38: 4, 42: 4}
_HEADER = {4: 2, 6: 2, 8: 2, 10: 2, 12: 2, 14: 4, 18: 4, 22: 4, 26: 2, 28: 2}
_END = {4: 2, 6: 2, 8: 2, 10: 2, 12: 4, 16: 4, 20: 2}


class Zips:
    """Zip archives as `data index` and `predict` read them."""

    name = "zips"
    told = ()

    def __init__(self, folder: Path) -> None:
        self._files = {}
        for label in ("Forest", "River"):
            for count in range(3):
                stream = io.BytesIO()
                Image.fromarray(patch(label, seed=count, size=16)).save(stream, "PNG")
                self._files[f"{label}/{count}.png"] = stream.getvalue()
        self._classifier = swath.load(write_tiny_model(folder / "tiny.onnx"), engine="onnxruntime", threads=1)

    def make(self, rng: Rng, place: Path) -> Path:
        """Write an archive with something wrong in it, or in its bytes."""
        members = dict(self._files)
        if rng.random() < 0.3:
            members["labels.csv"] = b"path,label\n" + "\n".join(f"{n},{n[:3]}" for n in members).encode()
        infos: list[tuple[zipfile.ZipInfo, bytes]] = []
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = int(pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
            infos.append((info, data))
        if rng.random() < 0.6:
            for _ in range(int(rng.integers(1, 3))):
                self._change_member(infos, rng)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for info, data in infos:
                archive.writestr(info, data)
            if rng.random() < 0.1:
                archive.comment = bytes(rng.integers(0, 256, int(pick(rng, (1, 30, 60000))), np.uint8))
        data = stream.getvalue()
        if rng.random() < 0.7:
            data = _change_fields(data, rng)
        if rng.random() < 0.4:
            data = mutate_bytes(data[-600:], rng) if rng.random() < 0.05 else mutate_bytes(data, rng)
        if rng.random() < 0.1:
            data = pick(rng, (b"#!/bin/sh\n" * 9 + data, data + bytes(100), data + data, data[: len(data) // 2]))
        path = place / "mutant.zip"
        path.write_bytes(data)
        return path

    def _change_member(self, infos: list[tuple[zipfile.ZipInfo, bytes]], rng: Rng) -> None:
        place = int(rng.integers(len(infos)))
        info, data = infos[place]
        match int(rng.integers(8)):
            case 0 | 1:
                info.filename = str(pick(rng, (*_NAMES, *(t for t in TEXTS if t.isascii() or t.isprintable()))))
            case 2:
                info.external_attr = int(pick(rng, (0o120777, 0o040777, 0o060777, 0o010777))) << 16
            case 3:
                info.extra = struct.pack("<HH", int(pick(rng, (1, 0x7075, 0x9999))), 8) + bytes(8)
            case 4:
                inner = io.BytesIO()
                with zipfile.ZipFile(inner, "w") as archive:
                    archive.writestr("Forest/1.png", data)
                infos[place] = (zipfile.ZipInfo("inner.zip"), inner.getvalue())
            case 5:
                infos[place] = (info, mutate_bytes(data, rng))
            case 6:
                dense = zipfile.ZipInfo(f"Forest/dense{pick(rng, ('.png', '.npy', '.tif'))}")
                dense.compress_type = zipfile.ZIP_DEFLATED
                infos.append((dense, bytes(int(pick(rng, (10**6, 20 * 10**6))))))
            case _:
                infos.append((zipfile.ZipInfo(str(pick(rng, (info.filename, *_NAMES)))), data))

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Index it, and classify what is in it."""
        yield lambda: swath.build_index(path)
        yield lambda: swath.build_index(path, skip_unreadable=True)
        yield lambda: predict_files(self._classifier, [path], path.parent / "out.csv")
        yield lambda: predict_files(self._classifier, [path], path.parent / "out.json", skip_unreadable=True)


def _change_fields(data: bytes, rng: Rng) -> bytes:
    """Write other numbers into fields of the directory, of members' headers, or of the record at the end."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        signature, fields = pick(
            rng, ((b"PK\x01\x02", _ENTRY), (b"PK\x01\x02", _ENTRY), (b"PK\x03\x04", _HEADER), (b"PK\x05\x06", _END))
        )
        places = [at for at in range(len(changed)) if changed.startswith(signature, at)]
        if not places:
            continue
        at, field = pick(rng, places), pick(rng, sorted(fields))
        width = fields[field]
        old = int.from_bytes(changed[at + field : at + field + width], "little")
        new = pick(rng, (number(rng), old ^ 1, old ^ 0x800, old + 1, 2 * old, old // 2, 2 ** (8 * width) - 1))
        changed[at + field : at + field + width] = (new % 2 ** (8 * width)).to_bytes(width, "little")
    return bytes(changed)
