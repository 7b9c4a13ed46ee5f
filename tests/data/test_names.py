"""Class names: one spelling from every source, and names that look alike."""

from __future__ import annotations

import json
import unicodedata

import pytest

from swath.data import audit, build_index
from swath.data.names import class_name, describe_lookalikes, lookalikes
from tests.data.makers import encoded, packed, picture, tree

TWINS = [
    ("Forest", "forest"),
    ("Forest", "FOREST"),
    ("Sea Lake", "Sea_Lake"),
    ("SeaLake", "sea-lake"),
    ("Sea Lake", "Sea  Lake"),
    ("Sea Lake", "Sea\u00a0Lake"),
    ("Sea-Lake", "Sea\u2013Lake"),
    ("Forêt", "Foret"),
    ("Straße", "STRASSE"),
    ("Forest", "Forest."),
    ("Forest", "\uff26\uff4f\uff52\uff45\uff53\uff54"),
    ("Forest", "F\u043erest"),  # Cyrillic o
    ("River", "R\u200biver"),  # zero-width space
    ("Beach", "\u0412each"),  # Cyrillic Ve
    ("Agua", "\u0391gua"),  # Greek Alpha
    ("Вода", "вода"),
    ("Field's edge", "Field\u2019s edge"),
    ("class_1_2", "class 1-2"),
]
OTHERS = [
    ("Forest", "Forests"),
    ("AnnualCrop", "PermanentCrop"),
    ("class_1_2", "class_12"),
    ("1", "2"),
    ("River", "Rivet"),
    ("not landfill", "landfill"),
    ("+", "-"),
    ("水田", "水出"),
]


@pytest.mark.parametrize(("one", "two"), TWINS)
def test_names_that_look_alike_are_found(one, two):
    assert lookalikes({one: 5, two: 3, "Unrelated": 9}) == ((one, two),)
    assert lookalikes({one: 3, two: 5, "Unrelated": 9}) == ((two, one),)


@pytest.mark.parametrize(("one", "two"), OTHERS)
def test_other_names_do_not_look_alike(one, two):
    assert lookalikes({one: 5, two: 3}) == ()


def test_sets_join_through_a_common_name_and_are_described():
    counts = {"sea lake": 1, "Sea_Lake": 4, "SEA-LAKE": 2, "F\u043erest": 3, "Forest": 8, "River": 1}
    sets = lookalikes(counts)
    assert sets == (("Forest", "F\u043erest"), ("Sea_Lake", "SEA-LAKE", "sea lake"))
    # What cannot be told apart on a screen is shown with its codes.
    assert describe_lookalikes(sets, counts) == (
        "'Forest' (8) and 'F\\u043erest' (3); 'Sea_Lake' (4) and 'SEA-LAKE' (2) and 'sea lake' (1)"
    )


def test_one_spelling():
    assert class_name("  For\u0065\u0302t ") == "Forêt"


def listed(folder, names, *, kind):
    """Three patches per name in a source of some kind; names of folders may not all be possible elsewhere."""
    images = [(f"{row}_{n}.png", name) for row, name in enumerate(names) for n in range(3)]
    if kind == "folder":
        for row, name in enumerate(names):
            tree(folder / str(row), classes=(name,))
            (folder / str(row) / name).rename(folder / name)
            (folder / str(row)).rmdir()
            for n, file in enumerate(sorted((folder / name).iterdir())):
                file.write_bytes(encoded(picture(10 * row + n)))
        return folder
    data = {path: encoded(picture(10 * int(path[0]) + int(path[2]))) for path, _ in images}
    if kind == "zip":
        return packed(folder / "in.zip", {f"{name}/{path}": data[path] for path, name in images})
    for path, content in data.items():
        (folder / path).write_bytes(content)
    if kind == "csv":
        rows = [f'{path},"{name}"' for path, name in images]
        (folder / "list.csv").write_text("\n".join(["path,label", *rows]), encoding="utf-8")
        return folder / "list.csv"
    if kind == "coco":
        content = {
            "images": [{"id": n, "file_name": path} for n, (path, _) in enumerate(images)],
            "annotations": [{"image_id": n, "category_id": names.index(name)} for n, (_, name) in enumerate(images)],
            "categories": [{"id": n, "name": name} for n, name in enumerate(names)],
        }
        (folder / "list.json").write_text(json.dumps(content), encoding="utf-8")
        return folder / "list.json"
    return [(str(folder / path), name) for path, name in images]


@pytest.mark.parametrize("kind", ["folder", "zip", "csv", "coco", "pairs"])
def test_the_same_names_are_the_same_classes_from_every_source(kind, tmp_path):
    names = [unicodedata.normalize("NFD", "Forêt"), "Champ ", "River"]
    assert build_index(listed(tmp_path, names, kind=kind)).classes == ("Champ", "Forêt", "River")


def test_spellings_of_one_class_in_a_tree_are_told(tmp_path):
    names = ["Forêt", unicodedata.normalize("NFD", "Forêt"), "River", "River "]
    made = build_index(listed(tmp_path, names, kind="folder"))
    assert made.class_counts == {"Forêt": 6, "River": 6}
    assert made.notes == (
        "one class, 'Forêt', is spelled in 2 ways (spaces around it or the form of its letters): "
        "'Fore\\u0302t', 'For\\xeat'",
        "one class, 'River', is spelled in 2 ways (spaces around it or the form of its letters): 'River', 'River '",
    )


@pytest.mark.parametrize("kind", ["folder", "zip", "csv"])
def test_audit_warns_of_classes_that_look_alike(kind, tmp_path):
    found = audit(build_index(listed(tmp_path, ["Forest", "forest", "River"], kind=kind)))
    (text,) = [finding.text for finding in found.findings if finding.kind == "look-alike"]
    assert "'Forest' (3) and 'forest' (3)" in text
    assert "--merge-lookalikes" in text
