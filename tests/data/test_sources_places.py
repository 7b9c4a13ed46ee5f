"""GeoTIFF patches say where they lie; lists come first; what is doubtful is told."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.io import MemoryFile
from rasterio.warp import transform as transform_points

from swath.data import build_index, fix_index, read_index, resample_index, write_index
from swath.errors import DataError, SettingError
from swath.imagery.georeference import decode_footprint, encode_footprint

from .makers import packed, write

SIZE = 16


def tif(seed, *, crs="EPSG:32632", x=500_000.0, y=5_000_000.0, gsd=10.0, transform=None, gcps=None, size=SIZE):
    pixels = np.random.default_rng(seed).integers(0, 255, (3, size, size), np.uint8)
    transform = Affine(gsd, 0, x, 0, -gsd, y) if transform is None else transform
    profile = {"driver": "GTiff", "count": 3, "height": size, "width": size, "dtype": "uint8", "photometric": "rgb"}
    with MemoryFile() as memory:
        with memory.open(**profile, crs=crs, transform=transform) as dataset:
            dataset.write(pixels)
            if gcps:
                dataset.gcps = gcps
        return bytes(memory.read())


def members(n=3, **options):
    """Two classes, patches in a row that touch."""
    return {
        f"{label}/{k}.tif": tif(100 * row + k, x=500_000 + 160 * k, y=5_000_000 - 160 * row, **options)
        for row, label in enumerate("AB")
        for k in range(n)
    }


def folder(root, files):
    for name, data in files.items():
        write(root / name, data)
    return root


def csv_of(root, header, rows):
    return write(root / "list.csv", "\n".join([header, *rows]).encode())


def test_geotiff_patches_give_place_size_and_footprint_from_folder_and_zip(tmp_path):
    files = members()
    index = build_index(folder(tmp_path / "in", files))
    [lon], [lat] = transform_points("EPSG:32632", "EPSG:4326", [500_080], [4_999_920])
    row = next(iter(index))
    assert (row["path"], row["crs"], row["gsd"]) == ("A/0.tif", "EPSG:32632", 10.0)
    assert (row["lon"], row["lat"]) == pytest.approx((lon, lat), abs=1e-8)
    assert len(decode_footprint(row["footprint"])[0]) == 4
    assert (index.gsd, index.notes) == (10.0, ())
    zipped = build_index(packed(tmp_path / "in.zip", files))
    assert zipped.table.equals(index.table)


def test_an_index_with_footprints_is_a_layer_for_gis_programs(tmp_path):
    index = build_index(folder(tmp_path / "in", members()))
    write_index(index, tmp_path / "i.parquet")
    assert read_index(tmp_path / "i.parquet").table.equals(index.table)
    geo = json.loads(pq.read_schema(tmp_path / "i.parquet").metadata[b"geo"])
    assert geo["primary_column"] == "footprint"
    assert geo["columns"]["footprint"]["encoding"] == "WKB"
    plain = build_index(folder(tmp_path / "plain", members(crs=None, transform=Affine.identity())))
    write_index(plain, tmp_path / "p.parquet")
    assert b"geo" not in pq.read_schema(tmp_path / "p.parquet").metadata


def test_places_survive_every_way_through(tmp_path):
    index = build_index(folder(tmp_path / "in", members(n=4)))
    outlines = index.column("footprint")
    again = build_index(index.to_pandas(), root=index.root)
    assert again.table.equals(index.table)
    assert build_index(index.to_table(), root=index.root).table.equals(index.table)
    fix_index(index, tmp_path / "fixed")
    fixed = read_index(tmp_path / "fixed" / "index.parquet")
    assert fixed.paths[0].endswith(".png")
    assert (fixed.column("footprint"), fixed.column("crs")) == (outlines, index.column("crs"))
    assert build_index(fixed.to_table(), root=fixed.root).column("footprint") == outlines  # PNG have none of their own
    coarse = resample_index(index, tmp_path / "coarse", gsd=20)
    assert (coarse.column("footprint"), coarse.gsd) == (outlines, 20.0)


def test_a_csv_may_hold_footprints_as_text(tmp_path):
    ring = np.array([[1.0, 2.0], [1.1, 2.0], [1.1, 2.1]])
    wkb = encode_footprint([ring])
    root = folder(tmp_path, members(crs=None, transform=Affine.identity()))
    rows = [f"{name},{name[0]},{wkb.hex()}" for name in members()]
    index = build_index(csv_of(root, "path,label,footprint", rows))
    assert set(index.column("footprint")) == {wkb}
    bad = [*rows[:-1], f"B/2.tif,B,{wkb.hex()[:-8]}"]
    with pytest.raises(DataError, match=r"line 7: the footprint is not a WKB polygon"):
        build_index(csv_of(root, "path,label,footprint", bad))


def test_a_list_comes_before_the_file_and_a_contradiction_is_told(tmp_path):
    root = folder(tmp_path, members())
    own = {row["path"]: row for row in build_index(root)}
    rows = [f"{path},{row['label']},{row['lon'] + 5e-4},{row['lat']},30" for path, row in own.items()]
    index = build_index(csv_of(root, "path,label,lon,lat,gsd", rows))  # 40 m off: within the patch
    assert index.column("lon")[0] == pytest.approx(own["A/0.tif"]["lon"] + 5e-4)
    assert index.column("footprint") == [row["footprint"] for row in own.values()]
    assert index.column("gsd") == [30.0] * 6
    assert index.notes == (
        "6 patches have another gsd by the list than by the file itself, the first is A/0.tif, 30 and 10 m: the list "
        "was taken; leave its column gsd out to take the files",
    )
    rows[2] = f"A/2.tif,A,{own['A/2.tif']['lon'] + 1},{own['A/2.tif']['lat']},10"
    index = build_index(csv_of(root, "path,label,lon,lat,gsd", rows))
    assert "1 patch lies elsewhere by the list than by the file itself, the first is A/2.tif, 78" in index.notes[0]
    assert index.column("footprint")[2] is None
    assert index.column("lon")[2] == pytest.approx(own["A/2.tif"]["lon"] + 1)


def test_files_that_do_not_say_where_they_lie_are_told_and_nothing_is_made_up(tmp_path):
    files = members()
    gcps = [GroundControlPoint(0, 0, 10, 45), GroundControlPoint(16, 0, 10, 44), GroundControlPoint(0, 16, 11, 45)]
    files["A/0.tif"] = tif(7, crs=None, transform=Affine.identity(), gcps=(gcps, "EPSG:4326"))
    files["A/1.tif"] = tif(8, crs=None)
    files["A/2.tif"] = tif(9, transform=Affine.identity())
    files["B/0.tif"] = tif(10, crs=None, transform=Affine.identity())
    index = build_index(folder(tmp_path, files))
    assert [lon is None for lon in index.column("lon")] == [True] * 4 + [False] * 2
    assert len(index.notes) == 3
    assert (
        "1 file has ground control points and no transform, the first is A/0.tif: their place is not known"
        in index.notes
    )
    write_index(index, tmp_path / "i.parquet")
    assert read_index(tmp_path / "i.parquet").notes == index.notes


def test_group_by_takes_a_foreign_column_or_a_pattern(tmp_path):
    root = folder(tmp_path, members())
    rows = [f"{name},{name[0]},s{name[2]}" for name in members()]
    listed = csv_of(root, "path,label,scene", rows)
    assert "not used: scene" in build_index(listed).notes[0]
    by_scene = build_index(listed, group_by="scene")
    assert (by_scene.column("group"), by_scene.notes) == (["s0", "s1", "s2"] * 2, ())
    with pytest.raises(SettingError, match="none of the columns scene") as caught:
        build_index(listed, group_by="scenes")
    assert "parentheses" in caught.value.fix
    listed.unlink()
    assert build_index(root, group_by=r"/(\d+)\.").column("group") == ["0", "1", "2"] * 2
    partly = build_index(root, group_by=r"/([01])\.")
    assert partly.column("group") == ["0", "1", None] * 2
    assert "2 of 6 paths do not match" in partly.notes[0]
    with pytest.raises(SettingError, match="matches none"):
        build_index(root, group_by="(z+)")
    table = [{"path": name, "label": name[0], "place": name[2]} for name in members()]
    assert build_index(pa.Table.from_pylist(table), root=root, group_by="place").column("group") == ["0", "1", "2"] * 2
