from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from swath.model.memory import ClassMemory, Teaching, place_codes, taught_places
from swath.model.ood import PackedArray

SALT = "0123456789abcdef" * 2


def some_memory(n=400, *, width=5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return ClassMemory.of(labels[:, None] * 3.0 + rng.normal(0, 1, (n, width)), labels)


def test_what_is_drawn_has_the_statistics_that_were_measured():
    drawn, rows = some_memory().draw(300, seed=1)
    assert np.bincount(rows).tolist() == [200, 200]  # no more than was measured
    for row in (0, 1):
        part = drawn[rows == row]
        np.testing.assert_allclose(part.mean(axis=0), 3.0 * row, atol=0.3)
        np.testing.assert_allclose(part.std(axis=0), 1.0, atol=0.2)


def test_the_same_seed_draws_the_same():
    memory = some_memory()
    np.testing.assert_array_equal(memory.draw(9, seed=3)[0], memory.draw(9, seed=3)[0])
    assert (memory.draw(9, seed=3)[0] != memory.draw(9, seed=4)[0]).any()


def test_memories_join_and_survive_json():
    joined = some_memory().joined(some_memory(20, seed=1))
    again = ClassMemory.model_validate_json(joined.model_dump_json())
    assert again.classes == (0, 1, 0, 1)
    assert again.counts == (200, 200, 10, 10)
    np.testing.assert_array_equal(again.mean.unpack(), joined.mean.unpack())


def test_lengths_must_agree():
    with pytest.raises(ValidationError, match="differs in length"):
        ClassMemory(
            classes=(0,), counts=(1,), mean=PackedArray.pack(np.ones((2, 3))), sd=PackedArray.pack(np.ones((2, 3)))
        )


def taught(lonlat, salt=SALT):
    return Teaching(
        began_from="m", sha256="0" * 64, places={"a": 1}, strength=0.1, salt=salt, codes=place_codes(lonlat, salt=salt)
    )


def test_places_are_known_again_but_for_rounding():
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(-180, 180, 500), rng.uniform(-80, 80, 500)], axis=1)
    record = (taught(places[:250]), taught(places[250:], "f" * 32))
    assert taught_places(record, places).all()
    assert taught_places(record, places + rng.uniform(-5e-6, 5e-6, places.shape)).all()
    assert not taught_places(record, places + np.array([5e-5, 0])).any()
    assert not taught_places((), places).any()


def test_codes_of_two_salts_have_nothing_in_common():
    places = np.random.default_rng(0).uniform(0, 50, (100, 2))
    one, other = (place_codes(places, salt=salt).unpack() for salt in (SALT, "f" * 32))
    assert not set(one.tolist()) & set(other.tolist())
