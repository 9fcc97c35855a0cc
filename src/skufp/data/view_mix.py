"""The choice of generated views that join a SKU's real ones."""

import math
import zlib
from collections.abc import Iterable, Mapping

from skufp.artifacts.views import CONTROL, VIEW, ViewRow

TAKES = {"generated": VIEW, "control": CONTROL}  # views.take -> the kind of row that joins
Sku = tuple[str, str]


def choose_views(rows: Iterable[ViewRow], real: Mapping[Sku, int], take: str, cap: float, views: int) -> list[ViewRow]:
    """Return the kept rows of kind ``TAKES[take]`` that join: SKU after SKU, in the order of ``real``.

    ``real`` is every SKU's number of real views, r. A SKU gets at most ``cap`` · r generated views, and at most
    ``views`` views in all. The choice does not depend on the order of rows. Raises KeyError for a row of a SKU that
    ``real`` does not have.
    """
    candidates: dict[Sku, list[ViewRow]] = {sku: [] for sku in real}
    for row in rows:
        if row.kept and row.kind == TAKES[take]:
            candidates[row.sku].append(row)
    return [row for sku, own in candidates.items() for row in in_turn(own)[: room(real[sku], cap, views)]]


def room(real: int, cap: float, views: int) -> int:
    """Return the most generated views that a SKU with ``real`` real views may get."""
    return max(0, min(math.floor(cap * real + 1e-9), views - real))  # 0.29 * 100 is 28.999999999999996


def in_turn(rows: Iterable[ViewRow]) -> list[ViewRow]:
    """Order one SKU's rows: view conditions take turns by name, each with its highest margin first.

    The first condition differs between SKUs; otherwise a catalogue of single views would get only one condition.
    """
    by_condition: dict[str, list[ViewRow]] = {}
    for row in sorted(rows, key=lambda row: (row.action, -row.margin, row.view_id)):
        by_condition.setdefault(row.action, []).append(row)
    turns = list(by_condition.values())
    if not turns:
        return []
    start = zlib.crc32("/".join(turns[0][0].sku).encode()) % len(turns)
    turns = turns[start:] + turns[:start]
    return [own[i] for i in range(max(map(len, turns))) for own in turns if i < len(own)]
