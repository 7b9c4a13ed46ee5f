from __future__ import annotations

import csv
import io
import os
import zipfile
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from swath.errors import DataError, OutputError, SettingError, SwathError
from swath.explain import Evidence, contact_sheet, explain_images, overlay_picture
from swath.explain.pictures import overlay_colors, picture_name, scale_limit
from swath.inference import Classifier, load
from swath.pages.figures import to_png
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
    colors = overlay_colors()
    against, nothing, favor = colors(0.0), colors(0.5), colors(1.0)
    assert favor[0] > favor[2]
    assert against[2] > against[0]
    assert nothing[3] < 0.02
    assert favor[3] == against[3] > 0.6


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
    assert min(size_of(contact_sheet(pixels[None], maps, bands=RGB, truth=[odd]))) > 100


def test_contact_sheet_holds_every_patch_and_grows_by_rows():
    rng = np.random.default_rng(0)
    sizes = {}
    for n in (2, 6):
        pixels = rng.integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)
        maps = evidence(rng.normal(size=(n, 4, 4)))
        sizes[n] = size_of(contact_sheet(pixels, maps, bands=RGB, columns=3, truth=["River"] * n))
    assert sizes[6][1] == pytest.approx(2 * sizes[2][1], abs=3)
    assert sizes[6][0] > sizes[2][0]


@pytest.mark.filterwarnings("ignore:Glyph")  # boxes are measured as well
@pytest.mark.parametrize("name", ["HerbaceousVegetation", "W" * 40, "永久作物" * 9])
@pytest.mark.parametrize("columns", [2, 5])
def test_neighboring_titles_never_touch(monkeypatch, name, columns):
    drawn = []
    monkeypatch.setattr("swath.explain.pictures.to_png", lambda figure: (drawn.append(figure), to_png(figure))[1])
    maps = 9 * np.random.default_rng(0).normal(size=(columns, 4, 4))
    gray = np.full((columns, 3, 16, 16), 128, np.uint8)
    truth = [f"{name} of another kind"] * columns
    contact_sheet(gray, evidence(maps, name=name), bands=RGB, truth=truth)
    renderer = FigureCanvasAgg(drawn[0]).get_renderer()
    for axes in (drawn[0].axes[:columns], drawn[0].axes[columns : 2 * columns]):
        boxes = [axis.title.get_window_extent(renderer) for axis in axes]
        space = 0.1 * drawn[0].dpi
        assert all(b.x0 - a.x1 > space for a, b in pairwise(boxes))
    said = drawn[0].axes[0].get_title().splitlines()
    assert said[1] == "0.900"
    assert said[2].startswith("truth ")


def test_a_faint_map_on_a_sheet_is_as_readable_as_a_strong_one():
    maps = np.zeros((2, 2, 2))
    maps[0], maps[1] = 100, 0.1
    gray = np.full((2, 3, 32, 32), 128, np.uint8)
    picture = pixels_of(contact_sheet(gray, evidence(maps), bands=RGB, columns=2))
    red = (picture[..., 0] - picture[..., 1] > 90) & (picture[..., 0] - picture[..., 2] > 90)
    per_column = red.sum(axis=0)[: int(picture.shape[1] * 0.78)]  # without the color bar
    left, right = np.array_split(per_column, 2)
    assert right.sum() == pytest.approx(left.sum(), rel=0.1)
    assert left.sum() > 5000


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
