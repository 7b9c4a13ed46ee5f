"""The Hugging Face hub's protocol: where a file is, how long, its checksum and its license.

``HEAD /REPO/resolve/REVISION/FILE`` answers with the file's length, SHA-256 and commit in ``X-Linked-Size``,
``X-Linked-Etag`` and ``X-Repo-Commit``, and sends on to a store elsewhere; ``/api/models/REPO`` has the card.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from swath.errors import DataError, SettingError
from swath.fetch import HttpResponse, ResponseError, check_address, request

HUB = "https://huggingface.co"
MAX_MOVES = 5  # renamed repositories send on to their new name
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """What the hub says of one file.

    Attributes
    ----------
    url : str
        Address of exactly this version.
    size : int
        Bytes.
    sha256 : str or None
        If the hub states it, as it does for all large files.
    commit : str or None
        The version, if the hub states it.
    """

    url: str
    size: int
    sha256: str | None
    commit: str | None


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT`` or the public one.

    Raises
    ------
    DataError
        If ``HF_ENDPOINT`` is no address.
    """
    chosen = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    check_address(chosen, fix=f"set HF_ENDPOINT to an address such as {HUB}")
    return chosen


def authorization() -> str | None:
    """The header made of ``HF_TOKEN``, if that is set and the hub's address keeps it secret.

    Raises
    ------
    SettingError
        If ``HF_TOKEN`` can be no token; its value is not repeated.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if re.search(r"[^!-~]", token):
        raise SettingError(
            "HF_TOKEN holds a blank, a line break or another character that no token has",
            fix="set it to one token and nothing else",
        )
    parts = urlsplit(endpoint())
    private = parts.scheme == "https" or parts.hostname in ("127.0.0.1", "localhost", "::1")
    return f"Bearer {token}" if token and private else None


def address(repository: str, filename: str, revision: str) -> str:
    """Where a file of a repository is."""
    return f"{endpoint()}/{repository}/resolve/{quote(revision, safe='')}/{quote(filename)}"


def look_up(repository: str, filename: str, revision: str, *, copy: str, pause: float = 1.0) -> HubFile:
    """Ask the hub about a file, following a repository that has moved.

    Raises
    ------
    DataError
        If the hub cannot be reached, has no such file, wants a login, or does not state the file's length.
    """
    url = address(repository, filename, revision)
    for _ in range(MAX_MOVES):
        answer = _asked(url, copy=copy, method="HEAD", pause=pause)
        target = answer.headers.get("Location", "")
        if "X-Linked-Size" in answer.headers or answer.status == 200 or not target:
            break
        try:
            onward = urljoin(url, target)
            elsewhere = urlsplit(onward)[:2] != urlsplit(url)[:2]
        except ValueError as error:
            raise DataError(f"{url} sends on to what is no address ({error})", fix=copy) from error
        if elsewhere:  # another host
            break
        url = onward
    length = answer.headers.get("Content-Length") if answer.status == 200 else None
    size = answer.headers.get("X-Linked-Size") or length or ""
    if not size.isdecimal():
        raise DataError(f"{url} does not say how large the file is", fix=copy)
    if int(size) == 0:
        raise DataError(f"{url} is an empty file", fix=copy)
    etag = (
        (answer.headers.get("X-Linked-Etag") or answer.headers.get("ETag") or "")
        .removeprefix("W/")
        .strip('"')
    )
    commit = answer.headers.get("X-Repo-Commit")
    if commit and re.fullmatch(r"[0-9a-f]{40}", commit):
        url = url.replace(f"/resolve/{quote(revision, safe='')}/", f"/resolve/{commit}/", 1)
    else:
        commit = None
    return HubFile(url, int(size), etag if _SHA256.fullmatch(etag) else None, commit)


def card_license(
    repository: str, revision: str, *, copy: str, pause: float = 1.0
) -> tuple[str | None, str | None]:
    """License a repository's card states, and the address of its text if that is given.

    Returns
    -------
    tuple of (str or None, str or None)
        An SPDX identifier, or the name of a license of its own.

    Raises
    ------
    DataError
        If the hub cannot be reached or answers nonsense.
    """
    url = f"{endpoint()}/api/models/{repository}/revision/{quote(revision, safe='')}"
    answer = _asked(url, copy=copy, pause=pause, follow=True)
    try:
        said = json.loads(answer.body)
        card = said.get("cardData") or {}
        tags = [t for t in said.get("tags") or () if isinstance(t, str)]
        license, link = card.get("license"), card.get("license_link")
        name = card.get("license_name")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError(f"{url} does not answer as the hub does ({error})", fix=copy) from error
    if isinstance(license, list):
        named = [str(one) for one in license]
        license = named[0] if len(named) == 1 else f"several: {', '.join(named)}"
    if license is None:
        license = next((t.removeprefix("license:") for t in tags if t.startswith("license:")), None)
    if license == "other" and isinstance(name, str):
        license = name
    if not (isinstance(link, str) and link.startswith(("http://", "https://"))):
        link = None
    return _shown(str(license)[:200]) if license else None, _shown(link[:500]) if link else None


def _shown(text: str) -> str:
    """What a note and a terminal can take: no control characters, no halves of a character."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _asked(url: str, *, copy: str, method: str = "GET", follow: bool = False, pause: float) -> HttpResponse:
    """Ask, and say what an answer of the hub means."""
    try:
        return request(
            url, copy=copy, method=method, authorization=authorization(), follow=follow, pause=pause
        )
    except ResponseError as error:
        code = error.headers.get("X-Error-Code", "")
        if error.status in (401, 403) or code == "GatedRepo":
            how = (
                "the token in HF_TOKEN has no access to it"
                if authorization()
                else "it is private, gated or not there"
            )
            raise DataError(
                f"{url} answers {error.status}: {how}",
                fix="check the name, accept its terms on the hub's page and set HF_TOKEN to a token that may read it",
            ) from error
        if error.status == 404:
            missing = {"EntryNotFound": "file", "RevisionNotFound": "revision", "RepoNotFound": "repository"}
            raise DataError(
                f"{url} answers 404: there is no such {missing.get(code, 'repository, revision or file')}",
                fix="check the name on the hub's page",
            ) from error
        raise
