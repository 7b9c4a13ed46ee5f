"""A check of explanation maps as a folder: the page, the curves, and maps each with its own verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from swath.data import PatchIndex
from swath.evaluation.faithfulness import (
    BASELINES,
    COMPOSITES,
    PATCHES,
    REDRAWN,
    SANITY_DRAWS,
    MapCheck,
    MapExamples,
    RemovalCurves,
    measure_maps,
)
from swath.explain.evidence import Explainer
from swath.explain.faithful import Part
from swath.explain.pictures import evidence_key, evidence_tiles
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.charts import Chart, Line, Panel, panels_chart
from swath.pages.html import Cell, Image, Link, Number, Section, Table, write_report
from swath.pages.text import points
from swath.progress import Progress, silent

NUMBERS, CURVES = "explain.json", "curves.svg"
_CURVES = (("map", "warm", ""), ("random", "accent", "7 3"), ("center", "soft", "2 3"), ("other", "#7a5195", "8 3 2 3"))


def write_maps_report(
    classifier: Classifier,
    explain: Explainer,
    randomized_explainer: Callable[[Part, int], Explainer],
    index: PatchIndex,
    out: Path,
    *,
    split: str = "val",
    limit: int = PATCHES,
    seed: int = 0,
    draws: int = SANITY_DRAWS,
    overwrite: bool = False,
    progress: Progress = silent,
) -> MapCheck:
    """Check the maps of a model and write the result into a folder, all or nothing; see :func:`write_maps`.

    Parameters
    ----------
    classifier, explain, randomized_explainer, index, split, limit, seed, draws, progress
        As for :func:`swath.evaluation.faithfulness.measure_maps`.
    out : Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.

    Raises
    ------
    DataError, SettingError
        As :func:`swath.evaluation.faithfulness.measure_maps`.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path)) as folder:
        check, examples = measure_maps(
            classifier,
            explain,
            randomized_explainer,
            index,
            split=split,
            limit=limit,
            seed=seed,
            draws=draws,
            progress=progress,
        )
        write_maps(folder, check, examples)
    return check


def write_maps(folder: Path, check: MapCheck, examples: MapExamples) -> None:
    """Write a check of maps into an existing folder.

    Writes ``explain.json`` (see :class:`MapCheck`), ``curves.svg`` and ``index.html``, a page with everything inside.

    Parameters
    ----------
    folder : Path
        Where to write.
    check : MapCheck
        The result.
    examples : MapExamples
        Patches with their maps and verdicts.
    """
    (folder / NUMBERS).write_text(check.to_json(), encoding="utf-8")
    (folder / CURVES).write_bytes(removal_chart(check).to_svg())
    write_report(
        folder / "index.html",
        [
            checked_section(check),
            Section(
                "Maps, each with its verdict",
                text=(
                    "Under each map: how many of 19 random maps it beats when the pixels it marks are hidden; with "
                    "fewer than 18 that one map fails.",
                ),
                images=[evidence_key()],
                tiles=example_tiles(examples),
            ),
        ],
        title=f"Are the maps of '{check.model}' true?",
        summary=check.verdict,
        numbers=key_numbers(check),
        links=[Link("All numbers (JSON)", folder / NUMBERS)],
    )


def example_tiles(examples: MapExamples) -> list[Image]:
    """Patches next to their maps, with the verdict on each."""
    return evidence_tiles(
        examples.pixels, examples.evidence, bands=examples.bands, truth=examples.truth, checks=examples.verdicts
    )


def key_numbers(check: MapCheck) -> list[Number]:
    """The numbers to see first."""
    numbers = [
        Number("probability kept, marked pixels hidden first", check.deletion.map, "lower is better"),
        Number("the same, random pixels hidden first", check.deletion.random),
    ]
    if check.localization:
        numbers.append(Number("map mass in the right quadrant", check.localization["crops"], "chance: 25 %"))
    return numbers


def checked_section(check: MapCheck) -> Section:
    """Show a check of maps in tables and with the chart of :func:`removal_chart`."""
    removal = [
        (BASELINES[name], *(cell for r in (check.deletion, check.insertion) for cell in _removal_cells(r, name)))
        for name in BASELINES
    ]
    randomization = [
        (
            REDRAWN[f.part],
            f"{f.correlation.value:+.2f} ({f.correlation.low:+.2f} to {f.correlation.high:+.2f})",
            f"{f.size.value:.2f}",
            _word(f.holds),
        )
        for f in check.randomization
    ]
    tables = [
        Table(
            ("order", "hidden first (lower is better)", "map's lead", "shown first (higher is better)", "map's lead"),
            removal,
            "Mean probability of the class while its patch's pixels are hidden, or shown, in an order",
        ),
        Table(
            ("new weights in", "mean rank correlation", "mean size", "verdict"),
            randomization,
            "Maps before and after weights were drawn again: they should not stay similar",
        ),
    ]
    if check.localization:
        rows: list[Sequence[Cell]] = [(COMPOSITES[v], e) for v, e in check.localization.items()]
        caption = "Share of positive map mass in the right quarter of composites of four patches; chance is 25 %"
        tables.append(Table(("composites of", "inside"), rows, caption))
    return Section(
        "Checks of the maps",
        text=(
            f"{check.n:,} patches of the split '{check.split}'; the class explained is the predicted one. Hidden "
            "pixels take the mean color of the training patches; pixels are shown on a blurred patch. "
            f"Random maps are drawn on the maps' own grid of {check.grid[0]} x {check.grid[1]} places; another "
            "patch's map is as smooth as the patch's own.",
        ),
        warnings=[*check.failures, *check.limits],
        tables=tables,
        images=(removal_chart(check),),
    )


def removal_chart(check: MapCheck) -> Chart:
    """Draw the mean deletion and insertion curves of the maps and of the baselines."""

    def panel(title: str, removal: RemovalCurves) -> Panel:
        lines = [
            Line(
                np.linspace(0, 100, len(removal.curves[name])),
                removal.curves[name],
                f"{BASELINES[name]}: {getattr(removal, name).value:.3f}",
                color,
                dash,
            )
            for name, color, dash in _CURVES
        ]
        return Panel(lines, x=(0, 100), title=title, up="mean probability of the class", across="% of the pixels")

    return panels_chart(
        "Deletion and insertion curves of the maps and of the baselines",
        [
            panel("Hidden, marked first (lower is better)", check.deletion),
            panel("Shown, marked first (higher is better)", check.insertion),
        ],
        columns=2,
        caption="The numbers are means over the pixels.",
    )


def _removal_cells(removal: RemovalCurves, name: str) -> tuple[Cell, Cell]:
    """Area of one kind of maps, and the lead of the checked maps over it."""
    area: Estimate = getattr(removal, name)
    return area, _word(removal.holds) if name == "map" else points(getattr(removal, f"lead_on_{name}"))


def _word(holds: bool) -> str:
    return "holds" if holds else "FAILS"
