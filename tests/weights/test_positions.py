"""Positions for other grids."""

from __future__ import annotations

import torch
from torch import nn

from swath.weights.positions import refit_positions


class Tokens(nn.Module):
    num_prefix_tokens = 1


def test_constant_positions_stay_constant():
    given = torch.full((1, 1 + 14 * 14, 8), 0.25)
    placed = refit_positions("pos_embed", given, torch.empty(1, 1 + 16, 8), Tokens())
    assert placed.shape == (1, 17, 8)
    torch.testing.assert_close(placed, torch.full((1, 17, 8), 0.25))


def test_biases_of_a_smaller_window_are_those_of_the_same_distances():
    steps = torch.arange(13) - 6
    table = torch.stack(torch.broadcast_tensors(steps[:, None], steps[None, :]), -1).reshape(169, 2).float()
    placed = refit_positions("x.relative_position_bias_table", table, torch.empty(49, 2), nn.Module())
    near = torch.arange(7) - 3
    expected = torch.stack(torch.broadcast_tensors(near[:, None], near[None, :]), -1).reshape(49, 2).float()
    assert torch.equal(placed, expected)


def test_a_larger_window_is_not_made_up():
    given, goal = torch.ones(49, 2), torch.empty(169, 2)
    assert refit_positions("x.relative_position_bias_table", given, goal, nn.Module()) is None


def test_what_is_no_square_is_left_alone():
    goal = torch.empty(1, 17, 8)
    for wrong in (torch.ones(1, 12, 8), torch.ones(1, 17, 9), torch.ones(17, 8), torch.ones(1, 17, 8).long()):
        assert refit_positions("pos_embed", wrong, goal, Tokens()) is None
    assert refit_positions("weight", torch.ones(1, 197, 8), goal, Tokens()) is None
    assert (
        refit_positions("a.relative_position_bias_table", torch.ones(168, 1), torch.empty(49, 1), Tokens())
        is None
    )
