"""The command line: parse, call one function, print. Every command imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swath.cli import data, demo, evaluate, map, model, predict, train, weights
from swath.errors import SwathError

app = typer.Typer(
    name="swath",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts faster and reads the same in any terminal
    pretty_exceptions_enable=False,
    help="Labeled satellite patches to a classifier you can trust, and on to a georeferenced land map.\n\n"
    "Start with: swath demo",
)
app.add_typer(data.app, name="data")
app.add_typer(model.app, name="model")
app.command("train")(train.train)
app.command("recipes")(train.recipes)
app.command("tune")(train.tune)
app.command("experiment")(train.experiment)
app.add_typer(weights.app, name="weights")
app.command("networks")(train.networks)
app.command("predict")(predict.predict)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(evaluate.compare)
app.command("explain")(predict.explain)
app.command("errors")(evaluate.errors)
app.command("label-issues")(evaluate.label_issues)
app.command("robustness")(evaluate.robustness)
app.command("report")(evaluate.report)
app.command("map")(map.map_scene)
app.command("demo")(demo.demo)
app.command("quickstart")(demo.quickstart)


def _version(show: bool) -> None:
    if show:
        from swath import __version__

        typer.echo(f"swath {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    pass


_INTERRUPTED = 130


def main() -> None:
    """Run the command line; a user's mistake is one message on standard error and exit status 2."""
    try:
        app()
    except SwathError as error:
        _stop(str(error), error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _stop(f"{place}{error.strerror or error}", error)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer makes this of Ctrl-C
            typer.echo("swath: stopped", err=True)
        raise


def _stop(message: str, error: Exception) -> None:
    if "--debug" in sys.argv[1:]:
        raise error
    typer.echo(f"swath: {message}", err=True)
    sys.exit(2)
