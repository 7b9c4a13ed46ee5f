"""Patches as a torch ``Dataset``.

The one file of this room that needs torch: :meth:`swath.data.PatchIndex.to_torch` imports it when it is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from swath.data.archives import PatchReader, open_patches
from swath.imagery import decode, resize, select_bands


class PatchDataset(Dataset[tuple[Any, Any]]):
    """Patches decoded one at a time; see :meth:`swath.data.PatchIndex.to_torch`.

    Parameters
    ----------
    root : Path
        Folder or zip archive.
    files : sequence of (str, str)
        Path and SHA-256 of each of N patches.
    targets : numpy.ndarray
        int64 ``[N]``, or float32 ``[N, K]``.
    transform, bands, size
        As for :meth:`swath.data.PatchIndex.to_torch`.
    """

    def __init__(
        self,
        root: Path,
        files: Sequence[tuple[str, str]],
        targets: npt.NDArray[Any],
        *,
        transform: Callable[[Any], Any] | None,
        bands: Sequence[str],
        size: int | None,
    ) -> None:
        self.root, self.files, self.targets = root, files, targets
        self.transform, self.bands, self.size = transform, bands, size
        self._reader: PatchReader | None = None
        self._process = 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        if self._reader is None or self._process != os.getpid():
            # Processes that share an open archive would move each other's place in it.
            self.close()
            self._reader, self._process = open_patches(self.root), os.getpid()
        path, sha256 = self.files[row]
        pixels = select_bands(decode(self._reader.read_unchanged(path, sha256), name=path), self.bands)
        tensor = torch.from_numpy(np.array(pixels if self.size is None else resize(pixels, self.size)))
        target = self.targets[row]
        return (
            tensor if self.transform is None else self.transform(tensor),
            int(target) if target.ndim == 0 else torch.from_numpy(target.copy()),
        )

    def close(self) -> None:
        """Close the folder or archive; the next item opens it again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}
