from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.data import SCHEMA, LeftOut, build_index, cached_pixels, read_index, write_index
from swath.data.filenames import safe_name
from swath.data.index import _outside, _repeats
from swath.errors import DataError, OutputError, SettingError

from .makers import CLASSES, sets_index, table_index, tree


@pytest.fixture
def made(tmp_path):
    return replace(
        build_index(tree(tmp_path / "in")),
        attribution="by us",
        split_protocol="none yet",
        skipped=("a/b.jpg",),
        left_out=(LeftOut("broken links", {"A": 3}),),
        notes=("read so",),
    )


def rewrite(path, *, facts=None, table=None):
    """Change an index on disk behind the program's back."""
    old = pq.read_table(path)
    stored = json.loads(old.schema.metadata[b"swath.index"])
    stored.update(facts or {})
    new = (table or (lambda t: t))(old).replace_schema_metadata({b"swath.index": json.dumps(stored)})
    pq.write_table(new, path)


def column(name, values):
    field = SCHEMA.field(name)
    return lambda t: t.set_column(SCHEMA.get_field_index(name), field, pa.array(values, field.type))


def test_what_is_written_is_what_is_read(made, tmp_path):
    path = tmp_path / "i.parquet"
    write_index(made, path)
    back = read_index(path)
    assert back == made
    assert back.fingerprint == made.fingerprint
    assert len(back) == 9
    assert back.classes == CLASSES
    write_index(made, str(path), overwrite=True)
    assert read_index(str(path)) == made


def test_same_input_same_bytes(tmp_path):
    for n in (1, 2):
        write_index(build_index(tree(tmp_path / "in")), tmp_path / f"{n}.parquet")
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_index_and_patches_move_together(made, tmp_path):
    write_index(made, tmp_path / "i.parquet")
    (tmp_path / "new").mkdir()
    shutil.move(tmp_path / "in", tmp_path / "new" / "in")
    shutil.move(tmp_path / "i.parquet", tmp_path / "new" / "i.parquet")
    moved = read_index(tmp_path / "new" / "i.parquet")
    assert moved.root == (tmp_path / "new" / "in").resolve()
    assert moved.fingerprint == made.fingerprint


def test_an_index_of_shipped_data_works_from_anywhere(tmp_path):
    index = table_index(["A", "B"])
    from swath.data import shipped_path

    index = replace(index, root=shipped_path("eurosat-mini"))
    write_index(index, tmp_path / "i.parquet")
    facts = json.loads(pq.read_schema(tmp_path / "i.parquet").metadata[b"swath.index"])
    assert facts["root"] == "shipped:eurosat-mini"
    assert read_index(tmp_path / "i.parquet").root == shipped_path("eurosat-mini")


def test_patches_that_are_gone_are_missed(made, tmp_path):
    write_index(made, tmp_path / "i.parquet")
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(DataError, match=r"patches of .* are gone"):
        read_index(tmp_path / "i.parquet")


def test_an_existing_index_is_kept_unless_asked(made, tmp_path):
    path = tmp_path / "i.parquet"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already"):
        write_index(made, path)
    assert path.read_bytes() == b"precious"
    write_index(made, path, overwrite=True)
    assert read_index(path) == made


@pytest.mark.parametrize("what", ["missing", "text", "truncated", "other parquet", "a list"])
def test_files_that_are_no_index(made, tmp_path, what):
    path = tmp_path / "i.parquet"
    if what == "text":
        path.write_text("path,label\n")
    elif what == "truncated":
        write_index(made, path)
        path.write_bytes(path.read_bytes()[:-20])
    elif what == "other parquet":
        pq.write_table(pa.table({"x": [1]}), path)
    elif what == "a list":
        pq.write_table(pa.table({"x": [1]}).replace_schema_metadata({b"swath.index": b"[1]"}), path)
    with pytest.raises(DataError, match=r"no index|not a patch index") as caught:
        read_index(path)
    assert "swath data index" in caught.value.fix


def test_an_index_of_a_newer_swath_is_refused(made, tmp_path):
    path = tmp_path / "i.parquet"
    write_index(made, path)
    rewrite(path, facts={"version": 99})
    with pytest.raises(DataError, match=r"newer swath \(index version 99\)"):
        read_index(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"facts": {"root": 7}}, "damaged at 'root'"),
        ({"table": lambda t: t.slice(0, 0)}, "has no rows"),
        ({"table": lambda t: t.drop_columns(["mode"])}, "columns"),
        ({"table": column("path", ["../../etc/passwd"] + [f"{n}" for n in range(8)])}, "leads outside its root"),
        ({"table": column("path", ["a.png"] * 9)}, "names a patch twice"),
        ({"table": column("split", ["holdout"] * 9)}, "unknown splits: holdout"),
    ],
)
def test_rows_no_swath_would_have_written_are_refused(made, tmp_path, change, message):
    path = tmp_path / "i.parquet"
    write_index(made, path)
    rewrite(path, **change)
    with pytest.raises(DataError, match=message):
        read_index(path)


def test_the_fingerprint_is_of_the_data_not_of_their_order_or_place(made, tmp_path):
    turned = replace(made, table=made.table.take(list(range(8, -1, -1))), root=tmp_path, name="other")
    assert turned.fingerprint == made.fingerprint
    for name, values in {
        "label": ["Town"] * 9,
        "split": ["test"] * 9,
        "sha256": ["0" * 64] * 9,
        "group": ["g"] * 9,
    }.items():
        assert replace(made, table=column(name, values)(made.table)).fingerprint != made.fingerprint, name


def test_rows_of_one_split():
    index = table_index(["A", "B", "A"], splits=["train", "test", "train"])
    assert index.where("train").labels == ["A", "A"]
    assert index.split_counts == {"train": 2, "test": 1}
    with pytest.raises(DataError, match="no patches in split 'val'"):
        index.where("val")
    with pytest.raises(SettingError, match="no split is named 'dev'"):
        index.where("dev")


def test_facts_hold_only_where_all_patches_share_them():
    index = table_index(["A", "B"])
    assert (index.gsd, index.license) == (None, None)
    one = replace(index, table=column("gsd", [10.0, 10.0])(index.table))
    two = replace(index, table=column("gsd", [10.0, 20.0])(index.table))
    assert (one.gsd, two.gsd) == (10.0, None)


def test_patches_without_a_single_label_are_named_when_labels_are_asked_for():
    index = table_index(["A", "B"])
    several = replace(index, table=column("label", ["A", None])(column("labels", [None, ["B", "C"]])(index.table)))
    assert several.classes == ("A", "B", "C")
    with pytest.raises(DataError, match="1 of 2 patches"):
        _ = several.labels


def test_label_sets_hold_whatever_patches_carry():
    single = table_index(["b", "a", "b"])
    assert single.label_sets == [("b",), ("a",), ("b",)]
    assert not single.multi_label
    several = sets_index([("a", "b"), (), ("b",)])
    assert several.label_sets == [("a", "b"), (), ("b",)]
    assert several.multi_label
    assert several.classes == ("a", "b")
    with pytest.raises(DataError, match=r"3 of 3 patches .* have no single label"):
        _ = several.labels


def test_lists_of_labels_survive_writing(tmp_path):
    several = replace(sets_index([("a", "b"), (), ("b",)]), root=tmp_path)
    write_index(several, tmp_path / "m.parquet")
    again = read_index(tmp_path / "m.parquet")
    assert again.label_sets == several.label_sets
    assert again.fingerprint == several.fingerprint


def bytes_column(n, value=b"\xff\xfe"):
    """`n` strings whose bytes are not UTF-8."""
    offsets = pa.py_buffer(np.arange(0, len(value) * n + 1, len(value), dtype=np.int32).tobytes())
    return pa.Array.from_buffers(pa.string(), n, [None, offsets, pa.py_buffer(value * n)])


def spoiled(path, out, *, column=None, values=None, rows=None, **facts):
    """A copy of an index with other values in a column, other rows, or other metadata."""
    table = pq.read_table(path)
    if column is not None:
        place = table.schema.get_field_index(column)
        table = table.set_column(place, table.schema.field(column), values(len(table)))
    if rows is not None:
        table = table.take(pa.array(rows))
    (key,) = table.schema.metadata
    raw = json.dumps(json.loads(table.schema.metadata[key]) | facts).encode() if "raw" not in facts else facts["raw"]
    pq.write_table(table.replace_schema_metadata({key: raw}), out)
    return out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"column": "path", "values": bytes_column}, "damaged"),
        ({"column": "label", "values": bytes_column}, "damaged"),
        ({"column": "sha256", "values": bytes_column}, "damaged"),
        ({"column": "label", "values": lambda n: pa.array([""] * n)}, "cannot be empty"),
        ({"column": "label", "values": lambda n: pa.array(["a\nb"] * n)}, "control characters"),
        ({"column": "label", "values": lambda n: pa.array(["\x1b]0;x\x07"] * n)}, "control characters"),
        ({"column": "label", "values": lambda n: pa.array(["x" * 5000] * n)}, "200 letters at most"),
        ({"column": "width", "values": lambda n: pa.array([0] * n, pa.int32())}, "without pixels"),
        ({"root": "a\0b"}, "damaged at 'root'"),
        ({"raw": b'{"a":' * 100_000 + b"1" + b"}" * 100_000}, "not a patch index"),
        ({"rows": np.zeros(2_000_000, np.int64)}, "more than a file of its size can hold"),
    ],
)
def test_hostile_indexes_end_in_one_sentence(tiny_index_file, tmp_path, changes, message):
    path = spoiled(tiny_index_file, tmp_path / "i.parquet", **changes)
    with pytest.raises(DataError, match=message) as caught:
        read_index(path)
    assert "swath data index" in caught.value.fix


def test_too_many_rows_and_text_that_unfolds_are_refused(tiny_index_file, tmp_path, monkeypatch):
    monkeypatch.setattr("swath.data.index.MAX_ROWS", 100)
    with pytest.raises(DataError, match="has 120 rows, above the limit of 100; make indexes of parts"):
        read_index(tiny_index_file)
    monkeypatch.setattr("swath.data.index.MAX_ROWS", 1000)
    # One text, held once in the file and 120 times in memory.
    path = spoiled(
        tiny_index_file, tmp_path / "i.parquet", column="source", values=lambda n: pa.array(["x" * 10**6] * n)
    )
    assert path.stat().st_size < 10**6
    monkeypatch.setattr("swath.data.index._MAX_BYTES", 10**8)
    with pytest.raises(DataError, match=r"take more than 0\.1 GiB of memory"):
        read_index(path)


@given(st.text(alphabet="ab./\\:\0 C\n-é~", max_size=8))
def test_paths_that_are_plain_at_a_glance_are_safe(name):
    assert _outside(pa.chunked_array([[name]])) == (None if safe_name(name) == name else name)


def test_a_path_that_is_there_twice_is_found_among_many(monkeypatch):
    names = [f"{n}.png" for n in range(1000)]
    assert not _repeats(pa.chunked_array([names[:300], names[300:]]))
    assert _repeats(pa.chunked_array([names, names[7:8]]))
    monkeypatch.setattr("swath.data.index.hash", lambda name: 1, raising=False)  # as if all fell together
    assert not _repeats(pa.chunked_array([names]))
    assert _repeats(pa.chunked_array([names, names[7:8]]))


def test_sizes_that_lie_are_found_when_patches_are_decoded(tiny_index_file, tmp_path):
    four = {"column": "width", "values": lambda n: pa.array([4096] * n, pa.int32())}
    path = spoiled(tiny_index_file, tmp_path / "i.parquet", **four)
    path = spoiled(path, tmp_path / "i2.parquet", column="height", values=four["values"])
    cached_pixels(
        read_index(tiny_index_file), bands=("red", "green", "blue"), size=64, cache=tmp_path
    )  # the same files
    with pytest.raises(DataError, match="64 x 64 pixels and not the 4096 x 4096"):
        cached_pixels(read_index(path), bands=("red", "green", "blue"), size=64, cache=tmp_path)


def test_a_list_of_labels_with_none_in_it(tmp_path):
    path = tmp_path / "i.parquet"
    write_index(build_index(tree(tmp_path / "in")), path)
    rewrite(path, table=lambda t: column("labels", [["a", None]] * len(t))(column("label", [None] * len(t))(t)))
    with pytest.raises(DataError, match=r"i\.parquet has a label that cannot be used: one of several is none"):
        read_index(path)
