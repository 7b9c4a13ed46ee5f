"""What a file of weights says of itself: its license, and the input it expects."""

from __future__ import annotations

import re
from collections.abc import Mapping

from swath.weights.expects import Expectation
from swath.weights.facts import LICENSE_KEY, read_expects

_NUMBERS = r"([0-9.]+(?:\s*,\s*[0-9.]+){0,2})"
_NORMALIZATION = re.compile(rf"mean\s+{_NUMBERS}\s+(?:std|sd)\s+{_NUMBERS}")


def license_of(metadata: Mapping[str, str]) -> str | None:
    """The license a file states, in either spelling."""
    return metadata.get(LICENSE_KEY) or metadata.get("license") or None


def expects_of(metadata: Mapping[str, str], *, where: str) -> Expectation | None:
    """The input a file states: as swath's own runs do, or as ``normalisation: mean 0.5 std 0.5``.

    The second is read as of 8-bit RGB pictures divided by 255, with one number for all bands or three.

    Raises
    ------
    SettingError
        If a swath run's statement is damaged.
    """
    return read_expects(metadata, where=where) or _normalization(metadata.get("normalisation", ""))


def _normalization(text: str) -> Expectation | None:
    found = _NORMALIZATION.fullmatch(text.strip())
    if found is None:
        return None
    try:
        mean, sd = (tuple(float(v) for v in numbers.split(",")) for numbers in found.groups())
        return Expectation(mean=mean * 3 if len(mean) == 1 else mean, sd=sd * 3 if len(sd) == 1 else sd)
    except ValueError:  # not numbers, or not three
        return None
