"""A real server on loopback that speaks OpenAI's chat completions, and misbehaves when it is told to.

Bodies of answers and of errors have the form in which the real service and common local servers send them.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

from tests.tiny import COLORS

KEY = "sk-proj-Loopback0123456789SecretKeyOfTheTests"


@dataclass(frozen=True)
class Answer:
    """One answer: what is sent, or `hang` until the server ends, or `drop` the connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drop: bool = False


@dataclass(frozen=True)
class Request:
    """One request as it came: its headers and its JSON."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """The words of the user's message."""
        return next(part["text"] for part in self.body["messages"][-1]["content"] if part["type"] == "text")

    @property
    def png(self) -> bytes:
        """The picture that was sent."""
        part = next(part for part in self.body["messages"][-1]["content"] if part["type"] == "image_url")
        address = part["image_url"]["url"]
        assert address.startswith("data:image/png;base64,")
        return base64.b64decode(address.partition(",")[2], validate=True)

    @property
    def classes(self) -> list[str]:
        """The class names in the words."""
        return [re.match(r"- ([^:]+)", line)[1] for line in self.text.splitlines() if line.startswith("- ")]


def completion(
    content: str | None, *, finish_reason: str = "stop", refusal: str | None = None, tokens: tuple[int, int] = (500, 40)
) -> Answer:
    """A chat completion, as the real service sends it."""
    return Answer(
        body={
            "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
            "object": "chat.completion",
            "created": 1741569952,
            "model": "gpt-4o-2024-08-06",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content, "refusal": refusal, "annotations": []},
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": tokens[0],
                "completion_tokens": tokens[1],
                "total_tokens": sum(tokens),
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": "fp_44709d6fcb",
        }
    )


def says(label: str, confidence: float = 0.8, reason: str = "It is even and dark.") -> Answer:
    """A completion as it was asked for."""
    return completion(json.dumps({"label": label, "confidence": confidence, "reason": reason}))


def error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    **headers: str,
) -> Answer:
    """An error, as the real service sends it; headers have underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, named)


def limited(after: str | None = "0") -> Answer:
    headers = {} if after is None else {"retry_after": after}
    return error(
        429, "Rate limit reached for gpt-4o on requests per min (RPM): Limit 3.", kind="requests",
        code="rate_limit_exceeded", **headers,
    )  # fmt: skip


def wrong_key(request: Request) -> Answer:
    """As the real service does, its message quotes a part of the key; this one quotes all of it."""
    said = request.headers.get("authorization", "")
    return error(401, f"Incorrect API key provided: {said}.", code="invalid_api_key")


NO_SCHEMAS = error(
    400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    param="response_format",
)  # fmt: skip
NO_QUOTA = error(
    429, "You exceeded your current quota, please check your plan and billing details.", kind="insufficient_quota",
    code="insufficient_quota",
)  # fmt: skip
NO_MODEL = error(404, "The model `gpt-9` does not exist or you do not have access to it.", code="model_not_found")
FAILING = error(500, "The server had an error while processing your request.", kind="server_error", retry_after="0")


def by_color(request: Request) -> str:
    """The class whose color is nearest to the picture's mean, as the tiny model has it."""
    with Image.open(io.BytesIO(request.png)) as picture:
        mean = np.asarray(picture.convert("RGB"), np.float64).mean(axis=(0, 1))
    return min(request.classes, key=lambda name: float(((mean - np.array(COLORS[name])) ** 2).sum()))


Behavior = Callable[[Request], Answer]


class ChatServer:
    """The server: `behave` says what it answers; the requests it got are in `requests`."""

    def __init__(self, behave: Behavior) -> None:
        self.behave = behave
        self.requests: list[Request] = []
        self.ending = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.path, headers, json.loads(raw))
                outer.requests.append(request)
                answer = outer.check(request) or outer.behave(request)
                if answer.hang:
                    outer.ending.wait()
                if answer.hang or answer.drop:
                    self.close_connection = True
                    with contextlib.suppress(OSError):
                        self.connection.shutdown(socket.SHUT_RDWR)
                    return
                body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                self.send_response(answer.status)
                kinds = {"Content-Type": "application/json"} | answer.headers
                for name, value in {**kinds, "Content-Length": str(len(body)), "x-request-id": "req_1"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        """What is given as the base URL."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def port(self) -> int:
        return self._server.server_port

    def close(self) -> None:
        self.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @staticmethod
    def check(request: Request) -> Answer | None:
        """What the real service refuses of a request."""
        if request.path != "/v1/chat/completions":
            return error(404, f"Invalid URL (POST {request.path})")
        if not request.headers.get("authorization", "").startswith("Bearer "):
            return error(401, "You didn't provide an API key.")
        schema = request.body.get("response_format", {}).get("json_schema", {}).get("schema")
        if schema is not None:
            strict = schema["additionalProperties"] is False and sorted(schema["required"]) == sorted(
                schema["properties"]
            )
            if not strict or request.body["response_format"]["json_schema"]["strict"] is not True:
                return error(400, "Invalid schema for response_format 'second_opinion'", param="response_format")
        return None


@contextlib.contextmanager
def chat_server(behave: Behavior | Answer) -> Iterator[ChatServer]:
    """Run a server for the block."""
    server = ChatServer(behave if callable(behave) else lambda _request: behave)
    try:
        yield server
    finally:
        server.close()


def in_turn(*answers: Answer) -> Behavior:
    """One after the other, the last one for ever."""
    left = list(answers)
    lock = threading.Lock()

    def behave(_request: Request) -> Answer:
        with lock:
            return left.pop(0) if len(left) > 1 else left[0]

    return behave
