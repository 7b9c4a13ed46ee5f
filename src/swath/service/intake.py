"""What comes in: whether a request is let in, its body within limits of size and time, and the images in it.

Three kinds of body are read: ``multipart/form-data`` with a file part per image, one image as it is, and JSON with
images in base64. Bodies stay in memory, of which there is a budget, and are never written to disk. An image by address
is not read: a service that fetches what a stranger names can be sent anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError

from swath.errors import SwathError

Receive = Callable[[], Awaitable[Any]]
_LONGEST_NAME = 120
_RAW = ("application/octet-stream", "binary/octet-stream")
_PARAMETERS = {
    name: re.compile(rf"""(?:^|;)\s*{name}=(?:([^\s;"]+)|"((?:[^"\\]|\\.)*)")""", re.IGNORECASE)
    for name in ("boundary", "name", "filename")
}
WHILE = 1.5  # seconds that the low-water mark holds after the queue was full
_LARGE = 2**20  # bytes of a body that is parsed on another thread


class RefusedError(SwathError):
    """A request that is not carried out.

    Attributes
    ----------
    status : int
        Of HTTP.
    headers : dict of str to str
        Of the answer.
    """

    def __init__(
        self, status: int, problem: str, *, fix: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(problem, fix=fix)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class Upload:
    """One image as it came: what messages call it, and its bytes."""

    name: str
    data: bytes


class _Base64Image(BaseModel):
    """An image in a JSON body."""

    model_config = ConfigDict(extra="forbid")
    data: str
    name: Annotated[str, Field(max_length=_LONGEST_NAME)] = ""


class _Base64Images(BaseModel):
    """Images in a JSON body."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[list[_Base64Image], Field(min_length=1)]


_FILE = {"type": "string", "format": "binary", "minLength": 1}
IMAGES_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"images": {"type": "array", "items": _FILE, "minItems": 1}},
                "required": ["images"],
            }
        },
        "image/jpeg": {"schema": _FILE},
        "application/octet-stream": {"schema": _FILE},
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "required": ["images"],
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "additionalProperties": False,
                            "required": ["data"],
                            "properties": {
                                "data": {
                                    "type": "string",
                                    "description": "The bytes of an image file, in base64 (RFC 4648, section 4).",
                                },
                                "name": {
                                    "type": "string",
                                    "maxLength": _LONGEST_NAME,
                                    "description": "What messages call the image.",
                                },
                            },
                        },
                    }
                },
            },
            "example": {"images": [{"name": "field", "data": "/9j/4AAQSkZJRg..."}]},
        },
    },
}
"""What the API's description says of a body with images."""
SCENE_BODY: dict[str, Any] = {
    "required": True,
    "content": {"image/tiff": {"schema": _FILE}, "application/octet-stream": {"schema": _FILE}},
}
"""What it says of a scene."""


@dataclass
class Admission:
    """Lets requests in until `high` are under way, and for a while after that only until `low` are.

    A flood keeps a queue full, and who is let in last waits for all before: at the lower mark less than requests that
    come as fast as they are answered. The while starts over when the queue is full once more; it does not with every
    refusal, or a few clients that come back at once would hold the mark down for ever.

    Attributes
    ----------
    high, low : int
        Water marks, requests.
    memory : int
        Bytes that may be held: half of them of bodies, half of decoded images, so that neither can stop the other.
    under_way, bodies, pixels : int
        Requests, bytes of bodies and bytes of decoded images now.
    clock : callable
        Seconds, from whenever.
    """

    high: int
    low: int
    memory: int
    under_way: int = 0
    bodies: int = 0
    pixels: int = 0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _full: float = field(default=-math.inf, repr=False)  # when `high` were under way and one more came, last
    _seconds: float = field(default=0.05, repr=False)  # between two answers lately

    def enter(self) -> None:
        """Let a request in, or refuse it with 429."""
        if self.under_way >= self.high:
            self._full = self.clock()
        if self.under_way >= self.low and self.clock() - self._full < WHILE:
            raise self.busy(f"the service is busy with {self.under_way:,} requests")
        self.under_way += 1

    def hold_body(self, size: int) -> None:
        """Count more bytes of a body, or refuse them with 429."""
        if self.bodies + size > self.memory // 2:
            raise self.busy("the service holds as many images as it may")
        self.bodies += size

    def busy(self, problem: str) -> RefusedError:
        """The refusal that says when to come again."""
        wait = self.retry_after
        return RefusedError(429, problem, fix=f"try again in {wait} s", headers={"Retry-After": str(wait)})

    def leave(self, *, seconds: float) -> None:
        """A request is answered, after `seconds`."""
        self._seconds += 0.05 * (seconds / max(1, self.under_way) - self._seconds)
        self.under_way -= 1

    @property
    def retry_after(self) -> int:
        """Seconds in which the requests under way will be answered at the present rate; at least 1."""
        return max(1, min(60, math.ceil(self.under_way * self._seconds)))

    @property
    def has_room(self) -> bool:
        """Whether more images may be decoded now."""
        return self.pixels < self.memory // 2


async def read_body(
    receive: Receive, headers: Mapping[str, str], *, max_bytes: int, seconds: float, admission: Admission
) -> bytes:
    """Read a request's body; `admission` holds its bytes from then on, until the caller gives them back.

    Raises
    ------
    RefusedError
        413 if it is too long, 408 if it does not come in time, 400 if the client breaks off, 429 without memory.
    """
    stated = headers.get("content-length", "")
    if stated.isdigit() and int(stated) > max_bytes:
        raise _too_long(max_bytes)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "the body was not sent to its end")
                part = message.get("body", b"")
                size += len(part)
                if size > max_bytes:
                    raise _too_long(max_bytes)
                admission.hold_body(len(part))
                parts.append(part)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        admission.bodies -= sum(map(len, parts))
        raise RefusedError(
            408, f"the body did not come within {seconds:g} s", fix="send fewer images per request"
        ) from None
    except BaseException:
        admission.bodies -= sum(map(len, parts))
        raise


def _too_long(max_bytes: int) -> RefusedError:
    return RefusedError(
        413, f"the body is longer than {max_bytes:,} bytes", fix="send fewer images per request, or smaller ones"
    )


async def uploads_of(body: bytes, headers: Mapping[str, str], *, max_images: int) -> list[Upload]:
    """The images in a body, by its content type.

    Raises
    ------
    RefusedError
        400 if the body is not what its content type says or holds no image, 413 if it holds too many, 415 if its type
        is none of the three.
    """
    kind = headers.get("content-type", "")
    if len(body) > _LARGE:
        return await asyncio.to_thread(_uploads, body, kind, max_images)
    return _uploads(body, kind, max_images)


def _uploads(body: bytes, kind: str, max_images: int) -> list[Upload]:
    plain = kind.partition(";")[0].strip().lower()
    if plain == "multipart/form-data":
        return _of_multipart(body, kind, max_images)
    if plain == "application/json":
        return _of_json(body, max_images)
    if plain.startswith("image/") or plain in _RAW:
        if not body:
            raise RefusedError(400, "the body is empty", fix="send the bytes of an image file")
        return [Upload("the image", body)]
    raise RefusedError(
        415,
        f"the content type {f'is {plain[:80]}' if plain else 'is missing'}",
        fix="send multipart/form-data, an image with its own type or application/octet-stream, or application/json",
    )


def _too_many(max_images: int) -> RefusedError:
    return RefusedError(413, f"the body holds more than {max_images} images", fix="send several requests")


def _of_json(body: bytes, max_images: int) -> list[Upload]:
    try:
        images = _Base64Images.model_validate_json(body).images
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RefusedError(
            400,
            f"the JSON body cannot be read ({f'{place}: ' if place else ''}{first['msg'][:200]})",
            fix='send {"images": [{"name": "field", "data": "BASE64"}]}',
        ) from None
    if len(images) > max_images:
        raise _too_many(max_images)
    uploads = []
    for number, image in enumerate(images, start=1):
        name = _label(image.name, number)
        try:
            data = base64.b64decode(image.data, validate=True)
        except (binascii.Error, ValueError):
            raise RefusedError(
                400, f"{name} is not base64", fix="encode the bytes of the file as RFC 4648, section 4, says"
            ) from None
        uploads.append(Upload(name, data))
    return uploads


def _of_multipart(body: bytes, kind: str, max_images: int) -> list[Upload]:
    boundary = _parameter(kind, "boundary")
    if not boundary:
        raise RefusedError(
            400, "the content type multipart/form-data has no boundary", fix="let the HTTP client set it"
        )
    parts = _Parts(max_images)
    try:
        parser = MultipartParser(boundary.encode("latin-1", "replace"), parts.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise RefusedError(
            400, "the body is not the multipart/form-data that its content type says", fix="let the HTTP client make it"
        ) from None
    if not parts.ended:
        raise RefusedError(400, "the multipart body is cut short", fix="send it to its end")
    if not parts.uploads:
        raise RefusedError(400, "the body holds no file", fix="send each image as a file part: -F images=@field.jpg")
    return parts.uploads


class _Parts:
    """Collects the file parts of a multipart body; other fields are refused rather than ignored."""

    def __init__(self, most: int) -> None:
        self.uploads: list[Upload] = []
        self.ended = False
        self._most = most
        self._header = bytearray(), bytearray()
        self._name: str | None = None
        self._data: list[bytes] = []

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.uploads) >= self._most:
            raise _too_many(self._most)
        self._name, self._data = None, []

    def _header_end(self) -> None:
        name, value = (bytes(part).decode("utf-8", "replace") for part in self._header)
        self._header[0].clear()
        self._header[1].clear()
        if name.lower() == "content-disposition":
            self._name = _parameter(value, "filename")
            if self._name is None:
                field = (_parameter(value, "name") or "")[:40]
                raise RefusedError(
                    400, f"the form field '{field}' is not a file", fix="send images as file parts, settings in the URL"
                )

    def _end(self) -> None:
        self.uploads.append(Upload(_label(self._name or "", len(self.uploads) + 1), b"".join(self._data)))

    def _finish(self) -> None:
        self.ended = True


def _parameter(value: str, name: str) -> str | None:
    """A parameter of a header, as in ``multipart/form-data; boundary=x`` (RFC 9110, section 5.6.6)."""
    found = _PARAMETERS[name].search(value)
    return None if found is None else found[1] or re.sub(r'\\(["\\])', r"\1", found[2] or "")


def _label(name: str, number: int) -> str:
    """What messages call an image: the last part of its name, or its number."""
    last = name.replace("\\", "/").rpartition("/")[2].strip()[:_LONGEST_NAME]
    return last if last.isprintable() and last else f"image {number}"
