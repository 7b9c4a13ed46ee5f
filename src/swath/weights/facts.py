"""What is known of weights: license and expected input, for the model file and for a run's own weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from swath.config import Settings, validate
from swath.errors import SettingError
from swath.networks.catalog import Network
from swath.weights.expects import Expectation

LicenseKind = Literal["open", "non-commercial", "no-derivatives", "custom", "unknown"]
Style = Literal["none", "timm", "torchvision", "swath"]
EXPECTS_KEY = "swath.expects"
NETWORK_KEY = "swath.network"
LICENSE_KEY = "license"  # as other programs spell it in a safetensors file's metadata
_NUMBERS = r"([0-9.]+(?:\s*,\s*[0-9.]+){0,2})"
_NORMALIZATION = re.compile(rf"mean\s+{_NUMBERS}\s+(?:std|sd)\s+{_NUMBERS}")

# SPDX identifiers, as hubs and package metadata write them, of licenses that let a derived model be passed
# on for any purpose. Some ask for credit or for the same license; the model file carries the name on.
_OPEN = frozenset(
    """
    0bsd afl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0
    ecl-2.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 isc lgpl lgpl-2.1 lgpl-3.0 mit mpl-2.0 ms-pl ncsa odc-by
    ofl-1.1 osl-3.0 pddl postgresql unlicense wtfpl zlib gpl gpl-2.0 gpl-3.0 agpl-3.0
    """.split()  # noqa: SIM905  (forty names read better as words)
)
OWN = "own"  # of weights that a run made from random ones: whose license is for their owner to choose
_UNKNOWN = frozenset({"", "unknown", "none", "-", "n/a", "noassertion"})
_NO_DERIVATIVES = re.compile(r"(^|[-_ ])nd([-_ .]|$)|no[-_ ]?deriv")
_NON_COMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ .]|$)|non[-_ ]?commercial|research[-_ ]?only|academic")
_REASONS = {
    "non-commercial": "forbids commercial use",
    "no-derivatives": "forbids passing on anything derived from them, and a trained model is",
    "custom": "has terms of its own that only a person can judge",
    "unknown": "is not known",
}


class WeightFacts(Settings):
    """Where weights came from and under which terms: goes into the model file's record."""

    source: str = Field(
        description="none, or the name the weights were asked for by; a file by its name alone"
    )
    sha256: str | None = Field(default=None, description="of the file of weights")
    license: str | None = Field(default=None, description="SPDX identifier where there is one")
    license_url: str | None = None
    network: str = Field(description="the network they were loaded into")
    style: Style = Field(default="none", description="whose names their tensors had")
    expects: Expectation | None = Field(default=None, description="the input they were trained on, if known")
    changes: tuple[str, ...] = Field(default=(), description="what was adapted or left out when loading")

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
        """Refuse to ship a model made from these weights unless their license allows it.

        Raises
        ------
        SettingError
            If it does not, or is not known.
        """
        if not self.pretrained or license_allows_shipping(self.license):
            return
        if self.license_kind == "unknown":
            raise SettingError(
                f"{self.warning}",
                fix="find the license at their source and record it with "
                "swath weights add FILE --license ID (swath weights get says where the file lies), then train again",
            )
        raise SettingError(
            f"{self.warning}", fix="train from other weights, or leave out --require-redistributable"
        )


def weights_metadata(expects: Expectation, network: Network, *, license: str | None = None) -> dict[str, str]:
    """Metadata for a run's ``weights.safetensors``, so that a later run can start from it.

    Parameters
    ----------
    expects : Expectation
        What the run fed its network; :func:`run_expectation` makes it from stored-unit statistics.
    network : Network
        Settings the network was built from.
    license : str, optional
        Of the weights the run itself began with, which is inherited: ``OWN`` if it began with random ones.
        Without it a later run does not know, and cannot be shipped.
    """
    made = {EXPECTS_KEY: expects.model_dump_json(), NETWORK_KEY: network.model_dump_json()}
    return made | ({LICENSE_KEY: license} if license else {})


def run_expectation(
    *,
    bands: tuple[str, ...],
    data_type: Literal["uint8", "uint16"],
    mean: tuple[float, ...],
    sd: tuple[float, ...],
) -> Expectation:
    """The expectation of a run that normalized with `mean` and `sd` in stored units."""
    return Expectation(bands=bands, data_type=data_type, scale=1.0, mean=mean, sd=sd)


def read_expects(metadata: Mapping[str, str], *, where: str) -> Expectation | None:
    """The expectation in a file's metadata, or ``None``.

    Raises
    ------
    SettingError
        If there is one that is not valid.
    """
    text = metadata.get(EXPECTS_KEY)
    return None if text is None else validate(Expectation, _mapping(text, where), where=where)


def read_network(metadata: Mapping[str, str], *, where: str) -> Network | None:
    """The network settings in a file's metadata, or ``None``.

    Raises
    ------
    SettingError
        If there are some that are not valid.
    """
    text = metadata.get(NETWORK_KEY)
    return None if text is None else validate(Network, _mapping(text, where), where=where)


def license_of(metadata: Mapping[str, str]) -> str | None:
    """The license a file states, in either spelling."""
    return metadata.get(LICENSE_KEY) or metadata.get("license") or None


def expects_of(metadata: Mapping[str, str], *, where: str) -> Expectation | None:
    """The input a file states: as swath's own runs do, or as other programs do with ``mean 0.5 std 0.5`` as its
    ``normalization``.

    The second is read as of 8-bit RGB pictures divided by 255, with one number for all bands or three.

    Raises
    ------
    SettingError
        If a swath run's statement is damaged.
    """
    return read_expects(metadata, where=where) or _normalization(metadata.get("normalisation", ""))


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


def license_allows_shipping(license: str | None) -> bool:
    """Whether a model made from weights under this license may be passed on to anyone for any purpose."""
    return license_kind(license) == "open"


def license_warning(license: str | None, source: str) -> str | None:
    """One sentence to print when training starts from such weights; ``None`` if there is nothing to say."""
    kind = license_kind(license)
    if kind == "open":
        return None
    named = f" ({license})" if kind != "unknown" else ""
    return f"the license{named} of the weights {source} {_REASONS[kind]}: a model made from them cannot be shipped"


def _normalization(text: str) -> Expectation | None:
    found = _NORMALIZATION.fullmatch(text.strip())
    if found is None:
        return None
    try:
        mean, sd = (tuple(float(v) for v in numbers.split(",")) for numbers in found.groups())
        return Expectation(mean=mean * 3 if len(mean) == 1 else mean, sd=sd * 3 if len(sd) == 1 else sd)
    except ValueError:  # not numbers, or not three
        return None


def _mapping(text: str, where: str) -> dict[str, object]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{where}: its metadata is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise SettingError(f"{where}: its metadata does not hold fields and values")
    return values
