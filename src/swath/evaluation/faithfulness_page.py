"""The page of a check of maps: its verdict, the curves, and maps each with its own verdict beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from swath.data import PatchIndex
from swath.evaluation.faithfulness import (
    BASELINES,
    PATCHES,
    SANITY_DRAWS,
    MapCheck,
    RemovalCurves,
    check_maps,
    chosen_patches,
    composite_name,
    randomization_name,
)
from swath.explain.faithful import faithfulness
from swath.explain.methods import Explainer
from swath.explain.overlay import contact_sheet
from swath.explain.sanity import Part
from swath.files import atomic_file, atomic_folder
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.figures import save
from swath.pages.html import Cell, Image, Link, Number, Section, Table, write_report
from swath.pages.wording import points
from swath.progress import Progress, silent

SHOWN = 20  # maps on the page
_CURVES = (
    ("map", "#b3261e", "-"),
    ("random", "#1f6f8b", "--"),
    ("center", "#8a98a1", ":"),
    ("other", "#7a5195", "-."),
)


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
    """Check the maps of a model and write what was found into a folder.

    Writes, all or nothing: ``explain.json`` (see :class:`MapCheck`), ``index.html``, a page with
    everything inside, and its pictures ``maps.png`` and ``curves.png``.

    Parameters
    ----------
    classifier, explain, forgetful, index, split, limit, seed, draws, progress
        As for :func:`swath.evaluation.faithfulness.check_maps`.
    out : Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.

    Raises
    ------
    DataError, SettingError
        As :func:`swath.evaluation.faithfulness.check_maps`.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path)) as folder:
        check = check_maps(
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
        (folder / "explain.json").write_text(check.model_dump_json(indent=2) + "\n", encoding="utf-8")
        curve_picture(folder / "curves.png", check)
        pixels, labels = chosen_patches(classifier, index, split=split, limit=SHOWN, seed=seed)
        evidence = explain(pixels)
        names = classifier.record.class_names
        contact_sheet(
            folder / "maps.png",
            pixels,
            evidence,
            bands=classifier.record.input.bands,
            truth=None if labels is None else [names[k] for k in labels],
            checks=faithfulness(classifier, pixels, evidence, seed=seed),
        )
        write_report(
            folder / "index.html",
            [
                checked_section(check, curves=folder / "curves.png"),
                Section(
                    "Maps, each with its verdict",
                    text=(
                        "Red speaks for the class, blue against it. Under each map: how many of 19 random maps it "
                        "beats when the pixels it marks are hidden; with fewer than 18 that one map fails.",
                    ),
                    images=(Image(folder / "maps.png", "Patches above their maps and verdicts"),),
                ),
            ],
            title=f"Do the maps of {check.model} tell the truth?",
            summary=check.verdict,
            numbers=key_numbers(check),
            links=[Link("All numbers (JSON)", folder / "explain.json")],
        )
    return check


def key_numbers(check: MapCheck) -> list[Number]:
    """The numbers to see first."""
    numbers = [
        Number("probability kept, marked pixels hidden first", check.deletion.map, "lower is better"),
        Number("the same, random pixels hidden first", check.deletion.random),
    ]
    if check.localization:
        numbers.append(Number("map mass in the right quadrant", check.localization["crops"], "chance: 25 %"))
    return numbers


def checked_section(check: MapCheck, *, curves: Path | bytes) -> Section:
    """Say what a check of maps found, in tables and the picture of :func:`curve_picture`."""
    removal = [
        (
            BASELINES[name],
            *(cell for r in (check.deletion, check.insertion) for cell in _removal_cells(r, name)),
        )
        for name in BASELINES
    ]
    randomization = [
        (
            randomization_name(f.part),
            f"{f.correlation.value:+.2f} ({f.correlation.low:+.2f} to {f.correlation.high:+.2f})",
            f"{f.size.value:.2f}",
            _word(f.holds),
        )
        for f in check.randomization
    ]
    tables = [
        Table(
            (
                "order",
                "hidden first (lower is better)",
                "map's lead",
                "shown first (higher is better)",
                "map's lead",
            ),
            removal,
            "Mean probability of the class while its patch's pixels are hidden, or shown, in an order",
        ),
        Table(
            ("the network forgets", "mean rank correlation", "mean size", "verdict"),
            randomization,
            "Maps before and after weights were drawn again: they should not stay alike",
        ),
    ]
    if check.localization:
        rows: list[Sequence[Cell]] = [(composite_name(v), e) for v, e in check.localization.items()]
        caption = (
            "Share of positive map mass in the right quarter of composites of four patches; chance is 25 %"
        )
        tables.append(Table(("composites of", "inside"), rows, caption))
    return Section(
        "Checked, not believed",
        text=(
            f"{check.n:,} patches of the split '{check.split}'; the class explained is the predicted one. Hidden "
            "pixels take the mean color of the training patches; shown ones come onto a blurred patch. "
            f"Random maps are drawn on the maps' own grid of {check.grid[0]} x {check.grid[1]} places; another "
            "patch's map is as smooth as the right one.",
        ),
        warnings=[*check.failures, *check.limits],
        tables=tables,
        images=(Image(curves, "Deletion and insertion curves beside those of the baselines"),),
    )


def curve_picture(path: Path, check: MapCheck, *, overwrite: bool = False) -> None:
    """Draw the mean deletion and insertion curves of the maps and of the baselines.

    Raises
    ------
    OutputError
        If `path` exists without `overwrite` or cannot be written.
    """
    figure = Figure(figsize=(8.6, 3.4), layout="constrained")
    for axis, title, removal in zip(
        figure.subplots(1, 2, sharey=True),
        ("hidden, marked first (lower is better)", "shown, marked first (higher is better)"),
        (check.deletion, check.insertion),
        strict=True,
    ):
        for name, color, style in _CURVES:
            curve = removal.curves[name]
            share = np.linspace(0, 100, len(curve))
            axis.plot(
                share,
                curve,
                style,
                color=color,
                label=f"{BASELINES[name]}: {getattr(removal, name).value:.3f}",
            )
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_xlabel("% of the pixels", fontsize=9)
        axis.set_ylim(0, 1)
        axis.grid(color="#e3e8eb", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=8, frameon=False, title="mean over the pixels", title_fontsize=8)
    figure.axes[0].set_ylabel("mean probability of the class", fontsize=9)
    with atomic_file(path, overwrite=overwrite) as temporary:
        save(figure, temporary)


def _removal_cells(removal: RemovalCurves, name: str) -> tuple[Cell, Cell]:
    """Area of one kind of maps, and how far the checked maps are ahead of it."""
    area: Estimate = getattr(removal, name)
    return area, _word(removal.holds) if name == "map" else points(getattr(removal, f"lead_on_{name}"))


def _word(holds: bool) -> str:
    return "holds" if holds else "FAILS"
