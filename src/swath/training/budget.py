"""A run's budget of time: how many epochs fit into it, by the pace that is measured while it runs."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from swath.errors import SettingError

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
EXPORT = 15.0  # seconds kept for calibration, export and export check, but no more than a quarter of the budget
TRIAL = 8  # steps of the first epoch, or half of it, after which the pace is known
_SLACK = 1.05  # epochs may get a little slower


def parse_duration(text: str) -> float:
    """Seconds of ``90s``, ``20min``, ``1.5h`` or ``1h 30min``.

    Raises
    ------
    SettingError
        If it is none of these, or no time at all.

    Examples
    --------
    >>> parse_duration("20min"), parse_duration("1h 30min")
    (1200.0, 5400.0)
    """
    plain = text.strip().lower()
    parts = _DURATION.findall(plain)
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if _DURATION.sub("", plain).strip() or not 0 < total < math.inf:
        raise SettingError(f"'{text}' is no time to train for", fix="give for example --budget 90s, 20min or 1h")
    return total


def as_duration(seconds: float) -> str:
    """Seconds in words that :func:`parse_duration` reads, rounded up.

    Examples
    --------
    >>> as_duration(1200), as_duration(5400), as_duration(12.3)
    ('20min', '1.5h', '13s')
    """
    if seconds < 120:
        return f"{math.ceil(seconds)}s"
    if seconds < 2 * 3600 and (seconds < 3600 or seconds % 1800):
        return f"{math.ceil(seconds / 60)}min"
    return f"{math.ceil(seconds / 360) / 10:g}h"


@dataclass(frozen=True)
class Budget:
    """Time a run may take, decoding and export included.

    Attributes
    ----------
    seconds : float
        In all, over every call that resumes it.
    started : float
        What `clock` said when this call began.
    clock : callable
        Seconds; a test gives its own.
    """

    seconds: float
    started: float
    clock: Callable[[], float] = time.perf_counter

    @classmethod
    def of(cls, seconds: float, *, clock: Callable[[], float] = time.perf_counter) -> Budget:
        """A budget that begins now."""
        return cls(seconds, clock(), clock)

    @property
    def reserve(self) -> float:
        """Seconds that are kept for what comes after the last epoch."""
        return min(EXPORT, self.seconds / 4)

    def left(self, earlier: float) -> float:
        """Seconds left for epochs, after `earlier` seconds of calls before this one."""
        return self.seconds - self.reserve - earlier - (self.clock() - self.started)

    def epochs(self, left: float, pace: float) -> int:
        """Whole epochs of `pace` seconds each that fit into what is `left`."""
        return max(0, math.floor(left / (pace * _SLACK))) if pace > 0 else 10**6

    def refusal(self, left: float, pace: float = 0.0) -> SettingError:
        """What to say where not one epoch of `pace` seconds (0: not known yet) fits into what is `left`."""
        other = self.seconds - self.reserve - left + pace * _SLACK
        needed = 1.05 * min(other / 0.75, other + EXPORT)  # of which the reserve is kept again
        epoch = f"one epoch takes about {as_duration(pace)}" if pace else "it is over before the first epoch"
        return SettingError(
            f"a budget of {as_duration(self.seconds)} is too short: {epoch}, and decoding and export count as well",
            fix=f"give --budget {as_duration(needed)} or {'more' if pace else 'much more'}",
        )
