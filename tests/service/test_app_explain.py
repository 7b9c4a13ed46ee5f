"""Explanations over HTTP."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import swath
from swath.explain import class_evidence
from swath.imagery import decode
from swath.model import write_model
from swath.model.graph import assemble
from tests.service.conftest import jpeg
from tests.service.servers import Client, multipart, running
from tests.tiny import input_spec, tiny_body, tiny_record


def test_maps_are_those_of_the_python_interface(client: Client, tiny_model: Path, forest: bytes):
    body, kind = multipart(("a.jpg", forest), ("b.jpg", jpeg("River", size=96)))
    answer = client.post("/v1/explain", body, kind)
    assert answer.status == 200, answer.body
    first, second = answer.json["images"]
    evidence = class_evidence(swath.load(tiny_model, threads=1), decode(forest).pixels[None])
    np.testing.assert_allclose(np.array(first["map"]), evidence.maps[0], atol=1e-4)
    assert (first["label"], first["explained"], first["method"]) == ("Forest", "Forest", "cam")
    assert second["name"] == "b.jpg"
    picture = decode(base64.b64decode(first["picture"]))
    assert picture.width > 400
    assert client.metric("swath_held_bytes") == 0


def test_another_class_or_one_there_is_not(client: Client, forest: bytes):
    assert client.post("/v1/explain?class=River", forest, "image/jpeg").json["images"][0]["explained"] == "River"
    wrong = client.post("/v1/explain?class=Desert", forest, "image/jpeg")
    assert wrong.status == 422
    assert "Desert" in wrong.error


def test_nine_images_are_too_many(client: Client, forest: bytes):
    assert client.post("/v1/explain", *multipart(*((f"{n}.jpg", forest) for n in range(9)))).status == 413


def test_requests_that_fill_the_memory_together_are_both_explained(tiny_model: Path):
    """Half a mebibyte is there for decoded images; each request needs nearly half of that before it gives any back."""
    two = multipart(("a.jpg", jpeg("Forest", size=200)), ("b.jpg", jpeg("River", size=200)))
    with running(tiny_model, max_memory=2**20, decoders=2) as one, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: one.client.post("/v1/explain", *two), range(4)))
        assert [answer.status for answer in answers] == [200] * 4
        many = multipart(*((f"{n}.jpg", jpeg("Forest", size=200)) for n in range(3)))
        refused = one.client.post("/v1/explain", *many)
        assert refused.status == 413
        assert refused.error == "the images are too large to be explained together; send one each"
        assert one.client.metric("swath_held_bytes") == 0
        assert one.client.predict(("a.jpg", jpeg("Forest"))).status == 200


def test_a_model_without_exact_maps_is_explained_by_occlusion(tmp_path: Path, forest: bytes):
    model, body = tmp_path / "plain.onnx", tiny_body()
    kept = [output for output in body.graph.output if output.name != "activations"]
    del body.graph.output[:]
    body.graph.output.extend(kept)
    graph = assemble(body, spec=input_spec(), task="single-label")
    write_model(model, graph, tiny_record(graph))
    with running(model) as one:
        answer = one.client.post("/v1/explain", forest, "image/jpeg")
        assert answer.status == 200, answer.body
        assert answer.json["images"][0]["method"] == "occlusion"
