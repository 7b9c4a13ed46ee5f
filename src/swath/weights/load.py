"""Load weights into a network by exact names, logging every adaptation; and add a file to the store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from swath.config import override, validate
from swath.errors import DataError
from swath.networks.catalog import find
from swath.progress import Progress, silent
from swath.weights.facts import ATTRIBUTION_KEY, Expectation, WeightFacts, classes_of, expects_of, license_of, seen_of
from swath.weights.fit import COUNTER, fit_tensors
from swath.weights.model_file import is_model, model_tensors
from swath.weights.sources import identify, locate
from swath.weights.store import Entry, Store, sha256_of
from swath.weights.tensors import TensorFile, read_tensors

HEAD = ("head.weight", "head.bias")  # of every network in the catalog
_log = logging.getLogger("swath")


def load_weights(
    network: nn.Module,
    spec: str,
    *,
    network_name: str,
    bands: Sequence[str],
    classes: Sequence[str] = (),
    store: Store | None = None,
    progress: Progress = silent,
) -> WeightFacts:
    """Load weights into a network, downloading them if they are not in the store.

    Names must be those of the network in the naming of torchvision, timm or swath, and shapes the same. Left
    out are the classifier of a published network and, where a run had other classes, its head; of a run that had
    these classes and more the head keeps the rows of these. Adapted are a first layer for other bands, and positions
    learned for another patch size.

    Parameters
    ----------
    network : torch.nn.Module
        From :func:`swath.networks.build_network`; its tensors are overwritten.
    spec : str
        ``none``, ``imagenet``, a shipped model, a file (of weights, or a model file), ``hf:REPO/FILE[@REVISION]`` or
        ``torchgeo:NAME``.
    network_name : str
        Its name in the catalog.
    bands : sequence of str
        Bands of its input.
    classes : sequence of str
        What its outputs mean, in order, where that is known.
    store : Store, optional
        Where weights are kept; by default the user's.
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
    found = locate(spec, network=network_name, store=store, progress=progress)
    file = model_tensors(found.path) if is_model(found.path) else read_tensors(found.path, entry=found.entry)
    file, head = _head_for(file, tuple(classes), network)
    entry = find(network_name)
    fit = fit_tensors(
        file,
        network,
        backbone=entry.backbone if entry else None,
        bands=bands,
        expects=found.expects,
        source=found.source,
    )
    own = network.state_dict()
    network.load_state_dict(own | fit.tensors)
    changes = (*head, *fit.changes, *_renamed_bands(found.expects, bands))
    _log.info("%s loaded into %s (%s names, %d tensors)", found.source, network_name, fit.style, len(fit.tensors))
    for change in changes:  # what was chosen is for people to see
        _log.log(logging.WARNING if change in fit.choices else logging.INFO, "%s: %s", found.source, change)
    return WeightFacts(
        source=found.source,
        sha256=found.sha256,
        license=found.license,
        license_url=found.license_url,
        attribution=file.metadata.get(ATTRIBUTION_KEY),
        network=network_name,
        style=fit.style,
        expects=found.expects,
        changes=changes,
        seen=seen_of(file.metadata, where=found.source),
        whole=all(name in fit.tensors for name in own if not name.endswith(COUNTER)),
    )


def add_weights(
    file: Path,
    *,
    name: str | None = None,
    license: str | None = None,
    license_url: str | None = None,
    expects: Sequence[str] = (),
    store: Store | None = None,
) -> Entry:
    """Copy a file of weights into the store.

    Parameters
    ----------
    file : Path
        A ``.safetensors`` file, or the state dict of a network as ``.pth``.
    name : str, optional
        What it stands in for: ``imagenet:NETWORK``, ``hf:REPO/FILE`` or ``torchgeo:NAME``. Without one, what is
        stated here is stored for this content, wherever the file lies.
    license, license_url : str, optional
        Its license (an SPDX identifier); by default what the file states, or what is known of `name`.
    expects : sequence of str
        Changes to the input it is known to expect, as ``field=value``, such as ``mean=[0.5, 0.5, 0.5]``.
    store : Store, optional
        By default the user's.

    Raises
    ------
    SettingError
        If the name is none of these forms, or `expects` is not valid.
    DataError
        If the file holds anything but tensors, or is not the published file of that name.
    """
    held = read_tensors(file)
    where, known = identify(name) if name else (None, None)
    digest = sha256_of(file)
    start = known.sha256_start if known else None
    if start is not None and not digest.startswith(start):
        raise DataError(
            f"{file.name} is not the published file of {name}: its SHA-256 begins {digest[:8]}, not {start}",
            fix="download it again, or leave out --as",
        )
    found = expects_of(held.metadata, where=file.name) or (known.expects if known else None)
    kept = store or Store.default()
    name_kept = where or f"sha256:{digest}"
    before = kept.find(name_kept)
    if before is not None and before.sha256 == digest:  # facts stated by an earlier call still hold
        found = found or before.expects
        license, license_url = license or before.license, license_url or before.license_url
    if expects:
        values = (found or Expectation()).model_dump()
        found = validate(Expectation, override(values, list(expects)), where="the expected input")
    entry = Entry(
        name=name_kept,
        sha256=digest,
        size=file.stat().st_size,
        filename=file.name,
        # The license of the published file is that of this one only if they are the same.
        license=license or license_of(held.metadata) or (known.license if known and start else None),
        license_url=license_url,
        expects=found,
    )
    kept.copy_in(file, entry)
    return entry


def _renamed_bands(expects: Expectation | None, bands: Sequence[str]) -> tuple[str, ...]:
    """Report bands of other names in the places of those the weights were trained on."""
    if expects is None or len(bands) != len(expects.bands) or set(bands) == set(expects.bands):
        return ()
    return (f"trained on {', '.join(expects.bands)}, and given {', '.join(bands)} in their places",)


def _head_for(file: TensorFile, classes: tuple[str, ...], network: nn.Module) -> tuple[TensorFile, tuple[str, ...]]:
    """The file with its head's rows in the order of `classes`, or without its head where that knows other classes."""
    stated, held = classes_of(file.metadata), {n: v for n, v in file.tensors.items() if n in HEAD}
    if not held or not stated or not classes or stated == classes:
        return file, ()
    rows = {len(value) for value in held.values()} | {len(network.state_dict()[name]) for name in held}
    if set(classes) <= set(stated) and {len(stated), len(classes)} >= rows:
        order = [stated.index(name) for name in classes]
        taken = {name: value[order] for name, value in held.items()}
        return replace(file, tensors=file.tensors | taken), (f"head: {len(classes)} of {len(stated)} classes by name",)
    others = {name: value for name, value in file.tensors.items() if name not in HEAD}
    return replace(file, tensors=others), ("newly initialized, for its classes differ: head",)
