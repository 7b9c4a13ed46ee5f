"""Units of a split, and ways to share them out: decisions on numbers of patches alone.

Rows that must stay together form a :class:`Unit`. :func:`take_units` draws one split of the shares asked for,
:func:`fold_numbers` makes folds, and :func:`best_sides` does what can be done where groups are few.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from swath.data.index import PatchIndex

_ALL_WAYS = 8  # units of which every way to share them out is tried
_EXCHANGED = 100  # units of which every pair is tried
_MOST_MOVES = 1_000
NO_LABEL = ""  # no class has this name


@dataclass(frozen=True)
class Unit:
    """Rows that go to one split together: a group, or a patch that has none."""

    rows: tuple[int, ...]
    counts: Mapping[str, int]  # label -> patches
    rarest: str | None = None  # of several labels, the one that decides


def units_of(index: PatchIndex, seed: int) -> list[Unit]:
    """Units in an order that depends on the seed and their paths only."""
    # Patches without any label count as a class of their own.
    sets, paths = [labels or (NO_LABEL,) for labels in index.label_sets], index.paths
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, group in enumerate(index.column("group")):
        rows[("path", paths[row]) if group is None else ("group", group)].append(row)

    def order(members: Sequence[int]) -> bytes:
        return hashlib.sha256(f"{seed}:{min(paths[row] for row in members)}".encode()).digest()

    units = [
        Unit(tuple(m), Counter(label for row in m for label in sets[row])) for m in sorted(rows.values(), key=order)
    ]
    return _by_rarest(units) if index.multi_label else units


def _by_rarest(units: Sequence[Unit]) -> list[Unit]:
    """Units with the rarest label of all first, each marked with its own rarest one."""
    sizes: Counter[str] = Counter()
    for unit in units:
        sizes.update(unit.counts)
    marked = [replace(u, rarest=min(u.counts, key=lambda label: (sizes[label], label))) for u in units]
    return sorted(marked, key=lambda unit: (sizes[str(unit.rarest)], str(unit.rarest)))


def take_units(free: Sequence[Unit], target: Mapping[str, float], *, leave: int) -> list[Unit]:
    """Choose units whose class counts come close to `target`.

    A unit is taken if that brings the counts nearer to the target in the sum of squares; for groups
    of one class this ends within half a group of it. A unit with several labels counts by its rarest
    one alone: common labels even out later, rare ones may not. Then a class still without a patch gets its
    smallest unit, if at least `leave` others with that class remain.
    """
    have: Counter[str] = Counter()
    taken: list[Unit] = []
    left: list[Unit] = []
    remaining = Counter(label for unit in free for label in unit.counts)
    for unit in free:
        decisive = unit.counts if unit.rarest is None else {unit.rarest: unit.counts[unit.rarest]}
        change = sum(n * (n + 2 * (have[label] - target[label])) for label, n in decisive.items())
        if change < 0 and all(remaining[label] > leave for label in unit.counts):
            taken.append(unit)
            have.update(unit.counts)
            remaining.subtract(unit.counts.keys())
        else:
            left.append(unit)
    for label in sorted(label for label in target if not have[label]):
        fitting = [
            unit for unit in left if label in unit.counts and all(remaining[other] > leave for other in unit.counts)
        ]
        if fitting and not have[label]:
            smallest = min(fitting, key=lambda unit: len(unit.rows))
            taken.append(smallest)
            have.update(smallest.counts)
            remaining.subtract(smallest.counts.keys())
            left.remove(smallest)
    return taken


def best_sides(units: Sequence[Unit], targets: Sequence[Mapping[str, float]]) -> list[int]:
    """Share out units where their classes cannot all be on every side: whole units, as near to the targets as can be.

    First no side is empty, then train has every class, then as many classes as possible are in val and in test, then
    the shares of classes come near the targets. Up to eight units all ways are tried; else units are moved, or two of
    them exchanged, as long as that helps.

    Parameters
    ----------
    units : sequence of Unit
        In an order that decides ties.
    targets : sequence of mapping
        Patches of each class wanted on each side but train; ``val`` is the last of them if there are two.

    Returns
    -------
    list of int
        0 for train, else 1 + the number of the target, of each unit.
    """
    labels = sorted({label for unit in units for label in unit.counts})
    counts = np.array([[unit.counts.get(label, 0) for label in labels] for unit in units], np.float64)
    goal = np.array([[target.get(label, 0.0) for label in labels] for target in targets])
    sides, n = len(targets) + 1, len(units)
    if n <= _ALL_WAYS:
        ways = np.array(list(itertools.product(range(sides), repeat=n)))
        costs = _cost(np.stack([(ways == side) @ counts for side in range(sides)], axis=1), goal)
        return [int(side) for side in ways[int(np.argmin(costs))]]
    found = np.arange(n) % sides
    have = np.stack([counts[found == side].sum(axis=0) for side in range(sides)])
    cost = float(_cost(have[None], goal)[0])
    for _ in range(_MOST_MOVES):
        moves = [(row, side) for row in range(n) for side in range(sides) if side != found[row]]
        rows, to = np.array(moves).T
        steps = np.repeat(have[None], len(moves), axis=0)
        steps[np.arange(len(moves)), found[rows]] -= counts[rows]
        steps[np.arange(len(moves)), to] += counts[rows]
        costs = _cost(steps, goal)
        best = int(np.argmin(costs))
        if costs[best] < cost - 1e-12:
            found[rows[best]], have, cost = to[best], steps[best], float(costs[best])
            continue
        pairs = [(a, b) for a in range(n) for b in range(a) if found[a] != found[b]] if n <= _EXCHANGED else []
        if not pairs:
            break
        one, other = np.array(pairs).T
        steps = np.repeat(have[None], len(pairs), axis=0)
        change = counts[other] - counts[one]
        steps[np.arange(len(pairs)), found[one]] += change
        steps[np.arange(len(pairs)), found[other]] -= change
        costs = _cost(steps, goal)
        best = int(np.argmin(costs))
        if costs[best] >= cost - 1e-12:
            break
        a, b = pairs[best]
        found[a], found[b] = found[b], found[a]
        have, cost = steps[best], float(costs[best])
    return [int(side) for side in found]


def _cost(have: npt.NDArray[np.float64], goal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How bad ways to share out are that put `have` ``[ways, sides, classes]`` patches on each side, train first."""
    total = have[:1].sum(axis=1)  # of each class
    empty = (have.sum(axis=2) == 0).sum(axis=1)
    lacking = (have == 0).sum(axis=2)
    held = lacking[:, 1:] @ np.arange(1, have.shape[1])  # val, the last, stops training where it lacks a class
    apart = ((have[:, 1:] - goal) / np.maximum(total, 1)[:, None]) ** 2
    cost: npt.NDArray[np.float64] = 1e9 * empty + 1e6 * lacking[:, 0] + 1e2 * held + apart.sum(axis=(1, 2))
    return cost


def fold_numbers(units: Sequence[Unit], rows: int, *, folds: int) -> list[int]:
    """Assign units to folds so that each class is spread as evenly as its groups allow.

    Units go in order of size, the largest first, to the fold that lacks most of their classes, and of those to the
    one that has fewest patches of them.

    Parameters
    ----------
    units : sequence of Unit
        In an order that decides ties.
    rows : int
        Rows of the index; each is in one unit.
    folds : int
        Number of folds.

    Returns
    -------
    list of int
        Fold of each row, from 0.
    """
    numbers = [0] * rows
    have: list[Counter[str]] = [Counter() for _ in range(folds)]
    sizes = [0] * folds
    for unit in sorted(units, key=lambda unit: -len(unit.rows)):  # stable, so the given order decides ties
        best = min(
            range(folds),
            key=lambda fold: (
                -sum(not have[fold][label] for label in unit.counts),
                sum(n * have[fold][label] for label, n in unit.counts.items()),
                sizes[fold],
                fold,
            ),
        )
        have[best].update(unit.counts)
        sizes[best] += len(unit.rows)
        for row in unit.rows:
            numbers[row] = best
    return numbers
