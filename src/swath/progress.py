"""One progress callback for the whole package, and how the command line shows it.

Library code takes ``progress: Progress = silent`` and calls it with a stage name, how many units are
done and how many there are; it never prints. The command line injects :class:`Bars`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

LOG_EVERY = 30.0  # seconds between two lines of a stage where there is no terminal
_WORTH_A_LINE = 1.0  # seconds from which on a finished stage has a line in a log


class Progress(Protocol):
    """Called as ``progress(stage, done, total, note="")``; ``done == total`` ends the stage."""

    def __call__(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        """Report that `done` of `total` units of `stage` are finished."""


def silent(stage: str, done: int, total: int, *, note: str = "") -> None:
    """Report nothing: the default for library use."""


class Pace:
    """How fast a stage goes; its clock stops when the stage ends.

    What was done when the stage was first heard of, such as the epochs of a resumed run, took no time of it.

    Examples
    --------
    >>> pace = Pace(0, 100, now=5.0)
    >>> pace.update(20, 100, now=15.0)
    >>> pace.text(now=15.0)
    '2.0/s, 0:10 elapsed, 0:40 left'
    """

    def __init__(self, done: int, total: int, *, now: float) -> None:
        self.first, self.began = done, now
        self.update(done, total, now=now)

    def update(self, done: int, total: int, *, now: float) -> None:
        """Take down that `done` of `total` are finished at the time `now`, in seconds."""
        self.done, self.total, self.heard = done, total, now

    @property
    def ended(self) -> bool:
        """Whether all is done."""
        return self.done >= self.total

    def seconds(self, now: float) -> float:
        """Time since the stage began, or which it took."""
        return (self.heard if self.ended else now) - self.began

    def text(self, now: float) -> str:
        """Rate, time elapsed and time left, as far as they are known."""
        spent, parts = self.heard - self.began, []
        done, left = self.done - self.first, self.total - self.done
        if done > 0 and spent > 0:
            each = spent / done
            parts.append(
                f"{each:,.1f} s each" if each > 1 else f"{1 / each:,.1f}/s" if each > 0.1 else f"{1 / each:,.0f}/s"
            )
        parts.append(f"{_clock(self.seconds(now))} elapsed")
        if done > 0 and left > 0:
            parts.append(f"{_clock(max(0.0, spent / done * left - (now - self.heard)))} left")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _Times(ProgressColumn):
    """Rate and times of a stage."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        """Draw one cell."""
        return Text(task.fields["pace"].text(self._clock()), style="cyan")


class Bars:
    """A context manager that is itself a :class:`Progress`: a bar for each stage, or lines where there is no terminal.

    A log gets a line of a stage every 30 seconds, and one when it ends if it took a second or more.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to draw; standard error by default, so that results can be piped.
    quiet : bool
        Draw nothing.
    clock : callable, optional
        Gives the time in seconds.
    """

    def __init__(
        self, console: Console | None = None, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._lines = not quiet and not self._console.is_terminal
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            _Times(clock),
            TextColumn("{task.fields[note]}", markup=False),  # a bracket in a name is no markup
            console=self._console,
            disable=quiet or self._lines,
        )
        self._stages: dict[str, tuple[TaskID, Pace]] = {}
        self._written: dict[str, tuple[float, int]] = {}  # when each stage last had a line in the log, and at what

    def __call__(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        """Move the bar of `stage`, making it on first sight."""
        now = self._clock()
        task, pace = self._stages.get(stage, (None, None))
        if pace is None or done < pace.done:  # a stage that begins again, such as with another model, has a new pace
            pace = Pace(done, total, now=now)
            self._written[stage] = now, done
        before = pace.ended and pace.done > pace.first
        pace.update(done, total, now=now)
        if task is None:
            task = self._bars.add_task(stage, total=total, note=note, pace=pace)
        self._bars.update(task, completed=done, total=total, note=note, pace=pace)
        self._stages[stage] = task, pace
        if now - self._written[stage][0] >= LOG_EVERY or (pace.ended and not before):
            self._write(stage, pace, now, note)

    def _write(self, stage: str, pace: Pace, now: float, note: str = "") -> None:
        """Write a line about a stage, unless it is over in no time."""
        if self._lines and pace.seconds(now) >= _WORTH_A_LINE:
            self._written[stage] = now, pace.done
            text = f"{stage} {pace.done:,}/{pace.total:,}, {pace.text(now)}"
            self._console.print(f"{text}: {note}" if note else text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stage, (_, pace) in self._stages.items():
            if pace.done != self._written[stage][1]:
                self._write(stage, pace, self._clock())
        self._bars.stop()
