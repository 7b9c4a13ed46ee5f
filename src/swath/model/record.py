"""The record a model file carries: what it was made of, what it expects, what may be believed of it.

Field names follow the STAC Machine Learning Model extension (v1.4) where it has one. The record is
JSON in the file's metadata under :data:`RECORD_KEY`; ``model/record.schema.json`` describes it.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, PositiveInt, model_validator

from swath.config import Settings

SCHEMA_VERSION = 1
RECORD_KEY = "swath.record"
MAX_GOLDEN_BYTES = 64 * 2**20

Task = Literal["single-label", "binary", "multi-label"]


def _hex_colour(value: str) -> str:
    if len(value) != 6 or any(c not in "0123456789abcdefABCDEF" for c in value):
        raise ValueError("a colour is six hexadecimal digits, such as 228B22")
    return value.upper()


Colour = Annotated[str, AfterValidator(_hex_colour)]


class ClassInfo(Settings):
    """One class: its place in the outputs, its name and its colour on maps (RRGGBB)."""

    value: int = Field(ge=0)
    name: str = Field(min_length=1)
    color_hint: Colour

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, 0-255."""
        return int(self.color_hint[:2], 16), int(self.color_hint[2:4], 16), int(self.color_hint[4:], 16)


class InputSpec(Settings):
    """What pixels the model expects, and what its graph does to them first.

    ``mean`` and ``sd`` are applied inside the graph, in units of the stored pixels.
    ``channel_mean`` and ``channel_sd`` are the training patches' own statistics, for comparison.
    """

    bands: tuple[str, ...] = Field(min_length=1)
    size: int = Field(ge=8, le=4096, description="patch side in pixels after the graph's own resize")
    gsd: float | None = Field(default=None, gt=0, description="metres a pixel")
    data_type: Literal["uint8", "uint16"]
    value_range: tuple[float, float]
    meaning: str = Field(description="what the numbers are, such as an 8-bit rendering of reflectance")
    mean: tuple[float, ...]
    sd: tuple[Annotated[float, Field(gt=0)], ...]
    channel_mean: tuple[float, ...]
    channel_sd: tuple[float, ...]

    @model_validator(mode="after")
    def _same_length(self) -> InputSpec:
        for name in ("mean", "sd", "channel_mean", "channel_sd"):
            if len(getattr(self, name)) != len(self.bands):
                raise ValueError(f"'{name}' needs one number a band ({len(self.bands)})")
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
    licence: str | None = None
    attribution: str | None = None


class ColourBaseline(Settings):
    """Multinomial logistic regression on colour statistics; ``[K, F]`` weights on standardised features."""

    features: tuple[str, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]


class Baselines(Settings):
    """The two simple rules every model is held against, fitted on the training split."""

    majority: str
    colour: ColourBaseline | None = None


class EngineParity(Settings):
    """How one engine agreed with the torch network on real patches."""

    engine: str
    precision: str
    patches: int
    batch_sizes: tuple[int, ...]
    max_difference: float
    label_agreement: float


class Golden(Settings):
    """A few real patches and the probabilities they must give: the gate's torch-free half."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    data_type: Literal["uint8", "uint16"]
    pixels: str = Field(description="zlib-compressed C-order pixels, base64")
    probabilities: tuple[tuple[float, ...], ...]
    tolerance: float = Field(gt=0)

    @classmethod
    def pack(cls, pixels: npt.NDArray[Any], probabilities: npt.NDArray[Any], *, tolerance: float) -> Golden:
        """Store `pixels` ``[N, bands, H, W]`` and `probabilities` ``[N, K]``."""
        packed = base64.b64encode(zlib.compress(np.ascontiguousarray(pixels).tobytes(), 9)).decode("ascii")
        n, bands, height, width = pixels.shape
        return cls(
            shape=(n, bands, height, width),
            data_type=pixels.dtype.name,  # the model validates it
            pixels=packed,
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
        dtype = np.dtype(self.data_type)
        wanted = math.prod(self.shape) * dtype.itemsize
        if wanted > MAX_GOLDEN_BYTES:
            raise ValueError(f"golden patches of {wanted} bytes")
        stream = zlib.decompressobj()
        try:
            raw = stream.decompress(base64.b64decode(self.pixels, validate=True), wanted + 1)
        except (zlib.error, ValueError) as error:
            raise ValueError(f"golden patches are damaged ({error})") from error
        if len(raw) != wanted:
            raise ValueError("golden patches do not have the size they state")
        return np.frombuffer(raw, dtype).reshape(self.shape)


class Record(Settings):
    """Everything a model file says of itself."""

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1)
    name: str = Field(min_length=1)
    created: str = Field(description="ISO 8601 date of the training")
    task: Task
    architecture: str
    total_parameters: int = Field(ge=0)
    pretrained: bool = False
    input: InputSpec
    classes: tuple[ClassInfo, ...] = Field(min_length=1)
    temperature: float = Field(default=1.0, gt=0)
    thresholds: dict[str, float] = Field(default_factory=dict, description="decision threshold a class")
    conformal: dict[str, float] = Field(default_factory=dict, description="score quantile a coverage level")
    out_of_distribution: dict[str, Any] = Field(default_factory=dict)
    recipe: dict[str, Any]
    data: DataInfo
    metrics: dict[str, Estimate] = Field(default_factory=dict, description="on the validation split")
    baselines: Baselines | None = None
    parity: tuple[EngineParity, ...] = ()
    golden: Golden
    versions: dict[str, str] = Field(default_factory=dict)
    licence: str = "MIT"

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        if [c.value for c in self.classes] != list(range(len(self.classes))):
            raise ValueError("class values must count up from 0")
        if len({c.name for c in self.classes}) != len(self.classes):
            raise ValueError("class names must differ")
        if any(len(row) != len(self.classes) for row in self.golden.probabilities):
            raise ValueError("golden probabilities need one number a class")
        if len(self.golden.probabilities) != self.golden.shape[0]:
            raise ValueError("golden patches and probabilities differ in number")
        if (self.golden.shape[1], self.golden.data_type) != (len(self.input.bands), self.input.data_type):
            raise ValueError("golden patches do not have the bands and type of the input")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in output order."""
        return tuple(c.name for c in self.classes)
