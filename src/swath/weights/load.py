"""Put weights into a network: strictly, with everything that was adapted said in the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from torch import nn

from swath.networks.catalog import find
from swath.progress import Progress, silent
from swath.weights.expects import Expectation
from swath.weights.facts import WeightFacts
from swath.weights.fit import fit_tensors
from swath.weights.sources import locate
from swath.weights.store import Store
from swath.weights.tensors import read_weight_file

_log = logging.getLogger("swath")


def load_weights(
    network: nn.Module,
    spec: str,
    *,
    network_name: str,
    bands: Sequence[str],
    store: Store | None = None,
    offline: bool | None = None,
    pause: float = 1.0,
    progress: Progress = silent,
) -> WeightFacts:
    """Load weights into a network, fetching them if they are not at hand.

    Names must be those of the network in torchvision's, timm's or swath's words, and shapes the same. Left
    out are the classifier of a published network and, where a run had other classes, its head. Adapted are a
    first layer for other bands, and positions learned for another patch size. Nothing is unpickled.

    Parameters
    ----------
    network : torch.nn.Module
        From :func:`swath.networks.build_network`; its tensors are overwritten.
    spec : str
        ``none``, ``imagenet``, a file, ``hf:REPO/FILE[@REVISION]`` or ``torchgeo:NAME``.
    network_name : str
        Its name in the catalog.
    bands : sequence of str
        Bands of its input.
    store : Store, optional
        Where weights are kept; by default the user's.
    offline : bool, optional
        Use the store and files alone; by default whether ``SWATH_OFFLINE`` is set.
    pause : float
        Seconds before a failed request is made again; doubled each time.
    progress : Progress
        Called with stage ``"download"``, in bytes.

    Returns
    -------
    WeightFacts
        For the model file's record; ``expects`` is for :func:`check_expectation` and the normalization.

    Raises
    ------
    SettingError
        If `spec` is none of these forms, or names something unknown.
    DataError
        If the weights cannot be had, are damaged, or do not fit: the first few names that differ are listed.
    """
    if spec == "none":
        return WeightFacts(source="none", network=network_name)
    found = locate(spec, network=network_name, store=store, offline=offline, pause=pause, progress=progress)
    file = read_weight_file(found.path)
    entry = find(network_name)
    fit = fit_tensors(
        file,
        network,
        backbone=entry.backbone if entry else None,
        bands=bands,
        expects=found.expects,
        source=found.source,
    )
    network.load_state_dict(network.state_dict() | fit.tensors)
    changes = (*fit.changes, *_renamed_bands(found.expects, bands))
    _log.info(
        "%s loaded into %s (%s names, %d tensors)", found.source, network_name, fit.style, len(fit.tensors)
    )
    for change in changes:
        _log.info("%s: %s", found.source, change)
    return WeightFacts(
        source=found.source,
        sha256=found.sha256,
        license=found.license,
        license_url=found.license_url,
        network=network_name,
        style=fit.style,
        expects=found.expects,
        changes=changes,
    )


def _renamed_bands(expects: Expectation | None, bands: Sequence[str]) -> tuple[str, ...]:
    """Say so where bands of other names take the places of those the weights were trained on."""
    if expects is None or len(bands) != len(expects.bands) or set(bands) == set(expects.bands):
        return ()
    return (f"trained on {', '.join(expects.bands)}, and given {', '.join(bands)} in their places",)
