"""Recommendations from one vector per SKU: similar items, other colours, similar styles, and items of a look.

Legend: N SKUs, D dim; a row is a SKU's number. Search is exact (a flat index); ties are broken by row, so the same
vectors give the same result everywhere.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np

from skufp.retrieval.body_parts import PARTS, worn_on
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.metrics import ROUNDING

DEPTH = 32  # depth of the first search
UNISEX = "unisex"
Fits = Callable[[int, int], bool]  # whether one person may wear both rows


@dataclass(frozen=True)
class Hit:
    """A recommended SKU: its row and its cosine to the SKU that it is recommended for."""

    row: int
    score: float


@dataclass(frozen=True)
class Recommendations:
    """The recommendations for one SKU, best first.

    ``similar``: the nearest SKUs of any kind. ``same_style``: the same style and category in another colour.
    ``near_style``: the same category, other styles, each style once, by its nearest SKU. ``complete_the_look``: the
    nearest SKUs that are worn with it, at most one per part of the body.
    """

    similar: list[Hit] = field(default_factory=list)
    same_style: list[Hit] = field(default_factory=list)
    near_style: list[Hit] = field(default_factory=list)
    complete_the_look: list[Hit] = field(default_factory=list)


def recommend(
    vectors: np.ndarray,
    categories: Sequence[str],
    styles: Sequence[Hashable | None] | None,
    colours: Sequence[str | None] | None,
    k: int,
    genders: Sequence[str | None] | None = None,
) -> list[Recommendations]:
    """Return up to ``k`` recommendations of each kind for every row of unit-norm ``vectors`` [N, D].

    ``categories`` [N]: "" where unknown; such a SKU has neither near_style nor complete_the_look. ``styles`` [N] are
    equal for the colours of one style; pair ids restart in every split, so pass (split, pair_id). A SKU with style
    None is a separate style. ``colours`` [N]: two SKUs of one style with the same colour (e.g. sizes) are not other
    colours of each other; an unknown colour (None) counts as another colour. ``genders`` [N]: near_style and
    complete_the_look do not mix genders, but "unisex" and None fit all. Lists may be shorter than k. Raises ValueError
    for lengths that do not match.

    complete_the_look uses body_parts.worn_on(category): the best SKU of every part that this SKU leaves free, the
    nearest first, without those that cover a part already taken (a dress takes upper and lower).
    """
    count = len(vectors)
    styles = [None] * count if styles is None else styles
    colours = [None] * count if colours is None else colours
    genders = [None] * count if genders is None else genders
    lengths = [len(each) for each in (categories, styles, colours, genders)]
    if set(lengths) != {count}:
        raise ValueError("{} vectors, {} categories, {} styles, {} colours, {} genders".format(count, *lengths))
    if count == 0:
        return []
    own_style: list[Hashable] = [("", i) if style is None else ("style", style) for i, style in enumerate(styles)]
    everything = np.arange(count)
    similar = _nearest(vectors, everything, everything, lambda row, hits: [h for h in hits if h.row != row][:k], k)
    same = _same_style(vectors, list(zip(own_style, categories, strict=True)), colours, k)
    fits = _fitting([gender if gender is None else gender.casefold() for gender in genders])
    near = _near_style(vectors, categories, own_style, fits, k)
    looks = _looks(vectors, [worn_on(category) for category in categories], fits, k)
    return [Recommendations(*lists) for lists in zip(similar, same, near, looks, strict=True)]


def _fitting(genders: Sequence[str | None]) -> Fits:
    def fits(a: int, b: int) -> bool:
        return genders[a] == genders[b] or not {None, UNISEX}.isdisjoint((genders[a], genders[b]))

    return fits


def _same_style(
    vectors: np.ndarray, keys: Sequence[Hashable], colours: Sequence[str | None], k: int
) -> list[list[Hit]]:
    """Rank all other colours among the SKUs with the same key, which are few."""

    def another(a: str | None, b: str | None) -> bool:
        return a is None or b is None or a.casefold() != b.casefold()

    found: list[list[Hit]] = [[] for _ in keys]
    for rows in _groups(keys).values():
        for row in rows:
            others = np.array([o for o in rows if o != row and another(colours[o], colours[row])], np.int64)
            found[row] = _ordered(vectors, row, others)[:k]
    return found


def _near_style(
    vectors: np.ndarray, categories: Sequence[str], styles: Sequence[Hashable], fits: Fits, k: int
) -> list[list[Hit]]:
    """Rank within each category and keep the nearest SKU of every other style."""

    def one_each(row: int, hits: list[Hit]) -> list[Hit]:
        seen, kept = {styles[row]}, []
        for hit in hits:
            if styles[hit.row] not in seen and fits(row, hit.row):
                seen.add(styles[hit.row])
                kept.append(hit)
        return kept[:k]

    found: list[list[Hit]] = [[] for _ in categories]
    for category, members in _groups(categories).items():
        if category:
            rows = np.array(members)
            for row, hits in zip(members, _nearest(vectors, rows, rows, one_each, k), strict=True):
                found[row] = hits
    return found


def _looks(vectors: np.ndarray, worn: Sequence[frozenset[str]], fits: Fits, k: int) -> list[list[Hit]]:
    """Find the best SKU of each kind of coverage, then add the nearest first, no part of the body twice."""

    def first(row: int, hits: list[Hit]) -> list[Hit]:
        return [hit for hit in hits if fits(row, hit.row)][:1]

    candidates: list[list[Hit]] = [[] for _ in worn]
    for cover in sorted({w for w in worn if w}, key=lambda w: [part in w for part in PARTS]):
        pool = np.array([i for i, w in enumerate(worn) if w == cover])
        asking = np.array([i for i, w in enumerate(worn) if w and not w & cover], np.int64)
        if len(asking):
            for row, hits in zip(asking, _nearest(vectors, pool, asking, first, 1), strict=True):
                candidates[row] += hits
    return [_dressed(worn, fits, row, hits)[:k] for row, hits in enumerate(candidates)]


def _dressed(worn: Sequence[frozenset[str]], fits: Fits, row: int, candidates: list[Hit]) -> list[Hit]:
    taken, kept = set(worn[row]), list[Hit]()
    for hit in sorted(candidates, key=lambda h: (-h.score, h.row)):
        if not taken & worn[hit.row] and all(fits(hit.row, other.row) for other in kept):
            taken |= worn[hit.row]
            kept.append(hit)
    return kept


def _nearest(
    vectors: np.ndarray,
    pool: np.ndarray,
    asking: np.ndarray,
    choose: Callable[[int, list[Hit]], list[Hit]],
    k: int,
) -> list[list[Hit]]:
    """Return for every row of ``asking`` the choice of ``choose`` from the rows of ``pool``, given best first.

    Searches to DEPTH, and deeper where that gives fewer than ``k``. Results that tie with the first one beyond the
    search depth are held back until the search is deeper.
    """
    index = SkuIndex.build(vectors[pool], "Flat")
    found: list[list[Hit]] = [[] for _ in asking]
    unfinished, depth = np.arange(len(asking)), DEPTH + k
    while len(unfinished):
        depth = min(depth, len(pool))
        scores, ids = index.search(vectors[asking[unfinished]], depth)
        settled = (scores > scores[:, -1:] + ROUNDING) | (depth == len(pool))
        for place, own, sure in zip(unfinished, ids, settled, strict=True):
            row = int(asking[place])
            found[place] = choose(row, _ordered(vectors, row, pool[own[sure]]))
        unfinished = np.array([i for i in unfinished if len(found[i]) < k], np.int64)
        if depth == len(pool):
            break
        depth *= 4
    return found


def _ordered(vectors: np.ndarray, row: int, others: np.ndarray) -> list[Hit]:
    """Return hits for ``others``, best first; cosines one by one in double precision, so that ties are exact."""
    own = np.asarray(vectors[row], np.float64)
    scores = (np.asarray(vectors[others], np.float64) * own).sum(axis=1)
    return [Hit(int(others[i]), float(scores[i])) for i in np.lexsort((others, -scores))]


def _groups(keys: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the rows of each key, in order."""
    groups: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    return groups
