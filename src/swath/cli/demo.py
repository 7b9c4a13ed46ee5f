"""``swath demo`` and ``swath quickstart``: the whole path, with the shipped model or with one trained on the way."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli import options as opt

if TYPE_CHECKING:
    from swath.pipelines import ShowcaseResult

Open = Annotated[
    bool | None,
    typer.Option("--open/--no-open", help="Open the report in a browser; by default, if there is a screen."),
]


def demo(
    out: Annotated[Path | None, opt.output("Folder to write.  [default: swath-demo]")] = None,
    model: Annotated[
        str, typer.Option(help="Any model with EuroSAT's classes.", autocompletion=opt.complete_model)
    ] = "eurosat",
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    open_: Open = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Predict, explain, evaluate and map shipped patches, in seconds.

    The folder holds index.html, which links everything, and a scene to try swath map on.

    Example: swath demo --out demo/
    """
    from swath.pipelines import demo as run

    shown = opt.with_bars(
        run, out or Path("swath-demo"), model=model, engine=engine, threads=threads, overwrite=overwrite
    )
    _print_result(shown, open_)
    opt.next_step("map", model, shown.report.parent / "scene.tif", "--out", "map.tif")
    return shown


def quickstart(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of class folders, CSV, zip of either, or eurosat-mini (shipped).",
            autocompletion=opt.complete_patches,
        ),
    ] = "eurosat-mini",
    out: Annotated[Path | None, opt.output("Folder to write.  [default: swath-quickstart]")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            help="A shipped recipe or a .yaml file.  [default: quickstart]", autocompletion=opt.complete_recipe
        ),
    ] = None,
    set_: opt.Changes = None,
    threads: opt.Threads = None,
    open_: Open = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Index, audit, split, train, evaluate, explain and map, in minutes.

    Example: swath quickstart eurosat-mini --out report/
    """
    from swath.cli.train import require_training
    from swath.pipelines import quickstart as run

    require_training()
    shown = opt.with_bars(
        run,
        out or Path("swath-quickstart"),
        source=source,
        recipe=recipe or "quickstart",
        changes=set_,
        threads=threads,
        overwrite=overwrite,
    )
    return _print_result(shown, open_)


def _print_result(shown: ShowcaseResult, open_: bool | None) -> ShowcaseResult:
    for line in shown.evaluation.lines():
        typer.echo(line)
    agreed = shown.map_accuracy
    if agreed is not None:
        typer.echo(
            f"map of a mosaic of these patches{shown.evaluation.seen.mark}: "
            f"{agreed.patches_right:,} of {agreed.patches:,} patches correct "
            f"({100 * agreed.patches_right / agreed.patches:.1f} %)"
        )
    page = shown.report.resolve().as_uri()
    typer.echo(f"report: {page}")
    if open_ or (open_ is None and _has_screen()):
        import webbrowser

        webbrowser.open(page)
    return shown


def _has_screen() -> bool:
    """Whether a person sits in front of this terminal with a desktop around it."""
    desktop = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(desktop) and sys.stdout.isatty()
