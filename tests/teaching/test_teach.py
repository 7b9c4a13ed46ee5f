from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

from swath.data import build_index
from swath.errors import DataError, ModelFileError, OutputError, SettingError
from swath.inference import check_model, load
from swath.mapping import map_scene
from swath.mapping.places import read_places
from swath.model import read_model, write_model
from swath.model.graph import prune
from swath.model.memory import taught_places
from swath.teaching import teach
from tests.tiny import CLASSES, patches, write_patches, write_tiny_model

from .scenes import checkerboard, middles, remembering_model, write_places, write_scene


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return remembering_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A scene of the model's classes in other colors, and a place in each block."""
    folder = tmp_path_factory.mktemp("known")
    table = checkerboard(CLASSES)
    return write_scene(folder / "s.tif", table), write_places(folder / "p.csv", middles(table)), table


@pytest.fixture(scope="module")
def taught(model, known, tmp_path_factory):
    out = tmp_path_factory.mktemp("taught") / "mine.onnx"
    return teach(model, scene=known[0], places=known[1], out=out, rescale="off"), out


def run(model, scene, places, tmp_path, **options):
    return teach(model, scene=scene, places=places, out=tmp_path / "mine.onnx", rescale="off", **options)


def test_it_learns_the_scene_and_says_so(taught):
    result, out = taught
    assert result.places == dict.fromkeys(CLASSES, 9)
    assert result.before.value < 0.7
    assert result.after.value > 0.9
    assert result.helped
    assert result.difference.low > 0
    assert result.test.p_value < 0.05
    assert result.lines()[-1] == "teaching helped"
    assert all(len(line) <= 80 for line in result.lines())
    assert result.path == out


def test_the_file_is_complete_and_sound(taught):
    _, out = taught
    found = check_model(out)
    assert found.sealed
    record = read_model(out).record
    assert record.parity[0].max_difference < 1e-3
    assert record.metrics["accuracy"].n == 36
    assert record.name == "mine"
    assert record.memory is not None
    assert record.memory.classes == (0, 1, 2, 3, 0, 1, 2, 3)
    assert record.memory.counts[4:] == (9, 9, 9, 9)
    assert list(record.conformal) == ["0.90", "0.95"]


def test_maps_and_old_patches_show_both_what_was_learned_and_what_was_kept(taught, model, known):
    scene, _, table = known
    mapped = map_scene(taught[1], scene, rescale="off", stride=64)
    values = mapped.array[32::64, 32::64]
    truth = np.array([[CLASSES.index(name) for name in row] for row in table]) + 1
    assert (values == truth).mean() > 0.9
    pixels = np.concatenate([patches(name, 20, seed=5) for name in CLASSES])
    labels = np.repeat(np.arange(4), 20)
    before, after = (load(one).run(pixels)["probabilities"].argmax(1) == labels for one in (model, taught[1]))
    assert after.mean() > before.mean() - 0.1


def test_only_forgets(model, known, tmp_path):
    run(model, *known[:2], tmp_path, only=True)
    record = read_model(tmp_path / "mine.onnx").record
    assert record.memory is not None
    assert len(record.memory.classes) == 4
    assert record.taught[0].forgot


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_places_give_the_same_bytes_whatever_the_threads(taught, model, known, tmp_path, threads):
    teach(model, scene=known[0], places=known[1], out=tmp_path / "mine.onnx", rescale="off", threads=threads)
    assert (tmp_path / "mine.onnx").read_bytes() == taught[1].read_bytes()


def test_lineage_knows_the_places_and_holds_no_coordinates(taught, model, known, tmp_path):
    record = read_model(taught[1]).record
    (teaching,) = record.taught
    assert teaching.began_from == "tiny"
    assert teaching.places == dict.fromkeys(CLASSES, 9)
    places = read_places(known[1])
    assert taught_places(record.taught, places.lonlat).all()
    others = read_places(
        write_places(tmp_path / "o.csv", [(column + 3, row, c) for column, row, c in middles(known[2])])
    )
    assert not taught_places(record.taught, others.lonlat).any()
    text = record.model_dump_json()
    lon, lat = places.lonlat[0]
    assert f"{lon:.4f}" not in text
    assert f"{lat:.4f}" not in text


def test_a_second_round_remembers_the_first(taught, known, tmp_path):
    table = known[2]
    scene = write_scene(tmp_path / "s.tif", table, seed=1)
    places = write_places(tmp_path / "p.csv", [p for p in middles(table) if p[2] in ("Forest", "River")])
    result = teach(taught[1], scene=scene, places=places, out=tmp_path / "two.onnx", rescale="off")
    assert result.before.value > 0.9
    record = read_model(tmp_path / "two.onnx").record
    assert len(record.taught) == 2
    assert record.memory is not None
    assert record.memory.classes == (0, 1, 2, 3, 0, 1, 2, 3, 0, 2)
    mapped = map_scene(tmp_path / "two.onnx", scene, rescale="off", stride=64).array[32::64, 32::64]
    truth = np.array([[CLASSES.index(name) for name in row] for row in table]) + 1
    assert (mapped == truth).mean() > 0.9


def test_a_new_class_is_added(model, tmp_path):
    names = ("Forest", "Dump", "River")
    table = checkerboard(names)
    scene, places = write_scene(tmp_path / "s.tif", table), write_places(tmp_path / "p.csv", middles(table))
    result = run(model, scene, places, tmp_path)
    record = read_model(tmp_path / "mine.onnx").record
    assert record.class_names == (*CLASSES, "Dump")
    (dump,) = (gain for gain in result.classes if gain.new)
    assert dump.name == "Dump"
    assert dump.before.value == 0
    assert dump.after.value > 0.9
    colors = {c.name: c.color_hint for c in read_model(model).record.classes}
    assert all(colors[c.name] == c.color_hint for c in record.classes[:4])
    assert "new" in next(line for line in result.lines() if "Dump" in line)


@pytest.mark.parametrize("negatives", ["places", "random"])
def test_a_detector_of_a_new_class(model, tmp_path, negatives):
    table = checkerboard(("Forest", "River", "Residential", "Forest", "River", "Dump"))
    scene = write_scene(tmp_path / "s.tif", table)
    chosen = [p for p in middles(table) if negatives == "places" or p[2] == "Dump"]
    result = run(model, scene, write_places(tmp_path / "p.csv", chosen), tmp_path, positive="Dump", negatives=negatives)
    record = read_model(tmp_path / "mine.onnx").record
    assert (record.task, record.class_names) == ("binary", ("not Dump", "Dump"))
    assert list(record.thresholds) == ["Dump"]
    assert "average_precision" in record.metrics
    assert result.after.value > 0.9
    assert check_model(tmp_path / "mine.onnx").patches == 10
    mapped = map_scene(tmp_path / "mine.onnx", scene, rescale="off", stride=64).array[32::64, 32::64]
    assert ((mapped == 2) == (np.array(table) == "Dump")).mean() > 0.9


def test_a_detector_is_taught_again(model, tmp_path):
    table = checkerboard(("Forest", "Dump"))
    scene, places = write_scene(tmp_path / "s.tif", table), write_places(tmp_path / "p.csv", middles(table))
    run(model, scene, places, tmp_path, positive="Dump")
    result = teach(tmp_path / "mine.onnx", scene=scene, places=places, positive="Dump", out=tmp_path / "two.onnx")
    assert read_model(result.path).record.task == "binary"
    with pytest.raises(DataError, match=r"detects Dump, and places are 'Forest'"):
        teach(tmp_path / "mine.onnx", scene=scene, places=places, out=tmp_path / "three.onnx")


def test_patches_teach_as_places_do(model, tmp_path):
    index = build_index(write_patches(tmp_path / "patches", n=8, seed=3))
    result = teach(model, patches=index, out=tmp_path / "mine.onnx")
    assert sum(result.places.values()) == 32
    assert result.source.index == index.name
    assert check_model(tmp_path / "mine.onnx").sealed


def test_a_model_without_memory_says_that_it_may_forget(known, tmp_path):
    result = run(write_tiny_model(tmp_path / "tiny.onnx"), *known[:2], tmp_path)
    assert any("keeps no statistics" in note for note in result.notes)


def test_few_places_of_a_class_go_on_and_say_what_cannot_be_known(model, known, tmp_path):
    table = known[2]
    rows = [p for p in middles(table) if p[2] != "River"] + [p for p in middles(table) if p[2] == "River"][:2]
    result = run(model, known[0], write_places(tmp_path / "p.csv", rows), tmp_path)
    assert any("River (2); how well they were learned cannot be known" in note for note in result.notes)
    few = run(model, known[0], write_places(tmp_path / "p.csv", middles(table)[:4]), tmp_path, overwrite=True)
    assert few.helped is None
    assert "more would tell" in few.verdict()


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_other_tasks(known, tmp_path, task):
    classes = CLASSES[:2] if task == "binary" else CLASSES
    model = write_tiny_model(tmp_path / "tiny.onnx", classes=classes, task=task)
    if task == "multi-label":
        with pytest.raises(SettingError, match="is multi-label"):
            run(model, *known[:2], tmp_path)
    else:
        rows = [p for p in middles(known[2]) if p[2] in classes]
        result = run(model, known[0], write_places(tmp_path / "p.csv", rows), tmp_path)
        assert read_model(result.path).record.class_names == classes


def test_bad_input_ends_in_one_sentence_and_writes_nothing(model, known, tmp_path):
    scene, places, table = known
    rows = middles(table)

    def refused(message, error=DataError, *, where=scene, **options):
        with pytest.raises(error, match=message) as caught:
            run(model, where, options.pop("places", tmp_path / "p.csv"), tmp_path, **options)
        assert caught.value.fix
        assert not (tmp_path / "mine.onnx").exists()
        assert not list(tmp_path.glob(".*"))

    write_places(tmp_path / "p.csv", [(column + 5000, row, name) for column, row, name in rows])
    refused(r"none of the 36 places of p.csv lies in s.tif")
    write_places(tmp_path / "p.csv", rows[:1] * 4)
    refused("all 4 places are Forest, and a model learns")
    write_places(tmp_path / "p.csv", [*rows, (rows[0][0] + 1, rows[0][1], "River")])
    refused(r"p.csv, line 2 is Forest and p.csv, line 38 is River, and they are one window")
    write_places(tmp_path / "p.csv", [*rows[1:], (*rows[0][:2], "Du\u0007mp")])
    refused("a class has no usable name")
    write_places(tmp_path / "p.csv", [(5 * k % 380, 5 * (k // 70), f"class {k}") for k in range(300)])
    refused("have 300 different classes")
    write_places(tmp_path / "p.csv", rows)
    refused(r"no place is Dump .classes: Forest, Residential", positive="Dump")
    blank = write_scene(tmp_path / "blank.tif", table, nodata={(r, c) for r in range(6) for c in range(6)})
    write_places(tmp_path / "p.csv", rows)
    refused("no pixel that is clear|has no data", where=blank)
    refused("has no coordinate reference system, so places", where=write_scene(tmp_path / "n.tif", table, crs=None))
    refused("--scene is missing", SettingError, where=None)
    refused("--places is missing", SettingError, places=None)
    refused("is for detectors", SettingError, negatives="random")
    refused("taught in fp32", SettingError, engine="openvino-bf16")
    with pytest.raises(OutputError, match="exists already"):
        teach(model, scene=scene, places=places, out=places)


def test_places_outside_or_on_no_data_are_left_out_and_named(model, known, tmp_path):
    table = known[2]
    scene = write_scene(tmp_path / "s.tif", table, nodata={(0, 1)})
    rows = [*middles(table), (9000, 9000, "River")]
    result = run(model, scene, write_places(tmp_path / "p.csv", rows), tmp_path)
    assert sum(result.places.values()) == 35
    assert any("1 of 37 places lie outside s.tif and were left out: p.csv, line 38" in note for note in result.notes)
    assert any("1 of 37 places lie where s.tif has no data" in note for note in result.notes)


def test_a_model_without_features_is_refused(model, known, tmp_path):
    file = read_model(model)
    write_model(tmp_path / "bare.onnx", prune(file.graph, ("probabilities", "logits")), file.record)
    with pytest.raises(ModelFileError, match="no features with a linear head"):
        run(tmp_path / "bare.onnx", *known[:2], tmp_path)


def test_polygons_in_another_system_teach_too(model, known, tmp_path):
    from rasterio.warp import transform_geom

    features = []
    for column, row, name in middles(known[2]):
        x, y = 500000 + 10 * column, 5300000 - 10 * row
        ring = [[x - 90, y - 90], [x + 90, y - 90], [x + 90, y + 90], [x - 90, y - 90]]
        geometry = transform_geom("EPSG:32632", "EPSG:4326", {"type": "Polygon", "coordinates": [ring]})
        features.append({"type": "Feature", "geometry": geometry, "properties": {"class": name.lower()}})
    path = tmp_path / "p.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    result = run(model, known[0], path, tmp_path)
    assert result.places == dict.fromkeys(CLASSES, 9)
    assert result.after.value > 0.9


def test_ood_statistics_cover_the_scene(known, tmp_path):
    """With statistics of the training data alone every window of the scene would be unlike it."""
    with rasterio.open(known[0]) as scene:
        assert scene.count == 3
    result = teach("eurosat", scene=known[0], places=known[1], out=tmp_path / "mine.onnx", rescale="off")
    record = read_model(result.path).record
    assert record.out_of_distribution is not None
    assert record.out_of_distribution.classes.shape[0] == 14
    share = map_scene(tmp_path / "mine.onnx", known[0], rescale="off", stride=64).ood_share
    assert share is not None
    assert share < 0.3
