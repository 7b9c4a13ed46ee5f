"""Put a local file into the store, with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.config import override, validate
from swath.errors import DataError, SettingError
from swath.weights.expects import Expectation
from swath.weights.known import PublishedWeights, imagenet_weights, torchgeo_weights
from swath.weights.metadata import expects_of, license_of
from swath.weights.sources import backbone_of
from swath.weights.spec import parse_spec
from swath.weights.store import Entry, Store, sha256_of
from swath.weights.tensors import read_weight_file


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
        stated here is remembered for this content, wherever the file lies.
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
    held = read_weight_file(file)
    where, known = _named(name)
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
    if before is not None and before.sha256 == digest:  # what an earlier call stated still holds
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


def _named(name: str | None) -> tuple[str | None, PublishedWeights | None]:
    """The name in the store, and what is known of it."""
    if name is None:
        return None, None
    kind, _, rest = name.partition(":")
    if kind == "imagenet" and rest:
        backbone = backbone_of(rest)
        return f"imagenet:{backbone}", imagenet_weights(backbone)
    spec = parse_spec(name)
    if spec.kind == "torchgeo":
        return name, torchgeo_weights(spec.name)
    if spec.kind == "hf":
        return name, None
    raise SettingError(
        f"'{name}' is no name to keep weights under",
        fix="use imagenet:NETWORK, hf:REPO/FILE or torchgeo:NAME, or leave out --as",
    )
