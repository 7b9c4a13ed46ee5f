from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.networks import Network, PatchNet, build_network
from swath.training.optim import Muon, build_optimizers, orthogonalize, rate
from swath.training.recipe import Optimizer


@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 99))
@settings(max_examples=50)
def test_orthogonalize_keeps_directions_and_evens_out_lengths(rows, columns, seed):
    torch.manual_seed(seed)
    # Three steps are few: only singular values that are not tiny at the start come close to one.
    u, _, vh = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
    matrix = u * torch.linspace(1, 2, min(rows, columns)) @ vh
    got = orthogonalize(matrix)
    values = torch.linalg.svdvals(got)
    assert got.shape == matrix.shape
    assert float(values.min()) > 0.5
    assert float(values.max()) < 1.3
    inner = u.T @ got @ vh.T
    assert torch.allclose(inner, torch.diag(inner.diag()), atol=1e-3)


@pytest.mark.parametrize("bf16", [False, True])
def test_muon_keeps_filters_at_unit_scale_and_goes_downhill(bf16):
    torch.manual_seed(0)
    filters = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    target = torch.randn(8, 4, 3, 3)
    muon = Muon([filters], lr=0.05, momentum=0.6, bf16=bf16)

    def loss() -> torch.Tensor:
        return -(filters * target).sum() / filters.norm()

    before = float(loss().detach())
    for _ in range(20):
        muon.zero_grad()
        loss().backward()
        muon.step()
    assert float(loss().detach()) < before - 5
    assert float(filters.detach().norm()) == pytest.approx(8**0.5, rel=0.1)


def test_bf16_is_exact_enough():
    torch.manual_seed(0)
    matrix = torch.randn(48, 216)
    exact, rounded = orthogonalize(matrix), orthogonalize(matrix.bfloat16()).float()
    assert float((rounded - exact).norm() / exact.norm()) < 0.02


def test_muon_leaves_filters_without_gradient_alone():
    filters = torch.nn.Parameter(torch.ones(2, 2, 3, 3))
    Muon([filters], lr=0.1, momentum=0).step()
    assert torch.equal(filters, torch.ones(2, 2, 3, 3))


def test_every_parameter_has_exactly_one_optimizer():
    network = PatchNet(3, 5, stem=8, widths=(16, 24))
    muon, adam = build_optimizers(network, Optimizer(weight_decay=0.1))
    groups = [{id(p) for p in g["params"]} for o in (muon, adam) for g in o.param_groups]
    assert sum(map(len, groups)) == len(list(network.parameters()))
    assert set().union(*groups) == {id(p) for p in network.parameters()}
    names = {id(p): name for name, p in network.named_parameters()}
    assert {names[i] for i in groups[0]} == {f"stages.{s}.{c}.weight" for s in (0, 1) for c in ("widen", "refine")}
    decayed = next(g for g in adam.param_groups if g["weight_decay"] > 0)
    assert [names[id(p)] for p in decayed["params"]] == ["head.weight"]


@pytest.mark.parametrize("name", ["vit_small", "swin_tiny"])
@pytest.mark.parametrize("optimizer", [Optimizer(weight_decay=0.1), Optimizer(name="adamw", weight_decay=0.1)])
def test_what_says_where_a_patch_lies_is_not_decayed(name, optimizer):
    network = build_network(Network(name=name), bands=3, outputs=4, size=64)
    names = {id(p): n for n, p in network.named_parameters()}
    groups = [g for o in build_optimizers(network, optimizer) for g in o.param_groups]
    decayed = [names[id(p)] for g in groups if g.get("weight_decay", 0) > 0 for p in g["params"]]
    assert any("qkv.weight" in name for name in decayed)
    assert not [name for name in decayed if "pos_embed" in name or "relative_position" in name or "cls" in name]


@given(total=st.integers(1, 500), warmup=st.floats(0, 0.9))
@settings(max_examples=50)
def test_the_rate_rises_to_one_and_falls_to_nearly_nothing(total, warmup):
    rates = [rate(step, total, warmup=warmup) for step in range(total)]
    assert all(0 <= r <= 1 for r in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rate(total, total, warmup=warmup) == 0
