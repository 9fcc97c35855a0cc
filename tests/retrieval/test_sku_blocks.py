"""Blocks of SKUs with equally many views."""

import numpy as np
import pytest

from skufp.retrieval.sku_blocks import sku_blocks

SKU = np.array([5, 0, 0, 1, 5, 4, 4, 4, 0, 1, 7])  # SKUs 2, 3 and 6 have no view


@pytest.mark.parametrize("most", [1, 3, 4, 100])
def test_every_view_once_in_the_order_of_the_table(most: int) -> None:
    seen: dict[int, list[int]] = {}
    for skus, rows in sku_blocks(SKU, most):
        assert rows.shape[0] == len(skus)
        assert rows.size <= most or len(skus) == 1
        seen |= {int(sku): own.tolist() for sku, own in zip(skus, rows, strict=True)}
    assert seen == {0: [1, 2, 8], 1: [3, 9], 4: [5, 6, 7], 5: [0, 4], 7: [10]}


def test_one_block_per_number_of_views() -> None:
    assert [rows.shape for _, rows in sku_blocks(SKU)] == [(1, 1), (2, 2), (2, 3)]


def test_no_views_no_blocks() -> None:
    assert list(sku_blocks(np.zeros(0, np.int64))) == []
