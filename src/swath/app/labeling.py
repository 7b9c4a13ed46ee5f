"""Points that a visitor labels without seeing the map, and how good the map is by them: Assess but for its screen."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from swath.assessment import Assessment, assess, sample_map
from swath.assessment.accuracy import read_reference, reference_points
from swath.assessment.rasters import open_classes
from swath.assessment.sample import DESIGN, REFERENCE, STRATUM, Allocation, class_colors
from swath.errors import DataError
from swath.mapping.pictures import draw_places, footprints
from swath.mapping.places import Places, write_places
from swath.model.record import class_infos
from swath.progress import Progress, silent

MOST_POINTS = 1_000
REMARK, CANNOT_TELL = "remark", "cannot tell"  # a column of the file, and what stands in it
SAMPLE, RESULTS = "sample.gpkg", "assessment"  # names in the folder
_NEAR, _FAR = 24, 256  # what a picture covers, in pixels of the map
_SIDE = 480  # of a picture in its own pixels
_KEYS = "123456789abdefghijklmnopqstuvwxyz"  # Streamlit keeps c and r for itself


class SampleLabels:
    """The points of a sample, their labels so far, and which point comes next.

    Parameters
    ----------
    folder : pathlib.Path
        Of this sample alone; the pictures of its points are ``near-0.jpg``, ``far-0.jpg`` and so on.
    map_ : pathlib.Path
        The class raster in it.
    places : Places
        Its points, with the labels that they have.
    colors : dict of str to str
        Classes to choose from, with colors (RRGGBB).
    hidden : sequence of int
        Numbers of the points that the scene does not show.
    """

    def __init__(
        self, folder: Path, map_: Path, places: Places, *, colors: dict[str, str], hidden: Sequence[int] = ()
    ) -> None:
        self.folder, self.map, self.colors = folder, map_, colors
        self._places = places
        self._hidden = frozenset(hidden)
        self._labels = [row.label for row in places.rows]
        self._passed = {k for k, row in enumerate(places.rows) if row.attributes.get(REMARK) == CANNOT_TELL}
        self._passed |= self._hidden
        self._order: list[int] = []
        self._found: tuple[list[str | None], Assessment] | None = None

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def hidden(self) -> int:
        """Points that the scene does not show."""
        return len(self._hidden)

    @property
    def labeled(self) -> int:
        """Points with a class."""
        return sum(label is not None for label in self._labels)

    @property
    def passed(self) -> int:
        """Points of which nobody can tell what is there."""
        return sum(self._labels[k] is None for k in self._passed)

    @property
    def answered(self) -> int:
        """Points that need no further look."""
        return self.labeled + self.passed

    @property
    def position(self) -> int | None:
        """Number of the point to look at; None after the last one."""
        return next((k for k, label in enumerate(self._labels) if label is None and k not in self._passed), None)

    @property
    def can_undo(self) -> bool:
        """Whether there is an answer of this visit to take back."""
        return bool(self._order)

    def answer(self, position: int, label: str | None) -> None:
        """Take a class for a point, or None for "cannot tell"; of a point that is no longer shown nothing is taken.

        A key that is pressed twice must not answer the next point, which nobody has seen yet.
        """
        if position != self.position:
            return
        self._labels[position] = label
        if label is None:
            self._passed.add(position)
        else:
            self.colors.setdefault(label, class_infos([label])[0].color_hint)
        self._order.append(position)

    def undo(self) -> None:
        """Take back the last answer; its point is the next to be looked at."""
        if self._order:
            last = self._order.pop()
            self._labels[last] = None
            self._passed.discard(last)

    def pictures(self, position: int) -> tuple[Path, Path]:
        """The scene around a point, near and far."""
        return self.folder / f"near-{position}.jpg", self.folder / f"far-{position}.jpg"

    def keys(self) -> dict[str, str | None]:
        """Classes with the key of each; None where there are more classes than keys."""
        return {name: _KEYS[k] if k < len(_KEYS) else None for k, name in enumerate(self.colors)}

    def write(self) -> Path:
        """Write the sample with its labels as ``swath sample`` does, for ``swath assess`` and QGIS to read."""
        rows = tuple(
            replace(row, label=label, attributes={**row.attributes, REMARK: self._remark(k)})
            for k, (row, label) in enumerate(zip(self._places.rows, self._labels, strict=True))
        )
        places = replace(self._places, rows=rows, label_field=REFERENCE)
        return write_places(self.folder / SAMPLE, places, classes=self.colors, hidden=DESIGN, overwrite=True)[0]

    def _remark(self, k: int) -> str | None:
        if self._labels[k] is None and k in self._passed and k not in self._hidden:
            return CANNOT_TELL
        return None

    def result(self) -> Assessment:
        """What ``swath assess`` finds of the file that :meth:`write` writes; its files are in the folder, too.

        Raises
        ------
        DataError
            If no point has a class.
        """
        if self._found is None or self._found[0] != self._labels:
            found = assess([self.map], reference=self.write(), out=self.folder / RESULTS, overwrite=True)
            self._found = list(self._labels), cast("Assessment", found)  # of places, it is no agreement
        return self._found[1]


def draw_sample(
    map_: Path,
    scene: Path,
    folder: Path,
    *,
    n: int,
    allocation: Allocation = "proportional",
    seed: int = 0,
    progress: Progress = silent,
) -> SampleLabels:
    """Draw points of a map as ``swath sample`` does, and their pictures from a scene.

    Parameters
    ----------
    map_ : pathlib.Path
        Class raster; it is copied, with what lies next to it, so that another map may take its place.
    scene : pathlib.Path
        What was mapped, or a finer image of it; it is not needed any more afterwards.
    folder : pathlib.Path
        An empty folder for the sample.
    n, allocation, seed
        As for :func:`swath.assessment.sample_map`.
    progress : Progress
        Called with stages ``"drawing"`` and ``"pictures"``.

    Raises
    ------
    SwathError
        As :func:`swath.assessment.sample_map`.
    """
    map_ = _copied(map_, folder)
    file = folder / SAMPLE
    sample_map(map_, out=file, n=n, allocation=allocation, scene=scene, seed=seed, progress=progress)
    return _with_pictures(map_, scene, read_reference(file), folder, progress)


def resume_sample(map_: Path, scene: Path, sample: Path, folder: Path, *, progress: Progress = silent) -> SampleLabels:
    """Go on with a sample that was drawn before, whatever labels it has; see :func:`draw_sample`.

    Raises
    ------
    SwathError
        If it is no file of places with a column of classes, or too large, or the scene does not show it.
    """
    places = read_reference(sample)
    if len(places.rows) > MOST_POINTS:
        raise DataError(
            f"{sample.name} has {len(places.rows):,} places, and this page shows {MOST_POINTS:,} at most",
            fix="label them in QGIS",
        )
    return _with_pictures(_copied(map_, folder), scene, places, folder, progress)


def _copied(map_: Path, folder: Path) -> Path:
    """The map with its record and names, where they will stay."""
    for path in (map_, map_.with_suffix(".json"), map_.with_name(f"{map_.name}.aux.xml")):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    return folder / map_.name


def _with_pictures(map_: Path, scene: Path, places: Places, folder: Path, progress: Progress) -> SampleLabels:
    """The points ready to be looked at."""
    with open_classes(map_) as raster:
        colors = class_colors(raster)
        located = places.to_crs(raster.crs)
        if len(located.rows) < len(places.rows):
            raise DataError(
                f"{len(places.rows) - len(located.rows)} of {len(places.rows)} places of {places.name} lie where "
                f"{map_.name} has no coordinates",
                fix="give the sample that was drawn from this map",
            )
        x, y = reference_points(located).T
        at = np.stack(raster.pixel(x, y), axis=1)
        squares = footprints(at + 0.5, size=1, transform=raster.transform, crs=raster.crs)
    named = {str(row.attributes[STRATUM]) for row in places.rows if row.attributes.get(STRATUM)} | set(places.counts)
    more = sorted(named - set(colors))
    colors |= {info.name: info.color_hint for info in class_infos(more)}
    hidden: set[int] = set()
    for name, around in (("near", _NEAR), ("far", _FAR)):
        for k, picture in enumerate(draw_places(scene, squares, around=around, side=_SIDE, progress=progress)):
            if picture is None:
                hidden.add(k)
            else:
                (folder / f"{name}-{k}.jpg").write_bytes(picture)
    return SampleLabels(folder, map_, places, colors=colors, hidden=sorted(hidden))
