"""Fixtures that several rooms share; what they are made of is in :mod:`tests.tiny`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from swath.data import PatchIndex, build_index, split_index, write_index
from tests.tiny import write_patches, write_tiny_model

# The same examples in every run, however busy the machine: what passes here passes elsewhere.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

_crashed: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport, sched: Any) -> None:
    """Run a test once more in a new process when its process died: five native libraries share each of them.

    The summary counts it as "rerun". A test that takes its process down a second time fails.
    """
    if crashitem not in _crashed:
        _crashed.add(crashitem)
        sys.stderr.write(f"\n{crashitem}: its process died; it is run once more\n")
        report.outcome = "rerun"
        sched.mark_test_pending(crashitem)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded patches go to a folder of this test run, never to the user's cache."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SWATH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_network_switch() -> Iterator[None]:
    """A command that goes offline does so for its whole process, but not for the tests after it."""
    names = ("SWATH_OFFLINE", "HF_HUB_OFFLINE", "PROJ_NETWORK", "CPL_VSIL_CURL_ALLOWED_FILENAME")
    before = {name: os.environ.get(name) for name in names}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model file, made without torch: 64 px, uint8 RGB, four classes told by their color."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="session")
def tiny_patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A class-folder tree of 30 PNG patches a class, 64 px, that the tiny model gets mostly right."""
    return write_patches(tmp_path_factory.mktemp("patches"), n=30)


@pytest.fixture(scope="session")
def tiny_index(tiny_patches: Path) -> PatchIndex:
    """The index of :func:`tiny_patches`, split 18 / 6 / 6 a class."""
    return split_index(build_index(tiny_patches))


@pytest.fixture(scope="session")
def tiny_index_file(tiny_index: PatchIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same index as a Parquet file."""
    path = tmp_path_factory.mktemp("index") / "index.parquet"
    write_index(tiny_index, path)
    return path
