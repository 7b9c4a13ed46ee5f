"""``swath demo`` and ``swath quickstart``: see the whole thing work."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli.options import Engine, Overwrite, Threads

if TYPE_CHECKING:
    from swath.pipelines import ShowcaseResult

Open = Annotated[
    bool | None,
    typer.Option("--open/--no-open", help="Open the report in a browser; by default if there is one."),
]


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("swath-demo"),
    model: Annotated[str, typer.Option(help="Any model with EuroSAT's classes.")] = "eurosat",
    engine: Engine = "auto",
    threads: Threads = None,
    open_: Open = None,
    overwrite: Overwrite = False,
) -> None:
    """Classify, explain, test and map shipped patches with the shipped model, in seconds.

    Example: swath demo --out look/
    """
    from swath.pipelines import demo as run
    from swath.progress import Bars

    with Bars() as progress:
        shown = run(out, model=model, engine=engine, threads=threads, overwrite=overwrite, progress=progress)
    _print_result(shown, open_)


def quickstart(
    source: Annotated[
        str, typer.Argument(help="Folder of class folders, CSV, zip of either, or eurosat-mini.")
    ] = "eurosat-mini",
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("swath-quickstart"),
    recipe: Annotated[str, typer.Option(help="A shipped recipe or a .yaml file.")] = "quickstart",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the recipe: epochs=5")
    ] = None,
    threads: Threads = None,
    open_: Open = None,
    overwrite: Overwrite = False,
) -> None:
    """Index, audit, split, train, test, explain and map labeled patches: the whole path in minutes.

    Example: swath quickstart eurosat-mini --out report/
    """
    from swath.cli.train import require_training
    from swath.pipelines import quickstart as run
    from swath.progress import Bars

    require_training()
    with Bars() as progress:
        shown = run(
            out,
            source=source,
            recipe=recipe,
            changes=set_,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    _print_result(shown, open_)


def _print_result(shown: ShowcaseResult, open_: bool | None) -> None:
    for line in shown.evaluation.lines():
        typer.echo(line)
    agreed = shown.map_accuracy
    if agreed is not None:
        typer.echo(
            f"map of the sewn test scene: {agreed.patches_right:,} of {agreed.patches:,} patches right "
            f"({100 * agreed.patches_right / agreed.patches:.1f} %)"
        )
    page = shown.report.resolve().as_uri()
    typer.echo(f"report: {page}")
    if open_ or (open_ is None and _has_screen()):
        import webbrowser

        webbrowser.open(page)


def _has_screen() -> bool:
    """Whether a person sits in front of this terminal with a desktop around it."""
    desktop = (
        sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    return bool(desktop) and sys.stdout.isatty()
