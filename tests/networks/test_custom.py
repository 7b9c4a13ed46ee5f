from __future__ import annotations

import pytest
import torch
from torch import nn

from swath.errors import SettingError
from swath.networks import custom_network


def convolutional(outputs: int = 4, *, bias: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, outputs, bias=bias)
    )


class Nested(nn.Module):
    """Its last linear layer does not give the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = convolutional(5)
        self.last = nn.PReLU()
        self.body.append(nn.LayerNorm(5))

    def forward(self, x):
        return self.last(self.body(x))


def take(module, *, outputs=4, crop=None, needs_bias=False):
    return custom_network(module, bands=3, size=16, crop=crop, outputs=outputs, needs_bias=needs_bias)


def test_features_are_the_input_of_the_last_linear_layer():
    module = convolutional()
    network = take(module, needs_bias=True).eval()
    x = torch.randn(2, 3, 16, 16)
    logits, features, activations = network(x)
    torch.testing.assert_close(logits, module(x))
    torch.testing.assert_close(module[-1](features), logits)
    assert features.shape == (2, 8)
    assert activations is None
    assert network.bias[0] is module[-1].bias
    assert not module[-1]._forward_pre_hooks


def test_a_module_that_ends_otherwise_gives_the_input_of_its_last_linear_layer_or_its_logits():
    logits, features, _ = take(Nested(), outputs=5)(torch.randn(2, 3, 16, 16))
    assert (logits.shape, features.shape) == ((2, 5), (2, 8))
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    logits, features, _ = take(plain)(torch.randn(2, 3, 16, 16))
    torch.testing.assert_close(logits, features)


def test_a_module_that_views_its_input_as_rows_is_fed_rows():
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3 * 256, 4)

        def forward(self, x):
            return self.linear(x.view(len(x), -1))

    patches = torch.randn(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    assert take(Views())(patches).logits.shape == (2, 4)


def test_the_trial_leaves_the_random_numbers_and_the_norms_alone():
    module = nn.Sequential(nn.BatchNorm2d(3), convolutional())
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    network = take(module)
    assert torch.equal(torch.rand(2), wanted)
    assert torch.equal(module[0].running_mean, torch.zeros(3))
    assert network.training


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        ("resnet18", {}, r"takes a torch.nn.Module, and a str is none; give an instance"),
        (convolutional(5), {}, r"to \[4, 5\]; return logits \[N, 4\]"),
        (nn.Sequential(convolutional(), nn.Softmax(1)), {}, "returns probabilities; leave out its softmax"),
        (nn.Linear(3, 4), {}, "does not take patches of 16 px .*; set another size, or change the module"),
        (nn.Sequential(nn.Flatten(), nn.Linear(768, 4)), {"crop": 8}, "of 8 px .*; leave out crops"),
        (nn.LSTM(16, 4), {}, "LSTM does not take patches|returns a tuple"),
        (convolutional(1, bias=False), {"outputs": 1, "needs_bias": True}, r"end it in torch.nn.Linear\(..., 1"),
    ],
)
def test_what_does_not_fit_is_one_sentence(module, options, message):
    with pytest.raises(SettingError, match=message):
        take(module, **options)
