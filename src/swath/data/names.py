"""Class names: one spelling for the same name from every source, and names that look alike.

:func:`class_name` is applied to whatever a source calls a class. What still differs after that may be two classes or
two spellings of one: :func:`lookalikes` finds those that differ only in case, in spaces, hyphens and underscores, in
accents, in dots at the end, or in letters that look the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

# Letters of the Greek and Cyrillic alphabets that are drawn as Latin ones (a part of Unicode's confusables.txt).
_UPPER = str.maketrans(
    (
        "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"
        "\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423"
        "\u0425\u051c"
    ),
    "ABEZHIKMNOPTYXABESIJKMHOPCTYXW",
)
_LOWER = str.maketrans(
    ("\u03bf\u03bd\u03c5\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0443\u0445\u04bb\u0501\u051b\u051d"),
    "ovuaesijopcyxhdqw",
)
_ACCENTS = re.compile("[\u0300-\u036f]")
_SHOWN = 4


def class_name(text: str) -> str:
    """A class's name as an index holds it: composed Unicode (NFC), without white space around it.

    Folders of macOS and members of its archives come decomposed, and tables have spaces behind their commas.
    """
    return unicodedata.normalize("NFC", text).strip()


def lookalikes(counts: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Sets of names that look alike.

    Parameters
    ----------
    counts : mapping of str to int
        Patches of each class.

    Returns
    -------
    tuple of tuple of str
        Each set with the name of most patches first; sets in order of their names.

    Examples
    --------
    >>> lookalikes({"Forest": 300, "forest": 20, "Sea Lake": 7, "Sea_Lake": 9, "River": 50})
    (('Forest', 'forest'), ('Sea_Lake', 'Sea Lake'))
    """
    sets: list[set[str]] = []
    shared: dict[str, list[str]] = defaultdict(list)
    for name in counts:
        for key in _keys(name):
            shared[key].append(name)
    for names in shared.values():
        joined = set(names).union(*(other for other in sets if other.intersection(names)))
        sets = [other for other in sets if not other & joined] + [joined]
    ordered = (tuple(sorted(names, key=lambda name: (-counts[name], name))) for names in sets if len(names) > 1)
    return tuple(sorted(ordered, key=min))


def describe_lookalikes(sets: Sequence[Sequence[str]], counts: Mapping[str, int]) -> str:
    """The sets in words, letters escaped where two names could not be told apart on a screen."""
    shown = [
        " and ".join(f"{_quoted(name, names)} ({counts[name]:,})" for name in names) for names in list(sets)[:_SHOWN]
    ]
    more = f"; and {len(sets) - _SHOWN} more" if len(sets) > _SHOWN else ""
    return "; ".join(shown) + more


def _quoted(name: str, names: Iterable[str]) -> str:
    twins = sum(_appearance(other) == _appearance(name) for other in names)
    return ascii(name) if twins > 1 else f"'{name}'"


def _appearance(name: str) -> str:
    """What a name looks like when it is printed."""
    visible = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join(visible.translate(_UPPER).translate(_LOWER).split())


def _keys(name: str) -> set[str]:
    """What two names share if they look alike, with and without regard to letters of other alphabets."""
    plain = unicodedata.normalize("NFKD", name)
    return {_folded(plain), _folded(plain.translate(_UPPER).translate(_LOWER))}


def _folded(name: str) -> str:
    """Without case, accents of Latin, Greek and Cyrillic, invisible characters and what separates words."""
    letters = _ACCENTS.sub("", name).casefold()
    kept = ["" if unicodedata.category(c) == "Cf" else " " if _separates(c) else c for c in letters]
    words = "".join(kept).rstrip(". ").split()
    # Between digits a separator has a meaning: 1 2 is not 12.
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(words)) or name


def _separates(letter: str) -> bool:
    return letter in "'\"`\u2019" or unicodedata.category(letter) in ("Zs", "Pd", "Pc", "Cc")
