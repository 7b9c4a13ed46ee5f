"""Backbones from timm, at any patch size and number of bands, with random weights and without downloads."""

from __future__ import annotations

import difflib
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from swath.errors import SettingError
from swath.networks.scratch import Outputs

# What timm's backbones raise for a patch size they do not take: there are over a thousand of them.
_MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_log = logging.getLogger("swath")


def make_backbone(name: str, *, bands: int, size: int, same_padding: bool = False) -> nn.Module:
    """Build one of timm's backbones without its classifier.

    Parameters
    ----------
    name : str
        timm's name, such as ``resnet50``.
    bands, size : int
        Input channels, and side of the patches in pixels.
    same_padding : bool
        Pad strided convolutions as TensorFlow does.

    Raises
    ------
    SettingError
        If timm has no such backbone, or it cannot be built for such patches or with such padding.
    """
    _check_name(name)
    options: dict[str, Any] = {"pad_type": "same"} if same_padding else {}
    if one_size(name):
        options["img_size"] = size
    window = re.match(r"swin_\w+_window(\d+)", name)
    if window:
        options["window_size"] = window_side(size // 4, largest=int(window[1]))
    if name.startswith("vgg"):
        # Its two wide layers are dropped below; a single channel keeps them from being drawn at random first.
        options["mlp_ratio"] = 1 / 4096
    with misfits(name, size):
        try:
            backbone = _create(name, in_chans=bands, **options)
        except TypeError as error:
            if "pad_type" not in str(error):
                raise
            raise SettingError(f"{name} has no padding 'same'", fix="leave network.padding at even") from error
    if name.startswith("vgg"):
        backbone.register_module("pre_logits", nn.Identity())
    step = patch_step(backbone)
    if size % step:
        raise SettingError(
            f"{name} cuts a patch into tiles of {step} x {step} pixels, and {size} is no multiple of that",
            fix=f"set size={max(step, size // step * step)} or size={(size // step + 1) * step}",
        )
    return backbone


@lru_cache(maxsize=64)
def stride(name: str) -> int:
    """Pixels to one cell of a backbone's last map, in each direction."""
    _check_name(name)
    with torch.device("meta"):
        backbone = _create(name)
    levels = list(getattr(backbone, "feature_info", ()))
    if not levels:
        raise SettingError(f"{name} does not say which maps it makes", fix="use another backbone")
    return int(levels[-1]["reduction"])


def patch_step(backbone: nn.Module) -> int:
    """What the side of a patch must be a multiple of: the tile of a transformer, else 1."""
    tiles = getattr(getattr(backbone, "patch_embed", None), "patch_size", None)
    return int(tiles[0]) if isinstance(tiles, (tuple, list)) else 1


def window_side(cells: int, *, largest: int) -> int:
    """Side of Swin's attention windows for a first grid of ``cells`` x ``cells``, halved thrice.

    The largest, up to the published one, that cuts the grid of every stage evenly (a grid smaller than the
    window is one window). Where there is none of at least 3 the published one, and the last windows are padded.
    """
    sides = [cells]
    for _ in range(3):
        sides.append((sides[-1] + 1) // 2)
    even = [w for w in range(3, largest + 1) if all(side <= w or side % w == 0 for side in sides)]
    return max(even, default=largest)


def as_maps(backbone: nn.Module, values: torch.Tensor) -> torch.Tensor | None:
    """Turn what a layer of a backbone gives into maps ``[N, C, h, w]``, or None if it is no map.

    Tokens ``[N, T, C]`` lose their class token and are laid out as a square; ``[N, h, w, C]`` is turned round.
    """
    if values.ndim == 3:
        cells = values[:, int(getattr(backbone, "num_prefix_tokens", 0)) :]
        side = math.isqrt(cells.shape[1])
        if side * side != cells.shape[1]:
            return None
        return cells.transpose(1, 2).reshape(-1, cells.shape[2], side, side)
    if values.ndim != 4:
        return None
    return values.permute(0, 3, 1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else values


@lru_cache(maxsize=32)
def pools_by_mean(name: str, *, bands: int, size: int) -> bool:
    """Whether a backbone's features are the plain mean of its last map, found by a trial.

    Norms and biases are randomized first, because an untrained norm looks like none.
    """
    with misfits(name, size), torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        torch.manual_seed(0)
        backbone: Any = make_backbone(name, bands=bands, size=size).eval()
        for values in (*backbone.parameters(), *backbone.buffers()):
            if values.ndim == 1 and values.is_floating_point():
                values.uniform_(0.5, 1.5)
        last = backbone.forward_features(torch.randn(2, bands, size, size))
        maps = as_maps(backbone, last) if isinstance(last, torch.Tensor) else None
        features = backbone.forward_head(last, pre_logits=True)
        if maps is None or features.shape != maps.shape[:2]:
            return False
        return torch.allclose(maps.mean((2, 3)), features, rtol=1e-4, atol=1e-5)


def _timm() -> Any:
    import timm  # noqa: PLC0415  (two seconds with torchvision, which the project's own networks do without)

    return timm


def _create(name: str, **options: Any) -> nn.Module:
    made: nn.Module = _timm().create_model(name, pretrained=False, num_classes=0, **options)
    return made


def is_known(name: str) -> bool:
    """Whether timm has a backbone of that name."""
    return bool(_timm().is_model(name))


def _check_name(name: str) -> None:
    """Only plain names: a prefix such as ``hf-hub:`` would make timm fetch something."""
    timm = _timm()
    if not timm.is_model(name) or ":" in name or "/" in name:
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise SettingError(
            f"timm {timm.__version__} has no backbone '{name}'",
            fix=f"did you mean {' or '.join(f'timm:{n}' for n in near)}?" if near else "see timm's own list",
        )


def one_size(name: str) -> bool:
    """Whether a backbone is built for one size of patch."""
    known = _timm().get_pretrained_cfg(name)
    return known is not None and bool(known.fixed_input_size)


@contextmanager
def misfits(name: str, size: int) -> Iterator[None]:
    """Turn whatever a backbone raises into one sentence: it does not take patches of this size."""
    try:
        yield
    except _MISFITS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise SettingError(
            f"{name} does not take patches of {size} px ({reason})", fix="set another size, or choose another backbone"
        ) from error


def adapt_first_layer(weight: torch.Tensor, bands: int) -> torch.Tensor:
    """Repeat the channels of a first layer cyclically over `bands` and rescale them.

    With more bands than channels, band b takes channel b mod C, divided by the number of bands that take that
    channel (C / bands wherever C divides bands). With fewer, channel c is added to band c mod bands. Either
    way an image whose bands are all equal gives what it gave before, and so does the sum of each filter.

    Parameters
    ----------
    weight : torch.Tensor
        ``[O, C, kh, kw]``, as trained.
    bands : int
        Channels the layer shall take.

    Returns
    -------
    torch.Tensor
        ``[O, bands, kh, kw]``; `weight` itself if it has that many channels.
    """
    channels = weight.shape[1]
    if bands == channels:
        return weight
    if bands > channels:
        channel = torch.arange(bands) % channels
        shares = torch.bincount(channel, minlength=channels)[channel]
        adapted = weight[:, channel] / shares.view(1, -1, 1, 1).to(weight)
        how = "repeated and rescaled"
    else:
        adapted = torch.stack([weight[:, band::bands].sum(1) for band in range(bands)], dim=1)
        how = "added up"
    _log.warning(
        "first layer: weights of %d channels %s for %d bands; what they had learned of each band is lost",
        channels,
        how,
        bands,
    )
    return adapted


class Pooled(nn.Module):
    """A backbone, its features, dropout and one linear layer.

    Parameters
    ----------
    backbone : torch.nn.Module
        One of timm's, without its classifier: :func:`swath.networks.backbones.make_backbone`.
    outputs : int
        Logits.
    mean : bool
        Whether the features are the plain mean of the last map; then that map is given out as
        ``activations``, and class activation maps are exact. Otherwise features are taken as the
        network's authors do (from a class token, say, or by a layer after pooling), and there is none.
    dropout : float
        Share of features dropped while training.
    """

    new_modules = ("dropout", "head")
    backbone: Any

    def __init__(self, backbone: nn.Module, outputs: int, *, mean: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.mean = mean
        self.dropout = nn.Dropout(dropout)
        width = self.backbone.num_features if mean else self.backbone.head_hidden_size
        self.head = nn.Linear(width, outputs)

    def forward(self, x: torch.Tensor) -> Outputs:
        """Map normalized patches ``[N, bands, P, P]`` to :class:`Outputs`."""
        last = self.backbone.forward_features(x)
        activations = as_maps(self.backbone, last) if self.mean else None
        if activations is None:
            features = self.backbone.forward_head(last, pre_logits=True)
        else:
            features = activations.mean(dim=(2, 3))
        return Outputs(self.head(self.dropout(features)), features, activations)
