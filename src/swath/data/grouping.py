"""Groups by the names of patches: by a pattern that the user gives, or one that the names themselves suggest.

Patches of one scene must stay on one side of a split, and file names often say which scene a patch was cut from: a
tile of Sentinel-2, a product, a scene number, or a stem in front of row and column. ``Forest_12`` says nothing.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from swath.data.duplicates import merge_groups
from swath.data.index import PatchIndex
from swath.errors import SettingError

MIN_SCENES = 3  # one each for train, val and test
MIN_STEMS = 5  # of names that differ by a number alone: fewer may be anything
MATCHED = 0.95  # of all names, for a pattern to be suggested
EXAMPLE = r"'(scene\d+)_'"
_COLUMNS = ("source", "license", "crs", "mode")  # of an index, that may name what patches have in common
_SPLIT_LIKE = re.compile(r"(?i)(train|val|valid|validation|test|fold|split|part|batch|shard|images?|img|data)[_-]?\d*")
_DATE = r"(?:19|20)\d\d[-_]?(?:0[1-9]|1[0-2])[-_]?(?:0[1-9]|[12]\d|3[01])"
_WORDS = "scene site roi rois aoi area region granule orbit flight mission station location loc place city mosaic strip"
_PLACED = r"[_-][a-z]{0,3}\d+(?:[_-][a-z]{0,3}|[cy])\d+\.[^.]+$"  # row and column, or offsets, at the end of a name


@dataclass(frozen=True)
class PathGroups:
    """Group of each patch by a pattern on its path.

    Attributes
    ----------
    pattern : str
        The regular expression.
    names : tuple of str or None
        What its parentheses captured, joined with ``_``; ``None`` where it does not match.
    unmatched : str
        The first path that does not match; empty where all do.
    """

    pattern: str
    names: tuple[str | None, ...]
    unmatched: str = ""

    def joined(self, groups: Sequence[str | None]) -> list[str | None]:
        """Groups that also keep the groups there are whole."""
        return join_groups(groups, self.names)

    def note(self) -> str:
        """What to know of paths that do not match; empty where all do."""
        left = sum(name is None for name in self.names)
        if not left:
            return ""
        return (
            f"{left:,} of {len(self.names):,} paths do not match --group-by '{self.pattern}' and got no group from it, "
            f"the first is {self.unmatched}"
        )


def groups_by_pattern(paths: Sequence[str], pattern: str, *, columns: Sequence[str] = ()) -> PathGroups:
    """Group patches by what a regular expression captures of their paths.

    Parameters
    ----------
    paths : sequence of str
        Relative paths.
    pattern : str
        A regular expression that is searched for in each path, with at least one pair of capturing parentheses.
    columns : sequence of str
        Names that could have been meant in its place, for messages.

    Raises
    ------
    SettingError
        If it is no such expression, matches nothing, or makes one group of all patches or one of each.

    Examples
    --------
    >>> groups_by_pattern(["A/s1_1.png", "B/s1_2.png", "A/s2_1.png"], r"(s\\d+)_").names
    ('s1', 's1', 's2')
    """
    asked = f"--group-by '{pattern}'"
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise SettingError(
            f"{asked} is not a regular expression ({error})", fix=f"give one such as {EXAMPLE}, or a column"
        ) from error
    if not compiled.groups:
        known = f"none of the columns {', '.join(columns)}" if columns else "no column"
        raise SettingError(
            f"{asked} is {known}, and as a regular expression it has no parentheses that capture the group",
            fix=f"put parentheses around the part of the path that names the scene, as in {EXAMPLE}",
        )
    names: list[str | None] = []
    for path in paths:
        match = compiled.search(path)
        parts = [part for part in match.groups() if part] if match else []
        names.append("_".join(parts) or None)
    found = Counter(name for name in names if name is not None)
    if not found:
        raise SettingError(f"{asked} matches none of {len(paths):,} paths, such as {paths[0]}", fix=f"see {EXAMPLE}")
    if len(found) == 1 and len(paths) > 1:
        raise SettingError(
            f"{asked} puts all {len(paths):,} patches into one group, '{next(iter(found))}', that no split can divide",
            fix=f"capture a part that differs from scene to scene; a path is {paths[0]}",
        )
    if max(found.values()) == 1 and len(paths) > 1:
        raise SettingError(
            f"{asked} gives every patch a group of its own, such as '{next(iter(found))}', so it keeps none together",
            fix=f"capture the scene alone, without the number of the patch; a path is {paths[0]}",
        )
    unmatched = next((path for path, name in zip(paths, names, strict=True) if name is None), "")
    return PathGroups(pattern, tuple(names), unmatched)


def join_groups(groups: Sequence[str | None], names: Sequence[str | None]) -> list[str | None]:
    """Join patches of one name, and the groups they were in; ``None`` for a patch that has neither."""
    contents = [f"name {name}" if name is not None else f"row {row}" for row, name in enumerate(names)]
    return merge_groups([group or name for group, name in zip(groups, names, strict=True)], contents)


def group_index(index: PatchIndex, group_by: str) -> tuple[PatchIndex, str]:
    """Join patches of an index by a column it has, or a regular expression on their paths.

    Parameters
    ----------
    index : PatchIndex
        Its groups stay whole.
    group_by : str
        One of the columns ``source``, ``license``, ``crs`` and ``mode``, or an expression as for
        :func:`groups_by_pattern`.

    Returns
    -------
    tuple of PatchIndex and str
        The index with other groups, and what to know of patches that got none; empty where all did.

    Raises
    ------
    SettingError
        As :func:`groups_by_pattern`.
    """
    if group_by in _COLUMNS:
        values: list[str | None] = index.column(group_by)
        if len(set(values)) < 2:
            raise SettingError(
                f"--group-by {group_by}: all patches have the same {group_by}, which makes one group that no split "
                "can divide",
                fix=f"give a regular expression on paths, such as {EXAMPLE}",
            )
        lacking = sum(value is None for value in values)
        note = f"{lacking:,} of {len(index):,} patches have no {group_by} and got no group from it" if lacking else ""
        return index.with_columns({"group": join_groups(index.column("group"), values)}), note
    found = groups_by_pattern(index.paths, group_by, columns=_COLUMNS)
    return index.with_columns({"group": found.joined(index.column("group"))}), found.note()


@dataclass(frozen=True)
class ScenePattern:
    """A pattern by which names suggest scenes.

    Attributes
    ----------
    pattern : str
        For ``--group-by``.
    what : str
        What it captures: ``Sentinel-2 tiles``, ``dates``...
    scenes : int
        How many there are.
    examples : tuple of str
        Names of a few.
    sure : bool
        Whether a name of this kind hardly means anything else, so that it may be applied without being asked for.
    """

    pattern: str
    what: str
    scenes: int
    examples: tuple[str, ...]
    sure: bool

    def sentence(self) -> str:
        """Return the suggestion as a sentence."""
        shown = ", ".join(self.examples)
        return (
            f"names look like {self.scenes:,} {self.what} ({shown}…); keep each whole with --group-by '{self.pattern}'"
        )


@dataclass(frozen=True)
class _Candidate:
    pattern: str
    what: str
    sure: bool
    least: int = MIN_SCENES


def suggest_pattern(paths: Sequence[str], label_sets: Sequence[Sequence[str]]) -> ScenePattern | None:
    """Find a pattern by which the names of patches tell their scenes apart.

    Numbers alone suggest nothing, nor do names that only repeat the class (``Forest_12``) or splits. A pattern is
    suggested where it fits nearly all names, makes at least three groups of two and more patches on average, and
    most classes are in at least three of them.

    Parameters
    ----------
    paths : sequence of str
        Relative paths.
    label_sets : sequence of sequence of str
        The labels of each patch.

    Examples
    --------
    >>> names = [f"{label}/scene{n:02}_{x}_{y}.png" for label in "AB" for n in range(4) for x in "08" for y in "08"]
    >>> suggest_pattern(names, [[name[0]] for name in names]).pattern
    '(?i)(scene[_-]?\\\\d+)[_/-]'
    """
    for candidate in _candidates(paths, label_sets):
        compiled = re.compile(candidate.pattern)
        names = ["_".join(part for part in m.groups() if part) if (m := compiled.search(p)) else None for p in paths]
        found = Counter(name for name in names if name)
        if found.total() < MATCHED * len(paths) or not candidate.least <= len(found) <= found.total() / 2:
            continue
        if all(_SPLIT_LIKE.fullmatch(name) for name in found) or _by_class(names, label_sets):
            continue
        sure = candidate.sure and found.total() == len(paths)
        return ScenePattern(candidate.pattern, candidate.what, len(found), tuple(sorted(found)[:2]), sure)
    return None


def _by_class(names: Sequence[str | None], label_sets: Sequence[Sequence[str]]) -> bool:
    """Whether most classes are in fewer than three groups, as where names repeat the class."""
    of: dict[str, set[str]] = defaultdict(set)
    for name, labels in zip(names, label_sets, strict=True):
        for label in labels:
            of[label].update([name] if name else [])
    return not of or statistics.median(len(groups) for groups in of.values()) < MIN_SCENES


def _candidates(paths: Sequence[str], label_sets: Sequence[Sequence[str]]) -> list[_Candidate]:
    """Patterns to try, the most telling first."""
    tile = _Candidate(r"(T\d\d[C-HJ-NP-X][A-HJ-NP-Z]{2})(?![A-Za-z0-9])", "Sentinel-2 tiles", True)
    if sum(bool(re.search(tile.pattern, path)) for path in paths) >= MATCHED * len(paths):
        return [tile]  # dates of one tile show the same ground
    # A class in front of the name would divide a scene by class.
    first = label_sets and sum(_starts_with_label(p, labels) for p, labels in zip(paths, label_sets, strict=True))
    start = r"(?:^|/)"
    if first and first >= MATCHED * len(paths):
        classes = sorted({label for labels in label_sets for label in labels}, key=len, reverse=True)
        plain = all(re.fullmatch("[A-Za-z]+", label) for label in classes)
        start += (r"[A-Za-z]+" if plain else f"(?:{'|'.join(map(re.escape, classes))})") + r"[_-]"
    stem = rf"(?i){start}([^/]*[^/_-])"
    text = "\n".join(paths).lower()
    return [
        _Candidate(r"L[COTEM]0\d_L\w{3}_(\d{6})_", "Landsat scenes", True),
        _Candidate(r"(ROIs\d+_[a-z]+)_(?:s1|s2|lc)_(\d+)_p\d+", "scenes", True),
        *(_Candidate(rf"(?i)({word}[_-]?\d+)[_/-]", "scenes", True) for word in _WORDS.split() if word in text),
        _Candidate(rf"{stem}[_-]{_DATE}(?!\d)", "places", False),
        _Candidate(stem + _PLACED, "scenes", True),
        _Candidate(rf"(?<!\d)({_DATE})(?!\d)", "dates", False),
        _Candidate(r"([^/]+)/[^/]+$", "folders", False),
        _Candidate(rf"(?i){start}([^/]*[^/\d_-])[_-]?\d+\.[^.]+$", "stems", False, MIN_STEMS),
    ]


def _starts_with_label(path: str, labels: Sequence[str]) -> bool:
    name = PurePosixPath(path).name.lower()
    return any(name.startswith((f"{label.lower()}_", f"{label.lower()}-")) for label in labels)


def suggestion(index: PatchIndex) -> ScenePattern | None:
    """Suggest a pattern for an index whose patches are not all in groups; ``None`` where names say nothing."""
    if not index.table["group"].null_count:
        return None
    return suggest_pattern(index.paths, index.label_sets)
