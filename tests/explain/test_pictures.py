from __future__ import annotations

import csv
import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from swath.errors import DataError, OutputError, SettingError, SwathError
from swath.explain import Evidence, evidence_key, evidence_tiles, explain_images, overlay_picture
from swath.explain.pictures import PANEL, overlay, panels, picture_name, scale_limit
from swath.inference import Classifier, load
from swath.pages.html import Image as Tile
from tests.drawings import Drawing, outside
from tests.evaluation.cases import HOSTILE
from tests.tiny import patch, write_tiny_model

from .models import tiny_classifier

RGB = ("red", "green", "blue")


def evidence(maps: np.ndarray, *, name: str = "Forest") -> Evidence:
    n = len(maps)
    return Evidence(maps.astype(np.float32), (name,) * n, (name,) * n, np.full(n, 0.9, np.float32))


def size_of(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as picture:
        return picture.size


def pixels_of(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def test_red_is_for_blue_is_against_and_zero_is_clear():
    land = np.full((8, 24, 3), 128, np.uint8)
    shown = overlay(land, np.array([[-1, 0, 1]], np.float32), limit=1.0).astype(int)
    against, nothing, favor = shown[4, 1], shown[4, 12], shown[4, 18]
    assert favor[0] > favor[2] + 60
    assert against[2] > against[0] + 60
    assert nothing.tolist() == [128, 128, 128]


def test_scale_is_symmetric_and_survives_a_map_of_zeros():
    assert scale_limit(np.array([[-3.0, 1.0]])) == 3
    assert scale_limit(np.zeros((1, 2, 2))) > 0


def test_high_places_of_the_picture_turn_red():
    maps = np.zeros((1, 2, 2))
    maps[0, 0, 1] = 5
    gray = np.full((3, 64, 64), 128, np.uint8)
    picture = pixels_of(overlay_picture(gray, evidence(maps), bands=RGB, name="a.jpg"))
    # Leave out the color bar on the right: other red is the map, in its upper right part.
    body = picture[:, : int(picture.shape[1] * 0.85)]
    rows, columns = np.nonzero((body[..., 0] - body[..., 2] > 60) & (body[..., 0] - body[..., 1] > 60))
    assert len(rows) > 500
    assert rows.mean() < body.shape[0] * 0.5
    assert columns.mean() > body.shape[1] * 0.7


@pytest.mark.parametrize("shape", [(1500, 2200), (40, 900), (900, 40), (1, 1)])
def test_pictures_of_any_shape_are_drawn(shape):
    pixels = np.zeros((3, *shape), np.uint8)
    picture = overlay_picture(pixels, evidence(np.ones((1, 3, 3))), bands=RGB, name="x" * 300)
    assert max(size_of(picture)) < 7000


def test_names_are_never_formulas():
    pixels = np.zeros((3, 8, 8), np.uint8)
    odd = r"$\frac{ cost $$"
    maps = evidence(np.ones((1, 2, 2)), name=odd)
    assert min(size_of(overlay_picture(pixels, maps, bands=RGB, name=odd))) > 100


def panel_of(tile: Tile, place: int) -> np.ndarray:
    """One of the square panels of a tile."""
    picture = pixels_of(tile.source)
    return picture[:, place * (PANEL + 4) : place * (PANEL + 4) + PANEL]


def test_tiles_name_answer_truth_scale_and_verdict():
    maps = evidence(np.array([[[0.0, 5.0], [0.0, 0.0]], [[0.0, 0.05], [0.0, 0.0]]]))
    gray = np.full((2, 3, 16, 16), 128, np.uint8)
    tiles = evidence_tiles(gray, maps, bands=RGB, truth=["Forest", HOSTILE])
    assert tiles[0].caption == "Forest, 90.0 %. Map of Forest, ±5."
    assert tiles[1].caption == f"Forest, 90.0 %; truth: {HOSTILE}. Map of Forest, ±0.05."


def test_a_faint_map_is_as_readable_as_a_strong_one():
    maps = np.zeros((2, 2, 2))
    maps[0, 0, 1], maps[1, 0, 1] = 100, 0.1
    tiles = evidence_tiles(np.full((2, 3, 32, 32), 128, np.uint8), evidence(maps), bands=RGB)
    red = [int((panel[..., 0] - panel[..., 2] > 60).sum()) for panel in (panel_of(tile, 1) for tile in tiles)]
    assert red[0] == pytest.approx(red[1], rel=0.02)
    assert red[0] > 1000


def test_the_patch_stays_visible_where_there_is_little_evidence():
    land = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    maps = np.full((4, 4), 0.2, np.float32)
    maps[1, 1] = 1.0
    shown = overlay(land, maps, limit=1.0)
    far = np.s_[80:, 80:]
    np.testing.assert_array_equal(shown[far], land[far])
    assert np.abs(shown.astype(int) - land).max(axis=2)[32:64, 32:64].mean() > 40
    # Even at its strongest the land is seen through the color.
    center = shown[44:52, 44:52].astype(float).ravel()
    assert np.corrcoef(center, land[44:52, 44:52].astype(float).ravel())[0, 1] > 0.3


def test_a_line_encloses_the_tenth_with_most_evidence():
    ramp = np.tile(np.linspace(0.3, 1, 64, dtype=np.float32), (64, 1))
    land = np.full((64, 64, 3), 128, np.uint8)
    shown = overlay(land, ramp, limit=1.0)
    dark, light = (shown == 0).all(axis=2), (shown == 255).all(axis=2)
    assert dark.any(axis=1).all()
    assert light.any(axis=1).all()
    assert 55 <= np.flatnonzero(dark[32])[0] <= 60  # a tenth of 64 columns lies to the right
    nothing_for = overlay(land, -ramp, limit=1.0)
    assert not (nothing_for == 255).all(axis=2).any()


def test_maps_in_a_row_share_one_scale():
    strong, faint = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    strong[0, 0], faint[0, 0] = 10, 1
    gray = np.full((3, 16, 16), 128, np.uint8)
    row = pixels_of(panels(gray, bands=RGB, maps=[strong, faint]))
    first, second = row[4:30, PANEL + 8 : PANEL + 34], row[4:30, 2 * PANEL + 12 : 2 * PANEL + 38]
    assert (first[..., 0] - first[..., 2]).mean() > 60
    assert abs((second[..., 0] - second[..., 2]).mean()) < 12


def test_the_key_has_the_colors_of_the_maps():
    drawing = Drawing(evidence_key().wide)
    fills = [cell["fill"] for cell in drawing.all("rect")]
    strongest = [int(fills[-1][k : k + 2], 16) for k in (1, 3, 5)]
    most = np.zeros((2, 2), np.float32) + 1
    shown = overlay(np.full((8, 8, 3), 138, np.uint8), most, limit=1.0)[4, 4]
    assert np.abs(np.array(strongest) - shown).max() < 12
    assert fills[len(fills) // 2] == "#8a8a8a"  # no evidence: the land as it is
    assert outside(drawing) == []


def test_a_map_of_zeros_covers_nothing():
    pixels = np.full((3, 16, 16), 128, np.uint8)
    row = pixels_of(panels(pixels, bands=RGB, maps=[np.zeros((2, 2), np.float32)]))
    assert row.shape == (PANEL, 2 * PANEL + 4, 3)
    assert np.abs(row[:, PANEL + 8 :] - 128).max() < 8


@pytest.fixture(scope="module")
def classifier(tiny_model) -> Classifier:
    return load(tiny_model, threads=1)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "in"
    for name, label, size in (("a/one", "Forest", 64), ("b/one", "River", 96), ("b/two", "SeaLake", 40)):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(patch(label, seed=0, size=size)).save(path)
    return folder


def test_one_picture_an_image_and_a_table_of_all(classifier, tmp_path, pictures):
    seen = []
    rows = explain_images(classifier, [pictures], tmp_path / "out", progress=lambda *a, **k: seen.append(a))
    written = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert written == ["explain.csv", "one-2.cam.png", "one.cam.png", "two.cam.png"]
    with (tmp_path / "out" / "explain.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [r["picture"] for r in table] == ["one.cam.png", "one-2.cam.png", "two.cam.png"]
    assert [r["label"] for r in table] == [r.label for r in rows]
    assert all(r["explained"] == r["label"] for r in table)
    assert [r["label"] for r in table] == ["Forest", "River", "SeaLake"]
    assert all(1 / 4 < float(r["confidence"]) <= 1 for r in table)
    assert seen == [("explain", 1, 3), ("explain", 2, 3), ("explain", 3, 3)]


def test_a_class_can_be_asked_for_and_zips_are_walked(classifier, tmp_path, pictures):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(pictures / "a/one.png", "one.png")
    rows = explain_images(classifier, [tmp_path / "in.zip"], tmp_path / "out", class_name="River")
    assert [(row.label, row.explained) for row in rows] == [("Forest", "River")]


def test_an_unknown_class_stops_before_anything_is_written(classifier, tmp_path, pictures):
    with pytest.raises(SettingError, match="did you mean River"):
        explain_images(classifier, [pictures], tmp_path / "out", class_name="Rivers")
    assert not (tmp_path / "out").exists()


def test_a_broken_image_leaves_nothing_behind(classifier, tmp_path, pictures):
    (pictures / "b" / "zzz.png").write_bytes(b"\x89PNG\r\n\x1a\n not an image")
    with pytest.raises(SwathError, match=r"zzz\.png"):
        explain_images(classifier, [pictures], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_an_existing_folder_is_kept_unless_told(classifier, tmp_path, pictures):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(OutputError):
        explain_images(classifier, [pictures], out)
    assert (out / "mine.txt").exists()
    explain_images(classifier, [pictures], out, overwrite=True)
    assert (out / "explain.csv").exists()


def test_a_folder_that_holds_the_model_is_never_replaced(tmp_path, pictures):
    model = write_tiny_model(tmp_path / "run" / "model.onnx")
    with pytest.raises(OutputError, match=r"not replaced, because it holds .*model\.onnx"):
        explain_images(load(model, threads=1), [pictures], tmp_path / "run", overwrite=True)
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("lacks", ["head", "activations"])
def test_a_model_without_maps_leaves_nothing_behind(tmp_path, pictures, lacks):
    with pytest.raises(SwathError, match="'tiny' has no class activation maps"):
        explain_images(tiny_classifier(lacks=lacks), [pictures], tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def test_16_bit_images_are_refused_for_an_8_bit_model(classifier, tmp_path):
    Image.fromarray(np.full((64, 64), 900, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png is uint16, model 'tiny' takes uint8"):
        explain_images(classifier, [tmp_path / "deep.png"], tmp_path / "out")


def test_a_name_that_is_not_valid_text_is_kept_byte_by_byte(classifier, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        Image.fromarray(patch("Forest", seed=0)).save(path)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes valid names only")
    explain_images(classifier, [path], tmp_path / "out")
    assert b"caf\xe9.png," in (tmp_path / "out" / "explain.csv").read_bytes()


def test_a_folder_without_images_says_so(classifier, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="in holds no images"):
        explain_images(classifier, [tmp_path / "in"], tmp_path / "out")


def test_picture_names_are_safe_and_never_meet():
    taken: set[str] = set()
    names = [
        picture_name(n, taken) for n in ("x/a.png", "y/A.jpg", "a-2.png", "..", "z/..\\..\\evil name.tif", "é.png")
    ]
    assert names == ["a.cam.png", "A-2.cam.png", "a-2-2.cam.png", "image.cam.png", "evil_name.cam.png", "é.cam.png"]
    assert len({n.lower() for n in names}) == len(names)
    assert len(picture_name("q" * 500 + ".png", taken)) < 130


def test_a_long_name_in_another_script_is_cut_where_the_file_system_counts(classifier, tmp_path):
    image = tmp_path / f"{'永' * 80}.png"
    Image.fromarray(patch("Forest", seed=0)).save(image)
    (row,) = explain_images(classifier, [image], tmp_path / "out")
    assert row.picture == f"{'永' * 33}.cam.png"
    assert (tmp_path / "out" / row.picture).exists()


def test_a_flat_answer_is_still_drawn(classifier, tmp_path):
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "black.png")
    rows = explain_images(classifier, [tmp_path / "black.png"], tmp_path / "out")
    assert (tmp_path / "out" / rows[0].picture).stat().st_size > 0
