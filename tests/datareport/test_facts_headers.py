from __future__ import annotations

import pytest

from swath.data import build_index
from swath.datareport.facts import read_headers
from swath.errors import DataError
from tests.data.makers import encoded, picture, tree, write


def test_headers_come_in_index_order_and_stages_end(tmp_path):
    tree(tmp_path, each=4)
    write(tmp_path / "Water" / "big.jpg", encoded(picture(7, size=32), "JPEG"))
    index = build_index(tmp_path)
    seen = []
    found = read_headers(index, progress=lambda *a, **k: seen.append(a))
    assert [one.width for one in found] == index.table["width"].to_pylist()
    assert [one.kind for one in found].index("JPEG") == index.paths.index("Water/big.jpg")
    assert seen[-1] == ("headers", 13, 13)


def test_a_patch_that_is_gone_is_named(tmp_path):
    tree(tmp_path)
    index = build_index(tmp_path)
    (tmp_path / "Town" / "Town_1.png").unlink()
    with pytest.raises(DataError, match="Town_1"):
        read_headers(index)


def test_a_patch_that_was_replaced_is_named(tmp_path):
    tree(tmp_path)
    index = build_index(tmp_path)
    write(tmp_path / "Town" / "Town_1.png", encoded(picture(99)))
    with pytest.raises(DataError, match=r"Town_1\.png has changed since it was indexed"):
        read_headers(index)
