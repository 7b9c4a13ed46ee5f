"""The table of predictions: complete, and without images or names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow.parquet as pq

from swath.service.prediction_log import PredictionLog
from tests.service.conftest import jpeg
from tests.service.servers import running


def test_every_answer_is_in_the_table(tiny_model: Path, tmp_path: Path):
    images = {f"{label}.jpg": jpeg(label) for label in ("Forest", "River", "SeaLake")}
    with running(tiny_model, prediction_log=tmp_path / "log") as one:
        answer = one.client.predict(*images.items(), X_Request_Id="job-1").json
        assert one.client.predict(("bad.jpg", b"nothing")).status == 422
    (file,) = (tmp_path / "log").glob("*.parquet")  # written when the service ends
    rows = pq.read_table(file).to_pylist()
    assert [row["sha256"] for row in rows] == [hashlib.sha256(data).hexdigest() for data in images.values()]
    assert [row["label"] for row in rows] == [said["label"] for said in answer["images"]]
    assert {(row["request_id"], row["model"], row["version"]) for row in rows} == {("job-1", "tiny", answer["version"])}
    assert abs(dict(rows[0]["probabilities"])["Forest"] - answer["images"][0]["probabilities"]["Forest"]) < 1e-6
    assert b"Forest.jpg" not in file.read_bytes()


def test_nothing_is_written_without_rows(tmp_path: Path):
    log = PredictionLog(tmp_path / "log")
    log.write()
    assert not list((tmp_path / "log").iterdir())
