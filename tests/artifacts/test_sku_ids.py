"""Public ids: the rule by hand."""

import pytest

from skufp.artifacts.sku_ids import public_ids


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ([("test", "a"), ("test", "b")], ["a", "b"]),
        ([("test", "a"), ("train", "a"), ("train", "b")], ["test/a", "train/a", "b"]),
        # "test/a" is an own id, and what "a" of test would be called: every SKU gets its split.
        ([("test", "a"), ("train", "a"), ("dev", "test/a")], ["test/a", "train/a", "dev/test/a"]),
        ([], []),
    ],
)
def test_an_id_has_its_split_where_splits_share_it(keys: list[tuple[str, str]], expected: list[str]) -> None:
    assert public_ids(keys) == expected
    assert public_ids(keys[::-1]) == expected[::-1]


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        public_ids([("test", "a"), ("test", "a")])
