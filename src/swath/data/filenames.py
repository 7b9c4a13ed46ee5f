"""Decisions on the names of files: which are safe, which are images, and what is said of those left out."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from swath.imagery import SUFFIXES

MAX_DEPTH = 64  # folders in a name; more is a loop or an attack
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")
# Folders and files that systems and network drives put next to pictures, besides all that begin with a dot.
_SYSTEM = frozenset(
    {
        "__macosx", "@eadir", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "$recycle.bin", "recycler",
        "system volume information", "lost+found", "thumbs.db", "desktop.ini", "__pycache__",
    }
)  # fmt: skip
# Files that commonly lie next to images; others that are not images are counted, so that a data set
# in a format that is not read does not vanish without a word.
_TEXTS = {".txt", ".md", ".rst", ".html", ".pdf", ".py", ".ipynb", ".log", ".ini", ".db"}
_TABLES = {".csv", ".tsv", ".json", ".geojson", ".xml", ".yaml", ".yml", ".parquet"}
_SIDECARS = {".prj", ".tfw", ".jgw", ".pgw", ".wld", ".ovr", ".sha256", ".md5"}
COMPANIONS = frozenset(_TEXTS | _TABLES | _SIDECARS)
ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"})

SYSTEM = "thumbnails and other files that a system made"
BROKEN = "broken links"
SPECIAL = "pipes, sockets or devices"
ARCHIVE = "archives within, to be unpacked first"
FORMAT = "files of kinds that are not read"
STRAY = "images in no class folder"
UNLABELED = "images without a label"
UNLISTED = "images that the table does not list"
EMPTY = "empty folders"
REASONS = (UNLABELED, BROKEN, FORMAT, ARCHIVE, SPECIAL, STRAY, UNLISTED, EMPTY, SYSTEM)
"""Why a file is left out, in the order in which it is said."""
_SHOWN = 4
_UNSEEN = frozenset(("Cc", "Cs", "Zl", "Zp"))
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True)
class Listing:
    """What a folder or archive holds.

    Attributes
    ----------
    names : tuple of str
        Files that can be read, relative with forward slashes, sorted.
    left_out : tuple of (str, str)
        Files that are never opened, with the reason.
    empty : tuple of str
        Folders without any file or folder.
    """

    names: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """Files left out for one reason.

    Attributes
    ----------
    reason : str
        One of :data:`REASONS`.
    places : mapping of str to int
        Files by class, folder or suffix, the most first.
    """

    reason: str
    places: Mapping[str, int]

    @property
    def count(self) -> int:
        """Number of files."""
        return sum(self.places.values())

    def line(self) -> str:
        """Return it as text for a terminal.

        Examples
        --------
        >>> LeftOut("broken links", {"Forest": 6, "River": 1}).line()
        'left out, broken links: 7 (Forest 6, River 1)'
        """
        shown = ", ".join(f"{place} {count:,}" for place, count in list(self.places.items())[:_SHOWN])
        more = f" and {len(self.places) - _SHOWN} more" if len(self.places) > _SHOWN else ""
        return f"left out, {self.reason}: {self.count:,} ({shown}{more})"


def tally(files: Iterable[tuple[str, str]]) -> tuple[LeftOut, ...]:
    """Count files left out, given as (place, reason), by reason and place."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for place, reason in files:
        counts[reason][place] += 1
    return tuple(
        LeftOut(reason, dict(sorted(counts[reason].items(), key=lambda item: (-item[1], item[0]))))
        for reason in sorted(counts, key=REASONS.index)
    )


def why_left_out(name: str) -> str | None:
    """Why a file that is no image by its name is left out; ``None`` for what commonly lies next to images.

    Examples
    --------
    >>> why_left_out("A/scene.heic"), why_left_out("train.zip"), why_left_out("README.md")
    ('files of kinds that are not read', 'archives within, to be unpacked first', None)
    """
    suffix = suffix_of(name)
    if suffix in ARCHIVES:
        return ARCHIVE
    return None if suffix in COMPANIONS else FORMAT


def place_of(name: str, reason: str) -> str:
    """What a file left out is counted by, where its class is not known."""
    path = PurePosixPath(name)
    if reason == FORMAT:
        return path.suffix.lower() or "without a suffix"
    if reason == SYSTEM:
        return next(part for part in path.parts if is_system(part))
    if reason in (EMPTY, ARCHIVE):
        return name
    return path.parent.name or "at the top"


def suffix_of(name: str) -> str:
    """Lower-case suffix of a file."""
    return PurePosixPath(name).suffix.lower()


def is_image_name(name: str) -> bool:
    """Whether the suffix of `name` is one of an image."""
    return suffix_of(name) in SUFFIXES


def is_system(part: str) -> bool:
    """Whether a file or folder of that name was made, or is hidden, by an operating system or a network drive."""
    return part.startswith(".") or part.casefold() in _SYSTEM


def is_unusual(text: str) -> bool:
    """Whether a name has characters that no screen shows: controls, halves of pairs, or turns of the direction."""
    return any(unicodedata.category(c) in _UNSEEN or c in _TURNS for c in text if not c.isprintable())


def safe_name(name: str) -> str | None:
    """Plain form of a relative path (``a/b.jpg``), or ``None`` if it could lead outside its root."""
    plain = PurePosixPath(name.replace("\\", "/"))
    if not plain.parts or plain.is_absolute() or ".." in plain.parts or "\0" in name:
        return None
    # "./C:" is a drive only without its dot: look for one in the name that will be used.
    return None if _DRIVE.match(plain.as_posix()) else plain.as_posix()
