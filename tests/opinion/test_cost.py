"""Tokens and money, before and after."""

from __future__ import annotations

import pytest

from swath.errors import SettingError
from swath.opinion.answers import Opinion, missing
from swath.opinion.client import OpinionSettings
from swath.opinion.cost import Price, counted_cost, estimate_cost, known_price, parse_price
from tests.opinion.conftest import question


def test_prices_are_known_by_the_name_of_a_model_and_of_its_snapshots() -> None:
    assert known_price("gpt-4o") == known_price("gpt-4o-2024-11-20") == Price(input=2.5, output=10)
    assert known_price("gpt-4o-mini") == Price(input=0.15, output=0.6)
    assert known_price("gpt-4o-audio") is None
    assert known_price("qwen3-vl") is None


def test_another_server_has_no_list_price() -> None:
    here = "http://127.0.0.1:1/v1"
    assert OpinionSettings().charged == known_price("gpt-4o")
    assert OpinionSettings(base_url="https://api.openai.com/v1/").charged == known_price("gpt-4o")
    assert OpinionSettings(base_url=here).charged is None
    assert OpinionSettings(base_url=here, price=Price(input=1, output=2)).charged == Price(input=1, output=2)


def test_an_estimate_counts_words_pictures_and_answers() -> None:
    one = estimate_cost([question()], model="gpt-4o", price=known_price("gpt-4o"))
    ten = estimate_cost([question()] * 10, model="gpt-4o", price=known_price("gpt-4o"))
    assert 300 < one.prompt_tokens < 700
    assert abs(ten.prompt_tokens - 10 * one.prompt_tokens) < 10
    assert ten.usd == pytest.approx((ten.prompt_tokens * 2.5 + 600 * 10) / 1e6)
    small = estimate_cost([question()], model="gpt-4o-mini", price=None)
    assert small.prompt_tokens - one.prompt_tokens == 2833 - 85
    local = estimate_cost([question()], model="qwen3-vl", price=None)
    assert local.prompt_tokens == one.prompt_tokens - 85
    assert "besides those of the pictures" in local.sentence
    assert "price of which is not known" in local.sentence
    assert "USD" in ten.sentence


def test_what_was_heard_is_counted() -> None:
    said = Opinion(outcome="answered", label="River", prompt_tokens=1000, completion_tokens=100)
    cost = counted_cost([said, said, missing("timed out", "")], price=Price(input=2, output=10))
    assert (cost.questions, cost.tokens, cost.usd) == (2, 2200, pytest.approx(0.006))
    assert counted_cost([said], price=None).usd is None


@pytest.mark.parametrize("text", ["", "1", "a:b", "1:2:3", "-1:2", "nan:1", "inf:1"])
def test_a_price_that_is_none(text: str) -> None:
    with pytest.raises(SettingError, match=r"--price 2\.5:10"):
        parse_price(text)
