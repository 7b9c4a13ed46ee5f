"""The same patches twice as large, upsampled by interpolation and by a small super-resolution network.

The network is bicubic interpolation and three convolutions that learn what it misses. Their layers are those of
ESPCN (Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel
convolutional neural network"), which work at the coarse size and leave the upsampling to a shuffle of channels; the
residual next to an interpolation is that of VDSR (Kim, Lee and Lee 2016). It is trained on the patches themselves: a
patch brought to half its size and the patch itself are an example. That what holds from half size to full holds from
full size to double is an assumption, and the usual one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import nn
from torch.nn import functional as F

from swath.data import PatchIndex, cached_pixels, read_index, write_index
from swath.data.rewrite import EncodedPatch, encode_patch, write_patches
from swath.errors import DataError, SettingError
from swath.files import atomic_folder
from swath.imagery import RGB, resize
from swath.progress import Progress, silent
from swath.training.run import torch_settings

WAYS = ("bicubic", "super-resolution")
FACTOR = 2
INDEX = "index.parquet"
BATCH = 32
CROP = 16  # side of the coarse squares trained on, pixels
RATE = 1e-3
WARM_UP = 50  # steps; at the full rate the first ones would upset the new last layer
TOP = 255.0
_SLICE = 128  # patches upsampled at once
_BLOCK = 512
Upsample = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]


def upsampled_indexes(
    index: PatchIndex, out: Path, *, split: str, threads: int | None = None, progress: Progress = silent
) -> dict[str, PatchIndex]:
    """Write both upsamplings of the train and evaluated patches, unless they are there.

    The super-resolution network learns from train patches alone, by undoing a reduction of them. Rows keep
    their order, so that answers can be paired with those to the patches as they are.

    Parameters
    ----------
    index : PatchIndex
        8-bit patches of red, green and blue.
    out : pathlib.Path
        Folder, of this index and split alone.
    split : str
        The evaluated split.

    Returns
    -------
    dict of str to PatchIndex
        By way of upsampling.

    Raises
    ------
    DataError
        If the patches are not 8-bit squares of one even size.
    """
    if all((out / way / INDEX).is_file() for way in WAYS):
        return {way: read_index(out / way / INDEX) for way in WAYS}
    # A copy: torch warns of arrays it may not write to, and a memory map is one.
    train: npt.NDArray[Any] = np.array(cached_pixels(index.where("train"), progress=progress))
    module = train_superres(train, factor=FACTOR, threads=threads, progress=progress)
    wanted = pc.is_in(index.table["split"], value_set=pa.array(["train", split]))
    part = replace(index, table=index.table.filter(wanted))
    ways: dict[str, Upsample] = {
        "bicubic": lambda pixels: upscale_bicubic(pixels, factor=FACTOR),
        "super-resolution": lambda pixels: upscale(module, pixels),
    }
    made = {}
    for way in WAYS:
        with atomic_folder(out / way, overwrite=True) as folder:
            written = _write(part, folder, ways[way], way=way, progress=progress)
        made[way] = replace(written, root=(out / way).resolve())
    return made


class SuperResolution(nn.Module):
    """Upsample pictures by a whole factor; untrained it is bicubic interpolation.

    Parameters
    ----------
    bands : int
        Channels in and out.
    factor : int
        How many times larger each side becomes.
    width : int
        Channels of the hidden layers.
    """

    def __init__(self, bands: int, *, factor: int = 2, width: int = 32) -> None:
        super().__init__()
        self.factor = factor
        self.bands = bands
        self.extract = nn.Conv2d(bands, width, 5, padding=2, padding_mode="replicate")
        self.transform = nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate")
        self.reconstruct = nn.Conv2d(width, bands * factor**2, 3, padding=1, padding_mode="replicate")
        nn.init.zeros_(self.reconstruct.weight)
        if self.reconstruct.bias is not None:
            nn.init.zeros_(self.reconstruct.bias)

    def forward(self, shares: torch.Tensor) -> torch.Tensor:
        """Map ``[N, bands, H, W]``, as shares of the top value, to ``[N, bands, factor H, factor W]``."""
        # Leaky: with plain ReLU one run in a few died and stayed at bicubic.
        found = F.leaky_relu(self.extract(shares - 0.5), 0.1)
        detail = self.reconstruct(F.leaky_relu(self.transform(found), 0.1))
        return bicubic(shares, self.factor) + F.pixel_shuffle(detail, self.factor)


@dataclass(frozen=True)
class UpsamplingQuality:
    """How near upsampled patches come to the true ones, as mean peak signal-to-noise ratios in decibels."""

    bicubic: float
    network: float
    patches: int


def train_superres(
    pixels: npt.NDArray[np.uint8],
    *,
    factor: int = 2,
    steps: int = 1500,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress = silent,
) -> SuperResolution:
    """Learn to undo a reduction of these patches.

    Parameters
    ----------
    pixels : numpy.ndarray
        uint8 ``[N, bands, P, P]``, P a multiple of `factor`. Give training patches only.
    factor : int
        How many times larger each side is to become.
    steps : int
        Batches of 32 random squares; Adam on the absolute error, its rate falling to nothing.
    seed : int
        The same seed, patches and threads give the same network on one machine.
    threads : int, optional
        Of torch while training; as they are by default.
    progress : Progress
        Called with stage ``"super-resolution"``.

    Returns
    -------
    SuperResolution
        In evaluation mode.

    Raises
    ------
    SettingError
        If `factor` is under 2 or `steps` under 1.
    DataError
        If the pixels are not 8-bit squares whose side is a multiple of `factor`.
    """
    if factor < 2 or steps < 1:
        raise SettingError(f"factor {factor} and steps {steps}", fix="upsample by at least 2 in at least 1 step")
    coarse = torch.from_numpy(_reduced(pixels, factor))
    fine = torch.from_numpy(np.ascontiguousarray(pixels))
    generator = torch.Generator().manual_seed(seed)
    with torch_settings(threads or torch.get_num_threads()):
        torch.manual_seed(seed)  # initializes the weights
        module = SuperResolution(pixels.shape[1], factor=factor)
        optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)
            start, goal = _sample(coarse, fine, factor, generator)
            loss = F.l1_loss(module(start), goal)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % 20 == 19 or step + 1 == steps:
                progress("super-resolution", step + 1, steps, note=f"error {TOP * float(loss.detach()):.2f}")
    return module.eval()


@torch.no_grad()
def upscale(module: SuperResolution, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Upsample uint8 ``[N, bands, H, W]`` to uint8 ``[N, bands, factor H, factor W]``.

    Raises
    ------
    DataError
        If the pixels are not 8 bit, or have other bands than the network was trained on.
    """
    _check(pixels, bands=module.bands)
    n, bands, height, width = pixels.shape
    large = np.empty((n, bands, height * module.factor, width * module.factor), np.uint8)
    for start in range(0, n, _SLICE):
        part = np.ascontiguousarray(pixels[start : start + _SLICE])
        large[start : start + _SLICE] = _bytes(module(torch.from_numpy(part).float() / TOP))
    return large


@torch.no_grad()
def upscale_bicubic(pixels: npt.NDArray[np.uint8], *, factor: int = 2) -> npt.NDArray[np.uint8]:
    """Upsample uint8 ``[N, bands, H, W]`` by bicubic interpolation alone: what the network is compared with."""
    return _bytes(bicubic(torch.from_numpy(np.ascontiguousarray(pixels)).float() / TOP, factor))


def measure_superres(module: SuperResolution, pixels: npt.NDArray[np.uint8]) -> UpsamplingQuality:
    """Reduce held-out patches, upsample them both ways, and compare with what they were.

    Parameters
    ----------
    module : SuperResolution
        A trained network.
    pixels : numpy.ndarray
        uint8 ``[N, bands, P, P]`` that it was not trained on.
    """
    coarse = _reduced(pixels, module.factor)
    return UpsamplingQuality(
        bicubic=psnr(upscale_bicubic(coarse, factor=module.factor), pixels),
        network=psnr(upscale(module, coarse), pixels),
        patches=len(pixels),
    )


def psnr(pixels: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> float:
    """Mean over patches of ``10 log10(255^2 / mean squared error)``, decibels; infinite where all are alike."""
    squared = ((pixels.astype(np.float64) - truth) ** 2).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return float((10 * np.log10(TOP**2 / squared)).mean())


def _write(part: PatchIndex, folder: Path, upsample: Upsample, *, way: str, progress: Progress) -> PatchIndex:
    pixels = cached_pixels(part, progress=progress)

    def upsampled() -> Iterator[EncodedPatch]:
        for start in range(0, len(part), _BLOCK):
            large = upsample(np.array(pixels[start : start + _BLOCK]))
            yield from (encode_patch(patch, RGB) for patch in large)
            progress(f"upsampling, {way}", start + len(large), len(part))

    gsd = [meters if meters is None else meters / FACTOR for meters in part.column("gsd")]
    made = write_patches(part, folder, upsampled(), gsd=gsd)
    made = replace(made, name=f"{part.name}, upsampled ({way})")
    write_index(made, folder / INDEX)
    return made


def bicubic(values: torch.Tensor, factor: int) -> torch.Tensor:
    """Upsample float ``[N, bands, H, W]`` by bicubic interpolation (a = -0.75, half-pixel centers)."""
    return F.interpolate(values, scale_factor=factor, mode="bicubic", align_corners=False)


def _sample(
    coarse: torch.Tensor, fine: torch.Tensor, factor: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """One batch of squares of the reduced patches, and the same squares of the whole ones, as shares."""
    chosen = torch.randint(len(coarse), (min(BATCH, len(coarse)),), generator=generator)
    room = coarse.shape[-1] - min(CROP, coarse.shape[-1])
    top, left = torch.randint(room + 1, (2,), generator=generator).tolist()
    side = coarse.shape[-1] - room

    def square(values: torch.Tensor, times: int) -> torch.Tensor:
        rows, columns = (slice(start * times, (start + side) * times) for start in (top, left))
        return values[chosen][:, :, rows, columns].float() / TOP

    return square(coarse, 1), square(fine, factor)


def _reduced(pixels: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    _check(pixels)
    size = pixels.shape[-1]
    if pixels.shape[-2] != size or size % factor:
        raise DataError(
            f"patches of {size} x {pixels.shape[-2]} pixels cannot be reduced {factor} times",
            fix=f"use squares whose side is a multiple of {factor}",
        )
    return resize(pixels, size // factor)


def _check(pixels: npt.NDArray[Any], *, bands: int | None = None) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or not len(pixels):
        raise DataError(f"{pixels.dtype} {pixels.shape} is not a batch of 8-bit patches", fix="give uint8 patches")
    if bands is not None and pixels.shape[1] != bands:
        raise DataError(f"the patches have {pixels.shape[1]} bands, the network {bands}", fix="train another")


def _bytes(shares: torch.Tensor) -> npt.NDArray[np.uint8]:
    values: npt.NDArray[np.uint8] = shares.mul_(TOP).round_().clamp_(0, TOP).to(torch.uint8).numpy()
    return values
