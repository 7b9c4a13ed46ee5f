"""``swath map``: a scene in, a georeferenced land map out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.options import Engine, MatchColors, Model, Overwrite, TestTimeAugmentation, Threads


def map_scene(
    model: Model,
    scene: Annotated[Path, typer.Argument(help="GeoTIFF, JPEG 2000, PNG or JPEG with the model's bands.")],
    out: Annotated[
        Path, typer.Option(help="Class raster to write, ending in .tif; the rest goes beside it.")
    ],
    stride: Annotated[
        int | None, typer.Option(help="Pixels from one window to the next; by default the patch size.")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="The scene's bands to use, in the model's order: 1,2,3")
    ] = None,
    rescale: Annotated[
        str | None, typer.Option(help="Render reflectance to 8 bit, LOW:HIGH; as EuroSAT was: 0:2750")
    ] = None,
    nodata: Annotated[
        float | None, typer.Option(help="Value that means no data, in place of the scene's own.")
    ] = None,
    match_colors: MatchColors = "auto",
    probabilities: Annotated[
        Path | None, typer.Option(help="Also write every class's probability to this .tif.")
    ] = None,
    engine: Engine = "auto",
    threads: Threads = None,
    tta: TestTimeAugmentation = 1,
    overwrite: Overwrite = False,
) -> None:
    """Classify a scene and write a map: classes and confidence as COGs, areas, legend and a picture.

    A smaller stride lets windows overlap and draws finer borders. It takes longer by its square, except with a
    network that does not pad, such as eurosat-dense, which classifies all windows of a strip at once.

    Example: swath map eurosat-dense scene.tif --out map.tif --stride 8
    """
    from swath.inference import load
    from swath.mapping import map_scene as run
    from swath.progress import Bars

    chosen = _numbers(bands) if bands is not None else None
    limits = _limits(rescale) if rescale is not None else None
    classifier = load(model, engine=engine, threads=threads, tta=tta)
    with Bars() as progress:
        summary = run(
            classifier,
            scene,
            out,
            stride=stride,
            bands=chosen,
            rescale=limits,
            nodata=nodata,
            match_colors=match_colors,
            probabilities=probabilities,
            overwrite=overwrite,
            progress=progress,
        )
    for total in sorted(summary.classes, key=lambda total: -total.pixels):
        hectares = "" if total.hectares is None else f"{total.hectares:>14,.1f} ha"
        typer.echo(f"{100 * total.share:>6.1f} %{hectares}  {total.name}")
    if summary.ood is not None:
        typer.echo(f"{100 * summary.ood:>6.1f} %  of it not like the training data ({summary.files.ood})")
    for warning in summary.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(
        f"{summary.files.classes}: {summary.width:,} x {summary.height:,} pixels, {summary.classified:,} windows "
        f"in {summary.seconds:.1f} s (engine: {classifier.engine})"
    )


def _numbers(text: str) -> tuple[int, ...]:
    from swath.errors import SettingError

    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(
            f"--bands '{text}' is not a list of numbers", fix="for example --bands 1,2,3"
        ) from None


def _limits(text: str) -> tuple[float, float]:
    from swath.errors import SettingError

    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        raise SettingError(
            f"--rescale '{text}' is not LOW:HIGH", fix="for example --rescale 0:2750"
        ) from None
    return low, high
