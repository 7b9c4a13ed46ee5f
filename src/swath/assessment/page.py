"""An assessment as a folder: numbers as JSON, the error matrix as a table, and a page with its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath.assessment.results import (
    Agreement,
    Assessment,
    MapAgreement,
    MapEstimates,
    PairedDifference,
    agreement_table,
    class_table,
    confusion_rows,
    occurring,
)
from swath.evaluation.plots import commonest
from swath.files import write_csv
from swath.pages.charts import Chart, matrix_chart
from swath.pages.html import Cell, Link, Number, Section, Table, write_report
from swath.pages.text import counted, points, sentence

NUMBERS, MATRIX, PAGE = "assessment.json", "confusion.csv", "index.html"
_LIMITS = (
    "Limits of 95 % are not value ± 1.96 standard errors, which would leave 0-100 % and would not know of errors that "
    "no place happened to show; standard errors by the equations of the papers are in assessment.json."
)


def write_results(folder: Path, result: Assessment | Agreement) -> None:
    """Write ``assessment.json``, ``confusion.csv`` and ``index.html`` into an existing folder."""
    (folder / NUMBERS).write_text(result.to_json(), encoding="utf-8")
    header, rows = confusion_rows(result)
    write_csv(folder / MATRIX, header, rows)
    accuracy = isinstance(result, Assessment)
    write_report(
        folder / PAGE,
        _accuracy_sections(result) if isinstance(result, Assessment) else _agreement_sections(result),
        title="How good is the map?" if accuracy else "Do the maps agree?",
        summary=_summary(result),
        numbers=_numbers(result),
        links=[Link("All numbers (JSON)", folder / NUMBERS), Link("Error matrix (CSV)", folder / MATRIX)],
    )


def _summary(result: Assessment | Agreement) -> str:
    if isinstance(result, Agreement):
        return f"Compared with {result.reference}, pixel by pixel. {sentence('; '.join(result.notes))}"
    return f"Estimated from {result.n:,} places of {result.reference} ({result.design})."


def _numbers(result: Assessment | Agreement) -> list[Number]:
    if isinstance(result, Agreement):
        return [Number(f"agreement of {one.map}", f"{100 * one.overall:.1f} %", "of the area") for one in result.maps]
    return [
        Number(f"overall accuracy of {one.map}", one.accuracy.overall, f"{result.n:,} places") for one in result.maps
    ]


def _accuracy_sections(result: Assessment) -> list[Section]:
    sections = [_map_section(one) for one in result.maps]
    sections += [_difference_section(pair) for pair in result.differences]
    left = [f"{counted(count, 'place', 'places')} {reason}" for reason, count in result.left_out.items()]
    sections.append(
        Section(
            "Places and method",
            text=[
                sentence(f"Intervals: {result.intervals}"),
                _LIMITS,
                *([sentence(f"Not used: {', '.join(left)}")] if left else ()),
            ],
            warnings=[sentence(note) for note in result.notes],
        )
    )
    return sections


def _map_section(one: MapEstimates) -> Section:
    kept = occurring(one.accuracy)
    names = [name for k, name in enumerate(one.accuracy.per_class) if k in kept]
    counts, shares = (np.array(part)[np.ix_(kept, kept)] for part in (one.accuracy.counts, one.accuracy.matrix))
    rows: list[tuple[Cell, ...]] = [
        (first, *(f"{count} ({100 * share:.1f} %)" if count else "" for count, share in zip(*pair, strict=True)))
        for first, pair in zip(names, zip(counts, shares, strict=True), strict=True)
    ]
    return Section(
        one.map,
        text=(f"The strata of the sample: {one.strata}.",) if one.strata else (),
        numbers=[Number("overall accuracy", one.accuracy.overall)],
        tables=[
            class_table(one, full=True),
            Table(
                ("map \u2193 reference \u2192", *names),
                rows,
                "Error matrix: places, and in parentheses the share of the area they stand for",
                sideways=True,
            ),
        ],
        images=[_chart(shares, names, f"Error matrix of {one.map}")],
    )


def _difference_section(pair: PairedDifference) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(
                points(found[name]) if found[name].n else "\u2013"
                for found in (pair.difference.users, pair.difference.producers)
            ),
        )
        for name in pair.difference.users
    ]
    return Section(
        f"{pair.first} less {pair.second}",
        text=(
            f"On the same places the overall accuracy of {pair.first} less that of {pair.second} is "
            f"{points(pair.difference.overall)}. Intervals are those of the difference, paired by places.",
        ),
        tables=[Table(("class", "user's accuracy", "producer's accuracy"), rows)],
    )


def _agreement_sections(result: Agreement) -> list[Section]:
    return [_agreement_section(one) for one in result.maps]


def _agreement_section(one: MapAgreement) -> Section:
    left = [f"{counted(count, 'pixel', 'pixels')} {reason}" for reason, count in one.left_out.items()]
    return Section(
        one.map,
        text=[
            f"{one.pixels:,} pixels were compared, {one.hectares:,.0f} ha.",
            *([sentence(f"Not compared: {', '.join(left)}")] if left else ()),
        ],
        tables=[agreement_table(one)],
        images=[_chart(np.array(one.matrix) / one.hectares, one.classes, f"Classes of {one.map} and of the reference")],
    )


def _chart(shares: npt.NDArray[np.float64], names: Sequence[str], alt: str) -> Chart:
    kept, others = commonest(shares)
    shares = shares[np.ix_(kept, kept)]
    texts = [[_percent(share) for share in row] for row in shares.tolist()]
    whole = [[_percent(share, digits=0) for share in row] for row in shares.tolist()]
    caption = "Numbers: % of the area; color: share of the map class"
    return matrix_chart(
        alt,
        shares,
        [names[k] for k in kept],
        texts=texts,
        short=whole,
        up="map",
        across="reference",
        caption=f"{caption}. The {len(kept)} largest classes; {others:,} others are in the table."
        if others
        else caption,
    )


def _percent(share: float, *, digits: int = 1) -> str:
    """A cell of a matrix: nothing where there is nothing, and no 0 where there is little."""
    least = 10.0**-digits
    if share <= 0:
        return ""
    return f"{100 * share:.{digits}f}" if 100 * share >= least / 2 else f"<{least:g}"
