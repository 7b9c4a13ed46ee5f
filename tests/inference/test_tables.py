from __future__ import annotations

import csv
import json
import os
import zipfile
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio

import swath
from swath.errors import DataError, OutputError, SettingError
from swath.inference import predict_files, tables
from tests.tiny import CLASSES, patch, write_patches, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return swath.load(tiny_model, threads=1)


@pytest.fixture
def folder(tmp_path):
    return write_patches(tmp_path / "in", n=3)


def read(path):
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [{k: number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8"))
    return pq.read_table(path).to_pylist()


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


def test_all_kinds_of_table_hold_the_same_rows(classifier, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_AT_A_TIME", 5)  # several writes
    read_back = {}
    for suffix in tables.SUFFIXES:
        out = tmp_path / f"preds{suffix}"
        summary = predict_files(classifier, [folder], out, top_k=2)
        read_back[suffix] = read(out)
        assert summary.rows == len(read_back[suffix]) == 12
    rows = read_back[".parquet"]
    names = ["path", "label", "confidence", "top_2", "top_2_p", *(f"p_{c}" for c in CLASSES)]
    for other in read_back.values():
        for row, wanted in zip(other, rows, strict=True):
            assert list(row) == names
            assert row == {k: pytest.approx(v, abs=1e-6) if isinstance(v, float) else v for k, v in wanted.items()}


def test_rows_say_what_predict_says(classifier, folder, tmp_path):
    summary = predict_files(classifier, [folder], tmp_path / "p.json", top_k=4)
    rows = read(tmp_path / "p.json")
    paths = [row["path"] for row in rows]
    assert paths == sorted(str(p) for p in folder.rglob("*.png"))
    predictions = classifier.predict(paths)
    for row, label, probabilities in zip(rows, predictions.labels, predictions.probabilities, strict=True):
        assert row["label"] == label
        np.testing.assert_allclose([row[f"p_{c}"] for c in CLASSES], probabilities, atol=1e-6)
        ordered = [row["confidence"], row["top_2_p"], row["top_3_p"], row["top_4_p"]]
        assert ordered == sorted(ordered, reverse=True)
        assert sum(ordered) == pytest.approx(1, abs=1e-5)
        assert {row["label"], row["top_2"], row["top_3"], row["top_4"]} == set(CLASSES)
    counted = {c: predictions.labels.count(c) for c in set(predictions.labels)}
    assert summary.counts == counted
    assert list(summary.counts.values()) == sorted(counted.values(), reverse=True)
    assert (summary.skipped, summary.other_sizes) == ((), 0)


def test_files_folders_and_zips_mix(classifier, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(folder / "River" / "River_1.png", "deep/a.png")
        archive.writestr("readme.txt", "not an image")
    inputs = [folder / "Forest", folder / "River" / "River_2.png", tmp_path / "more.zip"]
    predict_files(classifier, inputs, tmp_path / "p.csv")
    rows = read(tmp_path / "p.csv")
    assert [row["path"].removeprefix(f"{tmp_path}/") for row in rows] == [
        "in/Forest/Forest_1.png",
        "in/Forest/Forest_2.png",
        "in/Forest/Forest_3.png",
        "in/River/River_2.png",
        "more.zip/deep/a.png",
    ]
    assert "top_2" not in rows[0]


def test_other_sizes_are_counted(classifier, folder, tmp_path):
    write_patches(folder, ["River"], 2, size=80, suffix=".bmp.png")
    assert predict_files(classifier, [folder], tmp_path / "p.csv").other_sizes == 2


def test_an_unreadable_image_is_named_and_nothing_written(classifier, folder, tmp_path):
    bad = folder / "River" / "River_2.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(DataError, match=r"River_2\.png.*--skip-unreadable"):
        predict_files(classifier, [folder], tmp_path / "p.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_skip_unreadable_goes_on_and_counts(classifier, folder, tmp_path):
    bad = folder / "River" / "River_2.png"
    bad.write_bytes(bad.read_bytes()[:200])
    seen = []
    summary = predict_files(
        classifier, [folder], tmp_path / "p.csv", skip_unreadable=True, progress=lambda *a, **k: seen.append(a)
    )
    assert summary.skipped == (str(bad),)
    assert summary.rows == len(read(tmp_path / "p.csv")) == 11
    assert seen[-1] == ("classify", 11, 11)


def test_a_picture_of_other_bands_is_named_and_can_be_passed_over(classifier, folder, tmp_path):
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 2, "dtype": "uint8"}
    with rasterio.open(folder / "two.tif", "w", **options) as file:
        file.write(np.zeros((2, 64, 64), np.uint8))
    says = r"two\.tif: bands band_1, band_2 hold neither.*, or for a scene use swath map --bands, or pass --skip"
    with pytest.raises(DataError, match=says):
        predict_files(classifier, [folder], tmp_path / "p.csv")
    summary = predict_files(classifier, [folder], tmp_path / "p.csv", skip_unreadable=True)
    assert summary.skipped == (str(folder / "two.tif"),)


def test_skip_unreadable_passes_over_damaged_members_of_a_zip(classifier, folder, tmp_path):
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for i in (1, 2):
            file.write(folder / "River" / f"River_{i}.png", f"{i}.png")
    raw = bytearray(archive.read_bytes())
    raw[300] ^= 0xFF  # the stored checksum of 1.png is wrong now
    archive.write_bytes(raw)
    with pytest.raises(DataError, match=r"1\.png.*--skip-unreadable"):
        predict_files(classifier, [archive], tmp_path / "p.csv")
    summary = predict_files(classifier, [archive], tmp_path / "p.csv", skip_unreadable=True)
    assert (summary.rows, summary.skipped) == (1, (f"{archive}/1.png",))


def test_an_index_is_shown_where_to_go(classifier, tmp_path):
    pq.write_table(pa.table({"path": ["a.png"]}), tmp_path / "index.parquet")
    with pytest.raises(DataError, match=r"picture; for an index use: swath evaluate$"):
        predict_files(classifier, [tmp_path / "index.parquet"], tmp_path / "p.csv")


def test_one_sentence_says_what_may_be_done(classifier, tmp_path):
    (tmp_path / "a.png").write_bytes(b"\0junk\xff")
    with pytest.raises(DataError, match=r"; convert it .* or leave it out, or pass --skip-unreadable$"):
        predict_files(classifier, [tmp_path / "a.png"], tmp_path / "p.csv")


def test_nothing_readable_at_all(classifier, tmp_path):
    (tmp_path / "a.png").write_bytes(b"junk")
    with pytest.raises(
        DataError, match=r"none of the 1 images could be read \(the first is .*a\.png: .*a\.png is not a JPEG"
    ):
        predict_files(classifier, [tmp_path / "a.png"], tmp_path / "p.csv", skip_unreadable=True)
    assert not (tmp_path / "p.csv").exists()


def test_an_empty_folder(classifier, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        predict_files(classifier, [tmp_path / "empty"], tmp_path / "p.csv")


def test_sixteen_bit_images_stop_the_run_unless_they_may_be_passed_over(classifier, folder, tmp_path):
    np.save(folder / "River" / "a.npy", np.full((3, 64, 64), 1000, np.uint16))
    with pytest.raises(DataError, match=r"a\.npy is uint16.*rescale_reflectance"):
        predict_files(classifier, [folder], tmp_path / "p.csv")
    summary = predict_files(classifier, [folder], tmp_path / "p.csv", skip_unreadable=True)
    assert summary.skipped == (str(folder / "River" / "a.npy"),)
    with pytest.raises(DataError):  # nothing is left
        predict_files(classifier, [folder / "River" / "a.npy"], tmp_path / "q.csv", skip_unreadable=True)


@pytest.mark.parametrize("dtype", ["int16", "float32", "uint32"])
def test_numbers_that_no_model_takes_are_named_with_the_way_on(classifier, tmp_path, dtype):
    options = {"driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": dtype}
    with rasterio.open(tmp_path / "deep.tif", "w", **options) as file:
        file.write(np.zeros((3, 64, 64), dtype))
    with pytest.raises(DataError, match=rf"deep\.tif is {dtype}, .*gdal_translate -ot Byte -scale LOW HIGH 0 255"):
        predict_files(classifier, [tmp_path], tmp_path / "p.csv")


def test_whatever_is_passed_over_is_counted_by_reason(classifier, folder, tmp_path):
    found = ("River/a.heic", "River/b.heic", "River/@eaDir/River_1.png", "part.zip", "readme.md")
    for name in found:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    archive = tmp_path / "in.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.*"):
            file.write(path, path.relative_to(folder).as_posix())
    expected = {
        "files of kinds that are not read": {".heic": 2},
        "archives within, to be unpacked first": {"part.zip": 1},
        "thumbnails and other files that a system made": {"@eaDir": 1},
    }
    zipped = predict_files(classifier, [archive], tmp_path / "z.csv")
    assert {one.reason: dict(one.places) for one in zipped.left_out} == expected
    (folder / "River" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(folder / "pipe.png")
    summary = predict_files(classifier, [folder], tmp_path / "p.csv")
    expected |= {"broken links": {"River": 1}, "pipes, sockets or devices": {"at the top": 1}}
    assert {one.reason: dict(one.places) for one in summary.left_out} == expected
    assert summary.rows == zipped.rows == 12


def test_an_existing_table_is_kept_unless_told(classifier, folder, tmp_path):
    (tmp_path / "p.csv").write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        predict_files(classifier, [folder], tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == "mine"
    predict_files(classifier, [folder], tmp_path / "p.csv", overwrite=True)
    assert len(read(tmp_path / "p.csv")) == 12


@pytest.mark.parametrize(
    ("out", "top_k", "message"),
    [
        ("p.xlsx", None, r"does not end in \.csv, \.json, \.parquet"),
        ("p", None, "does not end in"),
        ("p.csv", 0, "--top-k 0; give a number between 1 and 4"),
        ("p.csv", 5, "--top-k 5"),
    ],
)
def test_settings_are_checked_first(classifier, tmp_path, out, top_k, message):
    with pytest.raises(SettingError, match=message):
        predict_files(classifier, [tmp_path / "not looked at"], tmp_path / out, top_k=top_k)


def test_names_with_commas_quotes_and_letters_of_all_kinds(classifier, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    name = 'a,"b" é 河.png'
    source = write_patches(tmp_path / "x", ["River"], 1) / "River" / "River_1.png"
    source.rename(folder / name)
    for suffix in tables.SUFFIXES:
        predict_files(classifier, [folder], tmp_path / f"p{suffix}")
        assert [row["path"] for row in read(tmp_path / f"p{suffix}")] == [f"{folder}/{name}"]
    assert patch("River", seed=0).shape == (64, 64, 3)


def test_a_name_that_is_no_text_is_written_as_its_bytes(classifier, tmp_path):
    source = write_patches(tmp_path / "x", ["River"], 1) / "River" / "River_1.png"
    named = tmp_path / os.fsdecode(b"caf\xe9.png")
    source.rename(named)
    for suffix in tables.SUFFIXES:
        predict_files(classifier, [named], tmp_path / f"p{suffix}")
    assert b"caf\xe9.png" in (tmp_path / "p.csv").read_bytes()
    assert b"caf\xe9.png" in (tmp_path / "p.json").read_bytes()
    assert read(tmp_path / "p.parquet")[0]["path"].endswith("caf\\xe9.png")


def read_rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_class_decided_for_comes_first_even_if_less_probable(tmp_path):
    names = ("Forest", "River")
    path = write_tiny_model(tmp_path / "b.onnx", names, task="binary", thresholds={"River": 1e-9})
    images = write_patches(tmp_path / "in", names, n=3)
    summary = predict_files(swath.load(path, threads=1), [images], tmp_path / "p.csv", top_k=2)
    rows = read_rows(tmp_path / "p.csv")
    called = [row for row in rows if row["label"] == "River"]
    assert summary.counts["River"] == len(called) > 3
    for row in called:
        assert row["top_2"] == "Forest"
        assert row["confidence"] == row["p_River"]
        assert row["top_2_p"] == row["p_Forest"]


def test_several_labels_stand_in_one_column(tmp_path):
    thresholds = {"Forest": 0.999, "SeaLake": 1e-6, "River": 1e-6}
    path = write_tiny_model(tmp_path / "m.onnx", task="multi-label", thresholds=thresholds)
    images = write_patches(tmp_path / "in", n=3)
    classifier = swath.load(path, threads=1)
    summary = predict_files(classifier, [images], tmp_path / "p.csv", top_k=2)
    rows = read_rows(tmp_path / "p.csv")
    assert list(rows[0])[:7] == ["path", "labels", "confidence", "top_1", "top_1_p", "top_2", "top_2_p"]
    counts = Counter(label for row in rows for label in (row["labels"].split(";") if row["labels"] else ["(no label)"]))
    assert summary.counts == dict(counts)
    assert summary.rows == len(rows) == 12
    for row in rows:
        for name, threshold in zip(CLASSES, classifier.record.cuts, strict=True):
            if abs(float(row[f"p_{name}"]) - threshold) > 1e-6:
                assert (name in row["labels"].split(";")) == (float(row[f"p_{name}"]) >= threshold)
    plain = predict_files(classifier, [images], tmp_path / "q.csv")
    assert plain.counts == summary.counts
    assert "top_1" not in read_rows(tmp_path / "q.csv")[0]
