"""What a license of weights allows: may a model made from them be passed on?"""

from __future__ import annotations

import re
from typing import Literal

LicenseKind = Literal["open", "non-commercial", "no-derivatives", "custom", "unknown"]

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


def license_allows_redistribution(license: str | None) -> bool:
    """Whether a model made from weights under this license may be passed on to anyone for any purpose."""
    return license_kind(license) == "open"


def license_warning(license: str | None, source: str) -> str | None:
    """One sentence to print when training starts from such weights; ``None`` if there is nothing to say."""
    kind = license_kind(license)
    if kind == "open":
        return None
    named = f" ({license})" if kind != "unknown" else ""
    return f"the license{named} of the weights {source} {_REASONS[kind]}: a model made from them cannot be shipped"
