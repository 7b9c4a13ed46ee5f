"""Audit an index: look for what would spoil a result before a minute is spent on training."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from swath.data.cache import cached_pixels
from swath.data.channels import Channels, measure_channels
from swath.data.duplicates import DuplicatePair, comparison_bands, near_duplicates
from swath.data.findings import Finding, judge
from swath.data.index import SPLITS, PatchIndex
from swath.data.likeness import SIDE
from swath.data.spatial import optimism
from swath.files import atomic_file
from swath.progress import Progress, silent

_SHOWN = 5
_NO_SPLIT = "none"


@dataclass(frozen=True)
class Audit:
    """What is in an index, and what is wrong with it.

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
        Files of other kinds passed over.
    exact : tuple of tuple of str
        Sets of paths whose files are the same byte for byte.
    near : tuple of DuplicatePair
        Pairs that show the same picture although their files differ.
    leaks : tuple of tuple of str
        Sets and pairs of `exact` and `near` that lie in more than one split, the first two of each in different ones.
    torn : tuple of str
        Groups that lie in more than one split.
    contradictions : tuple of tuple of str
        Sets and pairs of `exact` and `near` that carry different labels, the first two of each different ones.
    sizes, modes : mapping of str to int
        Patches of each width x height, and of each way of storing pixels.
    channels : Channels
        Mean and standard deviation of each band.
    findings : tuple of Finding
        What should be known before training, the gravest first.
    """

    name: str
    fingerprint: str
    patches: int
    classes: Mapping[str, Mapping[str, int]]
    unreadable: tuple[str, ...]
    ignored: int
    exact: tuple[tuple[str, ...], ...]
    near: tuple[DuplicatePair, ...]
    leaks: tuple[tuple[str, ...], ...]
    torn: tuple[str, ...]
    contradictions: tuple[tuple[str, ...], ...]
    sizes: Mapping[str, int]
    modes: Mapping[str, int]
    channels: Channels
    findings: tuple[Finding, ...]

    @property
    def crossing(self) -> int:
        """Duplicates, or where there are none groups, on both sides of a split; 0 is what is wanted."""
        return len(self.leaks) or len(self.torn)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The findings, in plain sentences."""
        return tuple(finding.text for finding in self.findings)

    def sentences(self) -> tuple[str, ...]:
        """Return the few things a reader of a report should know: what there is, then what is wrong."""
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
            lines.append(f"        (of {self.channels.patches:,} patches drawn at random)")
        lines += [
            "",
            f"unreadable files left out  {len(self.unreadable):>6,}",
            f"sets of identical files    {len(self.exact):>6,}",
            f"pairs of near duplicates   {len(self.near):>6,}",
            f"of both, across splits     {len(self.leaks):>6,}",
            f"groups across splits       {len(self.torn):>6,}",
            f"of both, across classes    {len(self.contradictions):>6,}",
        ]
        if self.near:
            lines += ["", "near duplicates:", *(f"  {p.first}  {p.second}" for p in self.near[:_SHOWN])]
            if len(self.near) > _SHOWN:
                lines.append(f"  and {len(self.near) - _SHOWN:,} more")
        lines += ["", *(self.warnings or ("Nothing to warn of.",))]
        return lines


def audit(index: PatchIndex, *, progress: Progress = silent) -> Audit:
    """Audit an index.

    Parameters
    ----------
    index : PatchIndex
        Patches are decoded through the cache; see :func:`swath.data.cached_pixels`.
    progress : Progress
        Called with stages ``"decode"``, ``"compare"`` and ``"align"``.

    Raises
    ------
    DataError, OutputError
        As :func:`swath.data.cached_pixels`.
    """
    near = near_duplicates(index, progress=progress)
    bands = comparison_bands(index)
    pixels = cached_pixels(index, bands=bands, size=SIDE, progress=progress)
    labels = one_name_each(index)
    splits: list[str | None] = index.table.column("split").to_pylist()
    contents: list[str] = index.table.column("sha256").to_pylist()
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
    torn = _torn(index.table.column("group").to_pylist(), splits, contents)
    contradictions = sorted({_apart(members, labels, index.paths) for members in alike} - {()})
    sizes = [
        f"{w} x {h}"
        for w, h in zip(index.table["width"].to_pylist(), index.table["height"].to_pylist(), strict=True)
    ]
    modes: list[str] = index.table.column("mode").to_pylist()
    sets = zip(index.label_sets, splits, strict=True)  # a patch of several labels counts for each of them
    counts = Counter((label, split) for several, split in sets for label in several)
    classes = {
        label: {s or _NO_SPLIT: counts[label, s] for s in (*SPLITS, None) if counts[label, s]}
        for label in index.classes
    }
    found = judge(
        classes=classes,
        sizes=index.split_counts,
        unreadable=len(index.skipped),
        ignored=index.ignored,
        copies=sum(len(members) - 1 for members in exact),
        near=len(near),
        leaks=leaks,
        torn=torn,
        contradictions=contradictions,
        optimistic=optimism(index),
        labels=labels,
        forms=list(zip(sizes, modes, strict=True)),
    )
    return Audit(
        name=index.name,
        fingerprint=index.fingerprint,
        patches=len(index),
        classes=classes,
        unreadable=index.skipped,
        ignored=index.ignored,
        exact=tuple(sorted(named(members) for members in exact)),
        near=near,
        leaks=tuple(leaks),
        torn=tuple(torn),
        contradictions=tuple(contradictions),
        sizes=dict(Counter(sizes).most_common()),
        modes=dict(Counter(modes).most_common()),
        channels=measure_channels(pixels, labels, bands=bands),
        findings=found,
    )


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


def _torn(groups: Sequence[str | None], splits: Sequence[str | None], contents: Sequence[str]) -> list[str]:
    """Groups in several splits; those of mere copies are counted as leaks already."""
    sides: dict[str, set[str]] = defaultdict(set)
    parts: dict[str, set[str]] = defaultdict(set)
    for group, split, content in zip(groups, splits, contents, strict=True):
        if group is not None and split is not None:
            sides[group].add(split)
            parts[group].add(content)
    return sorted(group for group in sides if len(sides[group]) > 1 and len(parts[group]) > 1)


def one_name_each(index: PatchIndex) -> list[str]:
    """Name each patch: its label, or its several labels joined, or ``(no label)``."""
    one = index.table.column("label").to_pylist()
    several = index.table.column("labels").to_pylist()
    return [
        label if label is not None else " + ".join(more or ("(no label)",))
        for label, more in zip(one, several, strict=True)
    ]


def _counted(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} ({n:,})" for name, n in list(counts.items())[:_SHOWN])
    more = len(counts) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
