from __future__ import annotations

import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from swath.data import PatchIndex, build_index, split_index
from swath.errors import DataError, MissingExtraError
from swath.imagery import decode

from .makers import encoded, packed, picture, tree, write


@pytest.fixture
def index(tmp_path: Path) -> PatchIndex:
    return split_index(build_index(tree(tmp_path / "in", each=5)))


def test_items_are_pixels_and_class_numbers(index: PatchIndex) -> None:
    part = index.where("val")
    dataset = index.to_torch("val")
    assert isinstance(dataset, Dataset)
    assert len(dataset) == len(part)
    pixels, _ = dataset[1]
    assert (pixels.dtype, tuple(pixels.shape)) == (torch.uint8, (3, 16, 16))
    assert np.array_equal(pixels.numpy(), decode(index.root / part.paths[1]).pixels)
    assert [target for _, target in dataset] == part.targets(index.classes).tolist()
    assert len(index.to_torch()) == 15


def test_a_transform_bands_and_size(index: PatchIndex) -> None:
    dataset = index.to_torch("train", lambda pixels: pixels.float() / 255, bands=("green",), size=8)
    pixels, _ = dataset[0]
    assert tuple(pixels.shape) == (1, 8, 8)
    assert 0 < float(pixels.max()) <= 1


def test_numbers_follow_the_classes_of_the_whole_index(index: PatchIndex) -> None:
    some = index.take([row for row, label in enumerate(index.labels) if label != "Field"] + [0])
    assert [t for _, t in some.to_torch(classes=("Water", "Town", "Field"))][-1] == 2


@pytest.fixture
def handlers() -> Iterator[None]:
    """Put the handler of ended children back: torch leaves its own, which every later child of this process would run.

    On a processor with tile registers, test processes died by a signal as such a child ended.
    """
    before = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("handlers")
def test_a_loader_with_workers_reads_a_zip(tmp_path: Path) -> None:
    members = {f"{c}/{n}.png": encoded(picture(10 * k + n)) for k, c in enumerate("AB") for n in range(8)}
    index = build_index(packed(tmp_path / "in.zip", members))
    dataset = index.to_torch()
    first = dataset[0][0]  # opens the archive in this process
    batches = list(DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="fork"))
    assert torch.cat([targets for _, targets in batches]).tolist() == index.targets().tolist()
    assert torch.equal(batches[0][0][0], first)
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0][0], first)


def test_several_labels_are_a_vector(tmp_path: Path) -> None:
    rows = ["path,labels"]
    for n in range(6):
        write(tmp_path / f"{n}.png", encoded(picture(n)))
        rows.append(f"{n}.png,{'a;b' if n % 2 else 'a'}")
    index = build_index(write(tmp_path / "list.csv", "\n".join(rows).encode()))
    assert index.to_torch()[1][1].tolist() == [1.0, 1.0]
    assert index.to_torch()[0][1].tolist() == [1.0, 0.0]


def test_a_patch_that_changed_is_refused(index: PatchIndex) -> None:
    write(index.root / index.paths[0], encoded(picture(999)))
    with pytest.raises(DataError, match="index again"):
        index.to_torch()[0]


def test_without_torch_the_extra_is_named(index: PatchIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "swath.data.tensors", raising=False)
    with pytest.raises(MissingExtraError, match="train"):
        index.to_torch()
