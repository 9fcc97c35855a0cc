"""The queries with the policy's largest gains and losses, searched again, as pictures for report.html."""

from pathlib import Path
from typing import Any

import numpy as np

from skufp.reports.picture import inlined, inlined_crop

ANSWERS = 4


def examples(engine: Any, outcome: Any, prepared: Path, count: int) -> list[dict[str, Any]]:
    """Return the queries with the policy's largest gains and largest losses, at most ``count`` each, as pictures."""
    utility, acted = outcome.of_chosen(outcome.labels.utilities()), outcome.chosen > 0
    order = np.argsort(-utility, kind="stable")
    helped = [q for q in order if acted[q] and utility[q] > 0][:count]
    hurt = [q for q in order[::-1] if acted[q] and utility[q] < 0][:count]
    return [
        {"kind": kind} | _example(engine, outcome, prepared, q)
        for kind, some in (("helped", helped), ("hurt", hurt))
        for q in some
    ]


def _example(engine: Any, outcome: Any, prepared: Path, query: int) -> dict[str, Any]:
    """Return one query photo before and after its action: the ranks of its SKU and the best results."""
    from skufp.data.decode import open_prepared
    from skufp.serve.query_policy import Decision

    chosen = outcome.chosen[query]
    asked = outcome.labels.queries.slice(int(query), 1).to_pylist()[0]
    sku, ranks = (asked["split"], asked["sku_id"]), outcome.labels.ranks()[query]
    photo = open_prepared(prepared / asked["image_path"])
    before = engine.embed_photo(photo)
    decision = Decision(outcome.labels.actions[chosen], float(outcome.predicted[query, chosen]))
    look = engine.act(engine.policy, decision, before, np.asarray(photo))
    truth = engine.best_view(before, *sku)
    first, then = (_answers(engine, prepared, vector, sku) for vector in (before, look.embedding))
    return {
        "action": look.action, "predicted_gain": look.predicted_gain,
        "utility": float(outcome.labels.utilities()[query, chosen]),
        "truth": {"sku": sku[1], "picture": inlined_crop(prepared / truth.image_path)},
        "before": {"rank": int(ranks[0]), "answers": first, "picture": inlined(photo)},
        "after": {
            "rank": int(ranks[chosen]), "answers": then,
            "picture": inlined(look.edited) if look.edited else None,
        },
    }  # fmt: skip


def _answers(engine: Any, prepared: Path, query: np.ndarray, sku: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "sku": hit.sku_id, "picture": inlined_crop(prepared / hit.view.image_path),
            "right": (hit.split, hit.sku_id) == sku,
        }
        for hit in engine.search(query, ANSWERS)
    ]  # fmt: skip
