"""SKUs in blocks of equal view count, to process many SKUs at once without padding and in bounded memory."""

from collections.abc import Iterator

import numpy as np

VIEWS_PER_BLOCK = 16_384  # at 768 dimensions a block's views take 48 MiB


def sku_blocks(sku_of_view: np.ndarray, most: int = VIEWS_PER_BLOCK) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (SKU numbers [B], rows of their views [B, V]); V is one number in a block.

    ``sku_of_view`` [N] is each view's SKU number. A SKU's rows are in the order of the table; a SKU without a view is
    in no block; a block holds at most ``most`` views, or one SKU.
    """
    order = np.argsort(sku_of_view, kind="stable")
    skus, starts, counts = np.unique(sku_of_view[order], return_index=True, return_counts=True)
    for count in np.unique(counts):
        members = np.flatnonzero(counts == count)
        size = max(1, most // int(count))
        for begin in range(0, len(members), size):
            block = members[begin : begin + size]
            yield skus[block], order[starts[block][:, None] + np.arange(count)]
