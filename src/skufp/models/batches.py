"""Batches: what the DataModules yield and the LightningModules take, key by key.

Legend: N photos, T texts, K counterfactual photos, B SKUs or pairs, V views (padded), Q queries, M counterfactuals,
D dim, F features, A actions, S side of the augmenter's pictures, E side of the conditioning encoder's.
"""

from collections.abc import Callable, Mapping
from typing import Any, NotRequired, TypedDict, cast

from torch import Tensor


class SkuMeta(TypedDict):
    """The metadata of a SKU whose views and queries were embedded: lists have one entry per view, or per query."""

    split: str
    sku_id: str
    pair_id: int  # equal for siblings
    style: int
    category_id: int
    category_name: str
    view_ids: list[str]
    viewpoint: list[int]
    occlusion: list[int]
    zoom_in: list[int]
    generated: list[int]  # 1 for a generated view
    query_ids: list[str]
    pools: list[str]  # each query's pool: data/splits.py


class PhotoBatch(TypedDict):
    """Some photos of a full pass over shards."""

    pixels: Tensor  # [N, 3, H, W] float32
    row: Tensor  # [N] int64, the record's position in its split's list
    meta: list[dict[str, Any]]  # N crop records (artifacts.records.CropRecord) as their shard holds them


class NegativePhotos(TypedDict):
    """Counterfactual photos: hard negatives of the SKU that each was drawn from."""

    negative_pixels: Tensor  # [K, 3, H, W] float32
    negative_sku: Tensor  # [K] int64, the label of the SKU that each was drawn from


class SkuPhotoBatch(TypedDict):
    """Photos and texts of P SKUs x K images, for the retriever; NegativePhotos where there are counterfactuals."""

    pixels: Tensor  # [N, 3, H, W] float32
    sku: Tensor  # [N] int64, a label of the photo's SKU
    pair: Tensor  # [N] int64, equal for siblings
    is_query: Tensor  # [N] bool; False for catalogue photos
    text: list[str]  # N texts, "" for none
    text_id: Tensor  # [N] int64, the number of the photo's text; -1 for none
    texts: list[str]  # T: this process's share of the whole batch's distinct texts
    texts_id: Tensor  # [T] int64, their numbers
    negative_pixels: NotRequired[Tensor]
    negative_sku: NotRequired[Tensor]


class PaddedViews(TypedDict):
    """The views of SKUs, padded to the largest number of views."""

    views: Tensor  # [B, V, D] float32
    mask: Tensor  # [B, V] bool: a view, not padding
    meta: Tensor  # [B, V, 4] int64: viewpoint, occlusion, zoom_in, generated


class JoinedQueries(TypedDict):
    """The queries of a batch's SKUs."""

    queries: Tensor  # [Q, D] float32
    query_target: Tensor  # [Q] int64, the position of the query's SKU in the batch


class SkuBatch(PaddedViews, JoinedQueries):
    """SKUs with the embeddings of their views and queries."""

    sku_id: list[str]  # B
    sku_meta: list[SkuMeta]  # B


class JoinedNegatives(TypedDict):
    """The counterfactuals of a batch's SKUs."""

    negatives: Tensor  # [M, D] float32
    negative_target: Tensor  # [M] int64, the position of the SKU that each was drawn from


class FingerprintBatch(PaddedViews, JoinedQueries):
    """SKUs with the teachers of their fingerprints; JoinedNegatives with loss.negatives."""

    sku_id: list[str]  # B
    all_views: Tensor  # [B, V] bool: the mask before views were hidden
    bank_index: Tensor  # [B] int64, rows of the bank
    teacher: Tensor  # [B, D] float32, the best view
    teacher_weight: Tensor  # [B], 0 where the SKU has no teacher
    query_teacher: Tensor  # [Q, D] float32, the view chosen without that query's fold
    query_teacher_weight: Tensor  # [Q], 0 where the query has no teacher
    negatives: NotRequired[Tensor]
    negative_target: NotRequired[Tensor]


class ViewPairBatch(TypedDict):
    """Pairs of catalogue views of one SKU, for the augmenter; pictures are float32 in [-1, 1]."""

    source: Tensor  # [B, 3, S, S]
    target: Tensor  # [B, 3, S, S]
    draft: Tensor  # [B, 3, S, S], the target's photo with the source's garment
    encoder_pixels: Tensor  # [B, 3, E, E], the source after the conditioning encoder's preprocessing
    view_kind: Tensor  # [B] int64, the id of the target's kind of view
    sku_id: list[str]  # B
    source_view: list[str]  # B
    target_view: list[str]  # B
    whole: NotRequired[int]  # pairs of all processes together


class LabelledQueries(TypedDict):
    """Queries whose rank under every action is known, for the policy."""

    embedding: Tensor  # [B, D] float32
    features: Tensor  # [B, F] float32
    utility: Tensor  # [B, A] float32, identity first
    weight: Tensor  # [B] float32: equal total weight per SKU, scaled to a mean of 1
    fold: Tensor  # [B] int64, the pair's fold; -1 for queries that no member is trained on


def columns(change: Callable[..., Tensor], *parts: LabelledQueries) -> LabelledQueries:
    """Return rows in which every column is ``change`` applied to that column of ``parts``."""

    def column(name: str) -> Tensor:
        return change(*(cast(Mapping[str, Tensor], part)[name] for part in parts))

    return {
        "embedding": column("embedding"), "features": column("features"), "utility": column("utility"),
        "weight": column("weight"), "fold": column("fold"),
    }  # fmt: skip


class FoundVectors(TypedDict):
    """The output of a validation step, for the retrieval callback (callbacks/retrieval.py)."""

    vectors: Tensor  # [N, D]
    sku: list[str]  # N, the SKU of each
    is_query: Tensor  # [N] bool
    row: NotRequired[Tensor]  # [N] int64, to count each vector once
    views: NotRequired[Tensor]  # [B, V, D], of the fingerprint's SKUs
    mask: NotRequired[Tensor]  # [B, V] bool
