from __future__ import annotations

import stat
import struct
import threading
import zipfile

import pytest

from swath.data.archives import ZipReader
from swath.errors import DataError, MissingFileError

from .makers import packed, write


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo("x")
    made.filename = name  # the constructor would tidy it
    made.external_attr = mode << 16
    return made


def one_member(path, member, data=b"x"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, data)
    return path


@pytest.mark.parametrize("name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "..\\x.jpg"])
def test_members_that_lead_outside_are_refused(tmp_path, name):
    path = one_member(tmp_path / "z.zip", info(name))
    with pytest.raises(DataError, match="leads outside the archive"):
        ZipReader(path)


@pytest.mark.parametrize("name", ["A\n/1.png", "A\x1b]0;x/1.png", "\u202eA/1.png"])
def test_names_that_no_screen_shows_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="unusual characters"):
        ZipReader(one_member(tmp_path / "z.zip", info(name)))


@pytest.mark.parametrize("name", ["A\u00a0B/1.png", "\u3000森/1.png", "e\u0301/1.png"])
def test_spaces_and_letters_of_any_script_are_fine(tmp_path, name):
    with ZipReader(one_member(tmp_path / "z.zip", info(name))) as reader:
        assert reader.names() == [name]


def test_a_member_without_a_name_is_refused(tmp_path):
    path = one_member(tmp_path / "z.zip", info("a.jpg"))
    path.write_bytes(path.read_bytes().replace(b"a.jpg", b"\0.jpg"))  # names end where a NUL is
    with pytest.raises(DataError, match="leads outside the archive"):
        ZipReader(path)


def test_links_are_refused(tmp_path):
    path = one_member(tmp_path / "z.zip", info("a.jpg", stat.S_IFLNK | 0o777), b"/etc/passwd")
    with pytest.raises(DataError, match=r"a\.jpg is a link"):
        ZipReader(path)


def test_bombs_are_refused_before_unpacking(tmp_path):
    path = packed(tmp_path / "z.zip", {"a.jpg": bytes(17 * 2**20)})
    assert path.stat().st_size < 2**16
    with pytest.raises(DataError, match="more than 200 times its packed size"):
        ZipReader(path)


def test_small_dense_members_are_fine(tmp_path):
    path = packed(tmp_path / "z.zip", {"a.tif": bytes(2**20)})
    with ZipReader(path) as reader:
        assert len(reader.read("a.tif")) == 2**20


def test_a_member_that_unpacks_to_more_than_it_says_is_damaged(tmp_path):
    path = packed(tmp_path / "z.zip", {"a.jpg": b"0" * 5000})
    data = path.read_bytes().replace(struct.pack("<I", 5000), struct.pack("<I", 50))
    path.write_bytes(data)
    with ZipReader(path) as reader, pytest.raises(DataError, match=r"damaged at a\.jpg"):
        reader.read("a.jpg")


def test_huge_members_are_refused(tmp_path):
    path = packed(tmp_path / "z.zip", {"a.jpg": b"0" * 5000})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 5000), struct.pack("<I", 2**30 + 1)))
    with pytest.raises(DataError, match="more than 1024 MiB"):
        ZipReader(path)


def test_overlapping_members_are_refused(tmp_path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", bytes(range(256)) * 40)
        first = archive.infolist()[0]
        for n in range(4):  # more entries in the directory, all of the same bytes
            twin = zipfile.ZipInfo(f"b{n}.jpg")
            twin.header_offset, twin.CRC = first.header_offset, first.CRC
            twin.compress_size, twin.file_size = first.compress_size, first.file_size
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    # Newer versions of the standard library may find it out first; either way it is refused.
    with pytest.raises(DataError, match="overlap"):
        ZipReader(path)


def test_encrypted_members_are_refused(tmp_path):
    path = packed(tmp_path / "z.zip", {"a.jpg": b"x"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a\.jpg is encrypted"):
        ZipReader(path)


def test_other_packing_methods_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jpg", b"x" * 100)
    with pytest.raises(DataError, match="other than store and deflate"):
        ZipReader(tmp_path / "z.zip")


def test_two_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a/b.jpg", b"1")
        archive.writestr(info("a//b.jpg"), b"2")
    with pytest.raises(DataError, match=r"two members named a/b\.jpg"):
        ZipReader(tmp_path / "z.zip")


@pytest.mark.parametrize("keep", [10, 60, -10])
def test_truncated_archives_are_refused(tmp_path, keep):
    path = packed(tmp_path / "z.zip", {"a.jpg": bytes(range(256))})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"z\.zip is not a zip archive, or is damaged"):
        ZipReader(path)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"0123456789")
    path.write_bytes(path.read_bytes().replace(b"0123456789", b"0123456780"))
    with ZipReader(path) as reader, pytest.raises(DataError, match=r"damaged at a\.jpg"):
        reader.read("a.jpg")


def test_housekeeping_files_and_folders_are_no_members(tmp_path):
    path = packed(tmp_path / "z.zip", {"a/": b"", "a/b.jpg": b"1", "__MACOSX/a/._b.jpg": b"2", "a/.DS_Store": b"3"})
    with ZipReader(path) as reader:
        assert reader.names() == ["a/b.jpg"]
        with pytest.raises(MissingFileError, match=r"no member c\.jpg"):
            reader.read("c.jpg")


def test_names_of_packers_that_do_not_say_utf_8(tmp_path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("./", b"")
        for name in ("S\u00fcd/K\u00fcste.jpg", "plain.jpg"):
            archive.writestr(name, b"1")
    data = path.read_bytes()  # without the flag, as Info-ZIP writes it
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = 0
        while (start := data.find(signature, start)) >= 0:
            flags = int.from_bytes(data[start + at : start + at + 2], "little") & ~0x800
            data = data[: start + at] + flags.to_bytes(2, "little") + data[start + at + 2 :]
            start += 4
    path.write_bytes(data)
    with ZipReader(path) as reader:
        assert reader.names() == ["S\u00fcd/K\u00fcste.jpg", "plain.jpg"]
        assert reader.read("S\u00fcd/K\u00fcste.jpg") == b"1"


def test_stored_members_with_extra_fields_and_a_long_preamble_read_the_same(tmp_path):
    path = tmp_path / "z.zip"
    member = zipfile.ZipInfo("a.jpg")
    member.extra = struct.pack("<HH", 0x7777, 300) + bytes(300)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"payload")
        archive.writestr("b.jpg", b"other", zipfile.ZIP_DEFLATED)
    write(path, b"#!preamble" * 10 + path.read_bytes())
    with ZipReader(path) as reader:
        assert reader.read("a.jpg") == b"payload"
        assert reader.read("b.jpg") == b"other"


def test_threads_share_one_reader(tmp_path):
    members = {f"{n}.jpg": bytes([n]) * (1000 + n) for n in range(40)}
    wrong = []
    with ZipReader(packed(tmp_path / "z.zip", members)) as reader:

        def work():
            wrong.extend(name for name, data in members.items() if reader.read(name) != data)

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
