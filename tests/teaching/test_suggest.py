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
    made = suggest(model, scene, out=tmp_path / "p.gpkg", n=12, rescale="off")
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
    result = teach(model, scene=scene, places=tmp_path / "p.gpkg", out=tmp_path / "mine.onnx", rescale="off")
    assert sum(result.places.values()) == 12
    again = suggest(tmp_path / "mine.onnx", scene, out=tmp_path / "q.gpkg", n=100, rescale="off")
    assert again.looked_at == 24
    assert "the scene has 24 windows to label, not 100" in again.notes
    asked = {tuple(row.geometry["coordinates"]) for row in found.rows}
    assert not asked & {tuple(row.geometry["coordinates"]) for row in again.places.rows}


def test_a_second_round_learns_from_the_first(files, tmp_path):
    model, scene, table = files

    def blocks(made):
        points = [row.geometry["coordinates"] for row in made.places.rows]
        return [(int((5300000 - y) // 640), int((x - 500000) // 640)) for x, y in points]

    first = blocks(suggest(model, scene, out=tmp_path / "p.gpkg", n=6, rescale="off"))
    answers = [((column + 0.5) * 64, (row + 0.5) * 64, table[row][column]) for row, column in first]
    places = write_places(tmp_path / "first.csv", answers)
    teach(model, scene=scene, places=places, out=tmp_path / "mine.onnx", rescale="off")
    second = blocks(suggest(tmp_path / "mine.onnx", scene, out=tmp_path / "q.gpkg", n=6, rescale="off"))
    assert not set(first) & set(second)
    asked = {table[row][column] for row, column in first}
    assert asked < set(CLASSES)
    assert set(CLASSES) - asked <= {table[row][column] for row, column in second}


def test_the_same_seed_suggests_the_same(files, tmp_path):
    model, scene, _ = files
    for name in ("a", "b"):
        suggest(model, scene, out=tmp_path / f"{name}.gpkg", n=5)
    assert (tmp_path / "a.gpkg").read_bytes() == (tmp_path / "b.gpkg").read_bytes()


def test_more_of_the_same(files, tmp_path):
    model, scene, table = files
    rivers = [place for place in middles(table) if place[2] == "River"]
    like = read_places(write_places(tmp_path / "like.csv", rivers[:2]))
    made = suggest(model, scene, out=tmp_path / "p.gpkg", n=9, like=like, rescale="off")
    points = [row.geometry["coordinates"] for row in made.places.rows]
    names = [table[int((5300000 - y) // 640)][int((x - 500000) // 640)] for x, y in points]
    assert names.count("River") >= 8
    assert made.places.rows[0].attributes["similarity"] > 0.99


def clusters(*sizes, seed=0):
    """Features around one point per class, as many as its size, and which class each is."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(len(sizes)), sizes)
    return 5 * np.eye(len(sizes), 8)[of] + rng.normal(0, 0.3, (len(of), 8)), of


def sure(of, classes):
    probabilities = np.full((len(of), classes), 0.02)
    probabilities[np.arange(len(of)), of] = 1 - 0.02 * (classes - 1)
    return probabilities


def test_choices_are_spread_over_the_scene_and_prefer_what_is_unsure():
    features, of = clusters(80, 15, 5)
    probabilities = sure(of, 3)
    assert set(of[choose(features, probabilities, n=6)].tolist()) == {0, 1, 2}
    assert of[choose(features, probabilities, n=1)].tolist() == [0]
    unsure = probabilities.copy()
    unsure[::2] = 0.34, 0.33, 0.33
    chosen = choose(features, unsure, n=10)
    assert set(of[chosen].tolist()) == {0, 1, 2}
    assert (chosen % 2 == 0).mean() > (choose(features, probabilities, n=10) % 2 == 0).mean()
    assert (choose(features, unsure, n=10, strategy="margin") % 2 == 0).all()
    for strategy in ("random", "entropy", "k-center"):
        assert len(set(choose(features, unsure, n=10, strategy=strategy).tolist())) == 10
    assert len(choose(features, probabilities, n=1000)) == 100


def test_a_class_that_is_rare_and_unsure_gets_places():
    features, of = clusters(190, 5, 5)
    unsure = sure(of, 3)
    unsure[of == 2] = 0.34, 0.33, 0.33
    chosen = choose(features, unsure, n=5)
    assert (of[chosen] == 2).sum() >= 1
    drawn = [of[choose(features, unsure, n=5, strategy="random", seed=seed)] for seed in range(100)]
    assert (of[chosen] == 2).mean() > np.mean([(rows == 2).mean() for rows in drawn])


def test_a_window_without_its_like_does_not_come_first():
    features, of = clusters(40, 40)
    features[0] = 50  # a fault of the sensor, say
    assert 0 not in choose(features, sure(of, 2), n=2).tolist()
    assert choose(features, sure(of, 2), n=2, strategy="k-center")[1] == 0


@pytest.mark.parametrize("strategy", ["coverage", "random", "margin", "entropy", "k-center"])
def test_what_was_taught_is_not_chosen_again(strategy):
    features, of = clusters(30, 10)
    taught = np.arange(40) % 2 == 0
    chosen = choose(features, sure(of, 2), n=100, strategy=strategy, taught=taught)
    assert sorted(chosen.tolist()) == np.flatnonzero(~taught).tolist()


@pytest.mark.parametrize("strategy", ["coverage", "k-center"])
def test_what_resembles_a_taught_window_waits(strategy):
    features, of = clusters(60, 20, 20)
    taught = of == 0
    taught[:30] = False  # half of the largest class
    chosen = choose(features, sure(of, 3), n=2, strategy=strategy, taught=taught)
    assert set(of[chosen].tolist()) == {1, 2}


def test_windows_that_are_all_the_same_do_not_matter():
    assert len(set(choose(np.ones((9, 4)), np.full((9, 2), 0.5), n=4).tolist())) == 4
    assert choose(np.ones((1, 4)), np.full((1, 2), 0.5), n=4).tolist() == [0]


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
    teach(model, scene=scene, places=write_places(tmp_path / "all.csv", middles(table)), out=tmp_path / "all.onnx")
    with pytest.raises(DataError, match="all 36 windows were taught already"):
        suggest(tmp_path / "all.onnx", scene, out=out)
    every = {(row, column) for row in range(6) for column in range(6)}
    with pytest.raises(DataError, match="no window with data"):
        suggest(model, write_scene(tmp_path / "e.tif", table, nodata=every), out=out)
    (tmp_path / "p.qml").write_text("mine")
    with pytest.raises(OutputError, match=r"p\.qml exists already"):
        suggest(model, scene, out=out)
    assert not out.exists()
