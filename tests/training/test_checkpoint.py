from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from swath.errors import DataError
from swath.networks import PatchNet
from swath.training.checkpoint import (
    Checkpoint,
    check_identity,
    optimizer_tensors,
    read_checkpoint,
    restore_optimizer,
    write_checkpoint,
)
from swath.training.optim import build_optimizers
from swath.training.recipe import Optimizer


def stepped():
    """A network after two steps, and its optimizers."""
    torch.manual_seed(0)
    network = PatchNet(3, 2, stem=4, widths=(8,)).to(memory_format=torch.channels_last)
    optimizers = build_optimizers(network, Optimizer())
    for seed in range(2):
        step(network, optimizers, seed)
    return network, optimizers


def step(network, optimizers, seed):
    values = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    network.zero_grad()
    network(values).logits.square().sum().backward()
    for optimizer in optimizers:
        optimizer.step()


@pytest.fixture
def written(tmp_path):
    network, optimizers = stepped()
    state = network.state_dict()
    best = {name: value.clone() for name, value in state.items()}
    states = [optimizer_tensors(o) for o in optimizers]
    checkpoint = Checkpoint("me", [{"epoch": 1, "x": 0.1}], state, best, states)
    write_checkpoint(tmp_path / "c.safetensors", checkpoint)
    return tmp_path / "c.safetensors", network, optimizers


def test_a_run_goes_on_exactly_where_it_stopped(written):
    path, network, optimizers = written
    read = read_checkpoint(path, identity="me")
    assert read.history == [{"epoch": 1, "x": 0.1}]
    other = PatchNet(3, 2, stem=4, widths=(8,)).to(memory_format=torch.channels_last)
    others = build_optimizers(other, Optimizer())
    other.load_state_dict(read.network)
    for optimizer, tensors in zip(others, read.optimizers, strict=True):
        restore_optimizer(optimizer, tensors)
    for seed in (5, 6):
        step(network, optimizers, seed)
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


def test_a_disk_without_room_is_one_sentence_and_the_checkpoint_before_it_stays(written):
    """The limit on the size of a file stands in for a full disk: safetensors raises an error of its own for both."""
    path, *_ = written
    before = path.read_bytes()
    script = f"""
import resource, torch
from pathlib import Path
from swath.training.checkpoint import Checkpoint, write_checkpoint
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
write_checkpoint(Path({str(path)!r}), Checkpoint("me", [], {{"a": torch.zeros(100_000)}}, {{}}, []))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    said = ran.stderr.strip().splitlines()[-1]
    assert said.startswith(f"swath.errors.OutputError: cannot write {path} (File too large)")
    assert "--resume" in said
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
