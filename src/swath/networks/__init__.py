"""Networks: backbones that turn normalised patches into activations, and heads that turn those into logits.

Every network maps float ``[N, bands, P, P]`` to a :class:`Outputs` triple, so that training, the gate
and the exporter treat all of them alike. Needs the ``train`` extra.
"""

from __future__ import annotations

from swath.networks.scratch import Outputs, PatchNet
from swath.networks.strip import StripNet

NETWORKS: dict[str, type[PatchNet] | type[StripNet]] = {"patchnet": PatchNet, "stripnet": StripNet}

__all__ = ["NETWORKS", "Outputs", "PatchNet", "StripNet"]
