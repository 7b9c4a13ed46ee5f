"""Why a model predicts a class: maps of the evidence, pictures of them, and tests of whether they are faithful.

Where a network ends in global average pooling and one linear layer, the evidence for a class splits exactly over the
places of the last activations: one matrix product, no gradient, no torch (:func:`class_evidence`). For every other
model file there is :func:`occlusion_evidence`. :func:`explain_images` writes one picture per image file,
:func:`evidence_tiles` shows many on a page, and :func:`faithfulness` says of every map whether hiding what it
marks costs more than hiding at random.
"""

from __future__ import annotations

from swath.explain.evidence import (
    Evidence,
    Explainer,
    activation_maps,
    class_evidence,
    explainer,
    has_class_evidence,
    occlusion_evidence,
    upsample,
)
from swath.explain.faithful import Faithfulness, composites, faithfulness, share_inside, weight_randomization
from swath.explain.pictures import (
    evidence_key,
    evidence_tiles,
    explain_images,
    explanations,
    overlay_picture,
    write_explanations,
)

__all__ = [
    "Evidence",
    "Explainer",
    "Faithfulness",
    "activation_maps",
    "class_evidence",
    "composites",
    "evidence_key",
    "evidence_tiles",
    "explain_images",
    "explainer",
    "explanations",
    "faithfulness",
    "has_class_evidence",
    "occlusion_evidence",
    "overlay_picture",
    "share_inside",
    "upsample",
    "weight_randomization",
    "write_explanations",
]
