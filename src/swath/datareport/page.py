"""The data report as a folder: :func:`data_report` measures an index and writes the page and its facts as JSON.

The verdict comes first, in plain sentences (:func:`verdict`); the sections follow, each from facts, charts and the
patches themselves (:class:`PatchPictures`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.data.audit import one_path_per_content
from swath.datareport.facts import DataFacts, Embedding, measure_data, report_pixels, rows_of_classes, spread_out
from swath.datareport.shortcuts import Shortcut
from swath.evaluation.plots import sample_strips
from swath.evaluation.sections import data_section
from swath.files import atomic_folder
from swath.imagery import RGB
from swath.model.record import class_infos
from swath.pages.charts import DASHES, Chart, Cloud, Line, Panel, clouds_chart, panels_chart
from swath.pages.figures import RgbImage, pixels_to_png, tile, tile_sheet
from swath.pages.html import Cell, Image, Number, Point, Section, Table, write_report
from swath.pages.text import counted, written
from swath.progress import Progress, silent

_MODES = 3
_ROWS = 30  # of a table of values; more are counted
PAGE, FACTS = "index.html", "facts.json"
_LEFT = ("leak", "copies", "near", "overlap", "ignored")  # findings worded here, and those that do not affect a score
SHOWN_CLASSES = 40
SAMPLES = 10
PAIRS = 12
OUTLIERS = 20
BINS = 64
TILE = 96  # pixels of a picture on a sheet
_MEASURED = 400  # patches per class for means and histograms; drawn with seed 0
_BANDS = {"red": "#c23b22", "green": "#2e8b3d", "blue": "#2a5db0", "gray": "#56646e", "nir": "#8b3fa0"}
_OTHER = ("#17617c", "#d98032", "#7a4a00", "#5b5b66", "#a23e8c")
_SPLITS = {"train": "#17617c", "val": "#d98032", "test": "#c23b22", None: "#8a98a1"}
_CELLS, _THUMB = 20, 48
_MANY = 12  # classes that a legend of dots can still tell apart


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
    """Draw the pictures and write ``index.html`` and ``facts.json`` into an existing folder.

    The embedding is not among the facts in the file; an estimate is its value, interval and count.
    """
    progress("report", 0, 2, note="pictures")
    pixels, bands = report_pixels(index)
    shown, name = PatchPictures(index, pixels, bands), index.name or "unnamed"
    progress("report", 1, 2, note="page")
    write_report(
        folder / PAGE,
        [
            _classes(facts, shown),
            _shortcuts(facts),
            _files(facts),
            _duplicates(facts, shown),
            _shared_ground(facts),
            _splits(index, facts),
            _published(facts),
            _colors(facts, shown),
            Section("Histograms", images=[histograms_chart(pixels, shown.drawn, bands)]),
            _outliers(facts, shown),
            _similarity(facts, shown),
            _places(index, facts),
            _origin(index),
        ],
        title=f"Data report on '{name}'",
        points=_points(facts),
        numbers=_numbers(facts),
    )
    values = asdict(facts)
    del values["embedding"]
    text = json.dumps(values, default=lambda value: value.model_dump(), indent=2, ensure_ascii=False)
    (folder / FACTS).write_text(text + "\n", encoding="utf-8")
    progress("report", 2, 2)


def verdict(facts: DataFacts) -> str:
    """Say in a few plain sentences what makes a score on this set unreliable."""
    said = reasons(facts)
    if not said:
        return "Nothing was found that would make a score on these patches unreliable."
    return "Before relying on a score on these patches: " + " ".join(said)


def _points(facts: DataFacts) -> list[Point]:
    """What makes a score on this set unreliable, one reason per line."""
    said = reasons(facts)
    if not said:
        text = "reasons were found that would make a score on these patches unreliable"
        return [Point("good", text, "0", head="Sound")]
    return [Point("beware", sentence) for sentence in said]


def reasons(facts: DataFacts) -> list[str]:
    """What makes a score on this set unreliable, a few sentences each, the most serious first."""
    against = [
        *header_warnings(facts),
        *mode_warnings(facts),
        *(one.sentence() for one in facts.overlaps),
        counted(facts.copies, "file repeats", "files repeat") + " another byte for byte." if facts.copies else "",
        counted(len(facts.audit.leaks), "duplicate lies", "duplicates lie")
        + " in more than one split, so a test would flatter."
        if facts.audit.leaks
        else "",
        *(
            f.text
            for f in facts.audit.findings
            if f.kind not in _LEFT and not (f.kind == "shortcut" and header_warnings(facts))
        ),
    ]
    return [sentence for sentence in against if sentence]


class PatchPictures:
    """The patches that a report shows, decoded once.

    Attributes
    ----------
    drawn : dict of str to numpy.ndarray
        Rows of up to 400 patches of each of the commonest classes, drawn at random.
    """

    def __init__(self, index: PatchIndex, pixels: npt.NDArray[Any], bands: Sequence[str]) -> None:
        self.pixels, self.bands = pixels, bands
        self.labels = one_path_per_content(index)
        self._row_of = {path: row for row, path in enumerate(index.paths)}
        rows = rows_of_classes(index)
        names = sorted(sorted(rows, key=lambda name: (-len(rows[name]), name))[:SHOWN_CLASSES])
        rng = np.random.default_rng(0)
        self.drawn = {name: rng.permutation(np.array(rows[name], np.intp))[:_MEASURED] for name in names if rows[name]}

    def patch(self, path: str) -> RgbImage:
        """One patch as a picture."""
        return tile(self.pixels[self._row_of[path]], self.bands, side=TILE)

    def samples(self) -> list[Image]:
        """Strips of patches drawn at random, one per class."""
        some = [(row, name) for name, rows in self.drawn.items() for row in rows[:SAMPLES].tolist()]
        pixels = np.stack([self.pixels[row] for row, _ in some])
        return sample_strips(pixels, [name for _, name in some], bands=self.bands, each=SAMPLES)

    def means(self) -> list[Image]:
        """The mean patch of each class."""
        return [
            Image(pixels_to_png(tile(_mean(self.pixels, rows), self.bands, side=TILE)), f"Mean of {name}", name)
            for name, rows in self.drawn.items()
        ]

    def pairs(self, members: Sequence[Sequence[str]], what: str) -> list[Image]:
        """Patches next to each other, with their names."""
        return [
            Image(
                pixels_to_png(tile_sheet({(0, k): self.patch(path) for k, path in enumerate(pair[:2])}, gap=2)),
                f"{what}: {' and '.join(pair[:2])}",
                f"{what}: {' = '.join(pair[:2])}",
            )
            for pair in members[:PAIRS]
        ]


def _classes(facts: DataFacts, shown: PatchPictures) -> Section:
    several = f", of the {SHOWN_CLASSES} commonest classes" if len(facts.classes) > SHOWN_CLASSES else ""
    section = data_section(facts.classes, patches=facts.audit.patches)
    return replace(section, title="Classes", text=[f"Patches drawn at random{several}."], strips=shown.samples())


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
        return (one.name, f"{one.values:,}" if one.values else "numbers", one.score.accuracy, f"{gain:+.0f} points")

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
        warnings=header_warnings(facts),
        tables=[
            Table(
                ("property of a file", "values", "accuracy", "above chance"),
                [row(one) for one in found.all],
                f"Cross-validated on {found.patches:,} patches",
            )
        ],
    )


def header_warnings(facts: DataFacts) -> list[str]:
    """Warn that headers predict the class, if they do."""
    one = facts.shortcuts.headers
    if one is None or not one.is_shortcut:
        return []
    return [
        f"File headers alone predict the class of {100 * one.score.accuracy.value:.1f} % of patches (chance: "
        f"{100 * one.score.chance:.1f} %). Bring all files to one form with: swath data fix."
    ]


def _files(facts: DataFacts) -> Section:
    low, middle, high = facts.lengths
    return Section(
        "Files",
        text=[f"A file has from {low:,} to {high:,} bytes, half of them at most {middle:,}."],
        warnings=mode_warnings(facts),
        tables=[
            _counts("size in pixels", facts.audit.sizes),
            _counts("mode", facts.audit.modes),
            _counts("format and compression", facts.forms),
            _counts("blocks besides the pixels", facts.extras),
        ],
    )


def mode_warnings(facts: DataFacts) -> list[str]:
    """Warn that files are stored in several modes, if they are."""
    (common, _), *others = facts.audit.modes.items()
    odd = ", ".join(f"{n:,} files are {mode}" for mode, n in others[:_MODES])
    said = f"Modes differ: {odd}, where most are {common}. All are read as one, but not with the same colors."
    return [said] if others else []


def _counts(what: str, counts: Mapping[str, int]) -> Table:
    rows: list[tuple[Cell, ...]] = list(list(counts.items())[:_ROWS])
    rest = list(counts.values())[_ROWS:]
    if rest:
        rows.append((f"{len(rest):,} others", sum(rest)))
    return Table((what, "files"), rows)


def _duplicates(facts: DataFacts, shown: PatchPictures) -> Section:
    found = facts.audit
    near_pairs = [(pair.first, pair.second) for pair in found.near]
    tiles = [
        *shown.pairs(found.leaks, "On both sides of a split"),
        *shown.pairs(found.exact, "The same byte for byte"),
        *shown.pairs(near_pairs, "The same picture in different files"),
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
        text=_duplicates_text(facts),
        numbers=[
            Number("sets of identical files", f"{len(found.exact):,}", f"{facts.copies:,} surplus copies"),
            Number("pairs of near duplicates", f"{len(found.near):,}"),
            Number("across splits", f"{len(found.leaks):,}"),
            Number("with different labels", f"{len(found.contradictions):,}"),
        ],
        tables=tables,
        tiles=tiles,
    )


def _duplicates_text(facts: DataFacts) -> list[str]:
    found = facts.audit
    if not (found.exact or found.near):
        return ["No two files are the same, and no two pictures nearly so."]
    most = max(map(len, (found.exact, found.near, found.leaks)))
    return [f"The first {PAIRS} of each kind are shown."] if most > PAIRS else []


def _shared_ground(facts: DataFacts) -> Section:
    found = facts.audit
    if not found.shared_ground:
        return Section("Shared ground", text=["No two patches show some of the same ground, as far as content tells."])
    largest = sorted(found.shared_ground, key=lambda pair: (-pair.share, pair))[:PAIRS]
    rows: list[tuple[Cell, ...]] = [(p.first, p.second, f"{100 * p.share:.0f} %") for p in largest]
    tables = [Table(("patch", "shares ground with", "share"), rows, f"The {len(rows)} largest overlaps")]
    leaks: list[tuple[Cell, ...]] = [
        (p.held_out, p.train, f"{100 * p.share:.0f} %") for p in found.ground_leaks[:PAIRS]
    ]
    if leaks:
        tables.insert(0, Table(("held-out patch", "shares ground with train patch", "share"), leaks))
    return Section(
        "Shared ground",
        text=[
            "Patches cut from one scene so that they overlap. Where one is in train and the other in test, a network "
            "is tested on ground it has seen."
        ],
        warnings=[finding.text for finding in found.findings if finding.kind == "ground"],
        numbers=[
            Number("patches that share ground", f"{found.sharing:,}"),
            Number("pairs", f"{len(found.shared_ground):,}"),
            Number("held out, more than a quarter in train", f"{len(found.ground_leaks):,}"),
        ],
        tables=tables,
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
    warnings = [finding.text for finding in facts.audit.findings if finding.kind in ("optimistic", "origin")]
    if facts.audit.leaks:
        warnings.append(
            counted(len(facts.audit.leaks), "set of duplicates lies", "sets of duplicates lie")
            + " in more than one split."
        )
    warnings += [finding.text for finding in facts.audit.findings if finding.kind in ("ground", "torn")]
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


def _colors(facts: DataFacts, shown: PatchPictures) -> Section:
    channels = facts.audit.channels
    rows: list[tuple[Cell, ...]] = [
        ("all: mean", *(f"{value:.1f}" for value in channels.mean)),
        ("all: standard deviation", *(f"{value:.1f}" for value in channels.sd)),
        *(
            (label, *(f"{value:.1f}" for value in means))
            for label, means in list(channels.by_class.items())[:SHOWN_CLASSES]
        ),
    ]
    seen = "true color" if set(RGB) <= set(shown.bands) else "the first band"
    return Section(
        "Colors",
        text=[
            "Classes whose mean image shows a pattern were cut with the object in the middle, or share an artifact. "
            f"Below the table, the mean patch of each class, {seen}."
        ],
        tables=[Table(("mean of the pixels", *channels.bands), rows, f"{channels.patches:,} patches")],
        tiles=shown.means(),
        small_tiles=True,
    )


def _outliers(facts: DataFacts, shown: PatchPictures) -> Section:
    text = []
    if facts.plain:
        plain = counted(len(facts.plain), "patch is", "patches are")
        text.append(f"{plain} of one single color; the first is {facts.plain[0]}.")
    if not facts.outliers:
        text.append("No patch is much darker or brighter than its class.")
        return Section("Outliers", text=text)
    far = counted(len(facts.outliers), "patch is", "patches are")
    text.append(
        f"{far} more than five robust standard deviations darker or brighter than "
        "the median of their class: clouds, snow, no data, or another class."
    )
    furthest = facts.outliers[:OUTLIERS]
    text.append(f"The {len(furthest)} furthest, with their mean in 8-bit levels.")
    tiles = [
        Image(
            pixels_to_png(shown.patch(o.path)),
            f"Patch {o.path}",
            f"{o.brightness:.0f} ({o.deviation:+.0f} sd). {PurePosixPath(o.path).stem}",
        )
        for o in furthest
    ]
    return Section("Outliers", text=text, tiles=tiles, small_tiles=True)


def _similarity(facts: DataFacts, shown: PatchPictures) -> Section:
    return Section(
        "Map of similarity",
        text=[
            f"{len(facts.embedding.rows):,} patches by {facts.embedding.by}, projected on two principal components. "
            "Neighbors are similar; dots of one color among another are worth a look."
        ],
        images=[
            embedding_chart(facts.embedding, shown.labels),
            Image(
                thumbnails_picture(facts.embedding, shown.pixels, shown.bands),
                "The same map with patches",
                "The same map: one patch per cell.",
            ),
        ],
    )


def _places(index: PatchIndex, facts: DataFacts) -> Section:
    places = zip(*(index.table[column].to_pylist() for column in ("lon", "lat", "split")), strict=True)
    known = [place for place in places if None not in place[:2]]
    if not known:
        return Section("Places", text=["The index has no coordinates, so nothing is known of where patches lie."])
    near = facts.near
    text = [] if near is None else [f"Within {near.km:g} km of training: {near.near:,} of {near.measured:,}."]
    return Section("Places", text=text, images=[places_chart(known)])


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
    if (headers := facts.shortcuts.headers) is not None:
        chance = f"chance: {100 * headers.score.chance:.1f} %"
        numbers.append(Number("separable by file headers alone", headers.score.accuracy, chance))
    if (colors := facts.shortcuts.colors) is not None:
        numbers.append(Number("separable by colors alone", colors.score.accuracy))
    return numbers


def _mean(pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    mean = pixels[np.sort(rows)].mean(axis=0, dtype=np.float64)
    return np.asarray(np.rint(mean).astype(pixels.dtype))


def histograms_chart(pixels: npt.NDArray[Any], rows: Mapping[str, npt.NDArray[np.intp]], bands: Sequence[str]) -> Chart:
    """Draw how often each value occurs: a panel per class and a line per band.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]``.
    rows : mapping of str to numpy.ndarray
        Patches of each class.
    bands : sequence of str
        Names of the bands.
    """
    top = 256.0 if pixels.dtype == np.uint8 else float(int(pixels[:].max()) + 1)
    middles = (np.arange(BINS) + 0.5) * top / BINS
    looks = [
        (_BANDS.get(band, _OTHER[place % len(_OTHER)]), DASHES[place % len(DASHES)]) for place, band in enumerate(bands)
    ]
    panels = []
    for label, own in rows.items():
        binned = np.minimum((pixels[np.sort(own)] * np.float32(BINS / top)).astype(np.uint8), BINS - 1)
        lines = []
        for place, (color, dash) in enumerate(looks):
            counts = np.bincount(binned[:, place].ravel(), minlength=BINS)
            lines.append(Line(middles, counts / max(1, int(counts.sum())), "", color, dash))
        most = max(float(np.max(line.y)) for line in lines)
        panels.append(Panel(lines, x=(0, top), y=(0, most or 1.0), title=written(label, limit=24), y_ticks=()))
    return panels_chart(
        "Histogram of each class",
        panels,
        columns=4,
        narrow_columns=2,
        tall=80,
        key=[Line([], [], band, color, dash) for band, (color, dash) in zip(bands, looks, strict=True)],
        caption="How often each value occurs, by class and band.",
    )


def embedding_chart(found: Embedding, labels: Sequence[str]) -> Chart:
    """Draw one dot per patch in the color of its class; of very many classes, the commonest in color."""
    there = [labels[int(row)] for row in found.rows]
    names = sorted(sorted(set(there), key=lambda name: (-there.count(name), name))[:_MANY])
    groups = [(written(info.name, limit=40), f"#{info.color_hint}", {info.name}) for info in class_infos(names)]
    groups.insert(0, ("other classes", "soft", set(there) - set(names)))
    clouds = []
    for name, color, members in groups:
        chosen = found.places[[label in members for label in there]]
        if len(chosen):
            clouds.append(Cloud(name, color, chosen))
    return clouds_chart(
        "One dot per patch, colored by class",
        clouds,
        across=f"component 1 ({100 * found.explained[0]:.0f} % of the variance)",
        up=f"component 2 ({100 * found.explained[1]:.0f} %)",
        caption="One dot per patch.",
    )


def thumbnails_picture(found: Embedding, pixels: npt.NDArray[Any], bands: Sequence[str]) -> bytes:
    """Draw the same map with patches instead of dots: one for each cell that has any, clear where there is none."""
    step = _THUMB + 2
    sheet = np.zeros((_CELLS * step, _CELLS * step, 4), np.uint8)
    for number, column, row in spread_out(found.places, cells=_CELLS):
        place = np.s_[row * step : row * step + _THUMB, column * step : column * step + _THUMB]
        sheet[place][..., :3] = tile(pixels[int(found.rows[number])], bands, side=_THUMB)
        sheet[place][..., 3] = 255
    return pixels_to_png(sheet)


def places_chart(places: Sequence[tuple[float, float, str | None]]) -> Chart:
    """Draw longitude and latitude of patches, in the color of their split."""
    clouds = []
    for split, color in _SPLITS.items():
        chosen = np.array([(lon, lat) for lon, lat, own in places if own == split])
        if len(chosen):
            clouds.append(Cloud(split or "in no split", color, chosen))
    middle = np.radians(np.clip(np.mean([lat for _, lat, _ in places]), -80, 80))
    return clouds_chart(
        "Longitude and latitude of patches",
        clouds,
        across="longitude, degrees",
        up="latitude, degrees",
        aspect=float(1 / np.cos(middle)),
        caption="Where patches lie, colored by split.",
    )
