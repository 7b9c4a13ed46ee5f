"""Patches of published sets inside an index, recognized by the hashes of their files.

A list of hashes ships with the package: the first eight bytes of the SHA-256 of each patch of EuroSAT RGB
(Helber et al. 2019, MIT license), made by ``scripts/make_known_hashes.py``. Two different files share
eight bytes by chance once in 10^19 pairs.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from swath.data.index import PatchIndex
from swath.data.named import NAMED
from swath.errors import DataError

HASH_BYTES = 8
MISSING = 0  # in place of the hash of a patch that the list lacks
_FOLDER = Path(__file__).resolve().parent / "shipped"


@dataclass(frozen=True)
class KnownSet:
    """Hashes of the files of one published set.

    Attributes
    ----------
    name : str
        As in :data:`swath.data.NAMED`.
    counts : mapping of str to int
        Patches of each class, which are numbered from 1: ``Forest_1`` to ``Forest_3000``.
    hashes : numpy.ndarray
        ``[N]`` uint64, class by class and number by number; 0 where the list has none.
    """

    name: str
    counts: Mapping[str, int]
    hashes: npt.NDArray[np.uint64]

    @property
    def listed(self) -> int:
        """Patches whose hash is known."""
        return int(np.count_nonzero(self.hashes))

    @cached_property
    def labels(self) -> list[str]:
        """Class of each patch."""
        return [label for label, count in self.counts.items() for _ in range(count)]

    @cached_property
    def places(self) -> dict[str, int]:
        """Place in `hashes` of each file name without suffix."""
        numbers = (number for count in self.counts.values() for number in range(1, count + 1))
        return {f"{label}_{n}": place for place, (label, n) in enumerate(zip(self.labels, numbers, strict=True))}


@dataclass(frozen=True)
class Overlap:
    """What an index shares with one published set.

    Attributes
    ----------
    name, source, license : str
        Of the published set.
    size, listed : int
        Patches of the published set, and those whose hash is known here.
    identical : tuple of str
        Paths of files that are the same byte for byte.
    named : tuple of str
        Paths with the name of a patch whose hash is not known, which are likely that patch: empty unless every
        file here with the name of a listed patch is identical to it.
    classes : mapping of str to mapping of str to int
        For each class of the index, how many of its `identical` files are of which published class.
    recorded : int
        Patches of the set according to the index, in files of another format.
    """

    name: str
    source: str
    license: str
    size: int
    listed: int
    identical: tuple[str, ...]
    named: tuple[str, ...]
    classes: Mapping[str, Mapping[str, int]]
    recorded: int = 0

    def sentence(self) -> str:
        """Return the overlap as a sentence."""
        whose = f"{self.source} (license {self.license})"
        if not self.identical:
            return f"{self.recorded:,} patches come from {whose} according to the index."
        text = f"{len(self.identical):,} files are byte for byte those of {whose}"
        if not self.named:
            return f"{text}."
        return (
            f"{text}; {len(self.named):,} more have names of its patches that the shipped list of "
            f"{self.listed:,} of {self.size:,} hashes lacks, and since every file with a listed name is "
            f"identical, they are most likely the same: {len(self.identical) + len(self.named):,} in all."
        )


def known_overlaps(index: PatchIndex, labels: list[str]) -> tuple[Overlap, ...]:
    """Find patches of published sets in an index.

    Parameters
    ----------
    index : PatchIndex
        Any.
    labels : list of str
        Class of each patch, as the report names it.
    """
    overlaps = (_overlap(index, labels, known_set(name)) for name in known_names())
    return tuple(one for one in overlaps if one.identical or one.recorded)


def published_facts(index: PatchIndex) -> dict[str, list[str | None]]:
    """Source and license of patches, filled in from the published set where a file is one of its own.

    Returns
    -------
    dict of str to list of str or None
        ``"source"`` and ``"license"``, one value per patch.
    """
    at = {int(value): NAMED[name] for name in known_names() for value in known_set(name).hashes if value}
    found = [at.get(short_hash(content)) for content in index.column("sha256")]
    return {
        column: [
            given or (getattr(known, column) if known is not None else None)
            for given, known in zip(index.column(column), found, strict=True)
        ]
        for column in ("source", "license")
    }


def known_names() -> tuple[str, ...]:
    """Published sets whose hashes ship with the package."""
    return tuple(name for name in sorted(NAMED) if (_FOLDER / f"{name}.hashes").is_file())


@cache
def known_set(name: str) -> KnownSet:
    """Read a shipped list of hashes.

    Raises
    ------
    DataError
        If it is damaged.
    """
    path = _FOLDER / f"{name}.hashes"
    return parse_known(name, path.read_bytes())


def parse_known(name: str, data: bytes) -> KnownSet:
    """Read the content of a list: one line of JSON (class to count), then eight bytes a patch, big-endian.

    Raises
    ------
    DataError
        If it is not such a list.
    """
    head, _, body = data.partition(b"\n")
    try:
        counts = {str(label): int(count) for label, count in json.loads(head).items()}
    except (ValueError, AttributeError, TypeError):
        counts = {}
    if not counts or len(body) != HASH_BYTES * sum(counts.values()):
        raise DataError(f"the list of hashes of {name} is damaged", fix="install swath again")
    return KnownSet(name, counts, np.frombuffer(body, ">u8").astype(np.uint64))


def short_hash(sha256: str) -> int:
    """First eight bytes of a hexadecimal SHA-256, as a number."""
    return int(sha256[: 2 * HASH_BYTES], 16)


def _overlap(index: PatchIndex, labels: list[str], known: KnownSet) -> Overlap:
    at = {int(value): place for place, value in enumerate(known.hashes) if value != MISSING}
    identical: list[str] = []
    candidates: list[str] = []
    contradicted = False
    together: dict[str, Counter[str]] = {}
    facts = NAMED[known.name]
    recorded = 0
    contents, sources = (index.column(column) for column in ("sha256", "source"))
    for path, label, sha256, source in zip(index.paths, labels, contents, sources, strict=True):
        place = at.get(short_hash(sha256))
        if place is not None:
            identical.append(path)
            together.setdefault(label, Counter())[known.labels[place]] += 1
            continue
        recorded += source == facts.source
        bears = known.places.get(PurePosixPath(path).stem)
        if bears is not None and known.hashes[bears] == MISSING:
            candidates.append(path)
        elif bears is not None:
            contradicted = True  # a listed name on another content: names prove nothing here
    return Overlap(
        name=known.name,
        source=facts.source,
        license=facts.license,
        size=len(known.hashes),
        listed=known.listed,
        identical=tuple(identical),
        named=() if contradicted else tuple(candidates),
        classes={label: dict(counts.most_common()) for label, counts in sorted(together.items())},
        recorded=recorded,
    )
