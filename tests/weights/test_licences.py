"""Which licences let a model be passed on."""

from __future__ import annotations

import pytest

from swath.weights.licences import OWN, licence_allows_shipping, licence_kind, licence_warning


@pytest.mark.parametrize(
    "licence",
    ["apache-2.0", "Apache-2.0", "MIT", "bsd-3-clause", "CC-BY-4.0", "cc-by-sa-4.0", "CC0-1.0", "GPL-3.0-only",
     "LGPL-2.1-or-later", " mit ", "cc by 4.0", OWN],
)  # fmt: skip
def test_open_licences_allow_shipping(licence):
    assert licence_allows_shipping(licence)
    assert licence_warning(licence, "x") is None


@pytest.mark.parametrize(
    ("licence", "kind", "reason"),
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
def test_all_others_do_not(licence, kind, reason):
    assert licence_kind(licence) == kind
    assert not licence_allows_shipping(licence)
    warning = licence_warning(licence, "hf:a/b/c")
    assert reason in warning
    assert "hf:a/b/c" in warning
    assert "cannot be shipped" in warning
