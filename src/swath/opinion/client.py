"""Whom to ask, how much and how often, and the answers that are kept.

An answer is kept under all that decides it: the address, the model, the words and the picture. A second run sends
nothing, and one that was stopped goes on where it was. Failures that say nothing of the patch are not kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, PositiveFloat, PositiveInt

from swath.config import Settings
from swath.data.cache import default_cache
from swath.errors import MissingExtraError, OutputError
from swath.fetch import check_address, is_local
from swath.files import write_text
from swath.opinion.answers import Opinion, Reply, missing, read_reply
from swath.opinion.cost import Cost, Price, counted_cost, estimate_cost, known_price
from swath.opinion.prompt import Question
from swath.progress import Progress, silent

if TYPE_CHECKING:
    from swath.opinion.protocol import ChatServer

_log = logging.getLogger("swath")
OPENAI = "https://api.openai.com/v1"
ATTEMPTS = 4  # at one question, where a server is busy or fails
MAX_WAIT = 120.0  # seconds; a server that asks for more is not waited for
GIVE_UP = 3  # questions in a row without an answer, after which no further one is sent
FOLDER = "opinions"  # in the cache


class OpinionSettings(Settings):
    """Whom to ask, and how much.

    Attributes
    ----------
    model : str
        Name of the vision-language model, as its server calls it.
    base_url : str
        Address of the API, up to and with ``/v1``.
    timeout : float
        Seconds without an answer after which a request has failed.
    max_tokens : int
        Most tokens of one answer.
    max_requests : int or None
        Most requests in one run, repeated ones among them.
    price : Price or None
        By default the list price, where OpenAI's own service is asked for a model whose price is known.
    """

    model: str = Field(default="gpt-4o", min_length=1)
    base_url: str = OPENAI
    timeout: PositiveFloat = 60.0
    max_tokens: PositiveInt = 300
    max_requests: int | None = Field(default=None, ge=0)
    price: Price | None = None

    @property
    def host(self) -> str:
        """The server's name, and its port where it has one."""
        return urlsplit(self.base_url).netloc

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, so that no picture leaves it."""
        return is_local(self.base_url)

    @property
    def charged(self) -> Price | None:
        """What tokens cost, as far as that is known."""
        if self.price is None and self.base_url.rstrip("/") == OPENAI:
            return known_price(self.model)
        return self.price


class VisionModel:
    """A vision-language model that can be asked; answers are kept, and nothing is asked twice.

    Parameters
    ----------
    settings : OpinionSettings, optional
        Whom to ask, and how much.
    cache : pathlib.Path, optional
        Folder to keep answers in; by default ``opinions`` in :func:`swath.data.cache.default_cache`.
    sleep : callable, optional
        Waits for so many seconds.

    Raises
    ------
    DataError
        If the address is none.

    Examples
    --------
    >>> VisionModel(OpinionSettings(model="qwen3-vl", base_url="http://127.0.0.1:11434/v1"))
    <VisionModel qwen3-vl at 127.0.0.1:11434>
    """

    def __init__(
        self,
        settings: OpinionSettings | None = None,
        *,
        cache: Path | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings or OpinionSettings()
        check_address(self.settings.base_url, fix=f"give the address of the API: --base-url {OPENAI}")
        self.requests = 0  # sent so far
        self._cache = cache or default_cache() / FOLDER
        self._sleep = sleep
        self._server: ChatServer | None = None

    def __repr__(self) -> str:
        return f"<VisionModel {self.settings.model} at {self.settings.host}>"

    def check(self) -> None:
        """Find out whether it can be asked, as far as that is known before anything is sent.

        Raises
        ------
        SettingError, DataError, MissingExtraError
            If there is no key, the network is switched off, or the client is not installed.
        """
        self._connected()

    def estimate(self, questions: Sequence[Question]) -> Cost:
        """What it will take to ask those of `questions` that have not been answered before."""
        new = [question for question in questions if self._kept(question) is None]
        return estimate_cost(new, model=self.settings.model, price=self.settings.charged)

    def counted(self, opinions: Sequence[Opinion]) -> Cost:
        """What answers took, those that were kept from before among them."""
        return counted_cost(opinions, price=self.settings.charged)

    def ask(self, questions: Sequence[Question], *, progress: Progress = silent) -> list[Opinion]:
        """Ask about each patch, one after the other.

        After :data:`GIVE_UP` patches in a row to which there is no answer the others are not asked. Ctrl-C and errors
        lose nothing: every answer is kept when it comes.

        Parameters
        ----------
        questions : sequence of Question
            From :func:`swath.opinion.prompt.make_question`.
        progress : Progress
            Called for every patch, and when there is a wait.

        Returns
        -------
        list of Opinion
            In the order of the questions.

        Raises
        ------
        SettingError
            If there is no key, or the server does not accept the key, the model or the request.
        DataError
            If the server cannot be reached, or the account has no credit left.
        MissingExtraError
            If the client is not installed.
        """
        stage, opinions, failed = f"ask {self.settings.model}", list[Opinion](), 0

        def notice(note: str) -> None:
            progress(stage, len(opinions), len(questions), note=note)

        for question in questions:
            opinion = self._kept(question)
            if opinion is None and failed >= GIVE_UP:
                opinion = missing("not asked", f"{GIVE_UP} patches in a row had no answer")
            elif opinion is None:
                opinion = self._heard(question, notice)
                failed = failed + 1 if opinion.is_missing else 0
            opinions.append(opinion)
            progress(stage, len(opinions), len(questions))
        return opinions

    def _heard(self, question: Question, notice: Callable[[str], None]) -> Opinion:
        """Ask one question, again where that may help; keep the answer."""
        server, attempt = self._connected(), 0
        while True:
            attempt += 1
            found = server.send(question, allowed=self._allowed)
            if found is None:
                return missing("not asked", f"--max-requests is {self.settings.max_requests}")
            if isinstance(found, Opinion):
                return found
            if isinstance(found, Reply):
                self._keep(question, found)
                return read_reply(found, question.classes)
            if attempt == ATTEMPTS:
                return missing(found.outcome, f"{found.detail}, {ATTEMPTS} times")
            wait = 2.0 ** (attempt - 1) if found.wait is None else found.wait
            if wait > MAX_WAIT:
                return missing(found.outcome, f"{found.detail}, and asks to wait {wait / 60:,.0f} minutes")
            notice(f"{found.detail}: waiting {wait:g} s")
            self._sleep(wait)

    def _allowed(self) -> bool:
        """Whether one more request may be sent; it is counted then."""
        limit = self.settings.max_requests
        if limit is not None and self.requests >= limit:
            return False
        self.requests += 1
        return True

    def _connected(self) -> ChatServer:
        """The server, made when the first request is to be sent."""
        if self._server is None:
            try:
                from swath.opinion.protocol import ChatServer
            except ModuleNotFoundError as error:
                if (error.name or "").startswith("swath"):
                    raise
                raise MissingExtraError("a second opinion", extra="opinion") from error
            settings = self.settings
            self._server = ChatServer(
                model=settings.model,
                base_url=settings.base_url,
                timeout=settings.timeout,
                max_tokens=settings.max_tokens,
            )
        return self._server

    def _path(self, question: Question) -> Path:
        """Where the answer to a question is kept: by all that decides it."""
        settings = self.settings
        asked = [settings.base_url.rstrip("/"), settings.model, settings.max_tokens, question.fingerprint]
        return self._cache / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()}.json"

    def _kept(self, question: Question) -> Opinion | None:
        """The answer of an earlier run; a damaged one counts as none."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._path(question).read_text(encoding="utf-8"))
            reply = Reply.model_validate(kept["reply"])
            return read_reply(reply, question.classes).model_copy(update={"cached": True})
        return None

    def _keep(self, question: Question, reply: Reply) -> None:
        kept = {
            "asked": datetime.now(UTC).isoformat(timespec="seconds"),
            "model": self.settings.model,
            "base_url": self.settings.base_url,
            "reply": reply.model_dump(),
        }
        try:
            write_text(self._path(question), json.dumps(kept, indent=1) + "\n")
        except (OSError, OutputError):  # the answer is there all the same; the next run has to ask again
            _log.warning("answers cannot be kept in %s: set SWATH_CACHE to a folder you can write to", self._cache)
