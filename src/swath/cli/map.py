"""``swath map``: a scene in, a georeferenced land map out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import options as opt

_MOST_ZONES = 15  # on the screen
_MOSTLY = 0.5  # share of a map unlike the training data, above which the model has to learn the scene first


def map_scene(
    model: opt.Model,
    scene: opt.Scene,
    out: Annotated[Path, opt.output("Class raster to write, ending in .tif; the other files are written next to it.")],
    stride: Annotated[
        int | None,
        typer.Option(
            help="Step between windows in pixels; by default, a quarter of the patch, or for a network with padding "
            "half of it or the patch where the scene is large."
        ),
    ] = None,
    bands: opt.Bands = None,
    rescale: opt.Rescale = "auto",
    nodata: opt.Nodata = None,
    probabilities: Annotated[
        Path | None, typer.Option(help="Raster (.tif) to write the probability of every class to as well.")
    ] = None,
    min_area: Annotated[
        float | None,
        typer.Option(
            metavar="HECTARES",
            help="Minimum mapping unit: merge smaller patches of a class into the neighbor with the longest border.",
        ),
    ] = None,
    zones: Annotated[
        Path | None,
        typer.Option(
            help="Polygons (GeoPackage, GeoJSON), such as districts: also give the area of each class in each."
        ),
    ] = None,
    zone_field: Annotated[
        str | None, typer.Option(help="Column of the zones' names; by default 'name' or the only one with text.")
    ] = None,
    aoi: Annotated[
        Path | None,
        typer.Option(help="Polygons (GeoPackage, GeoJSON) of the area to map: outside them there is no data."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Polygons to leave out, such as clouds: inside them there is no data.")
    ] = None,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    tta: opt.TestTimeAugmentation = 1,
    overwrite: opt.Overwrite = False,
) -> object:
    """Classify a scene and write a georeferenced land map.

    Written are classes and confidence as Cloud Optimized GeoTIFFs, the area of each class, a legend, a picture and a
    page (.html) with the map over the scene that opens offline.
    With a smaller --stride windows overlap and borders get finer. Time grows with the square of the overlap, but
    little for a network without padding, which classifies all windows of a strip at once.

    Example: swath map eurosat scene.tif --out map.tif

    As downloaded: swath map eurosat S2A_MSIL2A_20220519T101601_N0400_R065_T32TQM.SAFE --out map.tif
    """
    from swath.inference import load
    from swath.mapping import estimate_map
    from swath.mapping import map_scene as run
    from swath.mapping.estimate import LONG
    from swath.pages.text import columns, counted, rough_time, three_digits, written

    classifier = load(model, engine=engine, threads=threads, tta=tta)
    merged = min_area is not None
    # Of a part of a scene it would be too much.
    expected = None if aoi else estimate_map(classifier, opt.one_scene(scene), stride=stride, min_area=merged)
    if expected is not None and expected.seconds >= LONG:
        opt.hint(
            f"about {rough_time(expected.seconds)} and {expected.memory / 2**30:.1f} GB of memory for "
            f"{expected.windows:,} windows, one every {expected.stride} pixels"
        )
    made = opt.with_bars(
        run,
        classifier,
        opt.one_scene(scene),
        out=out,
        stride=stride,
        bands=opt.band_numbers(bands),
        rescale=rescale,
        nodata=nodata,
        probabilities=probabilities or False,
        min_area=min_area,
        zones=zones,
        zone_field=zone_field,
        aoi=aoi,
        mask=mask,
        overwrite=overwrite,
    )
    for warning in made.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if made.rescale.rescaling is not None and made.rescale.warning is None:
        typer.echo(f"the scene was {made.rescale.sentence}", err=True)
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
    typer.echo("\n".join(_part(made)), nl=made.part is not None)
    if made.min_area is not None:
        changed = (
            f"{three_digits(made.min_area.changed_hectares)} ha, {100 * made.min_area.changed_share:.1f} % of the map"
        )
        typer.echo(
            f"{counted(made.min_area.patches, 'patch', 'patches')} of less than {min_area:g} ha merged into neighbors, "
            f"touching at edges (not corners): {changed}, changed class"
            + (f"; {made.min_area.left:,} have no neighbor and stay" if made.min_area.left else "")
        )
    if made.zones:
        typer.echo("\n".join(["", *columns(_zone_table(made))]))
        for note in made.zone_notes:
            typer.echo(f"note: {note}", err=True)
        typer.echo(f"{made.files.zones}: hectares of every class in {counted(len(made.zones), 'zone', 'zones')}")
    unknown = made.ood_share is not None and made.ood_share > _MOSTLY
    if stride is None and made.stride > 1 and not unknown:
        longer = "" if made.dense else " take about four times as long"
        opt.hint(f"finer borders{longer}: --stride {made.stride // 2}")
    look = f"open {made.files.page} in a browser, or {made.files.classes} in QGIS"
    taught = bool(classifier.record.taught)
    if made.hectares is None or not (unknown or taught):  # without a place on the ground none can be labeled
        opt.hint(f"next: {look}")
        return made
    opt.hint(f"to look at it: {look}")
    if unknown:  # labels teach the model what finer borders would not
        options = opt.scene_options(bands, rescale, nodata)
        opt.next_step("suggest", model, *scene, *options, "--out", opt.unused(out.with_name("places.gpkg")))
    else:
        pictures = _pictures(scene, made, classifier.record.input.bands)
        opt.next_step("sample", made.files.classes, *pictures, "--out", opt.unused(out.with_name("sample.gpkg")))
    return made


def _pictures(scene: list[str], made: Any, bands: Sequence[str]) -> list[str]:
    """Options of ``swath sample`` for pictures of the scene in its colors, if the model and so the scene have those."""
    from swath.imagery.header import RGB

    if not set(RGB) <= set(bands):
        return []
    numbers = ",".join(str(made.bands.indexes[bands.index(name)]) for name in RGB)
    return [*opt.with_scene(scene), *(() if made.bands.how == "by name" else ("--bands", numbers))]


def _part(made: Any) -> list[str]:
    """Which part of the scene was mapped, if it is not all of it."""
    if made.part is None:
        return []
    places = [f"{side} {name}" for side, name in (("inside", made.part.aoi), ("outside", made.part.mask)) if name]
    return [
        f"mapped {' and '.join(places)}: {made.width:,} x {made.height:,} of {made.part.scene_width:,} x "
        f"{made.part.scene_height:,} pixels, of which {100 * made.nodata_pixels / (made.width * made.height):.0f} % "
        "are no data"
    ]


def _zone_table(made: Any) -> list[tuple[str, ...]]:
    """Zones with their largest classes, as far as they are few."""
    from swath.pages.text import three_digits, written

    table: list[tuple[str, ...]] = [("zone", "hectares", "largest class", "share")]
    for zone in made.zones[:_MOST_ZONES]:
        largest = max(range(len(zone.hectares)), key=zone.hectares.__getitem__)
        share = f"{100 * zone.hectares[largest] / zone.mapped:.0f} %" if zone.mapped else ""
        name = written(made.legend[largest].name) if zone.mapped else "no data"
        table.append((written(zone.name), three_digits(zone.mapped), name, share))
    if len(made.zones) > _MOST_ZONES:
        table.append((f"... {len(made.zones) - _MOST_ZONES:,} more", "", "", ""))
    return table
