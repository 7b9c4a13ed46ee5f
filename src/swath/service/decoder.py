"""A process that decodes images for the service: ``python -m swath.service.decoder MEGABYTES SECONDS``.

Uploads are the least trusted bytes there are and decoders are native code, so they run where a crash, an endless loop
or a hunger for memory ends one small process. Messages on standard input and output are a length, a JSON header and
the bytes it announces; nothing is unpickled on either side. A question holds several images, and each of them gets an
answer of its own as soon as it is decoded: a process never holds more than one decoded image. It ends when its input
does, so none outlives the service.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from swath.errors import SwathError
from swath.imagery import Picture, decode
from swath.machine import limit_memory

_LENGTH = struct.Struct("<I")
_MIB = 2**20
_GATHERED = 256 * 1024  # bytes of small answers that are written together


def pack(header: Mapping[str, Any], blobs: Sequence[bytes | memoryview]) -> bytes:
    """One message: the length of the header, the header, and what it announces."""
    text = json.dumps(header).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *blobs))


def header_length(head: bytes) -> int:
    """The number with which a message begins; it takes :data:`HEAD` bytes."""
    return int(_LENGTH.unpack(head)[0])


HEAD = _LENGTH.size
READY = {"bytes": 0}  # the first message of a process


def picture_of(said: Mapping[str, Any], pixels: bytes) -> Picture:
    """The picture that a decoder announced, in memory of its own, read-only."""
    array = np.frombuffer(pixels, dtype=said["dtype"]).reshape(said["shape"])
    return Picture(array, tuple(said["bands"]), said["units"], said["mode"])


def decoded(name: str, data: bytes, *, max_pixels: int) -> tuple[dict[str, Any], bytes]:
    """Decode one image: what to say of it and its pixels, or what is wrong and no pixels."""
    try:
        picture = decode(data, name=name, max_pixels=max_pixels)
    except SwathError as error:
        return {"problem": error.problem, "fix": error.fix, "bytes": 0}, b""
    except MemoryError:
        return {"problem": f"{name} takes more memory than one image may", "fix": "send a smaller one", "bytes": 0}, b""
    pixels = picture.pixels
    said = {
        "shape": pixels.shape,
        "dtype": pixels.dtype.name,
        "bands": picture.bands,
        "units": picture.units,
        "mode": picture.mode,
        "bytes": pixels.nbytes,
    }
    return said, pixels.tobytes()


def _limit(megabytes: int) -> None:
    """Limit what a decoder may take, where the system can: memory beyond what it has now, and no files."""
    limit_memory(megabytes * _MIB)
    try:
        import resource  # noqa: PLC0415  (Unix only)
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def allow_processor_time(seconds: int) -> None:
    """Have the system end this process once it has used so many more seconds of processor time, where it can.

    Unlike a limit by the clock it does not refuse good images on a busy machine.
    """
    try:
        import resource  # noqa: PLC0415  (Unix only)
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _serve(source: BinaryIO, target: BinaryIO, *, seconds: int) -> None:
    while head := source.read(HEAD):
        asked = json.loads(source.read(header_length(head)))
        for one in asked["images"]:
            allow_processor_time(seconds)
            said, pixels = decoded(one["name"], source.read(one["bytes"]), max_pixels=asked["max_pixels"])
            target.write(pack(said, []))
            target.write(pixels)
        target.flush()


def main() -> None:
    """Decode until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which ends its decoders itself
    # Libraries that print must not print into the answers.
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", _GATHERED)
    os.dup2(2, 1)
    warm = io.BytesIO()
    Image.new("RGB", (8, 8)).save(warm, "JPEG")
    decode(warm.getvalue(), name="warm-up")
    _limit(int(sys.argv[1]))
    target.write(pack(READY, []))
    target.flush()
    with contextlib.suppress(BrokenPipeError):
        _serve(source, target, seconds=int(sys.argv[2]))


if __name__ == "__main__":
    main()
