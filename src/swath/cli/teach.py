"""``swath teach`` and ``suggest``: a model that learns a scene from a few labeled places, and which to label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from swath.cli import options as opt
from swath.errors import SettingError

Negatives = Literal["places", "random"]
Strategy = Literal["coverage", "random", "margin", "entropy", "k-center"]


def teach(
    model: opt.Model,
    out: opt.ModelOut,
    scene: Annotated[
        list[str] | None, typer.Option(help=f"Scene the places lie in; again for each of several files. {opt.SCENE}")
    ] = None,
    places: Annotated[
        Path | None,
        typer.Option(help="Points or polygons with a class: GeoJSON, GeoPackage, CSV, or a raster of labels."),
    ] = None,
    patches: Annotated[
        Path | None, typer.Option(help="Index (.parquet) of labeled patches, instead of a scene and places.")
    ] = None,
    label_field: Annotated[
        str | None, typer.Option(help="Column of class names; by default 'label' or 'class'.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer of a GeoPackage that has several.")] = None,
    places_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="Coordinate reference system of the places, such as EPSG:32632.")
    ] = None,
    only: Annotated[
        bool, typer.Option("--only", help="Learn from the places only, and forget what was learned before.")
    ] = False,
    positive: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Make a detector of this class against everything else.")
    ] = None,
    negatives: Annotated[
        Negatives, typer.Option(help="Everything else: places of other classes, or random places of the scene too.")
    ] = "places",
    bands: opt.Bands = None,
    rescale: opt.Rescale = "auto",
    nodata: opt.Nodata = None,
    seed: opt.Seed = 0,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Teach a model a scene from a few labeled places, in seconds.

    The classes of the places may be new. What the model knew stays, unless --only is given. Printed is how many
    places it predicts as labeled, before and after, by cross-validation; the new model file is complete.

    Example: swath teach eurosat --scene s.tif --places p.gpkg --out mine.onnx
    """
    from swath.data import read_index
    from swath.teaching import teach as run

    if patches is not None and (scene or places is not None):
        raise SettingError("patches have no scene and no places", fix="leave out --patches, or --scene and --places")
    result = opt.with_bars(
        run,
        model,
        out=out,
        scene=opt.one_scene(scene) if scene else None,
        places=places,
        patches=None if patches is None else read_index(patches),
        only=only,
        positive=positive,
        negatives=negatives,
        bands=opt.band_numbers(bands),
        rescale=rescale,
        nodata=nodata,
        places_crs=places_crs,
        label_field=label_field,
        layer=layer,
        seed=seed,
        engine=engine,
        threads=threads,
        overwrite=overwrite,
    )
    typer.echo("\n".join(result.lines()))
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{out}: taught from {sum(result.places.values())} places in {result.seconds:.1f} s")
    if scene:
        options = opt.scene_options(bands, result.source.rescale, nodata)
        opt.next_step("map", out, *scene, *options, "--out", opt.unused(out.with_suffix(".tif")))
    elif patches is not None:
        opt.next_step("evaluate", out, patches, "--out", opt.unused(out.with_name(f"{out.stem}-val")))
    return result


def suggest(
    model: opt.Model,
    scene: opt.Scene,
    out: Annotated[Path, opt.output("GeoPackage (.gpkg) to write; a style for QGIS (.qml) is written next to it.")],
    n: Annotated[int, typer.Option(help="How many places.")] = 20,
    strategy: Annotated[
        Strategy, typer.Option(help="How they are chosen; the others are there to compare.")
    ] = "coverage",
    like: Annotated[
        Path | None, typer.Option(help="Places (any file that teach reads) to find the most similar windows to.")
    ] = None,
    places_crs: Annotated[
        str | None, typer.Option(metavar="CRS", help="Coordinate reference system of --like, such as EPSG:32632.")
    ] = None,
    bands: opt.Bands = None,
    rescale: opt.Rescale = "auto",
    nodata: opt.Nodata = None,
    seed: opt.Seed = 0,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Propose places of a scene to label, where a label would teach most.

    Chosen are windows that many others of the scene resemble, the more so where the model is unsure, and none that
    resemble those chosen before or taught: a second round starts from the taught model. Open the GeoPackage in QGIS,
    choose 'class' from the drop-down or type a new one next to it, and give it to swath teach. Each place has the
    model's guess, its confidence and a picture with a frame around what the model sees; leave out where the frame
    holds several classes.

    Example: swath suggest eurosat scene.tif --n 20 --out places.gpkg
    """
    from swath.mapping.places import read_places
    from swath.teaching import suggest as run

    result = opt.with_bars(
        run,
        model,
        opt.one_scene(scene),
        out=out,
        n=n,
        strategy=strategy,
        like=None if like is None else read_places(like, crs=places_crs, need_labels=False),
        bands=opt.band_numbers(bands),
        rescale=rescale,
        nodata=nodata,
        seed=seed,
        engine=engine,
        threads=threads,
        overwrite=overwrite,
    )
    called = ", ".join(f"{name} {count}" for name, count in result.guesses.items())
    typer.echo(f"{out}: {len(result.places.rows)} places of {result.looked_at:,} windows to label (guesses: {called})")
    for note in result.notes:
        typer.echo(f"note: {note}", err=True)
    opt.hint(f"next: fill in the column 'class' of {out} in QGIS (toggle editing, form view), then:")
    options = opt.scene_options(bands, rescale, nodata)
    named = opt.with_scene(scene)
    opt.next_step("teach", model, *named, "--places", out, *options, "--out", opt.unused("mine.onnx"))
    return result
