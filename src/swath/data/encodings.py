"""Which encoding names and tables are written in, where nothing says so.

Archives packed on a Chinese, Japanese, Korean or Russian system hold names in the code page of that system without
saying which. The likelihood of the characters that each one makes of all names together tells them apart; a reading in
which letters do not form words is no candidate. Whoever uses the answer says that it is a guess.
"""

from __future__ import annotations

import codecs
import math
import re
from collections.abc import Callable, Sequence

from swath.errors import SettingError

# In the order in which they are preferred, with the log of how much less common each is than the first.
_PRIOR = {
    "gbk": 0.0,
    "cp932": -0.5,
    "big5": -1.0,
    "cp949": -1.5,
    "cp1251": -1.0,
    "cp866": -1.0,
    "cp1252": 0.0,
    "cp850": 0.0,
}
ENCODINGS = ("utf-8", *_PRIOR, "koi8-r", "cp1250", "cp437")
"""Encodings of names in archives that swath reads."""

_UNLIKELY = -12.0
_CYRILLIC = re.compile("[\u0401\u0410-\u042f]?[\u0430-\u044f\u0451]+|[\u0401\u0410-\u042f]+")
_LATIN = re.compile(r"[^\W\d_]+")


def guess_encoding(texts: Sequence[bytes]) -> str | None:
    """Encoding in which all of `texts` are most probably written; ``None`` if none makes words of them.

    Examples
    --------
    >>> guess_encoding(["森林".encode("gbk"), "河流".encode("gbk")]), guess_encoding(["Forêt".encode()])
    ('gbk', 'utf-8')
    """
    odd = sorted({text for text in texts if not text.isascii()})[:10_000]
    if all(_decoded(text, "utf-8") is not None for text in odd):
        return "utf-8"
    best, best_score = None, -math.inf
    for encoding, prior in _PRIOR.items():
        decoded = [_decoded(text, encoding) for text in odd]
        if any(text is None for text in decoded):
            continue
        score = prior + _likelihood("\n".join(filter(None, decoded)), encoding)
        if score > best_score:
            best, best_score = encoding, score
    return best


def check_encoding(name: str) -> str:
    """Python's name of an encoding of :data:`ENCODINGS`.

    Raises
    ------
    SettingError
        If it is not among them.
    """
    known = {codecs.lookup(encoding).name: encoding for encoding in ENCODINGS}
    try:
        return known[codecs.lookup(name).name]
    except (LookupError, ValueError):
        raise SettingError(f"no encoding '{name}'", fix=f"the known ones are {', '.join(ENCODINGS)}") from None


def _decoded(text: bytes, encoding: str) -> str | None:
    try:
        return text.decode(encoding)
    except UnicodeDecodeError:
        return None


def _likelihood(text: str, encoding: str) -> float:
    """Log-likelihood of the characters that are not ASCII; minus infinity where they form no words."""
    odd = {c for c in text if not c.isascii()}  # each once: a class name occurs in thousands of paths
    if any(not c.isprintable() for c in odd):
        return -math.inf
    if encoding in _OF_CHARACTER:
        return sum(map(_OF_CHARACTER[encoding], odd))
    words = {word for word in _LATIN.findall(text) if not word.isascii()}
    if any(not c.isalpha() for c in odd):
        return -math.inf
    cyrillic = encoding in ("cp1251", "cp866")
    if not all(map(_is_cyrillic if cyrillic else _is_latin, words)):
        return -math.inf
    return -math.log(33 if cyrillic else 40) * len(odd)


def _is_cyrillic(word: str) -> bool:
    return _CYRILLIC.fullmatch(word) is not None


def _is_latin(word: str) -> bool:
    """Whether it is mostly ASCII letters, with at most its first letter in capitals, or all of them."""
    plain = sum(c.isascii() for c in word)
    return plain * 2 > len(word) and (word[1:].islower() or word.isupper())


def _of_chinese(c: str) -> float:
    return _by_lead(c, "gb2312", {range(0xB0, 0xD8): -math.log(3755), range(0xD8, 0xF8): -math.log(3755) - 4})


def _of_traditional(c: str) -> float:
    return _by_lead(c, "big5", {range(0xA4, 0xC7): -math.log(5401)})


def _of_korean(c: str) -> float:
    return _by_lead(c, "euc_kr", {range(0xB0, 0xC9): -math.log(2350)})


def _of_japanese(c: str) -> float:
    if "ぁ" <= c <= "ヿ":
        return -math.log(170)
    return _by_lead(c, "cp932", {range(0x88, 0x98): -math.log(2965)})


def _by_lead(c: str, encoding: str, common: dict[range, float]) -> float:
    """Log-likelihood of a character by the first byte of its two in a code that is sorted by use."""
    try:
        code = c.encode(encoding)
    except UnicodeEncodeError:
        return _UNLIKELY
    found = (value for leads, value in common.items() if len(code) == 2 and code[0] in leads)
    return next(found, _UNLIKELY)


_OF_CHARACTER: dict[str, Callable[[str], float]] = {
    "gbk": _of_chinese, "big5": _of_traditional, "cp949": _of_korean, "cp932": _of_japanese
}  # fmt: skip
