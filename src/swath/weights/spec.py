"""What a user may write behind ``--weights``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swath.errors import SettingError
from swath.weights.store import sha256_of

_FORMS = "none, imagenet, a file, hf:REPO/FILE or torchgeo:NAME"
_HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[^@]+?)(?:@(?P<rev>[\w./-]+))?")
_PICKLES = (".bin", ".pth", ".pt", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Spec:
    """One specification, taken apart.

    Attributes
    ----------
    kind : str
        ``none``, ``imagenet``, ``file``, ``hf`` or ``torchgeo``.
    name : str
        The file's path, or the name behind the colon.
    repository, filename, revision : str
        Of ``hf``; empty otherwise.
    """

    kind: Literal["none", "imagenet", "file", "hf", "torchgeo"]
    name: str = ""
    repository: str = ""
    filename: str = ""
    revision: str = ""


def parse_spec(text: str) -> Spec:
    """Take a specification apart: ``hf:OWNER/NAME/FILE[@REVISION]`` and the other forms.

    Raises
    ------
    SettingError
        If it has none of the forms, or names a file on the hub that only unpickling could open.
    """
    if text in ("none", "imagenet"):
        return Spec("none" if text == "none" else "imagenet")
    front, colon, name = text.partition(":")
    if colon and front == "hf":
        return _hub(text, name)
    if colon and front == "torchgeo":
        return Spec("torchgeo", name)
    if not text or re.match(r"[a-z]{2,}:", text):
        raise SettingError(f"weights '{text}' are none of {_FORMS}", fix="for example --weights imagenet")
    if not Path(text).is_file():
        raise SettingError(f"there is no file of weights '{text}'", fix=f"weights are {_FORMS}")
    return Spec("file", text)


def weights_fingerprint(text: str) -> str:
    """The content of a file of weights, by its SHA-256: another file may take its name. Empty for other forms."""
    spec = parse_spec(text)
    return sha256_of(Path(spec.name)) if spec.kind == "file" else ""


def _hub(text: str, name: str) -> Spec:
    found = _HUB.fullmatch(name)
    parts = (found["repo"] + "/" + found["file"] + "/" + (found["rev"] or "main")).split("/") if found else []
    if found is None or any(part in ("", ".", "..") for part in parts):
        raise SettingError(
            f"'{text}' is not of the form hf:OWNER/NAME/FILE",
            fix="for example hf:timm/resnet50.a1_in1k/model.safetensors, with @REVISION behind it if you like",
        )
    if found["file"].lower().endswith(_PICKLES):
        raise SettingError(
            f"'{text}' is a pickle, and a pickle can run anything when it is opened",
            fix="look for a .safetensors file in that repository; or convert it where you trust it: "
            "safetensors.torch.save_file(state_dict, 'weights.safetensors'), and give that file",
        )
    if not found["file"].endswith(".safetensors"):
        raise SettingError(f"'{text}' is no .safetensors file", fix="name one in that repository")
    return Spec("hf", name, found["repo"], found["file"], found["rev"] or "main")
