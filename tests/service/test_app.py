"""The service as its clients see it."""

from __future__ import annotations

import base64
import csv
import json
import os
import signal
import socket
from pathlib import Path

import numpy as np
import pytest

import swath
from swath.inference import predict_files
from tests.service.conftest import jpeg
from tests.service.servers import JSON, PATIENCE, Client, Running, running, wait_until

CLASSES = ("Forest", "Residential", "River", "SeaLake")


def test_the_three_bodies_give_what_python_and_the_command_give(client: Client, tiny_model: Path, tmp_path: Path):
    images = {f"{label}_{seed}.jpg": jpeg(label, seed=seed) for label in CLASSES for seed in range(3)}
    for name, data in images.items():
        (tmp_path / name).write_bytes(data)
    classifier = swath.load(tiny_model, threads=1)
    python = classifier.predict(list(images.values()))
    predict_files(classifier, [tmp_path], tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        table = {Path(row["path"]).name: row for row in csv.DictReader(file)}

    uploaded = client.predict(*images.items()).json
    encoded = [{"name": name, "data": base64.b64encode(data).decode()} for name, data in images.items()]
    in_json = client.post("/v1/predict", json.dumps({"images": encoded}).encode(), JSON).json
    assert uploaded["images"] == in_json["images"]
    assert [one["name"] for one in uploaded["images"]] == list(images)
    assert [one["label"] for one in uploaded["images"]] == python.labels
    for place, (name, data) in enumerate(images.items()):
        raw = client.post("/v1/predict", data, "image/jpeg").json["images"][0]
        one = uploaded["images"][place]
        assert one["label"] == raw["label"] == table[name]["label"]
        for column, label in enumerate(python.classes):
            expected = float(python.probabilities[place, column])
            assert abs(one["probabilities"][label] - expected) <= 1e-6
            assert abs(raw["probabilities"][label] - expected) <= 1e-6
            assert abs(float(table[name][f"p_{label}"]) - expected) <= 1e-6
    assert len(set(python.labels)) > 2  # not one answer to everything


def test_images_of_several_sizes_and_kinds_come_back_in_their_order(client: Client):
    images = [("a.png", jpeg("River", kind="PNG")), ("b.jpg", jpeg("Forest", size=96)), ("c.jpg", jpeg("SeaLake"))]
    answer = client.predict(*images)
    assert answer.status == 200
    assert [(one["name"], one["width"], one["height"]) for one in answer.json["images"]] == [
        ("a.png", 64, 64),
        ("b.jpg", 96, 96),
        ("c.jpg", 64, 64),
    ]
    assert answer.json["images"][1]["label"] == "Forest"


def test_a_request_id_is_echoed_or_made(client: Client, forest: bytes):
    answer = client.predict(("a.jpg", forest), X_Request_Id="job-17")
    assert answer.headers["x-request-id"] == answer.json["request_id"] == "job-17"
    made = client.get("/healthz", X_Request_Id="no spaces\tor tabs").headers["x-request-id"]
    assert len(made) == 32
    refused = client.predict(("a.jpg", b"no image"), X_Request_Id="job-18")
    assert refused.json["request_id"] == "job-18"


def test_models_are_listed_and_asked_for_by_name(tiny_model: Path, forest: bytes):
    with running(f"first={tiny_model}", f"second={tiny_model}") as one:
        names = [model["name"] for model in one.client.get("/v1/models").json["models"]]
        assert names == ["first", "second"]
        assert one.client.predict(("a.jpg", forest)).json["model"] == "first"
        assert one.client.predict(("a.jpg", forest), query="?model=second").json["model"] == "second"
        wrong = one.client.predict(("a.jpg", forest), query="?model=third")
        assert wrong.status == 404
        assert wrong.error == "there is no model 'third' here; use one of first, second"


def test_a_model_is_described(client: Client):
    (model,) = client.get("/v1/models").json["models"]
    assert [one["name"] for one in model["classes"]] == list(CLASSES)
    assert model["bands"] == ["red", "green", "blue"]
    assert (model["size"], model["data_type"], model["task"]) == (64, "uint8", "single-label")


def test_two_models_of_one_name_are_not_served(tiny_model: Path):
    mistakes: list[str] = []
    from swath.service.core import Service
    from swath.service.settings import ServiceSettings

    async def start() -> None:
        settings = ServiceSettings(models=(str(tiny_model), str(tiny_model)), threads=1, decoders=1)
        service = Service(settings, failed=lambda error: mistakes.append(str(error)))
        service.open()
        assert service._starting is not None
        await service._starting
        assert not service.ready
        await service.close()

    import asyncio

    asyncio.run(start())
    assert len(mistakes) == 1
    assert "are both called" in mistakes[0]
    assert "--model other=" in mistakes[0]


def test_a_model_is_replaced_while_it_is_asked(tmp_path: Path, tiny_model: Path, forest: bytes):
    """Every request is answered by the old or the new model, and a damaged file changes nothing."""
    from concurrent.futures import ThreadPoolExecutor

    from tests.tiny import write_tiny_model

    file = tmp_path / "model.onnx"
    file.write_bytes(tiny_model.read_bytes())
    with running(f"land={file}") as one, ThreadPoolExecutor(4) as pool:
        old = one.client.predict(("a.jpg", forest)).json["version"]
        answers = [pool.submit(one.client.predict, ("a.jpg", forest)) for _ in range(40)]
        write_tiny_model(tmp_path / "new.onnx", classes=("Forest", "River")).replace(file)
        reloaded = one.client.ask("POST", "/v1/models/land/reload")
        assert reloaded.status == 200, reloaded.body
        assert [name["name"] for name in reloaded.json["classes"]] == ["Forest", "River"]
        answers += [pool.submit(one.client.predict, ("a.jpg", forest)) for _ in range(10)]
        got = [answer.result() for answer in answers]
        assert {answer.status for answer in got} == {200}
        classes = {answer.json["version"]: len(answer.json["images"][0]["probabilities"]) for answer in got}
        assert classes[reloaded.json["version"]] == 2
        assert classes.get(old, 4) == 4
        file.write_bytes(b"no model")
        refused = one.client.ask("POST", "/v1/models/land/reload")
        assert refused.status == 409
        assert "stays as it was" in refused.error
        assert one.client.predict(("a.jpg", forest)).json["version"] == reloaded.json["version"]
        assert one.client.ask("POST", "/v1/models/sea/reload").status == 404


def test_a_key_is_asked_for_and_never_shown(tiny_model: Path, forest: bytes, caplog: pytest.LogCaptureFixture):
    key = "correct-horse-battery"
    with running(tiny_model, api_key=key) as one:
        assert one.client.get("/healthz").status == one.client.get("/readyz").status == 200
        for wrong in ({}, {"Authorization": "Bearer wrong-horse-battery"}, {"Authorization": key}):
            refused = one.client.predict(("a.jpg", forest), **wrong)
            assert refused.status == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert key not in refused.body.decode()
        assert one.client.get("/metrics").status == 401
        assert one.client.predict(("a.jpg", forest), Authorization=f"Bearer {key}").status == 200
        assert one.client.get("/healthz", Host="maps.example.org").status == 200  # the key is what counts
        assert key not in repr(one.service.settings)
    assert key not in caplog.text


def test_pages_of_other_sites_are_not_answered(client: Client, forest: bytes):
    assert client.predict(("a.jpg", forest), Origin="https://example.org").status == 403
    assert client.predict(("a.jpg", forest), Origin=f"http://127.0.0.1:{client.port}").status == 200
    rebound = client.get("/v1/models", Host=f"example.org:{client.port}")  # a name that was pointed to this machine
    assert rebound.status == 403
    assert "access-control-allow-origin" not in client.get("/healthz", Origin="https://example.org").headers


def test_without_its_model_it_lives_and_is_not_ready(tmp_path: Path, forest: bytes):
    with running(tmp_path / "missing.onnx", ready=False) as one:
        wait_until(lambda: one.client.get("/healthz").status == 200, "it lives")
        waiting = one.client.get("/readyz")
        assert waiting.status == 503
        assert waiting.headers["retry-after"] == "1"
        assert one.client.predict(("a.jpg", forest)).status == 503


def test_a_full_queue_refuses_before_it_looks_and_opens_again_at_the_low_mark(tiny_model: Path, forest: bytes):
    with running(tiny_model, queue=4) as one:
        client = one.client
        with client.half_a_request(), client.half_a_request():
            with client.half_a_request(), client.half_a_request():
                wait_until(lambda: client.metric("swath_requests_under_way") == 4, "four requests wait")
                refused = client.predict(("a.jpg", forest), X_Request_Id="too-many")
                assert refused.status == 429
                assert int(refused.headers["retry-after"]) >= 1
                assert "try again in" in refused.error
                assert refused.json["request_id"] == refused.headers["x-request-id"] == "too-many"
                assert client.predict(("a.jpg", forest), query="?model=unknown").status == 429
                assert client.predict(("a.jpg", forest), Origin="https://example.org").status == 403
                assert client.get("/v1/predict").status == 405
                assert client.get("/healthz").status == 200
            wait_until(lambda: client.metric("swath_requests_under_way") == 2, "two are gone")
            assert client.predict(("a.jpg", forest)).status == 200
        assert client.metric("swath_refused_total") == 2
        assert client.metric('swath_requests_total{route="/v1/predict",status="429"}') == 2
        numbers = dict(
            line.rsplit(" ", 1) for line in client.get("/metrics").body.decode().splitlines() if line[0] != "#"
        )
        answered = sum(float(number) for name, number in numbers.items() if name.startswith("swath_requests_total{"))
        assert float(numbers["swath_request_seconds_count"]) == answered - 2  # how long answers take, not refusals


def test_a_client_that_has_gone_is_not_worked_for(tiny_model: Path, forest: bytes):
    with running(tiny_model) as one:
        client = one.client
        assert client.predict(("a.jpg", forest)).status == 200
        (decoder,) = one.service.decoders.process_ids
        os.kill(decoder, signal.SIGSTOP)  # so that what comes now waits
        try:
            with client.half_a_request(len(forest)) as connection:
                connection.sendall(forest[2:])
                wait_until(lambda: client.metric("swath_held_bytes") >= len(forest), "its body is there")
            wait_until(lambda: client.metric("swath_clients_gone_total") == 1, "it is noticed")
            assert client.metric("swath_requests_under_way") == 0
            assert client.metric("swath_held_bytes") == 0
        finally:
            os.kill(decoder, signal.SIGCONT)
        assert client.predict(("a.jpg", forest)).status == 200
        assert client.metric("swath_batch_images_sum") == 2  # not three


def test_an_answer_in_time_or_504(served: Running, forest: bytes):
    (decoder,) = served.service.decoders.process_ids
    os.kill(decoder, signal.SIGSTOP)
    try:
        late = served.client.predict(("a.jpg", forest), query="?timeout=0.2")
    finally:
        os.kill(decoder, signal.SIGCONT)
    assert late.status == 504
    assert "not ready in time" in late.error
    assert served.client.predict(("a.jpg", forest)).status == 200
    assert served.client.predict(("a.jpg", forest), query="?timeout=-1").status == 422


def test_headers_that_do_not_come_or_do_not_end_close_the_connection(tiny_model: Path, forest: bytes):
    with running(tiny_model, timeout=1.0) as one:
        for begun in (b"", b"GET /healthz HTTP/1.1\r\nHost: local"):
            with socket.create_connection(("127.0.0.1", one.client.port), timeout=PATIENCE) as connection:
                connection.sendall(begun)
                assert connection.recv(100) == b""
        with socket.create_connection(("127.0.0.1", one.client.port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 70_000)
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        assert one.client.get("/healthz").status == 200


def test_metrics_count_what_was_answered(tiny_model: Path):
    with running(tiny_model) as one:
        one.client.predict(*((f"{n}.jpg", jpeg("Forest", seed=n)) for n in range(5)))
        assert one.client.metric('swath_predictions_total{label="Forest",model="tiny"}') == 5
        assert one.client.metric('swath_requests_total{route="/v1/predict",status="200"}') == 1
        assert one.client.metric("swath_queue_wait_seconds_count") == 5


def test_logs_say_what_happened_and_nothing_of_images(client: Client, forest: bytes, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", logger="swath.service"):
        client.predict(("secret-place.jpg", forest), X_Request_Id="logged")
        wait_until(lambda: any(_facts(r).get("request_id") == "logged" for r in caplog.records), "it is logged")
    (facts,) = [_facts(record) for record in caplog.records if _facts(record).get("request_id") == "logged"]
    assert (facts["status"], facts["images"], facts["bytes"] > len(forest)) == (200, 1, True)
    assert "secret-place" not in json.dumps(facts)


def _facts(record: object) -> dict[str, object]:
    return getattr(record, "facts", {})


def test_16_bit_images_are_refused_by_an_8_bit_model(client: Client):
    import io

    stream = io.BytesIO()
    np.save(stream, np.zeros((3, 64, 64), np.uint16))
    refused = client.predict(("a.npy", stream.getvalue()))
    assert refused.status == 422
    assert refused.error.startswith("a.npy is uint16, model 'tiny' takes uint8")


def test_the_api_is_described_with_examples(client: Client):
    described = client.get("/openapi.json").json
    predict = described["paths"]["/v1/predict"]["post"]
    assert set(predict["requestBody"]["content"]) >= {"multipart/form-data", "application/json", "image/jpeg"}
    assert set(predict["responses"]) >= {"200", "400", "413", "422", "429", "503", "504"}
    shape = described["components"]["schemas"]["PredictAnswer"]
    assert shape["examples"][0]["images"][0]["label"]
    assert client.get("/docs").status == 404  # it would load scripts from elsewhere
