"""What came back, read as what it is: an answer, or one of the ways in which there is none.

A :class:`Reply` is what the server sent; :func:`read_reply` makes an :class:`Opinion` of it and never fails,
whatever the text. Nothing is repaired in silence: where a reply was not as asked, the opinion says so in `detail`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from swath.config import Settings
from swath.opinion.prompt import UNSURE
from swath.pages.text import written

Outcome = Literal[
    "answered",
    "refused",
    "truncated",
    "empty",
    "no JSON",
    "other label",
    "timed out",
    "rate limited",
    "server error",
    "not asked",
]
# These say nothing of the patch and are not kept: the same command asks again.
MISSING: tuple[Outcome, ...] = ("timed out", "rate limited", "server error", "not asked")
MAX_TEXT = 20_000  # letters of a reply that are kept
_LONGEST = 300  # letters of a reason or a detail
_MARKS = re.compile(r"[\W_]+")


class Reply(Settings):
    """What a server answered to one question; this is kept in the cache.

    Attributes
    ----------
    content, refusal : str or None
        The message.
    finish_reason : str or None
        ``"stop"``, ``"length"``, ``"content_filter"``...
    prompt_tokens, completion_tokens : int
        As the server counted them; 0 where it does not say.
    structured : bool
        Whether the form of the answer was given as a schema, not in words alone.
    """

    content: str | None = None
    refusal: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    structured: bool = True


class Opinion(Settings):
    """What the model says of one patch, or why it says nothing.

    Attributes
    ----------
    outcome : str
        ``"answered"``, or what there was in place of an answer: see :data:`Outcome`.
    label : str
        The class, or ``"unsure"``; empty where there is no answer.
    confidence : float or None
        0-1, as the model states it: not calibrated.
    reason : str
        In the model's words, on one line.
    detail : str
        Why there is no answer, or what was not as asked.
    prompt_tokens, completion_tokens : int
        What it took.
    cached : bool
        Whether it was asked before and nothing was sent now.
    """

    outcome: Outcome
    label: str = ""
    confidence: float | None = None
    reason: str = ""
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False

    @property
    def names_a_class(self) -> bool:
        """Whether it is an answer other than ``"unsure"``."""
        return self.outcome == "answered" and self.label != UNSURE

    @property
    def is_missing(self) -> bool:
        """Whether the model was not heard at all, which says nothing of what it knows."""
        return self.outcome in MISSING

    @property
    def shown(self) -> str:
        """The label, or the outcome in its place."""
        return self.label or f"({self.outcome})"


def missing(outcome: Outcome, detail: str) -> Opinion:
    """Say why the model was not heard."""
    return Opinion(outcome=outcome, detail=one_line(detail))


def read_reply(reply: Reply, classes: Sequence[str]) -> Opinion:
    """Read a reply.

    Parameters
    ----------
    reply : Reply
        Whatever the server sent.
    classes : sequence of str
        Names that may be answered, besides ``"unsure"``.

    Examples
    --------
    >>> said = Reply(content='Sure! {"label": "forest", "confidence": 0.8, "reason": "Dark and even."}')
    >>> found = read_reply(said, ["Forest", "River"])
    >>> found.label, found.confidence, found.detail
    ('Forest', 0.8, 'text around the JSON')
    >>> read_reply(Reply(content="It is a forest."), ["Forest"]).shown
    '(no JSON)'
    """
    taken = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    content = (reply.content or "").strip()

    def nothing(outcome: Outcome, detail: str) -> Opinion:
        return Opinion(outcome=outcome, detail=one_line(detail), **taken)

    if reply.refusal or reply.finish_reason == "content_filter":
        return nothing("refused", reply.refusal or "stopped by the server's content filter")
    found = _last_object(content)
    if found is None and reply.finish_reason == "length":
        return nothing("truncated", "the answer was cut off at the most tokens allowed: raise --max-tokens")
    if not content:
        return nothing("empty", "the answer holds no text")
    if found is None:
        return nothing("no JSON", content)
    said = found["label"]
    label = _label(said, classes) if isinstance(said, str) else None
    if label is None:
        return nothing("other label", f"{said!s:.100} is none of the classes")
    confidence = _confidence(found.get("confidence"))
    reason = found.get("reason")
    remarks = [
        *(["text around the JSON"] if not _is_json(content) else []),
        *([f"the confidence is {found.get('confidence')!s:.30}, not from 0 to 1"] if confidence is None else []),
    ]
    return Opinion(
        outcome="answered",
        label=label,
        confidence=confidence,
        reason=one_line(reason) if isinstance(reason, str) else "",
        detail=one_line("; ".join(remarks)),
        **taken,
    )


def one_line(text: str) -> str:
    """Text from elsewhere on one line of visible characters, of bounded length."""
    return written(text, limit=_LONGEST)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _last_object(text: str) -> dict[str, Any] | None:
    """The last JSON object with a label: what models think aloud comes before what they answer."""
    return next((found for found in reversed(list(_objects(text))) if "label" in found), None)


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    place = text.find("{")
    while place >= 0:
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield found
        place = text.find("{", end)


def _label(said: str, classes: Sequence[str]) -> str | None:
    """The class that is meant, whatever its case, blanks and hyphens, if it is only one."""
    names = (*classes, UNSURE)
    if said in names:
        return said
    near = [name for name in names if _plain(name) == _plain(said)]
    return near[0] if len(near) == 1 else None


def _plain(name: str) -> str:
    return _MARKS.sub("", name).casefold()


def _confidence(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 <= value <= 1 else None
