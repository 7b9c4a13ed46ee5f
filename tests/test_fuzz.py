"""Mutants of every input end in an answer or in one sentence that names the file, in bounded memory and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.faulty import FAULTS
from tests.fuzz.harness import HEAD, fuzz
from tests.fuzz.worker import KINDS, run_one, target_of

FEW, MANY = 24, 3000


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_mutants(kind: str, tmp_path: Path) -> None:
    if kind == "YAML":
        pytest.importorskip("torch")
    target = target_of(kind, tmp_path)
    results = [run_one(target, number, tmp_path / f"case-{number}") for number in range(FEW)]
    assert [result for result in results if result["outcome"] == "other"] == []
    assert {"answered", "refused"} >= {result["outcome"] for result in results}


@pytest.mark.slow
def test_the_harness_sees_every_fault(tmp_path: Path) -> None:
    tally = fuzz("faulty", mutants=len(FAULTS), kept=tmp_path, seconds=10.0, memory=300 * 2**20)
    said = dict(tally.findings)
    for number, (name, _) in enumerate(FAULTS):
        if name not in ("answered", "refused"):
            assert name in said.pop(number)
            assert (tmp_path / "faulty" / str(number) / "mutant.txt").read_text() == str(number)
    assert said == {}
    assert (tally.counts["answered"], tally.counts["refused"]) == (2, 1)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_many_mutants(kind: str, tmp_path: Path) -> None:
    tally = fuzz(kind, mutants=MANY, kept=tmp_path)
    (tmp_path / "row.md").write_text(f"{HEAD}\n{tally.row}\n")
    assert tally.findings == []
