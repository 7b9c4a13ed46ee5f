from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from scipy.stats import spearmanr

from swath.errors import ModelFileError
from swath.explain import Evidence, explainer, weight_randomization
from swath.explain.faithful import PARTS, layers_of, randomized, randomized_explainer_factory, rank_correlation
from swath.inference import load
from tests.tiny import CLASSES, patches, tiny_graph


def weights(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in graph.graph.initializer}


@settings(max_examples=60)
@given(st.integers(2, 6), st.integers(1, 5), st.integers(0, 1000), st.integers(2, 50))
def test_rank_correlation_equals_scipys(height, width, seed, values):
    """Few different values, so that there are ties."""
    one, two = np.random.default_rng(seed).integers(0, values, (2, 3, height, width)).astype(np.float32)
    found = rank_correlation(one, two)
    for i in range(3):
        if np.ptp(one[i]) and np.ptp(two[i]):
            assert found[i] == pytest.approx(spearmanr(one[i].ravel(), two[i].ravel()).statistic, abs=1e-9)
        else:
            assert found[i] == 0


def test_only_the_uppermost_layers_are_drawn_again():
    graph = tiny_graph()
    before = weights(graph)
    head = weights(randomized(graph, "head", seed=1))
    changed = {name for name, value in before.items() if not np.array_equal(value, head[name])}
    assert changed == {"head.weight"}
    whole = weights(randomized(graph, "all", seed=1))
    changed = {name for name, value in before.items() if not np.array_equal(value, whole[name])}
    assert changed == {"head.weight", "part.weight"}
    assert head["head.weight"].std() == pytest.approx(before["head.weight"].std(), rel=0.5)
    assert head["head.weight"].dtype == np.float32
    again = weights(randomized(graph, "head", seed=1))
    np.testing.assert_array_equal(again["head.weight"], head["head.weight"])
    other = weights(randomized(graph, "head", seed=2))
    assert not np.array_equal(other["head.weight"], head["head.weight"])
    assert all(np.array_equal(value, weights(graph)[name]) for name, value in before.items())


@pytest.mark.parametrize(("layers", "upper"), [(1, 1), (2, 1), (5, 3), (20, 10)])
def test_parts_count_from_the_top(layers, upper):
    assert [layers_of(part, layers) for part in PARTS] == [1, upper, layers]


def test_a_graph_without_layers_says_so():
    graph = tiny_graph()
    del graph.graph.initializer[:]
    with pytest.raises(ModelFileError, match="stores no weights"):
        randomized(graph, "head", seed=0)


@pytest.mark.parametrize("method", ["cam", "occlusion"])
def test_true_maps_change_with_the_weights(tiny_model: Path, method):
    classifier = load(tiny_model, threads=1)
    pixels = np.concatenate([patches(c, 2, seed=4) for c in CLASSES])
    found = weight_randomization(
        explainer(classifier, method), randomized_explainer_factory(classifier, method), pixels, draws=6
    )
    assert list(found) == list(PARTS)
    assert found["head"].shape == (6, 8)
    assert abs(found["head"].mean()) < 0.4
    assert np.ptp(found["head"].mean(axis=1)) > 0.1


def test_a_map_of_edges_stays_similar_whatever_the_weights(tiny_model: Path):
    """What the check is for: brightness as a map knows nothing of the network."""
    classifier = load(tiny_model, threads=1)

    def brightness(pixels, *, classes=None):
        n = len(pixels)
        maps = pixels.mean(axis=1, dtype=np.float32)
        return Evidence(maps, ("River",) * n, ("River",) * n, np.ones(n, np.float32))

    found = weight_randomization(brightness, lambda part, seed: brightness, patches("River", 3), draws=2)
    assert all(np.allclose(correlations, 1) for correlations in found.values())
    assert classifier.record.name == "tiny"
