"""``swath sample`` and ``swath assess``: points of a map to label, and how good the map is by them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swath.cli import options as opt

MapFile = Annotated[Path, typer.Argument(metavar="MAP", help="Class raster (.tif), as swath map writes it.")]


def sample(
    map_: MapFile,
    out: Annotated[Path, opt.output("GeoPackage to write (.gpkg); a style for QGIS is written next to it.")],
    n: Annotated[int, typer.Option(help="Number of points.")] = 100,
    per_class: Annotated[
        int | None, typer.Option(help="Least number of points per class; the others follow --allocation. By default 2.")
    ] = None,
    allocation: Annotated[
        Literal["proportional", "equal", "neyman"],
        typer.Option(
            help="Share points among classes by area, equally, or by area and the confidence of the map (neyman)."
        ),
    ] = "proportional",
    scene: Annotated[
        list[str] | None,
        typer.Option(
            help="Image to draw a small picture of every point from: the scene that was mapped, or a finer one. "
            "Again for each of several files of one band each."
        ),
    ] = None,
    bands: Annotated[
        str | None, typer.Option(metavar="N,N,N", help="Bands of --scene to show as red, green and blue: 3,2,1")
    ] = None,
    seed: opt.Seed = 0,
    overwrite: opt.Overwrite = False,
) -> object:
    """Draw a random sample of a map's pixels to label, stratified by class.

    Open the points in QGIS over a good image, choose what is there in the column 'reference', and save. What the map
    says is kept from view. What the sample stands for is in its other columns.

    Example: swath sample map.tif --scene scene.tif --n 400 --out sample.gpkg
    """
    from swath.assessment import sample_map
    from swath.errors import SettingError
    from swath.pages.text import columns, three_digits, written

    if bands is not None and not scene:
        raise SettingError("--bands are those of --scene", fix="give --scene, or leave out --bands")
    made = opt.with_bars(
        sample_map,
        map_,
        out=out,
        n=n,
        per_class=per_class,
        allocation=allocation,
        scene=opt.one_scene(scene) if scene else None,
        bands=opt.band_numbers(bands),
        seed=seed,
        overwrite=overwrite,
    )
    rows = [("class", "points", "hectares")]
    rows += [
        (written(name), f"{points:,}", three_digits(area))
        for name, points, area in zip(made.classes, made.points, made.hectares, strict=True)
    ]
    typer.echo("\n".join(columns(rows)))
    for note in made.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{out}: {sum(made.points):,} points")
    opt.hint(f"next: fill in the column 'reference' of {out} in QGIS (toggle editing, form view), then:")
    opt.next_step("assess", map_, "--reference", out)
    return made


def assess(
    maps: Annotated[
        list[Path],
        typer.Argument(metavar="MAP...", help="Class rasters (.tif); the first is compared with the others."),
    ],
    reference: Annotated[
        Path, typer.Option(help="Labeled places (.gpkg, .geojson, .csv), or another class raster to agree with.")
    ],
    out: Annotated[
        Path | None, opt.output("Folder to write: assessment.json, confusion.csv and a page (index.html).")
    ] = None,
    legend: Annotated[
        Path | None, typer.Option(help="YAML file of classes that are the same, a group a line: trees: [Forest, 10]")
    ] = None,
    label_field: Annotated[
        str | None, typer.Option(help="Column of the places that holds their class; by default 'reference'.")
    ] = None,
    places_crs: Annotated[
        str | None, typer.Option(help="Reference system of places that state none: EPSG:32632")
    ] = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Estimate the accuracy of a map and the area of each class, with intervals.

    The places are best a sample of the map (swath sample), labeled by somebody who does not look at the map. Against
    another raster the result is agreement, not accuracy.

    Example: swath assess map.tif --reference places.gpkg --out assessed/
    """
    from swath.assessment import assess as run
    from swath.assessment.page import PAGE

    given = {"--legend": legend, "--label-field": label_field, "--places-crs": places_crs}
    result = opt.with_bars(
        run,
        maps,
        reference=reference,
        out=out,
        legend=legend,
        label_field=label_field,
        places_crs=places_crs,
        overwrite=overwrite,
    )
    typer.echo("\n".join(result.lines()))
    if out is None:
        more = [part for name, value in given.items() if value is not None for part in (name, value)]
        opt.next_step("assess", *maps, "--reference", reference, *more, "--out", opt.unused("assessment"))
    else:
        typer.echo(f"page: {(out / PAGE).resolve().as_uri()}")
        opt.hint(f"next: look at {out / PAGE}")
    return result
