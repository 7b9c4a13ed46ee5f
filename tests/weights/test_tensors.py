"""Files of weights, told apart by content."""

from __future__ import annotations

import struct

import pytest
import torch
from safetensors.torch import save_file

from swath.errors import DataError
from swath.weights.tensors import read_metadata, read_weight_file


def test_safetensors_with_what_they_say(tmp_path):
    save_file({"a": torch.arange(3)}, tmp_path / "w.pth", {"license": "mit"})
    file = read_weight_file(tmp_path / "w.pth")
    assert file.tensors["a"].tolist() == [0, 1, 2]
    assert file.metadata == read_metadata(tmp_path / "w.pth") == {"license": "mit"}


@pytest.mark.parametrize(
    "raw",
    [b"", b"x", b"<html>404</html>", bytes(100), struct.pack("<Q", 2**62) + b"{}", struct.pack("<Q", 2) + b"{}x",
     struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}     '],
)  # fmt: skip
def test_anything_else_is_refused(tmp_path, raw):
    path = tmp_path / "w.safetensors"
    path.write_bytes(raw)
    with pytest.raises(DataError, match="holds no weights that can be read"):
        read_weight_file(path)
    assert read_metadata(path) == {}


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"cannot read the weights .*No such file"):
        read_weight_file(tmp_path / "gone")
