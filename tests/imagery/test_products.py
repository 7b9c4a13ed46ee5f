"""What is taken for a product."""

from __future__ import annotations

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery.products import find_files
from tests.imagery.test_stores import archive


@pytest.mark.parametrize("scene", ["scene.tif", "/vsizip/a.zip/b.tif", np.zeros((3, 8, 8)), "no-such-folder"])
def test_what_is_no_folder_and_no_archive_is_one_raster(scene):
    assert find_files(scene) is None


def test_a_folder_or_archive_without_a_product_says_what_is_taken(tmp_path):
    with pytest.raises(DataError, match=r"no product that swath knows.*; give a \.SAFE folder"):
        find_files(tmp_path)
    with pytest.raises(DataError, match="no product that swath knows"):
        find_files(archive(tmp_path / "p.zip", a=b""))
