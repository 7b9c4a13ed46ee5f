"""The room as a whole: what it offers, and the examples in its docstrings."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import swath.opinion

MODULES = sorted(path.stem for path in Path(swath.opinion.__file__).parent.glob("[a-z]*.py"))


def test_what_it_offers_is_there() -> None:
    assert all(hasattr(swath.opinion, name) for name in swath.opinion.__all__)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(f"swath.opinion.{name}"))
    assert not failed
