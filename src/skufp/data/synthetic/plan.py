"""What the catalogue will hold, before anything is drawn: pairs, styles, views, queries, defects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from .colours import Colours, pick_colours
from .cuts import Cut, sample_cut
from .params import SPLITS, CatalogueParams

_FREQUENT = {1: 3.0, 2: 2.0, 4: 1.5, 5: 1.2, 7: 1.5, 8: 2.5, 9: 1.8, 10: 1.5, 12: 1.3}
DEFECTS = ("box_outside", "box_empty", "image_missing", "image_truncated", "json_broken")
Key = TypeVar("Key")


@dataclass(frozen=True)
class ItemPlan:
    """One garment in one photo; style 0 has no partner."""

    pair_id: int
    style: int
    cut: Cut
    colours: Colours


@dataclass(frozen=True)
class ImagePlan:
    """One photo: where it goes, what it shows, and the defect it carries, if any."""

    split: str
    number: int
    source: str
    view: str
    items: tuple[ItemPlan, ...]
    defect: str | None = None


@dataclass
class _Sku:
    item: ItemPlan
    partner: ItemPlan | None = None
    views: int = 0
    queries: int = 0


def _choose(rng: np.random.Generator, weights: dict[Key, float]) -> Key:
    keys, shares = list(weights), np.array(list(weights.values()))
    return keys[int(rng.choice(len(keys), p=shares / shares.sum()))]


def _count(rng: np.random.Generator, weights: tuple[float, ...]) -> int:
    shares = np.array(weights)
    return 1 + int(rng.choice(len(shares), p=shares / shares.sum()))


def _partner_category(rng: np.random.Generator, category: int) -> int | None:
    if category <= 6:
        return int(rng.choice([7, 8, 9]))
    return int(rng.choice([1, 2, 5, 6])) if category <= 9 else None


def _pair_skus(rng: np.random.Generator, pair_id: int, category: int, params: CatalogueParams) -> list[_Sku]:
    cuts = [sample_cut(rng, category, params)]
    second = _partner_category(rng, category)
    if second is not None and rng.random() < params.set_share:
        cuts.append(sample_cut(rng, second, params))
    styles = _count(rng, params.style_weights)
    taken: list[str] = []
    skus = []
    for style in range(1, (max(styles, 2) if pair_id == 1 else styles) + 1):
        colours = pick_colours(rng, taken, params.colour_jitter, params.colour_fame)
        taken.append(colours.names[0])
        items = [ItemPlan(pair_id, style, cut, colours) for cut in cuts]
        skus += [_Sku(item, next((o for o in items if o is not item), None)) for item in items]
    return skus


def _categories(rng: np.random.Generator, count: int) -> list[int]:
    """Every category once (as far as `count` goes), then by frequency."""
    first = [int(c) for c in rng.permutation(13)[:count] + 1]
    weights = {c: _FREQUENT.get(c, 1.0) for c in range(1, 14)}
    return first + [_choose(rng, weights) for _ in range(count - len(first))]


def _assign_counts(rng: np.random.Generator, skus: list[_Sku], params: CatalogueParams) -> None:
    silent = round(params.distractor_share * len(skus))
    orphans = round(params.orphan_share * len(skus))
    # The first SKU stays out of the draw, so that even the smallest split has a query.
    drawn = 1 + rng.permutation(len(skus) - 1)
    for sku in skus:
        sku.views, sku.queries = _count(rng, params.view_weights), _count(rng, params.query_weights)
    for k in drawn[:silent]:
        skus[k].queries = 0
    for k in drawn[silent : silent + orphans]:
        skus[k].views = 0


def _second_item(rng: np.random.Generator, sku: _Sku, params: CatalogueParams) -> ItemPlan | None:
    category = _partner_category(rng, sku.item.cut.category)
    if category is None or rng.random() >= params.two_item_share:
        return None
    if sku.partner is not None:
        return sku.partner
    cut = sample_cut(rng, category, params)
    return ItemPlan(sku.item.pair_id, 0, cut, pick_colours(rng, [], params.colour_jitter, params.colour_fame))


def _sku_images(
    rng: np.random.Generator,
    split: str,
    sku: _Sku,
    open_skus: set[tuple[int, int, int]],
    params: CatalogueParams,
) -> list[ImagePlan]:
    images = []
    sources = ["shop"] * sku.views + ["user"] * sku.queries
    for k, source in enumerate(sources):
        view = _choose(rng, dict(params.shop_views if source == "shop" else params.user_views))
        if k == 0 and source == "shop":
            front = {v: params.shop_views[v] for v in ("worn", "flat")}
            rest = {v: s for v, s in params.shop_views.items() if v not in front}
            view = _choose(rng, front if rng.random() < params.front_first_share else rest)
        items = [sku.item]
        second = _second_item(rng, sku, params) if view == "worn" else None
        if second is not None and (second.style == 0 or key(second) in open_skus):
            items.append(second)
        images.append(ImagePlan(split, 0, source, view, tuple(items)))
    return images


def key(item: ItemPlan) -> tuple[int, int, int]:
    """(pair_id, style, category): the SKU within a split."""
    return item.pair_id, item.style, item.cut.category


def _loose_images(
    rng: np.random.Generator, split: str, first_pair: int, count: int, params: CatalogueParams
) -> list[ImagePlan]:
    images = []
    for k in range(count):
        cut = sample_cut(rng, int(rng.integers(1, 14)), params)
        item = ItemPlan(first_pair + k, 0, cut, pick_colours(rng, [], params.colour_jitter, params.colour_fame))
        source = "shop" if rng.random() < 0.5 else "user"
        view = _choose(rng, dict(params.shop_views if source == "shop" else params.user_views))
        images.append(ImagePlan(split, 0, source, view, (item,)))
    return images


def _split_plan(split: str, params: CatalogueParams) -> list[ImagePlan]:
    count = params.pairs.get(split, 0)
    if count == 0:
        return []
    rng = np.random.default_rng([params.seed, SPLITS.index(split), 0])
    skus = [s for k, c in enumerate(_categories(rng, count)) for s in _pair_skus(rng, k + 1, c, params)]
    _assign_counts(rng, skus, params)
    # Only SKUs with views and queries may be second items: an extra photo would change the role of other SKUs.
    open_skus = {key(s.item) for s in skus if s.views and s.queries}
    images = [image for sku in skus for image in _sku_images(rng, split, sku, open_skus, params)]
    loose = max(1, round(params.loose_share * len(images)))
    images += _loose_images(rng, split, count + 1, loose, params)
    if params.defects and split == "train":
        for defect in DEFECTS:
            item = skus[int(rng.integers(len(skus)))].item
            images.append(ImagePlan(split, 0, "shop", "worn", (item,), defect))
    order = rng.permutation(len(images))
    return [replace(images[k], number=number) for number, k in enumerate(order, start=1)]


def plan(params: CatalogueParams) -> list[ImagePlan]:
    """Plan every image of every split, in writing order; nothing is drawn."""
    return [image for split in SPLITS for image in _split_plan(split, params)]
