from __future__ import annotations

import json


def test_the_doctor_fills_a_bug_report_and_gives_no_secret_away(swath, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_TOKEN", "hf_not_for_your_eyes")
    said = swath("doctor")
    assert said.code == 0
    for word in (
        "python",
        "numpy",
        "gdal",
        "proj",
        "openvino",
        "onnxruntime",
        "cores",
        "free of",
        "switched off",
        "rows of an index",
    ):
        assert word in said.out
    assert "hf_not" not in said.out
    assert max(map(len, said.out.splitlines())) <= 80
    assert json.loads(swath("doctor", "--json").out)["models"]["shipped"].startswith("eurosat")


def test_the_cache_is_shown_and_emptied(swath, monkeypatch, tmp_path):
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "cache"))
    assert json.loads(swath("cache", "info", "--json").out)["files"] == 0
    for name in ("pixels/a.npy", "weights/objects/b"):
        (tmp_path / "cache" / name).parent.mkdir(parents=True)
        (tmp_path / "cache" / name).write_bytes(bytes(2048))
    assert "2 files, 4 KiB" in swath("cache", "info").out
    assert "1 files removed" in swath("cache", "clear", "--keep-downloads").out
    assert (tmp_path / "cache" / "weights/objects/b").exists()
    assert "1 files removed" in swath("cache", "clear").out
    assert json.loads(swath("cache", "info", "--json").out)["files"] == 0
