"""Names of splits: the usual spellings are understood, all others are not."""

import pytest

from skufp.artifacts.split_names import meaning, source_split, split_of, splits_of


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "Train", " TRAIN ", "training", "Training set", "train_set", "train-split", "trainset"]),
        ("validation", ["val", "VAL", "valid", "Validation", "validation set", "eval", "Evaluation", "val_data"]),
        ("test", ["test", "Test", "testing", "test set", "TEST_SPLIT"]),
        ("dev", ["dev", "Dev", "development", "dev-set"]),
    ],
)
def test_usual_spellings(split: str, names: list[str]) -> None:
    assert {name: meaning(name) for name in names} == dict.fromkeys(names, split)


@pytest.mark.parametrize("name", ["", "nan", "foo", "holdout", "trian", "0", "train/val", "set", "тест", "testtrain"])
def test_other_names_mean_nothing(name: str) -> None:
    assert meaning(name) == ""


def test_the_split_of_a_row_is_named_or_hashed() -> None:
    rows = [("a", "Val"), ("b", ""), ("c", "TEST"), ("d", "?"), ("e", "train")]
    assert splits_of(rows) == ["validation", split_of("b"), "test", "", "train"]


def test_dev_beside_validation_is_our_dev_and_else_it_is_validation() -> None:
    assert splits_of([("a", "train"), ("b", "dev"), ("c", "val")]) == ["train", "dev", "validation"]
    assert splits_of([("a", "train"), ("b", "dev"), ("c", "test")]) == ["train", "validation", "test"]
    assert source_split("dev") == "train"
    assert source_split("test") == "test"


def test_a_hashed_validation_does_not_change_what_dev_means() -> None:
    hashed = next(sku for sku in map(str, range(99)) if split_of(sku) == "validation")
    assert splits_of([(hashed, ""), ("b", "dev")]) == ["validation", "validation"]
