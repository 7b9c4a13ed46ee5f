"""Exports of annotation programs: labels and images as Label Studio, CVAT and Datumaro write them."""

from __future__ import annotations

import base64
import json

import pytest

from swath.data import build_index
from swath.data.exports import local_path
from swath.errors import DataError

from .makers import encoded, packed, picture, write

FILES = [f"{label}_{n}.png" for label in ("forest", "river") for n in range(4)]
LABELS = {name: name.split("_")[0].capitalize() for name in FILES}


@pytest.fixture
def folder(tmp_path):
    for n, name in enumerate(FILES):
        write(tmp_path / "images" / name, encoded(picture(n)))
    return tmp_path


def task(image, *choices, kind="choices", question="class", **annotation):
    """A task of Label Studio with one annotation for each set of choices."""
    annotations = [
        {
            "id": n,
            "was_cancelled": False,
            "ground_truth": False,
            "result": [{"from_name": question, "to_name": "img", "type": kind, "value": {kind: list(some)}}],
        }
        | annotation
        for n, some in enumerate(choices)
    ]
    return {"id": 7, "data": {"image": image}, "annotations": annotations, "predictions": []}


def upload(name):
    return f"/data/upload/1/ab12cd34-{name}"


def tasks(folder, made, name="export.json"):
    return write(folder / name, json.dumps(made).encode())


def labels_of(index):
    return {path.rpartition("/")[2]: label for path, label in zip(index.paths, index.labels, strict=True)}


ADDRESSES = {
    "/data/upload/1/ab12cd34-forest_0.png": "data/upload/1/ab12cd34-forest_0.png",
    "/data/local-files/?d=scenes/forest%200.png": "scenes/forest 0.png",
    "s3://bucket/scenes/forest_0.png": "scenes/forest_0.png",
    "gs://bucket/forest_0.png": "forest_0.png",
    "https://host:8080/a%20b/forest_0.png?token=x#y": "a b/forest_0.png",
    "C:\\scenes\\forest_0.png": "scenes/forest_0.png",
    "/home/me/forest_0.png": "home/me/forest_0.png",
    "../forest_0.png": "forest_0.png",
    "/tasks/3/presign/?fileuri="
    + base64.urlsafe_b64encode(b"s3://b/forest_0.png").decode().rstrip("="): "forest_0.png",
    "forest 0%25.png": "forest 0%.png",
}


@pytest.mark.parametrize("image", ADDRESSES)
def test_the_path_in_an_address(image):
    assert local_path(image) == ADDRESSES[image]


SERVERS = {
    "upload": upload,
    "local": lambda name: f"/data/local-files/?d=project/images/{name}",
    "bucket": lambda name: f"s3://bucket/images/{name}",
    "web": lambda name: f"https://example.org/images/{name}?version=3",
    "path": lambda name: f"/home/other/images/{name}",
    "relative": lambda name: f"images/{name}",
    "name": lambda name: name,
}


@pytest.mark.parametrize("server", SERVERS)
def test_label_studio_s_tasks(server, folder):
    source = tasks(folder, [task(SERVERS[server](name), [LABELS[name]]) for name in FILES])
    made = build_index(source)
    assert labels_of(made) == LABELS
    assert made.notes == ()


def test_label_studio_s_short_json_and_csv(folder):
    about = {"id": 3, "annotator": 1, "annotation_id": 5, "created_at": "2026", "updated_at": "2026", "lead_time": 2.5}
    short = [about | {"image": upload(name), "choice": LABELS[name]} for name in FILES]
    assert labels_of(build_index(tasks(folder, short))) == LABELS
    columns = list(short[0])
    lines = [",".join(columns), *(",".join(str(row[column]) for column in columns) for row in short)]
    source = write(folder / "project-1.csv", "\n".join(lines).encode())
    assert labels_of(build_index(source)) == LABELS
    assert labels_of(build_index(folder, labels="project-1.csv")) == LABELS
    short[0]["choice"] = {"choices": ["Forest", "River"]}
    several = build_index(tasks(folder, short))
    assert several.multi_label
    assert several.label_sets[0] == ("Forest", "River")


def test_several_choices_and_none(folder):
    made = [task(upload(name), [LABELS[name]]) for name in FILES]
    made[0] = task(upload(FILES[0]), ["River", "Forest"])
    made[1] = task(upload(FILES[1]), [])
    index = build_index(tasks(folder, made))
    assert index.label_sets[:3] == [("Forest", "River"), (), ("Forest",)]
    # Where no image has several, an empty annotation is a missing answer.
    made[0] = task(upload(FILES[0]), ["Forest"])
    single = build_index(tasks(folder, made))
    assert len(single) == 7
    assert single.notes == ("left out, images with an empty annotation: 1",)


def test_a_taxonomy_gives_the_whole_path(folder):
    made = [task(upload(name), [["Land", LABELS[name]]], kind="taxonomy") for name in FILES]
    assert build_index(tasks(folder, made)).classes == ("Land/Forest", "Land/River")


def test_shapes_label_their_image(folder):
    made = [task(upload(name), [LABELS[name]], kind="rectanglelabels") for name in FILES]
    assert labels_of(build_index(tasks(folder, made))) == LABELS
    for one in made:  # an answer about the whole image goes before shapes
        one["annotations"][0]["result"] += task("x", ["Land"])["annotations"][0]["result"]
    made[0]["annotations"][0]["result"][1]["value"]["choices"] = ["Water"]
    with pytest.raises(DataError, match="class 'Water' has 1 patch"):
        build_index(tasks(folder, made))


def test_skipped_and_unanswered_images_are_counted(folder):
    made = [task(upload(name), [LABELS[name]]) for name in FILES]
    made[0] = task(upload(FILES[0]), ["Forest"], was_cancelled=True)
    made[4]["annotations"] = []
    index = build_index(tasks(folder, made))
    assert labels_of(index) == {name: label for name, label in LABELS.items() if name not in (FILES[0], FILES[4])}
    assert index.notes == ("left out, images skipped or not annotated: 2",)


def test_annotators_who_disagree(folder):
    made = [task(upload(name), [LABELS[name]]) for name in FILES]
    made[0] = task(upload(FILES[0]), ["River"], ["Forest"], ["Forest"])
    made[1] = task(upload(FILES[1]), ["River"], ["Forest"])
    index = build_index(tasks(folder, made))
    assert labels_of(index) == {name: label for name, label in LABELS.items() if name != FILES[1]}
    assert index.notes == (
        "left out, images on which annotators disagree: 1",
        "images on which annotators disagree, labeled as most of them say: 1",
    )
    made[1]["annotations"][1]["ground_truth"] = True
    assert labels_of(build_index(tasks(folder, made))) == LABELS


def test_several_questions_are_refused(folder):
    made = [task(upload(name), [LABELS[name]]) for name in FILES]
    made[0] = task(upload(FILES[0]), ["good"], question="quality")
    with pytest.raises(DataError, match="answers several questions: class, quality") as caught:
        build_index(tasks(folder, made))
    assert "CSV of path,label" in caught.value.fix


def test_images_that_are_not_there_or_could_be_several(folder):
    for n in range(2):
        write(folder / "abc"[n] / "twin.png", encoded(picture(90 + n)))
    made = [task(upload(name), [LABELS[name]]) for name in FILES]
    made += [task(upload(f"gone_{n}.png"), ["Forest"]) for n in range(5)] + [task(upload("twin.png"), ["Forest"])]
    index = build_index(tasks(folder, made))
    assert labels_of(index) == LABELS
    gone = ", ".join(upload(f"gone_{n}.png") for n in range(3))
    assert index.notes == (
        f"left out, labeled images not there: 5 ({gone} and 2 more)",
        f"left out, labeled images that could be several files: 1 ({upload('twin.png')})",
    )
    assert [left.line() for left in index.left_out] == ["left out, images that the table does not list: 2 (a 1, b 1)"]
    with pytest.raises(DataError, match=r"none of the 5 labeled images of .* is beneath its folder"):
        build_index(tasks(folder, made[8:13]))


def test_folders_in_the_path_tell_files_of_one_name_apart(folder):
    made = []
    for label in ("Forest", "River"):
        for n in range(3):
            write(folder / "scenes" / label / f"{n}.png", encoded(picture(50 + n + 10 * len(label))))
            made.append(task(f"/data/local-files/?d=far/away/{label}/{n}.png", [label]))
    index = build_index(tasks(folder, made))
    assert index.class_counts == {"Forest": 3, "River": 3}
    assert all(f"/{label}/" in path for path, label in zip(index.paths, index.labels, strict=True))


def test_names_are_found_as_a_server_stores_them(folder):
    write(folder / "images" / "my scene (1).png", encoded(picture(77)))
    made = [task(upload(name), [LABELS[name]]) for name in FILES] + [task(upload("my_scene_1.png"), ["Forest"])]
    assert labels_of(build_index(tasks(folder, made)))["my scene (1).png"] == "Forest"


def cvat(images, meta=""):
    body = "\n".join(images)
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{body}</annotations>'


def tagged(name, *labels, attributes="", subset="", shape=""):
    tags = "".join(f'<tag label="{label}" source="manual">{attributes}</tag>' for label in labels)
    return f'<image id="0" name="{name}" subset="{subset}" width="16" height="16">{tags}{shape}</image>'


META = "<meta><task><labels><label><name>Forest</name><attributes><attribute><name>q</name></attribute></attributes>"
META += "</label></labels></task></meta>"


@pytest.mark.parametrize("packing", ["file", "folder", "zip"])
def test_cvat_s_tags(packing, folder, tmp_path):
    source = write(folder / "annotations.xml", cvat([tagged(name, LABELS[name]) for name in FILES], META).encode())
    if packing == "zip":
        members = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*") if p.is_file()}
        source = packed(tmp_path / "task.zip", members)
    assert labels_of(build_index(folder if packing == "folder" else source)) == LABELS


def test_cvat_s_attributes_shapes_subsets_and_unlabeled_images(folder):
    def attribute(label, quality="good"):
        return f'<attribute name="class">{label}</attribute><attribute name="quality">{quality}</attribute>'

    def indexed(images):
        return build_index(write(folder / "annotations.xml", cvat(images).encode()))

    assert labels_of(indexed([tagged(n, "patch", attributes=attribute(LABELS[n])) for n in FILES])) == LABELS
    questions = [tagged(n, "patch", attributes=attribute(LABELS[n], n)) for n in FILES]
    with pytest.raises(DataError, match="several questions: class, quality"):
        indexed(questions)
    boxes = [tagged(n, shape=f'<box label="{LABELS[n]}" xtl="0" ytl="0" xbr="3" ybr="3"></box>') for n in FILES]
    assert labels_of(indexed(boxes)) == LABELS
    split = [tagged(n, LABELS[n], subset="Train" if "0" not in n else "Validation") for n in FILES]
    assert indexed(split).split_counts == {"train": 6, "val": 2}
    some = indexed([tagged(n, *([LABELS[n]] if "3" not in n else [])) for n in FILES])
    assert len(some) == 6
    assert some.notes == ("left out, images skipped or not annotated: 2",)
    several = indexed([tagged(n, LABELS[n], *(["River"] if n == FILES[0] else [])) for n in FILES])
    assert several.label_sets[0] == ("Forest", "River")


HOSTILE = {
    "entities": '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;">]><annotations><image name="&y;"/></annotations>',
    "a file": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations><image name="&x;"/></annotations>',
    "another document": '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><annotations/>',
    "cut": "<annotations><image",
    "no text": "",
    "other XML": "<annotation><filename>a.png</filename></annotation>",
    "a video": '<annotations><track id="0" label="car"/></annotations>',
    "deep": "<a>" * 5000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_and_other_xml_ends_in_one_sentence(kind, folder):
    with pytest.raises(DataError) as caught:
        build_index(write(folder / "annotations.xml", HOSTILE[kind].encode()))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        [],
        [1],
        [{"data": 3}],
        [{"data": {"text": "a"}}],
        [{"data": {"image": "a.png"}, "annotations": 7}],
        [{"data": {"image": "a.png"}, "annotations": [{"result": 7}]}],
        [{"image": "a.png", "choice": "[" * 100_000}],
        [{"image": "a.png"}],
        {"items": []},
        {"items": [1]},
        "[" * 9000,
    ],
    ids=lambda content: str(content)[:60],
)
def test_damaged_exports_end_in_one_sentence(content, folder):
    text = content if isinstance(content, str) else json.dumps(content)
    with pytest.raises(DataError) as caught:
        build_index(write(folder / "export.json", text.encode()))
    assert "\n" not in str(caught.value)


def test_datumaro_s_json(folder):
    classes = ["Forest", "River"]
    content = {
        "info": {},
        "categories": {"label": {"labels": [{"name": name, "parent": ""} for name in classes]}},
        "items": [
            {
                "id": name.removesuffix(".png"),
                "annotations": [{"id": 0, "type": "label", "label_id": classes.index(LABELS[name])}],
                "image": {"path": name},
            }
            for name in FILES
        ],
    }
    assert labels_of(build_index(write(folder / "default.json", json.dumps(content).encode()))) == LABELS


@pytest.mark.parametrize("first", ["info", "licenses", "categories", "images"])
def test_coco_is_not_taken_for_another_export(first, folder):
    content = {
        "info": {"description": "items"},
        "licenses": [],
        "images": [{"id": n, "file_name": f"images/{name}"} for n, name in enumerate(FILES)],
        "annotations": [{"image_id": n, "category_id": int("river" in name)} for n, name in enumerate(FILES)],
        "categories": [{"id": 0, "name": "Forest"}, {"id": 1, "name": "River"}],
    }
    ordered = {first: content[first]} | content
    assert labels_of(build_index(write(folder / "result.json", json.dumps(ordered).encode()))) == LABELS
