"""Train the small super-resolution network on the patches themselves, and enlarge patches with it.

A patch brought to half its size and the patch itself are an example of enlarging; that what holds from half
size to full holds from full size to double is an assumption, and the usual one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from swath.errors import DataError, SettingError
from swath.imagery import resize
from swath.networks.superres import SuperResolution, bicubic
from swath.progress import Progress, silent

BATCH = 32
CROP = 16  # side of the coarse squares trained on, pixels
RATE = 1e-3
WARM_UP = 50  # steps; the first ones would otherwise throw the new last layer about
TOP = 255.0
_SLICE = 128  # patches enlarged at once


@dataclass(frozen=True)
class UpsamplingScore:
    """How near enlarged patches come to the true ones, as mean peak signal-to-noise ratios in decibels."""

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
        raise SettingError(
            f"factor {factor} and steps {steps}", fix="enlarge by at least 2 in at least 1 step"
        )
    coarse = torch.from_numpy(_reduced(pixels, factor))
    fine = torch.from_numpy(np.ascontiguousarray(pixels))
    generator = torch.Generator().manual_seed(seed)
    with _seeded(seed), _threads(threads):
        module = SuperResolution(pixels.shape[1], factor=factor)
        optimizer = torch.optim.Adam(module.parameters(), lr=RATE)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (1 - step / steps)
            start, goal = _draw(coarse, fine, factor, generator)
            loss = F.l1_loss(module(start), goal)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % 20 == 19 or step + 1 == steps:
                progress("super-resolution", step + 1, steps, note=f"error {TOP * float(loss.detach()):.2f}")
    return module.eval()


@torch.no_grad()
def upscale(module: SuperResolution, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Enlarge uint8 ``[N, bands, H, W]`` to uint8 ``[N, bands, factor H, factor W]``.

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
    """Enlarge uint8 ``[N, bands, H, W]`` by bicubic interpolation alone: what the network is compared with."""
    return _bytes(bicubic(torch.from_numpy(np.ascontiguousarray(pixels)).float() / TOP, factor))


def measure_superres(module: SuperResolution, pixels: npt.NDArray[np.uint8]) -> UpsamplingScore:
    """Reduce held-out patches, enlarge them both ways, and compare with what they were.

    Parameters
    ----------
    module : SuperResolution
        A trained network.
    pixels : numpy.ndarray
        uint8 ``[N, bands, P, P]`` that it was not trained on.
    """
    coarse = _reduced(pixels, module.factor)
    return UpsamplingScore(
        bicubic=psnr(upscale_bicubic(coarse, factor=module.factor), pixels),
        network=psnr(upscale(module, coarse), pixels),
        patches=len(pixels),
    )


def psnr(pixels: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> float:
    """Mean over patches of ``10 log10(255^2 / mean squared error)``, decibels; infinite where all are alike."""
    squared = ((pixels.astype(np.float64) - truth) ** 2).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return float((10 * np.log10(TOP**2 / squared)).mean())


def _draw(
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
        raise DataError(
            f"{pixels.dtype} {pixels.shape} is not a batch of 8-bit patches", fix="give uint8 patches"
        )
    if bands is not None and pixels.shape[1] != bands:
        raise DataError(f"the patches have {pixels.shape[1]} bands, the network {bands}", fix="train another")


def _bytes(shares: torch.Tensor) -> npt.NDArray[np.uint8]:
    values: npt.NDArray[np.uint8] = shares.mul_(TOP).round_().clamp_(0, TOP).to(torch.uint8).numpy()
    return values


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generator, which initializes weights, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _threads(threads: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
