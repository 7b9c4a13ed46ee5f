"""Write weights as safetensors, the same bytes for the same weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save

_ALIGNED = 8


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and what is known of them into a file.

    The library writes metadata in an order that differs from process to process; here it is sorted.

    Parameters
    ----------
    path : pathlib.Path
        Written over; give a temporary one of :func:`swath.files.atomic_file`.
    tensors : mapping of str to torch.Tensor
        On any device.
    metadata : mapping of str to str
        See :func:`swath.weights.weights_metadata`.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    raw = save(plain, dict(metadata))
    length = int.from_bytes(raw[:_ALIGNED], "little")
    header = json.loads(raw[_ALIGNED : _ALIGNED + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    path.write_bytes(len(text).to_bytes(_ALIGNED, "little") + text + raw[_ALIGNED + length :])
