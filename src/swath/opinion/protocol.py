"""OpenAI's chat completions, spoken through the official client with whatever server is at an address.

One request at a time: :meth:`ChatServer.send` returns a reply, an opinion where the server itself refuses, or
:class:`Again` where the same request may succeed later, and raises what the user has to mend. The client's own repeats
are switched off, because every request counts towards the user's limit. Its errors are never chained to swath's:
requests with the key hang on them. The key is taken out of whatever a server sends back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import openai

from swath.errors import DataError, SettingError, SwathError
from swath.fetch import is_local
from swath.machine import check_online
from swath.opinion.answers import MAX_TEXT, Opinion, Outcome, Reply, one_line
from swath.opinion.prompt import Question

KEY = "OPENAI_API_KEY"
# What not every server or model takes; it is left out when an error names it.
OPTIONAL = ("response_format", "max_completion_tokens", "temperature")
_NAMED = {"response_format": ("response_format", "json_schema")}
_UNSUPPORTED = (400, 422, 500, 501)  # with which servers answer to what they do not know
_TRANSIENT = (408, 409, 425, 429)
_FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
_UNCONNECTED = ("ConnectError", "UnsupportedProtocol", "ProxyError")
_SHORTEST = 8  # letters from which on a key is a secret, not "none"
_SAID = 200  # letters of a server's message
_GO_ON = "answers so far are kept, and the same command goes on from there"


@dataclass(frozen=True)
class Again:
    """A failure after which the same request may be sent again; `wait` is what the server asks for, in seconds."""

    outcome: Outcome
    detail: str
    wait: float | None = None


class ChatServer:
    """A server, and what it has been found not to take.

    Parameters
    ----------
    model : str
        Name of the model, as the server calls it.
    base_url : str
        Address of the API.
    timeout : float
        Seconds.
    max_tokens : int
        Most tokens of an answer.

    Raises
    ------
    SettingError
        If there is no key in the environment, or it can be none. On this machine servers need none.
    DataError
        If the network is switched off and the server is not on this machine.
    """

    def __init__(self, *, model: str, base_url: str, timeout: float, max_tokens: int) -> None:
        self._model, self._timeout, self._max_tokens = model, timeout, max_tokens
        self._host = urlsplit(base_url).netloc
        self._left_out: set[str] = set()
        local = is_local(base_url)
        if not local:
            check_online(f"{self._host} is asked over the network", fix="ask a server on this machine (--base-url)")
        self._key = _key(self._host, needed=not local)
        self._client = openai.OpenAI(api_key=self._key, base_url=base_url, timeout=timeout, max_retries=0)

    def __repr__(self) -> str:
        return f"<ChatServer {self._host}>"

    def send(self, question: Question, *, allowed: Callable[[], bool]) -> Reply | Opinion | Again | None:
        """Ask one question once; again at once without what the server does not take.

        Parameters
        ----------
        question : Question
            What to ask.
        allowed : callable
            Asked before each request; whether it may be sent.

        Returns
        -------
        Reply, Opinion, Again or None
            None where a request was not allowed.

        Raises
        ------
        SettingError, DataError
            If no further request can succeed before the user has changed something.
        """
        while allowed():
            try:
                return self._reply(self._client.chat.completions.create(**self._request(question)))
            except openai.APIStatusError as error:
                found = self._of_status(error)
            except openai.APITimeoutError:
                found = Again("timed out", f"{self._host} gave no answer within {self._timeout:g} s")
            except openai.APIConnectionError as error:
                found = self._of_connection(error)
            except (openai.OpenAIError, ValueError):
                found = self._no_completion
            if isinstance(found, SwathError):  # here, so that the client's error is no part of it
                raise found
            if found is not None:
                return found
        return None

    def _request(self, question: Question) -> dict[str, Any]:
        """What is sent: all there is, but for what this server is known not to take."""
        request: dict[str, Any] = {
            "model": self._model,
            "messages": question.messages(in_words="response_format" in self._left_out),
            "response_format": question.response_format,
            "max_completion_tokens": self._max_tokens,
            "temperature": 0,
        }
        if "max_completion_tokens" in self._left_out:
            request["max_tokens"] = self._max_tokens  # its older name
        return {name: value for name, value in request.items() if name not in self._left_out}

    def _reply(self, completion: Any) -> Reply | Again:
        """The part of a completion that counts; servers differ in the rest."""
        try:
            choice, usage = completion.choices[0], completion.usage
            content, refusal = choice.message.content, getattr(choice.message, "refusal", None)
            return Reply(
                content=self._text(content),
                refusal=self._text(refusal),
                finish_reason=choice.finish_reason,
                prompt_tokens=getattr(usage, "prompt_tokens", None) or 0,
                completion_tokens=getattr(usage, "completion_tokens", None) or 0,
                structured="response_format" not in self._left_out,
            )
        except (AttributeError, IndexError, TypeError, ValueError):
            return self._no_completion

    @property
    def _no_completion(self) -> Again:
        return Again("server error", f"the answer of {self._host} is no chat completion")

    def _of_connection(self, error: openai.APIConnectionError) -> DataError | Again:
        """What it means that there was no answer; where no connection was made, another attempt at once is no use."""
        cause: BaseException | None = error
        while cause is not None and type(cause).__name__ not in _UNCONNECTED:
            cause = cause.__cause__ or cause.__context__
        if cause is None:
            return Again("server error", f"the connection to {self._host} broke off")
        return DataError(f"{self._host} cannot be reached", fix=f"check --base-url and the network; {_GO_ON}")

    def _of_status(self, error: openai.APIStatusError) -> SwathError | Opinion | Again | None:
        """What an answer that is an error means; None where it is to be sent again without what is not taken."""
        status, whole = error.status_code, f"{error.code} {error.param} {error.body!s}"
        for name in OPTIONAL if status in _UNSUPPORTED else ():
            if name not in self._left_out and any(word in whole for word in _NAMED.get(name, (name,))):
                self._left_out.add(name)
                return None
        if status == 429 and "insufficient_quota" in whole:
            return DataError(f"the account at {self._host} has no credit left", fix=f"add some there; {_GO_ON}")
        if status in _TRANSIENT or status >= 500:
            outcome: Outcome = "rate limited" if status == 429 else "server error"
            return Again(outcome, f"{self._host} answers {status}", asked_wait(error.response.headers))
        if any(word in whole for word in _FILTERED):
            return Opinion(outcome="refused", detail=one_line(self._said(error)))
        return self._refusal(error)

    def _refusal(self, error: openai.APIStatusError) -> SettingError:
        """A request that will never be accepted as it is."""
        status = error.status_code
        if status in (401, 403):  # whose messages quote a part of the key
            return SettingError(
                f"{self._host} does not accept the key in {KEY} ({status})",
                fix=f"set it to a key that may use {self._model}; {_GO_ON}",
            )
        if status == 404:
            return SettingError(
                f"{self._host} has no model '{self._model}' (404: {self._said(error)})",
                fix="choose another with --vision-model, or correct --base-url",
            )
        return SettingError(
            f"{self._host} does not accept the request ({status}: {self._said(error)})",
            fix="choose a model that sees pictures with --vision-model, or another server with --base-url",
        )

    def _said(self, error: openai.APIStatusError) -> str:
        """The server's own message."""
        body = error.body
        said = body.get("message", body.get("error")) if isinstance(body, Mapping) else body
        text = self._text(said if isinstance(said, str) else None) or error.response.reason_phrase
        return text[:_SAID].rstrip(". ")

    def _text(self, text: Any) -> str | None:
        """Text from the server, without the key."""
        if not isinstance(text, str):
            return None
        return (text.replace(self._key, "[key]") if len(self._key) >= _SHORTEST else text)[:MAX_TEXT]


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, by ``retry-after-ms`` or by RFC 9110's number or date.

    >>> asked_wait({"retry-after": "20"}), asked_wait({"retry-after-ms": "50"}), asked_wait({"retry-after": "soon"})
    (20.0, 0.05, None)
    """
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    after = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(after))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds())
    return None


def _key(host: str, *, needed: bool) -> str:
    key = os.environ.get(KEY, "").strip() or ("" if needed else "none")
    if not key:
        raise SettingError(
            f"{host} is asked with a key, and {KEY} is not set",
            fix=f"export {KEY}=... (any word where the server needs none)",
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingError(f"{KEY} holds blanks or letters that no key has", fix="set it to the key alone")
    return key
