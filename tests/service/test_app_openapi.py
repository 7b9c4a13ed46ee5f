"""What the API's description allows is answered as it says."""

from __future__ import annotations

import contextlib
import itertools

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

from tests.service.servers import PATIENCE, Running

CHECKS = [status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance]


@pytest.mark.parametrize(
    "examples", [pytest.param(40, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.soak)]
)
def test_every_answer_is_one_the_description_names(served: Running, examples: int):
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{served.client.port}/openapi.json")
    asked: list[int] = []

    for operation, mode in itertools.product(schema.get_all_operations(), GenerationMode):
        cases = operation.ok().as_strategy(generation_mode=mode)

        @settings(max_examples=examples, suppress_health_check=list(HealthCheck), database=None)
        @given(case=cases)
        def ask(case: schemathesis.Case) -> None:
            answer = case.call(timeout=PATIENCE)
            asked.append(answer.status_code)
            case.validate_response(answer, checks=CHECKS)

        # Nothing wrong can be sent where nothing is taken.
        with contextlib.suppress(Unsatisfiable):
            ask()
    assert len(asked) > 100
    assert {200, 404, 422} <= set(asked)
    assert 500 not in asked  # 504 is the answer to a time of nearly nothing
    assert served.client.get("/readyz").status == 200
