from __future__ import annotations

import io
import sqlite3

import numpy as np
import pytest
from PIL import Image

from swath.errors import DataError, OutputError, SettingError
from swath.mapping.places import read_places
from swath.teaching import suggest, teach
from swath.teaching.suggest import choose, similarity, uncertainty
from tests.tiny import CLASSES

from .scenes import checkerboard, middles, remembering_model, write_places, write_scene


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suggest")
    table = checkerboard(CLASSES)
    return remembering_model(folder / "tiny.onnx"), write_scene(folder / "s.tif", table), table


def test_what_is_written_is_filled_in_and_taught(files, tmp_path):
    model, scene, table = files
    made = suggest(model, scene, out=tmp_path / "p.gpkg", n=12, match_colors="off")
    assert [file.name for file in made.files] == ["p.gpkg", "p.qml"]
    assert sum(made.guesses.values()) == 12
    found = read_places(tmp_path / "p.gpkg")
    assert found.label_field == "class"
    assert all(row.label is None for row in found.rows)
    assert [row.attributes["rank"] for row in found.rows] == list(range(1, 13))
    assert {row.attributes["guess"] for row in found.rows} <= set(CLASSES)
    assert Image.open(io.BytesIO(found.rows[0].attributes["picture"])).size == (240, 240)
    with pytest.raises(DataError, match=r"none of the 12 places of p.gpkg has a class"):
        teach(model, scene=scene, places=tmp_path / "p.gpkg", out=tmp_path / "mine.onnx")
    db = sqlite3.connect(tmp_path / "p.gpkg")  # as a person would in QGIS
    for row in found.rows:
        x, y = row.geometry["coordinates"]
        label = table[int((5300000 - y) // 640)][int((x - 500000) // 640)]
        db.execute("UPDATE places SET class = ? WHERE rank = ?", (label, row.attributes["rank"]))
    db.commit()
    db.close()
    result = teach(model, scene=scene, places=tmp_path / "p.gpkg", out=tmp_path / "mine.onnx", match_colors="off")
    assert sum(result.places.values()) == 12
    again = suggest(tmp_path / "mine.onnx", scene, out=tmp_path / "q.gpkg", n=100, match_colors="off")
    assert again.looked_at == 24
    assert "the scene has 24 windows to label, not 100" in again.notes
    asked = {tuple(row.geometry["coordinates"]) for row in found.rows}
    assert not asked & {tuple(row.geometry["coordinates"]) for row in again.places.rows}


def test_the_same_seed_suggests_the_same(files, tmp_path):
    model, scene, _ = files
    for name in ("a", "b"):
        suggest(model, scene, out=tmp_path / f"{name}.gpkg", n=5)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()


def test_more_of_the_same(files, tmp_path):
    model, scene, table = files
    rivers = [place for place in middles(table) if place[2] == "River"]
    like = read_places(write_places(tmp_path / "like.csv", rivers[:2]))
    made = suggest(model, scene, out=tmp_path / "p.gpkg", n=9, like=like, match_colors="off")
    points = [row.geometry["coordinates"] for row in made.places.rows]
    names = [table[int((5300000 - y) // 640)][int((x - 500000) // 640)] for x, y in points]
    assert names.count("River") >= 8
    assert made.places.rows[0].attributes["similarity"] > 0.99


def test_choices_are_spread_over_classes_and_prefer_what_is_unsure():
    rng = np.random.default_rng(0)
    said = np.repeat([0, 1, 2], [80, 15, 5])
    features = 5 * np.eye(3, 8)[said] + rng.normal(0, 0.3, (100, 8))
    probabilities = np.full((100, 3), 0.02)
    probabilities[np.arange(100), said] = 0.96
    chosen = choose(features, probabilities, said, n=6)
    assert set(said[chosen].tolist()) == {0, 1, 2}
    unsure = probabilities.copy()
    unsure[::2] = 0.34, 0.33, 0.33
    assert (choose(features, unsure, said, n=10) % 2 == 0).mean() > 0.7
    assert (choose(features, unsure, said, n=10, strategy="margin") % 2 == 0).all()
    for strategy in ("random", "entropy", "k-center"):
        assert len(set(choose(features, unsure, said, n=10, strategy=strategy).tolist())) == 10
    assert len(choose(features, probabilities, said, n=1000)) == 100


def test_scores_are_what_they_are_called():
    np.testing.assert_allclose(uncertainty(np.array([[0.5, 0.5], [1.0, 0.0]])), [1, 0])
    features = np.array([[1.0, 0], [0, 1], [-1, -1]])
    assert similarity(features, features[:1]).argmax() == 0


def test_bad_input_ends_in_one_sentence(files, tmp_path):
    model, scene, table = files
    out = tmp_path / "p.gpkg"
    with pytest.raises(SettingError, match="as GeoPackage"):
        suggest(model, scene, out=tmp_path / "p.shp")
    with pytest.raises(SettingError, match="0 places"):
        suggest(model, scene, out=out, n=0)
    with pytest.raises(SettingError, match="no strategy"):
        suggest(model, scene, out=out, strategy="best")
    with pytest.raises(DataError, match="no coordinate reference system"):
        suggest(model, write_scene(tmp_path / "n.tif", table, crs=None), out=out)
    every = {(row, column) for row in range(6) for column in range(6)}
    with pytest.raises(DataError, match="no window with data"):
        suggest(model, write_scene(tmp_path / "e.tif", table, nodata=every), out=out)
    (tmp_path / "p.qml").write_text("mine")
    with pytest.raises(OutputError, match=r"p\.qml exists already"):
        suggest(model, scene, out=out)
    assert not out.exists()
