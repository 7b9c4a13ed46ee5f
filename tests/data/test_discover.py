from __future__ import annotations

import json
import shutil

import pytest

from swath.data import build_index
from swath.errors import DataError, SettingError

from .makers import encoded, packed, picture, tree, write

CLASSES = ("Field", "Town", "Water")
PATHS = [f"{label}/{label}_{n}.png" for label in CLASSES for n in range(3)]
LISTED = "".join(f"{path},{path[0]}\n" for path in PATHS)
FOREIGN = {
    "metadata": "file,date\n" + "".join(f"{path},2020\n" for path in PATHS),
    "classes": "class,description\nField,of wheat\nTown,with houses\n",
    "scores": "path,label\nother/1.png,A\nother/2.png,B\n",
    "text": "dear all,\n  this is no table;\nat all\n",
    "nothing": "",
}


def sources(tmp_path, tables, images=PATHS):
    """A folder of images and tables, its zip, and both with everything in a folder more."""
    files = {path: encoded(picture(seed, size=8)) for seed, path in enumerate(images)}
    files |= {name: text if isinstance(text, bytes) else text.encode() for name, text in tables.items()}
    deeper = {f"archive/{name}": data for name, data in files.items()}
    for name, data in files.items():
        write(tmp_path / "in" / name, data)
        write(tmp_path / "deeper" / "archive" / name, data)
    packed(tmp_path / "in.zip", files)
    packed(tmp_path / "deeper.zip", deeper)
    return [tmp_path / name for name in ("in", "in.zip", "deeper", "deeper.zip")]


def pairs(index):
    return [(path.removeprefix("archive/"), label) for path, label in zip(index.paths, index.labels, strict=True)]


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_class_tree_next_to_a_foreign_table_is_read_by_its_folders(tmp_path, kind):
    for source in sources(tmp_path, {f"{kind}.csv": FOREIGN[kind], "label_map.json": '{"Field": 0}'}):
        assert build_index(source).classes == CLASSES


def test_a_table_that_lists_the_images_is_used_and_said_to_be(tmp_path):
    for source in sources(tmp_path, {"list.csv": "path,label\n" + LISTED}):
        index = build_index(source)
        assert pairs(index) == [(path, path[0]) for path in PATHS]
        assert "list.csv; to take them from folders give their level, as in --labels 1" in index.notes[0]
        level = 2 if "deeper" in source.name else 1
        assert build_index(source, labels=level).classes == CLASSES


def test_images_that_the_table_does_not_list_are_counted(tmp_path):
    for source in sources(tmp_path, {"list.csv": "path,label\n" + LISTED}, images=[*PATHS, "Town/more.png"]):
        index = build_index(source)
        assert [one.line() for one in index.left_out] == ["left out, images that the table does not list: 1 (Town 1)"]


def test_images_without_class_folders_take_their_labels_from_the_table(tmp_path):
    names = [path.split("/")[1] for path in PATHS]
    text = "image_id,label\n" + "".join(f"{name.removesuffix('.png')},{name[0]}\n" for name in names)
    for source in sources(tmp_path, {"train.csv": text}, images=[f"train_images/{name}" for name in names]):
        index = build_index(source)
        assert index.classes == ("F", "T", "W")
        assert any("were found elsewhere" in note for note in index.notes)


def test_tables_named_as_splits_are_read_together(tmp_path):
    halves = {"train": PATHS[::3] + PATHS[1::3], "test": PATHS[2::3]}
    tables = {
        f"{split}.csv": ",Filename,Label,ClassName\n"
        + "".join(f"{n},{path},{ord(path[0])},{path.split('/')[0]}\n" for n, path in enumerate(names))
        for split, names in halves.items()
    }
    for source in sources(tmp_path, tables):
        index = build_index(source)
        assert index.classes == CLASSES
        assert index.split_counts == {"train": 6, "test": 3}


def test_several_tables_leave_the_folders_and_are_told(tmp_path):
    tables = {"one.csv": "path,label\n" + LISTED, "two.csv": "path,label\n" + LISTED.lower().replace("/", "/")}
    tables["two.csv"] = "path,label\n" + "".join(f"{path},same\n" for path in PATHS)
    for source in sources(tmp_path, tables):
        index = build_index(source)
        assert index.classes == CLASSES
        assert "one.csv" in index.notes[0]
        assert "--labels" in index.notes[0]
        assert build_index(source, labels="one.csv").classes == ("F", "T", "W")


def test_several_tables_and_no_folders_are_refused_with_the_option(tmp_path):
    text = "path,label\n" + "".join(f"{path},{path[0]}\n" for path in ["a.png", "b.png"])
    folder, *_ = sources(tmp_path, {"one.csv": text, "two.csv": text}, images=["a.png", "b.png"])
    with pytest.raises(DataError, match=r"several tables .* \(one\.csv, two\.csv\); name one with --labels FILE"):
        build_index(folder)


def test_a_coco_file_next_to_images_is_taken_by_name(tmp_path):
    content = {
        "images": [{"id": n, "file_name": f"images/{n}.png"} for n in range(6)],
        "annotations": [{"image_id": n, "category_id": n % 2} for n in range(6)],
        "categories": [{"id": 0, "name": "A"}, {"id": 1, "name": "B"}],
    }
    images = [f"images/{n}.png" for n in range(6)]
    text = json.dumps(content)
    elsewhere = text.replace("images/", "")
    for source in sources(tmp_path, {"labels.json": text, "annotations/more.json": elsewhere}, images=images):
        with pytest.raises(DataError, match="one class only"):
            build_index(source)
        for name in ("labels.json", "more.json"):
            assert build_index(source, labels=name).classes == ("A", "B")
    assert build_index(tmp_path / "in" / "labels.json").classes == ("A", "B")
    with pytest.raises(DataError, match=r"none of the images .* is there, the first is 0\.png; .*--labels more\.json"):
        build_index(tmp_path / "in" / "annotations" / "more.json")


def test_a_table_whose_images_lie_elsewhere_says_how_to_index_both(tmp_path):
    root = tree(tmp_path / "in" / "images")
    table = write(root.parent / "lists" / "all.csv", ("path,label\n" + LISTED).encode())
    with pytest.raises(DataError, match=r"none of the images .* is there, .* --labels all\.csv"):
        build_index(table)
    assert build_index(root.parent, labels="all.csv").classes == ("F", "T", "W")


@pytest.mark.parametrize("labels", ["gone.csv", "Town/Town_0.png", "../list.csv"])
def test_a_table_that_is_not_there_is_refused_with_those_that_are(tmp_path, labels):
    for source in sources(tmp_path, {"list.csv": "path,label\n" + LISTED})[:2]:
        with pytest.raises(DataError, match=r"no table\(s\) named .*; tables in it: list\.csv"):
            build_index(source, labels=labels)


def test_labels_do_not_go_with_a_table_or_rows_in_memory(tmp_path):
    table = write(tree(tmp_path / "in") / "list.csv", b"path,label\n" + LISTED.encode())
    for source in (table, [("a.png", "A")]):
        with pytest.raises(SettingError, match="labels"):
            build_index(source, labels=1)


def test_absolute_paths_are_found_wherever_the_table_lies(tmp_path):
    root = tree(tmp_path / "in")
    text = "path,label\n" + "".join(f"{root / path},{path[0]}\n" for path in PATHS)
    inside, outside = write(root / "a.csv", text.encode()), write(tmp_path / "lists" / "b.csv", text.encode())
    plain = build_index(root)
    for table in (inside, outside):
        index = build_index(table)
        assert index.root == root
        assert index.paths == plain.paths
        assert index.column("sha256") == plain.column("sha256")


def test_absolute_paths_of_another_machine_are_found_below_the_table(tmp_path):
    root = tree(tmp_path / "in")
    expected = build_index(root).column("sha256")
    for prefix in ("/home/ann/data/", "C:\\data\\", "D:/sets/eurosat/"):
        text = "path,label\n" + "".join(f"{prefix}{path},{path[0]}\n" for path in PATHS)
        table = write(root / "a.csv", text.replace("/", "\\").encode() if "\\" in prefix else text.encode())
        index = build_index(table)
        assert index.column("sha256") == expected
        assert "9 paths of" in index.notes[-1]
    shutil.rmtree(root / "Town")
    with pytest.raises(DataError, match=r"3 image\(s\) are missing"):
        build_index(table)


def test_columns_of_no_use_are_told_and_one_may_group(tmp_path):
    root = tree(tmp_path / "in")
    text = "path,label,scene,date\n" + "".join(f"{path},{path[0]},s{path[-5]},2020\n" for path in PATHS)
    table = write(root / "a.csv", text.encode())
    assert build_index(table).notes == ("columns of the table that are not used: scene, date",)
    grouped = build_index(table, group_by="scene")
    assert grouped.notes[0] == "columns of the table that are not used: date"
    assert len(set(grouped.column("group"))) == 3


def test_a_table_whose_encoding_is_guessed_says_so(tmp_path):
    root = tree(tmp_path / "in")
    text = "path;label\n" + "".join(f"{path};Forêt {path[0]}\n" for path in PATHS)
    index = build_index(write(root / "a.csv", text.encode("cp1252")))
    assert index.classes == ("Forêt F", "Forêt T", "Forêt W")
    assert "it was read as cp1252, which is a guess" in index.notes[0]
