"""Tokens and money: estimated before anything is sent, counted afterwards.

Prices are list prices of OpenAI's own service as of :data:`PRICED`, without the discount on repeated prompts. A model
or a server that is not in the table has tokens and no price, unless one is given.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from swath.config import Settings
from swath.errors import SettingError
from swath.opinion.answers import Opinion
from swath.opinion.prompt import Question

PRICED = "2025-06-03"  # https://platform.openai.com/docs/pricing
_ANSWER = 60  # tokens of a label, a confidence and a sentence
_LETTERS = 4  # of English text in a token, about
_FRAME = 12  # tokens around the messages
_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_Money = Annotated[float, Field(ge=0)]


class Price(Settings):
    """US dollars per million tokens."""

    input: _Money
    output: _Money

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """US dollars of so many tokens.

        >>> Price(input=2.5, output=10.0).of(1_000_000, 100_000)
        3.5
        """
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


# Price, and tokens of a picture in "low" detail.
_MODELS = {
    "gpt-4o": (Price(input=2.5, output=10.0), 85),
    "gpt-4o-mini": (Price(input=0.15, output=0.6), 2833),
    "gpt-4.1": (Price(input=2.0, output=8.0), 85),
}


class Cost(Settings):
    """What questions cost, as expected or as counted.

    Attributes
    ----------
    questions : int
        Patches.
    prompt_tokens, completion_tokens : int
        Of all of them together.
    usd : float or None
        US dollars; None where the price is not known.
    pictures_counted : bool
        Whether the tokens of the pictures are among them: before asking this is known of few models.
    """

    questions: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    pictures_counted: bool = True

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def sentence(self) -> str:
        """In words, such as ``about 125,000 tokens and 0.38 USD``."""
        pictures = (
            "" if self.pictures_counted else ", besides those of the pictures, which this model counts its own way"
        )
        price = "the price of which is not known (--price)" if self.usd is None else f"{money(self.usd)}"
        return f"{self.tokens:,} tokens{pictures}{', ' if self.usd is None else ' and '}{price}"


def money(usd: float) -> str:
    """Write an amount.

    >>> money(0.0), money(0.004321), money(12.345), money(1e-7)
    ('0 USD', '0.0043 USD', '12.35 USD', 'less than 0.0001 USD')
    """
    if 0 < usd < 0.0001:
        return "less than 0.0001 USD"
    return f"{usd:.2f} USD" if usd >= 0.1 else f"{usd:.2g} USD"


def known_price(model: str) -> Price | None:
    """The list price of a model of OpenAI's, also by the name of one of its dated snapshots."""
    found = _known(model)
    return found[0] if found else None


def _known(model: str) -> tuple[Price, int] | None:
    return _MODELS.get(model) or _MODELS.get(_SNAPSHOT.sub("", model))


def parse_price(text: str) -> Price:
    """Read ``INPUT:OUTPUT``, US dollars per million tokens.

    Raises
    ------
    SettingError
        If it is not of that form.

    Examples
    --------
    >>> parse_price("0.4:1.6").output
    1.6
    """
    try:
        first, second = (float(part) for part in text.split(":"))
        if not (0 <= first < math.inf and 0 <= second < math.inf):
            raise ValueError
    except ValueError:
        raise SettingError(
            f"--price {text} is not two amounts", fix="give US dollars per million tokens in and out: --price 2.5:10"
        ) from None
    return Price(input=first, output=second)


def estimate_cost(questions: Sequence[Question], *, model: str, price: Price | None) -> Cost:
    """What it will take to ask: about four letters a token, and what a picture takes where that is known."""
    known = _known(model)
    letters = sum(len(asked.text) + len(json.dumps(asked.response_format)) for asked in questions)
    prompt = math.ceil(letters / _LETTERS) + len(questions) * (_FRAME + (known[1] if known else 0))
    completion = _ANSWER * len(questions)
    return Cost(
        questions=len(questions),
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if price is None else price.of(prompt, completion),
        pictures_counted=known is not None,
    )


def counted_cost(opinions: Sequence[Opinion], *, price: Price | None) -> Cost:
    """What answers took, by the server's own count; those that were kept from before among them."""
    heard = [one for one in opinions if not one.is_missing]
    prompt, completion = (sum(getattr(one, name) for one in heard) for name in ("prompt_tokens", "completion_tokens"))
    return Cost(
        questions=len(heard),
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if price is None else price.of(prompt, completion),
    )
