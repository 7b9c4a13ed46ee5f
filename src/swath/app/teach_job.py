"""A model taught from places that a visitor names on their scene: by the functions of ``swath teach``, and undone."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from swath.app.map_job import MapJob
from swath.app.overview import Overview
from swath.errors import DataError
from swath.inference import load
from swath.mapping import Map
from swath.mapping.places import label_text, match_names, write_places
from swath.model import read_model
from swath.model.record import class_infos
from swath.progress import Progress, silent
from swath.teaching import TeachingResult, suggest, teach

PROPOSED = 12  # places, when some are asked for
PLACES, MODEL = "places.gpkg", "taught.onnx"
_SAME = 1 / 16  # of the window's side: what is nearer is the same place
_ROWS = 512  # of two maps that are compared, read at a time


@dataclass(frozen=True)
class NamedPlace:
    """A place on the scene and the class the visitor says it is."""

    column: float
    row: float
    label: str


@dataclass(frozen=True)
class Proposal:
    """A place that ``suggest`` proposes: what the model guesses, how sure it is, and a picture (JPEG)."""

    column: float
    row: float
    guess: str | None
    confidence: float
    picture: bytes | None


@dataclass(frozen=True)
class Taught:
    """A taught model, the places it was taught from, and its map under way or there."""

    result: TeachingResult
    places: tuple[NamedPlace, ...]
    job: MapJob


@dataclass(frozen=True)
class Change:
    """How two maps differ: the share of pixels whose class did, and between which classes most did."""

    share: float
    before: str | None = None
    after: str | None = None
    most: float = 0.0


class SceneTeaching:
    """What a visitor does on the page Teach with one scene.

    Parameters
    ----------
    overview : Overview
        The scene.
    folder : pathlib.Path
        Of the visitor, for files.
    model : str
        The model before: a file or a shipped name.
    name : str
        What the visitor calls the scene.
    engine, threads
        As for :func:`swath.load`.

    Attributes
    ----------
    places : tuple of NamedPlace
        In the order in which they were named.
    proposals : tuple of Proposal
        Places to name next.
    taught : Taught or None
        The last teaching, unless it was undone.
    """

    def __init__(
        self,
        overview: Overview,
        folder: Path,
        *,
        model: str,
        name: str = "the scene",
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.overview, self.model, self.name = overview, model, name
        self.places: tuple[NamedPlace, ...] = ()
        self.proposals: tuple[Proposal, ...] = ()
        self.taught: Taught | None = None
        self._file = read_model(model)
        self._folder, self._engine, self._threads = folder, engine, threads
        self._history: list[tuple[tuple[NamedPlace, ...], tuple[Proposal, ...]]] = []

    @property
    def labels(self) -> list[str]:
        """Classes of the model before, and the new ones of the places."""
        older = self._file.record.class_names
        return [*older, *sorted({place.label for place in self.places} - set(older))]

    def colors_with(self, new: Sequence[str] = ()) -> dict[str, str]:
        """Color (RRGGBB) of each class, as a model taught with places of the `new` ones too has them."""
        known = {info.name: info.color_hint for info in self._file.record.classes}
        names = [*known, *sorted({*self.labels, *new} - set(known))]
        return {info.name: known.get(info.name, info.color_hint) for info in class_infos(names)}

    @property
    def counts(self) -> dict[str, int]:
        """Places of each class."""
        return dict(Counter(place.label for place in self.places).most_common())

    def named(self, text: str) -> str | None:
        """A class as a visitor writes it, in the spelling of the model or of an earlier place; None for nothing."""
        label = label_text(text)
        return None if label is None else match_names([label], self.labels)[0].get(label, label)

    def add(self, column: float, row: float, label: str) -> None:
        """Name a place: a new one, a proposed one whose window it is in, or one that had another name."""
        side = self.overview.spec.size
        near = next((one for one in self.proposals if _apart(one, column, row) < side / 2), None)
        if near is not None:
            column, row = near.column, near.row
        self._remember()
        kept = tuple(place for place in self.places if _apart(place, column, row) >= side * _SAME)
        self.places = (*kept, NamedPlace(column, row, label))
        self.proposals = tuple(one for one in self.proposals if one is not near)

    def leave_out(self, proposal: Proposal) -> None:
        """Do not name a proposed place."""
        self._remember()
        self.proposals = tuple(one for one in self.proposals if one is not proposal)

    def clear(self) -> None:
        """Take all places away."""
        self._remember()
        self.places = self.proposals = ()

    @property
    def can_undo(self) -> bool:
        """Whether a place can be taken back."""
        return bool(self._history)

    def undo(self) -> None:
        """Take back the last thing done to the places."""
        if self._history:
            self.places, self.proposals = self._history.pop()

    def propose(self, *, progress: Progress = silent) -> tuple[str, ...]:
        """Ask ``suggest`` for places whose classes would teach most; returns its notes.

        Raises
        ------
        SwathError
            As :func:`swath.teaching.suggest`.
        """
        model = self.model if self.taught is None else str(self.taught.result.path)
        found = suggest(
            model,
            self.overview.path,
            out=self._folder / "proposed.gpkg",
            n=PROPOSED,
            rescale=self._rescale,
            engine=self._engine,
            threads=self._threads,
            overwrite=True,
            progress=progress,
        )
        side = self.overview.spec.size
        proposals = []
        for place in found.places.rows:
            column, row = self.overview.pixel(*place.geometry["coordinates"])
            if all(_apart(one, column, row) >= side / 2 for one in self.places):
                facts = place.attributes
                proposals.append(Proposal(column, row, facts["guess"], facts["confidence"], facts["picture"]))
        self._remember()
        self.proposals = tuple(proposals)
        return found.notes

    def write(self, out: Path) -> Path:
        """Write the named places as GeoPackage, for ``swath teach`` and any GIS.

        Raises
        ------
        DataError
            If there are none, or the scene has no coordinates.
        """
        if not self.places:
            raise DataError("no place has a class yet", fix="name some places on the scene")
        if not self.overview.crs:
            raise DataError(
                "the scene has no coordinate reference system, so places in it cannot be kept",
                fix="give a scene with coordinates, such as a GeoTIFF",
            )
        write_places(out, self.overview.places([(p.column, p.row, p.label) for p in self.places]), overwrite=True)
        return out

    def teach(self, *, stride: int | None = None, progress: Progress = silent) -> TeachingResult:
        """Teach the model before the places, and begin the map of the taught one.

        Parameters
        ----------
        stride : int, optional
            Of the map, as for :func:`swath.map_scene`.
        progress : Progress
            Of the teaching; the map goes on by itself.

        Raises
        ------
        SwathError
            As :func:`swath.teaching.teach`; the teaching before then stays.
        """
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            named, places = self.places, self.write(folder / PLACES)
            result = teach(
                self.model,
                out=folder / MODEL,
                scene=self.overview.path,
                places=places,
                rescale=self.overview.rescale,
                engine=self._engine,
                threads=self._threads,
                progress=progress,
            )
            classifier = load(result.path, engine=self._engine, threads=self._threads)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.undo_teaching()
        job = MapJob(
            classifier, self.overview.path, folder, name=self.name, stride=stride, rescale=result.source.rescale
        )
        self.taught = Taught(result, named, job)
        return result

    def undo_teaching(self) -> None:
        """Go back to the model before; the places stay."""
        taught, self.taught = self.taught, None
        if taught is not None:
            taught.job.remove()

    @property
    def _rescale(self) -> str:
        """How the scene is drawn: as the places have shown, once they have been taught."""
        return self.overview.rescale if self.taught is None else self.taught.result.source.rescale

    def _remember(self) -> None:
        self._history.append((self.places, self.proposals))


def commands(teaching: SceneTeaching, made: Map | None) -> list[str]:
    """Commands that write the taught model and its map from the saved places."""
    taught = teaching.taught
    assert taught is not None  # noqa: S101  (asked for once there is one)
    scene, before, after = teaching.overview.path.name, teaching.overview.rescale, taught.result.source.rescale
    asked, found = ("" if one == "auto" else f" --rescale {one}" for one in (before, after))
    stride = "" if made is None else f" --stride {made.stride}"
    model = Path(teaching.model).name if Path(teaching.model).is_file() else teaching.model
    return [
        f"swath teach {model} --scene {scene} --places {PLACES}{asked} --out {MODEL}",
        f"swath map {MODEL} {scene}{found}{stride} --out map.tif",
    ]


def compare(before: Map, after: Map) -> Change:
    """What has changed from one map on disk to another of the same scene."""
    names = [{entry.value: entry.name for entry in made.legend} for made in (before, after)]
    pairs: Counter[tuple[int, int]] = Counter()
    with rasterio.open(before.files.classes) as one, rasterio.open(after.files.classes) as other:
        for start in range(0, before.height, _ROWS):
            window = Window(0, start, before.width, min(_ROWS, before.height - start))
            joined = one.read(1, window=window).astype(np.uint16) * 256 + other.read(1, window=window)
            values, counts = np.unique(joined, return_counts=True)
            pairs.update({divmod(value, 256): count for value, count in zip(values.tolist(), counts, strict=True)})
    known = {(names[0][a], names[1][b]): int(n) for (a, b), n in pairs.items() if a and b}
    changed = {pair: n for pair, n in known.items() if pair[0] != pair[1]}
    if not changed:
        return Change(0.0)
    total, (pair, most) = sum(known.values()), max(changed.items(), key=lambda item: item[1])
    return Change(sum(changed.values()) / total, before=pair[0], after=pair[1], most=most / total)


def _apart(place: NamedPlace | Proposal, column: float, row: float) -> float:
    """Pixels between a place and a point, along the axis on which they are further apart."""
    return max(abs(place.column - column), abs(place.row - row))
