"""Fit the tensors of a file to a network: by exact names and shapes, with few exceptions that are reported.

:func:`fit_tensors` renames, checks and adapts. A first layer is adapted to other bands, positions that a transformer
learned for one grid of tiles are fitted to another (:func:`refit_positions`), and modules that are newly initialized
may differ. torchvision and timm build the same networks and name their parts differently, so torchvision's names are
translated to timm's (:func:`torchvision_names`): each family of networks is a list of rules, the first of which that
matches the front of a name rewrites it. A name that no rule matches stays, and is then reported as unexpected.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import nn

from swath.errors import DataError
from swath.networks.backbones import adapt_first_layer
from swath.networks.catalog import OWN
from swath.weights.facts import NETWORK_KEY, Expectation, Style, network_of
from swath.weights.tensors import AVERAGED, TensorFile

PREFIX = "backbone."
# What torch's own wrappers put into names, wherever they were put around.
_WRAPPERS = re.compile(r"(?<=\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
COUNTER = "num_batches_tracked"  # of batch norms with momentum; old files lack it and nothing reads it
_SHOWN = 4
_POSITIONS = ("pos_embed", "relative_position_bias_table")
DROPPED = ""  # new name of a tensor that timm computes itself
_MOBILENET_V2 = (1, 2, 3, 4, 3, 3, 1)  # blocks per stage: Sandler et al. 2018, table 2

Place = Callable[[re.Match[str]], str]  # timm's name of a module, from a match of torchvision's
Rule = tuple[re.Pattern[str], Place, str]


@dataclass
class Fit:
    """Tensors ready to load.

    Attributes
    ----------
    style : str
        Whose naming the file had.
    tensors : dict of str to torch.Tensor
        By the network's own names, of its shapes and types.
    changes : list of str
        What was adapted or left out, for the log and the record.
    choices : list of str
        Those of the changes that a user should see: what was taken of a file that holds more.
    """

    style: Style
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)


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
        If names or shapes differ in more than newly initialized modules, or numbers are not finite.
    """
    wanted: dict[str, torch.Tensor] = dict(network.state_dict())
    known = _published(backbone) if backbone else frozenset()
    file, choices = _part_for(file, wanted, known, backbone=backbone, source=source)
    style, named = _named(file, backbone)
    fit = Fit(style, changes=list(choices), choices=list(choices))
    published = known if style != "swath" else frozenset()
    new_modules = tuple(f"{name}." for name in getattr(network, "new_modules", ()))
    first = next((n for n, m in network.named_modules() if isinstance(m, nn.Conv2d)), "") + ".weight"
    unexpected: list[str] = []
    left_out: list[str] = []
    wrong: dict[str, str] = {}
    for name, given in named.items():
        if name not in wanted:
            (left_out if name in published else unexpected).append(name)
            continue
        goal = wanted[name]
        if name == first and given.shape != goal.shape and _other_bands(given, goal):
            tensor = _first_layer(given, tuple(bands), expects, fit)
        else:
            tensor = _reshaped(name, given, goal, network, style)
        if tensor.shape != goal.shape or tensor.is_floating_point() != goal.is_floating_point():
            wrong[name] = f"{name} {_shape(given)} in place of {_shape(goal)}"
            continue
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise DataError(f"{source}: {name} holds numbers that are not finite", fix="get the weights again")
        fit.tensors[name] = tensor.to(goal.dtype)
    if style == "swath":
        wrong = _drop_new(wrong, new_modules, fit)
        # A module of which the file has nothing is newly initialized, too: a run's backbone may get a pyramid.
        new_modules = tuple(f for f in new_modules if not any(n.startswith(f) for n in fit.tensors))
    missing = [
        name
        for name in wanted
        if name not in fit.tensors and name not in wrong and not name.startswith(new_modules)
        if not name.endswith(COUNTER)
    ]
    _refuse(source, missing, unexpected, list(wrong.values()))
    pads_same = any(type(module).__name__ == "Conv2dSame" for module in network.modules())  # timm's
    made = network_of(file.metadata, where=source)
    if made is not None and made.name not in OWN and (made.padding == "same") != pads_same:
        raise DataError(
            f"{source} was trained with network.padding={made.padding}, and this network pads otherwise",
            fix=f"give --set network.padding={made.padding}",
        )
    if left_out:
        modules = sorted({name.removeprefix(PREFIX).rpartition(".")[0] for name in left_out})
        fit.changes.append(f"left out: {', '.join(modules)}")
    refitted = [name for name in fit.tensors if name.endswith(_POSITIONS) and named[name].shape != wanted[name].shape]
    if refitted:
        fit.changes.append(f"positions fitted to this patch size: {len(refitted)} tensors")
    fit.changes += _file_changes(file, pads_same=pads_same)
    return fit


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
        torchvision's naming. ResNets have the same names in both libraries.
    """
    present = set(names)
    for front, (sign, rules) in _FAMILIES.items():
        if backbone.startswith(front) and sign in present:
            return {name: _renamed(name, rules) for name in present}
    return None


def refit_positions(name: str, tensor: torch.Tensor, goal: torch.Tensor, network: nn.Module) -> torch.Tensor | None:
    """Fit position embeddings (ViT) or relative position biases (Swin) to another grid.

    Embeddings depend on the position in the image, so they are resampled. Biases depend on the distance between two
    tiles, which means the same in a smaller window, so the center of their table is taken unchanged.

    Parameters
    ----------
    name : str
        Of the tensor in the network.
    tensor : torch.Tensor
        ``[1, T, D]`` for a grid of tiles and a few other tokens, or ``[(2w - 1)^2, heads]`` for windows of w.
    goal : torch.Tensor
        The network's own, for its shape.
    network : torch.nn.Module
        Its backbone knows how many tokens are not tiles.

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


def _part_for(
    file: TensorFile, wanted: Mapping[str, Any], published: Container[str], *, backbone: str | None, source: str
) -> tuple[TensorFile, list[str]]:
    """The tensors of a file that are the network's, without what a training program put before their names.

    Whatever the names begin with (``module.``, ``model.encoder.``, ``teacher.backbone.``), that front is taken under
    which most of the wanted names lie and fewest others; of two copies of the network, the running average.
    """
    plain = {_WRAPPERS.sub("", name): tensor for name, tensor in file.tensors.items()}
    if len(plain) < len(file.tensors):
        plain = file.tensors
    counts: Counter[str] = Counter()
    for name in plain:
        parts = name.split(".")
        counts.update(".".join(parts[:end]) + "." for end in range(1, len(parts)))
    if file.front and f"{file.front}." not in counts:
        raise DataError(
            f"no tensor of {source} has a name that begins with '{file.front}.'",
            fix=f"its names begin with: {', '.join(sorted({name.split('.')[0] for name in plain})[:_SHOWN])}",
        )
    fronts = [f"{file.front}."] if file.front else ["", *(f for f, n in counts.items() if 2 * n >= len(wanted))]
    scores: dict[str, tuple[int, int, bool, int]] = {}
    for front in fronts:
        part = replace(file, tensors={n.removeprefix(front): t for n, t in plain.items() if n.startswith(front)})
        style, names = _named(part, backbone)
        spare = () if style == "swath" else published
        fitting = sum(name in wanted for name in names)
        strange = sum(name not in wanted and name not in spare for name in names)
        scores[front] = (fitting, -strange, AVERAGED.search(front) is not None, -len(front))
    chosen = max(scores, key=scores.__getitem__)
    if not scores[chosen][0]:
        return replace(file, tensors=plain), list(file.notes)
    notes = list(file.notes)
    others = [front for front, score in scores.items() if front != chosen and score[:2] == scores[chosen][:2]]
    others = [front for front in others if not front.startswith(chosen) and not chosen.startswith(front)]
    if others:
        notes.append(
            f"took the weights under '{chosen}', of which '{others[0]}' has as many: "
            f"--weights '{source}#{others[0].removesuffix('.')}' takes those"
        )
    elif chosen:
        notes.append(f"the names begin with '{chosen}', which was taken off")
    outside = [name for name in plain if not name.startswith((chosen, *others))] if chosen else []
    if outside:
        shown = ", ".join(outside[:_SHOWN]) + (", ..." if len(outside) > _SHOWN else "")
        notes.append(f"left out: {len(outside)} tensors outside '{chosen}' ({shown})")
    return replace(file, tensors={n.removeprefix(chosen): t for n, t in plain.items() if n.startswith(chosen)}), notes


def _named(file: TensorFile, backbone: str | None) -> tuple[Style, dict[str, torch.Tensor]]:
    """Whose naming the file is in, and its tensors by the network's names."""
    if backbone is None or NETWORK_KEY in file.metadata or any(n.startswith(PREFIX) for n in file.tensors):
        return "swath", file.tensors
    names = torchvision_names(backbone, file.tensors)
    if names is None:
        return "timm", {PREFIX + name: tensor for name, tensor in file.tensors.items()}
    return "torchvision", {
        PREFIX + names[name]: tensor for name, tensor in file.tensors.items() if names[name] != DROPPED
    }


def _published(backbone: str) -> frozenset[str]:
    """Names of the network as published, whose classifier and other ends swath's may lack."""
    with torch.device("meta"):
        return frozenset(PREFIX + name for name in timm.create_model(backbone, pretrained=False).state_dict())


def _plain(tensor: torch.Tensor) -> list[int]:
    return [side for side in tensor.shape if side != 1]


def _other_bands(tensor: torch.Tensor, goal: torch.Tensor) -> bool:
    return tensor.ndim == 4 and tensor.shape[0] == goal.shape[0] and tensor.shape[2:] == goal.shape[2:]


def _first_layer(tensor: torch.Tensor, bands: tuple[str, ...], expects: Expectation | None, fit: Fit) -> torch.Tensor:
    """Take the bands the weights know by name, or else distribute the bands they have over the given ones."""
    known = expects.bands if expects is not None else ()
    if len(known) == tensor.shape[1] and set(bands) <= set(known):
        fit.changes.append(f"first layer: {', '.join(bands)} taken out of {len(known)} bands by name")
        return tensor[:, [known.index(band) for band in bands]]
    fit.changes.append(f"first layer: {tensor.shape[1]} bands adapted to {len(bands)}")
    return adapt_first_layer(tensor, len(bands))


def _reshaped(name: str, tensor: torch.Tensor, goal: torch.Tensor, network: nn.Module, style: Style) -> torch.Tensor:
    """The tensor in the shape of `goal` where that keeps its meaning, or else as it is."""
    if style == "torchvision" and _plain(tensor) == _plain(goal):
        return tensor.reshape(goal.shape)  # it keeps a scale as [C, 1, 1], timm as [C]
    placed = None if tensor.shape == goal.shape else refit_positions(name, tensor, goal, network)
    return tensor if placed is None else placed


def _drop_new(wrong: dict[str, str], new_modules: tuple[str, ...], fit: Fit) -> dict[str, str]:
    """Leave out the new modules with tensors of other shapes, such as a head for other classes."""
    other = tuple(module for module in new_modules if any(name.startswith(module) for name in wrong))
    for module in sorted(other):
        fit.changes.append(f"newly initialized, for its sizes differ: {module.removesuffix('.')}")
    for name in [name for name in fit.tensors if name.startswith(other)]:
        del fit.tensors[name]
    return {name: problem for name, problem in wrong.items() if not name.startswith(other)}


def _file_changes(file: TensorFile, *, pads_same: bool) -> Iterator[str]:
    if any(t.dtype in (torch.float16, torch.bfloat16) for t in file.tensors.values()):
        yield "16-bit numbers widened to 32"
    if "pad_type=same" in file.metadata.get("architecture", "") and not pads_same:
        yield (
            "trained with TensorFlow's padding, and loaded into a network with PyTorch's; "
            "network.padding=same gives it theirs"
        )


def _refuse(source: str, missing: list[str], unexpected: list[str], wrong: list[str]) -> None:
    kinds = {
        "missing": missing,
        "unexpected": [ascii(n.removeprefix(PREFIX))[1:-1][:80] for n in unexpected],
        "of another shape": wrong,
    }
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in kinds.items()
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


def _side(cells: int) -> int | None:
    side = math.isqrt(max(cells, 0))
    return side if side and side * side == cells else None


def _renamed(name: str, rules: Iterable[Rule]) -> str:
    for pattern, place, part in rules:
        found = pattern.match(name)
        if found:
            return ".".join(filter(None, (place(found), part))) + name[found.end() :]
    return name


def _rules(front: str, parts: str, place: Place = lambda _: "") -> list[Rule]:
    """Rules for the parts of one module.

    Parameters
    ----------
    front : str
        Regular expression of torchvision's name of the module; may be empty.
    parts : str
        Pairs ``torchvision:timm`` of names inside the module; the first may be empty for all of it.
    place : callable
        timm's name of the module, from the match of `front`; by default none.
    """
    pairs = [pair.split(":") for pair in parts.split()]
    joint = r"\." if front else ""
    return [
        (re.compile(front + (joint + re.escape(old) if old else "") + r"(?=\.|$)"), place, new) for old, new in pairs
    ]


def _mobilenet_block(found: re.Match[str]) -> str:
    """torchvision counts blocks through, timm within each stage."""
    stage, number = 0, int(found[1]) - 1
    while number >= _MOBILENET_V2[stage]:
        number -= _MOBILENET_V2[stage]
        stage += 1
    return f"blocks.{stage}.{number}"


def _efficientnet_block(found: re.Match[str]) -> str:
    return f"blocks.{int(found[1]) - 1}.{found[2]}"


def _stage(name: str, inside: str) -> Place:
    """torchvision counts stages and the layers between them together; timm counts stages."""
    return lambda found: ".".join([name, str(int(found[1]) // 2), inside, *found.groups()[1:]])


_FAMILIES: dict[str, tuple[str, list[Rule]]] = {
    # family: (a name only torchvision has, rules)
    "vgg": ("classifier.0.weight", _rules("classifier", "0:pre_logits.fc1 3:pre_logits.fc2 6:head.fc")),
    "mobilenetv2_100": (
        "features.0.0.weight",
        [
            *_rules("features", "0.0:conv_stem 0.1:bn1 18.0:conv_head 18.1:bn2"),
            *_rules(r"features\.(1)\.conv", "0.0:conv_dw 0.1:bn1 1:conv_pw 2:bn2", _mobilenet_block),
            *_rules(
                r"features\.(\d|1[0-7])\.conv",
                "0.0:conv_pw 0.1:bn1 1.0:conv_dw 1.1:bn2 2:conv_pwl 3:bn3",
                _mobilenet_block,
            ),
            *_rules("classifier", "1:classifier"),
        ],
    ),
    "efficientnet_b": (
        "features.0.0.weight",
        [
            *_rules("features", "0.0:conv_stem 0.1:bn1 8.0:conv_head 8.1:bn2"),
            *_rules(
                r"features\.(1)\.(\d+)\.block",
                "0.0:conv_dw 0.1:bn1 1.fc1:se.conv_reduce 1.fc2:se.conv_expand 2.0:conv_pw 2.1:bn2",
                _efficientnet_block,
            ),
            *_rules(
                r"features\.([2-7])\.(\d+)\.block",
                "0.0:conv_pw 0.1:bn1 1.0:conv_dw 1.1:bn2 2.fc1:se.conv_reduce 2.fc2:se.conv_expand "
                "3.0:conv_pwl 3.1:bn3",
                _efficientnet_block,
            ),
            *_rules("classifier", "1:classifier"),
        ],
    ),
    "convnext_": (
        "features.0.0.weight",
        [
            *_rules("features", "0:stem"),
            *_rules(
                r"features\.([1357])\.(\d+)",
                "block.0:conv_dw block.2:norm block.3:mlp.fc1 block.5:mlp.fc2 layer_scale:gamma",
                _stage("stages", "blocks"),
            ),
            *_rules(r"features\.([246])\.([01])", ":", _stage("stages", "downsample")),
            *_rules("classifier", "0:head.norm 2:head.fc"),
        ],
    ),
    "vit_": (
        "conv_proj.weight",
        [
            *_rules("", "conv_proj:patch_embed.proj class_token:cls_token heads.head:head"),
            *_rules("encoder", "pos_embedding:pos_embed ln:norm"),
            *_rules(
                r"encoder\.layers\.encoder_layer_(\d+)",
                "ln_1:norm1 ln_2:norm2 self_attention.in_proj_weight:attn.qkv.weight "
                "self_attention.in_proj_bias:attn.qkv.bias self_attention.out_proj:attn.proj "
                "mlp.0:mlp.fc1 mlp.linear_1:mlp.fc1 mlp.3:mlp.fc2 mlp.linear_2:mlp.fc2",
                lambda found: f"blocks.{found[1]}",
            ),
        ],
    ),
    "swin_": (
        "features.0.0.weight",
        [
            *_rules("features", "0.0:patch_embed.proj 0.2:patch_embed.norm"),
            *_rules(r"features\.[1357]\.\d+", f"attn.relative_position_index:{DROPPED}"),
            *_rules(r"features\.([1357])\.(\d+)", "mlp.0:mlp.fc1 mlp.3:mlp.fc2 :", _stage("layers", "blocks")),
            *_rules(r"features\.([246])", ":", _stage("layers", "downsample")),
            *_rules("head", ":head.fc"),
        ],
    ),
}
