from __future__ import annotations

import io
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data import build_index
from swath.data.filenames import Listing, tally
from swath.data.trees import entries_from_tree
from swath.errors import DataError

from .makers import encoded, packed, picture, write

Shape = dict[tuple[str, str | None], int]


def grown(*folders: str, each: int = 3) -> list[str]:
    """Names of `each` images in every folder."""
    return [f"{folder}/{n}.png" for folder in folders for n in range(each)]


def split(*names: str, classes=("Forest", "River"), inner="") -> list[str]:
    return grown(*(f"{name}/{inner}{label}" for name in names for label in classes))


def read(names, **settings):
    return entries_from_tree(Listing(tuple(sorted(names))), where="src", **settings)


def shape(entries) -> Shape:
    return dict(Counter((row.label, row.split) for row in entries.rows))


def both(*splits: str | None, each: int = 3) -> Shape:
    return {(label, one): each for one in splits for label in ("Forest", "River")}


# What lies in the tree, the classes and splits it is read as, and why and how many images are left out.
LAYOUTS: dict[str, tuple[list[str], Shape, dict[str, int]]] = {
    "classes": (grown("Forest", "River"), both(None), {}),
    "a wrapper": (grown("set/Forest", "set/River"), both(None), {}),
    "wrappers of any depth": (grown("a/data/EuroSAT/2750/Forest", "a/data/EuroSAT/2750/River"), both(None), {}),
    "splits": (split("train", "val", "test"), both("train", "val", "test"), {}),
    "splits doubled": (split("train", inner="train/") + split("test", inner="test/"), both("train", "test"), {}),
    "splits in other spellings": (split("training", "validation", "testing"), both("train", "val", "test"), {}),
    "a prefix": (split("seg_train", inner="seg_train/") + split("seg_test", inner="seg_test/"),
                 both("train", "test"), {}),
    "a prefix and images of no class": (
        split("seg_train", inner="seg_train/") + split("seg_test", inner="seg_test/") + grown("seg_pred/seg_pred"),
        both("train", "test"), {"images without a label": 3}),
    "images": (split("train_images", "test_images"), both("train", "test"), {}),
    "sets": (split("training_set", inner="training_set/") + split("test_set", inner="test_set/"),
             both("train", "test"), {}),
    "capitals": (split("TRAIN-set", "Valid-SET", "TEST-set"), both("train", "val", "test"), {}),
    "camel case": (split("TrainImages", "TestImages"), both("train", "test"), {}),
    "years": (split("train2017", "val2017"), both("train", "val"), {}),
    "numbered": (split("01_train", "02_val", "03_test"), both("train", "val", "test"), {}),
    "dev": (split("train", "dev", "test"), both("train", "val", "test"), {}),
    "dev and holdout": (split("Train", "Dev", "Hold-out"), both("train", "val", "test"), {}),
    "eval alone": (split("train", "eval"), both("train", "test"), {}),
    "eval next to test": (split("train", "eval", "test"), both("train", "val", "test"), {}),
    "the name of the set": (split("eurosat_train", "eurosat_val", "eurosat_test"), both("train", "val", "test"), {}),
    "the name of the set last": (split("train_eurosat", "test_eurosat"), both("train", "test"), {}),
    "German": (split("Training", "Validierung", "Test"), both("train", "val", "test"), {}),
    "French": (split("entraînement", "validation", "test"), both("train", "val", "test"), {}),
    "Spanish": (split("entrenamiento", "validación", "prueba"), both("train", "val", "test"), {}),
    "Portuguese": (split("treino", "validação", "teste"), both("train", "val", "test"), {}),
    "Chinese": (split("训练集", "验证集", "测试集"), both("train", "val", "test"), {}),
    "Japanese": (split("学習用データ", "検証", "テストデータ"), both("train", "val", "test"), {}),
    "Russian": (split("обучение", "валидация", "тест"), both("train", "val", "test"), {}),
    "train and val together": (split("trainval", "test"), both(None, "test"), {}),
    "images within splits": (split("train", "test", inner="images/"), both("train", "test"), {}),
    "test without labels": (split("train", "validation") + grown("test/test"), both("train", "val"),
                            {"images without a label": 3}),
    "test without labels or folder": (split("train") + grown("test"), both("train"), {"images without a label": 3}),
    "test in a folder that is no class": (split("train") + grown("test/test_images"), both("train"),
                                          {"images without a label": 3}),
    "test of one of the classes": (split("train") + grown("test/Forest"),
                                   {**both("train"), ("Forest", "test"): 3}, {}),
    "test without labels next to classes": (grown("Forest", "River", "test"), both(None),
                                            {"images without a label": 3}),
    "test without labels next to a wrapper": (grown("data/Forest", "data/River", "test"), both(None),
                                              {"images without a label": 3}),
    "splits within classes": (grown("Forest/train", "Forest/test", "River/train", "River/test"),
                              both("train", "test"), {}),
    "splits within classes, images beside": (
        grown("Forest/train", "Forest", "River/train", "River"), both("train", None), {}),
    "splits within classes, wrapped": (grown("a/b/Forest/Training", "a/b/River/Validation"),
                                       {("Forest", "train"): 3, ("River", "val"): 3}, {}),
    "years within classes": (grown("Forest/2019", "Forest/2020", "River/2019", "River/2020"), both(None, each=6), {}),
    "tiles within classes": (grown("Forest/T32UMD", "River/T33UUP", "River/T32UMD"),
                             {("Forest", None): 3, ("River", None): 6}, {}),
    "splits deep within classes": (grown("Forest/2019/train", "River/2019/train", "River/2020/test"),
                                   {("Forest", "train"): 3, ("River", "train"): 3, ("River", "test"): 3}, {}),
    "splits in short": (grown("Forest/tr", "Forest/te", "River/tr", "River/te"), both("train", "test"), {}),
    "several tests": (split("train", "test1", "test2"),
                      {**both("train"), **dict.fromkeys(both("test"), 6)}, {}),
    "shares": (split("train_80", "test_20"), both("train", "test"), {}),
    "unlabeled images in folders": (split("train", "test") + grown("unlabeled/a"), both("train", "test"),
                                    {"images without a label": 3}),
    "outcomes of a test": (grown("test_passed", "test_failed"),
                           {("test_passed", None): 3, ("test_failed", None): 3}, {}),
    "a class named train among vehicles": (grown("bus", "car", "train"),
                                           {(label, None): 3 for label in ("bus", "car", "train")}, {}),
    "classes that only look like splits": (
        grown("test_site", "train_station", "training_ground", "airport"),
        {(label, None): 3 for label in ("test_site", "train_station", "training_ground", "airport")}, {}),
    "such classes alone": (grown("test_site", "train_station"),
                           {("test_site", None): 3, ("train_station", None): 3}, {}),
    "such classes with folders within": (
        grown("test_site/2019", "test_site/2020", "train_station/2019", "train_station/2020"),
        {("test_site", None): 6, ("train_station", None): 6}, {}),
    "sensors within classes": (grown("Forest/S2", "Forest/L8", "River/S2", "River/L8"), both(None, each=6), {}),
    "such classes within splits": (
        split("train", "test", classes=("train_station", "test_site")),
        {(label, one): 3 for one in ("train", "test") for label in ("train_station", "test_site")}, {}),
    "numbers as classes": (grown("0", "1", "02"), {("0", None): 3, ("1", None): 3, ("02", None): 3}, {}),
    "a stray image": (["preview.png", *grown("EuroSAT/Forest", "EuroSAT/River")], both(None),
                      {"images in no class folder": 1}),
    "a stray image in a split": (["train/contact.png", *split("train", "test")], both("train", "test"),
                                 {"images in no class folder": 1}),
    "a folder of figures": (grown("docs", "EuroSAT/Forest", "EuroSAT/River"), both(None),
                            {"images in no class folder": 3}),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_as_its_names_say(layout):
    names, expected, left_out = LAYOUTS[layout]
    entries = read(names)
    assert shape(entries) == expected
    assert {one.reason: one.count for one in tally(entries.left_out)} == left_out
    assert len(entries.rows) + sum(left_out.values()) == len(names)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_wrapping_folders_change_nothing(layout):
    names, expected, left_out = LAYOUTS[layout]
    entries = read([f"archive (1)/my data/{name}" for name in names])
    assert shape(entries) == expected
    assert {one.reason: one.count for one in tally(entries.left_out)} == left_out


def real_files(names):
    return {name: encoded(picture(seed, size=8)) for seed, name in enumerate(names)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_and_its_zip_are_indexed_alike(tmp_path, layout):
    names, expected, left_out = LAYOUTS[layout]
    files = real_files(names)
    for name, data in files.items():
        write(tmp_path / "in" / name, data)
    archive = packed(tmp_path / "in.zip", files)
    made = [build_index(tmp_path / "in"), build_index(archive)]
    for index in made:
        rows = zip(index.column("label"), index.column("split"), strict=True)
        assert dict(Counter(rows)) == expected
        assert {one.reason: one.count for one in index.left_out} == left_out
    assert made[0].table == made[1].table
    assert made[0].notes == made[1].notes


@pytest.mark.parametrize(
    ("names", "message", "option"),
    [
        ([], "holds no images", "Class/image"),
        (["notes.txt", "A/data.mat"], r"holds no images \(1 \.mat\)", "images end in"),
        (["A/1.heic", "B/2.heic", "B/3.avif"], r"holds no images \(2 \.heic, 1 \.avif\)", "images end in"),
        (["train.zip", "test.zip", "readme.md"], r"no images, but 2 archive\(s\) \(test\.zip, train\.zip\)", "unpack"),
        (["1.jpg", "A/2.jpg"], r"1\.jpg lies in no class folder", "CSV"),
        (["1.jpg", "2.jpg"], r"1\.jpg lies in no class folder", "CSV"),
        (["train/1.jpg", "test/A/2.jpg"], r"train/1\.jpg lies in no class folder", "split/Class/image"),
        (grown("train", "test"), "lies in no class folder", "--labels 1"),
        (grown("train_images", "test_images"), "lies in no class folder", "--labels 1"),
        (grown("x/seg_train", "x/seg_test"), "lies in no class folder", "--labels 2"),
        (["train/A/1.jpg", "Town/2.jpg"], r"split folders \(train\) next to others \(Town\)", "--labels 2"),
        (split("train", "val", "samples"), r"split folders .* next to others \(samples\)", "--labels 2"),
        (grown("train", "test", "Forest"), r"split folders .* next to others \(Forest\)", "--labels 1"),
        (split("fold1/train", "fold2/train", "fold1/test", "fold2/test"), "holds splits of its own", "fold1"),
        (
            [*grown("A/train", "A/test", "B/train"), "B/backup/1.png"],
            r"\(test, train\) next to others \(backup\) within",
            "--labels 1",
        ),
        (split("north", "south"), r"north, south hold folders of the same names \(Forest, River\)", "--labels 2"),
        (split("train/north", "train/south", "test/north", "test/south"), "either may be the classes", "--labels 3"),
        (grown("images", "masks"), "hold pictures and what is marked in them", "--labels 1"),
        (grown("train/images", "train/labels", "val/images", "val/labels"), "what is marked", "--labels 2"),
        (split("a/x/train", "b/x/train"), "several trees", "--labels 4"),
        (split("rgb/train", "rgb/test", "nir/train", "nir/test"), "several trees", "--labels 3"),
    ],
)
def test_what_cannot_be_read_is_refused_with_an_option(names, message, option):
    with pytest.raises(DataError, match=message) as caught:
        read(names)
    assert option in str(caught.value.fix)


@pytest.mark.parametrize(
    ("names", "level", "expected"),
    [
        (grown("train", "test"), 1, {("train", None): 3, ("test", None): 3}),
        (split("x/seg_train", "x/seg_test"), 3, both("train", "test")),
        (split("train", "val", "samples"), 2, {**both("train", "val"), **both(None)}),
        (split("rgb/train", "nir/test"), 3, both("train", "test")),
        (split("north", "south"), 2, both(None, each=6)),
        (["stray.png", *grown("north/Forest", "south/River")], 2, both(None)),
    ],
)
def test_a_level_says_which_folder_is_the_class(names, level, expected):
    assert shape(read(names, level=level)) == expected


@pytest.mark.parametrize("level", [0, -1, 4])
def test_a_level_without_folders_is_refused(level):
    with pytest.raises(DataError, match=r"names no folder|no class folder"):
        read(grown("Forest", "River"), level=level)


@pytest.mark.parametrize("names", [["fold1", "fold2", "fold3"], ["Fold_01", "Fold_02"], ["k-fold-1", "k-fold-2"],
                                   ["1", "2", "3"], ["part1", "part2"], ["2019", "2020"],
                                   ["2020-01", "2020-02"], ["20200103", "20200115"], ["T32UMD", "T33UUP"]])  # fmt: skip
def test_folds_and_numbered_parts_are_groups(names):
    entries = read(split(*names))
    assert shape(entries) == both(None, each=3 * len(names))
    assert {row.group for row in entries.rows} == set(names)
    assert all(row.path.startswith(f"{row.group}/") for row in entries.rows)
    assert "swath data split --by group" in entries.notes[0]


def test_folds_of_numbered_classes_are_groups_and_numbers_alone_are_classes():
    folds = read(split("fold1", "fold2", classes=("0", "1")))
    assert {row.label for row in folds.rows} == {"0", "1"}
    with pytest.raises(DataError, match="either may be the classes; say which with --labels 1 or --labels 2"):
        read(split("10", "20", classes=("0", "1")))


def test_folds_that_lack_a_class_are_groups_all_the_same():
    names = grown("fold1/A", "fold1/B", "fold1/C", "fold2/A", "fold2/B", "fold3/B", "fold3/C")
    assert {row.label for row in read(names).rows} == {"A", "B", "C"}


def test_unusual_split_names_are_told():
    assert read(split("train", "test")).notes == ()
    assert read(split("seg_train", "seg_test")).notes == ("splits from folders: seg_test = test, seg_train = train",)


def test_a_class_of_which_nothing_can_be_read_is_named():
    listing = Listing(
        tuple(sorted([*grown("A", "B"), "C/1.heic", "C/2.heic", "A/3.heic", "docs/readme.md"])),
        left_out=(("D/1.png", "broken links"), ("B/9.png", "broken links")),
        empty=("E",),
    )
    entries = entries_from_tree(listing, where="src")
    assert {row.label for row in entries.rows} == {"A", "B"}
    told = "\n".join(entries.notes)
    assert "class folder 'C' holds no image that can be read, so there is no such class (2 files of kinds" in told
    assert "class folder 'D'" in told
    assert "(1 broken links)" in told
    assert "class folder 'E'" in told
    assert "'docs'" not in told
    assert {one.reason: dict(one.places) for one in tally(entries.left_out)} == {
        "broken links": {"B": 1, "D": 1},
        "files of kinds that are not read": {"C/*.heic": 2, "A/*.heic": 1},
        "empty folders": {"E": 1},
    }


def test_links_pipes_thumbnails_and_empty_folders_are_counted_and_never_opened(tmp_path):
    import os

    for name, data in real_files(grown("A", "B", "B/@eaDir", ".ipynb_checkpoints", "#recycle/A")).items():
        write(tmp_path / name, data)
    (tmp_path / "C").mkdir()
    for n in range(3):
        (tmp_path / "C" / f"{n}.png").symlink_to(tmp_path / "gone" / f"{n}.png")
    (tmp_path / "D").mkdir()
    os.mkfifo(tmp_path / "A" / "pipe.png")
    index = build_index(tmp_path)
    assert index.classes == ("A", "B")
    assert {one.reason: dict(one.places) for one in index.left_out} == {
        "broken links": {"C": 3},
        "pipes, sockets or devices": {"A": 1},
        "empty folders": {"D": 1},
        "thumbnails and other files that a system made": {"#recycle": 3, ".ipynb_checkpoints": 3, "@eaDir": 3},
    }
    assert [note.split("'")[1] for note in index.notes] == ["C", "D"]


def test_a_zip_says_the_same_of_thumbnails_and_empty_folders(tmp_path):
    path = packed(tmp_path / "z.zip", real_files(grown("A", "B", "B/@eaDir", "__MACOSX/A")))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("C/", b"")
        archive.writestr("inner.zip", io.BytesIO().getvalue())
    index = build_index(path)
    assert {one.reason: dict(one.places) for one in index.left_out} == {
        "archives within, to be unpacked first": {"inner.zip": 1},
        "empty folders": {"C": 1},
        "thumbnails and other files that a system made": {"@eaDir": 3, "__MACOSX": 3},
    }
    assert "class folder 'C'" in index.notes[0]


PARTS = st.sampled_from(
    ["train", "test", "val", "seg_train", "seg_test", "fold1", "fold2", "A", "B", "2019", "docs", "images"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(PARTS, max_size=4), min_size=1, max_size=12))
def test_every_image_of_any_tree_is_read_or_left_out_with_a_reason(folders):
    names = sorted({"/".join([*parts, f"{n}.png"]) for n, parts in enumerate(folders)})
    try:
        entries = read(names)
    except DataError:
        return
    left_out = sum(one.count for one in tally(entries.left_out))
    assert len({row.path for row in entries.rows}) + left_out == len(names)
    assert len(entries.rows) == len({row.path for row in entries.rows})
    classes = {row.label for row in entries.rows}
    assert not {"seg_train", "seg_test"} <= classes or any("is read as a class" in note for note in entries.notes)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=4), min_size=1, max_size=12), st.randoms())
def test_the_order_of_files_changes_nothing(folders, random):
    names = sorted({"/".join([*parts, f"{n}.png"]) for n, parts in enumerate(folders)})
    shuffled = list(names)
    random.shuffle(shuffled)

    def outcome(listed):
        try:
            entries = entries_from_tree(Listing(tuple(listed)), where="src")
        except DataError as error:
            return str(error)
        return {(row.path, row.label, row.split, row.group) for row in entries.rows}, sorted(entries.left_out)

    assert outcome(names) == outcome(sorted(shuffled))


def test_a_tree_of_no_end_is_refused(tmp_path):
    deep = Path(*["d"] * 80)
    (tmp_path / deep).mkdir(parents=True)
    with pytest.raises(DataError, match="more than 64 folders deep"):
        build_index(tmp_path)
