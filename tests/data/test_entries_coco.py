from __future__ import annotations

import json
from typing import Any

import pytest
from PIL import Image

from swath.data import build_index
from swath.data.entries import entries_from_coco
from swath.errors import DataError


def coco(**changes: Any) -> dict[str, Any]:
    content = {
        "info": {"year": 2025},
        "images": [{"id": i, "file_name": f"a/{i}.png", "width": 8, "height": 8} for i in range(4)],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": 7, "bbox": [0, 0, 2, 2]},
            {"id": 1, "image_id": 0, "category_id": 7, "bbox": [4, 4, 2, 2]},
            {"id": 2, "image_id": 0, "category_id": 3},
            {"id": 3, "image_id": 1, "category_id": 3},
            {"id": 4, "image_id": 2, "category_id": 7},
        ],
        "categories": [{"id": 7, "name": "water"}, {"id": 3, "name": "trees", "supercategory": "land"}],
    }
    return content | changes


def read(content: Any, folder: str = "") -> list[Any]:
    return list(entries_from_coco(json.dumps(content), folder=folder, where="c.json").rows)


def test_images_have_each_category_of_their_annotations_once():
    rows = read(coco(), folder="set")
    assert [row.path for row in rows] == [f"set/a/{i}.png" for i in range(4)]
    assert [row.labels for row in rows] == [("trees", "water"), ("trees",), ("water",), ()]
    assert all(row.label is None for row in rows)


def test_one_category_an_image_is_one_label():
    one = [{"image_id": i, "category_id": (3, 7)[i % 2]} for i in range(4)]
    rows = read(coco(annotations=one))
    assert [row.label for row in rows] == ["trees", "water", "trees", "water"]
    assert all(row.labels is None for row in rows)


def test_splits_are_read_where_there_are_any():
    images = [{"id": i, "file_name": f"{i}.png", "split": s} for i, s in enumerate(("train", "valid", None))]
    rows = read(coco(images=images, annotations=[]))
    assert [row.split for row in rows] == ["train", "val", None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "no list 'images'"),
        (coco(categories=None), "no list 'categories'"),
        (coco(images=[]), "lists no images"),
        (coco(images=[{"id": 0}]), "number 1 of 'images' has no 'file_name'"),
        (coco(annotations=[{"image_id": 9, "category_id": 7}]), "the image_id 9, which is not listed"),
        (coco(annotations=[{"image_id": 0, "category_id": 9}]), "the category_id 9, which is not listed"),
        (coco(categories=[{"id": 7, "name": "x"}, {"id": 3, "name": "x "}]), "categories without a name or with"),
        (coco(images=[{"id": 0, "file_name": "a"}, {"id": 0, "file_name": "b"}], annotations=[]), "an id twice"),
        (coco(images=[{"id": 0, "file_name": "a"}, {"id": 1, "file_name": "./a"}], annotations=[]), "second time"),
        (coco(images=[{"id": 0, "file_name": "../a.png"}], annotations=[]), "leads outside"),
        (coco(images=[{"id": 0, "file_name": "a.png", "split": "dev"}], annotations=[]), "unknown split 'dev'"),
    ],
)
def test_what_is_not_such_a_file_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        read(content)


def test_text_that_is_no_json_is_refused():
    with pytest.raises(DataError, match="not valid JSON"):
        entries_from_coco("{", folder="", where="c.json")


def test_an_index_is_made_of_one(tmp_path):
    images = [{"id": i, "file_name": f"{i}.png"} for i in range(7)]
    for i in range(7):
        Image.new("RGB", (8, 8), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    pairs = [(i, (7, 3)[i % 2]) for i in range(6)] + [(0, 3)]
    made = [{"image_id": i, "category_id": c} for i, c in pairs]
    (tmp_path / "set.json").write_text(json.dumps(coco(images=images, annotations=made)))
    index = build_index(tmp_path / "set.json")
    assert index.multi_label
    assert index.classes == ("trees", "water")
    assert index.label_sets[0] == ("trees", "water")
    assert index.label_sets[6] == ()
