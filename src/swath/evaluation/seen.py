"""How many of the patches measured a model has seen: said first by everything that measures one.

A model file keeps codes of the patches it learned from and was chosen by (:mod:`swath.model.seen`). They are compared
with the patches measured by content, whatever the index, the split or the file is called. A score on patches that the
model has seen is no test, and is never printed as one; where enough others remain, theirs is the number that counts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from swath.config import Settings
from swath.errors import ModelFileError
from swath.evaluation.intervals import proportion
from swath.model import Record
from swath.model.record import Estimate
from swath.model.seen import SeenPatches, find_seen
from swath.pages.html import Number
from swath.pages.text import columns, counted, listed, percent, sentence

FEWEST = 20  # unseen patches from which their own score is given
# Patches that look like a seen one by chance: of EuroSAT's val list 0.14 % look like one of the 16,200 of the train
# list (benchmarks/seen_patches.py); twice that, and more where more were seen.
_CHANCE, _OF = 0.003, 20_000
_CLEAR = 0.001  # probability of so many by chance
_LIKE = "look like patches it has seen, compressed again, resized or brightened"
Mask = npt.NDArray[np.bool_]


class SeenCount(Settings):
    """How many of the patches measured a model has seen.

    Attributes
    ----------
    patches : int
        Patches measured.
    known : bool
        Whether the model file says what it has seen; without that all counts are 0.
    compared : bool
        Whether all it has seen could be compared: weights it started from may have had other bands.
    train : int
        Patches that it learned from.
    val : int
        Other patches, by which it was chosen or calibrated.
    similar : int
        Others that look like one of these, where they are clearly more than chance explains: copies that were
        compressed again, resized or brightened.
    test : int
        Patches of the split ``test`` of the same index, where another one was measured.
    """

    patches: int = Field(ge=0)
    known: bool = True
    compared: bool = True
    train: int = 0
    val: int = 0
    similar: int = 0
    test: int = Field(default=0, ge=0)

    @property
    def seen(self) -> int:
        """Patches that the model has seen."""
        return self.train + self.val + self.similar

    @property
    def unseen(self) -> bool | None:
        """Whether it has seen none of them; None where that is not known."""
        return self.seen == 0 if self.known else None

    @property
    def mark(self) -> str:
        """What is added to the name of a number on these patches, such as `` (318 of 440 seen)``."""
        if not self.seen:
            return ""
        return " (seen)" if self.seen == self.patches else f" ({self.seen:,} of {self.patches:,} seen)"

    @property
    def sentence(self) -> str:
        """What to say first, without a period."""
        n = self.patches
        if not self.known:
            return (
                f"whether the model has seen any of these {n:,} patches is not known: its file does not say what it "
                "learned from"
            )
        rest = "" if self.compared else "; what the weights it started from learned from could not be compared"
        return f"{self.counts}{': this is no test' if self.seen else ''}{rest}"

    @property
    def counts(self) -> str:
        """The counts in words."""
        n = self.patches
        if not self.seen:
            return f"the model has seen none of these {n:,} patches"
        if self.train == n:
            return f"all {n:,} patches were trained on"
        if self.val == n:
            return f"all {n:,} patches chose the model"
        parts = [
            f"{k:,}{self._of(place)} {one if k == 1 else many}"
            for place, (k, one, many) in enumerate(
                part
                for part in (
                    (self.train, "was trained on", "were trained on"),
                    (self.val, "chose the model", "chose the model"),
                    (self.similar, _LIKE.replace("look", "looks"), _LIKE),
                )
                if part[0]
            )
        ]
        if self.similar:
            parts[-1] = f"about {parts[-1]}"
        return listed(parts)

    @property
    def remainder_sentence(self) -> str:
        """What to say of the patches that the model has not seen, where it has seen some; without a period."""
        left = self.patches - self.seen
        if left >= FEWEST:
            return f"what counts is the score on the {left:,} patches that it has not seen"
        if not left:
            other = f"; --split test has {counted(self.test, 'patch', 'patches')}" if self.test else ""
            return f"none of them is left to test it on{other}"
        return f"it has not seen {counted(left, 'patch', 'patches')}, too few for a score of their own"

    @property
    def sentences(self) -> str:
        """Both, as sentences."""
        return " ".join(map(sentence, (self.sentence, *([self.remainder_sentence] if self.seen else []))))

    def _of(self, place: int) -> str:
        return f" of {counted(self.patches, 'patch', 'patches')}" if place == 0 else ""


@dataclass(frozen=True, eq=False)
class SeenRows:
    """Which of N patches a model has seen.

    Attributes
    ----------
    count : SeenCount
        How many.
    train, val : numpy.ndarray
        ``[N]`` bool, those that it learned from, and others that it was chosen or calibrated by.
    unseen : numpy.ndarray
        ``[N]`` bool, those that it has not seen.
    """

    count: SeenCount
    train: Mask
    val: Mask
    unseen: Mask

    @property
    def remainder(self) -> Mask | None:
        """The unseen patches, where some were seen and enough others remain to be measured by themselves."""
        return self.unseen if self.count.seen and self.unseen.sum() >= FEWEST else None

    def proportion(self, right: Mask) -> Estimate | None:
        """Accuracy on the remainder, from whether each of the N answers is right."""
        rest = self.remainder
        return None if rest is None else proportion(int(right[rest].sum()), int(rest.sum()))


def seen_lines(count: SeenCount, unseen: Mapping[str, Estimate | None]) -> list[str]:
    """What a terminal shows first: the sentence, and the numbers of patches that the model has not seen, if any."""
    rows = [(name, *percent(value)) for name, value in unseen.items() if value is not None]
    lines = [sentence(count.sentence), *([sentence(count.remainder_sentence)] if count.seen else [])]
    if rows:
        lines[-1] = f"{lines[-1].removesuffix('.')}:"
    return [*lines, *(f"  {row}" for row in (columns(rows) if rows else []))]


def seen_numbers(unseen: Mapping[str, Estimate | None]) -> list[Number]:
    """Key numbers of the patches that a model has not seen, for a page; none where there are too few."""
    return [Number(f"{name}, unseen patches", v, f"n = {v.n:,}") for name, v in unseen.items() if v is not None]


def seen_rows(record: Record, pixels: npt.NDArray[Any]) -> SeenRows:
    """Compare patches with those that a model has seen.

    Parameters
    ----------
    record : Record
        The model's.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` as the model takes them.

    Raises
    ------
    ModelFileError
        If the record's codes are damaged.
    """
    n, bands = len(pixels), record.input.bands
    comparable = [seen for seen in record.seen if set(seen.bands) <= set(bands)]
    train, val, similar = np.zeros((3, n), bool)
    try:
        for seen in comparable:
            chosen = pixels if seen.bands == bands else pixels[:, [bands.index(b) for b in seen.bands]]
            found = find_seen(seen, chosen)
            train, val, similar = train | found[0], val | found[1], similar | found[2]
    except ValueError as error:
        raise ModelFileError(
            f"the record of model '{record.name}' is damaged: {error}", fix="get or train the model again"
        ) from error
    val &= ~train
    similar &= ~train & ~val
    if not _clear(int(similar.sum()), n - int((train | val).sum()), comparable):
        similar[:] = False
    count = SeenCount(
        patches=n,
        known=bool(comparable),
        compared=len(comparable) == len(record.seen),
        train=int(train.sum()),
        val=int(val.sum()),
        similar=int(similar.sum()),
    )
    return SeenRows(count, train, val, ~(train | val | similar))


def _clear(found: int, tried: int, seen: Sequence[SeenPatches]) -> bool:
    """Whether so many similar patches are more than chance explains, by the tail of a Poisson distribution."""
    kept = sum(part.train.n + part.val.n for part in seen)
    mean = tried * _CHANCE * max(1.0, kept / _OF)
    fewer = math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(found)) if mean else 1.0
    return found > 0 and 1 - fewer < _CLEAR
