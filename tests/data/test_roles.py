from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.data.roles import is_fold, is_part, read_name, split_roles, splits_of


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("train", "train Train TRAIN training trainset train_images TrainImages training_set train-data 01_train "
                  "train2017 raw_train_images entraînement treino 训练 訓練データ обучение"),
        ("val", "val valid validation valset Validation-Set dev dev_images validación 验证集 検証用 валидация"),
        ("test", "test tests testing testset test_images holdout hold-out Hold_Out HoldOut prueba teste 测试集 тест"),
        ("eval", "eval evaluation eval_set"),
        ("pred", "pred predictions inference unlabeled unlabelled train_unlabeled test-unlabelled"),
        ("trainval", "trainval train_val train+valid"),
    ],
)  # fmt: skip
def test_names_of_parts_of_an_experiment(role, names):
    for name in names.split():
        assert (read_name(name).role, read_name(name).exact) == (role, True), name


LETTERS = (
    "Forest trainer constraint attest contest valley evaluated latest strain device testimony predator train_val_test"
)


@pytest.mark.parametrize("name", LETTERS.split())
def test_names_that_only_hold_the_letters(name):
    assert read_name(name).role is None


@pytest.mark.parametrize(("name", "last"), [("seg_train", True), ("train_station", False), ("my-train-set", True),
                                            ("test site 2", False), ("trainEurosat", False)])  # fmt: skip
def test_the_word_that_comes_last_makes_the_name(name, last):
    assert read_name(name).rest
    assert read_name(name).last is last


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("seg_train seg_test seg_pred", {"seg_train": "train", "seg_test": "test", "seg_pred": "pred"}),
        ("train_a1 test_a1", {"train_a1": "train", "test_a1": "test"}),
        ("train_eurosat test_eurosat Forest", {"train_eurosat": "train", "test_eurosat": "test"}),
        ("train my_test", {"train": "train", "my_test": "test"}),
        ("seg_train Forest", {}),
        ("train_station test_site", {}),
        ("train_station bus_station", {}),
        ("tr te", {"tr": "train", "te": "test"}),
        ("tr Forest", {}),
        ("Forest River", {}),
        ("", {}),
    ],
)
def test_siblings_tell_what_a_name_means(names, expected):
    assert split_roles(names.split()) == expected


def test_eval_is_val_only_next_to_a_test():
    assert splits_of({"a": "train", "b": "eval"}) == {"a": "train", "b": "test"}
    assert splits_of({"a": "train", "b": "eval", "c": "test"}) == {"a": "train", "b": "val", "c": "test"}
    assert splits_of({"a": "val", "b": "eval", "c": "test"}) == {"a": "val", "b": "test", "c": "test"}
    assert splits_of({"a": "trainval"}) == {"a": None}


@pytest.mark.parametrize("name", ["fold1", "Fold_02", "fold-10", "k-fold 3", "cv_fold1", "3fold", "第3折"[1:]])
def test_folds(name):
    assert is_fold(name)
    assert is_part(name)


@pytest.mark.parametrize(
    "name", ["1", "002", "part_3", "batch 12", "2019", "2020-01", "2020_01_31", "20200131", "T32UMD"]
)
def test_numbered_parts(name):
    assert is_part(name)
    assert not is_fold(name)


@pytest.mark.parametrize("name", ["Forest", "class 1", "A1", "folded", "12345678901", "River2", "TOWN", ""])
def test_names_of_no_part(name):
    assert not is_part(name)


@given(st.lists(st.text(max_size=20), max_size=6, unique=True))
def test_any_names_are_read_and_their_order_changes_nothing(names):
    found = split_roles(names)
    assert found.keys() <= set(names)
    assert split_roles(names[::-1]) == found
    assert all(read_name(name) == read_name(name) for name in names)
    assert splits_of(found).keys() == found.keys()
