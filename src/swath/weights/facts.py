"""Facts about weights: the license they are under, and the input they were trained on.

An :class:`Expectation` says what pixels a network was trained on, and :func:`check_expectation` refuses patches that
are something else. Licenses are sorted by what they allow (:func:`license_kind`). Both go into the model file's record
as :class:`WeightFacts`, and into the metadata of a run's ``weights.safetensors`` (:func:`weights_metadata`), from
where :func:`expects_of`, :func:`license_of` and :func:`network_of` read them for a later run.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from swath.config import Settings, validate
from swath.errors import DataError, SettingError
from swath.imagery import RGB
from swath.model.seen import Seen
from swath.networks.catalog import Network

LicenseKind = Literal["open", "non-commercial", "no-derivatives", "custom", "unknown"]
Style = Literal["none", "timm", "torchvision", "swath"]
S = TypeVar("S", bound=Settings)
_SEEN: TypeAdapter[Seen] = TypeAdapter(Seen)

BYTE = 255.0  # largest number of an 8-bit image
FURTHEST = 10.0  # standard deviations from the expected channel mean; beyond, the channel has another scale

EXPECTS_KEY = "swath.expects"
NETWORK_KEY = "swath.network"
CLASSES_KEY = "swath.classes"
ATTRIBUTION_KEY = "swath.attribution"
SEEN_KEY = "swath.seen"
LICENSE_KEY = "license"  # as other programs spell it in a safetensors file's metadata
_NUMBERS = r"([0-9.]+(?:\s*,\s*[0-9.]+){0,2})"
_NORMALIZATION = re.compile(rf"mean\s+{_NUMBERS}\s+(?:std|sd)\s+{_NUMBERS}")

# SPDX identifiers, as hubs and package metadata write them, of licenses that let a derived model be passed
# on for any purpose. Some ask for credit or for the same license; the model file records the name.
_OPEN = frozenset(
    """
    0bsd afl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
    ecl-2.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 isc lgpl lgpl-2.1 lgpl-3.0 mit mpl-2.0 ms-pl ncsa odc-by
    ofl-1.1 osl-3.0 pddl postgresql unlicense wtfpl zlib gpl gpl-2.0 gpl-3.0 agpl-3.0
    """.split()  # noqa: SIM905  (forty names read better as words)
)
OWN = "own"  # of weights that a run trained from scratch: their owner chooses a license
_UNKNOWN = frozenset({"", "unknown", "none", "-", "n/a", "noassertion"})
_NO_DERIVATIVES = re.compile(r"(^|[-_ ])nd([-_ .]|$)|no[-_ ]?deriv")
_NON_COMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ .]|$)|non[-_ ]?commercial|research[-_ ]?only|academic")
_REASONS = {
    "non-commercial": "forbids commercial use",
    "no-derivatives": "forbids passing on anything derived from them, and a trained model is",
    "custom": "has terms of its own that only a person can judge",
    "unknown": "is not known",
}


class Expectation(Settings):
    """The input that weights were trained on.

    A stored pixel ``x`` of band ``b`` entered the network as ``(x / scale - mean[b]) / sd[b]``.
    """

    bands: tuple[str, ...] = Field(default=RGB, min_length=1)
    data_type: Literal["uint8", "uint16"] = "uint8"
    scale: float = Field(default=BYTE, gt=0, description="stored number that becomes 1.0")
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    sd: tuple[Annotated[float, Field(gt=0)], ...] = (0.229, 0.224, 0.225)

    @field_validator("bands")
    @classmethod
    def _lower(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(band.lower() for band in bands)

    @model_validator(mode="after")
    def _same_length(self) -> Expectation:
        if not len(self.bands) == len(self.mean) == len(self.sd):
            raise ValueError(f"mean and sd need one number per band ({len(self.bands)})")
        return self

    def normalization(self, bands: Sequence[str] | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each band, in stored units.

        Parameters
        ----------
        bands : sequence of str, optional
            Bands of the input, by default the expected ones. A band the weights were not trained on takes the
            average over the expected bands.

        Examples
        --------
        >>> Expectation(mean=(0.5,) * 3, sd=(0.25,) * 3).normalization(["red", "nir"])
        ((127.5, 127.5), (63.75, 63.75))
        """
        places = [self.bands.index(b) if b in self.bands else None for b in bands or self.bands]
        mean, sd = (
            tuple(self.scale * (sum(v) / len(v) if at is None else v[at]) for at in places)
            for v in (self.mean, self.sd)
        )
        return mean, sd


def check_expectation(
    expects: Expectation,
    *,
    bands: Sequence[str],
    data_type: str,
    largest: float,
    channel_mean: Sequence[float],
    source: str = "the weights",
) -> None:
    """Refuse pixels that weights were not trained for.

    Another number of bands, or bands of other names, are no mismatch: the first layer is adapted to them.

    Parameters
    ----------
    expects : Expectation
        What the weights expect.
    bands : sequence of str
        Bands of the patches, in their order.
    data_type : str
        ``uint8`` or ``uint16``: how they are stored.
    largest : float
        Largest number in the training patches.
    channel_mean : sequence of float
        Mean of each band over the training patches, in stored units.
    source : str
        Name of the weights for messages.

    Raises
    ------
    DataError
        If the bands are in another order, or the numbers are on another scale.
    """
    given = tuple(bands)
    if given != expects.bands and sorted(given) == sorted(expects.bands):
        raise DataError(
            f"{source} expect the bands {','.join(expects.bands)}, and the patches come as {','.join(given)}",
            fix=f"--set 'bands=[{', '.join(expects.bands)}]'",
        )
    wide = expects.data_type == "uint16"
    unit = f" ({expects.scale:g} is 1.0)" if expects.scale > 1 else ""
    wanted = f"{source} expect {f'16-bit numbers{unit}' if wide else '8-bit images (0-255)'}"
    pictures = "use patches of the 16-bit numbers, or weights trained on 8-bit images such as imagenet"
    if largest <= 1:
        raise DataError(
            f"{wanted}, and no pixel is above {largest:g}: these look divided already",
            fix="give the pixels as stored, the network scales them itself",
        )
    if wide and data_type == "uint8":
        raise DataError(f"{wanted}, and the patches are 8-bit images", fix=pictures)
    if wide and largest <= BYTE:
        raise DataError(
            f"{wanted}, and no pixel is above {largest:g}: these look like 8-bit images stored in 16 bits", fix=pictures
        )
    if not wide and largest > BYTE:
        raise DataError(
            f"{wanted}, and pixels reach {largest:g}: these look like 16-bit reflectance",
            fix="render the patches to 8 bits first (swath.imagery.render_reflectance), or use weights trained on "
            "reflectance such as torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO",
        )
    for band, value, mean, sd in zip(given, channel_mean, *expects.normalization(given), strict=True):
        if not math.isfinite(value) or abs(value - mean) > FURTHEST * sd:
            raise DataError(
                f"{wanted} with a mean of {mean:.4g} in band {band}, and the patches "
                f"have {value:.4g}, {abs(value - mean) / sd:.0f} standard deviations away",
                fix="give the patches on the scale the weights expect, or train with --weights none",
            )


class WeightFacts(Settings):
    """Where weights came from and under which terms: goes into the model file's record."""

    source: str = Field(description="none, or the name the weights were asked for by; a file by its name alone")
    sha256: str | None = Field(default=None, description="of the file of weights")
    license: str | None = Field(default=None, description="SPDX identifier where there is one")
    license_url: str | None = None
    attribution: str | None = Field(default=None, description="whom to credit for the data they learned from")
    network: str = Field(description="the network they were loaded into")
    style: Style = Field(default="none", description="whose names their tensors had")
    expects: Expectation | None = Field(default=None, description="the input they were trained on, if known")
    changes: tuple[str, ...] = Field(default=(), description="what was adapted or left out when loading")
    untouched: bool = Field(
        default=False, description="whether the model has them as they came: no epoch was better on val"
    )
    # Not of the record: it has seen patches in a field of its own, and what was loaded matters at the start only.
    seen: Seen = Field(default=(), exclude=True)
    whole: bool = Field(default=False, exclude=True, description="whether no module is newly initialized")

    @property
    def pretrained(self) -> bool:
        """Whether there were any weights."""
        return self.source != "none"

    @property
    def license_kind(self) -> LicenseKind:
        """What the license allows; random weights are open."""
        return license_kind(self.license) if self.pretrained else "open"

    @property
    def warning(self) -> str | None:
        """One sentence to print when training starts, or ``None``."""
        return license_warning(self.license, self.source) if self.pretrained else None

    def check_redistributable(self) -> None:
        """Refuse weights whose license does not allow a model made from them to be redistributed.

        Raises
        ------
        SettingError
            If it does not, or is not known.
        """
        if self.warning is None:
            return
        fix = "train from other weights, or leave out --require-redistributable"
        if self.license_kind == "unknown":
            fix = (
                "find the license at their source and record it with "
                "swath weights add FILE --license ID (swath weights get prints the path), then train again"
            )
        raise SettingError(self.warning, fix=fix)


def license_kind(license: str | None) -> LicenseKind:
    """Sort a license by what it allows.

    Parameters
    ----------
    license : str or None
        An SPDX identifier in any case (``Apache-2.0``, ``cc-by-nc-4.0``), or words.

    Returns
    -------
    str
        ``open``; ``no-derivatives`` and ``non-commercial`` (the first, if both); ``custom`` for terms that
        are named but not known here; ``unknown`` if none are named.

    Examples
    --------
    >>> license_kind("Apache-2.0"), license_kind("cc-by-nc-4.0"), license_kind(None)
    ('open', 'non-commercial', 'unknown')
    """
    name = (license or "").strip().lower()
    if name in _UNKNOWN:
        return "unknown"
    if _NO_DERIVATIVES.search(name):
        return "no-derivatives"
    if _NON_COMMERCIAL.search(name):
        return "non-commercial"
    plain = re.sub(r"[\s_]+", "-", name).removesuffix("-only").removesuffix("-or-later")
    return "open" if plain in _OPEN or plain == OWN else "custom"


def license_warning(license: str | None, source: str) -> str | None:
    """One sentence to print when training starts from such weights; ``None`` if there is nothing to say."""
    kind = license_kind(license)
    if kind == "open":
        return None
    named = f" ({license})" if kind != "unknown" else ""
    return f"the license{named} of the weights {source} {_REASONS[kind]}: a model made from them cannot be shipped"


def weights_metadata(
    expects: Expectation,
    network: Network,
    *,
    license: str | None = None,
    classes: Sequence[str] = (),
    attribution: str | None = None,
    seen: Seen = (),
) -> dict[str, str]:
    """Metadata for a run's ``weights.safetensors``, so that a later run can start from it.

    Parameters
    ----------
    expects : Expectation
        What the run fed its network; with ``scale=1`` its statistics are in stored units.
    network : Network
        Settings the network was built from.
    license : str, optional
        Inherited from the weights this run started from: ``OWN`` if it was trained from scratch.
        Without it a later run does not know, and cannot be shipped.
    classes : sequence of str
        In the order of the head's outputs: a later run of the same classes keeps the head.
    attribution : str, optional
        Whom to credit for the data they learned from.
    seen : tuple of SeenPatches
        What they learned from and were chosen by: a model that starts from them has seen it too.
    """
    made = {EXPECTS_KEY: expects.model_dump_json(), NETWORK_KEY: network.model_dump_json()}
    if classes:
        made[CLASSES_KEY] = json.dumps(list(classes))
    if attribution:
        made[ATTRIBUTION_KEY] = attribution
    if seen:
        made[SEEN_KEY] = _SEEN.dump_json(seen).decode()
    return made | ({LICENSE_KEY: license} if license else {})


def expects_of(metadata: Mapping[str, str], *, where: str) -> Expectation | None:
    """The input a file's metadata states, if any.

    swath's own runs write an :class:`Expectation`. Other programs write ``mean 0.5 std 0.5``, with one number for
    all bands or three, which is read as of 8-bit RGB images divided by 255.

    Raises
    ------
    SettingError
        If the statement of a swath run is damaged.
    """
    if EXPECTS_KEY in metadata:
        return from_json(Expectation, metadata[EXPECTS_KEY], where=f"the metadata of {where}")
    found = _NORMALIZATION.fullmatch(metadata.get("normalisation", "").strip())
    if found is None:
        return None
    try:
        mean, sd = (tuple(float(v) for v in numbers.split(",")) for numbers in found.groups())
        return Expectation(mean=mean * 3 if len(mean) == 1 else mean, sd=sd * 3 if len(sd) == 1 else sd)
    except ValueError:  # not numbers, or not three
        return None


def seen_of(metadata: Mapping[str, str], *, where: str) -> Seen:
    """The patches that weights of a swath run have seen, by their metadata; none in other files.

    Raises
    ------
    SettingError
        If the statement is damaged.
    """
    if SEEN_KEY not in metadata:
        return ()
    try:
        found = _SEEN.validate_json(metadata[SEEN_KEY])
        for seen in found:  # what a training of hours would otherwise end with
            seen.check()
    except ValueError as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise SettingError(f"the metadata of {where} is damaged: {SEEN_KEY}: {first}") from error
    return found


def license_of(metadata: Mapping[str, str]) -> str | None:
    """The license a file's metadata states, in American or British spelling."""
    return metadata.get(LICENSE_KEY) or metadata.get("licence") or None


def classes_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Classes of the head in a swath run's weights, in order; none in other files."""
    try:
        held = json.loads(metadata.get(CLASSES_KEY, "[]"))
    except ValueError:
        return ()
    return tuple(held) if isinstance(held, list) and all(isinstance(name, str) for name in held) else ()


def network_of(metadata: Mapping[str, str], *, where: str) -> Network | None:
    """The network settings in the metadata of a swath run's weights; ``None`` in other files.

    Raises
    ------
    SettingError
        If they are not valid.
    """
    if NETWORK_KEY not in metadata:
        return None
    return from_json(Network, metadata[NETWORK_KEY], where=f"the metadata of {where}")


def from_json(kind: type[S], text: str, *, where: str, fix: str | None = None) -> S:
    """Settings from a JSON object.

    Raises
    ------
    SettingError
        If `text` is no JSON object, or its values are not valid.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{where} does not hold valid JSON ({error})", fix=fix) from error
    if not isinstance(values, dict):
        raise SettingError(f"{where} does not hold fields and values", fix=fix)
    return validate(kind, values, where=where)
