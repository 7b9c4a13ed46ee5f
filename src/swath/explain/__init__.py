"""Why the model said so: maps of the evidence for a class, pictures of them, and checks that they are true.

Where a network ends in global average pooling and one linear layer, the evidence for a class splits
exactly over the places of the last activations: one matrix product, no gradient, no torch
(:func:`class_evidence`). For every other model file there is :func:`occlusion_evidence`.
:func:`explain_images` writes one picture an image, :func:`contact_sheet` draws many on one page, and
:func:`faithfulness` says of every map whether hiding what it marks costs more than hiding at random.
"""

from __future__ import annotations

from swath.explain.cam import Evidence, activation_maps, class_evidence, upsample
from swath.explain.faithful import Curves, Faithfulness, curves, faithfulness
from swath.explain.images import ExplainedImage, explain_images
from swath.explain.localize import composites, share_inside
from swath.explain.methods import METHODS, Explainer, explainer
from swath.explain.occlusion import occlusion_evidence
from swath.explain.overlay import contact_sheet, overlay_picture
from swath.explain.sanity import weight_randomization

__all__ = [
    "METHODS",
    "Curves",
    "Evidence",
    "ExplainedImage",
    "Explainer",
    "Faithfulness",
    "activation_maps",
    "class_evidence",
    "composites",
    "contact_sheet",
    "curves",
    "explain_images",
    "explainer",
    "faithfulness",
    "occlusion_evidence",
    "overlay_picture",
    "share_inside",
    "upsample",
    "weight_randomization",
]
