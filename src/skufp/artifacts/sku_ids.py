"""Public ids of SKUs: one text for each, unique over splits."""

from collections import Counter
from collections.abc import Sequence


def public_ids(keys: Sequence[tuple[str, str]]) -> list[str]:
    """Return the public id of every SKU of ``keys``, (split, sku_id), in their order.

    It is the ``sku_id`` if no other split has the same id, else ``<split>/<sku_id>``. If some ``sku_id`` equals such an
    id ("test/a" beside "a" of two splits), every SKU gets its split; split names hold no "/", so those ids are unique.
    The ids depend only on the set of keys. Raises ValueError for a repeated key.
    """
    if len(set(keys)) < len(keys):
        raise ValueError("a SKU comes twice: split and sku_id together must be unique")
    qualified = [f"{split}/{sku_id}" for split, sku_id in keys]
    splits_with = Counter(sku_id for _, sku_id in keys)
    ids = [sku_id if splits_with[sku_id] == 1 else long for (_, sku_id), long in zip(keys, qualified, strict=True)]
    return ids if len(set(ids)) == len(ids) else qualified
