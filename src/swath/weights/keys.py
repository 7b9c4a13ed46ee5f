"""Names of tensors: torchvision's put into timm's words, by family.

Both libraries build the same networks and call the parts differently. Each family is a list of rules, the
first of which that fits the front of a name rewrites it; a name no rule fits stays as it is and is then
reported as unexpected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
DROPPED = ""  # new name of what is computed again by the other library

_MOBILENET_V2 = (1, 2, 3, 4, 3, 3, 1)  # blocks a stage: Sandler et al. 2018, table 2


def _rules(*pairs: tuple[str, str | Callable[[re.Match[str]], str]]) -> tuple[Rule, ...]:
    return tuple((re.compile(pattern), new) for pattern, new in pairs)


def _every_second(new: str, *, plus: int = 0) -> Callable[[re.Match[str]], str]:
    """torchvision counts stages and the layers between them together; timm counts stages."""
    return lambda found: new.format(int(found[1]) // 2 + plus, *found.groups()[1:])


def _mobilenet_place(number: int) -> str:
    stage = 0
    number -= 1
    while number >= _MOBILENET_V2[stage]:
        number -= _MOBILENET_V2[stage]
        stage += 1
    return f"blocks.{stage}.{number}."


def _mobilenet_block(new: str) -> Callable[[re.Match[str]], str]:
    return lambda found: _mobilenet_place(int(found[1])) + new


def _efficient_block(new: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"blocks.{int(found[1]) - 1}.{found[2]}.{new}"


_FAMILIES: dict[str, tuple[str, tuple[Rule, ...]]] = {
    # family: (a name only torchvision has, rules)
    "vgg": (
        "classifier.0.weight",
        _rules(
            (r"classifier\.0\.", "pre_logits.fc1."),
            (r"classifier\.3\.", "pre_logits.fc2."),
            (r"classifier\.6\.", "head.fc."),
        ),
    ),
    "mobilenetv2_100": (
        "features.0.0.weight",
        _rules(
            (r"features\.0\.0\.", "conv_stem."),
            (r"features\.0\.1\.", "bn1."),
            (r"features\.18\.0\.", "conv_head."),
            (r"features\.18\.1\.", "bn2."),
            (r"features\.(1)\.conv\.0\.0\.", _mobilenet_block("conv_dw.")),
            (r"features\.(1)\.conv\.0\.1\.", _mobilenet_block("bn1.")),
            (r"features\.(1)\.conv\.1\.", _mobilenet_block("conv_pw.")),
            (r"features\.(1)\.conv\.2\.", _mobilenet_block("bn2.")),
            (r"features\.(\d|1[0-7])\.conv\.0\.0\.", _mobilenet_block("conv_pw.")),
            (r"features\.(\d|1[0-7])\.conv\.0\.1\.", _mobilenet_block("bn1.")),
            (r"features\.(\d|1[0-7])\.conv\.1\.0\.", _mobilenet_block("conv_dw.")),
            (r"features\.(\d|1[0-7])\.conv\.1\.1\.", _mobilenet_block("bn2.")),
            (r"features\.(\d|1[0-7])\.conv\.2\.", _mobilenet_block("conv_pwl.")),
            (r"features\.(\d|1[0-7])\.conv\.3\.", _mobilenet_block("bn3.")),
            (r"classifier\.1\.", "classifier."),
        ),
    ),
    "efficientnet_b": (
        "features.0.0.weight",
        _rules(
            (r"features\.0\.0\.", "conv_stem."),
            (r"features\.0\.1\.", "bn1."),
            (r"features\.8\.0\.", "conv_head."),
            (r"features\.8\.1\.", "bn2."),
            (r"features\.(1)\.(\d+)\.block\.0\.0\.", _efficient_block("conv_dw.")),
            (r"features\.(1)\.(\d+)\.block\.0\.1\.", _efficient_block("bn1.")),
            (r"features\.(1)\.(\d+)\.block\.1\.fc1\.", _efficient_block("se.conv_reduce.")),
            (r"features\.(1)\.(\d+)\.block\.1\.fc2\.", _efficient_block("se.conv_expand.")),
            (r"features\.(1)\.(\d+)\.block\.2\.0\.", _efficient_block("conv_pw.")),
            (r"features\.(1)\.(\d+)\.block\.2\.1\.", _efficient_block("bn2.")),
            (r"features\.([2-7])\.(\d+)\.block\.0\.0\.", _efficient_block("conv_pw.")),
            (r"features\.([2-7])\.(\d+)\.block\.0\.1\.", _efficient_block("bn1.")),
            (r"features\.([2-7])\.(\d+)\.block\.1\.0\.", _efficient_block("conv_dw.")),
            (r"features\.([2-7])\.(\d+)\.block\.1\.1\.", _efficient_block("bn2.")),
            (r"features\.([2-7])\.(\d+)\.block\.2\.fc1\.", _efficient_block("se.conv_reduce.")),
            (r"features\.([2-7])\.(\d+)\.block\.2\.fc2\.", _efficient_block("se.conv_expand.")),
            (r"features\.([2-7])\.(\d+)\.block\.3\.0\.", _efficient_block("conv_pwl.")),
            (r"features\.([2-7])\.(\d+)\.block\.3\.1\.", _efficient_block("bn3.")),
            (r"classifier\.1\.", "classifier."),
        ),
    ),
    "convnext_": (
        "features.0.0.weight",
        _rules(
            (r"features\.0\.", "stem."),
            (r"features\.([1357])\.(\d+)\.block\.0\.", _every_second("stages.{}.blocks.{}.conv_dw.")),
            (r"features\.([1357])\.(\d+)\.block\.2\.", _every_second("stages.{}.blocks.{}.norm.")),
            (r"features\.([1357])\.(\d+)\.block\.3\.", _every_second("stages.{}.blocks.{}.mlp.fc1.")),
            (r"features\.([1357])\.(\d+)\.block\.5\.", _every_second("stages.{}.blocks.{}.mlp.fc2.")),
            (r"features\.([1357])\.(\d+)\.layer_scale$", _every_second("stages.{}.blocks.{}.gamma")),
            (r"features\.([246])\.([01])\.", _every_second("stages.{}.downsample.{}.")),
            (r"classifier\.0\.", "head.norm."),
            (r"classifier\.2\.", "head.fc."),
        ),
    ),
    "vit_": (
        "conv_proj.weight",
        _rules(
            (r"conv_proj\.", "patch_embed.proj."),
            (r"class_token$", "cls_token"),
            (r"encoder\.pos_embedding$", "pos_embed"),
            (r"encoder\.ln\.", "norm."),
            (r"encoder\.layers\.encoder_layer_(\d+)\.ln_1\.", r"blocks.\1.norm1."),
            (r"encoder\.layers\.encoder_layer_(\d+)\.ln_2\.", r"blocks.\1.norm2."),
            (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_", r"blocks.\1.attn.qkv."),
            (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj\.", r"blocks.\1.attn.proj."),
            (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:0|linear_1)\.", r"blocks.\1.mlp.fc1."),
            (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.(?:3|linear_2)\.", r"blocks.\1.mlp.fc2."),
            (r"heads\.head\.", "head."),
        ),
    ),
    "swin_": (
        "features.0.0.weight",
        _rules(
            (r"features\.0\.0\.", "patch_embed.proj."),
            (r"features\.0\.2\.", "patch_embed.norm."),
            (r"features\.[1357]\.\d+\.attn\.relative_position_index$", DROPPED),
            (r"features\.([1357])\.(\d+)\.mlp\.0\.", _every_second("layers.{}.blocks.{}.mlp.fc1.")),
            (r"features\.([1357])\.(\d+)\.mlp\.3\.", _every_second("layers.{}.blocks.{}.mlp.fc2.")),
            (r"features\.([1357])\.(\d+)\.", _every_second("layers.{}.blocks.{}.")),
            (r"features\.([246])\.", _every_second("layers.{}.downsample.")),
            (r"head\.", "head.fc."),
        ),
    ),
}


def torchvision_names(backbone: str, names: Iterable[str]) -> dict[str, str] | None:
    """New names for a file of torchvision's.

    Parameters
    ----------
    backbone : str
        timm's name of the network, such as ``mobilenetv2_100``.
    names : iterable of str
        The names in the file.

    Returns
    -------
    dict of str to str or None
        timm's name for each, :data:`DROPPED` for what timm computes again; ``None`` if the file is not in
        torchvision's words. ResNets have the same names in both libraries.
    """
    present = set(names)
    for front, (sign, rules) in _FAMILIES.items():
        if backbone.startswith(front) and sign in present:
            return {name: _renamed(name, rules) for name in present}
    return None


def _renamed(name: str, rules: tuple[Rule, ...]) -> str:
    for pattern, new in rules:
        found = pattern.match(name)
        if found:
            return (found.expand(new) if isinstance(new, str) else new(found)) + name[found.end() :]
    return name
