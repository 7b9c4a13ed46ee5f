"""What a mapping gives: the map with its legend, its files, its warnings, and the content of ``map.json``."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio import Affine

from swath import __version__
from swath.errors import MissingExtraError, SettingError
from swath.inference import Classifier
from swath.inference.rescale import RescaleDecision, read_rescale
from swath.mapping.area import PixelArea
from swath.mapping.extent import MappedPart
from swath.mapping.grid import Grid
from swath.mapping.legend import LegendEntry
from swath.mapping.paint import Totals
from swath.mapping.reader import Bands
from swath.mapping.sieve import MinimumArea
from swath.mapping.strips import PixelStatistics, Strips
from swath.mapping.styles import confidence_style, ood_style
from swath.mapping.writer import NO_CONFIDENCE, NODATA
from swath.mapping.zones import ZoneArea
from swath.model.record import InputSpec
from swath.pages.text import three_digits

_FAR = 1.0  # standard deviations of the training patches' pixels
_OTHER_SIZE = 1.5
_OOD = 0.05  # well above the false alarms, 2 % by the choice of the threshold


@dataclass(frozen=True)
class MapFiles:
    """The files of a map, named after the class raster.

    Attributes
    ----------
    classes : Path
        Class raster, COG: uint8, 0 is nodata, class i is i + 1, with a color table.
    names : Path
        ``.aux.xml`` next to it, where GDAL and QGIS find the names of the classes, and a reference system that a
        GeoTIFF cannot hold; then the other rasters have one too.
    confidence : Path
        COG: uint8, percent, 255 is nodata.
    record : Path
        JSON: areas and provenance.
    legend, picture : Path
        PNG.
    page : Path
        HTML: scene and map over each other, to look at offline.
    ood : Path or None
        COG: uint8, 1 where most windows over a pixel are unlike the training data, 0 where not, 255 is nodata; only
        if the model detects it.
    probabilities : Path or None
        float32, one band per class and one pixel per cell of the grid; only if asked for.
    zones : Path or None
        CSV: hectares of every class by zone; only if asked for.
    """

    classes: Path
    names: Path
    confidence: Path
    record: Path
    legend: Path
    picture: Path
    page: Path
    probabilities: Path | None = None
    ood: Path | None = None
    zones: Path | None = None

    @classmethod
    def next_to(
        cls, out: Path, *, probabilities: bool | str | Path | None = False, ood: bool = False, zones: bool = False
    ) -> MapFiles:
        """Name the files of the map `out`; probabilities may have a name of their own."""

        def named(what: str) -> Path:
            return out.with_name(f"{out.stem}.{what}")

        if isinstance(probabilities, bool):
            probabilities = named(f"probabilities{out.suffix}") if probabilities else None
        return cls(
            classes=out,
            names=out.with_name(f"{out.name}.aux.xml"),
            confidence=named(f"confidence{out.suffix}"),
            record=named("json"),
            legend=named("legend.png"),
            picture=named("png"),
            page=named("html"),
            probabilities=None if probabilities is None else Path(probabilities),
            ood=named(f"ood{out.suffix}") if ood else None,
            zones=named("zones.csv") if zones else None,
        )

    def all(self) -> tuple[Path, ...]:
        """Every file, the class raster first."""
        others = (self.names, self.confidence, self.record, self.legend, self.picture, self.page, *self.styles())
        return (self.classes, *others, *(path for path in (self.ood, self.probabilities, self.zones) if path))

    def obsolete(self) -> tuple[Path, ...]:
        """Files that an earlier map of this name may have and this one has not: of what is out of it, and of zones."""
        every = MapFiles.next_to(self.classes, ood=True, zones=True)
        older = (every.ood, every.ood and every.ood.with_suffix(".qml")) if self.ood is None else ()
        return tuple(path for path in (*older, None if self.zones else every.zones) if path)

    def styles(self, classes: str = "") -> dict[Path, str]:
        """Styles of QGIS by their files, which have the names of the rasters; that of the classes is given."""
        made = {self.classes: classes, self.confidence: confidence_style()}
        if self.ood is not None:
            made[self.ood] = ood_style()
        return {path.with_suffix(".qml"): text for path, text in made.items()}

    def systems(self) -> tuple[Path, ...]:
        """``.aux.xml`` of the other rasters, written where a GeoTIFF cannot hold the scene's reference system."""
        rasters = (path for path in (self.confidence, self.ood, self.probabilities) if path)
        return tuple(path.with_name(f"{path.name}.aux.xml") for path in rasters)

    def check(self, scene: Any) -> None:
        """Refuse names that are no GeoTIFF's, one name for two files, or that of the scene where it is a file.

        Raises
        ------
        SettingError
            If there is one.
        """
        for path in (self.classes, self.probabilities):
            if path is not None and path.suffix.lower() not in {".tif", ".tiff"}:
                raise SettingError(f"{path} does not end in .tif", fix="maps are GeoTIFF files")
        if len({path.resolve() for path in self.all()}) < len(self.all()):
            raise SettingError("two outputs would go to the same file", fix="give them different names")
        parts = [scene] if isinstance(scene, str | Path) else scene if isinstance(scene, list | tuple) else []
        for part in (one for one in map(Path, parts) if one.exists()):
            for path in self.all():
                if path.exists() and path.samefile(part):
                    raise SettingError(f"{path} is the scene itself", fix="choose another name for the map")


@dataclass(frozen=True, eq=False)
class Map:
    """A map: its legend with areas, how it was made, and its rasters, in memory or on disk.

    Attributes
    ----------
    legend : tuple of LegendEntry
        Value, color, name, pixels, share and hectares of every class, in the model's order; for a multi-label model
        also of "none of these".
    height, width : int
        Pixels of the scene and of the map.
    crs : rasterio.crs.CRS or None
        Coordinate reference system.
    transform : affine.Affine
        Pixels to coordinates.
    nodata_pixels : int
        Pixels without a class.
    ood_share : float or None
        Share of the mapped pixels that are unlike the training data, 0-1; None where the model cannot detect it.
    warnings : tuple of str
        What to know before using the map.
    bands : Bands
        Which bands of the scene were read.
    rescale : RescaleDecision
        How the scene's channels compare with the training patches', and what was done about it.
    stride : int
        Pixels from one window to the next.
    dense : bool
        Whether the network was run over many windows at once.
    windows, classified : int
        Windows laid, and those that held data.
    seconds : float
        Time taken.
    layers : mapping of str to numpy.ndarray
        The rasters ``[bands, height, width]`` of a map in memory: ``classes``, ``confidence``, ``ood`` where the model
        detects it, ``probabilities`` where asked for. Empty for a map on disk.
    written : MapFiles or None
        The files of a map on disk.
    min_area : MinimumArea or None
        What the minimum mapping unit has changed, if there is one.
    zones : tuple of ZoneArea
        Hectares of every class by zone, in the order of the file of zones.
    zone_notes : tuple of str
        What to know before using them.
    part : MappedPart or None
        The part of the scene that was mapped, if it is not all of it.
    """

    legend: tuple[LegendEntry, ...]
    height: int
    width: int
    crs: Any
    transform: Affine
    nodata_pixels: int
    ood_share: float | None
    warnings: tuple[str, ...]
    bands: Bands
    rescale: RescaleDecision
    stride: int
    dense: bool
    windows: int
    classified: int
    seconds: float
    layers: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    written: MapFiles | None = None
    min_area: MinimumArea | None = None
    zones: tuple[ZoneArea, ...] = ()
    zone_notes: tuple[str, ...] = ()
    part: MappedPart | None = None

    def __repr__(self) -> str:
        """Size, place, the three largest classes, and where the rasters are."""
        largest = sorted(self.legend, key=lambda entry: -entry.pixels)[:3]
        shares = ", ".join(f"{entry.name} {entry.share:.1%}" for entry in largest if entry.pixels)
        place = self.crs.to_string() if self.crs else "no CRS"
        where = "in memory" if self.written is None else str(self.written.classes)
        notes = f"; warnings: {len(self.warnings)}" if self.warnings else ""
        return f"<Map {self.height} x {self.width}, {place}: {shares or 'no data'}; {where}{notes}>"

    @property
    def array(self) -> npt.NDArray[np.uint8]:
        """uint8 ``[height, width]`` of a map in memory: the legend's values, 0 for nodata."""
        return self._layer("classes")

    @property
    def confidence(self) -> npt.NDArray[np.uint8]:
        """uint8 ``[height, width]`` of a map in memory: percent, 255 for nodata."""
        return self._layer("confidence")

    @property
    def files(self) -> MapFiles:
        """The files of a map on disk."""
        if self.written is None:
            raise SettingError("this map is in memory and has no files", fix="give map_scene an out")
        return self.written

    @property
    def hectares(self) -> dict[str, float] | None:
        """Hectares of every class; None where pixels have no known size."""
        areas = {entry.name: entry.hectares for entry in self.legend if entry.hectares is not None}
        return areas if len(areas) == len(self.legend) else None

    def to_xarray(self) -> Any:
        """A map in memory as an ``xarray.Dataset``.

        Returns
        -------
        xarray.Dataset
            Variables ``classes``, ``confidence`` and, where the model detects it, ``ood``, with dimensions ``y`` and
            ``x``. The legend is in the attributes of ``classes`` as CF has it (``flag_values``, ``flag_meanings``);
            the reference system in the coordinate ``spatial_ref``, where rioxarray and odc-geo look for it.

        Raises
        ------
        MissingExtraError
            If xarray is not installed.
        SettingError
            If the map is on disk.
        """
        named = {name: (("y", "x"), self._layer(name)) for name in ("classes", "confidence")}
        if "ood" in self.layers:
            named["ood"] = (("y", "x"), self._layer("ood"))
        try:
            xarray = importlib.import_module("xarray")
        except ImportError as error:
            raise MissingExtraError("a map as an xarray.Dataset", extra="eo") from error
        t = self.transform
        coords = {}
        if t.b == t.d == 0:  # coordinates of the pixels' centers, unless the grid is turned
            coords["x"] = t.c + t.a * (np.arange(self.width) + 0.5)
            coords["y"] = t.f + t.e * (np.arange(self.height) + 0.5)
        made = xarray.Dataset(named, coords=coords)
        numbers = " ".join(str(value) for value in (t.c, t.a, t.b, t.f, t.d, t.e))
        place = {"GeoTransform": numbers} | ({"crs_wkt": self.crs.to_wkt()} if self.crs else {})
        made = made.assign_coords(spatial_ref=((), 0, place))
        for name in named:
            nodata = NODATA if name == "classes" else NO_CONFIDENCE
            made[name].attrs.update(grid_mapping="spatial_ref", _FillValue=nodata)
        made["classes"].attrs.update(
            flag_values=[entry.value for entry in self.legend],
            flag_meanings=" ".join("_".join(entry.name.split()) for entry in self.legend),
            flag_colors=" ".join(f"#{entry.color}" for entry in self.legend),
        )
        return made

    def _layer(self, name: str) -> npt.NDArray[np.uint8]:
        if self.written is not None:
            raise SettingError(
                f"the rasters of this map are on disk, in {self.written.classes}",
                fix="open them with rasterio, or call map_scene without out",
            )
        rows: npt.NDArray[np.uint8] = self.layers[name][0]
        return rows


def map_warnings(
    strips: Strips,
    spec: InputSpec,
    area: PixelArea | None,
    no_area: str | None,
    bands: Bands,
    rescale: RescaleDecision,
    totals: Totals,
    min_area: float | None,
) -> tuple[str, ...]:
    """What a user should know before using a map: sentences without a full stop."""
    found = [bands.warning, rescale.warning, ood_warning(totals.ood_share)]
    if area is None:
        found.append(f"the map has no areas in hectares: {no_area}")
    else:
        found.append(size_warning(area, spec.gsd))
        found.append(min_area_warning(min_area, area, strips.grid))
        if totals.nowhere:
            found.append(
                f"the map has no areas in hectares: {totals.nowhere:,} of its pixels lie outside the part of the globe "
                "that its reference system covers"
            )
    limits = read_rescale(rescale.rendering.taken).limits
    if strips.scene.scaling is not None and limits is not None:
        scale, offset = strips.scene.scaling
        found.append(
            f"the scene states a scale of {scale:g} and an offset of {offset:g}; --rescale was applied to its stored "
            "values, without them"
        )
    found += pixel_warnings(strips.statistics, spec, rescaled=limits is not None, compared=rescale.compared)
    return tuple(warning for warning in found if warning)


def size_warning(area: PixelArea, gsd: float | None) -> str | None:
    """For pixels much larger or smaller on the ground than the model's."""
    if gsd is None or 1 / _OTHER_SIZE < area.side / gsd < _OTHER_SIZE:
        return None
    return (
        f"the scene's pixels are {area.side:.3g} m wide and the model was trained at {gsd:g} m: "
        "resample the scene to that size first"
    )


def min_area_warning(hectares: float | None, area: PixelArea, grid: Grid) -> str | None:
    """For a minimum mapping unit that no patch can fall below, since the map is made of larger cells."""
    cell = (grid.cell * area.side) ** 2 / 10_000
    if hectares is None or hectares > cell:
        return None
    return (
        f"a cell of this map is {three_digits(cell)} ha, so no patch is smaller than {hectares:g} ha, but for those "
        "that an edge cuts: give --min-area more, or a smaller --stride"
    )


def ood_warning(share: float | None) -> str | None:
    """For a map of which a part is unlike the training data, beyond a few false alarms."""
    if share is None or share < _OOD:
        return None
    return (
        f"{100 * share:.0f} % of the map is unlike the training data (clouds, another sensor or land the model does "
        "not know): predictions are unreliable there, see the raster .ood.tif"
    )


def pixel_warnings(
    statistics: PixelStatistics, spec: InputSpec, *, rescaled: bool, compared: bool = False
) -> list[str]:
    """For pixels that hold no data, are black, or whose means differ from the training patches'.

    Parameters
    ----------
    statistics : PixelStatistics
        Of the scene, as the model gets it.
    spec : InputSpec
        What the model expects.
    rescaled : bool
        Whether the pixels were rescaled from reflectance.
    compared : bool
        Whether their quantiles were compared with the training patches', which says more than means.
    """
    means, found = statistics.means, []
    if means is None:
        return ["the scene holds no data at all: nothing was mapped"]
    black = statistics.black / statistics.count
    if black > 0.01:
        found.append(
            f"{100 * black:.0f} % of the pixels are 0 in all bands and were classified as if they were "
            "data; use --nodata 0 if they are not"
        )
    far = [
        f"{band} {mean:.0f} (training {usual:.0f} ± {spread:.0f})"
        for band, mean, usual, spread in zip(spec.bands, means, spec.channel_mean, spec.channel_sd, strict=True)
        if abs(mean - usual) > _FAR * spread
    ]
    if far and not compared:
        found.append(
            f"the scene's channel means are far from the training patches': {', '.join(far)}; "
            + ("check the range given to --rescale" if rescaled else "it may be rescaled differently")
            + ", and compare the map with the scene before you use it"
        )
    return found


def map_record(
    made: Map, classifier: Classifier, strips: Strips, area: PixelArea | None, *, run: str, model_hash: str
) -> dict[str, Any]:
    """The content of ``map.json``; `run` and the model's SHA-256 stand in every raster of the map as well."""
    scene, grid = strips.scene, strips.grid
    nodata = scene.nodata
    means = strips.statistics.means
    record, files, pixels = classifier.record, made.files, made.width * made.height
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "swath": __version__,
        "run": run,
        "engine": classifier.engine,
        "model": {
            "name": record.name,
            "file": classifier.path.name,
            "sha256": model_hash,
            "created": record.created,
            "task": record.task,
            "thresholds": record.thresholds,
            "data": record.data.name,
            "data_fingerprint": record.data.fingerprint,
            "license": record.license,
            # Codes of the places it was taught from, so that a map is not assessed by them.
            "taught": [one.model_dump(mode="json") for one in record.taught],
        },
        "scene": {
            "name": scene.name,
            "width": made.width,
            "height": made.height,
            "crs": made.crs.to_string() if made.crs else None,
            "transform": list(made.transform)[:6],
            "dtype": scene.dtype,
            "bands": list(scene.bands),
            "product": asdict(scene.product) if scene.product.source == "metadata" else None,
        },
        "bands": {"model": list(record.input.bands), "scene": list(made.bands.indexes), "how": made.bands.how},
        "rescale": made.rescale.record(),
        "nodata": nodata if nodata is None or math.isfinite(nodata) else str(nodata),
        "channel_means": None if means is None else [round(mean, 2) for mean in means],
        "patch": grid.patch,
        "stride": grid.stride,
        "cell": grid.cell,
        "dense": made.dense,
        "windows": {"all": made.windows, "classified": made.classified},
        "pixels": {"all": pixels, "mapped": pixels - made.nodata_pixels, "nodata": made.nodata_pixels},
        "area_method": None if area is None else area.method,
        "classes": [asdict(entry) for entry in made.legend],
        "files": {
            "classes": files.classes.name,
            "confidence": files.confidence.name,
            "legend": files.legend.name,
            "picture": files.picture.name,
            "page": files.page.name,
            "probabilities": files.probabilities and files.probabilities.name,
            "ood": files.ood and files.ood.name,
            "zones": files.zones and files.zones.name,
        },
        "min_area": None if made.min_area is None else asdict(made.min_area),
        "zones": [
            {
                "name": zone.name,
                "inside": round(zone.inside, 4),
                "hectares": {entry.name: area for entry, area in zip(made.legend, zone.hectares, strict=True)},
                "nodata_hectares": zone.nodata_hectares,
            }
            for zone in made.zones
        ],
        "zone_notes": list(made.zone_notes),
        "part": None if made.part is None else asdict(made.part),
        "ood": None if made.ood_share is None else round(made.ood_share, 4),
        "warnings": list(made.warnings),
        "seconds": round(made.seconds, 2),
    }
