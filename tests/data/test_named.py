from __future__ import annotations

from dataclasses import replace

import pytest

from swath.data import build_index, get, named
from swath.data.named import NAMED, SHIPPED, contents_digest, find_named, shipped_name, shipped_path
from swath.errors import DataError, OutputError, SettingError

from .makers import packed, tree


@pytest.mark.parametrize("known", NAMED.values(), ids=NAMED)
def test_what_is_known_of_each_set_is_whole(known):
    assert NAMED[known.name] is known
    assert len(known.sha256 or known.contents) == 64
    if known.contents:  # nobody may pass it on
        assert not known.urls
        assert known.license == "unknown"
        assert known.page
        return
    assert set(known.sha256) <= set("0123456789abcdef")
    assert known.size > 0
    assert known.urls
    assert all(url.startswith("https://") for url in known.urls)
    assert known.license
    assert known.attribution


def test_shipped_sets_are_there_and_have_facts():
    for name, whole in SHIPPED.items():
        path = shipped_path(name)
        assert path.stat().st_size <= 8 * 2**20
        assert shipped_name(path) == name
        assert whole in NAMED


def test_other_files_are_not_taken_for_shipped_ones(tmp_path):
    assert shipped_name(tmp_path / "eurosat-mini.zip") is None
    assert shipped_name(shipped_path("eurosat-mini").with_name("ATTRIBUTION.md")) is None


def test_unknown_names_list_the_known_ones():
    with pytest.raises(SettingError, match=r"no data set is named 'eurosta'.*eurosat-rgb"):
        find_named("eurosta")
    with pytest.raises(SettingError, match="shipped with swath and needs no download"):
        find_named("eurosat-mini")
    with pytest.raises(SettingError, match=r"no shipped data set is named 'x'.*eurosat-mini"):
        shipped_path("x")


def test_an_installation_without_its_data_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "_shipped_folder", lambda: tmp_path)
    with pytest.raises(SettingError, match="install swath again"):
        shipped_path("eurosat-mini")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The files of a set that no host may offer, by their places in its usual archive."""
    root = tree(tmp_path / "made")
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.png"))}
    index = build_index(root)
    contents = contents_digest(zip(index.labels, index.column("sha256"), strict=True))
    monkeypatch.setitem(NAMED, "scenes4", replace(NAMED["scenes4"], contents=contents, faults=("it is made up",)))
    return files


PACKINGS = {
    "as found": lambda name: name,
    "another root": lambda name: f"archive/{name}",
    "other file names": lambda name: name.replace("_", "-no-"),
    "a stray file": lambda name: name,
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_set_without_a_host_is_recognized_however_it_is_packed(packing, own, tmp_path):
    members = {PACKINGS[packing](name): data for name, data in own.items()}
    if packing == "a stray file":
        members |= {"README.md": b"hello", "__MACOSX/Town/._Town_0.png": b"x"}
    archive = packed(tmp_path / "theirs.zip", members)
    got = get("scenes4", tmp_path / "out", file=archive)
    assert got == tmp_path / "out" / "scenes4.zip"
    assert got.read_bytes() == archive.read_bytes()
    assert get("scenes4", tmp_path / "out", file=got) == got  # it is there
    with pytest.raises(OutputError):
        get("scenes4", tmp_path / "out", file=archive)
    for source in (archive, got):
        made = build_index(source)
        assert made.name == "scenes4"
        assert set(made.column("license")) == {"unknown"}
        assert made.notes == ("scenes4: it is made up",)


def test_a_set_without_a_host_needs_the_file(own, tmp_path):
    with pytest.raises(SettingError, match="no host may offer scenes4, whose license is not established") as caught:
        get("scenes4", tmp_path)
    assert "--file ZIP" in caught.value.fix
    with pytest.raises(SettingError, match="no host may offer"):
        get("scenes4", tmp_path, mirror="http://127.0.0.1:9/x.zip")
    with pytest.raises(DataError, match="there is no file"):
        get("scenes4", tmp_path, file=tmp_path / "no.zip")
    with pytest.raises(DataError, match="is a folder"):
        get("scenes4", tmp_path, file=tmp_path)
    with pytest.raises(SettingError, match="eurosat-rgb has a publisher"):
        get("eurosat-rgb", tmp_path, file=tmp_path / "no.zip")


@pytest.mark.parametrize("change", ["one less", "one more", "another class"])
def test_other_contents_are_not_the_set(change, own, tmp_path):
    first = next(iter(own))
    members = dict(own)
    if change == "one less":
        del members[first]
    elif change == "one more":
        members["Town/more.png"] = own[first] + b" "
    else:
        members["Water/moved.png"] = members.pop(first)
    archive = packed(tmp_path / "theirs.zip", members)
    with pytest.raises(DataError, match=r"the \d+ images of .* are not those of scenes4") as caught:
        get("scenes4", tmp_path / "out", file=archive)
    assert "swath data index" in caught.value.fix
    assert not (tmp_path / "out").exists()
