from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from swath.errors import DataError
from swath.networks import PatchNet
from swath.training.checkpoint import (
    Checkpoint,
    check_identity,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from swath.training.optim import build_optimisers
from swath.training.recipe import Optimiser


def stepped():
    """A network after two steps, and its optimisers."""
    torch.manual_seed(0)
    network = PatchNet(3, 2, stem=4, widths=(8,)).to(memory_format=torch.channels_last)
    optimisers = build_optimisers(network, Optimiser())
    for seed in range(2):
        step(network, optimisers, seed)
    return network, optimisers


def step(network, optimisers, seed):
    values = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    network.zero_grad()
    network(values).logits.square().sum().backward()
    for optimiser in optimisers:
        optimiser.step()


@pytest.fixture
def written(tmp_path):
    network, optimisers = stepped()
    state = network.state_dict()
    best = {name: value.clone() for name, value in state.items()}
    states = [optimiser_tensors(o) for o in optimisers]
    checkpoint = Checkpoint("me", [{"epoch": 1, "x": 0.1}], state, best, states)
    write_checkpoint(tmp_path / "c.safetensors", checkpoint)
    return tmp_path / "c.safetensors", network, optimisers


def test_a_run_goes_on_exactly_where_it_stopped(written):
    path, network, optimisers = written
    read = read_checkpoint(path, identity="me")
    assert read.history == [{"epoch": 1, "x": 0.1}]
    other = PatchNet(3, 2, stem=4, widths=(8,)).to(memory_format=torch.channels_last)
    others = build_optimisers(other, Optimiser())
    other.load_state_dict(read.network)
    for optimiser, tensors in zip(others, read.optimisers, strict=True):
        restore_optimiser(optimiser, tensors)
    for seed in (5, 6):
        step(network, optimisers, seed)
        step(other, others, seed)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_another_run_is_refused(written):
    for read in (read_checkpoint, check_identity):
        with pytest.raises(DataError, match=r"another recipe or other data.*--overwrite"):
            read(written[0], identity="you")
    check_identity(written[0], identity="me")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_a_damaged_checkpoint(written, keep):
    path = written[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"not a usable checkpoint.*--overwrite"):
        read_checkpoint(path, identity="me")


def test_safetensors_of_something_else(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "c.safetensors")
    with pytest.raises(DataError, match="not a usable checkpoint"):
        check_identity(tmp_path / "c.safetensors", identity="me")


def test_the_old_checkpoint_is_whole_until_the_new_one_is(written):
    path = written[0]
    before = path.read_bytes()
    broken = Checkpoint("me", [], {"a": "no tensor"}, {}, [])
    with pytest.raises(AttributeError):
        write_checkpoint(path, broken)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["c.safetensors"]
