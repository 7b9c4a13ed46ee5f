from __future__ import annotations

import json
import zipfile

import onnx
import pytest

from swath.errors import MissingFileError, ModelFileError, OutputError, SettingError
from swath.model import check_not_model, read_model, resolve_model, shipped_models, write_model
from swath.model.record import RECORD_KEY, SCHEMA_VERSION
from tests.tiny import CLASSES, tiny_graph, tiny_record, write_tiny_model


def rewrite(source, target, *, record=None, text=None):
    """Copy a model file with fields of its record, or the record's whole text, replaced."""
    model = onnx.load_model(source)
    prop = next(p for p in model.metadata_props if p.key == RECORD_KEY)
    prop.value = text if text is not None else json.dumps(json.loads(prop.value) | record)
    onnx.save_model(model, target)
    return target


def test_what_was_written_is_read(tmp_path):
    graph = tiny_graph()
    record = tiny_record(graph)
    write_model(tmp_path / "m.onnx", graph, record)
    file = read_model(tmp_path / "m.onnx")
    assert file.record == record
    assert file.path == tmp_path / "m.onnx"
    assert list(file.graph.graph.node) == list(graph.graph.node)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first, second = (write_tiny_model(tmp_path / f"{i}.onnx").read_bytes() for i in range(2))
    assert first == second


def test_reading_and_writing_again_changes_no_byte(tiny_model, tmp_path):
    file = read_model(tiny_model)
    write_model(tmp_path / "again.onnx", file.graph, file.record)
    assert (tmp_path / "again.onnx").read_bytes() == tiny_model.read_bytes()


def test_an_existing_file_is_kept_unless_told(tmp_path):
    graph = tiny_graph()
    (tmp_path / "m.onnx").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_model(tmp_path / "m.onnx", graph, tiny_record(graph))
    write_model(tmp_path / "m.onnx", graph, tiny_record(graph), overwrite=True)
    assert read_model(tmp_path / "m.onnx").record.name == "tiny"


def test_a_breach_of_the_contract_is_not_written(tmp_path):
    graph = tiny_graph()
    record = tiny_record(graph)
    graph.graph.input[0].name = "image"
    for node in graph.graph.node:
        node.input[:] = ["image" if name == "pixels" else name for name in node.input]
    with pytest.raises(ModelFileError, match="input and outputs"):
        write_model(tmp_path / "m.onnx", graph, record)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_that_name():
    with pytest.raises(MissingFileError, match=r"there is no model 'no\.onnx'.*shipped name"):
        resolve_model("no.onnx")


def test_a_file_that_is_being_written_is_no_shipped_model(tmp_path, monkeypatch):
    monkeypatch.setattr("swath.model.file._shipped", lambda: tmp_path)
    for name in ("whole.onnx", ".whole.abcd1234.onnx"):
        (tmp_path / name).touch()
    assert shipped_models() == ["whole"]


def test_shipped_models_go_by_name():
    for name in shipped_models():
        assert resolve_model(name).name == f"{name}.onnx"


@pytest.mark.parametrize("content", [b"", b"hello there", b"\x00\xff" * 50, b"PK\x03\x04" + b"0" * 99])
def test_a_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(
        ModelFileError, match=r"m\.onnx is (not an ONNX file|an empty file|text: hello there|a zip archive)"
    ):
        read_model(path)


def test_a_truncated_model(tiny_model, tmp_path):
    whole = tiny_model.read_bytes()
    for share in (0.01, 0.5, 0.99):
        (tmp_path / "m.onnx").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ModelFileError):
            read_model(tmp_path / "m.onnx")


def test_a_zip_is_no_model(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.onnx", "w") as archive:
        archive.writestr("a.png", "x")
    with pytest.raises(ModelFileError):
        read_model(tmp_path / "m.onnx")


def test_an_onnx_file_of_someone_else(tmp_path):
    onnx.save_model(tiny_graph(), tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match=r"carries no swath record.*swath train"):
        read_model(tmp_path / "m.onnx")


def test_a_newer_schema_says_to_upgrade(tiny_model, tmp_path):
    newer = rewrite(tiny_model, tmp_path / "m.onnx", record={"schema_version": SCHEMA_VERSION + 1, "novelty": 1})
    with pytest.raises(ModelFileError, match=r"newer swath .record schema 6.*upgrade swath"):
        read_model(newer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("null", "is damaged"),
        ("{}", "is damaged .*schema_version"),
        ('{"schema_version": "1"}', "is damaged .*schema_version is not a whole number: '1'"),
        ('{"schema_version": 1.5}', "is damaged .*not a whole number: 1.5"),
        ('{"schema_version": 1}', "not valid: name: Field required"),
        ('{"schema_version": 1' + ', "a": ' + "[" * 100_000, "is damaged"),
    ],
)
def test_a_damaged_record(tiny_model, tmp_path, text, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(rewrite(tiny_model, tmp_path / "m.onnx", text=text))


def test_a_record_with_a_wrong_field_names_it(tiny_model, tmp_path):
    with pytest.raises(ModelFileError, match="not valid: temperature"):
        read_model(rewrite(tiny_model, tmp_path / "m.onnx", record={"temperature": -1}))


@pytest.mark.parametrize("created", ["soon", "2026-02-30", "20260102", "2026-W01-1"])
def test_a_model_is_of_some_day(tiny_model, tmp_path, created):
    with pytest.raises(ModelFileError, match=r"not valid: created: .*such as 2026-11-21"):
        read_model(rewrite(tiny_model, tmp_path / "m.onnx", record={"created": created}))
    dated = rewrite(tiny_model, tmp_path / "m.onnx", record={"created": "2026-01-02T03:04:05Z"})
    assert read_model(dated).record.created == "2026-01-02T03:04:05Z"


def test_a_model_is_no_output_of_itself(tmp_path):
    path = write_tiny_model(tmp_path / "m.onnx")
    (tmp_path / "link.onnx").symlink_to(path)
    for out in (path, tmp_path / "link.onnx", tmp_path / "." / "m.onnx"):
        with pytest.raises(SettingError, match=r"is the model itself; choose another name with --out"):
            check_not_model(out, str(path))
    with pytest.raises(SettingError, match="is the model itself"):
        check_not_model(resolve_model("eurosat"), "eurosat")
    check_not_model(tmp_path / "card.md", path)


def test_fewer_classes_than_the_graph_gives(tiny_model, tmp_path):
    record = json.loads(read_model(tiny_model).record.model_dump_json())
    reference = record["reference"] | {"probabilities": [p[:3] for p in record["reference"]["probabilities"]]}
    changed = {"classes": record["classes"][:3], "reference": reference}
    with pytest.raises(ModelFileError, match="gives 4 probabilities, and the record names 3 classes"):
        read_model(rewrite(tiny_model, tmp_path / "m.onnx", record=changed))
    assert len(CLASSES) == 4
