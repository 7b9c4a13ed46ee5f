"""What is remembered of the weights a model began with, and what a run writes into its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from swath.config import Settings, validate
from swath.errors import SettingError
from swath.networks.catalog import Network
from swath.weights.expects import Expectation
from swath.weights.licenses import LicenseKind, license_allows_redistribution, license_kind, license_warning

Style = Literal["none", "timm", "torchvision", "swath"]
EXPECTS_KEY = "swath.expects"
NETWORK_KEY = "swath.network"
LICENSE_KEY = "license"  # as other programs spell it in a safetensors file's metadata


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
        if not self.pretrained or license_allows_redistribution(self.license):
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


def _mapping(text: str, where: str) -> dict[str, object]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{where}: its metadata is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise SettingError(f"{where}: its metadata does not hold fields and values")
    return values
