"""A hub, an empty store, and small files of weights."""

from __future__ import annotations

import huggingface_hub
import pytest
import torch
from safetensors.torch import save

from swath.weights import Store

from .hubserver import serving

QUIET = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "hf_token", "hugging_face_hub_token", "swath_offline")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    huggingface_hub.close_session()  # it keeps the proxies it was opened with
    with serving() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
    huggingface_hub.close_session()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def some_weights():
    """A safetensors file of 200 kB, as bytes."""
    generator = torch.Generator().manual_seed(0)
    return save({"weight": torch.randn(50_000, generator=generator)}, {"license": "mit"})
