"""Augmentation: random changes to a batch of patches that keep their labels.

``augment`` and ``random_crop`` move pixels about, ``rand_augment`` turns, stretches and recolors them,
``sensor_shift`` makes them look as another sensor or atmosphere would, ``other_rendering`` as another product of
Sentinel-2; all five take and give patches as stored. ``random_gain`` and ``mix`` (MixUp, CutMix) come after
normalization. Every draw is from the generator given.
"""

from __future__ import annotations

from swath.training.augment.geometry import augment, random_crop, random_gain
from swath.training.augment.mixing import cutmix, mix, mixup, windows
from swath.training.augment.randaugment import rand_augment
from swath.training.augment.rendering import other_rendering
from swath.training.augment.sensor import sensor_shift

__all__ = [
    "augment",
    "cutmix",
    "mix",
    "mixup",
    "other_rendering",
    "rand_augment",
    "random_crop",
    "random_gain",
    "sensor_shift",
    "windows",
]
