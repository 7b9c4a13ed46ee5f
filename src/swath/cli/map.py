"""``swath map``: a scene in, a georeferenced land map out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli.options import Engine, MatchColors, Model, Overwrite, TestTimeAugmentation, Threads


def map_scene(
    model: Model,
    scene: Annotated[
        str, typer.Argument(help="GeoTIFF, JPEG 2000, PNG or JPEG with the model's bands, or its /vsi name.")
    ],
    out: Annotated[Path, typer.Option(help="Class raster to write, a .tif; other outputs go next to it.")],
    stride: Annotated[
        int | None, typer.Option(help="Pixels between windows, at most the patch size, which is the default.")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Band numbers of the scene in the model's order, such as 1,2,3.")
    ] = None,
    rescale: Annotated[
        str | None, typer.Option(help="Rescale reflectance LOW:HIGH to 8 bit; 0:2750 for EuroSAT.")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Value that means no data, instead of the scene's own.")
    ] = None,
    match_colors: MatchColors = "auto",
    probabilities: Annotated[
        Path | None, typer.Option(help="Also write the probability of every class to this .tif.")
    ] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    tta: TestTimeAugmentation = 1,
    overwrite: Overwrite = False,
) -> None:
    """Classify a scene and write a map: classes and confidence as COGs, areas, legend and a picture.

    With a smaller stride windows overlap and borders are finer; half the stride takes four times as long, except
    with a network that does not pad, such as eurosat-dense, which classifies many windows at once.

    Example: swath map eurosat-dense scene.tif --out map.tif --stride 8
    """
    from swath.inference import load
    from swath.inference.color_match import check_mode
    from swath.mapping import map_scene as run
    from swath.progress import Bars

    numbers = _numbers("--bands", bands, int, example="1,2,3")
    limits = _numbers("--rescale", rescale, float, example="0:2750")
    classifier = load(model, engine=engine, threads=threads, tta=tta)
    with Bars() as progress:
        made = run(
            classifier,
            scene,
            out=out,
            stride=stride,
            bands=numbers,
            rescale=limits,
            nodata=nodata,
            match_colors=check_mode(match_colors),
            probabilities=probabilities or False,
            overwrite=overwrite,
            progress=progress,
        )
    for entry in sorted(made.legend, key=lambda entry: -entry.pixels):
        hectares = "" if entry.hectares is None else f"{entry.hectares:>14,.1f} ha"
        typer.echo(f"{100 * entry.share:>6.1f} %{hectares}  {entry.name}")
    if made.ood_share is not None:
        typer.echo(f"{100 * made.ood_share:>6.1f} %  unlike the training data ({made.files.ood})")
    for warning in made.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"{made.files.classes}: {made.width:,} x {made.height:,} pixels, {made.classified:,} windows "
        f"in {made.seconds:.1f} s (engine: {classifier.engine})"
    )


def _numbers(option: str, text: str | None, kind: type[int] | type[float], *, example: str) -> Any:
    """The numbers of an option written like its example; None where it is not given."""
    from swath.errors import SettingError

    if text is None:
        return None
    separator = ":" if ":" in example else ","
    try:
        numbers = tuple(kind(part) for part in text.split(separator))
    except ValueError:
        numbers = ()
    if not numbers or (separator == ":" and len(numbers) != 2):
        raise SettingError(f"{option} '{text}' is not like {example}", fix=f"for example {option} {example}")
    return numbers
