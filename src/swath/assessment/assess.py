"""Assess maps against a reference: places that somebody has looked at, or another raster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swath.assessment.accuracy import assess_places, read_reference
from swath.assessment.agreement import measure_agreement
from swath.assessment.legend import read_legend
from swath.assessment.page import write_results
from swath.assessment.results import Agreement, Assessment
from swath.errors import MissingFileError, SettingError
from swath.files import atomic_folder, check_folder
from swath.progress import Progress, silent

_RASTERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x89PNG", b"\xff\xd8\xff", b"\0\0\0\x0cjP  ")


def assess(
    maps: Sequence[str | Path],
    *,
    reference: str | Path,
    out: str | Path | None = None,
    legend: str | Path | None = None,
    label_field: str | None = None,
    places_crs: Any = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Assessment | Agreement:
    """Estimate the accuracy of maps and the areas of their classes, or measure their agreement with a raster.

    Parameters
    ----------
    maps : sequence of str or Path
        Class rasters; of several of them the first is compared with every other one, on the same places.
    reference : str or Path
        Labeled places (GeoPackage, GeoJSON or CSV), best a sample of :func:`swath.assessment.sample.sample_map`; or a
        raster of classes.
    out : str or Path, optional
        Folder to write: ``assessment.json``, ``confusion.csv``, and ``index.html`` with a picture of the error matrix.
    legend : str or Path, optional
        YAML file that says which classes are the same: ``trees: [Forest, 10]``, a group a line.
    label_field : str, optional
        Column of the classes of places; by default ``reference``, or the one that is called like a class.
    places_crs : optional
        Coordinate reference system of the places, where their file says none.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called per strip of a raster.

    Returns
    -------
    Assessment or Agreement
        Accuracy, of places; agreement, of a raster.

    Raises
    ------
    MissingFileError, DataError
        If a file is missing, damaged, or has nothing to compare.
    SettingError
        If the legend is none, or an option does not fit the reference.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    paths, reference = [Path(path) for path in maps], Path(reference)
    if not paths:
        raise SettingError("there is no map to assess", fix="give one or more class rasters")
    folder = None if out is None else Path(out)
    if folder is not None:
        check_folder(folder, overwrite=overwrite, keep=(*paths, reference))
    if not reference.is_file():
        raise MissingFileError(
            f"there is no reference {reference}", fix="draw places to label with: swath sample MAP --out PLACES.gpkg"
        )
    groups = None if legend is None else read_legend(legend)
    with reference.open("rb") as stream:
        raster = stream.read(8).startswith(_RASTERS)
    result: Assessment | Agreement
    if raster:
        if label_field is not None or places_crs is not None:
            raise SettingError(
                f"{reference.name} is a raster and has no places", fix="leave out --label-field and --places-crs"
            )
        result = measure_agreement(paths, reference, groups=groups, progress=progress)
    else:
        places = read_reference(reference, label_field=label_field, crs=places_crs)
        result = assess_places(paths, places, groups=groups)
    if folder is not None:
        with atomic_folder(folder, overwrite=overwrite, keep=(*paths, reference)) as made:
            write_results(made, result)
    return result
