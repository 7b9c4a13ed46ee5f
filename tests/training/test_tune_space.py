from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.training import load_recipe, recipe_names
from swath.training.recipe import Recipe
from swath.training.tune import search_space, start_values, with_values


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_lies_in_its_own_space_and_comes_back_unchanged(name):
    recipe = load_recipe(name)
    space = search_space(recipe)
    start = start_values(recipe, space)
    assert 2 <= len(space) <= 8
    for field, kind in space.items():
        assert kind._contains(kind.to_internal_repr(start[field])), field
    assert with_values(recipe, start) == recipe


@pytest.mark.parametrize("name", ["fast", "mobilenetv2-finetune", "resnet50-sgd", "eurosat", "vgg19-bce-adam"])
@given(share=st.floats(0, 1))
def test_every_corner_of_a_space_is_a_recipe(name, share):
    recipe = load_recipe(name)
    space = search_space(recipe)
    values = {}
    for field, kind in space.items():
        if hasattr(kind, "choices"):
            values[field] = share < 0.5
        else:
            value = kind.low + share * (kind.high - kind.low)
            values[field] = round(value) if isinstance(kind.low, int) else value
    made = with_values(recipe, values)
    assert isinstance(made, Recipe)
    assert made.optimizer.lr == pytest.approx(values["optimizer.lr"], rel=1e-3)
    if "augmentation.crop" in values:
        assert made.augmentation.crop == (recipe.augmentation.crop if share < 0.5 else None)


def test_what_is_searched_suits_the_recipe():
    assert "optimizer.adamw_lr" in search_space(load_recipe("fast"))
    tuned = search_space(load_recipe("mobilenetv2-finetune"))
    assert {"network.dropout", "freeze.backbone_lr_scale", "optimizer.weight_decay"} <= set(tuned)
    assert "optimizer.momentum" not in tuned
    assert "augmentation.sensor_shift" in search_space(load_recipe("eurosat"))
    assert "augmentation.sensor_shift" not in search_space(load_recipe("fast"))
    probe = search_space(load_recipe("linear-probe"))
    assert not [field for field in probe if field.startswith(("augmentation", "freeze"))]
