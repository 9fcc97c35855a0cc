"""Asking queries with and without their product, and learning a Judge from the answers.

Legend: Q queries, S SKUs, K ranked SKUs of a query, F features, D dimensions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from skufp.retrieval.confidence.calibration import cross_fitted, fit, with_prior
from skufp.retrieval.confidence.evidence import NEIGHBOURS, evidence, reference_rows, without
from skufp.retrieval.confidence.measures import accept_threshold, calibration_error, reliability, separation
from skufp.retrieval.confidence.verdict import ABSENT, EXACT, PROBABLY, Judge
from skufp.retrieval.ranks import Index


@dataclass(frozen=True)
class Gallery:
    """SKUs to search: their ``index``, ``vectors`` [S, D] and ``design`` [S], equal for siblings in other colours."""

    index: Index
    vectors: np.ndarray
    design: np.ndarray


@dataclass(frozen=True)
class Queries:
    """``vectors`` [Q, D] with their SKU ``target`` [Q]. ``label`` [S] is equal for SKUs that a query cannot tell apart.

    A photo shows one SKU, so every SKU has a label of its own; SKUs with the same text share one for a text query.
    ``pool`` [Q] numbers the pools that the queries are from, all of which count the same; None: one pool.
    """

    vectors: np.ndarray
    target: np.ndarray
    label: np.ndarray
    pool: np.ndarray | None = None


@dataclass(frozen=True)
class Asked:
    """The evidence [Q, F] of each query in three galleries, and whether the ``first`` answer of the whole one is right.

    ``whole``: with its product. ``no_design``: its SKU and all siblings taken out. ``no_sku``: siblings stay.
    """

    whole: np.ndarray
    no_design: np.ndarray
    no_sku: np.ndarray
    first: np.ndarray
    sku: np.ndarray
    design: np.ndarray
    pool: np.ndarray


def ask(gallery: Gallery, queries: Queries) -> Asked:
    """Search for every query, then take its product out of the ranking: nothing is indexed again."""
    design = gallery.design[queries.target]
    largest = int(np.bincount(gallery.design).max()) + int(np.bincount(queries.label).max())
    scores, ids = gallery.index.search(queries.vectors, NEIGHBOURS + largest)
    known = np.maximum(ids, 0)
    own = queries.label[known] == queries.label[queries.target][:, None]
    kin = own | (gallery.design[known] == design[:, None])
    rows = reference_rows(len(gallery.vectors))
    reference = queries.vectors @ np.asarray(gallery.vectors[rows]).T
    own_reference = queries.label[rows] == queries.label[queries.target][:, None]
    kin_reference = own_reference | (gallery.design[rows] == design[:, None])
    found = {}
    nothing = np.zeros_like(own), np.zeros_like(own_reference)
    for name, (gone, left_out) in {
        "whole": nothing, "no_design": (kin, kin_reference), "no_sku": (own, own_reference)
    }.items():  # fmt: skip
        left, left_ids = (part[:, :NEIGHBOURS] for part in without(scores, ids, gone))
        found[name] = evidence(left, left_ids, gallery.design, np.where(left_out, np.nan, reference))
    return Asked(
        **found,
        first=own[:, 0] & (ids[:, 0] >= 0),
        sku=queries.target,
        design=design,
        pool=np.zeros(len(own), np.int64) if queries.pool is None else queries.pool,
    )


def learn(
    asked: Asked, accepted: float = 0.95, prior: float = 0.5, folds: int = 5, seed: int = 0, simulated: bool = False
) -> tuple[Judge, Asked, dict[str, np.ndarray]]:
    """Return a Judge, the queries it learnt from and their cross-fitted probabilities.

    Every query is an example twice, in the whole gallery and without its design. ``threshold`` accepts the share
    ``accepted`` of the queries whose product is there, by the cross-fitted probabilities, at ``prior``. Raises
    ValueError where fewer than two designs have usable queries.
    """
    usable = np.isfinite(asked.whole).all(axis=1) & np.isfinite(asked.no_design).all(axis=1)
    asked = Asked(**{name: value[usable] for name, value in vars(asked).items()})
    if len(np.unique(asked.design)) < 2:
        raise ValueError("queries of two designs at least are needed")
    features = np.concatenate([asked.whole, asked.no_design])
    inside = np.repeat([True, False], len(asked.sku))
    first = np.concatenate([asked.first, np.zeros(len(asked.sku), bool)])
    group = np.tile(asked.design, 2)
    counts = np.bincount(asked.pool)
    weight = np.tile(len(asked.sku) / ((counts > 0).sum() * counts[asked.pool]), 2)
    found = {
        "in_catalogue": cross_fitted(features, inside, group, folds, seed, weight),
        "first_is_it": cross_fitted(features, first, group, folds, seed, weight),
    }
    threshold = accept_threshold(with_prior(found["in_catalogue"][inside], prior), accepted)
    judge = Judge(fit(features, inside, weight), fit(features, first, weight), threshold, prior, simulated)
    return judge, asked, found


def judged(judge: Judge, asked: Asked) -> dict[str, np.ndarray]:
    """Return the probabilities of queries that the judge did not learn from: whole galleries first, then no_design."""
    features = np.concatenate([asked.whole, asked.no_design])
    return {
        "in_catalogue": judge.in_catalogue.probability(features),
        "first_is_it": judge.first_is_it.probability(features),
    }


def report(
    judge: Judge, asked: Asked, found: dict[str, np.ndarray], no_sku: np.ndarray | None = None,
    accepted: float = 0.95, resamples: int = 1000,
) -> dict[str, Any]:  # fmt: skip
    """Return how well probabilities ``found`` separate present from absent products, and how well they are calibrated.

    ``no_sku`` [Q] are the probabilities where only the SKU was taken out. All are at the examples' share of one half;
    verdicts are those at the judge's prior.
    """
    count = len(asked.sku)
    inside = np.repeat([True, False], count)
    first = np.concatenate([asked.first, np.zeros(count, bool)])
    parts = {"in_catalogue": inside, "first_is_it": first}
    present, absent = found["in_catalogue"][:count], found["in_catalogue"][count:]
    moved = [with_prior(found[name], judge.prior) for name in ("in_catalogue", "first_is_it")]
    verdicts = [
        [judge.verdict(i, f) for i, f in zip(*(part[own] for part in moved), strict=True)]
        for own in (slice(None, count), slice(count, None))
    ]
    result: dict[str, Any] = {
        "design_absent": separation(present, absent, asked.sku, accepted, resamples),
        "right_first": float(asked.first.mean()),
        "verdicts": {
            where: {name: said.count(name) / max(count, 1) for name in (EXACT, PROBABLY, ABSENT)}
            for where, said in zip(("present", "design_absent"), verdicts, strict=True)
        },
        "exact_is_right": _share(np.array([v == EXACT for v in verdicts[0]]), asked.first),
    }
    if no_sku is not None:
        result["sku_absent"] = separation(present, no_sku, asked.sku, accepted, resamples)
    for name, outcome in parts.items():
        result[name] = {
            "calibration_error": calibration_error(found[name], outcome),
            "reliability": reliability(found[name], outcome),
        }
    return result


def _share(chosen: np.ndarray, outcome: np.ndarray) -> float | None:
    return float(outcome[chosen].mean()) if chosen.any() else None
