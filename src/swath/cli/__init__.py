"""The command line: parse, call one function, print. Every command imports what it needs when it runs.

Commands stand in groups of help; a new one is registered below with the heading it belongs to. Mistakes end in
one sentence on standard error and exit status 2, whoever finds them: a room of swath or the parser of options.
"""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
from typing import Annotated

import typer

from swath.cli import assess, data, demo, evaluate, map, model, opinion, predict, serve, system, teach, train, weights
from swath.cli.options import Commands, folded
from swath.errors import SwathError
from swath.machine import go_offline, is_offline

app = Commands(
    "Labeled satellite patches to a classifier you can trust, and on to a georeferenced land map.\n\n"
    "Start with: swath demo",
    add_completion=True,
)
app.add("Start here", demo=demo.demo, quickstart=demo.quickstart)
app.add("Data", data=data.app)
app.add("Train", train=train.train, tune=train.tune, experiment=train.experiment, recipes=train.recipes)
app.add("Train", networks=train.networks, weights=weights.app)
app.add("Evaluate", evaluate=evaluate.evaluate, report=evaluate.report, compare=evaluate.compare)
app.add("Evaluate", errors=evaluate.errors, label_issues=evaluate.label_issues)
app.add("Evaluate", robustness=evaluate.robustness, explain=predict.explain, opinion=opinion.app)
app.add("Predict and map", predict=predict.predict, map=map.map_scene, suggest=teach.suggest)
app.add("Predict and map", teach=teach.teach, sample=assess.sample, assess=assess.assess)
app.add("Predict and map", serve=serve.serve, app=serve.app)
app.add("Model files", model=model.app)
app.add("This installation", doctor=system.doctor, cache=system.cache)


def _version(show: bool) -> None:
    if show:
        from swath import __version__

        typer.echo(f"swath {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network, as with SWATH_OFFLINE=1: what is not here is named.")
    ] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    if offline:
        go_offline()


_INTERRUPTED = 130


def _terminated(*_: object) -> None:
    """End a command that is told to end as Ctrl-C does: what it has begun to write is removed."""
    raise KeyboardInterrupt


def main() -> None:
    """Run the command line; a user's mistake is one message on standard error and exit status 2."""
    if is_offline():
        go_offline()
    # Where its cache cannot be written Matplotlib says so at length, and takes a temporary folder.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)
    try:
        code = app(prog_name="swath", standalone_mode=False)
    except typer.TyperException as error:
        _stop(_usage_sentence(error), error)
    except SwathError as error:
        _stop(str(error), error)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _stop(f"{place}{error.strerror or error}", error)
    else:
        if code == _INTERRUPTED:  # typer makes this of Ctrl-C
            typer.echo("swath: stopped", err=True)
        sys.exit(code)


def _usage_sentence(error: typer.TyperException) -> str:
    """What the parser of options found, in the form of swath's own messages."""
    problem = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    problem = re.sub(r"\. Did you mean (.+)$", r" (did you mean \1)", problem)
    command = getattr(getattr(error, "ctx", None), "command_path", "swath")
    return f"{problem[:1].lower()}{problem[1:]}; see: {command} --help"


def _stop(message: str, error: Exception) -> None:
    if "--debug" in sys.argv[1:]:
        raise error
    # One line, whatever a name or a library's own message holds: a terminal obeys control characters.
    line = "".join(letter if letter.isprintable() else " " for letter in message)
    text = f"swath: {line}"
    typer.echo(folded(text) if sys.stderr.isatty() else text, err=True)
    sys.exit(2)
