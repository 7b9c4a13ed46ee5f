from __future__ import annotations

import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data import build_index, open_patches, read_index, walk_images, write_index
from swath.data.encodings import ENCODINGS, check_encoding, guess_encoding
from swath.data.rows import map_patches
from swath.errors import DataError, SettingError
from swath.progress import silent

from .makers import encoded, picture

NAMES = {
    "gbk": ["森林", "河流", "居民区", "农田"],
    "big5": ["森林", "河流", "住宅區", "農田"],
    "cp932": ["森林", "川", "住宅地", "はたけ"],
    "cp949": ["숲", "강", "주거지", "농경지", "산업단지"],
    "cp1251": ["Лес", "Река", "Застройка", "Пашня"],
    "cp866": ["Лес", "Река", "Застройка", "Пашня"],
    "cp1252": ["Forêt", "Rivière", "Zone bâtie"],
    "cp850": ["Forêt", "Rivière", "Zone bâtie"],
    "utf-8": ["Forêt", "森林", "Лес"],
}


@pytest.mark.parametrize("encoding", NAMES)
def test_the_names_of_land_cover_classes_are_told_apart(encoding):
    raw = [f"set/{name}/{n}.png".encode(encoding) for name in NAMES[encoding] for n in range(2)]
    guessed = guess_encoding(raw)
    assert [name.decode(guessed) for name in raw] == [name.decode(encoding) for name in raw]


def test_plain_names_are_utf8():
    assert guess_encoding([b"Forest/1.png"]) == guess_encoding([]) == "utf-8"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=5))
def test_a_guess_decodes_all_names_and_gives_letters_only(raw):
    guessed = guess_encoding(raw)
    if guessed is None:
        return
    text = "".join(name.decode(guessed) for name in raw)
    if guessed != "utf-8":
        assert not any(0x2500 <= ord(c) <= 0x259F for c in text)


def test_encodings_are_known_by_any_of_their_names():
    assert check_encoding("GBK") == check_encoding("cp936") == "gbk"
    assert check_encoding("shift_jis_2004") if "shift_jis_2004" in ENCODINGS else check_encoding("ms932") == "cp932"
    for name in ("no such", "utf-7", ""):
        with pytest.raises(SettingError, match="the known ones are utf-8, gbk"):
            check_encoding(name)


class Unmarked(zipfile.ZipInfo):
    """A member whose name is written as the bytes `raw`, as packers of older systems do."""

    __slots__ = ("raw",)

    def _encodeFilenameFlags(self):
        return self.raw, self.flag_bits


def unmarked(path, encoding, labels, each=3):
    """A zip whose names are in a code page that it does not state."""
    with zipfile.ZipFile(path, "w") as archive:
        for seed, (label, n) in enumerate((label, n) for label in labels for n in range(each)):
            raw = f"{label}/{n}.png".encode(encoding)
            member = Unmarked("x")
            member.raw = raw
            member.filename = raw.decode("cp437")
            archive.writestr(member, encoded(picture(seed, size=8)))
    return path


def test_names_of_a_zip_are_guessed_and_said_to_be(tmp_path):
    archive = unmarked(tmp_path / "z.zip", "gbk", NAMES["gbk"])
    index = build_index(archive)
    assert index.classes == tuple(sorted(NAMES["gbk"]))
    assert "were read as gbk, which is a guess" in index.notes[0]
    assert walk_images([archive]).notes == index.notes


def test_an_encoding_that_is_given_is_taken_and_patches_are_found_ever_after(tmp_path):
    archive = unmarked(tmp_path / "z.zip", "cp1251", NAMES["cp1251"])
    index = build_index(archive, zip_encoding="koi8-r")  # wrong, but asked for
    assert index.notes == ()
    assert set(index.classes) == {name.encode("cp1251").decode("koi8-r") for name in NAMES["cp1251"]}
    write_index(index, tmp_path / "i.parquet")
    again = read_index(tmp_path / "i.parquet")
    contents = list(map_patches(again, lambda data, row: len(data), stage="read", progress=silent))
    assert len(contents) == len(index)


def test_an_encoding_that_does_not_fit_is_refused_with_the_option(tmp_path):
    archive = unmarked(tmp_path / "z.zip", "gbk", NAMES["gbk"])
    with pytest.raises(DataError, match="is not in utf-8; give another with swath data index --zip-encoding"):
        build_index(archive, zip_encoding="utf-8")
    odd = tmp_path / "odd.zip"
    with zipfile.ZipFile(odd, "w") as z:
        z.writestr("X12/1.png", b"x")
    odd.write_bytes(odd.read_bytes().replace(b"X12", struct.pack("3B", 0xC9, 0xCD, 0xFF)))
    with pytest.raises(DataError, match="in no encoding that could be guessed"):
        open_patches(odd)
