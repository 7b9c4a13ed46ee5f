from __future__ import annotations

import numpy as np
import pytest
import torch

from swath.data import cached_pixels
from swath.errors import DataError, SettingError
from swath.experiments.upsampling import (
    SuperResolution,
    bicubic,
    measure_superres,
    psnr,
    train_superres,
    upsampled_indexes,
    upscale,
    upscale_bicubic,
)


@pytest.mark.parametrize("bands", [1, 3, 13])
@pytest.mark.parametrize("factor", [2, 3])
def test_untrained_it_is_bicubic_interpolation(bands, factor):
    shares = torch.rand(2, bands, 9, 7)
    upsampled = SuperResolution(bands, factor=factor)(shares)
    assert upsampled.shape == (2, bands, 9 * factor, 7 * factor)
    assert torch.equal(upsampled, bicubic(shares, factor))


def test_gradients_reach_every_layer_once_the_last_one_has_moved():
    module = SuperResolution(3)
    torch.nn.init.normal_(module.reconstruct.weight)
    module(torch.rand(2, 3, 8, 8)).square().mean().backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in module.parameters())


def stripes(n: int, *, seed: int = 0) -> np.ndarray:
    """Patches of hard-edged stripes, which interpolation smears and a network can learn to draw."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:32, :32]
    patches = []
    for _ in range(n):
        angle, width, phase = rng.uniform(0, np.pi), rng.uniform(4, 9), rng.uniform(0, 9)
        wave = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) / width * np.pi + phase) > 0
        dark, light = rng.integers(20, 90, 3), rng.integers(140, 240, 3)
        patches.append(np.where(wave, light[:, None, None], dark[:, None, None]))
    return np.array(patches, np.uint8)


def test_it_learns_more_than_bicubic_on_patches_it_has_not_seen():
    seen = []
    module = train_superres(
        stripes(64), steps=200, threads=1, progress=lambda stage, done, total, **_: seen.append((done, total))
    )
    quality = measure_superres(module, stripes(16, seed=1))
    assert quality.patches == 16
    assert quality.network > quality.bicubic + 0.5
    assert seen[-1] == (200, 200)


def test_the_same_seed_gives_the_same_network_and_torch_is_left_alone():
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    runs = [train_superres(stripes(8), steps=3, seed=seed, threads=1) for seed in (1, 1, 2)]
    weights = [torch.cat([p.flatten() for p in run.parameters()]) for run in runs]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_upsampling_gives_bytes_of_twice_the_size_in_any_batch():
    pixels = stripes(130)
    module = train_superres(pixels[:8], steps=2, threads=1)
    large = upscale(module, pixels)
    assert large.shape == (130, 3, 64, 64)
    assert large.dtype == np.uint8
    assert np.abs(upscale(module, pixels[129:]).astype(int) - large[129:]).max() <= 1


def test_bicubic_keeps_flat_areas():
    assert np.all(upscale_bicubic(np.full((2, 3, 8, 8), 77, np.uint8)) == 77)


def test_psnr_by_hand():
    truth = np.zeros((2, 1, 4, 4), np.uint8)
    pixels = truth + np.array([1, 16], np.uint8)[:, None, None, None]
    expected = (20 * np.log10(255) + 20 * np.log10(255 / 16)) / 2
    assert psnr(pixels, truth) == pytest.approx(expected)
    assert psnr(truth, truth) == float("inf")


@pytest.mark.parametrize(
    ("pixels", "settings", "error"),
    [
        (np.zeros((2, 3, 32, 32), np.uint16), {}, DataError),
        (np.zeros((3, 32, 32), np.uint8), {}, DataError),
        (np.zeros((2, 3, 33, 33), np.uint8), {}, DataError),
        (np.zeros((2, 3, 32, 30), np.uint8), {}, DataError),
        (np.zeros((2, 3, 32, 32), np.uint8), {"factor": 1}, SettingError),
        (np.zeros((2, 3, 32, 32), np.uint8), {"steps": 0}, SettingError),
    ],
)
def test_what_cannot_be_trained_on_is_refused(pixels, settings, error):
    with pytest.raises(error):
        train_superres(pixels, **settings)


def test_patches_of_other_bands_are_refused():
    module = train_superres(stripes(4), steps=1, threads=1)
    with pytest.raises(DataError, match="bands"):
        upscale(module, np.zeros((1, 1, 8, 8), np.uint8))


def test_upsampled_patches_keep_their_order_and_labels(tiny_index, tmp_path, monkeypatch):
    import swath.experiments.upsampling as module

    steps = []
    whole = module.train_superres

    def short(pixels, **options):
        steps.append(len(pixels))
        return whole(pixels, steps=2, **options)

    monkeypatch.setattr(module, "train_superres", short)
    made = upsampled_indexes(tiny_index, tmp_path, split="val", threads=1)
    assert steps == [len(tiny_index.where("train"))]  # it learns from these alone
    for way, index in made.items():
        assert len(index) == 24 + 72
        assert index.where("val").labels == tiny_index.where("val").labels
        assert index.where("train").labels == tiny_index.where("train").labels
        large = cached_pixels(index.where("val"))
        assert large.shape == (24, 3, 128, 128)
        if way == "bicubic":
            assert (large == upscale_bicubic(np.array(cached_pixels(tiny_index.where("val"))))).all()
    upsampled_indexes(tiny_index, tmp_path, split="val", threads=1)
    assert len(steps) == 1
