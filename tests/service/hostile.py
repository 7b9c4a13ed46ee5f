"""Fifty and more hostile uploads, each a request that makes one: for the tests and for the table in docs/service.md."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.service.conftest import jpeg
from tests.service.servers import JSON, PATIENCE, Answer, Client, answer_on, multipart

KIND, OCTETS = "image/jpeg", "application/octet-stream"
GOOD = jpeg("Forest")
Case = Callable[[Client], Answer]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, packed: bytes, *, color: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", packed), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def zipped(data: bytes, depth: int) -> bytes:
    for level in range(depth):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"../level{level}.zip", data)
        data = stream.getvalue()
    return data


def saved(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 64), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


def frames(kind: str) -> bytes:
    images = [Image.new("RGB", (64, 64), (n, n, n)) for n in (0, 128, 255)]
    stream = io.BytesIO()
    images[0].save(stream, kind, save_all=True, append_images=images[1:])
    return stream.getvalue()


def array(shape: tuple[int, ...], dtype: str = "uint8", *, fortran: bool = False, cut: int | None = None) -> bytes:
    header = f"{{'descr': '{np.dtype(dtype).str}', 'fortran_order': {fortran}, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(cut or 64)


def pickled() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return stream.getvalue()


def tiff_bomb() -> bytes:
    """A TIFF of 60,000 by 60,000 pixels in a few bytes."""
    entries = [(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 60_000), (279, 4, 1, 100)]
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + body + bytes(4)


def raw(data: bytes, kind: str = OCTETS) -> Case:
    return lambda client: client.post("/v1/predict", data, kind)


def file(name: str, data: bytes) -> Case:
    return lambda client: client.predict((name, data))


def in_json(text: str | bytes) -> Case:
    return lambda client: client.post("/v1/predict", text if isinstance(text, bytes) else text.encode(), JSON)


def form(body: bytes, kind: str = "multipart/form-data; boundary=edge") -> Case:
    return lambda client: client.post("/v1/predict", body, kind)


def in_chunks(times: int, chunk: bytes) -> Case:
    """The same bytes again and again, as HTTP's chunks."""

    def case(client: Client) -> Answer:
        with socket.create_connection(("127.0.0.1", client.port), timeout=PATIENCE) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(times):
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
            return answer_on(connection)

    return case


def that_stops(client: Client) -> Answer:
    """The body ends before its length, and the connection stays."""
    with client.half_a_request() as connection:
        return answer_on(connection)


def that_drips(client: Client) -> Answer:
    """A byte per twentieth of a second."""
    with client.half_a_request() as connection:
        stopped = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not stopped.wait(0.05):
                    connection.sendall(b"x")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            return answer_on(connection)
        finally:
            stopped.set()
            dripping.join()


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
SIZE = b"\xff\xc0\x00\x11\x08"  # before height and width in a JPEG
WIDE_JPEG = GOOD.replace(SIZE + b"\x00\x40\x00\x40", SIZE + b"\xff\xdc\xff\xdc")
TEXT_BOMB = saved("PNG")[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + saved("PNG")[33:]
VRT = b"<VRTDataset><SourceFilename>/vsicurl/http://h/x</SourceFilename></VRTDataset>"
FIELD = b'--edge\r\nContent-Disposition: form-data; name="url"\r\n\r\nhttp://x\r\n--edge--\r\n'
HOSTILE: dict[str, Case] = {
    "zero bytes": raw(b""),
    "one byte": raw(b"\xff"),
    "zero bytes in a part": file("a.jpg", b""),
    "text called .jpg": file("a.jpg", b"not an image at all"),
    "HTML called .png": file("a.png", b"<!doctype html><script>alert(1)</script>"),
    "a program called .jpg": file("a.jpg", b"\x7fELF" + bytes(500)),
    "SVG that names a file": file("a.svg", SVG),
    "PDF": file("a.pdf", b"%PDF-1.7\n" + bytes(100)),
    "a zip": file("a.zip", zipped(GOOD, 1)),
    "a zip 20 levels deep": file("a.zip", zipped(GOOD, 20)),
    "a VRT that names an address": raw(VRT),
    "JPEG cut after its header": raw(GOOD[:200]),
    "JPEG of 65,500 x 65,500 pixels": raw(WIDE_JPEG),
    "JPEG signature alone": raw(b"\xff\xd8\xff\xe0"),
    "JPEG of zeros": raw(b"\xff\xd8\xff" + bytes(10_000)),
    "PNG cut short": raw(saved("PNG")[:60]),
    "PNG bomb of 50,000 x 50,000 pixels": raw(png(50_000, 50_000, zlib.compress(bytes(1000)))),
    "PNG bomb below the limit of bytes": raw(png(2000, 2001, zlib.compress(bytes(2000)))),
    "PNG of 0 x 0 pixels": raw(png(0, 0, zlib.compress(b""))),
    "PNG of 4 billion columns": raw(png(2**32 - 1, 1, b"")),
    "PNG whose pixels are no zlib": raw(png(64, 64, b"garbage" * 20)),
    "PNG with a text bomb": raw(TEXT_BOMB),
    "APNG": raw(frames("PNG")),
    "GIF of three frames": raw(frames("GIF")),
    "GIF cut short": raw(saved("GIF", "P")[:20]),
    "WebP of three frames": raw(frames("WEBP")),
    "WebP that says 16,384 x 16,384": raw(b"RIFF\x1e\0\0\0WEBPVP8X\n\0\0\0\x10\0\0\0\xff\x3f\0\xff\x3f\0" + bytes(20)),
    "BMP cut short": raw(saved("BMP")[:200]),
    "BMP of 2 billion rows": raw(saved("BMP")[:18] + struct.pack("<ii", 64, 2**31 - 1) + saved("BMP")[26:]),
    "TIFF bomb of 60,000 x 60,000 pixels": raw(tiff_bomb()),
    "TIFF of three pages": raw(frames("TIFF")),
    "TIFF whose directory is nowhere": raw(b"II*\0" + struct.pack("<I", 2**31)),
    "TIFF whose directory points to itself": raw(b"II*\0\x08\0\0\0\0\0\x08\0\0\0" + bytes(50)),
    "JPEG 2000 signature alone": raw(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40)),
    "npy of objects (a pickle)": raw(pickled()),
    "npy that says a terabyte": raw(array((3, 600_000, 600_000))),
    "npy of floats": raw(array((3, 4, 4), "float64", cut=384)),
    "npy with a shape of minus one": raw(array((3, -1, 4))),
    "gray where the model takes color": raw(saved("TIFF", "F")),
    "a name that climbs": file("../../../etc/passwd", b"no image"),
    "a name of 10,000 letters": file("a" * 10_000, b"no image"),
    "100 MB": raw(bytes(100_000_000), KIND),
    "100 MB whose length is not stated": in_chunks(100, bytes(1_000_000)),
    "1,000 parts": form(multipart(*((f"{n}.jpg", b"x") for n in range(1000)))[0]),
    "multipart without a boundary": form(b"--edge\r\n", "multipart/form-data"),
    "multipart cut short": form(multipart(("a.jpg", GOOD))[0][:-20]),
    "multipart with a field that is no file": form(FIELD),
    "JSON 10,000 levels deep": in_json("[" * 10_000),
    "JSON with an address for an image": in_json(json.dumps({"images": [{"url": "http://169.254.169.254/"}]})),
    "base64 that is none": in_json(json.dumps({"images": [{"data": "@@@"}]})),
    "JSON with 1,000 images": in_json(json.dumps({"images": [{"data": "AAAA"}] * 1000})),
    "an unknown content type": raw(GOOD, "application/x-www-form-urlencoded"),
    "a good image and a bad one": lambda client: client.predict(("good.jpg", GOOD), ("bad.jpg", GOOD[:300])),
}  # fmt: skip
SLOW: dict[str, Case] = {"a body that stops": that_stops, "a body that drips": that_drips}
"""Uploads that cost the service's time limit each."""
