"""Indexes from tables, pairs and datasets in memory: the same checks as from a CSV, the same index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.utils.data import Dataset
from torchvision.datasets import ImageFolder

from swath.data import PatchIndex, build_index
from swath.errors import DataError, OutputError, SettingError
from swath.imagery import decode

from .makers import packed, picture, tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tree(tmp_path / "in", each=4)


def facts(index: PatchIndex) -> list[tuple[str, ...]]:
    return [(row["path"], row["label"], row["sha256"], row["split"]) for row in index]


def frame_of(index: PatchIndex) -> pd.DataFrame:
    return pd.DataFrame({"path": index.paths, "label": index.labels})


def test_a_data_frame_gives_the_index_of_its_folder(folder: Path) -> None:
    expected = build_index(folder)
    absolute = frame_of(expected)
    absolute["path"] = [str(folder / path) for path in absolute["path"]]
    for made in (build_index(frame_of(expected), root=folder), build_index(absolute)):
        assert made.root == expected.root
        assert facts(made) == facts(expected)
        assert made.fingerprint == expected.fingerprint


def test_paths_start_from_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    expected = build_index(folder)
    made = build_index([(f"in/{path}", label) for path, label in zip(expected.paths, expected.labels, strict=True)])
    assert (made.root, facts(made)) == (expected.root, facts(expected))


def test_other_columns_rows_left_out_and_gaps(folder: Path) -> None:
    expected = build_index(folder)
    frame = frame_of(expected).assign(split="train", lon=10.5, lat=45.0, gsd=10.0, license="CC0")
    frame.loc[0, ["split", "lon", "lat"]] = [None, np.nan, np.nan]
    frame["group"] = ["scene" if n < 3 else None for n in range(len(frame))]
    made = build_index(frame[frame["path"] != expected.paths[5]], root=folder)  # its row numbers have a gap
    assert len(made) == len(expected) - 1
    assert made.column("split")[:2] == [None, "train"]
    assert made.column("lat")[:2] == [None, 45.0]
    assert made.column("group")[2:4] == ["scene", None]
    assert (made.gsd, made.license) == (10.0, "CC0")
    assert made.split_protocol == "as the source gives it"


def test_an_index_comes_back_from_its_own_table(folder: Path) -> None:
    index = build_index(folder)
    assert build_index(index.to_pandas(), root=index.root).fingerprint == index.fingerprint
    assert build_index(index.to_table(), root=index.root).fingerprint == index.fingerprint


def test_an_archive_may_be_the_root(tmp_path: Path, folder: Path) -> None:
    names = build_index(folder).paths
    archive = packed(tmp_path / "in.zip", {name: (folder / name).read_bytes() for name in names})
    made = build_index([(name, name.split("/")[0]) for name in names], root=archive)
    assert made.root == archive
    assert facts(made) == facts(build_index(folder))


def test_several_labels(folder: Path) -> None:
    paths = [str(path) for path in sorted(folder.rglob("*.png"))]
    pairs = [(path, ["wet", "green"] if n % 2 else ["green"]) for n, path in enumerate(paths)]
    table = pa.table({"path": paths, "labels": [labels for _, labels in pairs]})
    for made in (build_index(pairs), build_index(table)):
        assert made.multi_label
        assert made.label_sets[1] == ("green", "wet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": None}, "row 0: the label is empty"),
        ({"path": "../outside.png"}, "row 0: path"),
        ({"split": "later"}, "row 0: unknown split 'later'"),
        ({"lon": 200.0}, "row 0: lon"),
        ({"path": "Field/Field_1.png"}, "second time"),
        ({"path": "Field/gone.png"}, "1 image.s. are missing"),
    ],
)
def test_rows_are_checked_as_those_of_a_csv(folder: Path, change: dict[str, object], message: str) -> None:
    rows = [{"path": path, "label": path.split("/")[0]} for path in build_index(folder).paths]
    rows[0] |= change
    with pytest.raises(DataError, match=message):
        build_index(pd.DataFrame(rows), root=folder)


def test_other_columns_of_a_frame_are_told(folder: Path) -> None:
    rows = [{"Path": path, "Class": path.split("/")[0], "weight": 1} for path in build_index(folder).paths]
    made = build_index(pd.DataFrame(rows), root=folder)
    assert facts(made) == facts(build_index(folder))
    assert made.notes[-1].endswith("that are not used: weight")


def test_an_image_folder(folder: Path) -> None:
    assert facts(build_index(ImageFolder(str(folder)))) == facts(build_index(folder))


class Items(Dataset):
    """Pictures in memory, labeled by number."""

    def __init__(self, images: list[object], classes: list[str] | None = None) -> None:
        self.images = images
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: int) -> tuple[object, int]:
        return self.images[item], item % 2


def test_a_dataset_is_written_to_files(tmp_path: Path) -> None:
    pictures = [picture(n) for n in range(8)]
    arrays = [np.asarray(image) for image in pictures]
    tensors = [torch.from_numpy(array.transpose(2, 0, 1).copy()) for array in arrays]
    for name, images in (("pil", pictures), ("hwc", arrays), ("chw", tensors)):
        made = build_index(Items(images), out=tmp_path / name, classes=["Town", "Sea / lake"])
        assert made.root == tmp_path / name
        assert sorted(set(made.labels)) == ["Sea / lake", "Town"]
        first = made.paths.index("Town/000000.png")
        assert np.array_equal(decode(made.root / made.paths[first]).pixels, arrays[0].transpose(2, 0, 1))
    assert build_index(Items(pictures, ["a", "b"]), out=tmp_path / "own").classes == ("a", "b")


def test_what_a_dataset_lacks_is_named(tmp_path: Path) -> None:
    images = [picture(n) for n in range(6)]
    with pytest.raises(SettingError, match="out=FOLDER"):
        build_index(Items(images, ["a", "b"]))
    with pytest.raises(SettingError, match="classes="):
        build_index(Items(images), out=tmp_path / "out")
    with pytest.raises(DataError, match="1 classes"):
        build_index(Items(images), out=tmp_path / "out", classes=["a"])
    with pytest.raises(DataError, match="uint8 or uint16"):
        build_index(Items([torch.rand(3, 8, 8)] * 6, ["a", "b"]), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        build_index(Items(images, ["a", "b"]), out=tmp_path / "out")


@pytest.mark.parametrize(("source", "given"), [("folder", {"root": "x"}), ([("a", "b")], {"out": "x"})])
def test_arguments_that_do_not_go_with_the_source(folder: Path, source: object, given: dict[str, str]) -> None:
    with pytest.raises(SettingError, match=f"leave {next(iter(given))}="):
        build_index(folder if source == "folder" else source, **given)


@pytest.mark.parametrize("source", [[("a.png",)], ["a.png", "b.png"], []])
def test_what_holds_no_pairs(source: list[object]) -> None:
    with pytest.raises(DataError):
        build_index(source)


def test_what_is_no_source() -> None:
    with pytest.raises(SettingError, match="table, list"):
        build_index(42)
