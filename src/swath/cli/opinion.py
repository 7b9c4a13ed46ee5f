"""``swath opinion``: what a vision-language model says of the same patches, and what that is worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli import options as opt
from swath.errors import SettingError

if TYPE_CHECKING:
    from swath.opinion import OpinionTable, VisionModel
    from swath.opinion.cost import Cost

app = opt.Commands(
    "Ask a vision-language model for a second opinion, and measure it.\n\n"
    "The patches are sent to that model's server. It is never shown the classifier's answer, and never overrules it."
)
_ROWS = 20  # images shown
_CLASSIFIER, _MODEL, _OPENAI = "eurosat", "gpt-4o", "https://api.openai.com/v1"

Classifier = Annotated[
    str,
    typer.Option(
        "--model",
        help="The classifier: a .onnx file, or the name of a shipped model.",
        autocompletion=opt.complete_model,
    ),
]
Other = Annotated[
    str, typer.Option(envvar="SWATH_VISION_MODEL", show_envvar=False, help="The model to ask, or SWATH_VISION_MODEL.")
]
BaseUrl = Annotated[
    str,
    typer.Option(
        envvar="OPENAI_BASE_URL",
        show_envvar=False,
        help="Address of its API (OpenAI's chat completions), or OPENAI_BASE_URL. The key is taken from OPENAI_API_KEY "
        "alone.",
    ),
]
Definitions = Annotated[
    Path | None,
    typer.Option(
        help="A line on each class: a .yaml file of NAME: LINE, or a .csv with the columns class and definition. By "
        "default those of EuroSAT's classes, where the model has no others."
    ),
]
Below = Annotated[
    float | None,
    typer.Option(help="Unsure is a confidence below this. By default: not exactly one class in the prediction set."),
]
PriceOption = Annotated[
    str | None, typer.Option("--price", metavar="IN:OUT", help="US dollars per million tokens, in and out: 2.5:10")
]
MaxRequests = Annotated[int | None, typer.Option(min=0, help="Most requests to send, repeated ones among them.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Most tokens of an answer; models that think need more.")]
Patience = Annotated[float, typer.Option("--answer-timeout", min=0.1, help="Seconds to wait for an answer.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Send the requests without asking first.")]


@app.command("ask")
def ask(
    inputs: Annotated[list[Path], typer.Argument(help="Images, folders or zip archives.")],
    model: Classifier = _CLASSIFIER,
    only_unsure: Annotated[
        bool,
        typer.Option(
            "--only-unsure", help="Ask only where the classifier is unsure, or an image is unlike its training data."
        ),
    ] = False,
    below: Below = None,
    out: Annotated[Path | None, opt.output("Table to write: .csv or .json.")] = None,
    definitions: Definitions = None,
    vision_model: Other = _MODEL,
    base_url: BaseUrl = _OPENAI,
    price: PriceOption = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = 300,
    answer_timeout: Patience = 60.0,
    yes: Yes = False,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Show a second opinion next to the classifier's answer, image by image.

    What it will cost is shown first. Answers are kept: a second run sends nothing, and one that was stopped goes on.

    Example: swath opinion ask field.jpg town.jpg --out opinions.csv
    """
    from swath.inference import load
    from swath.opinion import ask_images, prepare_images, read_definitions
    from swath.opinion.images import check_table

    if out is not None:
        check_table(out, overwrite=overwrite)
    other = _vision_model(vision_model, base_url, price, max_requests, max_tokens, answer_timeout)
    classifier = load(model, engine=engine, threads=threads)
    lines = read_definitions(definitions, classifier.record.class_names)
    prepared = opt.with_bars(
        prepare_images, classifier, inputs, other, definitions=lines, only_unsure=only_unsure, below=below
    )
    for one in prepared.left_out:
        typer.echo(one.line(), err=True)
    _agreed(prepared.estimate, other, yes=yes)
    with opt.resumable():
        table = opt.with_bars(ask_images, prepared, other, out=out, overwrite=overwrite)
    _show(table)
    if out is None:
        given = _given(model, vision_model, base_url, below, definitions)
        given += ["--only-unsure"] if only_unsure else []
        opt.next_step("opinion", "ask", *inputs, *given, "--yes", "--out", opt.unused("opinions.csv"))
    else:
        typer.echo(f"{len(table):,} rows in {out}")
        opt.hint(f"next: look at {out}; how often it is right: swath opinion evaluate INDEX.parquet")
    return {
        "classifier": table.classifier,
        "vision_model": table.vision_model,
        "images": len(table),
        "asked": table.asked,
        "differing": table.differing,
        "requests": table.requests,
        "cost": table.cost,
        "rows": [dict(zip(table.columns(), row, strict=True)) for row in zip(*table.columns().values(), strict=True)],
    }


@app.command("evaluate")
def evaluate(
    index: opt.Index,
    model: Classifier = _CLASSIFIER,
    n: Annotated[int, typer.Option(min=1, help="Patches to ask about, drawn at random.")] = 200,
    split: opt.Split = "val",
    below: Below = None,
    out: Annotated[
        Path | None, opt.output("Folder to write: a page (index.html), opinion.json, opinions.csv, confusion.csv.")
    ] = None,
    definitions: Definitions = None,
    vision_model: Other = _MODEL,
    base_url: BaseUrl = _OPENAI,
    price: PriceOption = None,
    max_requests: MaxRequests = None,
    max_tokens: MaxTokens = 300,
    answer_timeout: Patience = 60.0,
    yes: Yes = False,
    seed: opt.Seed = 0,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Measure a second opinion on labeled patches: accuracy, what it alone knows, and whether asking pays.

    A larger --n adds to the patches of a smaller one, whose answers are kept.

    Example: swath opinion evaluate index.parquet --n 200 --out opinion/
    """
    from swath.data import read_index
    from swath.inference import load
    from swath.opinion import evaluate_opinions, prepare_evaluation, read_definitions
    from swath.opinion.page import PAGE

    other = _vision_model(vision_model, base_url, price, max_requests, max_tokens, answer_timeout)
    classifier = load(model, engine=engine, threads=threads)
    prepared = opt.with_bars(
        prepare_evaluation,
        classifier,
        read_index(index),
        other,
        n=n,
        split=split,
        definitions=read_definitions(definitions, classifier.record.class_names),
        below=below,
        seed=seed,
        out=out,
        overwrite=overwrite,
    )
    _agreed(prepared.estimate, other, yes=yes)
    with opt.resumable():
        result = opt.with_bars(evaluate_opinions, prepared, other, out=out, overwrite=overwrite)
    typer.echo("\n".join(result.lines()))
    if out is None:
        given = [*_given(model, vision_model, base_url, below, definitions), "--n", str(n), "--split", split]
        given += [] if seed == 0 else ["--seed", str(seed)]
        opt.next_step("opinion", "evaluate", index, *given, "--yes", "--out", opt.unused("opinion"))
    else:
        typer.echo(f"page: {(out / PAGE).resolve().as_uri()}")
        opt.hint(f"next: look at {out / PAGE}")
    return result


def _given(model: str, vision_model: str, base_url: str, below: float | None, definitions: Path | None) -> list[str]:
    """Options that decide what is asked, for a next command that finds the answers kept."""
    asked = {
        "--model": None if model == _CLASSIFIER else model,
        "--vision-model": None if vision_model == _MODEL else vision_model,
        "--base-url": None if base_url == _OPENAI else base_url,
        "--below": below,
        "--definitions": definitions,
    }
    return [str(part) for name, value in asked.items() if value is not None for part in (name, value)]


def _vision_model(
    name: str, base_url: str, price: str | None, max_requests: int | None, max_tokens: int, timeout: float
) -> VisionModel:
    from swath.config import validate
    from swath.opinion import OpinionSettings, VisionModel
    from swath.opinion.cost import parse_price

    values = {
        "model": name,
        "base_url": base_url,
        "timeout": timeout,
        "max_tokens": max_tokens,
        "max_requests": max_requests,
        "price": None if price is None else parse_price(price),
    }
    return VisionModel(validate(OpinionSettings, values, where="swath opinion"))


def _agreed(estimate: Cost, other: VisionModel, *, yes: bool) -> None:
    """Say what will be sent and what that will cost, and go on if that is wanted."""
    from swath.pages.text import counted

    if not estimate.questions:
        return
    other.check()
    settings = other.settings
    limit = "" if settings.max_requests is None else f" (at most {settings.max_requests:,} now)"
    text = (
        f"{counted(estimate.questions, 'picture goes', 'pictures go')} to {settings.model} at {settings.host}{limit}: "
        f"about {estimate.sentence}"
    )
    if yes:
        opt.hint(text)
    elif not sys.stdin.isatty():
        raise SettingError(f"{text}; there is no terminal to ask whether that is wanted", fix="pass --yes")
    elif not typer.confirm(f"{text}. Send them?", err=True):
        typer.echo("nothing was sent", err=True)
        raise typer.Exit(1)


def _show(table: OpinionTable) -> None:
    from swath.opinion.answers import one_line
    from swath.pages.text import columns, counted, written

    found = table.predictions
    rows = [("image", table.classifier, table.vision_model)]
    told = []
    for row, opinion in zip(found, table.opinions, strict=True):
        if opinion is None:
            continue
        name = written(Path(row.path).name, limit=26)
        stated = "" if opinion.confidence is None else f" {100 * opinion.confidence:.0f} %"
        label = written(row.label, limit=20)
        mark = " (OOD)" if row.is_ood else ""
        rows.append(
            (name, f"{label} {100 * row.confidence:.0f} %{mark}", f"{written(opinion.shown, limit=20)}{stated}")
        )
        told += [f"{name}: {text}" for text in (opinion.reason, opinion.detail) if text]
    typer.echo("\n".join(columns(rows[: _ROWS + 1])))
    typer.echo("\n".join(one_line(line) for line in told[:_ROWS]))
    if len(rows) > _ROWS + 1:
        typer.echo(f"... and {len(rows) - _ROWS - 1:,} more (--out writes all)")
    skipped = len(table) - table.asked
    rest = f"; on {skipped:,} the classifier is sure, and nothing was asked" if skipped else ""
    typer.echo(f"asked on {counted(table.asked, 'image', 'images')}, another class on {table.differing:,}{rest}")
    unheard = sum(one is not None and one.is_missing for one in table.opinions)
    if unheard:
        typer.echo(f"{counted(unheard, 'image', 'images')} without an answer: the same command asks again", err=True)
    typer.echo(f"it took {table.cost.sentence} ({counted(table.requests, 'request', 'requests')} now)")
