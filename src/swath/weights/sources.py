"""From a specification to a verified file: out of the store, from disk, or from the Hugging Face hub.

:func:`parse_spec` takes a specification apart, :func:`identify` gives the name it has in the store, and
:func:`locate` finds the file or downloads it. The length, SHA-256 and commit of a file on the hub and the license of
its repository are requested with ``huggingface_hub``; the bytes are downloaded by :mod:`swath.fetch`, because that
library discards what an interrupted call has downloaded.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

import httpx2
import timm
from huggingface_hub import HfApi, constants, get_hf_file_metadata, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from swath.errors import DataError, SettingError
from swath.fetch import ATTEMPTS, TIMEOUT, TRANSIENT, RemoteFile, check_address, download_lock, fetch
from swath.machine import OFFLINE, is_offline
from swath.model.file import resolve_model, shipped_models
from swath.networks.catalog import Network, find
from swath.progress import Progress, silent
from swath.weights.facts import Expectation, classes_of, expects_of, license_of, network_of
from swath.weights.known import PublishedWeights, imagenet_weights, torchgeo_weights
from swath.weights.model_file import is_model, model_metadata
from swath.weights.store import Entry, Store, sha256_of
from swath.weights.tensors import check_safetensors, read_metadata

# Otherwise the library reports to the hub which programs are installed and run here.
constants.HF_HUB_DISABLE_TELEMETRY = True
HUB = "https://huggingface.co"
T = TypeVar("T")
_FORMS = "none, a shipped model such as eurosat, a file, imagenet, hf:REPO/FILE or torchgeo:NAME"
_HUB = re.compile(r"([\w.-]+/[\w.-]+)/([^@]+?)(?:@([\w./-]+))?")
_PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pickle")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Spec:
    """One specification, taken apart.

    Attributes
    ----------
    kind : str
        ``none``, ``imagenet``, ``model`` (a swath model file), ``file``, ``hf`` or ``torchgeo``.
    name : str
        The file's path, or the name behind the colon.
    entry : str
        Where in a file with several copies of the weights the one to take lies; empty otherwise.
    repository, filename, revision : str
        Of ``hf``; empty otherwise.
    """

    kind: Literal["none", "imagenet", "model", "file", "hf", "torchgeo"]
    name: str = ""
    entry: str = ""
    repository: str = ""
    filename: str = ""
    revision: str = ""


@dataclass(frozen=True)
class WeightsFile:
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
        Whether a fetched file was compared with a checksum its publisher states.
    entry : str
        As in :class:`Spec`.
    """

    path: Path
    source: str
    sha256: str
    license: str | None
    license_url: str | None
    expects: Expectation | None
    published: bool = True
    entry: str = ""


def parse_spec(text: str) -> Spec:
    """Take a specification apart: ``hf:OWNER/NAME/FILE[@REVISION]`` and the other forms.

    Raises
    ------
    SettingError
        If it has none of the forms, or names a file on the hub that only unpickling could open.
    """
    if text in ("none", "imagenet"):
        return Spec("none" if text == "none" else "imagenet")
    if text in shipped_models():
        return Spec("model", str(resolve_model(text)))
    front, colon, name = text.partition(":")
    if colon and front == "hf":
        return _hub_spec(text, name)
    if colon and front == "torchgeo":
        return Spec("torchgeo", name)
    if not text or re.match(r"[a-z]{2,}:", text):
        raise SettingError(f"weights '{text}' are none of {_FORMS}", fix="for example --weights imagenet")
    path, _, entry = text.rpartition("#") if not Path(text).is_file() else (text, "", "")
    if not Path(path).is_file():
        raise SettingError(f"there is no file of weights '{text}'", fix=f"weights are {_FORMS}")
    return Spec("model" if is_model(Path(path)) else "file", path, entry)


def weights_fingerprint(text: str) -> str:
    """SHA-256 of a file of weights, since another file may take its name; empty for other forms."""
    spec = parse_spec(text)
    return sha256_of(Path(spec.name)) + spec.entry if spec.kind in ("file", "model") else ""


def network_of_weights(text: str) -> Network | None:
    """Settings of the network that a file of weights of a swath run, or a model file, is of; None for other weights."""
    return network_of(_stated(text), where=Path(text).name)


def classes_of_weights(text: str) -> tuple[str, ...]:
    """Classes that the head of such a file knows; none for other weights."""
    return classes_of(_stated(text))


def _stated(text: str) -> Mapping[str, str]:
    """What a local file states of itself; nothing for other weights."""
    spec = parse_spec(text)
    if spec.kind not in ("file", "model"):
        return {}
    return model_metadata(spec.name) if spec.kind == "model" else read_metadata(Path(spec.name))


def locate(
    text: str,
    *,
    network: str | None = None,
    store: Store | None = None,
    offline: bool = False,
    pause: float = 1.0,
    progress: Progress = silent,
) -> WeightsFile:
    """Find weights, downloading them into the store if they are not there; facts that a user stated are kept.

    Parameters
    ----------
    text : str
        A specification; not ``none``.
    network : str, optional
        Name of the network they are for; ``imagenet`` needs it.
    store : Store, optional
        By default the user's.
    offline : bool
        Use only the store and local files, as everywhere where ``SWATH_OFFLINE`` is set.
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
    if spec.kind in ("file", "model"):
        source = text if text in shipped_models() else Path(spec.name).name
        return replace(_local(Path(spec.name), kept, source=source), entry=spec.entry)
    name, known = identify(text, network=network)
    entry = kept.find(name)
    if entry is None or kept.holds(entry.sha256) is None:
        offline = offline or is_offline() or constants.is_offline_mode()
        entry = _fetch(known or spec, name, kept, offline=offline, pause=pause, progress=progress)
    path = kept.path(entry)
    noted = kept.about(entry.sha256, name=name) or entry
    return WeightsFile(path, name, entry.sha256, noted.license, noted.license_url, noted.expects, entry.published)


def identify(text: str, *, network: str | None = None) -> tuple[str, PublishedWeights | None]:
    """The name of a specification in the store, and the published weights it means if they are in a table.

    ``imagenet`` is one name for each backbone: that of `network`, or NETWORK of ``imagenet:NETWORK``.

    Raises
    ------
    SettingError
        If it means no published weights, or ``imagenet`` comes without a network that has some.
    """
    front, _, rest = text.partition(":")
    if front == "imagenet":
        backbone = backbone_of(rest or network)
        return f"imagenet:{backbone}", imagenet_weights(backbone)
    spec = parse_spec(text)
    if spec.kind not in ("hf", "torchgeo"):
        raise SettingError(
            f"'{text}' is no name to keep weights under",
            fix="use imagenet:NETWORK, hf:REPO/FILE or torchgeo:NAME, or leave out --as",
        )
    return text, torchgeo_weights(spec.name) if spec.kind == "torchgeo" else None


def _local(path: Path, store: Store, *, source: str) -> WeightsFile:
    """A local file; the store may have more facts about its content."""
    digest = sha256_of(path)
    noted = store.about(digest)
    metadata = model_metadata(path) if is_model(path) else read_metadata(path)
    return WeightsFile(
        path,
        source,
        digest,
        (noted.license if noted else None) or license_of(metadata),
        noted.license_url if noted else None,
        (noted.expects if noted else None) or expects_of(metadata, where=path.name),
    )


def backbone_of(network: str | None) -> str:
    """timm's name of a network's backbone, by which ImageNet weights are named; `network` may be that name itself.

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


def _hub_spec(text: str, name: str) -> Spec:
    found = _HUB.fullmatch(name)
    try:
        repository, filename, revision = found.groups("main") if found else ("", "", "")
        if {"", ".", ".."} & {*f"{repository}/{filename}/{revision}".split("/")}:
            raise HFValidationError
        hf_hub_url(repository, filename)
    except HFValidationError as error:
        raise SettingError(
            f"'{text}' is not of the form hf:OWNER/NAME/FILE",
            fix="for example hf:timm/resnet50.a1_in1k/model.safetensors, with @REVISION behind it if you like",
        ) from error
    if filename.lower().endswith(_PICKLES):
        raise SettingError(
            f"'{text}' is a pickle, and a pickle can run anything when it is opened",
            fix="look for a .safetensors file in that repository; or convert it where you trust it: "
            "safetensors.torch.save_file(state_dict, 'weights.safetensors'), and give that file",
        )
    if not filename.endswith(".safetensors"):
        raise SettingError(f"'{text}' is no .safetensors file", fix="name one in that repository")
    return Spec("hf", name, "", repository, filename, revision)


def _fetch(
    place: Spec | PublishedWeights, name: str, store: Store, *, offline: bool, pause: float, progress: Progress
) -> Entry:
    """Download into the store, and compare with what the hub, the tables and an earlier entry state of the file."""
    known = place if isinstance(place, PublishedWeights) else None
    repository, filename, revision = place.repository, place.filename, place.revision
    url = hf_hub_url(repository, filename, revision=revision, endpoint=_hub_address())
    copy = f"get {url} by other means, then: swath weights add FILE --as {name}"
    if offline:
        raise DataError(
            f"{name} is not in the store, and the network is switched off ({OFFLINE} or HF_HUB_OFFLINE)", fix=copy
        )
    stated = _hub_file(url, name, copy=copy, pause=pause)
    found_at = stated.urls[0]
    before = store.find(name)  # its file was lost, and the facts stated for it still hold
    sha256 = stated.sha256 or (before.sha256 if before else None)
    if before and sha256 != before.sha256:
        raise DataError(
            f"{found_at} is not the {name} that was in the store: its SHA-256 is {sha256}, not {before.sha256}",
            fix=f"to use it in its place, {copy}",
        )
    if known and known.sha256_start and not (sha256 or "").startswith(known.sha256_start):
        raise DataError(
            f"{found_at} is not the published {name}: its SHA-256 should begin with {known.sha256_start}", fix=copy
        )
    license, link = known.license if known else None, None
    if known is None and before is None:
        license, link = _card_license(repository, revision, copy=copy, pause=pause)
    part = store.partial(sha256 or found_at)
    with download_lock(part, size=stated.size, progress=progress):
        present = store.find(name)
        if present and store.holds(present.sha256):  # another process has downloaded it meanwhile
            return present
        held = store.holds(sha256) if sha256 else None  # perhaps under another name
        if held is None or sha256_of(held) != sha256:
            held = None
            fetch(replace(stated, sha256=sha256), part, pause=pause, progress=progress)
            if filename.endswith(".safetensors"):
                try:  # what has no published checksum may be anything, such as a page that asks to log in
                    check_safetensors(part, name=found_at, fix=copy)
                except DataError:
                    part.unlink()
                    raise
        metadata = read_metadata(held or part)
        entry = before or Entry(
            name=name,
            sha256=sha256 or sha256_of(part),
            size=stated.size,
            filename=Path(filename).name,
            url=found_at,
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


def _hub_address() -> str:
    """The hub's address: ``HF_ENDPOINT`` or the public one; read at each call, unlike the library's own."""
    chosen = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    check_address(chosen, fix=f"set HF_ENDPOINT to an address such as {HUB}")
    return chosen


def _hub_token() -> str | None:
    """The user's token (``HF_TOKEN``, or the one of ``hf auth login``), if the hub's address keeps it secret."""
    token = (os.environ.get("HF_TOKEN") or get_token() or "").strip()
    if re.search(r"[^!-~]", token):  # an HTTP client's error would repeat it
        raise SettingError(
            "HF_TOKEN holds a blank, a line break or another character that no token has",
            fix="set it to one token and nothing else",
        )
    parts = urlsplit(_hub_address())
    private = parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")
    return token if token and private else None


def _hub_file(url: str, name: str, *, copy: str, pause: float) -> RemoteFile:
    """Request the facts about a file on the hub, even of a repository that moved; the address pins this version."""
    token = _hub_token()
    found = _asked(
        lambda: get_hf_file_metadata(url, token=token or False, timeout=TIMEOUT), url, copy=copy, pause=pause
    )
    if found.size is None or found.size < 1:
        raise DataError(f"{url} is an empty file, or the hub does not say how large it is", fix=copy)
    if found.commit_hash and re.fullmatch(r"[0-9a-f]{40}", found.commit_hash):
        url = re.sub(r"/resolve/[^/]+/", f"/resolve/{found.commit_hash}/", url, count=1)
    sha256 = found.etag if _SHA256.fullmatch(found.etag or "") else None  # of small files the hub states none
    return RemoteFile(name, (url,), found.size, sha256, copy=copy, other=copy, token=token)


def _card_license(repository: str, revision: str, *, copy: str, pause: float) -> tuple[str | None, str | None]:
    """License a repository's card states (an SPDX identifier, or a name of its own), and where its text is."""
    api = HfApi(endpoint=_hub_address(), token=_hub_token() or False)
    said = _asked(
        lambda: api.model_info(repository, revision=revision, timeout=TIMEOUT),
        f"{api.endpoint}/{repository}",
        copy=copy,
        pause=pause,
    )
    card: Any = said.card_data or {}
    license, link = card.get("license"), card.get("license_link")
    if isinstance(license, list):
        license = str(license[0]) if len(license) == 1 else f"several: {', '.join(map(str, license))}"
    if license is None:
        stated = [tag.removeprefix("license:") for tag in said.tags or () if tag.startswith("license:")]
        license = stated[0] if stated else None
    if license == "other" and isinstance(card.get("license_name"), str):
        license = card["license_name"]
    if not (isinstance(link, str) and link.startswith(("http://", "https://"))):
        link = None
    return _shown(str(license)[:200]) if license else None, _shown(link[:500]) if link else None


def _asked(question: Callable[[], T], url: str, *, copy: str, pause: float) -> T:
    """The hub's answer, requested again after a transient failure; a refusal raises one sentence."""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause * 2 ** (attempt - 1))
        try:
            return question()
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status not in TRANSIENT:
                raise _refusal(url, status, error.response.headers.get("X-Error-Code", ""), copy) from error
            problem = f"the hub answers {status}"
        except (httpx2.HTTPError, OSError) as error:
            problem = str(error) or type(error).__name__
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError, httpx2.InvalidURL) as error:
            raise DataError(f"{url} does not answer as the hub does ({error})", fix=copy) from error
    raise DataError(
        f"cannot reach {url} ({problem}, {ATTEMPTS} times in a row)",
        fix=f"check the network and proxy settings; or {copy}",
    )


def _refusal(url: str, status: int, code: str, copy: str) -> DataError:
    if status in (401, 403) or code == "GatedRepo":
        how = "the token has no access to it" if _hub_token() else "it is private, gated or not there"
        return DataError(
            f"{url} answers {status}: {how}",
            fix="check the name, accept its terms on the hub's page and set HF_TOKEN to a token that may read it",
        )
    if status == 404:
        missing = {"EntryNotFound": "file", "RevisionNotFound": "revision", "RepoNotFound": "repository"}
        return DataError(
            f"{url} answers 404: there is no such {missing.get(code, 'repository, revision or file')}",
            fix="check the name on the hub's page",
        )
    return DataError(f"{url} answers {status}", fix=copy)


def _shown(text: str) -> str:
    """Text for an entry and a terminal: no control characters, no surrogates."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
