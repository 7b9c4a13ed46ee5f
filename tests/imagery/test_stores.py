"""Nothing in a product is trusted: entities, links that lead out, archives that unpack to too much."""

from __future__ import annotations

import zipfile

import pytest

from swath.errors import DataError
from swath.imagery import stores
from swath.imagery.stores import Archive, Folder, read_xml

BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<lolz>&b;</lolz>"""
FILE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>'


@pytest.mark.parametrize("text", [BOMB, FILE])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_that_declares_entities_is_refused(tmp_path, text, encoding):
    (tmp_path / "m.xml").write_text(text, encoding=encoding)
    with pytest.raises(DataError, match=r"m\.xml of .* cannot be read: it declares a document type"):
        read_xml(Folder(tmp_path), "m.xml")


def test_xml_is_read_without_its_name_spaces(tmp_path):
    (tmp_path / "m.xml").write_text('<n:a xmlns:n="urn:n"><n:b>1</n:b></n:a>')
    assert read_xml(Folder(tmp_path), "m.xml").find("b").text == "1"


def test_metadata_of_any_length_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_MOST_BYTES", 100)
    (tmp_path / "m.xml").write_text("<a>" + 100 * " " + "</a>")
    with pytest.raises(DataError, match="too long for metadata"):
        read_xml(Folder(tmp_path), "m.xml")


def test_a_link_that_leads_out_of_a_folder_is_refused_and_one_inside_is_not(tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    product = tmp_path / "product"
    product.mkdir()
    (product / "own").write_bytes(b"own")
    (product / "out").symlink_to(tmp_path / "secret")
    (product / "in").symlink_to(product / "own")
    store = Folder(product)
    with pytest.raises(DataError, match="out is a link that leads out of the folder; put the file itself there"):
        store.read("out")
    assert store.read("in") == b"own"


def test_folders_without_end_and_loops_of_links_end(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "a").write_bytes(b"")
    assert Folder(tmp_path).names == ("a",)
    monkeypatch.setattr(stores, "_MOST_NAMES", 0)
    with pytest.raises(DataError, match="more files than any product"):
        Folder(tmp_path)


def archive(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return path


def test_a_member_that_unpacks_to_too_much_is_never_unpacked(tmp_path):
    store = Archive(archive(tmp_path / "p.zip", bomb=bytes(17 * 2**20), band=b"band"))
    with pytest.raises(DataError, match=r"bomb of .* would unpack to 17 MB, which no picture does"):
        store.read("bomb")
    assert store.read("band") == b"band"


def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as made:
        made.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            made.writestr("a", b"2")
    with pytest.raises(DataError, match="holds a twice"):
        Archive(tmp_path / "p.zip")


def test_what_is_no_archive_or_a_damaged_one_is_said(tmp_path):
    (tmp_path / "p.zip").write_bytes(b"PK\3\4 and nothing else")
    with pytest.raises(DataError, match="is no sound zip archive"):
        Archive(tmp_path / "p.zip")
    path = archive(tmp_path / "q.zip", m=b"<a>" + bytes(range(256)) * 8 + b"</a>")
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"m of .*q\.zip is damaged"):
        Archive(path).read("m")


def test_a_file_of_an_archive_bears_its_name_after_the_archives(tmp_path):
    store = Archive(archive(tmp_path / "p.zip", **{"x.SAFE/B04.jp2": b""}))
    assert store.gdal_name("x.SAFE/B04.jp2") == f"/vsizip/{{{tmp_path}/p.zip}}/x.SAFE/B04.jp2"
    assert [match[0] for match in store.find(r".*b04\.JP2")] == ["x.SAFE/B04.jp2"]
