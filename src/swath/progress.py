"""One progress callback for the whole package, and the bar the command line shows for it.

Library code takes ``progress: Progress = silent`` and calls it with a stage name, how many units are
done and how many there are; it never prints. The command line injects :class:`Bars`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text


class Progress(Protocol):
    """Called as ``progress(stage, done, total, note="")``; ``done == total`` ends the stage."""

    def __call__(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        """Report that `done` of `total` units of `stage` are finished."""


def silent(stage: str, done: int, total: int, *, note: str = "") -> None:
    """Report nothing: the default for library use."""


class _Rate(ProgressColumn):
    """Units per second, over the whole stage."""

    def render(self, task: Task) -> Text:
        """Draw one cell."""
        speed = task.completed / task.elapsed if task.elapsed and task.completed else None
        return Text(f"{speed:,.0f}/s" if speed and speed >= 10 else f"{speed:.1f}/s" if speed else "", style="cyan")


class Bars:
    """A context manager that is itself a :class:`Progress`: one line per stage, with rate and time left.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to draw; standard error by default, so that results can be piped.
    quiet : bool
        Draw nothing.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),  # a bracket in a name is no markup
            console=console or Console(stderr=True),
            disable=quiet,
        )
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        """Move the bar of `stage`, making it on first sight."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total, note=note)
        self._bars.update(self._tasks[stage], completed=done, total=total, note=note)

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()
