from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from swath.weights import write_weights


@given(metadata=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=20), max_size=6))
@settings(max_examples=30, deadline=None)
def test_weights_come_back_and_the_same_ones_are_the_same_bytes(tmp_path_factory, metadata):
    folder = tmp_path_factory.mktemp("weights")
    tensors = {"a": torch.arange(5.0), "b.c": torch.ones(2, 3, dtype=torch.int64)}
    write_weights(folder / "1", tensors, metadata)
    write_weights(folder / "2", tensors, dict(reversed(metadata.items())))
    assert (folder / "1").read_bytes() == (folder / "2").read_bytes()
    with safe_open(folder / "1", framework="pt") as held:
        assert (held.metadata() or {}) == metadata
        assert torch.equal(held.get_tensor("a"), tensors["a"])
        assert torch.equal(held.get_tensor("b.c"), tensors["b.c"])
