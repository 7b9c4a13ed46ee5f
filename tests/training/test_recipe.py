from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from swath.errors import MissingFileError, SettingError
from swath.training import Recipe, load_recipe, recipe_names
from swath.training.recipe import dump_recipe


@pytest.mark.parametrize("name", ["fast", "accurate", "quickstart"])
def test_shipped_recipes_are_valid_and_say_what_they_are(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    assert name in recipe_names()


def test_a_recipe_file_may_be_as_short_as_it_likes(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine\nepochs: 2\n")
    assert load_recipe(str(tmp_path / "mine.yaml")) == Recipe(name="mine", epochs=2)


def test_the_resolved_recipe_reads_back_as_itself(tmp_path):
    recipe = load_recipe("fast", changes=["optimizer.lr=0.07", "network.widths=[8, 16]", "size=32"])
    (tmp_path / "r.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(str(tmp_path / "r.yaml")) == recipe
    assert set(yaml.safe_load(dump_recipe(recipe))) == set(Recipe.model_fields)
    assert (recipe.optimizer.lr, recipe.network.widths, recipe.size) == (0.07, (8, 16), 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimizer.learning_rate=1", "recipe fast: unknown field 'optimizer.learning_rate'"),
        ("optimzer.lr=1", "unknown field 'optimzer'; did you mean 'optimizer'"),
        ("optimizer.momentun=0", "unknown field 'optimizer.momentun'; did you mean 'momentum'"),
        ("epoch=1", "unknown field 'epoch'; did you mean 'epochs'"),
        ("epochs=0", "field 'epochs'.*greater than or equal to 1.*given: '0'"),
        ("epochs=1.5", "field 'epochs'"),
        ("batch_size=1", "field 'batch_size'"),
        ("size=8", "field 'size'"),
        ("optimizer.lr=0", "field 'optimizer.lr'"),
        ("optimizer.lr=inf", "field 'optimizer.lr'.*finite"),
        ("optimizer.lr=.nan", "field 'optimizer.lr'"),
        ("network.widths=[]", "field 'network.widths'"),
        ("network.name=resnet18", r"stem and widths belong to .*network=\{name: resnet18\}"),
        ("precision=int8", "field 'precision'"),
        ("optimizer={name: adamw, momentum: 0.9}", "momentum belongs to muon and sgd"),
        ("augmentation.flips=perhaps", "field 'augmentation.flips'"),
        ("network=3", "field 'network'"),
    ],
)
def test_a_mistake_names_the_field_and_the_nearest_known(change, message):
    with pytest.raises(SettingError, match=message):
        load_recipe("fast", changes=[change])


def test_no_such_recipe():
    with pytest.raises(SettingError, match=r"no recipe 'fats'; use one of accurate, .* or a .yaml"):
        load_recipe("fats")
    with pytest.raises(MissingFileError, match=r"none\.yaml"):
        load_recipe("none.yaml")


def test_muon_is_refused_where_it_would_undo_pre_trained_weights():
    given = ["network={name: resnet18}", "weights=imagenet"]
    with pytest.raises(SettingError, match="muon would undo pre-trained weights"):
        load_recipe("fast", changes=given)
    assert load_recipe("fast", changes=[*given, "optimizer={name: adamw, lr: 0.001}"]).weights == "imagenet"
    assert load_recipe("fast", changes=["network={name: resnet18}"]).optimizer.name == "muon"


def test_fields_are_keyword_arguments_and_groups_are_merged():
    recipe = load_recipe("fast", epochs=3, optimizer={"lr": 0.05}, weights=Path("w.safetensors"))
    assert (recipe.epochs, recipe.optimizer.lr, recipe.weights) == (3, 0.05, "w.safetensors")
    plain = load_recipe("fast")
    assert recipe.optimizer == plain.optimizer.model_copy(update={"lr": 0.05})
    assert recipe.augmentation == plain.augmentation
    assert load_recipe("fast", changes=["epochs=3"], epochs=4) == load_recipe("fast", changes=["epochs=4"])


def test_another_name_or_an_empty_mapping_replaces_a_group():
    assert load_recipe("fast", network={"name": "resnet18"}) == load_recipe(
        "fast", changes=["network={name: resnet18}"]
    )
    frozen = load_recipe("resnet50-finetune", weights="none", freeze={})
    assert frozen.freeze == load_recipe("fast").freeze
    weighted = load_recipe("fast", loss={"class_weights": {"River": 2}})
    assert weighted.loss.class_weights == {"River": 2}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epoch": 3}, "unknown field 'epoch'; did you mean 'epochs'"),
        ({"optimizer": {"momentun": 0.5}}, "unknown field 'optimizer.momentun'; did you mean 'momentum'"),
        ({"epochs": "many"}, "field 'epochs'"),
    ],
)
def test_a_mistaken_keyword_names_the_field_and_the_nearest_known(fields, message):
    with pytest.raises(SettingError, match=message):
        load_recipe("fast", **fields)


@pytest.mark.parametrize("name", ["1", "02", "010", "1_000", "1e3", "12:30", "no", "yes", "2021-01-01", "null"])
def test_classes_may_have_any_name(name, tmp_path):
    recipe = load_recipe("fast", changes=[f"positive={name}", f"loss.class_weights={{{name}: 3, other: 1}}"])
    assert recipe.positive == name
    assert recipe.loss.class_weights == {name: 3, "other": 1}
    (tmp_path / "r.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "r.yaml") == recipe
