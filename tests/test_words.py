"""The word list finds what it names, and the project keeps to it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_SPEC = importlib.util.spec_from_file_location("check_words", ROOT / "scripts" / "check_words.py")
assert _SPEC is not None
assert _SPEC.loader is not None
check_words = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(check_words)


@pytest.mark.parametrize(
    ("name", "text", "say"),
    [
        ("src/a.py", "is" + "Colour = 1\n".replace("C", "_c"), "color"),
        ("src/a.py", "class " + "To" + "ld:\n    pass\n", "a noun"),
        ("src/a.py", "row = {'unlike" + "_training': 1}\n", "is_ood"),
        ("docs/a.md", "Run with --vi" + "ews 4.\n", "--tta"),
        ("README.md", "Met" + "res, and lic" + "ence.\n", "license"),
        ("src/un" + "like.py", "", "ood"),
    ],
)
def test_a_planted_word_is_found(tmp_path, name, text, say):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    found = check_words.check(tmp_path, check_words.load())
    assert len(found) == 1
    assert say in found[0]


def test_the_project_keeps_to_its_words():
    assert check_words.check(ROOT, check_words.load()) == []
