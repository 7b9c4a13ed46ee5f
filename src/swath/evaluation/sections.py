"""Sections of a report: data, training, result, explanations, map and provenance, from plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from swath.evaluation.results import Evaluation, display_name, reliability_of
from swath.evaluation.seen import seen_numbers
from swath.explain import evidence_key
from swath.explain.faithful import Faithfulness
from swath.model.record import ClassInfo, Record
from swath.pages.charts import Chart
from swath.pages.html import Cell, Image, Link, Number, Section, Swatch, Table


def evaluation_charts(evaluation: Evaluation, *names: str) -> list[Chart]:
    """Those of the named charts that an evaluation has."""
    return [evaluation.charts[name] for name in names if name in evaluation.charts]


def data_section(
    counts: Mapping[str, Mapping[str, int]],
    *,
    patches: int,
    sentences: Sequence[str] = (),
    samples: Sequence[Image] = (),
) -> Section:
    """Describe the patches.

    Parameters
    ----------
    counts : mapping of str to mapping of str to int
        Patches of each class in each split.
    patches : int
        How many there are; patches with several classes make the counts add up to more.
    sentences : sequence of str
        What the audit found, in plain words.
    samples : sequence of Image
        Strips of sample patches, one per class.
    """
    order = ("train", "val", "test")
    there = {split for row in counts.values() for split in row}
    splits = [*(s for s in order if s in there), *sorted(there - set(order))]
    rows: list[tuple[Cell, ...]] = [
        (name, *(row.get(s, 0) for s in splits), sum(row.values())) for name, row in counts.items()
    ]
    totals = [sum(row.get(s, 0) for row in counts.values()) for s in splits]
    each = [Number(split, f"{total:,}") for split, total in zip(splits, totals, strict=True)]
    return Section(
        "Data",
        text=tuple(sentences),
        numbers=(
            Number("patches", f"{patches:,}"),
            Number("classes", str(len(counts))),
            *(each if sum(totals) == patches else ()),
        ),
        tables=(Table(("class", *splits, "all"), rows, "Patches of each class"),),
        strips=samples,
    )


def training_section(curves: Chart, *, facts: Mapping[str, str], links: Sequence[Link] = ()) -> Section:
    """Show how training went: the curves, and facts such as recipe, epochs and time."""
    return Section(
        "Training", numbers=[Number(label, value) for label, value in facts.items()], images=(curves,), links=links
    )


def result_section(evaluation: Evaluation, folder: Path, *, title: str = "Test result") -> Section:
    """Show an evaluation next to its baselines, with links to the files in `folder`.

    First what the model has seen of the patches; where it has seen some, the numbers name themselves so, and those of
    the others come before them.
    """
    seen, unseen = evaluation.seen, evaluation.unseen
    notes = evaluation.notes()
    shown = [n for n in evaluation.charts if n != "reliability.svg" or reliability_of(evaluation)]
    counts = "labels.csv" if evaluation.task == "multi-label" else "confusion.csv"
    return Section(
        title + seen.mark,
        text=(
            seen.sentences,
            f"{evaluation.n:,} patches of the split '{evaluation.split}'.",
            f"How the model's own data was split: {evaluation.protocol}.",
        ),
        numbers=[
            *seen_numbers({display_name(k): v for k, v in unseen.headline().items()} if unseen else {}),
            *(Number(display_name(k) + seen.mark, v, notes[k]) for k, v in evaluation.headline().items()),
        ],
        warnings=evaluation.warnings,
        tables=evaluation.tables(),
        images=evaluation_charts(evaluation, *shown),
        links=[Link(name, folder / name) for name in ("metrics.json", counts, "predictions.csv")],
    )


def explanation_section(
    tiles: Sequence[Image], *, checks: Sequence[Faithfulness] = (), links: Sequence[Link] = ()
) -> Section:
    """Show where the model looked: patches with their class activation maps, and which of them fail.

    Parameters
    ----------
    tiles : sequence of Image
        From :func:`swath.explain.evidence_tiles`.
    checks : sequence of Faithfulness
        Of their maps, where they were checked; the tiles show them one by one.
    links : sequence of Link
        Further pictures.
    """
    text = [
        "Class activation maps: how much each place adds to (red) or takes from (blue) the score of the "
        "class. They are exact for this kind of network, but only as fine as its last grid."
    ]
    failed = sum(not check.holds for check in checks)
    if checks:
        text.append(
            "Each map was compared with 19 random ones: the pixels it marks were hidden, most marked first, and "
            f"the probability had to fall more than under 18 of them. {len(checks) - failed} of {len(checks)} maps "
            "pass; those that fail are marked: the prediction does not rest on what they show."
        )
    return Section(
        "Where the model looks",
        text=text,
        images=[evidence_key("each map on its own scale, whose end is given with it")],
        tiles=tiles,
        links=links,
    )


def map_section(
    picture: Path | bytes,
    *,
    classes: Sequence[ClassInfo],
    hectares: Mapping[str, float],
    sentences: Sequence[str] = (),
    numbers: Sequence[Number] = (),
    links: Sequence[Link] = (),
    scene: Path | bytes | None = None,
) -> Section:
    """Show a land map with its legend and the area of each class, largest first.

    Parameters
    ----------
    picture : Path or bytes
        The map, drawn in the classes' colors.
    classes : sequence of ClassInfo
        Names and colors.
    hectares : mapping of str to float
        Area of each class; classes without an entry cover nothing.
    sentences : sequence of str
        What is worth saying about the map.
    numbers : sequence of Number
        Such as the agreement with a known truth.
    links : sequence of Link
        The files.
    scene : Path or bytes, optional
        The scene itself, shown next to the map.
    """
    total = sum(hectares.values())
    ordered = sorted(classes, key=lambda c: -hectares.get(c.name, 0.0))
    rows = [
        (Swatch(c.color_hint, c.name), hectares.get(c.name, 0.0), 100 * hectares.get(c.name, 0.0) / max(total, 1e-12))
        for c in ordered
    ]
    images = [] if scene is None else [Image(scene, "The scene in true color", "The scene.")]
    images.append(Image(picture, "Land map, one color per class", "The map; colors as in the table."))
    return Section(
        "Map",
        text=tuple(sentences),
        numbers=numbers,
        tables=(Table(("class", "hectares", "% of the map"), rows, "Legend and area"),),
        images=images,
        links=links,
    )


def provenance_section(
    record: Record, *, facts: Mapping[str, str] | None = None, links: Sequence[Link] = ()
) -> Section:
    """Say where model and data came from, from the model's record and further `facts`."""
    values = {
        "model": record.name,
        "trained": record.created,
        "network": f"{record.architecture}, {record.total_parameters:,} parameters",
        "input": f"{', '.join(record.input.bands)}; {record.input.size} pixels; {record.input.data_type}",
        "data": record.data.name,
        "data fingerprint": record.data.fingerprint,
        "split": record.data.split_protocol,
        "data license": record.data.license or "not stated",
        "attribution": record.data.attribution or "not stated",
        "model license": record.license,
        "versions": ", ".join(f"{name} {version}" for name, version in record.versions.items()) or "not stated",
        **(facts or {}),
    }
    return Section("Provenance", tables=(Table(("what", "value"), list(values.items())),), links=links)
