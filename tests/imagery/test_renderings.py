from __future__ import annotations

import numpy as np
import pytest

from swath.imagery import sentinel2
from swath.imagery.renderings import (
    AIR_PUT_BACK,
    OTHER_WHITE,
    SHARES,
    TRUE_COLOR,
    WHITE,
    draw_tables,
    every_kind,
    some_rerendered,
    through_tables,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tops(tables: np.ndarray) -> np.ndarray:
    """How bright mid gray became, ``[n, 3]``."""
    return tables[:, :, 128].astype(int)


@pytest.mark.parametrize("kind", SHARES)
def test_more_light_stays_more_light_and_0_is_no_data(kind):
    tables = draw_tables(200, rng(), kind=kind).astype(int)
    assert tables.shape == (200, 3, 256)
    assert tables.min() >= 1
    assert (np.diff(tables, axis=2) >= 0).all()


def test_a_seed_draws_the_same_and_another_seed_others():
    first, second, other = (draw_tables(20, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_picture_without_air_has_little_blue_and_one_with_the_air_put_back_has_it_again():
    haze = 80  # of EuroSAT's blue over dark water, which is light of the air
    blue = {kind: draw_tables(500, rng(), kind=kind)[:, 2, haze] for kind in SHARES}
    assert np.median(blue[TRUE_COLOR]) < 40
    assert abs(np.median(blue[AIR_PUT_BACK]) - haze) < 15


def test_another_white_changes_all_bands_alike():
    tables = draw_tables(300, rng(), kind=OTHER_WHITE)
    assert (np.ptp(tops(tables), axis=1) <= 1).all()
    low, high = (sentinel2.surface_picture(white, 1.0, 0.0) for white in WHITE)
    assert tops(tables).max() <= 255 * ((128 * low[0] + low[1]) / 255) ** 0.5
    assert tops(tables).min() < 128 * high[0] + high[1] + 15


def test_patches_change_through_their_own_table_and_the_given_ones_stay():
    pixels = rng(3).integers(1, 256, (40, 3, 8, 8)).astype(np.uint8)
    before = pixels.copy()
    tables = draw_tables(40, rng())
    changed = through_tables(pixels, tables)
    assert changed[7, 2, 3, 4] == tables[7, 2, pixels[7, 2, 3, 4]]
    some = some_rerendered(np.repeat(pixels, 25, axis=0), 0.3)
    assert float((some != np.repeat(pixels, 25, axis=0)).any((1, 2, 3)).mean()) == pytest.approx(0.3, abs=0.06)
    assert list(every_kind(pixels)) == list(SHARES)
    np.testing.assert_array_equal(pixels, before)
