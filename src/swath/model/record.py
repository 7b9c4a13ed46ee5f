"""The record a model file carries: what it was made of, what it expects, and how far it can be trusted.

Field names follow the STAC Machine Learning Model extension (v1.4) where it has one. The record is
JSON in the file's metadata under :data:`RECORD_KEY`; ``model/record.schema.json`` describes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, model_validator

from swath.config import Settings, printable
from swath.imagery.header import RGB
from swath.model.colors import class_colors
from swath.model.memory import ClassMemory, Taught
from swath.model.ood import OutOfDistribution, pack_bytes, unpack_bytes
from swath.model.seen import Seen

SCHEMA_VERSION = 5
RECORD_KEY, DIGEST_KEY = "swath.record", "swath.record.sha256"
Task = Literal["single-label", "binary", "multi-label"]
Threshold = Annotated[float, Field(gt=0, lt=1)]
_ROUNDING = 1e-4  # of probabilities in float32
UNDECIDED = 0.5  # the threshold where a record gives none
NONE = -1  # the place of an image's class where it has none


def _hex_color(value: str) -> str:
    if len(value) != 6 or any(c not in "0123456789abcdefABCDEF" for c in value):
        raise ValueError("a color is six hexadecimal digits, such as 228B22")
    return value.upper()


def _starts_with_a_date(value: str) -> str:
    try:
        found = date.fromisoformat(value[:10]).isoformat()
    except ValueError:
        found = ""
    if found != value[:10]:  # a date can be written in other ways than the one that catalogs take
        raise ValueError("a date begins with its day, such as 2026-11-21")
    return value


Color = Annotated[str, AfterValidator(_hex_color)]


class ClassInfo(Settings):
    """One class: its place in the outputs, its name and its color on maps (RRGGBB)."""

    value: int = Field(ge=0)
    name: Annotated[str, AfterValidator(printable)]
    color_hint: Color

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, 0-255."""
        return int(self.color_hint[:2], 16), int(self.color_hint[2:4], 16), int(self.color_hint[4:], 16)


class ChannelQuantiles(Settings):
    """Quantiles of the training patches' pixels: one row of ``values`` per band, one value per level."""

    levels: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=2)
    values: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _rising(self) -> ChannelQuantiles:
        if list(self.levels) != sorted(set(self.levels)):
            raise ValueError("levels of quantiles must rise")
        if any(len(row) != len(self.levels) or list(row) != sorted(row) for row in self.values):
            raise ValueError("each band needs one quantile per level, none below the one before it")
        return self


class InputSpec(Settings):
    """What pixels the model expects, and what its graph does to them first.

    ``mean`` and ``sd`` are applied inside the graph, in units of the stored pixels.
    ``channel_mean``, ``channel_sd`` and ``channel_quantiles`` are the training patches' own statistics, for
    comparison.
    """

    bands: tuple[str, ...] = Field(min_length=1)
    file_bands: int | None = Field(
        default=None, ge=1, description="bands of the training files, where `bands` are numbers in files without names"
    )
    size: int = Field(ge=8, le=4096, description="patch side in pixels after the graph's own resize")
    gsd: float | None = Field(default=None, gt=0, description="meters per pixel")
    data_type: Literal["uint8", "uint16"]
    value_range: tuple[float, float]
    meaning: str = Field(description="what the numbers are, such as an 8-bit rendering of reflectance")
    rendering: Literal["eurosat"] | None = Field(
        default=None,
        description="how the training patches were drawn, where it is known: as EuroSAT's, which are Sentinel-2 level "
        "1C from 0 to 2750 DN (reflectance x 10,000) in 8 bits",
    )
    mean: tuple[float, ...]
    sd: tuple[Annotated[float, Field(gt=0)], ...]
    channel_mean: tuple[float, ...]
    channel_sd: tuple[float, ...]
    channel_quantiles: ChannelQuantiles | None = None

    @model_validator(mode="after")
    def _same_length(self) -> InputSpec:
        for name in ("mean", "sd", "channel_mean", "channel_sd"):
            if len(getattr(self, name)) != len(self.bands):
                raise ValueError(f"'{name}' needs one number per band ({len(self.bands)})")
        if self.rendering is not None and (self.data_type != "uint8" or not set(self.bands) <= set(RGB)):
            raise ValueError("pictures like EuroSAT's hold 8-bit red, green and blue")
        if self.channel_quantiles is not None and len(self.channel_quantiles.values) != len(self.bands):
            raise ValueError(f"'channel_quantiles' needs one row per band ({len(self.bands)})")
        return self


class Estimate(Settings):
    """A number with its 95 % interval and the count it rests on."""

    value: float
    low: float
    high: float
    n: int = Field(ge=0)


class DataInfo(Settings):
    """Where the training patches came from."""

    name: str
    fingerprint: str = Field(description="SHA-256 over the paths, labels, splits and contents of the index")
    counts: dict[str, int] = Field(description="patches in each split")
    split_protocol: str
    license: str | None = None
    attribution: str | None = None


class ColorBaseline(Settings):
    """Multinomial logistic regression on color statistics; ``[K, F]`` weights on standardized features."""

    features: tuple[str, ...]
    center: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


class Baselines(Settings):
    """The two simple rules every model is compared with, fitted on the training split."""

    majority: str
    color: ColorBaseline | None = None


class EngineParity(Settings):
    """How one engine agreed with the torch network on real patches."""

    engine: str
    precision: str
    patches: int
    batch_sizes: tuple[int, ...]
    max_difference: float
    label_agreement: float


class ReferencePatches(Settings):
    """A few real patches and the probabilities they must give: the export check's torch-free half."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    data_type: Literal["uint8", "uint16"]
    pixels: str = Field(description="zlib-compressed C-order pixels, base64")
    probabilities: tuple[tuple[float, ...], ...]
    tolerance: float = Field(gt=0)

    @classmethod
    def pack(cls, pixels: npt.NDArray[Any], probabilities: npt.NDArray[Any], *, tolerance: float) -> ReferencePatches:
        """Store `pixels` ``[N, bands, H, W]`` and `probabilities` ``[N, K]``."""
        n, bands, height, width = pixels.shape
        return cls(
            shape=(n, bands, height, width),
            data_type=pixels.dtype.name,  # the model validates it
            pixels=pack_bytes(pixels),
            probabilities=tuple(tuple(float(v) for v in row) for row in probabilities),
            tolerance=tolerance,
        )

    def unpack(self) -> npt.NDArray[Any]:
        """Give the pixels back as ``[N, bands, H, W]``.

        Raises
        ------
        ValueError
            If the stored bytes are damaged or larger than they say.
        """
        return unpack_bytes(self.pixels, self.shape, np.dtype(self.data_type), what="reference patches")


class Record(Settings):
    """Everything a model file says of itself."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    name: str = Field(min_length=1)
    created: Annotated[str, AfterValidator(_starts_with_a_date)] = Field(description="ISO 8601 date of the training")
    task: Task
    architecture: str
    total_parameters: int = Field(ge=0)
    pretrained: bool = False
    started_from: dict[str, Any] | None = Field(
        default=None, description="the weights training began with: source, checksum, license, expected input"
    )
    input: InputSpec
    classes: tuple[ClassInfo, ...] = Field(min_length=1)
    temperature: float = Field(default=1.0, gt=0)
    thresholds: dict[str, Threshold] = Field(
        default_factory=dict,
        description="least probability at which an image has the label, chosen on validation patches: of the "
        "positive class (binary) or of any class (multi-label); 0.5 for those not named",
    )
    conformal: dict[Annotated[str, Field(pattern=r"^0\.\d+$")], Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict,
        description="by wanted coverage, such as 0.90: a class is in the prediction set where 1 minus its "
        "probability is at most this",
    )
    out_of_distribution: Annotated[OutOfDistribution | None, BeforeValidator(lambda given: given or None)] = Field(
        default=None, description="statistics that detect patches unlike the training data"
    )
    memory: ClassMemory | None = Field(
        default=None, description="statistics of the classes' features, so that teaching does not forget them"
    )
    recipe: dict[str, Any]
    data: DataInfo
    taught: Taught = ()
    seen: Seen = ()
    metrics: dict[str, Estimate] = Field(default_factory=dict, description="on the validation split")
    baselines: Baselines | None = None
    parity: tuple[EngineParity, ...] = ()
    reference: ReferencePatches
    versions: dict[str, str] = Field(default_factory=dict)
    license: str = "MIT"

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        if [c.value for c in self.classes] != list(range(len(self.classes))):
            raise ValueError("class values must count up from 0")
        names = self.class_names
        if len(set(names)) != len(names):
            raise ValueError("class names must differ")
        if self.task == "binary" and len(names) != 2:
            raise ValueError(f"a binary model has a negative and a positive class, not {len(names)} classes")
        # Of a binary model the last class is the positive one; one of many takes the largest probability.
        may = {"single-label": (), "binary": names[1:], "multi-label": names}[self.task]
        stray = [name for name in self.thresholds if name not in may]
        if stray:
            raise ValueError(
                f"a {self.task} model has no threshold for '{stray[0]}'"
                + (f", only for: {', '.join(may)}" if may else "")
            )
        if self.memory is not None and max(self.memory.classes) >= len(self.classes):
            raise ValueError("the memory holds a class that the model does not have")
        if any(len(row) != len(self.classes) for row in self.reference.probabilities):
            raise ValueError("reference probabilities need one number per class")
        if any(not -_ROUNDING <= p <= 1 + _ROUNDING for row in self.reference.probabilities for p in row):
            raise ValueError("reference probabilities are not between 0 and 1")
        if self.task == "binary" and any(abs(sum(r) - 1) > _ROUNDING for r in self.reference.probabilities):
            raise ValueError("reference probabilities of the two classes do not add up to 1")
        if len(self.reference.probabilities) != self.reference.shape[0]:
            raise ValueError("reference patches and probabilities differ in number")
        if (self.reference.shape[1], self.reference.data_type) != (len(self.input.bands), self.input.data_type):
            raise ValueError("reference patches do not have the bands and type of the input")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in output order."""
        return tuple(c.name for c in self.classes)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Thresholds in output order: one per class, of the positive class alone (binary), or none."""
        if self.task == "single-label":
            return ()
        names = self.class_names[1:] if self.task == "binary" else self.class_names
        return tuple(self.thresholds.get(name, UNDECIDED) for name in names)

    @property
    def outputs(self) -> int:
        """Logits per image: one per class, but a single one for binary models."""
        return 1 if self.task == "binary" else len(self.classes)


def class_infos(names: Sequence[str], *, binary: bool = False) -> tuple[ClassInfo, ...]:
    """Number and color classes; see :func:`swath.model.colors.class_colors`."""
    colors = class_colors(names, binary=binary)
    return tuple(ClassInfo(value=i, name=n, color_hint=c) for i, (n, c) in enumerate(zip(names, colors, strict=True)))


def label_mask(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which labels images have.

    Parameters
    ----------
    record : Record
        Task and thresholds.
    probabilities : numpy.ndarray
        ``[..., K]``.

    Returns
    -------
    numpy.ndarray
        ``[..., K]`` bool; exactly one true per image, but any number for a multi-label model.
    """
    if record.task == "single-label":
        best = probabilities.argmax(axis=-1)
        return np.asarray(best[..., None] == np.arange(probabilities.shape[-1]))
    above = _above(record, probabilities)
    return above if record.task == "multi-label" else np.concatenate([~above, above], axis=-1)


def predicted_class(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The one class to name or paint.

    Parameters
    ----------
    record, probabilities
        As for :func:`label_mask`.

    Returns
    -------
    numpy.ndarray
        ``[...]`` int64, place of the class: the one decided for, or of several labels the most probable
        one; :data:`NONE` where a multi-label model gives no label.
    """
    if record.task == "single-label":
        return np.asarray(probabilities.argmax(axis=-1), np.int64)
    above = _above(record, probabilities)
    if record.task == "binary":
        return above[..., 0].astype(np.int64)
    best = np.where(above, probabilities, -1.0).argmax(axis=-1)
    return np.where(above.any(axis=-1), best, NONE)


def margins(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How far probabilities ``[..., K]`` are from their thresholds: ``[..., 1]`` (binary) or ``[..., K]``."""
    return np.asarray(np.abs(_compared(record, probabilities) - np.array(record.cuts)))


def _above(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(_compared(record, probabilities) >= np.array(record.cuts))


def _compared(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """What thresholds are compared with, in float64: in float32 one between two neighbors would move."""
    from_here = 1 if record.task == "binary" else 0
    return np.asarray(probabilities[..., from_here:], np.float64)
