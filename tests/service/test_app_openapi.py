"""What the API's description allows is answered as it says."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import swath.service.jobs
from tests.service.servers import PATIENCE, Running, running
from tests.service.test_jobs import ended, scene

CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]


def ask_all(
    port: int, asked: dict[str, set[int]], *, only: str | None = None, job: str | None = None, times: int = 40
) -> None:
    """Ask for what the description allows, and for what it does not; half of the requests for a job name this one."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    turn = itertools.count()
    for operation, mode in itertools.product(schema.get_all_operations(), GenerationMode):
        path = operation.ok().path
        if only is not None and not path.startswith(only):
            continue
        cases = operation.ok().as_strategy(generation_mode=mode)

        @settings(max_examples=times, suppress_health_check=list(HealthCheck), database=None)
        @given(case=cases)
        def ask(case: schemathesis.Case) -> None:
            if next(turn) % 2 and job is not None and case.method != "DELETE" and "job" in case.path_parameters:
                case.path_parameters["job"] = job
            answer = case.call(timeout=PATIENCE)
            asked.setdefault(f"{case.method} {case.operation.path}", set()).add(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        # Nothing wrong can be sent where nothing is taken.
        with contextlib.suppress(Unsatisfiable):
            ask()


@pytest.mark.parametrize(
    "times", [pytest.param(40, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]
)
def test_every_answer_is_one_the_description_names(served: Running, times: int):
    asked: dict[str, set[int]] = {}
    ask_all(served.client.port, asked, times=times)
    statuses = set().union(*asked.values())
    assert len(asked) > 5
    assert {200, 404, 422} <= statuses
    assert 500 not in statuses  # 504 is the answer to a time of nearly nothing
    assert served.client.get("/readyz").status == 200


@pytest.mark.slow
def test_so_is_every_answer_about_maps(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a finished map at hand; what is sent as a scene waits behind others, and soon there are too many."""
    monkeypatch.setattr(swath.service.jobs, "MOST_JOBS", 4)
    asked: dict[str, set[int]] = {}
    with running(tiny_model, jobs=tmp_path / "jobs") as one:
        job = one.client.post("/v1/map", scene(tmp_path), "image/tiff").json["id"]
        assert ended(one.client, job)["state"] == "done"
        ask_all(one.client.port, asked, only="/v1/map", job=job, times=10)
        assert one.client.get(f"/v1/maps/{job}/0/0/0.png").status == 200
        assert one.client.get("/readyz").status == 200
    assert {202, 429} <= asked["POST /v1/map"]
    assert {200, 404} <= asked["GET /v1/map/{job}"]
    assert {404, 422} <= asked["GET /v1/maps/{job}/tilejson.json"]
    assert {404, 422} <= asked["GET /v1/maps/{job}/{z}/{x}/{y}.png"]
    assert 500 not in set().union(*asked.values())
