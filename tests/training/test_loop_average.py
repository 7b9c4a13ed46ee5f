from __future__ import annotations

import pytest
import torch
from torch import nn

from swath.training.loop import WeightAverage

from .runs import small_fit, small_recipe
from .test_loop import Stop, same, stop_at


def test_the_average_is_its_formula():
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network, 0.9)
    expected = float(network.weight.detach())
    for step in range(30):
        with torch.no_grad():
            network.weight.fill_(float(step))
        average.update(network, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert float(average.state["weight"]) == pytest.approx(expected, rel=1e-5)


def test_whole_numbers_are_copied():
    network = nn.BatchNorm1d(2)
    average = WeightAverage(network, 0.5)
    network(torch.randn(4, 2))
    average.update(network, 0)
    assert int(average.state["num_batches_tracked"]) == 1


def test_an_interrupted_run_with_an_average_ends_where_a_whole_one_does(tmp_path):
    recipe = small_recipe("ema_decay=0.8")
    whole = small_fit(tmp_path / "whole", recipe)
    with pytest.raises(Stop):
        small_fit(tmp_path / "part", recipe, progress=stop_at(5))
    same(whole, small_fit(tmp_path / "part", recipe))


def test_what_is_kept_is_the_average(tmp_path):
    plain = small_fit(tmp_path / "plain", small_recipe("epochs=1"))
    averaged = small_fit(tmp_path / "averaged", small_recipe("epochs=1", "ema_decay=0.9"))
    assert not torch.equal(plain.network.head.weight, averaged.network.head.weight)
