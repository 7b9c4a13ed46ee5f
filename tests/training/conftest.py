from __future__ import annotations

from pathlib import Path

import pytest
import torch

from swath.data import PatchIndex
from swath.training import TrainResult

from .runs import small_train


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "small"


@pytest.fixture(scope="session")
def trained(tiny_index: PatchIndex, run_folder: Path) -> TrainResult:
    """One whole run, for many tests; none may change its folder."""
    return small_train(tiny_index, run_folder)
