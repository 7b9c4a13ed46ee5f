"""From a specification to a verified file: out of the store, from disk, or from the hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from swath.errors import DataError, SettingError
from swath.fetch import Wanted, fetch_any
from swath.networks.entries import find
from swath.progress import Progress, silent
from swath.weights import hub
from swath.weights.expects import Expectation
from swath.weights.known import Known, imagenet_weights, torchgeo_weights
from swath.weights.metadata import expects_of, licence_of
from swath.weights.spec import Spec, parse_spec
from swath.weights.store import Entry, Store, sha256_of
from swath.weights.tensors import read_metadata

OFFLINE = "SWATH_OFFLINE"


@dataclass(frozen=True)
class Located:
    """A file of weights, verified.

    Attributes
    ----------
    path : Path
        Where it is.
    source : str
        What it goes by in messages and in the model file: never a path on this machine.
    sha256 : str
        Of the file.
    licence, licence_url : str or None
        Where known.
    expects : Expectation or None
        Where known.
    """

    path: Path
    source: str
    sha256: str
    licence: str | None
    licence_url: str | None
    expects: Expectation | None


def locate(
    text: str,
    *,
    network: str | None = None,
    store: Store | None = None,
    offline: bool | None = None,
    pause: float = 1.0,
    progress: Progress = silent,
) -> Located:
    """Find weights, fetching them into the store if they are not there.

    Parameters
    ----------
    text : str
        A specification; not ``none``.
    network : str, optional
        Name of the network they are for; ``imagenet`` needs it.
    store : Store, optional
        By default the user's.
    offline : bool, optional
        Use the store and files alone; by default whether ``SWATH_OFFLINE`` is set to something but 0.
    pause : float
        Seconds before a failed request is made again; doubled each time.
    progress : Progress
        Called with stage ``"download"``, in bytes.

    Raises
    ------
    SettingError
        If the specification is none, or names something unknown.
    DataError
        If the weights cannot be had, or are not what they should be.
    """
    spec = parse_spec(text)
    kept = store or Store.default()
    if spec.kind == "none":
        raise SettingError("'none' names no weights", fix="name some: imagenet, a file, hf: or torchgeo:")
    if spec.kind == "file":
        return _local(Path(spec.name), kept)
    name = store_name(text, network=network)
    entry = kept.find(name)
    if entry is None:
        known = _known(spec, network)
        entry = _fetch(spec, name, known, kept, offline=_offline(offline), pause=pause, progress=progress)
    return Located(kept.path(entry), name, entry.sha256, entry.licence, entry.licence_url, entry.expects)


def store_name(text: str, *, network: str | None = None) -> str:
    """The name a specification has in the store: ``imagenet`` is one for each backbone.

    Raises
    ------
    SettingError
        If ``imagenet`` comes without a network, or with one that has no ImageNet weights.
    """
    spec = parse_spec(text)
    return f"imagenet:{backbone_of(network)}" if spec.kind == "imagenet" else text


def _local(path: Path, store: Store) -> Located:
    """A file as it lies: the store may know more of it, by its content."""
    digest = sha256_of(path)
    noted = store.about(digest)
    metadata = read_metadata(path)
    return Located(
        path,
        path.name,
        digest,
        (noted.licence if noted else None) or licence_of(metadata),
        noted.licence_url if noted else None,
        (noted.expects if noted else None) or expects_of(metadata, where=path.name),
    )


def _fetch(
    spec: Spec,
    name: str,
    known: Known | None,
    store: Store,
    *,
    offline: bool,
    pause: float,
    progress: Progress,
) -> Entry:
    """Fetch into the store; what the hub states of the file is checked, and so is what is known of it."""
    repository, filename, revision = (
        (known.repository, known.filename, known.revision)
        if known
        else (spec.repository, spec.filename, spec.revision)
    )
    address = hub.address(repository, filename, revision)
    copy = f"get {address} by other means, then: swath weights add FILE --as {name}"
    if offline:
        raise DataError(f"{name} is not in the store, and {OFFLINE} forbids to fetch it", fix=copy)
    stated = hub.look_up(repository, filename, revision, copy=copy, pause=pause)
    licence, link = (
        (known.licence, None) if known else hub.card_licence(repository, revision, copy=copy, pause=pause)
    )
    if known and known.sha256_start and not (stated.sha256 or "").startswith(known.sha256_start):
        raise DataError(
            f"{stated.url} is not the published {name}: its SHA-256 should begin with {known.sha256_start}",
            fix=copy,
        )
    wanted = Wanted(
        name=name,
        size=stated.size,
        sha256=stated.sha256,
        copy=copy,
        other=copy,
        authorisation=hub.authorisation(),
    )
    part = store.partial(stated.sha256 or stated.url)
    held = store.holds(stated.sha256) if stated.sha256 else None  # perhaps under another name
    if held is None or sha256_of(held) != stated.sha256:
        fetch_any([stated.url], part, wanted, pause=pause, progress=progress)
        held = None
    digest = stated.sha256 or sha256_of(part)
    metadata = read_metadata(held or part)
    entry = Entry(
        name=name,
        sha256=digest,
        size=stated.size,
        filename=Path(filename).name,
        url=stated.url,
        licence=licence or licence_of(metadata),
        licence_url=link,
        expects=known.expects if known else expects_of(metadata, where=filename),
    )
    if held is None:
        store.adopt(part, entry)
    else:
        store.note(entry)
    return entry


def _known(spec: Spec, network: str | None) -> Known | None:
    if spec.kind == "imagenet":
        return imagenet_weights(backbone_of(network))
    return torchgeo_weights(spec.name) if spec.kind == "torchgeo" else None


def backbone_of(network: str | None) -> str:
    """timm's name of a network's backbone: what ImageNet weights are named by.

    Raises
    ------
    SettingError
        If the network is none of timm's.
    """
    entry = find(network) if network else None
    if entry is None:
        raise SettingError(
            f"there are no ImageNet weights for '{network}'" if network else "imagenet needs a network",
            fix="name one of timm's networks (see: swath networks), or train from scratch with --weights none",
        )
    return entry.backbone


def _offline(chosen: bool | None) -> bool:
    return os.environ.get(OFFLINE, "0").strip() not in ("", "0") if chosen is None else chosen
