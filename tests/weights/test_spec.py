"""What may stand behind --weights."""

from __future__ import annotations

import pytest

from swath.errors import SettingError
from swath.weights.spec import Spec, parse_spec


def test_all_forms(tmp_path):
    file = tmp_path / "imagenet.safetensors"
    file.touch()
    assert parse_spec("none").kind == "none"
    assert parse_spec("imagenet").kind == "imagenet"
    assert parse_spec(str(file)) == Spec("file", str(file))
    assert parse_spec("torchgeo:A.B") == Spec("torchgeo", "A.B")
    plain = parse_spec("hf:timm/resnet50.a1_in1k/model.safetensors")
    assert (plain.repository, plain.filename, plain.revision) == (
        "timm/resnet50.a1_in1k", "model.safetensors", "main",
    )  # fmt: skip
    deep = parse_spec("hf:me/mine/some folder/w.safetensors@refs/pr/1")
    assert (deep.filename, deep.revision) == ("some folder/w.safetensors", "refs/pr/1")


@pytest.mark.parametrize(
    "text", ["hf:", "hf:timm", "hf:timm/resnet50", "hf:a/b/../../c.safetensors", "hf:a/b/", "hf:../b/c.safetensors",
             "hf:a/b//c.safetensors", "hf:a/b/c.safetensors@..", "hf:a/b/c.safetensors@", "hf:a?x/b/c.safetensors"]
)  # fmt: skip
def test_names_that_are_none(text):
    with pytest.raises(SettingError, match="not of the form hf:OWNER/NAME/FILE"):
        parse_spec(text)


@pytest.mark.parametrize("suffix", [".bin", ".pth", ".pt", ".ckpt", ".PTH", ".pkl"])
def test_pickles_on_the_hub_are_refused_with_a_way_to_convert(suffix):
    with pytest.raises(SettingError, match="a pickle can run anything") as caught:
        parse_spec(f"hf:a/b/weights{suffix}")
    assert "save_file" in caught.value.fix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imagnet", "no file of weights 'imagnet'"),
        ("", "are none of"),
        ("https://example.invalid/x.safetensors", "are none of"),
        ("timm:resnet50", "are none of"),
        ("hf:a/b/config.json", "no .safetensors file"),
    ],
)
def test_anything_else(text, message):
    with pytest.raises(SettingError, match=message):
        parse_spec(text)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(SettingError, match="no file of weights"):
        parse_spec(str(tmp_path))
