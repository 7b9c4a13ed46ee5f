"""The page with a small model, and folders of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
import streamlit as st

from swath.app import settings
from swath.app.settings import AppSettings
from swath.inference import Classifier, load


@pytest.fixture(autouse=True)
def app_folder(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where visitors' folders are."""
    folder = tmp_path / "visitors"
    folder.mkdir()
    st.cache_resource.clear()  # all tests are one visitor to Streamlit, whose workspace it would keep
    monkeypatch.setattr(settings, "current", AppSettings(model=str(tiny_model), threads=1, folder=folder))
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_model: Path) -> Classifier:
    """The small model, loaded."""
    return load(tiny_model, threads=1)
