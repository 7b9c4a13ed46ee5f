from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from swath.data import audit, build_index, cache, cached_pixels, default_cache, fix_index, near_duplicates
from swath.data.cache import cache_in
from swath.errors import DataError, OutputError, SettingError

from .makers import encoded, packed, picture, table_index, tree, write


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


def later(monkeypatch, seconds=10):
    """Let time pass for the cache alone: files just written count as settled."""
    now = time.time_ns
    monkeypatch.setattr(cache.time, "time_ns", lambda: now() + seconds * 10**9)


def test_decodes_once(index, tmp_path, monkeypatch):
    later(monkeypatch)
    first, again = [], []
    one = cached_pixels(index, cache=tmp_path / "c", progress=stages(first))
    monkeypatch.setattr(cache, "decode_patch", lambda *a, **k: pytest.fail("decoded a second time"))
    two = cached_pixels(index, cache=tmp_path / "c", progress=stages(again))
    assert "decode" in first
    assert again == []
    assert isinstance(two, np.memmap)
    assert not two.flags.writeable
    assert np.array_equal(one, two)


FIRST_RUN = """
import os, sys
from pathlib import Path
from swath.data import build_index, cached_pixels

source, folder = map(Path, sys.argv[1:])

def progress(stage, done, total, note=""):
    if stage == "decode" and done:  # it holds the file now, and has decoded some of the patches
        print("holds it", flush=True)
        sys.stdin.readline()

cached_pixels(build_index(source), cache=folder, progress=progress)
print("is done", flush=True)
"""


@pytest.mark.parametrize("killed", [False, True])
def test_a_second_run_waits_for_the_one_that_decodes(index, tmp_path, monkeypatch, killed):
    folder = tmp_path / "c"
    decoded, waited = [], []
    decode = cache.decode_patch
    monkeypatch.setattr(cache, "decode_patch", lambda data, path: decoded.append(path) or decode(data, path))
    command = [sys.executable, "-c", FIRST_RUN, str(index.root), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "holds it\n"

        def progress(stage, done, total, note=""):
            if stage == "wait" and not waited:
                assert note == "another run decodes these patches"
                first.kill() if killed else first.communicate("go on\n")
            waited.extend([done] if stage == "wait" else [])

        pixels = cached_pixels(index, cache=folder, progress=progress)
        first.kill()
    assert waited[0] < 9
    assert sorted(decoded) == (sorted(index.paths) if killed else [])
    for row, path in enumerate(index.paths):
        assert np.array_equal(pixels[row].transpose(1, 2, 0), np.asarray(Image.open(index.root / path)))
    assert len(list((folder / "pixels").iterdir())) == 1


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


@pytest.fixture(params=["folder", "zip", "list"])
def source(request, tmp_path):
    """An index from a folder, a zip or a CSV, and how to put other bytes in the place of a file (None: remove it)."""
    root = tree(tmp_path / "in")
    if request.param == "zip":
        members = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}

        def put(name, data):
            members[name] = data
            packed(tmp_path / "in.zip", {name: data for name, data in members.items() if data is not None})

        packed(tmp_path / "in.zip", members)
        return build_index(tmp_path / "in.zip"), put
    if request.param == "list":
        rows = [f"{p.relative_to(root).as_posix()},{p.parent.name}" for p in root.rglob("*.png")]
        write(root / "list.csv", "\n".join(["path,label", *rows]).encode())

    def put(name, data):
        (root / name).unlink() if data is None else write(root / name, data)

    return build_index(root / "list.csv" if request.param == "list" else root), put


@pytest.mark.parametrize("state", ["cold", "warm", "warm for one part"])
def test_changed_and_deleted_files_are_told_whatever_the_cache_holds(source, state, tmp_path, monkeypatch):
    later(monkeypatch)
    index, put = source
    if state == "warm":
        cached_pixels(index, cache=tmp_path / "c")
    elif state == "warm for one part":
        cached_pixels(index.take(range(5)), cache=tmp_path / "c")
    put("Town/Town_1.png", encoded(picture(99)))
    put("Water/Water_0.png", encoded(picture(98)))
    put("Field/Field_2.png", None)
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            cached_pixels(index, cache=tmp_path / "c")
        assert caught.value.problem == (
            "3 files are no longer as index 'in' says: 2 changed (Town/Town_1.png, Water/Water_0.png) "
            "and 1 gone (Field/Field_2.png)"
        ).replace("'in'", f"'{index.name}'")
        assert "swath data index SOURCE --out INDEX --overwrite" in caught.value.fix
    assert not list((tmp_path / "c" / "pixels").glob(".*"))  # nothing half-written


def test_files_put_back_are_used_again(source, tmp_path, monkeypatch):
    later(monkeypatch)
    index, put = source
    before = np.array(cached_pixels(index, cache=tmp_path / "c"))
    old = encoded(picture(1001))
    put("Town/Town_1.png", encoded(picture(99)))
    with pytest.raises(DataError, match="1 file is no longer"):
        cached_pixels(index, cache=tmp_path / "c")
    put("Town/Town_1.png", old)
    assert np.array_equal(cached_pixels(index, cache=tmp_path / "c"), before)


def test_another_content_of_the_same_size_and_time_is_told(tmp_path, monkeypatch):
    later(monkeypatch)
    for label in "AB":
        for n in range(3):
            write(tmp_path / "in" / label / f"{n}.tif", encoded(picture(ord(label) + n), "TIFF"))
    index = build_index(tmp_path / "in")
    cached_pixels(index, cache=tmp_path / "c")
    file = tmp_path / "in" / "A" / "0.tif"
    status = file.stat()
    other = (tmp_path / "in" / "B" / "0.tif").read_bytes()
    assert len(other) == status.st_size
    file.write_bytes(other)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DataError, match=r"1 changed \(A/0\.tif\)"):
        cached_pixels(index, cache=tmp_path / "c")


def test_a_file_written_again_within_the_clock_tick_is_told(index, tmp_path, monkeypatch):
    cached_pixels(index, cache=tmp_path / "c")  # right after the files were written: no time is believed
    status = (index.root / "Town" / "Town_1.png").stat()
    same = cache._stamp(str(index.root / "Town" / "Town_1.png"))
    write(index.root / "Town" / "Town_1.png", encoded(picture(99)))
    monkeypatch.setattr(cache, "_stamp", lambda path: same)  # as if neither size nor time had moved
    assert status.st_size
    with pytest.raises(DataError, match=r"changed \(Town/Town_1\.png\)"):
        cached_pixels(index, cache=tmp_path / "c")


def test_a_touched_file_is_read_once_and_is_no_error(source, tmp_path, monkeypatch):
    later(monkeypatch)
    index, _ = source
    cached_pixels(index, cache=tmp_path / "c")
    for file in (index.root,) if index.root.is_file() else index.root.rglob("*.png"):
        os.utime(file)
    first, again = [], []
    cached_pixels(index, cache=tmp_path / "c", progress=stages(first))
    cached_pixels(index, cache=tmp_path / "c", progress=stages(again))
    assert set(first) == {"check"}
    assert again == []


def test_another_copy_of_the_files_is_checked_on_its_own(index, tmp_path, monkeypatch):
    later(monkeypatch)
    cached_pixels(index, cache=tmp_path / "c")
    copy = build_index(tree(tmp_path / "copy"))
    (copy.root / "Town" / "Town_1.png").unlink()  # the same contents are in the cache
    with pytest.raises(DataError, match=r"1 gone \(Town/Town_1\.png\)"):
        cached_pixels(copy, cache=tmp_path / "c")


def test_a_cache_that_can_only_be_read_still_serves(index, tmp_path, monkeypatch):
    before = np.array(cached_pixels(index, cache=tmp_path / "c"))
    monkeypatch.setattr(cache, "atomic_file", lambda *a, **k: (_ for _ in ()).throw(OutputError("read-only")))
    assert np.array_equal(cached_pixels(index, cache=tmp_path / "c"), before)


@pytest.mark.slow
def test_looking_at_twenty_thousand_files_is_cheap(tmp_path, monkeypatch):
    later(monkeypatch)
    for n in range(20_000):
        write(tmp_path / "in" / f"{n % 40:02}" / f"{n}.npy", b"x" * 10)
    paths = sorted(path.relative_to(tmp_path / "in").as_posix() for path in (tmp_path / "in").rglob("*.npy"))
    made = table_index(["a"] * len(paths), root=tmp_path / "in").with_columns({"path": paths})
    cache._note(made, cache._stamps(made), tmp_path / "c", cache.time.time_ns())
    start = time.process_time()
    stamps = cache._stamps(made)
    known = cache._noted(made, tmp_path / "c")
    taken = time.process_time() - start
    assert [known[path][1] for path in paths] == stamps
    assert taken < 1


def test_patches_of_several_sizes_need_a_size(index, tmp_path):
    write(index.root / "Town" / "big.png", encoded(picture(5, size=32)))
    mixed = build_index(index.root)
    with pytest.raises(DataError, match=r"not all squares of one size: 16 x 16 \(9\), 32 x 32 \(1\)") as caught:
        cached_pixels(mixed, cache=tmp_path / "c")
    assert "--set size=" in caught.value.fix
    assert "swath data fix INDEX" in caught.value.fix
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


def raster(path, bands, *, seed=0, dtype="uint16", names=None, side=16):
    """A GeoTIFF of random numbers, its bands without names or with `names`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(1, 200, (bands, side, side)).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no georeference
        with rasterio.open(path, "w", "GTiff", side, side, bands, dtype=dtype) as file:
            file.write(pixels)
            for number, name in enumerate(names or (), start=1):
                file.set_band_description(number, name)
    return pixels


def rasters(root, kinds, **options):
    """Six patches of two classes, whose numbers of bands are `kinds` in turn."""
    for n in range(6):
        raster(root / "AB"[n % 2] / f"{n}.tif", kinds[n % len(kinds)], seed=n, **options)
    return build_index(root)


@pytest.mark.parametrize("bands", [("band_1", "band_2", "band_3"), ("red", "green", "blue"), ("band_1",)])
@pytest.mark.parametrize("kinds", [(3, 13, 13), (13, 3, 3), (4, 5, 5)])
def test_files_of_different_numbers_of_unnamed_bands_are_refused(kinds, bands, tmp_path):
    index = rasters(tmp_path / "in", kinds)
    with pytest.raises(DataError, match="differ in their bands, which have no names") as caught:
        cached_pixels(index, bands=bands, cache=tmp_path / "c")
    assert f"has {min(kinds)}" in caught.value.problem
    assert f"has {max(kinds)}" in caught.value.problem
    assert "index them apart" in caught.value.fix
    for run in (audit, near_duplicates, lambda index: fix_index(index, tmp_path / "out")):
        with pytest.raises(DataError, match="differ in their bands"):
            run(index)


def test_unnamed_bands_are_taken_by_number(tmp_path):
    index = rasters(tmp_path / "in", [13])
    pixels = cached_pixels(index, bands=("band_4", "band_3", "band_2"), of=13, cache=tmp_path / "c")
    with rasterio.open(index.root / index.paths[0]) as file:
        assert np.array_equal(pixels[0], file.read([4, 3, 2]))
    three = rasters(tmp_path / "three", [3])
    turned = cached_pixels(three, bands=("band_3", "band_2", "band_1"), cache=tmp_path / "c")
    assert np.array_equal(turned[:, ::-1], cached_pixels(three, bands=("red", "green", "blue"), cache=tmp_path / "c"))
    with pytest.raises(DataError, match=r"have 3 bands without names, .* in files of 13"):
        cached_pixels(three, bands=("band_3", "band_2", "band_1"), of=13, cache=tmp_path / "c")


def test_named_bands_may_lie_in_files_of_several_kinds(tmp_path):
    for n in range(6):
        names = ("B02", "B03", "B04", "B08")[: 3 + n % 2]
        raster(tmp_path / "in" / "AB"[n % 2] / f"{n}.tif", len(names), names=names, seed=n)
    assert cached_pixels(build_index(tmp_path / "in"), cache=tmp_path / "c").shape == (6, 3, 16, 16)


def test_a_missing_band_names_the_file(tmp_path):
    index = rasters(tmp_path / "in", [13])
    with pytest.raises(DataError, match=r"A/0\.tif: bands band_1 to band_13 hold neither gray nor red"):
        cached_pixels(index, cache=tmp_path / "c")


def test_the_cache_lies_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SWATH_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert default_cache() == tmp_path / ".cache" / "swath"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # such a value is to be ignored
    assert default_cache() == tmp_path / ".cache" / "swath"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "xdg" / "swath"
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path / "own"))
    assert default_cache() == tmp_path / "own"


def test_a_block_may_cache_elsewhere(tmp_path: Path) -> None:
    before = default_cache()
    with cache_in(tmp_path / "private"):
        assert default_cache() == tmp_path / "private"
    assert default_cache() == before
    with pytest.raises(ValueError, match="no"), cache_in(tmp_path / "private"):
        raise ValueError("no")
    assert default_cache() == before
