"""Networks: backbones that turn normalized patches into activations, and heads that turn those into logits.

Every network maps float ``[N, bands, P, P]`` to a :class:`Outputs` triple, so that training, the export check
and the exporter treat all of them alike. What is never pre-trained lies in modules named in ``new_modules``
(``("head",)`` as a rule); everything else is the backbone. Needs the ``train`` extra.
"""

from __future__ import annotations

from swath.networks.backbones import adapt_first_layer
from swath.networks.catalog import Network, build_network, network_names, smallest_patch, takes_one_size
from swath.networks.custom import CUSTOM, CustomNetwork, KerasNetwork, check_module, custom_network
from swath.networks.layers import CamLayer, NetworkFacts, cam_layer, describe_network, layer_maps
from swath.networks.scratch import Outputs, PatchNet, StripNet

__all__ = [
    "CUSTOM",
    "CamLayer",
    "CustomNetwork",
    "KerasNetwork",
    "Network",
    "NetworkFacts",
    "Outputs",
    "PatchNet",
    "StripNet",
    "adapt_first_layer",
    "build_network",
    "cam_layer",
    "check_module",
    "custom_network",
    "describe_network",
    "layer_maps",
    "network_names",
    "smallest_patch",
    "takes_one_size",
]
