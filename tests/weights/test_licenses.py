"""Which licenses let a model be passed on."""

from __future__ import annotations

import pytest

from swath.weights.licenses import OWN, license_allows_redistribution, license_kind, license_warning


@pytest.mark.parametrize(
    "license",
    ["apache-2.0", "Apache-2.0", "MIT", "bsd-3-clause", "CC-BY-4.0", "cc-by-sa-4.0", "CC0-1.0", "GPL-3.0-only",
     "LGPL-2.1-or-later", " mit ", "cc by 4.0", OWN],
)  # fmt: skip
def test_open_licenses_allow_shipping(license):
    assert license_allows_redistribution(license)
    assert license_warning(license, "x") is None


@pytest.mark.parametrize(
    ("license", "kind", "reason"),
    [
        ("cc-by-nc-4.0", "non-commercial", "forbids commercial use"),
        ("CC-BY-NC-SA-4.0", "non-commercial", "forbids commercial use"),
        ("CC-BY-NC", "non-commercial", "forbids commercial use"),
        ("Creative Commons Attribution-NonCommercial 4.0", "non-commercial", "forbids commercial use"),
        ("research only", "non-commercial", "forbids commercial use"),
        ("cc-by-nd-4.0", "no-derivatives", "anything derived"),
        ("CC-BY-NC-ND-4.0", "no-derivatives", "anything derived"),
        ("other", "custom", "terms of its own"),
        ("dinov3-license", "custom", "terms of its own"),
        ("openrail", "custom", "terms of its own"),
        ("several: mit, cc0-1.0", "custom", "terms of its own"),
        ("OlmoEarth Artifact License", "custom", "terms of its own"),
        (None, "unknown", "is not known"),
        ("", "unknown", "is not known"),
        ("unknown", "unknown", "is not known"),
        ("-", "unknown", "is not known"),
    ],
)
def test_all_others_do_not(license, kind, reason):
    assert license_kind(license) == kind
    assert not license_allows_redistribution(license)
    warning = license_warning(license, "hf:a/b/c")
    assert reason in warning
    assert "hf:a/b/c" in warning
    assert "cannot be shipped" in warning
