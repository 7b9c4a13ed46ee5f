"""Networks as after training, without training them."""

from __future__ import annotations

import torch
from torch import nn


def stir(network: nn.Module) -> nn.Module:
    """Draw norms and biases at random.

    Fresh ones hide mistakes: a norm that has seen nothing changes nothing, and timm's residual branches
    start at zero.
    """
    with torch.no_grad():
        for name, values in (*network.named_parameters(), *network.named_buffers()):
            if values.ndim == 1 and values.is_floating_point():
                if "bias" in name or "mean" in name:
                    values.normal_(0, 0.1)
                else:
                    values.uniform_(0.7, 1.3)
    return network.eval()
