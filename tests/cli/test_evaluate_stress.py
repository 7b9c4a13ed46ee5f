from __future__ import annotations


def test_robustness_prints_the_drop_and_the_page(swath, tiny_model, tiny_index_file, tmp_path):
    out = tmp_path / "robustness"
    ran = swath(
        "robustness", tiny_model, tiny_index_file, "--out", out, "--patches", 8, "--engine", "onnxruntime"
    )
    assert ran.code == 0, ran.err
    assert "drop" in ran.out
    assert (out / "index.html").exists()


def test_an_unknown_mode_of_harmonizing_is_one_message(swath, tiny_model, tiny_patches, tmp_path):
    ran = swath("predict", tiny_model, tiny_patches, "--out", tmp_path / "p.csv", "--match-colors", "maybe")
    assert ran.code == 2
    assert "auto, on or off" in ran.err
