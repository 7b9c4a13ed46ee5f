from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from swath.training.augment.sensor import jpeg
from tests.training.augment.patches import drawn


def test_it_is_the_codec_at_the_quality_of_each_patch():
    pixels = drawn(3, size=40)
    packed = jpeg(pixels, [95, 60, 10])
    for patch, seen, quality in zip(pixels, packed, (95, 60, 10), strict=True):
        stream = BytesIO()
        image = Image.fromarray(np.ascontiguousarray(patch.permute(1, 2, 0).numpy()))
        image.save(stream, "JPEG", quality=quality)
        assert np.array_equal(np.asarray(Image.open(stream)), seen.permute(1, 2, 0).numpy())
    lost = (packed.float() - pixels).abs().mean((1, 2, 3)).tolist()
    assert 0 < lost[0] < lost[1] < lost[2]


@pytest.mark.parametrize("bands", [1, 3])
def test_shape_and_type_stay_and_the_input_too(bands):
    pixels = drawn(2, size=17)[:, :bands]
    before = pixels.clone()
    packed = jpeg(pixels, [50, 50])
    assert packed.shape == pixels.shape
    assert packed.dtype == torch.uint8
    assert torch.equal(pixels, before)
    assert not torch.equal(packed, pixels)
