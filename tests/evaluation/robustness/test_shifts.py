from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from swath.evaluation.robustness import LEVELS, SUITE, find_shift, shifts
from swath.evaluation.robustness.shifts import usable
from swath.imagery import sentinel2
from tests.tiny import CLASSES, patches

DRAWN = np.concatenate([patches(c, 3) for c in CLASSES])
NAMES = [shift.name for shift in SUITE]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def away(changed: np.ndarray) -> float:
    return float(np.abs(changed.astype(float) - DRAWN).mean())


@pytest.mark.parametrize("name", NAMES)
def test_a_level_more_is_a_change_more(name):
    changes = [away(find_shift(name).at(DRAWN, severity)) for severity in (0, *LEVELS)]
    assert changes[0] == 0
    assert changes == sorted(changes)
    assert len(set(changes)) == 6


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_pixels_and_another_seed_others(name):
    shift, before = find_shift(name), DRAWN.copy()
    first = shift.at(DRAWN, 3, seed=1)
    assert first.dtype == np.uint8
    assert first.shape == DRAWN.shape
    np.testing.assert_array_equal(first, shift.at(DRAWN, 3, seed=1))
    np.testing.assert_array_equal(DRAWN, before)
    drawn = {"gain", "gamma", "noise", "translation", "rotation", "clouds", "shadows"}
    drawn |= {"white", "season", "reprojection"}
    assert np.array_equal(first, shift.at(DRAWN, 3, seed=2)) == (name not in drawn)


def test_gain_goes_both_ways_by_as_much():
    flat = np.full((40, 3, 8, 8), 100, np.uint8)
    values = np.unique(shifts.gain(flat, 0.2, rng()))
    assert values.tolist() == [80, 120]


def test_gamma_keeps_black_and_white():
    ends = np.zeros((10, 1, 8, 8), np.uint8)
    ends[:, :, 4:] = 255
    np.testing.assert_array_equal(shifts.gamma(ends, 1.75, rng()), ends)


def test_haze_draws_everything_towards_its_own_light():
    values = np.array([0, 100, 220, 255], np.uint8).reshape(1, 1, 2, 2)
    assert shifts.haze(values, 0.5, rng()).ravel().tolist() == [110, 160, 220, 238]


def test_blur_is_a_gaussian_with_mirrored_edges():
    made = shifts.blur(DRAWN, 1.2, rng()).astype(float)
    wanted = ndimage.gaussian_filter(DRAWN.astype(float), (0, 0, 1.2, 1.2), mode="mirror", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(made, wanted, atol=0.51)


def test_rotation_is_that_of_scipy():
    made = shifts._turned(DRAWN, 20.0).astype(float)
    wanted = np.stack(
        [[ndimage.rotate(b.astype(float), 20, reshape=False, order=1, mode="mirror") for b in p] for p in DRAWN]
    )
    np.testing.assert_allclose(made, wanted, atol=0.51)


def test_translation_moves_by_the_stated_part_and_mirrors():
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8), (50, 1, 32, 32)).copy()
    moved = shifts.translation(ramp, 0.25, rng())
    steps = moved[:, 0, 0, 16].astype(int) - 16
    assert np.abs(steps).max() == 8
    assert {int(s) for s in np.sign(steps)} == {-1, 0, 1} or {-1, 1} <= {int(s) for s in np.sign(steps)}


def test_resampling_keeps_the_mean_and_loses_detail():
    changed = find_shift("resample").at(DRAWN, 5)
    np.testing.assert_allclose(changed.mean(axis=(2, 3)), DRAWN.mean(axis=(2, 3)), atol=1)
    assert changed.std(axis=(2, 3)).mean() < 0.9 * DRAWN.std(axis=(2, 3)).mean()


def test_jpeg_is_that_of_pillow():
    patch = DRAWN[5]
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0))).save(stream, "JPEG", quality=30)
    wanted = np.asarray(Image.open(stream)).transpose(2, 0, 1)
    np.testing.assert_array_equal(shifts.jpeg(DRAWN, 30, rng())[5], wanted)
    assert shifts.jpeg(DRAWN[:, :1], 30, rng()).shape == DRAWN[:, :1].shape


def test_noise_has_the_stated_spread():
    flat = np.full((20, 3, 64, 64), 128, np.uint8)
    assert shifts.noise(flat, 8.0, rng()).std() == pytest.approx(8, rel=0.02)


def test_bands_change_places_at_the_last_level():
    np.testing.assert_array_equal(find_shift("band_swap").at(DRAWN, 5), DRAWN[:, ::-1])


@pytest.mark.parametrize(("name", "severity"), [("clouds", 1), ("clouds", 5), ("shadows", 5)])
def test_clouds_cover_the_stated_share_of_every_patch(name, severity):
    flat = np.full((12, 3, 64, 64), 100, np.uint8)
    changed = find_shift(name).at(flat, severity)[:, 0].astype(float)
    half = np.abs(changed - 100) >= np.abs({"clouds": 235, "shadows": 40}[name] - 100) / 2 - 0.6
    share = find_shift(name).strengths[severity - 1]
    np.testing.assert_allclose(half.mean(axis=(1, 2)), share, atol=0.02)
    assert len({m.tobytes() for m in changed}) == 12  # no two patches under the same cloud


def test_surface_is_what_a_picture_of_l2a_shows():
    """Reflectance with air of its own, seen through the line of the air, comes back as the picture draws it."""
    numbers = np.array([[300, 1500], [500, 1300], [250, 900]])  # DN of forest and of soil, at the surface
    top = np.array(sentinel2.SLOPE)[:, None] * numbers + np.array(sentinel2.CLEAR_OFFSET)[:, None]
    drawn = np.rint(1 + 254 * top / 2750).astype(np.uint8).reshape(1, 3, 1, 2)
    found = find_shift("surface").at(drawn, 5)[0, :, 0]
    np.testing.assert_allclose(found, numbers * 255 / 2000, atol=1.6)  # a level of EuroSAT is 1.8 of these


def test_surface_moves_eurosat_means_as_it_says():
    flat = np.broadcast_to(np.array([88, 97, 104], np.uint8)[:, None, None], (1, 3, 4, 4))
    for severity, wanted in ((5, (120, 111, 92)), (1, (93, 100, 103))):
        found = find_shift("surface").at(flat, severity)[0, :, 0, 0].tolist()
        assert found == pytest.approx(wanted, abs=1)


def test_white_draws_the_same_numbers_with_another_white():
    flat = np.full((60, 3, 8, 8), 128, np.uint8)
    value = 127 / 254 * 255
    found = np.unique(shifts.white(flat, 1.6, rng()))
    assert found.tolist() == [round(value / 1.6), round(value * 1.6)]
    assert shifts.white(np.zeros_like(flat), 1.6, rng()).min() == 1  # 0 is no data


def test_season_browns_and_greens_vegetation_and_nothing_else():
    green, soil, water, roof = (62, 90, 82), (150, 125, 120), (40, 62, 82), (140, 135, 140)
    for color in (soil, water, roof):
        flat = np.broadcast_to(np.array(color, np.uint8)[:, None, None], (30, 3, 4, 4))
        np.testing.assert_array_equal(find_shift("season").at(flat, 5), flat)
    flat = np.broadcast_to(np.array(green, np.uint8)[:, None, None], (30, 3, 4, 4))
    red, shown, _ = find_shift("season").at(flat, 5)[:, :, 0, 0].T.astype(int)
    apart = np.unique(shown - red)
    assert len(apart) == 2
    assert apart[0] < 90 - 62 < apart[1]  # browner or greener than it was


def test_reprojection_keeps_places_and_loses_detail():
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8) * 3, (40, 3, 64, 64)).copy()
    moved = find_shift("reprojection").at(ramp, 1).astype(float) - ramp
    assert np.abs(moved[..., 4:-4]).mean() < 3  # less than a pixel of three levels
    changed = find_shift("reprojection").at(DRAWN, 5)
    np.testing.assert_allclose(changed.mean(axis=(2, 3)), DRAWN.mean(axis=(2, 3)), atol=4)
    assert changed.std(axis=(2, 3)).mean() < DRAWN.std(axis=(2, 3)).mean()


def test_a_model_without_colors_is_put_through_the_rest():
    chosen, skipped = usable(("nir", "red"), 64)
    assert set(skipped) == {"surface", "white", "season", "band_swap", "jpeg", "reprojection"}
    assert not set(skipped) & {shift.name for shift in chosen}
    assert usable(("red", "green", "blue"), 64)[1] == {}
    assert set(usable(("red", "green", "blue"), 16)[1]) == {"resample"}
    two = np.repeat(DRAWN[:, :1], 2, axis=1)
    assert all(shift.at(two, 2).shape == two.shape for shift in chosen)
