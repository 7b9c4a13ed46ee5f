"""The data report as a folder: :func:`data_report` measures an index and writes the page and its facts as JSON.

The verdict comes first, in plain sentences (:func:`verdict`); the sections follow, each from facts and pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swath.data import PatchIndex
from swath.datareport.facts import DataFacts, measure_data, report_pixels
from swath.datareport.pictures import OUTLIERS, PAIRS, SHOWN_CLASSES, draw_pictures
from swath.datareport.shortcuts import Shortcut
from swath.evaluation import data_section
from swath.files import atomic_folder
from swath.imagery import RGB
from swath.pages.html import Cell, Image, Number, Section, Table, write_report
from swath.pages.text import counted
from swath.progress import Progress, silent

_MODES = 3
_ROWS = 30  # of a table of values; more are counted
PAGE, FACTS = "index.html", "facts.json"
_LEFT = ("leak", "copies", "near", "ignored")  # findings worded here, and those that do not affect a score


def data_report(index: PatchIndex, out: Path, *, overwrite: bool = False, progress: Progress = silent) -> DataFacts:
    """Measure an index and write ``out/index.html``, which needs no other file, and ``out/facts.json``.

    Parameters
    ----------
    index : PatchIndex
        With splits or without, one label per patch or several.
    out : Path
        Folder to write, all or nothing.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called with the stages of :func:`swath.datareport.facts.measure_data` and ``"report"``.

    Returns
    -------
    DataFacts
        As measured.

    Raises
    ------
    DataError
        If the index has no patches, or one is gone or has changed.
    OutputError
        If `out` exists without `overwrite`, holds the data, or cannot be written.
    """
    with atomic_folder(out, overwrite=overwrite, keep=index.inputs) as folder:
        facts = measure_data(index, progress=progress)
        write_data_report(index, facts, folder, progress=progress)
    return facts


def write_data_report(index: PatchIndex, facts: DataFacts, folder: Path, *, progress: Progress = silent) -> None:
    """Draw the pictures and write ``index.html`` and ``facts.json`` into an existing folder."""
    progress("report", 0, 2, note="pictures")
    pixels, bands = report_pixels(index)
    pictures = draw_pictures(index, facts, pixels, bands)
    progress("report", 1, 2, note="page")
    write_report(
        folder / PAGE,
        report_sections(index, facts, pictures, bands),
        title=f"Data report: {index.name or 'unnamed'}",
        summary=verdict(facts),
        numbers=_numbers(facts),
    )
    text = json.dumps(facts_json(facts), indent=2, ensure_ascii=False)
    (folder / FACTS).write_text(text + "\n", encoding="utf-8")
    progress("report", 2, 2)


def verdict(facts: DataFacts) -> str:
    """Say in a few plain sentences what makes a score on this set unreliable."""
    against = [
        headers_warning(facts),
        modes_warning(facts),
        *(one.sentence() for one in facts.overlaps),
        counted(facts.copies, "file repeats", "files repeat") + " another byte for byte." if facts.copies else "",
        counted(len(facts.audit.leaks), "duplicate lies", "duplicates lie")
        + " in more than one split, so a test would flatter."
        if facts.audit.leaks
        else "",
        *(
            f.text
            for f in facts.audit.findings
            if f.kind not in _LEFT and not (f.kind == "shortcut" and headers_warning(facts))
        ),
    ]
    said = [sentence for sentence in against if sentence]
    if not said:
        return "Nothing was found that would make a score on these patches unreliable."
    return "Before relying on a score on these patches: " + " ".join(said)


def facts_json(facts: DataFacts) -> dict[str, Any]:
    """Give the facts as plain values, the embedding apart; an estimate is its value, interval and count."""
    values = asdict(facts)
    del values["embedding"]
    plain: dict[str, Any] = json.loads(json.dumps(values, default=lambda value: value.model_dump(), ensure_ascii=False))
    return plain


def report_sections(
    index: PatchIndex, facts: DataFacts, pictures: Mapping[str, bytes], bands: Sequence[str]
) -> list[Section]:
    """Make all sections in reading order; what an index has no data for says so in one sentence.

    Parameters
    ----------
    index : PatchIndex
        The reported index.
    facts : DataFacts
        From :func:`swath.datareport.facts.measure_data`.
    pictures : mapping of str to bytes
        From :func:`swath.datareport.pictures.draw_pictures`.
    bands : sequence of str
        Of the pictures.
    """
    return [
        _classes(facts, pictures),
        _shortcuts(facts),
        _files(facts),
        _duplicates(facts, pictures),
        _splits(index, facts),
        _published(facts),
        _colors(facts, pictures, bands),
        _histograms(pictures),
        _outliers(facts, pictures),
        _similarity(facts, pictures),
        _places(facts, pictures),
        _origin(index),
    ]


def _classes(facts: DataFacts, pictures: Mapping[str, bytes]) -> Section:
    several = f", of the {SHOWN_CLASSES} commonest classes" if len(facts.classes) > SHOWN_CLASSES else ""
    section = data_section(facts.classes, patches=facts.audit.patches, sentences=())
    return Section(
        "Classes",
        numbers=section.numbers,
        tables=section.tables,
        images=[Image(pictures["samples"], "Sample patches of each class", f"Patches drawn at random{several}.")],
    )


def _shortcuts(facts: DataFacts) -> Section:
    found = facts.shortcuts
    if not found.all:
        return Section(
            "Shortcuts",
            text=[
                "With fewer than two classes there is nothing to predict; with fewer than five patches, copies and "
                "patches of one group counted as one, none can be held out to measure it."
            ],
        )

    def row(one: Shortcut) -> tuple[Cell, ...]:
        gain = 100 * (one.score.accuracy.value - one.score.chance)
        return (one.name, one.values or "numbers", one.score.accuracy, f"{gain:+.0f} points")

    return Section(
        "Shortcuts",
        text=[
            "How well the class can be predicted without looking at the land. A logistic regression is fitted to "
            "four fifths of the patches and tested on the last fifth, five times; copies stay in one fifth. "
            f"Always predicting the commonest class gets {100 * found.all[0].score.chance:.1f} %.",
            "Headers are what a network should have nothing to learn from: size, mode, format, compression, "
            "quantization tables, other blocks and suffix. A network does not see them, but it sees what they "
            "leave in the pixels: blur of another scale, blocks of another quality, the range of another color mode.",
            "The length of a file in bytes is no header: it also grows with the detail of the land. Color "
            "statistics are the land's own colors as well as the sensor's; a network has to beat them.",
        ],
        warnings=[headers_warning(facts)] if headers_warning(facts) else [],
        tables=[
            Table(
                ("property of a file", "values", "accuracy", "above chance"),
                [row(one) for one in found.all],
                f"Cross-validated on {found.patches:,} patches",
            )
        ],
    )


def headers_warning(facts: DataFacts) -> str:
    """Warn that headers predict the class; empty if they do not."""
    one = facts.shortcuts.headers
    if one is None or not one.is_shortcut:
        return ""
    return (
        f"File headers alone predict the class of {100 * one.score.accuracy.value:.1f} % of patches (chance: "
        f"{100 * one.score.chance:.1f} %). Bring all files to one form with: swath data fix."
    )


def _files(facts: DataFacts) -> Section:
    low, middle, high = facts.lengths
    return Section(
        "Files",
        text=[f"A file has from {low:,} to {high:,} bytes, half of them at most {middle:,}."],
        warnings=[modes_warning(facts)] if modes_warning(facts) else [],
        tables=[
            _counts("size in pixels", facts.audit.sizes),
            _counts("mode", facts.audit.modes),
            _counts("format and compression", facts.forms),
            _counts("blocks besides the pixels", facts.extras),
        ],
    )


def modes_warning(facts: DataFacts) -> str:
    """Warn that files are stored in several modes; empty if they are not."""
    (common, _), *others = facts.audit.modes.items()
    if not others:
        return ""
    odd = ", ".join(f"{n:,} files are {mode}" for mode, n in others[:_MODES])
    return f"Modes differ: {odd}, where most are {common}. All are read as one, but not with the same colors."


def _counts(what: str, counts: Mapping[str, int]) -> Table:
    rows: list[tuple[Cell, ...]] = list(list(counts.items())[:_ROWS])
    rest = list(counts.values())[_ROWS:]
    if rest:
        rows.append((f"{len(rest):,} others", sum(rest)))
    return Table((what, "files"), rows)


def _duplicates(facts: DataFacts, pictures: Mapping[str, bytes]) -> Section:
    found = facts.audit
    images = [
        Image(picture, f"Pairs of {what}", f"{text} (the first {PAIRS} of {count:,})." if count > PAIRS else f"{text}.")
        for picture, what, text, count in (
            (pictures.get("leaks"), "copies across splits", "Copies on both sides of a split", len(found.leaks)),
            (pictures.get("exact"), "identical files", "Files that are the same byte for byte", len(found.exact)),
            (pictures.get("near"), "near duplicates", "The same picture in different files", len(found.near)),
        )
        if picture is not None
    ]
    names: list[tuple[Cell, ...]] = [(" = ".join(members[:4]), len(members)) for members in found.exact[:PAIRS]]
    tables = [Table(("files that are the same", "how many"), names)] if names else []
    near: list[tuple[Cell, ...]] = [
        (pair.first, pair.second, f"{pair.similarity:.2f}", f"{pair.difference:.1f}") for pair in found.near[:PAIRS]
    ]
    if near:
        tables.append(Table(("near duplicate", "of", "similarity", "difference, levels"), near))
    return Section(
        "Duplicates",
        text=[] if found.exact or found.near else ["No two files are the same, and no two pictures nearly so."],
        numbers=[
            Number("sets of identical files", f"{len(found.exact):,}", f"{facts.copies:,} surplus copies"),
            Number("pairs of near duplicates", f"{len(found.near):,}"),
            Number("across splits", f"{len(found.leaks):,}"),
            Number("with different labels", f"{len(found.contradictions):,}"),
        ],
        tables=tables,
        images=images,
    )


def _splits(index: PatchIndex, facts: DataFacts) -> Section:
    if set(index.split_counts) == {None}:
        return Section("Splits", text=["There are no splits yet; make them with: swath data split."])
    text = [f"How the splits came about: {index.split_protocol or 'not stated'}."]
    if facts.near is not None:
        near = facts.near
        text.append(
            f"Of {near.measured:,} held-out patches {near.near:,} lie within {near.km:g} km of a training patch; "
            f"the median distance to the nearest is {near.median_km:,.1f} km."
        )
    warnings = [finding.text for finding in facts.audit.findings if finding.kind == "optimistic"]
    if facts.audit.leaks:
        warnings.append(
            counted(len(facts.audit.leaks), "set of duplicates lies", "sets of duplicates lie")
            + " in more than one split."
        )
    warnings += [finding.text for finding in facts.audit.findings if finding.kind == "torn"]
    return Section("Splits", text=text, warnings=warnings)


def _published(facts: DataFacts) -> Section:
    if not facts.overlaps:
        return Section("Published sets", text=["No file is one of EuroSAT's, the set whose hashes ship with swath."])
    tables = []
    for one in facts.overlaps:
        rows: list[tuple[Cell, ...]] = [
            (label, ", ".join(f"{name} ({n:,})" for name, n in counts.items()), sum(counts.values()))
            for label, counts in one.classes.items()
        ]
        tables.append(Table(("class here", f"class in {one.name}", "files"), rows))
    return Section("Published sets", text=[one.sentence() for one in facts.overlaps], tables=tables)


def _colors(facts: DataFacts, pictures: Mapping[str, bytes], bands: Sequence[str]) -> Section:
    channels = facts.audit.channels
    rows: list[tuple[Cell, ...]] = [
        ("all: mean", *(f"{value:.1f}" for value in channels.mean)),
        ("all: standard deviation", *(f"{value:.1f}" for value in channels.sd)),
        *(
            (label, *(f"{value:.1f}" for value in means))
            for label, means in list(channels.by_class.items())[:SHOWN_CLASSES]
        ),
    ]
    shown = "true color" if set(RGB) <= set(bands) else "the first band"
    return Section(
        "Colors",
        text=["Classes whose mean image shows a pattern were cut with the object in the middle, or share an artifact."],
        tables=[Table(("mean of the pixels", *channels.bands), rows, f"{channels.patches:,} patches")],
        images=[Image(pictures["means"], "Mean image of each class", f"The mean patch of each class, {shown}.")],
    )


def _histograms(pictures: Mapping[str, bytes]) -> Section:
    caption = "How often each value occurs, by class and band."
    return Section("Histograms", images=[Image(pictures["histograms"], "Histogram of each class", caption)])


def _outliers(facts: DataFacts, pictures: Mapping[str, bytes]) -> Section:
    text = []
    if facts.plain:
        plain = counted(len(facts.plain), "patch is", "patches are")
        text.append(f"{plain} of one single color; the first is {facts.plain[0]}.")
    if "outliers" not in pictures:
        text.append("No patch is much darker or brighter than its class.")
        return Section("Outliers", text=text)
    far = counted(len(facts.outliers), "patch is", "patches are")
    text.append(
        f"{far} more than five robust standard deviations darker or brighter than "
        "the median of their class: clouds, snow, no data, or another class."
    )
    shown = min(OUTLIERS, len(facts.outliers))
    image = Image(
        pictures["outliers"], "The most outlying patches", f"The {shown} furthest, with their mean in 8-bit levels."
    )
    return Section("Outliers", text=text, images=[image])


def _similarity(facts: DataFacts, pictures: Mapping[str, bytes]) -> Section:
    return Section(
        "Map of similarity",
        text=[
            f"{len(facts.embedding.rows):,} patches by {facts.embedding.by}, projected on two principal components. "
            "Neighbors are similar; dots of one color among another are worth a look."
        ],
        images=[
            Image(pictures["dots"], "One dot per patch, colored by class", "One dot per patch."),
            Image(pictures["thumbnails"], "The same map with patches", "The same map: one patch per cell."),
        ],
    )


def _places(facts: DataFacts, pictures: Mapping[str, bytes]) -> Section:
    if "places" not in pictures:
        return Section("Places", text=["The index has no coordinates, so nothing is known of where patches lie."])
    near = facts.near
    text = [] if near is None else [f"Within {near.km:g} km of training: {near.near:,} of {near.measured:,}."]
    image = Image(pictures["places"], "Longitude and latitude of patches", "Where patches lie, colored by split.")
    return Section("Places", text=text, images=[image])


def _origin(index: PatchIndex) -> Section:
    facts = {
        "index": index.name,
        "fingerprint": index.fingerprint,
        "splits": index.split_protocol or "none",
        "meters per pixel": "not stated" if index.gsd is None else f"{index.gsd:g}",
        "license": index.license or "not stated",
        "attribution": index.attribution or "not stated",
        "left out as unreadable": f"{len(index.skipped):,}",
    }
    return Section("Origin", tables=[Table(("what", "value"), list(facts.items()))])


def _numbers(facts: DataFacts) -> list[Number]:
    numbers = [
        Number("patches", f"{facts.audit.patches:,}", f"in {len(facts.classes)} classes"),
        Number("duplicates", f"{len(facts.audit.exact):,} + {len(facts.audit.near):,}", "exact sets + near pairs"),
    ]
    headers = facts.shortcuts.headers
    if headers is not None:
        chance = f"chance: {100 * headers.score.chance:.1f} %"
        numbers.append(Number("separable by file headers alone", headers.score.accuracy, chance))
    colors = facts.shortcuts.colors
    if colors is not None:
        numbers.append(Number("separable by colors alone", colors.score.accuracy))
    return numbers
