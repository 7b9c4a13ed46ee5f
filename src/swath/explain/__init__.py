"""Why the model said so: class activation maps, and pictures of them over the full input.

A swath network ends in global average pooling and one linear layer, so the evidence for a class splits
exactly over the places of the last activations: one matrix product, no gradient, no torch.
:func:`activation_maps` gives the numbers, :func:`explain_images` writes one picture an image, and
:func:`contact_sheet` draws many on one page.
"""

from __future__ import annotations

from swath.explain.cam import Evidence, activation_maps, class_evidence, upsample
from swath.explain.images import ExplainedImage, explain_images
from swath.explain.overlay import contact_sheet, overlay_picture

__all__ = [
    "Evidence",
    "ExplainedImage",
    "activation_maps",
    "class_evidence",
    "contact_sheet",
    "explain_images",
    "overlay_picture",
    "upsample",
]
