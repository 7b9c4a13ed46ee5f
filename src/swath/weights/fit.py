"""Make the tensors of a file those of a network: by exact names and shapes, with few and stated exceptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import timm
import torch
from torch import nn

from swath.errors import DataError
from swath.networks.backbones import adapt_first_layer
from swath.networks.catalog import OWN
from swath.weights.expects import Expectation
from swath.weights.facts import NETWORK_KEY, Style, read_network
from swath.weights.keys import DROPPED, torchvision_names
from swath.weights.positions import refit_positions
from swath.weights.tensors import WeightFile

PREFIX = "backbone."
_COUNTER = "num_batches_tracked"  # of batch norms with momentum; old files lack it and nothing reads it
_SHOWN = 4


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
    file: WeightFile,
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
    file : WeightFile
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


def _named(file: WeightFile, backbone: str | None) -> tuple[Style, dict[str, torch.Tensor]]:
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
        fit.changes.append(f"made again, for its sizes differ: {module.removesuffix('.')}")
        for name in [n for n in fit.tensors if n.startswith(module)]:
            del fit.tensors[name]
    return [w for w in wrong if not w.startswith(tuple(other))] if other else wrong


def _note(fit: Fit, left: set[str], refitted: set[str], file: WeightFile, *, pads_same: bool) -> None:
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
    told = [
        f"{len(names)} {kind} ({', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''})"
        for kind, names in kinds
        if names
    ]
    if told:
        raise DataError(
            f"{source} does not fit the network: {'; '.join(told)}",
            fix="give weights of the same network, or choose the network they are of",
        )


def _shape(tensor: torch.Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return str(list(tensor.shape)) + kind
