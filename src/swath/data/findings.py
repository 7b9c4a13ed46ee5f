"""What an audit should warn of: decisions on plain counts, one sentence each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from swath.data.index import SPLITS
from swath.words import counted

UNEVEN = 5.0  # times more patches in the largest class than in the smallest
FEW_IN_TEST = 200  # below, a 95 % interval of an accuracy is wider than about 5 points
GIVEAWAY = 0.05  # share of patches that size and mode may tell the class of, beyond the largest class


@dataclass(frozen=True)
class Finding:
    """One thing to know before training.

    Attributes
    ----------
    kind : str
        A short word for programs: ``leak``, ``giveaway``, ``contradiction``...
    text : str
        A plain sentence for people.
    """

    kind: str
    text: str


def judge(
    *,
    classes: Mapping[str, Mapping[str, int]],
    sizes: Mapping[str | None, int],
    unreadable: int,
    ignored: int,
    copies: int,
    near: int,
    leaks: Sequence[Sequence[str]],
    torn: Sequence[str],
    contradictions: Sequence[Sequence[str]],
    optimistic: str,
    labels: Sequence[str],
    forms: Sequence[Hashable],
) -> tuple[Finding, ...]:
    """Decide what to warn of, the gravest first.

    Parameters
    ----------
    classes : mapping
        Patches of each class in each split; split ``"none"`` is no split.
    sizes : mapping
        Patches of each split, of ``None`` too; fewer than the classes' sum where patches have several labels.
    unreadable, ignored : int
        Images left out, and files of other kinds passed over.
    copies, near : int
        Files that repeat another byte for byte, and pairs of near duplicates.
    leaks, contradictions : sequence of sequence of str
        Paths of duplicates that lie in several splits, and that carry several labels; the first two of each differ so.
    torn : sequence of str
        Groups that lie in several splits.
    optimistic : str
        Why the split flatters; empty where it is not known to. See :func:`swath.data.spatial.optimism`.
    labels, forms : sequence
        Label of each patch, and how it is stored (size and mode).
    """
    found: list[Finding] = []

    def warn(kind: str, text: str | None) -> None:
        if text is not None:
            found.append(Finding(kind, text))

    if leaks:
        warn(
            "leak",
            f"{counted(len(leaks), 'duplicate lies', 'duplicates lie')} in more than one split, so a test would "
            f"flatter: the first is {' = '.join(leaks[0][:2])}. Cut the splits anew with: swath data split --fresh.",
        )
    if torn:
        warn(
            "torn",
            f"{counted(len(torn), 'group lies', 'groups lie')} in more than one split: the first is '{torn[0]}'. "
            "Cut the splits anew with: swath data split --fresh.",
        )
    if contradictions:
        warn(
            "contradiction",
            f"{counted(len(contradictions), 'duplicate carries', 'duplicates carry')} different labels: the first is "
            f"{' = '.join(contradictions[0][:2])}.",
        )
    if optimistic:
        warn("optimistic", f"The splits are {optimistic}. A test on new land will go worse.")
    warn("giveaway", _giveaway(labels, forms))
    if unreadable:
        warn("unreadable", f"{counted(unreadable, 'image was', 'images were')} left out because of damage.")
    if ignored:
        warn("ignored", f"{counted(ignored, 'file', 'files')} of other kinds passed over.")
    if copies:
        warn("copies", f"{counted(copies, 'file repeats', 'files repeat')} another one byte for byte.")
    if near:
        warn("near", f"{counted(near, 'pair of patches is', 'pairs of patches are')} near duplicates.")
    warn("uneven", _uneven(classes))
    found.extend(_split_findings(classes, sizes))
    return tuple(found)


def _giveaway(labels: Sequence[str], forms: Sequence[Hashable]) -> str | None:
    """Warn if size and mode tell the class: a network would learn these, not the land."""
    together: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for label, form in zip(labels, forms, strict=True):
        together[form][label] += 1
    if len(together) < 2:
        return None
    commonest, most = Counter(labels).most_common(1)[0]
    told = sum(_told(counts, commonest) for counts in together.values()) / len(labels)
    largest = most / len(labels)
    if told < largest + GIVEAWAY:
        return None
    return (
        f"The size and mode of the files alone tell the class of {100 * told:.0f} % of the patches (the largest class "
        f"has {100 * largest:.0f} %): what a network scores here may say little about the land."
    )


def _told(counts: Counter[str], commonest: str) -> int:
    """Patches of one form whose class the *other* patches of that form tell; a lone one is called the commonest."""
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
        f"Classes are uneven: '{most}' has {sizes[most]:,} patches, '{fewest}' {sizes[fewest]:,}; look at "
        f"macro-F1 rather than accuracy."
    )


def _split_findings(
    classes: Mapping[str, Mapping[str, int]], sizes: Mapping[str | None, int]
) -> list[Finding]:
    total = Counter({split or "none": n for split, n in sizes.items()})
    missing = [split for split in SPLITS if not total[split]]
    if len(missing) == len(SPLITS):
        return [Finding("no splits", "There are no splits yet: make them with swath data split.")]
    found = []
    if missing:
        found.append(
            Finding(
                "no splits", f"There is no {' and no '.join(missing)} split: make it with swath data split."
            )
        )
    if total["none"]:
        found.append(
            Finding("no splits", f"{counted(total['none'], 'patch is', 'patches are')} in no split.")
        )
    for split in (split for split in SPLITS if total[split]):
        lacking = [label for label, counts in classes.items() if not counts.get(split)]
        if lacking:
            names = ", ".join(f"'{label}'" for label in lacking)
            found.append(Finding("class missing", f"Split '{split}' has no patch of {names}."))
    if 0 < total["test"] < FEW_IN_TEST:
        found.append(
            Finding(
                "small test",
                f"The test split has {counted(total['test'], 'patch', 'patches')}: intervals will be wide.",
            )
        )
    return found
