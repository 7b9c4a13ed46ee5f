"""From a specification to a verified file: out of the store, from disk, or from the hub."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import timm

from swath.errors import DataError, SettingError
from swath.fetch import ExpectedFile, exclusive, fetch_any
from swath.networks.catalog import find
from swath.progress import Progress, silent
from swath.weights import hub
from swath.weights.expects import Expectation
from swath.weights.known import PublishedWeights, imagenet_weights, torchgeo_weights
from swath.weights.metadata import expects_of, license_of
from swath.weights.spec import Spec, parse_spec
from swath.weights.store import Entry, Store, sha256_of
from swath.weights.tensors import check_safetensors, read_metadata

OFFLINE = "SWATH_OFFLINE"


@dataclass(frozen=True)
class WeightLocation:
    """A file of weights, verified.

    Attributes
    ----------
    path : Path
        Where it is.
    source : str
        What it goes by in messages and in the model file: never a path on this machine.
    sha256 : str
        Of the file.
    license, license_url : str or None
        Where known.
    expects : Expectation or None
        Where known.
    published : bool
        Whether a fetched file was held against a checksum its publisher states.
    """

    path: Path
    source: str
    sha256: str
    license: str | None
    license_url: str | None
    expects: Expectation | None
    published: bool = True


def locate(
    text: str,
    *,
    network: str | None = None,
    store: Store | None = None,
    offline: bool | None = None,
    pause: float = 1.0,
    progress: Progress = silent,
) -> WeightLocation:
    """Find weights, fetching them into the store if they are not there; what a user stated of them is kept.

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
    if entry is None or kept.holds(entry.sha256) is None:
        known = _known(spec, network)
        entry = _fetch(spec, name, known, kept, offline=_offline(offline), pause=pause, progress=progress)
    path = kept.path(entry)
    noted = kept.about(entry.sha256, name=name) or entry
    return WeightLocation(
        path, name, entry.sha256, noted.license, noted.license_url, noted.expects, entry.published
    )


def store_name(text: str, *, network: str | None = None) -> str:
    """The name a specification has in the store: ``imagenet`` is one for each backbone.

    Raises
    ------
    SettingError
        If ``imagenet`` comes without a network, or with one that has no ImageNet weights.
    """
    spec = parse_spec(text)
    return f"imagenet:{backbone_of(network)}" if spec.kind == "imagenet" else text


def _local(path: Path, store: Store) -> WeightLocation:
    """A file as it lies: the store may know more of it, by its content."""
    digest = sha256_of(path)
    noted = store.about(digest)
    metadata = read_metadata(path)
    return WeightLocation(
        path,
        path.name,
        digest,
        (noted.license if noted else None) or license_of(metadata),
        noted.license_url if noted else None,
        (noted.expects if noted else None) or expects_of(metadata, where=path.name),
    )


def _fetch(
    spec: Spec,
    name: str,
    known: PublishedWeights | None,
    store: Store,
    *,
    offline: bool,
    pause: float,
    progress: Progress,
) -> Entry:
    """Fetch into the store; what the hub states of the file is checked, and so is what is known and noted of it."""
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
    before = store.find(name)  # its file was lost, and what was stated of it still holds
    sha256 = stated.sha256 or (before.sha256 if before else None)
    if before and sha256 != before.sha256:
        raise DataError(
            f"{stated.url} is not the {name} that was in the store: its SHA-256 is {sha256}, not {before.sha256}",
            fix=f"to use it in its place, {copy}",
        )
    if known and known.sha256_start and not (sha256 or "").startswith(known.sha256_start):
        raise DataError(
            f"{stated.url} is not the published {name}: its SHA-256 should begin with {known.sha256_start}",
            fix=copy,
        )
    license, link = known.license if known else None, None
    if known is None and before is None:
        license, link = hub.card_license(repository, revision, copy=copy, pause=pause)
    wanted = ExpectedFile(
        name=name,
        size=stated.size,
        sha256=sha256,
        copy=copy,
        other=copy,
        authorization=hub.authorization(),
    )
    part = store.partial(sha256 or stated.url)
    with exclusive(part, size=stated.size, progress=progress):
        present = store.find(name)
        if present and store.holds(present.sha256):  # another program has fetched it meanwhile
            return present
        held = store.holds(sha256) if sha256 else None  # perhaps under another name
        if held is None or sha256_of(held) != sha256:
            fetch_any([stated.url], part, wanted, pause=pause, progress=progress)
            if filename.endswith(".safetensors"):
                _check(part, stated.url, copy)
            held = None
        metadata = read_metadata(held or part)
        entry = before or Entry(
            name=name,
            sha256=sha256 or sha256_of(part),
            size=stated.size,
            filename=Path(filename).name,
            url=stated.url,
            license=license or license_of(metadata),
            license_url=link,
            expects=known.expects if known else expects_of(metadata, where=filename),
            published=stated.sha256 is not None,
        )
        if held is None:
            store.adopt(part, entry)
        else:
            store.note(entry)
    return entry


def _check(part: Path, url: str, copy: str) -> None:
    """What has no published checksum may be anything, such as a page that asks to log in."""
    try:
        check_safetensors(part, name=url, fix=copy)
    except DataError:
        part.unlink()
        raise


def _known(spec: Spec, network: str | None) -> PublishedWeights | None:
    if spec.kind == "imagenet":
        return imagenet_weights(backbone_of(network))
    return torchgeo_weights(spec.name) if spec.kind == "torchgeo" else None


def backbone_of(network: str | None) -> str:
    """timm's name of a network's backbone, which ImageNet weights are named by; that name itself will do.

    Raises
    ------
    SettingError
        If the network is none of timm's.
    """
    entry = find(network) if network else None
    if entry is not None:
        return entry.backbone
    if network is None or not timm.is_model(network):
        raise SettingError(
            f"there are no ImageNet weights for '{network}'" if network else "imagenet needs a network",
            fix="name one of timm's networks (see: swath networks), or train from scratch with --weights none",
        )
    return network


def _offline(chosen: bool | None) -> bool:
    return os.environ.get(OFFLINE, "0").strip() not in ("", "0") if chosen is None else chosen
