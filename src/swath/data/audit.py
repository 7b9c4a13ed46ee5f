"""Audit an index: find what would make a result wrong before a minute is spent on training.

:func:`audit` measures (duplicates, leaks across splits, sizes, modes, statistics of the bands), :func:`find_problems`
decides what to warn of, :class:`Audit` holds both and renders them as text.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data.cache import cached_pixels
from swath.data.duplicates import DuplicatePair, near_duplicates
from swath.data.index import SPLITS, PatchIndex
from swath.data.matching import SIDE
from swath.data.names import describe_lookalikes, lookalikes
from swath.data.overlap import OverlapPair, find_overlaps
from swath.data.rows import comparison_bands
from swath.data.spatial import group_footprints, optimistic_bias, unknown_origin
from swath.files import atomic_file
from swath.pages.text import counted
from swath.progress import Progress, silent

LIMIT = 20_000  # patches measured at most: a mean over these is known to a hundredth of a level
SEED = 0
_BLOCK = 512
UNEVEN = 5.0  # times more patches in the largest class than in the smallest
FEW_IN_TEST = 200  # below, a 95 % interval of an accuracy is wider than about 5 points
SHORTCUT_GAIN = 0.05  # accuracy by size and mode alone, above that of the largest class, to warn of
MUCH_GROUND = 0.25  # of a held-out patch shared with a train patch, above which its score is partly memory
_SHOWN = 5
_NO_SPLIT = "none"


@dataclass(frozen=True)
class Channels:
    """Statistics of bands, in units of the pixels.

    Attributes
    ----------
    bands : tuple of str
        Names of the bands.
    mean, sd : tuple of float
        Over all pixels of all patches measured, one value a band.
    by_class : mapping of str to tuple of float
        Mean of each band, of each class measured.
    patches : int
        How many patches were measured: all, or 20,000 drawn at random with seed 0.
    side : int
        Side in pixels they had been brought to.
    """

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    by_class: Mapping[str, tuple[float, ...]]
    patches: int
    side: int


def measure_channels(
    pixels: npt.NDArray[Any], labels: Sequence[str], *, bands: Sequence[str], limit: int = LIMIT
) -> Channels:
    """Measure the bands of patches.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]``, N at least 1; may be mapped from disk.
    labels : sequence of str
        Label of each patch.
    bands : sequence of str
        Names of the bands.
    limit : int
        Patches measured at most.
    """
    n = len(pixels)
    rows = np.arange(n)
    if n > limit:
        rows = np.sort(np.random.default_rng(SEED).choice(n, limit, replace=False))
    means = np.empty((len(rows), len(bands)))
    squares = np.empty((len(rows), len(bands)))
    for start in range(0, len(rows), _BLOCK):
        block = pixels[rows[start : start + _BLOCK]].reshape(-1, len(bands), pixels[0, 0].size)
        means[start : start + _BLOCK] = block.mean(axis=2, dtype=np.float64)
        variance = block.var(axis=2, dtype=np.float64)
        squares[start : start + _BLOCK] = variance + means[start : start + _BLOCK] ** 2
    overall = means.mean(axis=0)
    variance = squares.mean(axis=0) - overall**2
    classes = np.array([labels[int(row)] for row in rows])
    return Channels(
        bands=tuple(bands),
        mean=tuple(round(float(value), 3) for value in overall),
        sd=tuple(round(math.sqrt(max(0.0, value)), 3) for value in variance),
        by_class={
            str(label): tuple(round(float(v), 3) for v in means[classes == label].mean(axis=0))
            for label in np.unique(classes)
        },
        patches=len(rows),
        side=pixels.shape[-1],
    )


@dataclass(frozen=True)
class Finding:
    """One warning before training.

    Attributes
    ----------
    kind : str
        A short word for programs: ``leak``, ``shortcut``, ``contradiction``...
    text : str
        A plain sentence for people.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class GroundLeak:
    """A val or test patch that shares more than a quarter of its ground with a train patch.

    Attributes
    ----------
    held_out, train : str
        Paths, the second of the train patch with which it shares most.
    share : float
        Of its ground, above 0.25 to 1.
    """

    held_out: str
    train: str
    share: float


def _shortcut(labels: Sequence[str], forms: Sequence[Hashable]) -> str | None:
    """Warn if size and mode predict the class: a network would learn these instead of the land."""
    together: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for label, form in zip(labels, forms, strict=True):
        together[form][label] += 1
    if len(together) < 2:
        return None
    commonest, most = Counter(labels).most_common(1)[0]
    accuracy = sum(_predicted(counts, commonest) for counts in together.values()) / len(labels)
    largest = most / len(labels)
    if accuracy < largest + SHORTCUT_GAIN:
        return None
    return (
        f"The classes are separable by file headers alone: size and mode predict the class of {100 * accuracy:.0f} % "
        f"of the patches (the largest class has {100 * largest:.0f} %), so a score here may say little about the land."
    )


def _predicted(counts: Counter[str], commonest: str) -> int:
    """Patches of one form whose class is the majority of the *other* patches of that form; a lone one counts as
    predicted if it is of the most frequent class.
    """
    if counts.total() == 1:
        return counts[commonest]
    most, *others = (n for _, n in counts.most_common(2))
    return most if not others or most - 1 > others[0] else 0


def _uneven(classes: Mapping[str, Mapping[str, int]]) -> str | None:
    sizes = {label: sum(counts.values()) for label, counts in classes.items()}
    most, fewest = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
    if sizes[most] < UNEVEN * sizes[fewest]:
        return None
    return (
        f"Classes are uneven: '{most}' has {sizes[most]:,} patches, '{fewest}' {sizes[fewest]:,}; use "
        f"macro-F1 rather than accuracy."
    )


def _look_alike(classes: Mapping[str, Mapping[str, int]]) -> str | None:
    counts = {label: sum(of.values()) for label, of in classes.items()}
    sets = lookalikes(counts)
    return lookalike_warning(describe_lookalikes(sets, counts)) if sets else None


def lookalike_warning(described: str, file: str = "INDEX") -> str:
    """What to say of classes that look alike, and how to merge them."""
    return (
        f"Classes have names that look alike: {described}. If they are one: "
        f"swath data relabel {file} --merge-lookalikes --out {file} --overwrite."
    )


def _split_findings(classes: Mapping[str, Mapping[str, int]], sizes: Mapping[str | None, int]) -> list[Finding]:
    total = Counter({split or "none": n for split, n in sizes.items()})
    missing = [split for split in SPLITS if not total[split]]
    if len(missing) == len(SPLITS):
        return [Finding("no splits", "There are no splits yet: make them with swath data split.")]
    found = []
    if missing:
        found.append(
            Finding("no splits", f"There is no {' and no '.join(missing)} split: make it with swath data split.")
        )
    if total["none"]:
        found.append(Finding("no splits", f"{counted(total['none'], 'patch is', 'patches are')} in no split."))
    for split in (split for split in SPLITS if total[split]):
        lacking = [label for label, counts in classes.items() if not counts.get(split)]
        if lacking:
            names = ", ".join(f"'{label}'" for label in lacking)
            text = f"Split '{split}' has no patch of {names}: split again with swath data split --resplit."
            found.append(Finding("class missing", text))
    if 0 < total["test"] < FEW_IN_TEST:
        found.append(
            Finding(
                "small test",
                f"The test split has {counted(total['test'], 'patch', 'patches')}: intervals will be wide.",
            )
        )
    return found


@dataclass(frozen=True)
class Audit:
    """Contents and problems of an index.

    Attributes
    ----------
    name, fingerprint : str
        Of the index.
    patches : int
        Number of patches.
    classes : mapping of str to mapping of str to int
        Patches of each class in each split; the split ``"none"`` counts those in no split.
    unreadable : tuple of str
        Images left out of the index.
    ignored : int
        Other files of the source that are no patches.
    exact : tuple of tuple of str
        Sets of paths whose files are the same byte for byte.
    near : tuple of DuplicatePair
        Pairs that show the same picture although their files differ.
    shared_ground : tuple of OverlapPair
        Pairs that share ground without being near duplicates.
    ground_leaks : tuple of GroundLeak
        Val and test patches that share more than a quarter of their ground with a train patch, the largest share first.
    leaks : tuple of tuple of str
        Sets and pairs of `exact` and `near` that lie in more than one split, the first two of each in different ones.
    torn : tuple of str
        Groups that lie in more than one split; patches that show the same ground by their footprints form one.
    contradictions : tuple of tuple of str
        Sets and pairs of `exact` and `near` that carry different labels, the first two of each different ones.
    sizes, modes : mapping of str to int
        Patches of each width x height, and of each way of storing pixels.
    channels : Channels
        Mean and standard deviation of each band.
    findings : tuple of Finding
        Warnings before training, the most serious first.
    """

    name: str
    fingerprint: str
    patches: int
    classes: Mapping[str, Mapping[str, int]]
    unreadable: tuple[str, ...]
    ignored: int
    exact: tuple[tuple[str, ...], ...]
    near: tuple[DuplicatePair, ...]
    shared_ground: tuple[OverlapPair, ...]
    ground_leaks: tuple[GroundLeak, ...]
    leaks: tuple[tuple[str, ...], ...]
    torn: tuple[str, ...]
    contradictions: tuple[tuple[str, ...], ...]
    sizes: Mapping[str, int]
    modes: Mapping[str, int]
    channels: Channels
    findings: tuple[Finding, ...]

    @property
    def crossing(self) -> int:
        """Number of duplicates and overlaps, or else of groups, that lie in several splits; it should be 0."""
        return len(self.leaks) + len(self.ground_leaks) or len(self.torn)

    @property
    def sharing(self) -> int:
        """Number of patches that share ground with others."""
        return len({path for pair in self.shared_ground for path in (pair.first, pair.second)})

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings as sentences."""
        return tuple(finding.text for finding in self.findings)

    def sentences(self) -> tuple[str, ...]:
        """Return a summary for a report: the contents, then the first problems."""
        sets = f"{len(self.exact):,} set{'' if len(self.exact) == 1 else 's'}"
        pairs = f"{len(self.near):,} pair{'' if len(self.near) == 1 else 's'}"
        copies = f"{sets} of identical files and {pairs} of near duplicates"
        first = f"{self.patches:,} patches in {len(self.classes)} classes, with {copies}."
        return (first, *(self.warnings[:_SHOWN] or ("The audit found nothing to warn of.",)))

    def lines(self) -> list[str]:
        """Return the audit as text for a terminal."""
        splits = [s for s in (*SPLITS, _NO_SPLIT) if any(s in counts for counts in self.classes.values())]
        width = max(map(len, (*self.classes, "class")))
        lines = [f"{self.name}: {self.patches:,} patches in {len(self.classes)} classes", ""]
        lines.append(f"{'class':{width}}" + "".join(f"{split:>9}" for split in splits))
        for label, counts in self.classes.items():
            lines.append(f"{label:{width}}" + "".join(f"{counts.get(split, 0):>9,}" for split in splits))
        lines += ["", f"sizes   {_counted(self.sizes)}", f"modes   {_counted(self.modes)}"]
        lines += [
            f"{band:<7} mean {mean:.1f}, sd {sd:.1f}"
            for band, mean, sd in zip(self.channels.bands, self.channels.mean, self.channels.sd, strict=True)
        ]
        if self.channels.patches < self.patches:
            lines.append(f"        (of {self.channels.patches:,} random patches)")
        lines += [
            "",
            f"unreadable files left out  {len(self.unreadable):>6,}",
            f"sets of identical files    {len(self.exact):>6,}",
            f"pairs of near duplicates   {len(self.near):>6,}",
            f"of both, across splits     {len(self.leaks):>6,}",
            f"of both, across classes    {len(self.contradictions):>6,}",
            f"patches that share ground  {self.sharing:>6,}",
            f"held out, seen in train    {len(self.ground_leaks):>6,}",
            f"groups across splits       {len(self.torn):>6,}",
        ]
        if self.near:
            lines += ["", "near duplicates:", *(f"  {p.first}  {p.second}" for p in self.near[:_SHOWN])]
            if len(self.near) > _SHOWN:
                lines.append(f"  and {len(self.near) - _SHOWN:,} more")
        if self.ground_leaks:
            lines += ["", "held-out patches that share ground with train patches:"]
            lines += [f"  {p.held_out}  {p.train}  {100 * p.share:.0f} %" for p in self.ground_leaks[:_SHOWN]]
            if len(self.ground_leaks) > _SHOWN:
                lines.append(f"  and {len(self.ground_leaks) - _SHOWN:,} more")
        lines += ["", *(self.warnings or ("Nothing to warn of.",))]
        return lines


def find_problems(
    audit: Audit,
    *,
    sizes: Mapping[str | None, int],
    optimistic: str,
    origin: str,
    labels: Sequence[str],
    forms: Sequence[Hashable],
) -> tuple[Finding, ...]:
    """Decide what to warn of, the most serious first.

    Parameters
    ----------
    audit : Audit
        All but the findings.
    sizes : mapping
        Patches of each split, of ``None`` too; fewer than the classes' sum where patches have several labels.
    optimistic : str
        Why a test is optimistic; empty where it is not known to be. See :func:`swath.data.spatial.optimistic_bias`.
    origin : str
        Why nothing can be said of shared ground across splits; see :func:`swath.data.spatial.unknown_origin`.
    labels, forms : sequence
        Label of each patch, and how it is stored (size and mode).
    """
    leaks, torn, contradictions = audit.leaks, audit.torn, audit.contradictions
    unreadable, copies, near = len(audit.unreadable), sum(len(s) - 1 for s in audit.exact), len(audit.near)
    held = sum(sizes.get(split, 0) for split in ("val", "test"))
    resplit = "Split again with: swath data split --resplit."
    found = {
        "leak": leaks
        and f"{counted(len(leaks), 'duplicate lies', 'duplicates lie')} in more than one split, so test results are "
        f"optimistic: the first is {' = '.join(leaks[0][:2])}. {resplit}",
        "ground": audit.ground_leaks
        and f"{len(audit.ground_leaks):,} of {counted(held, 'val and test patch', 'val and test patches')} "
        f"share more than a quarter of their ground with a train patch, so test results are optimistic: the first is "
        f"{audit.ground_leaks[0].held_out} with {audit.ground_leaks[0].train}, "
        f"{100 * audit.ground_leaks[0].share:.0f} %. {resplit}",
        "torn": torn
        and f"{counted(len(torn), 'group lies', 'groups lie')} in more than one split: the first is '{torn[0]}'. "
        f"{resplit}",
        "contradiction": contradictions
        and f"{counted(len(contradictions), 'duplicate carries', 'duplicates carry')} different labels: the first is "
        f"{' = '.join(contradictions[0][:2])}.",
        "look-alike": _look_alike(audit.classes),
        "optimistic": optimistic and f"The splits are {optimistic}. Accuracy on new land will be lower.",
        "origin": origin
        and f"{origin[0].upper()}{origin[1:]}. If file names or a column tell the scenes: swath data split --group-by.",
        "shortcut": _shortcut(labels, forms),
        "unreadable": unreadable and f"{counted(unreadable, 'image was', 'images were')} left out because of damage.",
        "ignored": audit.ignored and f"{counted(audit.ignored, 'file was', 'files were')} left out for other reasons.",
        "copies": copies and f"{counted(copies, 'file repeats', 'files repeat')} another one byte for byte.",
        "near": near and f"{counted(near, 'pair of patches is', 'pairs of patches are')} near duplicates.",
        "overlap": audit.shared_ground
        and f"{counted(audit.sharing, 'patch shares', 'patches share')} ground with others: they were cut from one "
        f"scene so that they overlap. swath data split keeps them together.",
        "uneven": _uneven(audit.classes),
    }
    warnings = [Finding(kind, text) for kind, text in found.items() if isinstance(text, str) and text]
    return (*warnings, *_split_findings(audit.classes, sizes))


def audit(index: PatchIndex, *, progress: Progress = silent) -> Audit:
    """Audit an index.

    Parameters
    ----------
    index : PatchIndex
        Patches are decoded through the cache; see :func:`swath.data.cached_pixels`.
    progress : Progress
        Called with the stages of :func:`swath.data.near_duplicates` and :func:`swath.data.find_overlaps`.

    Raises
    ------
    DataError, OutputError
        As :func:`swath.data.cached_pixels`.
    """
    near = near_duplicates(index, progress=progress)
    copies = {(pair.first, pair.second) for pair in near}
    ground = tuple(p for p in find_overlaps(index, progress=progress) if (p.first, p.second) not in copies)
    bands = comparison_bands(index)
    pixels = cached_pixels(index, bands=bands, size=SIDE, progress=progress)
    labels = one_path_per_content(index)
    splits: list[str | None] = index.column("split")
    contents: list[str] = index.column("sha256")
    rows: dict[str, list[int]] = defaultdict(list)  # of each content
    for row, content in enumerate(contents):
        rows[content].append(row)
    of = dict(zip(index.paths, contents, strict=True))
    exact = [members for members in rows.values() if len(members) > 1]
    pairs = [[*rows[of[pair.first]], *rows[of[pair.second]]] for pair in near]

    def named(members: Sequence[int]) -> tuple[str, ...]:
        return tuple(sorted(index.paths[row] for row in members))

    # A pair of copies that each lie in one split leaks if these differ; so does a set.
    alike = [*exact, *pairs]
    leaks = sorted({_apart(members, splits, index.paths) for members in alike} - {()})
    placed = [row for row, split in enumerate(splits) if split is not None]  # others connect nothing
    groups = group_footprints(index.take(placed)).column("group") if placed else []
    torn = _torn(groups, [splits[row] for row in placed], [contents[row] for row in placed])
    contradictions = sorted({_apart(members, labels, index.paths) for members in alike} - {()})
    sizes = [f"{w} x {h}" for w, h in zip(index.column("width"), index.column("height"), strict=True)]
    modes: list[str] = index.column("mode")
    sets = zip(index.label_sets, splits, strict=True)  # a patch of several labels counts for each of them
    counts = Counter((label, split) for several, split in sets for label in several)
    classes = {
        label: {s or _NO_SPLIT: counts[label, s] for s in (*SPLITS, None) if counts[label, s]}
        for label in index.classes
    }
    found = Audit(
        name=index.name,
        fingerprint=index.fingerprint,
        patches=len(index),
        classes=classes,
        unreadable=index.skipped,
        ignored=sum(one.count for one in index.left_out),
        exact=tuple(sorted(named(members) for members in exact)),
        near=near,
        shared_ground=ground,
        ground_leaks=_ground_leaks(ground, index.paths, splits, [rows[content] for content in contents]),
        leaks=tuple(leaks),
        torn=tuple(torn),
        contradictions=tuple(contradictions),
        sizes=dict(Counter(sizes).most_common()),
        modes=dict(Counter(modes).most_common()),
        channels=measure_channels(pixels, labels, bands=bands),
        findings=(),
    )
    findings = find_problems(
        found,
        sizes=index.split_counts,
        optimistic=(bias := optimistic_bias(index)),
        origin="" if bias else unknown_origin(index),
        labels=labels,
        forms=list(zip(sizes, modes, strict=True)),
    )
    return replace(found, findings=findings)


def write_audit(audit: Audit, path: Path, *, overwrite: bool = False) -> None:
    """Write an audit as JSON; the same audit gives the same bytes.

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    text = json.dumps(asdict(audit), indent=2, ensure_ascii=False)
    with atomic_file(path, overwrite=overwrite) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _apart(members: Sequence[int], sides: Sequence[str | None], paths: Sequence[str]) -> tuple[str, ...]:
    """Paths of the members, first two that are on different sides; empty where all are on one."""
    ordered = sorted(members, key=paths.__getitem__)
    placed = [row for row in ordered if sides[row] is not None]
    other = next((row for row in placed if sides[row] != sides[placed[0]]), None)
    return () if other is None else tuple(paths[row] for row in dict.fromkeys([placed[0], other, *ordered]))


def _ground_leaks(
    pairs: Sequence[OverlapPair], paths: Sequence[str], splits: Sequence[str | None], copies: Sequence[Sequence[int]]
) -> tuple[GroundLeak, ...]:
    """Held-out patches that share much ground with train patches; a pair stands for all exact `copies` of its two."""
    row = {path: number for number, path in enumerate(paths)}
    most: dict[str, GroundLeak] = {}
    for pair in (pair for pair in pairs if pair.share > MUCH_GROUND):
        for ends in ((pair.first, pair.second), (pair.second, pair.first)):
            held, train = (copies[row[end]] for end in ends)
            seen = [paths[r] for r in train if splits[r] == "train"]
            for path in [paths[r] for r in held if splits[r] in ("val", "test")] if seen else []:
                if path not in most or pair.share > most[path].share:
                    most[path] = GroundLeak(path, min(seen), pair.share)
    return tuple(sorted(most.values(), key=lambda leak: (-leak.share, leak.held_out)))


def _torn(groups: Sequence[str | None], splits: Sequence[str | None], contents: Sequence[str]) -> list[str]:
    """Groups in several splits; those of mere copies are counted as leaks already."""
    sides: dict[str, set[str]] = defaultdict(set)
    parts: dict[str, set[str]] = defaultdict(set)
    for group, split, content in zip(groups, splits, contents, strict=True):
        if group is not None and split is not None:
            sides[group].add(split)
            parts[group].add(content)
    return sorted(group for group in sides if len(sides[group]) > 1 and len(parts[group]) > 1)


def one_path_per_content(index: PatchIndex) -> list[str]:
    """Name each patch: its label, or its several labels joined, or ``(no label)``."""
    one = index.column("label")
    several = index.column("labels")
    return [
        label if label is not None else " + ".join(more or ("(no label)",))
        for label, more in zip(one, several, strict=True)
    ]


def _counted(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} ({n:,})" for name, n in list(counts.items())[:_SHOWN])
    more = len(counts) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
