"""Work for one visitor on a thread of its own: its progress can be watched, and it can be stopped."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from swath.app.sentences import said
from swath.errors import SwathError
from swath.progress import Pace, Progress

_POLL = 0.2  # seconds
_FIRST = "reading"  # the stage before the work tells its own
T = TypeVar("T")


class _StoppedError(Exception):
    """The visitor wants it no more."""


@dataclass(frozen=True)
class State:
    """How far work is."""

    stage: str
    share: float
    text: str


class Job(Generic[T]):
    """Work under way, or what became of it.

    Parameters
    ----------
    work : callable
        Given a progress callback, which also stops it; its value is kept.
    turn : threading.Lock, optional
        Held while it works: of jobs that share one, only one works at a time.
    then : callable
        Called when it has ended, in whatever way.

    Attributes
    ----------
    made : object or None
        What the work has given, once it is there.
    problem : str or None
        Why there is nothing, in a sentence.
    """

    waiting: ClassVar[str] = "waiting for another visitor"  # the stage before its turn
    too_large: ClassVar[str] = "this needs more memory than there is; give less at a time"

    def __init__(
        self,
        work: Callable[[Progress], T],
        *,
        turn: threading.Lock | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self.made: T | None = None
        self.problem: str | None = None
        self._work, self._turn, self._then = work, turn, then
        self._stopped = threading.Event()
        self._stage, self._note = self.waiting if turn is not None else _FIRST, ""
        self._pace = Pace(0, 1, now=time.monotonic())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still under way."""
        return self._thread.is_alive()

    @property
    def was_stopped(self) -> bool:
        """Whether the visitor stopped it."""
        return self._stopped.is_set()

    @property
    def state(self) -> State:
        """How far it is now."""
        pace = self._pace
        share = min(pace.done / max(pace.total, 1), 1.0)
        return State(self._stage, share, f"{pace.text(time.monotonic())} {self._note}".strip())

    def cancel(self) -> None:
        """Stop it the next time that it tells how far it is."""
        self._stopped.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            with contextlib.ExitStack() as stack:
                if self._turn is not None:
                    while not self._turn.acquire(timeout=_POLL):
                        self._check()
                    stack.callback(self._turn.release)
                    self._stage = _FIRST
                self._check()
                self.made = self._work(self._progress)
        except _StoppedError:
            pass
        except SwathError as error:
            self.problem = said(error)
        except MemoryError:
            self.problem = self.too_large
        finally:
            self._then()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def _progress(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        self._check()
        now = time.monotonic()
        if self._stage != stage or done < self._pace.done:
            self._pace = Pace(done, total, now=now)
        self._pace.update(done, total, now=now)
        self._stage, self._note = stage, note
