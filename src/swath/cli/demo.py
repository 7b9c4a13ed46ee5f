"""``swath demo`` and ``swath quickstart``: the whole path, with the shipped model or with one trained on the way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swath.cli import options as opt

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from swath.pages.figures import RgbImage
    from swath.pipelines import ShowcaseResult

_SIDE = 12  # pixels that a patch is wide on the screen, each as wide as a letter
_SHOWN = 4  # patches on the screen

Open = Annotated[
    bool | None,
    typer.Option("--open/--no-open", help="Open the report in a browser; by default, if there is a screen."),
]
Full = Annotated[bool, typer.Option("--full", help="Print every number: baselines, classes, calibration.")]


def demo(
    out: Annotated[Path | None, opt.output("Folder to write.  [default: swath-demo]")] = None,
    model: Annotated[
        str, typer.Option(help="Any model with EuroSAT's classes.", autocompletion=opt.complete_model)
    ] = "eurosat",
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    full: Full = False,
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
    return _print_result(shown, model, full=full, open_=open_)


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
    full: Full = False,
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
    return _print_result(shown, shown.report.parent / "run" / "model.onnx", full=full, open_=open_)


def _print_result(shown: ShowcaseResult, model: str | Path, *, full: bool, open_: bool | None) -> object:
    """Print what fits one screen: patches with their labels, the map, how far to trust them, and what to look at."""
    from rich.console import Console

    from swath.pages.text import columns, written

    folder = shown.report.parent
    console = Console(file=sys.stdout, highlight=False)
    if full:
        typer.echo("\n".join(shown.evaluation.lines()))
    elif _shows_pictures(console):
        console.print(*_screen(shown), sep="\n", soft_wrap=True)
    else:
        rows = [(written(s.path.name), written(s.label), f"{100 * s.confidence:.1f} %") for s in shown.samples]
        typer.echo("\n".join(columns([("patch", "prediction", "confidence"), *rows])))
    typer.echo(f"\n{_trust(shown)}")
    places = [("all results", shown.report.resolve().as_uri()), ("patches to try", folder / "samples")]
    if shown.cells is not None:
        places.insert(1, ("the map", f"{folder / 'map.html'}, or {folder / 'map.tif'} in QGIS"))
    typer.echo("\n".join(f"{what + ':':<16}{where}" for what, where in places))
    if not full:
        opt.hint("every number:   the same command with --full --overwrite")
    page = shown.report.resolve().as_uri()
    if open_ or (open_ is None and opt.has_screen()):
        import webbrowser

        webbrowser.open(page)
    if shown.cells is None:
        opt.next_step("predict", model, folder / "samples", "--out", "predictions.csv")
    else:
        opt.next_step("map", model, folder / "scene.tif", "--out", "map.tif")
    samples = [{"path": s.path, "truth": s.truth, "label": s.label, "confidence": s.confidence} for s in shown.samples]
    parts = {"report": shown.report, "evaluation": shown.evaluation, "map_accuracy": shown.map_accuracy}
    return parts | {"samples": samples}


def _trust(shown: ShowcaseResult) -> str:
    """The first number of the evaluation, next to what colors alone give."""
    from swath.evaluation.results import display_name
    from swath.pages.text import percent

    score = shown.evaluation
    name, estimate = next(iter(score.headline().items()))
    value, interval = percent(estimate)
    line = f"{display_name(name)}{score.seen.mark}: {value} ({interval}, n = {score.n:,})"
    baseline = getattr(score, "baselines", {}).get("color")
    return line if baseline is None else f"{line}; by colors alone: {percent(getattr(baseline, name))[0]}"


def _shows_pictures(console: Console) -> bool:
    """Whether this is a terminal with colors, half blocks and room for a picture."""
    utf = console.encoding.lower().startswith("utf")
    return console.is_terminal and utf and console.color_system in {"256", "truecolor"} and console.width >= 80


def _screen(shown: ShowcaseResult) -> list[Text]:
    """Patches with their labels on the left, the map of all patches in the middle, its legend on the right."""
    from rich.text import Text

    from swath.pages.text import written

    fitting = [sample for sample in shown.samples if len(sample.label) <= _SIDE - 2] or shown.samples
    count = min(_SHOWN, len(fitting))
    chosen = [fitting[k * len(fitting) // count] for k in range(count)]  # from all over the classes
    pictures = [_tile(sample.pixels) for sample in chosen]
    labels = []
    for sample in chosen:
        right = sample.label == sample.truth
        name = f"{'✓' if right else '✗'} {written(sample.label, limit=_SIDE - 2)}"
        labels.append([Text(name.ljust(_SIDE), "" if right else "red")])
    left = [Text("test patches, labeled")]
    for k in range(0, len(chosen), 2):
        left += _beside(*pictures[k : k + 2]) + _beside(*labels[k : k + 2])
    if shown.cells is None:
        return left
    names = [Text.assemble(("■ ", f"#{entry.color}"), written(entry.name, limit=_SIDE + 8)) for entry in shown.legend]
    counts = shown.map_accuracy
    heading = Text("map" if counts is None else f"map: {counts.patches_right:,} of {counts.patches:,} right")
    return _beside(left, [heading, *_blocks(shown.cells)], [Text(), *names])


def _tile(pixels: RgbImage) -> list[Text]:
    """A patch, averaged down to a few pixels."""
    import numpy as np
    from PIL import Image

    return _blocks(np.asarray(Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.BOX)))


def _blocks(pixels: RgbImage) -> list[Text]:
    """Draw an image ``[H, W, 3]`` in lines of half blocks, two pixels in a letter."""
    from rich.text import Text

    lines = []
    for top in range(0, len(pixels) - 1, 2):
        line = Text()
        for upper, lower in zip(pixels[top].tolist(), pixels[top + 1].tolist(), strict=True):
            line.append("▀", "rgb({},{},{}) on rgb({},{},{})".format(*upper, *lower))
        lines.append(line)
    return lines


def _beside(*parts: list[Text]) -> list[Text]:
    """Put blocks of lines next to each other."""
    from rich.text import Text

    widths = [max(line.cell_len for line in part) for part in parts]
    rows = []
    for k in range(max(map(len, parts))):
        row = Text()
        for part, width in zip(parts, widths, strict=True):
            cell = part[k].copy() if k < len(part) else Text()
            cell.pad_right(width - cell.cell_len)
            row += cell + "  "
        row.rstrip()
        rows.append(row)
    return rows
