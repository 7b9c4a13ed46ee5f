"""A check of explanation maps as a folder: the page, the curves, and maps each with its own verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

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
from swath.explain.pictures import contact_sheet
from swath.files import atomic_folder
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.figures import ACCENT, SOFT, finish_axis, to_png
from swath.pages.html import Cell, Image, Link, Number, Section, Table, write_report
from swath.pages.text import points
from swath.progress import Progress, silent

NUMBERS, CURVES, SHEET = "explain.json", "curves.png", "maps.png"
_CURVES = (("map", "#b3261e", "-"), ("random", ACCENT, "--"), ("center", SOFT, ":"), ("other", "#7a5195", "-."))


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
        write_maps(folder, check, map_pictures(check, examples))
    return check


def map_pictures(check: MapCheck, examples: MapExamples) -> dict[str, bytes]:
    """Draw the pictures of a check, by file name."""
    sheet = contact_sheet(
        examples.pixels, examples.evidence, bands=examples.bands, truth=examples.truth, checks=examples.verdicts
    )
    return {CURVES: curve_picture(check), SHEET: sheet}


def write_maps(folder: Path, check: MapCheck, pictures: Mapping[str, bytes]) -> None:
    """Write a check of maps into an existing folder.

    Writes ``explain.json`` (see :class:`MapCheck`), ``index.html``, a page with everything inside, and its pictures
    ``maps.png`` and ``curves.png``.

    Parameters
    ----------
    folder : Path
        Where to write.
    check : MapCheck
        The result.
    pictures : mapping of str to bytes
        From :func:`map_pictures`.
    """
    (folder / NUMBERS).write_text(check.to_json(), encoding="utf-8")
    for name, picture in pictures.items():
        (folder / name).write_bytes(picture)
    write_report(
        folder / "index.html",
        [
            checked_section(check, curves=pictures[CURVES]),
            Section(
                "Maps, each with its verdict",
                text=(
                    "Red adds to the class, blue takes away. Under each map: how many of 19 random maps it "
                    "beats when the pixels it marks are hidden; with fewer than 18 that one map fails.",
                ),
                images=(Image(pictures[SHEET], "Patches above their maps and verdicts"),),
            ),
        ],
        title=f"Are the maps of {check.model} true?",
        summary=check.verdict,
        numbers=key_numbers(check),
        links=[Link("All numbers (JSON)", folder / NUMBERS)],
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


def checked_section(check: MapCheck, *, curves: bytes) -> Section:
    """Show a check of maps in tables and with the picture of :func:`curve_picture`."""
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
        images=(Image(curves, "Deletion and insertion curves of the maps and of the baselines"),),
    )


def curve_picture(check: MapCheck) -> bytes:
    """Draw the mean deletion and insertion curves of the maps and of the baselines."""
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    for axis, title, removal in zip(
        figure.subplots(1, 2, sharey=True),
        ("hidden, marked first (lower is better)", "shown, marked first (higher is better)"),
        (check.deletion, check.insertion),
        strict=True,
    ):
        for name, color, style in _CURVES:
            curve = removal.curves[name]
            label = f"{BASELINES[name]}: {getattr(removal, name).value:.3f}"
            axis.plot(np.linspace(0, 100, len(curve)), curve, style, color=color, label=label)
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_ylim(0, 1)
        finish_axis(axis, across="% of the pixels")
        axis.legend(fontsize=8, frameon=False, title="mean over the pixels", title_fontsize=8)
    figure.axes[0].set_ylabel("mean probability of the class", fontsize=9)
    return to_png(figure)


def _removal_cells(removal: RemovalCurves, name: str) -> tuple[Cell, Cell]:
    """Area of one kind of maps, and the lead of the checked maps over it."""
    area: Estimate = getattr(removal, name)
    return area, _word(removal.holds) if name == "map" else points(getattr(removal, f"lead_on_{name}"))


def _word(holds: bool) -> str:
    return "holds" if holds else "FAILS"
