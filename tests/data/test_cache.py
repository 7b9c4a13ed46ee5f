from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from swath.data import build_index, cache, cached_pixels, default_cache
from swath.errors import DataError, OutputError, SettingError

from .makers import encoded, picture, tree, write


@pytest.fixture
def index(tmp_path):
    return build_index(tree(tmp_path / "in"))


def stages(seen):
    return lambda stage, done, total, note="": seen.append(stage)


def test_pixels_are_those_of_the_files_in_row_order(index, tmp_path):
    pixels = cached_pixels(index, cache=tmp_path / "c")
    assert pixels.shape == (9, 3, 16, 16)
    assert pixels.dtype == np.uint8
    for row, path in enumerate(index.paths):
        assert np.array_equal(pixels[row].transpose(1, 2, 0), np.asarray(Image.open(index.root / path)))


def test_decodes_once(index, tmp_path, monkeypatch):
    first, again = [], []
    one = cached_pixels(index, cache=tmp_path / "c", progress=stages(first))
    monkeypatch.setattr(cache, "decode_patch", lambda *a, **k: pytest.fail("decoded a second time"))
    two = cached_pixels(index, cache=tmp_path / "c", progress=stages(again))
    assert "decode" in first
    assert again == []
    assert isinstance(two, np.memmap)
    assert not two.flags.writeable
    assert np.array_equal(one, two)


def test_bands_size_and_content_each_have_their_own_file(index, tmp_path):
    where = tmp_path / "c"
    gray = build_index(tree(tmp_path / "other", each=4))
    shapes = [
        cached_pixels(index, cache=where).shape,
        cached_pixels(index, bands=("green",), cache=where).shape,
        cached_pixels(index, size=8, cache=where).shape,
        cached_pixels(gray, cache=where).shape,
    ]
    assert shapes == [(9, 3, 16, 16), (9, 1, 16, 16), (9, 3, 8, 8), (12, 3, 16, 16)]
    assert len(list((where / "pixels").glob("*.npy"))) == 4
    assert np.array_equal(
        cached_pixels(index, bands=("blue", "red"), cache=where), cached_pixels(index, cache=where)[:, [2, 0]]
    )


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"", lambda d: b"junk" + d, lambda d: d[:-1]])
def test_a_damaged_cache_is_made_again(index, tmp_path, damage):
    whole = np.array(cached_pixels(index, cache=tmp_path / "c"))
    (file,) = (tmp_path / "c" / "pixels").glob("*.npy")
    file.write_bytes(damage(file.read_bytes()))
    assert np.array_equal(cached_pixels(index, cache=tmp_path / "c"), whole)


def test_a_changed_file_is_noticed_and_leaves_no_half_cache(index, tmp_path):
    write(index.root / "Town" / "Town_1.png", encoded(picture(99)))
    with pytest.raises(DataError, match=r"Town/Town_1\.png has changed since it was indexed"):
        cached_pixels(index, cache=tmp_path / "c")
    assert list((tmp_path / "c").rglob("*.npy")) == []


def test_a_file_that_is_gone_is_named(index, tmp_path):
    (index.root / "Town" / "Town_1.png").unlink()
    with pytest.raises(DataError, match=r"Town_1\.png"):
        cached_pixels(index, cache=tmp_path / "c")


def test_patches_of_several_sizes_need_a_size(index, tmp_path):
    write(index.root / "Town" / "big.png", encoded(picture(5, size=32)))
    mixed = build_index(index.root)
    with pytest.raises(DataError, match=r"not all squares of one size: 16 x 16 \(9\), 32 x 32 \(1\)") as caught:
        cached_pixels(mixed, cache=tmp_path / "c")
    assert "--size" in caught.value.fix
    assert cached_pixels(mixed, size=16, cache=tmp_path / "c").shape == (10, 3, 16, 16)


@pytest.mark.parametrize("size", [0, -1, 5000])
def test_sizes_out_of_range(index, size):
    with pytest.raises(SettingError, match="between 1 and 4096"):
        cached_pixels(index, size=size)


def test_8_and_16_bit_do_not_mix(index, tmp_path):
    deep = np.zeros((3, 16, 16), np.uint16)
    np.save(index.root / "Town" / "deep.npy", deep)
    with pytest.raises(DataError, match=r"Town/deep\.npy holds uint16, but .* holds uint8"):
        cached_pixels(build_index(index.root), cache=tmp_path / "c")


def test_a_cache_that_cannot_be_written_says_so(index, tmp_path):
    write(tmp_path / "c" / "pixels", b"a file in the way")
    with pytest.raises(OutputError):
        cached_pixels(index, cache=tmp_path / "c")


def test_a_disk_too_small_is_found_out_before_writing(index, tmp_path, monkeypatch):
    usage = cache.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(OutputError, match="no room") as caught:
        cached_pixels(index, cache=tmp_path / "c")
    assert "SWATH_CACHE" in caught.value.fix


def test_the_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
    monkeypatch.delenv("SWATH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache" / "swath"
