"""All networks by name, built with random weights."""

from __future__ import annotations

import difflib

import torch
from torch import nn

from swath.errors import SettingError
from swath.networks import backbones
from swath.networks.entries import TIMM, Entry, find, network_names
from swath.networks.fpn import PyramidNet
from swath.networks.pooled import Pooled
from swath.networks.scratch import PatchNet
from swath.networks.settings import Network
from swath.networks.strip import StripNet

__all__ = ["build_network", "network_names", "smallest_patch", "takes_one_size"]

_OWN: dict[str, type[PatchNet] | type[StripNet]] = {"patchnet": PatchNet, "stripnet": StripNet}


def build_network(settings: Network, *, bands: int, outputs: int, size: int) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    Parameters
    ----------
    settings : Network
        Name and sizes.
    bands, outputs : int
        Input channels and logits.
    size : int
        Side of the patches in pixels. Transformers are built for one size; the others take any.

    Returns
    -------
    torch.nn.Module
        Maps ``[N, bands, P, P]`` to :class:`swath.networks.Outputs`; has ``fresh``, a tuple of the names of
        the modules that are never pre-trained, and ``head``, its last linear layer.

    Raises
    ------
    SettingError
        If there is no such network, or it does not take patches of this size.
    """
    least = smallest_patch(settings)
    if size < least:
        raise SettingError(
            f"{settings.name} needs patches of {least} px at least, and these have {size}",
            fix=f"set size={least}, or choose another network (see: swath networks)",
        )
    if settings.name in _OWN:
        return _OWN[settings.name](
            bands, outputs, stem=settings.stem, widths=settings.widths, dropout=settings.dropout
        )
    entry = _entry(settings.name)
    backbone = backbones.make_backbone(
        entry.backbone, bands=bands, size=size, same_padding=settings.padding == "same"
    )
    if entry.mean is not None:
        return _headed(backbone, settings, entry, mean=entry.mean, outputs=outputs)
    mean = not entry.pyramid and backbones.pools_by_mean(entry.backbone, bands=bands, size=size)
    with backbones.misfits(entry.backbone, size), torch.no_grad():
        network = _headed(backbone, settings, entry, mean=mean, outputs=outputs)
        network.eval()(torch.zeros(1, bands, size, size))
    return network.train()


def smallest_patch(settings: Network) -> int:
    """Side in pixels of the smallest patch such a network can take: one cell is left of it at the end.

    Padding would let many a network answer for less, down to one pixel, from little but padding.

    Raises
    ------
    SettingError
        If there is no such network.
    """
    if settings.name in _OWN:
        return _OWN[settings.name].smallest_patch(settings.widths)
    entry = _entry(settings.name)
    return entry.stride or backbones.stride(entry.backbone)


def takes_one_size(settings: Network) -> bool:
    """Whether such a network, once built, takes patches of one size only, and so no crops."""
    return settings.name not in _OWN and backbones.one_size(_entry(settings.name).backbone)


def _headed(backbone: nn.Module, settings: Network, entry: Entry, *, mean: bool, outputs: int) -> nn.Module:
    if entry.pyramid:
        return PyramidNet(backbone, outputs, channels=settings.channels, dropout=settings.dropout)
    return Pooled(backbone, outputs, mean=mean, dropout=settings.dropout)


def _entry(name: str) -> Entry:
    entry = find(name)
    if entry is None:
        near = difflib.get_close_matches(name, network_names(), n=3, cutoff=0.5)
        if backbones.is_known(name):
            near = [f"{TIMM}{name}"]
        raise SettingError(
            f"there is no network '{name}'",
            fix=f"did you mean {' or '.join(near)}?"
            if near
            else f"see: swath networks; any backbone of timm's is '{TIMM}NAME'",
        )
    return entry
