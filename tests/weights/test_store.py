"""The store: named by content, verified at every use."""

from __future__ import annotations

import hashlib

import pytest

from swath.errors import DataError, SettingError
from swath.weights import Entry, Expectation, Store
from swath.weights.store import sha256_of

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def entry(name="hf:a/b/c.safetensors", **more):
    return Entry(name=name, sha256=DIGEST, size=len(CONTENT), filename="c.safetensors", **more)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "c.safetensors"
    path.write_bytes(CONTENT)
    return path


def test_what_is_put_in_comes_out(store, file):
    made = entry(license="mit", expects=Expectation())
    store.copy_in(file, made)
    assert store.find(made.name) == made
    assert store.path(made).read_bytes() == CONTENT
    assert store.path(made).name == DIGEST
    assert store.entries() == [made]


def test_an_empty_store_is_empty(store):
    assert store.entries() == []
    assert store.find("x") is None
    assert store.about(DIGEST) is None
    assert not store.folder.exists()


def test_its_place_is_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SWATH_CACHE", str(tmp_path))
    assert Store.default().folder == tmp_path / "weights"


def test_a_changed_file_is_never_given_out(store, file):
    store.copy_in(file, entry())
    place = store.holds(DIGEST)
    place.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(DataError, match=r"is not the file it was: its SHA-256 is") as caught:
        store.path(entry())
    assert "swath weights get hf:a/b/c.safetensors" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("hf:a/b/c.safetensors", "swath weights get hf:a/b/c.safetensors"),
        ("imagenet:resnet50", "swath weights get imagenet --network timm:resnet50"),
        (f"sha256:{DIGEST}", "swath weights add FILE"),
    ],
)
def test_a_missing_file_is_said_to_be_missing(store, file, name, mend):
    store.copy_in(file, entry(name))
    store.holds(DIGEST).unlink()
    with pytest.raises(DataError, match="the store lacks the file of") as caught:
        store.path(entry(name))
    assert mend in caught.value.fix


def test_two_names_share_one_file(store, file):
    store.copy_in(file, entry("a"))
    store.copy_in(file, entry("b", license="mit"))
    assert len(list((store.folder / "objects").iterdir())) == 1
    assert [e.name for e in store.entries()] == ["a", "b"]
    assert store.about(DIGEST).license == "mit"  # the one that knows more


def test_what_is_stated_of_the_content_comes_first_and_the_rest_is_filled_in(store, file):
    halves = Expectation(mean=(0.5, 0.5, 0.5))
    store.copy_in(file, entry(license="mit", license_url="https://x.example", expects=Expectation()))
    store.copy_in(file, entry(f"sha256:{DIGEST}", expects=halves))
    found = store.about(DIGEST)
    assert (found.license, found.license_url, found.expects) == ("mit", "https://x.example", halves)
    store.note(entry(f"sha256:{DIGEST}", license="cc-by-nc-4.0"))
    found = store.about(DIGEST)
    assert (found.license, found.license_url) == ("cc-by-nc-4.0", None)  # an address goes with its license
    assert found.expects == Expectation()
    assert store.about(DIGEST, name="hf:a/b/c.safetensors").license == "mit"


def test_a_note_that_was_not_finished_is_none(store, file):
    store.copy_in(file, entry())
    (store.folder / "names" / ".imagenet%3Aresnet50.abcd1234.json").write_text("")
    assert store.entries() == [entry()]


def test_nothing_is_left_behind(store, file):
    store.copy_in(file, entry())
    assert not [p for p in store.folder.rglob("*") if p.name.startswith(".")]
    with pytest.raises(DataError, match="changed while it was copied"):
        store.copy_in(file, entry().model_copy(update={"sha256": "0" * 64}))
    assert not [p for p in store.folder.rglob("*") if p.name.startswith(".") or p.name == "0" * 64]


@pytest.mark.parametrize("name", ["hf:a/b/" + "x" * 500, "../../../etc/passwd", "a b%c\\d", "ä" * 100, ".", "con:"])
def test_any_name_stays_inside(store, file, name):
    store.copy_in(file, entry(name))
    assert store.find(name).name == name
    notes = list((store.folder / "names").iterdir())
    assert len(notes) == 1
    assert notes[0].parent == store.folder / "names"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "x", "sha256": "../../x"}', "[" * 5000])
def test_a_damaged_note_is_an_error(store, file, text):
    store.copy_in(file, entry())
    next((store.folder / "names").iterdir()).write_text(text)
    with pytest.raises(SettingError):
        store.find(entry().name)
    with pytest.raises(SettingError):
        store.entries()


def test_downloads_of_different_files_do_not_meet(store):
    assert store.partial("a") != store.partial("b")
    assert store.partial("a") == store.partial("a")


def test_sha256(file):
    assert sha256_of(file) == DIGEST
