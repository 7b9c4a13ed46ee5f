from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from swath.errors import DataError
from swath.imagery import decode, select_bands

CLASSES = ("Forest", "River", "SeaLake")


class PooledColours:
    """A real, tiny classifier: block means of red, green, blue; global average pooling; linear; softmax."""

    def __init__(self, *, grid: int = 4, seed: int = 0, with_activations: bool = True) -> None:
        rng = np.random.default_rng(seed)
        self.grid = grid
        self.head = (
            rng.normal(size=(len(CLASSES), 3)).astype(np.float32) / 50,
            rng.normal(size=len(CLASSES)).astype(np.float32),
        )
        self.outputs = ("probabilities", "logits", "features", "activations")[: 4 if with_activations else 3]
        self.record = SimpleNamespace(
            name="pooled", class_names=CLASSES, input=SimpleNamespace(bands=("red", "green", "blue"), size=16)
        )
        self.batches: list[int] = []

    def run(self, pixels, *, batch=256, wanted=("probabilities",)):
        self.batches.append(len(pixels))
        n, c, height, width = pixels.shape
        g = self.grid
        blocks = pixels.reshape(n, c, g, height // g, g, width // g).mean(axis=(3, 5), dtype=np.float64)
        weight, bias = self.head
        logits = blocks.mean(axis=(2, 3)) @ weight.T.astype(np.float64) + bias
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = {
            "probabilities": scores / scores.sum(axis=1, keepdims=True),
            "logits": logits,
            "features": blocks.mean(axis=(2, 3)),
            "activations": blocks,
        }
        return {name: found[name].astype(np.float32) for name in wanted}

    def pixels_of(self, image, *, name):
        pixels = select_bands(decode(image, name=name), self.record.input.bands)
        if pixels.dtype != np.uint8:
            raise DataError(f"{name} is {pixels.dtype}, the model takes uint8")
        return pixels
