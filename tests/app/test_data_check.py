"""A zip of labeled pictures: what is found, said and refused, and that nothing of it stays."""

from __future__ import annotations

import json
import shlex
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from swath.app import settings
from swath.app.data_check import DataCheck, check_archive, check_size, commands, without_commands
from swath.cli import app
from swath.data.cache import default_cache
from swath.errors import DataError, SwathError


def packed(out: Path, patches: Path, *, each: int = 6, more: dict[str, bytes] | None = None) -> Path:
    """Some patches of each class as a zip, and other files."""
    with zipfile.ZipFile(out, "w") as archive:
        for label in sorted(path for path in patches.iterdir() if path.is_dir()):
            for file in sorted(label.iterdir())[:each]:
                archive.write(file, f"{label.name}/{file.name}")
        for name, data in (more or {}).items():
            archive.writestr(name, data)
    return out


@pytest.fixture(scope="module")
def found(tiny_patches: Path, tmp_path_factory: pytest.TempPathFactory) -> DataCheck:
    """What is found in a zip with a copy in another class, a damaged picture and a text."""
    folder = tmp_path_factory.mktemp("check")
    river = sorted((tiny_patches / "River").iterdir())[0].read_bytes()
    more = {"Forest/river_again.png": river, "Forest/broken.png": b"\x89PNG no more", "__MACOSX/Forest/x.png": b"hello"}
    return check_archive(packed(folder / "my set.zip", tiny_patches, more=more), folder)


def test_counts_and_problems_are_those_of_the_report(found: DataCheck) -> None:
    facts = json.loads(found.numbers.read_text(encoding="utf-8"))
    assert facts["audit"]["patches"] == found.facts.audit.patches == 25
    assert sum(found.facts.classes["Forest"].values()) == 7
    assert found.facts.copies == 1
    said = " ".join(found.problems)
    assert "different labels" in said
    assert "river_again.png" in said
    assert "1 image was left out because of damage." in found.problems
    assert "swath " not in said
    page = found.page.read_text(encoding="utf-8")
    assert "my set" in page
    assert str(found.page.parent.parent) not in page, "no folder of this machine"


def test_what_was_passed_over_is_named(found: DataCheck) -> None:
    assert "cannot be read: Forest/broken.png" in found.passed_over
    assert any(line.startswith("left out") for line in found.passed_over)
    assert str(found.page.parent.parent) not in " ".join(found.passed_over)


def test_each_class_has_its_pictures(found: DataCheck) -> None:
    assert [one.caption for one in found.samples] == sorted(found.facts.classes)
    assert all(isinstance(one.source, bytes) and one.source.startswith(b"\x89PNG") for one in found.samples)


def test_nothing_decoded_stays(found: DataCheck) -> None:
    assert sorted(path.name for path in found.page.parent.parent.iterdir()) == ["my set.zip", "report"]
    rooted = [path for path in default_cache().rglob("*.parquet") if "my set" in path.read_bytes().decode("latin-1")]
    assert rooted == []


def test_the_commands_work_up_to_training(found: DataCheck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my set.zip").write_bytes((found.page.parent.parent / "my set.zip").read_bytes())
    monkeypatch.chdir(tmp_path)
    *lines, last = found.commands
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exit_code == 0, done.output
    assert last == "swath train 'my set-clean/index.parquet' --out 'runs/my set'"
    assert (tmp_path / "my set-clean" / "index.parquet").is_file()


def test_commands_say_no_more_than_is_needed() -> None:
    assert commands("a.zip", unreadable=False, fix=False, split=False) == (
        "swath data index a.zip --out a.parquet",
        "swath train a.parquet --out runs/a",
    )
    assert without_commands("They are in no split: swath data split.") == ""


def test_what_holds_too_much_is_refused(tiny_patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(tmp_path / "big.zip", tiny_patches)
    check_size(archive)
    monkeypatch.setattr(settings, "ARCHIVE_MB", 0.01)
    with pytest.raises(DataError, match="unpacks to"):
        check_size(archive)
    monkeypatch.setattr(settings, "ARCHIVE_PICTURES", 5)
    with pytest.raises(DataError, match="24 files"):
        check_size(archive)


def test_hostile_zips_are_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    for name, member in (("up.zip", "../../out.png"), ("root.zip", "/etc/out.png")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member, b"data")
        with pytest.raises(DataError, match="unsafe"):
            check_size(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Forest/zeros.png", bytes(64 * 2**20))
    with pytest.raises(DataError, match="unsafe"):
        check_size(tmp_path / "bomb.zip")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match=r"text\.zip is no zip archive"):
        check_size(tmp_path / "text.zip")


def test_pictures_without_classes_are_a_sentence(tmp_path: Path, tiny_patches: Path) -> None:
    with zipfile.ZipFile(tmp_path / "flat.zip", "w") as archive:
        archive.write(sorted((tiny_patches / "River").iterdir())[0], "a.png")
    with pytest.raises(SwathError):
        check_archive(tmp_path / "flat.zip", tmp_path / "out")
    assert not (tmp_path / "out" / "report").exists()
