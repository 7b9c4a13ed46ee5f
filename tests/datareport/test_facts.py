from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from swath.data import build_index, cached_pixels
from swath.datareport.facts import embed, pooled, principal, read_headers, spread_out
from swath.errors import DataError
from swath.imagery import RGB
from tests.data.makers import encoded, picture, tree, write


def test_rare_names_are_joined():
    labels = ["a"] * 9 + ["b"] * 2 + ["c"] * 2
    assert pooled(labels) == ["a"] * 9 + ["(rare)"] * 4
    assert pooled(["a"] * 9 + ["b"]) == ["a"] * 9 + ["b"]


def test_where_all_names_are_rare_the_commonest_are_kept():
    few = ["a"] * 4 + ["b"] * 4
    assert pooled(few) == few
    many = [f"c{k // 4}" for k in range(400)]
    assert len(set(pooled(many))) == 51


def test_headers_come_in_index_order_and_stages_end(tmp_path):
    tree(tmp_path, each=4)
    write(tmp_path / "Water" / "big.jpg", encoded(picture(7, size=32), "JPEG"))
    index = build_index(tmp_path)
    seen = []
    found = read_headers(index, progress=lambda *a, **k: seen.append(a))
    assert [one.width for one in found] == index.table["width"].to_pylist()
    assert [one.kind for one in found].index("JPEG") == index.paths.index("Water/big.jpg")
    assert seen[-1] == ("headers", 13, 13)


def test_a_patch_that_is_gone_is_named(tmp_path):
    tree(tmp_path)
    index = build_index(tmp_path)
    (tmp_path / "Town" / "Town_1.png").unlink()
    with pytest.raises(DataError, match="Town_1"):
        read_headers(index)


def test_a_patch_that_was_replaced_is_named(tmp_path):
    tree(tmp_path)
    index = build_index(tmp_path)
    write(tmp_path / "Town" / "Town_1.png", encoded(picture(99)))
    with pytest.raises(DataError, match=r"1 changed \(Town.Town_1\.png\)"):
        read_headers(index)


@given(st.integers(0, 1000), st.integers(3, 40), st.integers(2, 12))
@settings(max_examples=30, deadline=None)
def test_components_are_those_of_scikit_learn(seed, n, width):
    values = np.random.default_rng(seed).normal(size=(n, width)) * np.arange(1, width + 1)
    places, shares = principal(values)
    theirs = PCA(2, svd_solver="full").fit(values)
    assert np.abs(places) == pytest.approx(np.abs(theirs.transform(values)), abs=1e-6)
    assert shares == pytest.approx(theirs.explained_variance_ratio_, abs=1e-9)


def test_values_without_spread_lie_on_one_point():
    places, shares = principal(np.ones((5, 3)))
    assert (np.abs(places).max(), shares) == (0.0, (0.0, 0.0))
    assert principal(np.arange(4.0)[:, None])[0].shape == (4, 2)


def test_8_bit_color_patches_are_described_by_the_network_and_others_by_colors():
    index = build_index("eurosat-mini")
    pixels = np.asarray(cached_pixels(index)[:60])
    seen = []
    found = embed(pixels, RGB, most=40, progress=lambda *a, **k: seen.append(a))
    assert "shipped model 'eurosat'" in found.by
    assert found.places.shape == (40, 2)
    assert seen[-1] == ("features", 40, 40)
    deep = embed(pixels.astype(np.uint16) * 16, RGB)
    assert "color statistics" in deep.by
    assert len(deep.rows) == 60


def test_patches_on_the_map_cover_it_and_are_those_nearest_the_cells():
    places = np.array([[0.0, 0.0], [0.1, 0.1], [4.0, 4.0], [3.9, 0.2]])
    chosen = spread_out(places, cells=2)
    assert [(number, column, row) for number, column, row in chosen] == [(1, 0, 1), (2, 1, 0), (3, 1, 1)]
    assert spread_out(np.zeros((3, 2)), cells=4) == [(0, 0, 3)]
