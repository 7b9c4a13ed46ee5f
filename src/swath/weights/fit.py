"""Make the tensors of a file those of a network: by exact names and shapes, with few and stated exceptions.

torchvision and timm build the same networks and call the parts differently, so torchvision's names are put into
timm's words: each family is a list of rules, the first of which that fits the front of a name rewrites it. A name
no rule fits stays as it is and is then reported as unexpected. Positions that a transformer learned for one grid
of tiles are fitted to another.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn

from swath.errors import DataError
from swath.networks.backbones import adapt_first_layer
from swath.networks.catalog import OWN
from swath.weights.expects import Expectation
from swath.weights.facts import NETWORK_KEY, Style, read_network
from swath.weights.tensors import TensorFile

PREFIX = "backbone."
_COUNTER = "num_batches_tracked"  # of batch norms with momentum; old files lack it and nothing reads it
_SHOWN = 4
DROPPED = ""  # new name of what timm computes itself
_MOBILENET_V2 = (1, 2, 3, 4, 3, 3, 1)  # blocks per stage: Sandler et al. 2018, table 2

Rule = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]


@dataclass
class Fit:
    """Tensors ready to load.

    Attributes
    ----------
    style : str
        Whose names the file had.
    tensors : dict of str to torch.Tensor
        By the network's own names, of its shapes and types.
    changes : list of str
        What was adapted or left out, for the log and the record.
    """

    style: Style
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)


def fit_tensors(
    file: TensorFile,
    network: nn.Module,
    *,
    backbone: str | None,
    bands: Sequence[str],
    expects: Expectation | None,
    source: str,
) -> Fit:
    """Rename, check and adapt the tensors of a file for a network.

    Parameters
    ----------
    file : TensorFile
        What was read.
    network : torch.nn.Module
        From :func:`swath.networks.build_network`.
    backbone : str or None
        timm's name of its backbone; ``None`` for the project's own networks.
    bands : sequence of str
        Bands of its input.
    expects : Expectation or None
        What the weights expect, if known: bands they know by name are taken by name.
    source : str
        Name of the weights for messages.

    Raises
    ------
    DataError
        If names or shapes differ in more than what is fresh, or numbers are not finite.
    """
    wanted: dict[str, torch.Tensor] = dict(network.state_dict())
    style, named = _named(file, backbone)
    fit = Fit(style)
    spare = _published(backbone) if style != "swath" and backbone else frozenset()
    new_modules = tuple(f"{name}." for name in getattr(network, "new_modules", ()))
    first = next((n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)), "") + ".weight"
    unexpected: list[str] = []
    wrong: list[str] = []
    left: set[str] = set()
    refitted: set[str] = set()
    for name, given in named.items():
        if name not in wanted:
            (left.add if name in spare else unexpected.append)(name)
            continue
        goal, tensor = wanted[name], given
        if tensor.shape != goal.shape and name == first and _other_bands(tensor, goal):
            tensor = _first_layer(tensor, tuple(bands), expects, fit)
        elif tensor.shape != goal.shape and style == "torchvision" and _plain(tensor) == _plain(goal):
            tensor = tensor.reshape(goal.shape)  # it keeps a scale as [C, 1, 1], timm as [C]
        elif (
            tensor.shape != goal.shape
            and (placed := refit_positions(name, tensor, goal, network)) is not None
        ):
            tensor, refitted = placed, refitted | {name}
        if tensor.shape == goal.shape and tensor.is_floating_point() == goal.is_floating_point():
            fit.tensors[name] = _typed(tensor, goal, name, source)
        else:
            wrong.append(f"{name} {_shape(given)} in place of {_shape(goal)}")
    if style == "swath":
        wrong = _drop_new(wrong, new_modules, fit)
        # A module of which the file has nothing is fresh, too: a run's backbone may get a pyramid.
        new_modules = tuple(f for f in new_modules if not any(n.startswith(f) for n in fit.tensors))
    missing = [
        n
        for n in wanted
        if n not in fit.tensors
        and not n.startswith(new_modules)
        and not n.endswith(_COUNTER)
        and not any(w.startswith(f"{n} ") for w in wrong)
    ]
    _refuse(source, missing, unexpected, wrong)
    pads_same = any(type(module).__name__ == "Conv2dSame" for module in network.modules())  # timm's
    made = read_network(file.metadata, where=source)
    if made is not None and made.name not in OWN and (made.padding == "same") != pads_same:
        raise DataError(
            f"{source} was trained with network.padding={made.padding}, and this network pads otherwise",
            fix=f"give --set network.padding={made.padding}",
        )
    _note(fit, left, refitted, file, pads_same=pads_same)
    return fit


def _named(file: TensorFile, backbone: str | None) -> tuple[Style, dict[str, torch.Tensor]]:
    """Whose words the file is in, and its tensors by the network's names."""
    if backbone is None or NETWORK_KEY in file.metadata or any(n.startswith(PREFIX) for n in file.tensors):
        return "swath", file.tensors
    names = torchvision_names(backbone, file.tensors)
    if names is None:
        return "timm", {PREFIX + name: tensor for name, tensor in file.tensors.items()}
    return "torchvision", {
        PREFIX + names[name]: tensor for name, tensor in file.tensors.items() if names[name] != DROPPED
    }


def _published(backbone: str) -> frozenset[str]:
    """Names of the network as published, whose classifier and other ends ours may leave out."""
    with torch.device("meta"):
        return frozenset(PREFIX + name for name in timm.create_model(backbone, pretrained=False).state_dict())


def _plain(tensor: torch.Tensor) -> list[int]:
    return [side for side in tensor.shape if side != 1]


def _other_bands(tensor: torch.Tensor, goal: torch.Tensor) -> bool:
    return tensor.ndim == 4 and tensor.shape[0] == goal.shape[0] and tensor.shape[2:] == goal.shape[2:]


def _first_layer(
    tensor: torch.Tensor, bands: tuple[str, ...], expects: Expectation | None, fit: Fit
) -> torch.Tensor:
    """Take the bands the weights know by name, or else spread what they have over those there are."""
    known = expects.bands if expects is not None else ()
    if len(known) == tensor.shape[1] and set(bands) <= set(known):
        fit.changes.append(f"first layer: {', '.join(bands)} taken out of {len(known)} bands by name")
        return tensor[:, [known.index(band) for band in bands]]
    fit.changes.append(f"first layer: {tensor.shape[1]} bands adapted to {len(bands)}")
    return adapt_first_layer(tensor, len(bands))


def _typed(tensor: torch.Tensor, goal: torch.Tensor, name: str, source: str) -> torch.Tensor:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise DataError(f"{source}: {name} holds numbers that are not finite", fix="get the weights again")
    return tensor.to(goal.dtype)


def _drop_new(wrong: list[str], new_modules: tuple[str, ...], fit: Fit) -> list[str]:
    """Leave out the fresh modules that have other shapes, such as a head for other classes."""
    other = sorted({f for f in new_modules for w in wrong if w.startswith(f)})
    for module in other:
        fit.changes.append(f"newly initialized, for its sizes differ: {module.removesuffix('.')}")
        for name in [n for n in fit.tensors if n.startswith(module)]:
            del fit.tensors[name]
    return [w for w in wrong if not w.startswith(tuple(other))] if other else wrong


def _note(fit: Fit, left: set[str], refitted: set[str], file: TensorFile, *, pads_same: bool) -> None:
    if left:
        fit.changes.append(f"left out: {', '.join(sorted({_module(n) for n in left}))}")
    if refitted:
        fit.changes.append(f"positions fitted to this patch size: {len(refitted)} tensors")
    if any(t.dtype in (torch.float16, torch.bfloat16) for t in file.tensors.values()):
        fit.changes.append("16-bit numbers widened to 32")
    if "pad_type=same" in file.metadata.get("architecture", "") and not pads_same:
        fit.changes.append(
            "trained with TensorFlow's padding, and loaded into a network with PyTorch's; "
            "network.padding=same gives it theirs"
        )


def _module(name: str) -> str:
    return name.removeprefix(PREFIX).rpartition(".")[0]


def _refuse(source: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> None:
    kinds: tuple[tuple[str, list[Any]], ...] = (
        ("missing", missing),
        ("unexpected", [ascii(n.removeprefix(PREFIX))[1:-1][:80] for n in unexpected]),
        ("of another shape", wrong),
    )
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in kinds
        if names
    ]
    if problems:
        raise DataError(
            f"{source} does not fit the network: {'; '.join(problems)}",
            fix="give weights of the same network, or choose the network they are of",
        )


def _shape(tensor: torch.Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return str(list(tensor.shape)) + kind


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
        timm's name for each, :data:`DROPPED` for what timm computes itself; ``None`` if the file is not in
        torchvision's words. ResNets have the same names in both libraries.
    """
    present = set(names)
    for front, (sign, rules) in _FAMILIES.items():
        if backbone.startswith(front) and sign in present:
            return {name: _renamed(name, rules) for name in present}
    return None


def refit_positions(
    name: str, tensor: torch.Tensor, goal: torch.Tensor, network: nn.Module
) -> torch.Tensor | None:
    """Fit position embeddings (ViT) or relative position biases (Swin) to another grid.

    Embeddings say where in the picture a tile lies, so they are resampled. Biases say how many tiles lie between
    two, which means the same in a smaller window, so the middle of their table is taken as it is.

    Parameters
    ----------
    name : str
        Of the tensor in the network.
    tensor : torch.Tensor
        ``[1, T, D]`` for a grid of tiles and a few other tokens, or ``[(2w - 1)^2, heads]`` for windows of w.
    goal : torch.Tensor
        The network's own, for its shape.
    network : torch.nn.Module
        Tells how many tokens are no tiles.

    Returns
    -------
    torch.Tensor or None
        Of the shape of `goal`; ``None`` if these are no positions, no square grids, or a larger window.
    """
    if tensor.ndim != goal.ndim or tensor.shape[-1] != goal.shape[-1] or not tensor.is_floating_point():
        return None
    if name.endswith("pos_embed") and tensor.ndim == 3:
        backbone: Any = getattr(network, "backbone", network)
        others = int(getattr(backbone, "num_prefix_tokens", 0))
        side, given = _side(goal.shape[1] - others), _side(tensor.shape[1] - others)
        if side is None or given is None:
            return None
        placed: torch.Tensor = resample_abs_pos_embed(tensor.float(), [side, side], num_prefix_tokens=others)
        return placed
    if name.endswith("relative_position_bias_table") and tensor.ndim == 2:
        side, given = _side(goal.shape[0]), _side(tensor.shape[0])
        if side is None or given is None or side > given or (given - side) % 2:
            return None
        edge = (given - side) // 2
        table = tensor.reshape(given, given, -1)[edge : edge + side, edge : edge + side]
        return table.reshape(goal.shape)
    return None


def _renamed(name: str, rules: tuple[Rule, ...]) -> str:
    for pattern, new in rules:
        found = pattern.match(name)
        if found:
            return (found.expand(new) if isinstance(new, str) else new(found)) + name[found.end() :]
    return name


def _side(cells: int) -> int | None:
    side = math.isqrt(max(cells, 0))
    return side if side and side * side == cells else None


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
