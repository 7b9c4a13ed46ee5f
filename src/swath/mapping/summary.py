"""What came out of a mapping, for people and for ``map.json``."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from swath import __version__
from swath.errors import SettingError
from swath.inference import Classifier
from swath.inference.color_match import ColorMatch
from swath.mapping.area import PixelArea
from swath.mapping.grid import Grid
from swath.mapping.legend import ClassTotal, painted_classes
from swath.mapping.reader import Bands, Scene
from swath.mapping.strips import Strip
from swath.model.record import InputSpec

# Every fourth pixel each way says enough about a mean.
_EVERY = 4
_FAR = 1.0  # spreads of the training patches' pixels
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
        ``.aux.xml`` beside it, where GDAL and QGIS find the names of the classes.
    confidence : Path
        COG: uint8, percent, 255 is nodata.
    record : Path
        JSON: areas and provenance.
    legend, picture : Path
        PNG.
    ood : Path or None
        COG: uint8, 1 where most windows over a pixel are not like the training data, 0 where not, 255 is nodata; only
        if the model file can tell.
    probabilities : Path or None
        float32, one band a class and one pixel a cell of the grid; only if asked for.
    """

    classes: Path
    names: Path
    confidence: Path
    record: Path
    legend: Path
    picture: Path
    probabilities: Path | None = None
    ood: Path | None = None

    @classmethod
    def next_to(cls, out: Path, *, probabilities: Path | None = None, ood: bool = False) -> MapFiles:
        """Name the files of the map `out`."""
        return cls(
            classes=out,
            names=out.with_name(f"{out.name}.aux.xml"),
            confidence=out.with_name(f"{out.stem}.confidence{out.suffix}"),
            record=out.with_name(f"{out.stem}.json"),
            legend=out.with_name(f"{out.stem}.legend.png"),
            picture=out.with_name(f"{out.stem}.png"),
            probabilities=probabilities,
            ood=out.with_name(f"{out.stem}.ood{out.suffix}") if ood else None,
        )

    def all(self) -> tuple[Path, ...]:
        """Every file, the class raster first."""
        others = (self.names, self.confidence, self.record, self.legend, self.picture)
        return (self.classes, *others, *(path for path in (self.ood, self.probabilities) if path))

    def check(self, scene: Path) -> None:
        """Refuse names that are no GeoTIFF's, or that of the scene.

        Raises
        ------
        SettingError
            If there is one.
        """
        for path in (self.classes, self.probabilities):
            if path is not None and path.suffix.lower() not in {".tif", ".tiff"}:
                raise SettingError(f"{path} does not end in .tif", fix="maps are GeoTIFF files")
        if scene.exists():
            for path in self.all():
                if path.exists() and path.samefile(scene):
                    raise SettingError(f"{path} is the scene itself", fix="choose another name for the map")


@dataclass(frozen=True)
class MapSummary:
    """What came out of a mapping.

    Attributes
    ----------
    files : MapFiles
        What was written.
    classes : tuple of ClassTotal
        Pixels, share and hectares of every class, in the model's order; for a multi-label model also of
        "none of these".
    nodata_pixels : int
        Pixels without a class.
    width, height : int
        Pixels of the scene and of the map.
    crs : str or None
        Coordinate reference system.
    bands : Bands
        Which bands of the scene were read.
    color_match : Harmony
        How the scene's channels compare with the training patches', and what was done about it.
    stride : int
        Pixels from one window to the next.
    dense : bool
        Whether the network was run over many windows at once.
    windows, classified : int
        Windows laid, and those that held data.
    seconds : float
        Time taken.
    warnings : tuple of str
        What the user should know before believing the map.
    ood : float or None
        Share of the mapped pixels that are not like the training data, 0-1; None where that was not asked.
    """

    files: MapFiles
    classes: tuple[ClassTotal, ...]
    nodata_pixels: int
    width: int
    height: int
    crs: str | None
    bands: Bands
    color_match: ColorMatch
    stride: int
    dense: bool
    windows: int
    classified: int
    seconds: float
    warnings: tuple[str, ...]
    ood: float | None = None

    @property
    def hectares(self) -> dict[str, float] | None:
        """Hectares of every class; None where pixels have no known size."""
        areas = {c.name: c.hectares for c in self.classes if c.hectares is not None}
        return areas if len(areas) == len(self.classes) else None


def map_record(
    summary: MapSummary,
    classifier: Classifier,
    scene: Scene,
    grid: Grid,
    *,
    area: PixelArea | None,
    rescale: tuple[float, float] | None,
    nodata: float | None,
    means: Sequence[float] | None,
) -> dict[str, Any]:
    """The content of ``map.json``."""
    record = classifier.record
    files = summary.files
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "swath": __version__,
        "engine": classifier.engine,
        "model": {
            "name": record.name,
            "file": classifier.path.name,
            "sha256": hashlib.sha256(classifier.path.read_bytes()).hexdigest(),
            "created": record.created,
            "task": record.task,
            "thresholds": record.thresholds,
            "data": record.data.name,
            "data_fingerprint": record.data.fingerprint,
            "license": record.license,
        },
        "scene": {
            "name": scene.name,
            "width": scene.width,
            "height": scene.height,
            "crs": summary.crs,
            "transform": list(scene.transform)[:6],
            "dtype": scene.dtype,
            "bands": list(scene.bands),
        },
        "bands": {
            "model": list(record.input.bands),
            "scene": list(summary.bands.indexes),
            "how": summary.bands.how,
        },
        "rescale": None if rescale is None else {"low": rescale[0], "high": rescale[1]},
        "match_colors": summary.color_match.record(),
        "nodata": nodata if nodata is None or math.isfinite(nodata) else str(nodata),
        "channel_means": None if means is None else [round(mean, 2) for mean in means],
        "patch": grid.patch,
        "stride": grid.stride,
        "cell": grid.cell,
        "dense": summary.dense,
        "windows": {"all": summary.windows, "classified": summary.classified},
        "pixels": {
            "all": scene.width * scene.height,
            "mapped": scene.width * scene.height - summary.nodata_pixels,
            "nodata": summary.nodata_pixels,
        },
        "area_method": None if area is None else area.method,
        "classes": [
            {"value": info.value + 1, "color": info.color_hint, **asdict(total)}
            for info, total in zip(painted_classes(record), summary.classes, strict=True)
        ],
        "files": {
            "classes": files.classes.name,
            "confidence": files.confidence.name,
            "legend": files.legend.name,
            "picture": files.picture.name,
            "probabilities": files.probabilities and files.probabilities.name,
            "ood": files.ood and files.ood.name,
        },
        "ood": None if summary.ood is None else round(summary.ood, 4),
        "warnings": list(summary.warnings),
        "seconds": round(summary.seconds, 2),
    }


class SceneStatistics:
    """Looks at the pixels that go by: channel means, and black pixels taken for data.

    Parameters
    ----------
    spec : InputSpec
        What the model expects.
    grid : Grid
        The windows, which overlap.
    """

    def __init__(self, spec: InputSpec, grid: Grid) -> None:
        self._spec, self._grid = spec, grid
        self._sums = np.zeros(len(spec.bands))
        self._count = self._black = 0

    def add(self, strip: Strip) -> None:
        """Look at the part of a strip that the next one does not hold."""
        rows, cols = self._grid.rows, self._grid.cols
        following = strip.windows * rows.stride
        top, bottom = max(0, -strip.start), min(following, rows.length - strip.start)
        if top >= bottom:
            return
        part = np.s_[top:bottom:_EVERY, -cols.first : -cols.first + cols.length : _EVERY]
        valid = strip.valid[part]
        seen = np.ascontiguousarray(strip.pixels[:, *part]).reshape(len(self._sums), -1)
        if not valid.all():
            seen = seen[:, valid.ravel()]
        self._sums += seen.sum(axis=1, dtype=np.uint64)
        self._count += seen.shape[1]
        self._black += seen.shape[1] - int(np.count_nonzero(seen.any(axis=0)))

    @property
    def means(self) -> tuple[float, ...] | None:
        """Mean of each of the model's bands over pixels with data; None if there are none."""
        return tuple((self._sums / self._count).tolist()) if self._count else None

    def warnings(self, *, rescaled: bool, compared: bool = False) -> list[str]:
        """What the pixels give reason to doubt, in whole sentences without a full stop.

        Parameters
        ----------
        rescaled : bool
            Whether they were rendered from reflectance.
        compared : bool
            Whether their quantiles were held against the training patches', which says more than means.
        """
        means, spec, found = self.means, self._spec, []
        if means is None:
            return ["the scene holds no data at all: nothing was mapped"]
        black = self._black / self._count
        if black > 0.01:
            found.append(
                f"{100 * black:.0f} % of the pixels are 0 in all bands and were classified as if they were "
                "data; use --nodata 0 if they are not"
            )
        far = [
            f"{band} {mean:.0f} (training {usual:.0f} ± {spread:.0f})"
            for band, mean, usual, spread in zip(
                spec.bands, means, spec.channel_mean, spec.channel_sd, strict=True
            )
            if abs(mean - usual) > _FAR * spread
        ]
        if far and not compared:
            found.append(
                f"the scene's channel means are far from the training patches': {', '.join(far)}; "
                + ("check the range given to --rescale" if rescaled else "it may be rendered differently")
                + ", and hold the map against the scene before you believe it"
            )
        return found


def ood_warning(share: float | None) -> list[str]:
    """Say so where a part of the map is not like the training data, beyond a few false alarms."""
    if share is None or share < _OOD:
        return []
    return [
        f"{100 * share:.0f} % of the map is not like the training data (clouds, another sensor or land the model does "
        "not know): see the raster .ood.tif before you believe it"
    ]


def size_warning(area: PixelArea | None, gsd: float | None) -> str | None:
    """Say so if the scene's pixels are much larger or smaller on the ground than the model's."""
    if area is None or gsd is None or 1 / _OTHER_SIZE < area.side / gsd < _OTHER_SIZE:
        return None
    return (
        f"the scene's pixels are {area.side:.3g} m wide and the model was trained at {gsd:g} m: "
        "resample the scene to that size first"
    )
