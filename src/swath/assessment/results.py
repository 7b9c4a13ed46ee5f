"""What comparing maps with a reference found: numbers, tables and text.

:class:`Assessment` is for places that somebody has looked at, and speaks of accuracy; :class:`Agreement` is for another
raster, which has errors too, and speaks of agreement alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from swath.assessment.estimators import AccuracyDifference, AccuracyEstimates, StratifiedEstimate
from swath.config import Settings
from swath.evaluation.results import Result, text_table
from swath.model.record import Estimate
from swath.pages.html import Cell, Table
from swath.pages.text import counted, points, with_interval, written

INTERVALS = (
    "Wilson's around the estimate, for the effective sample size of its stratified variance with two points more per "
    "stratum"
)
_NAME = 16  # letters of a class on a screen
_MOST = 12  # classes of a matrix on a screen
_LARGE = 1_000_000  # hectares from which on square kilometers are shown


class MapEstimates(Settings):
    """One map against the reference.

    Attributes
    ----------
    map : str
        File name.
    strata : str
        Whether the strata are the map's classes, and so whose estimators are used; empty without strata.
    accuracy : AccuracyEstimates
        Accuracies, and areas as shares.
    hectares : dict of str to StratifiedEstimate or None
        Adjusted areas; None where the places do not say how they were drawn.
    """

    map: str
    strata: str
    accuracy: AccuracyEstimates
    hectares: dict[str, StratifiedEstimate] | None


class PairedDifference(Settings):
    """How much more accurate the first map is than the second, on the same places."""

    first: str
    second: str
    difference: AccuracyDifference


def in_hectares(accuracy: AccuracyEstimates, hectares: float) -> dict[str, StratifiedEstimate]:
    """Areas of the classes, of a whole of so many hectares."""
    return {
        name: StratifiedEstimate(
            **{key: getattr(one.area, key) * hectares for key in ("value", "low", "high", "se")}, n=one.area.n
        )
        for name, one in accuracy.per_class.items()
    }


class Assessment(Result):
    """Accuracy of maps, and areas of their classes.

    Attributes
    ----------
    reference : str
        File of the places.
    n : int
        Places used.
    left_out : dict of str to int
        Places that were not used, by reason.
    design : str
        ``stratified random sample``, or ``random sample assumed`` where the places do not say how they were drawn.
    mapped_hectares : float or None
        The ground that the places stand for.
    maps : tuple of MapEstimates
        Every map.
    differences : tuple of PairedDifference
        Of the first map from each other one.
    intervals : str
        How they were made.
    notes : tuple of str
        What to know of the numbers.
    """

    reference: str
    n: int
    left_out: dict[str, int]
    design: Literal["stratified random sample", "random sample assumed"]
    mapped_hectares: float | None
    maps: tuple[MapEstimates, ...]
    differences: tuple[PairedDifference, ...]
    intervals: str = INTERVALS
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Plain text for a terminal, a line per item."""
        ground = "" if self.mapped_hectares is None else f" of {self.mapped_hectares:,.0f} ha"
        lines = [f"{self.reference}: {self.n:,} places ({self.design}{ground})"]
        if self.left_out:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.items())
            lines.append(f"not used: {reasons}")
        for one in self.maps:
            lines += ["", one.map, f"  overall accuracy {with_interval(one.accuracy.overall)}"]
            lines += [f"  strata: {one.strata}", ""] if one.strata else [""]
            lines += text_table(class_table(one))
            names, kept = list(one.accuracy.per_class), occurring(one.accuracy)
            matrix = [[one.accuracy.matrix[k][j] for j in kept] for k in kept]
            lines += ["", *matrix_lines([names[k] for k in kept], matrix)]
        for pair in self.differences:
            lines += ["", *difference_lines(pair)]
        if self.notes:
            lines += ["", *(f"note: {note}" for note in self.notes)]
        return lines


def class_table(one: MapEstimates, *, full: bool = False) -> Table:
    """Accuracies and areas of every class: for a screen, or in `full` names."""
    scale, unit = 1.0, "ha"
    if one.hectares is not None and sum(area.value for area in one.hectares.values()) >= _LARGE:
        scale, unit = 0.01, "km²"
    rows: list[tuple[Cell, ...]] = []
    classes = list(one.accuracy.per_class.items())
    for name, scores in [classes[k] for k in occurring(one.accuracy)]:
        cells: tuple[Cell, ...] = (name if full else written(name, limit=_NAME), f"{100 * scores.mapped:.1f}")
        cells += (_share(scores.users), _share(scores.producers))
        if one.hectares is not None:
            cells += (_area(one.hectares[name], scale),)
        rows.append(cells)
    columns = ("class", "map %", "user's %", "producer's %")
    if full:
        columns = ("class", "mapped, % of the area", "user's accuracy, %", "producer's accuracy, %")
    return Table(columns + ((f"area, {unit}",) if one.hectares is not None else ()), rows)


def occurring(accuracy: AccuracyEstimates) -> list[int]:
    """Numbers of the classes that the map or the reference shows at a place: with several maps, not all of them."""
    counts = accuracy.counts
    return [k for k in range(len(counts)) if any(counts[k]) or any(row[k] for row in counts)]


def matrix_lines(names: Sequence[str], matrix: Sequence[Sequence[float]]) -> list[str]:
    """The error matrix in % of the area; of many classes, only where to find it."""
    if len(names) > _MOST:
        return [f"error matrix of {len(names)} classes: with --out FOLDER, in confusion.csv and on the page"]
    header = ("% of the area", *map(str, range(1, len(names) + 1)))
    rows = [
        (f"{k} {written(name, limit=_NAME)}", *(f"{100 * part:.1f}" if part else "." for part in row))
        for k, (name, row) in enumerate(zip(names, matrix, strict=True), start=1)
    ]
    return ["error matrix: map in rows, reference in columns", *text_table(Table(header, rows))]


def difference_lines(pair: PairedDifference) -> list[str]:
    """How much better the first map is, in all and where a class differs for sure."""
    lines = [f"{pair.first} less {pair.second}, on the same places"]
    lines.append(f"  overall accuracy  {points(pair.difference.overall)}")
    for what, of_classes in (("user's", pair.difference.users), ("producer's", pair.difference.producers)):
        for name, one in of_classes.items():
            if one.n and (one.low > 0 or one.high < 0):
                lines.append(f"  {what} accuracy of {written(name, limit=_NAME)}  {points(one)}")
    return lines


def _share(estimate: Estimate) -> str:
    """A share in percent with its interval, as short as can be."""
    if not estimate.n:
        return "\u2013"
    if estimate.low == estimate.high:  # known without an estimate: every pixel is in the sample, or the map has none
        return f"{100 * estimate.value:.0f}"
    return f"{100 * estimate.value:.0f} ({100 * estimate.low:.0f}\u2013{100 * estimate.high:.0f})"


def _area(estimate: Estimate, scale: float) -> str:
    values = [scale * value for value in (estimate.value, estimate.low, estimate.high)]
    digits = 0 if values[2] >= 100 else 1 if values[2] >= 10 else 2
    value, low, high = (f"{number:,.{digits}f}" for number in values)
    return f"{value} ({low}\u2013{high})"


class MapAgreement(Settings):
    """Where a map and a reference raster say the same.

    Attributes
    ----------
    map : str
        File name.
    pixels : int
        Pixels compared: those where both have a class.
    hectares : float
        Their area.
    left_out : dict of str to int
        Pixels of the map that were not compared, by reason.
    overall : float
        Share of the area with the same class, 0-1.
    matrix : tuple of tuple of float
        Hectares ``[K][K]``: classes of the map in rows, of the reference in columns.
    classes : tuple of str
        K names.
    """

    map: str
    pixels: int
    hectares: float
    left_out: dict[str, int]
    overall: float
    matrix: tuple[tuple[float, ...], ...]
    classes: tuple[str, ...]

    def of_map(self, k: int) -> float | None:
        """Share of what the map calls a class that the reference calls so, too."""
        whole = sum(self.matrix[k])
        return self.matrix[k][k] / whole if whole else None

    def of_reference(self, k: int) -> float | None:
        """Share of what the reference calls a class that the map calls so, too."""
        whole = sum(row[k] for row in self.matrix)
        return self.matrix[k][k] / whole if whole else None


class Agreement(Result):
    """Agreement of maps with another raster, pixel by pixel.

    Attributes
    ----------
    reference : str
        File of the raster.
    maps : tuple of MapAgreement
        Every map.
    notes : tuple of str
        What to know of the numbers.
    """

    reference: str
    maps: tuple[MapAgreement, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Plain text for a terminal, a line per item."""
        lines = []
        for one in self.maps:
            lines += [
                f"{one.map} and {self.reference}: {one.pixels:,} pixels, {one.hectares:,.0f} ha",
                f"  agreement {100 * one.overall:.1f} % of the area",
            ]
            if one.left_out:
                reasons = ", ".join(
                    f"{counted(count, 'pixel', 'pixels')} {reason}" for reason, count in one.left_out.items()
                )
                lines.append(f"not compared: {reasons}")
            whole = one.hectares
            shares = [[part / whole for part in row] for row in one.matrix]
            lines += ["", *text_table(agreement_table(one)), "", *matrix_lines(one.classes, shares), ""]
        return [*lines, *(f"note: {note}" for note in self.notes)]


def agreement_table(one: MapAgreement) -> Table:
    """Both areas of every class, and how much of each the other one shares."""
    rows = [
        (
            written(name, limit=_NAME),
            f"{sum(one.matrix[k]):,.0f}",
            f"{sum(row[k] for row in one.matrix):,.0f}",
            _plain(one.of_map(k)),
            _plain(one.of_reference(k)),
        )
        for k, name in enumerate(one.classes)
    ]
    return Table(("class", "map, ha", "reference, ha", "of the map %", "of the ref. %"), rows)


def _plain(share: float | None) -> str:
    return "\u2013" if share is None else f"{100 * share:.1f}"


def confusion_rows(result: Assessment | Agreement) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Header and rows of ``confusion.csv``: a line per map, map class and reference class that occurs."""
    rows: list[tuple[object, ...]] = []
    if isinstance(result, Agreement):
        for one in result.maps:
            for row, first in zip(one.matrix, one.classes, strict=True):
                rows += [(one.map, first, second, part) for second, part in zip(one.classes, row, strict=True) if part]
        return ("map", "map_class", "reference_class", "hectares"), rows
    for of_map in result.maps:
        names = list(of_map.accuracy.per_class)
        for k, first in enumerate(names):
            for j, second in enumerate(names):
                if count := of_map.accuracy.counts[k][j]:
                    rows.append((of_map.map, first, second, count, of_map.accuracy.matrix[k][j]))
    return ("map", "map_class", "reference_class", "places", "area_share"), rows
