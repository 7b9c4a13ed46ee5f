"""``swath map``: a scene in, a georeferenced land map out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli import options as opt


def map_scene(
    model: opt.Model,
    scene: Annotated[
        str, typer.Argument(help="GeoTIFF, JPEG 2000, PNG or JPEG with the model's bands, or its /vsi name.")
    ],
    out: Annotated[Path, opt.output("Class raster to write, ending in .tif; the other files are written next to it.")],
    stride: Annotated[
        int | None,
        typer.Option(
            help="Step between windows in pixels; by default, a quarter of the patch while that takes a few seconds, "
            "else half of it or the patch."
        ),
    ] = None,
    bands: opt.Bands = None,
    rescale: opt.Rescale = None,
    nodata: opt.Nodata = None,
    match_colors: Annotated[opt.MatchColorsMode, opt.MATCH_COLORS] = "auto",
    probabilities: Annotated[
        Path | None, typer.Option(help="Raster (.tif) to write the probability of every class to as well.")
    ] = None,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    tta: opt.TestTimeAugmentation = 1,
    overwrite: opt.Overwrite = False,
) -> object:
    """Classify a scene and write a georeferenced land map.

    Written are classes and confidence as Cloud Optimized GeoTIFFs, the area of each class, a legend and a picture.
    With a smaller --stride windows overlap and borders get finer. Time grows with the square of the overlap, except
    for a network without padding, such as eurosat-dense, which classifies all windows of a strip at once.

    Example: swath map eurosat scene.tif --out map.tif
    """
    from swath.inference import load
    from swath.mapping import map_scene as run
    from swath.pages.text import columns, three_digits, written

    classifier = load(model, engine=engine, threads=threads, tta=tta)
    made = opt.with_bars(
        run,
        classifier,
        scene,
        out=out,
        stride=stride,
        bands=opt.band_numbers(bands),
        rescale=opt.limits(rescale),
        nodata=nodata,
        match_colors=match_colors,
        probabilities=probabilities or False,
        overwrite=overwrite,
    )
    for warning in made.warnings:
        typer.echo(f"warning: {warning}", err=True)
    table = [("class", "share", "hectares", "unlike the training data")]
    for entry in sorted(made.legend, key=lambda entry: -entry.pixels):
        area = "" if entry.hectares is None else three_digits(entry.hectares)
        ood = "" if entry.ood is None or not entry.pixels else f"{100 * entry.ood:.0f} %"
        table.append((written(entry.name), f"{100 * entry.share:.1f} %", area, ood))
    typer.echo("\n".join(columns(table)))
    typer.echo(
        f"{made.files.classes}: {made.width:,} x {made.height:,} pixels, {made.classified:,} windows, one every "
        f"{made.stride} pixels, in {made.seconds:.1f} s (engine: {classifier.engine})"
    )
    if stride is None and made.stride > 1:
        opt.hint(f"finer borders take about four times as long: --stride {made.stride // 2}")
    opt.hint(f"next: open {made.files.page} in a browser, or {made.files.classes} in QGIS")
    return made
