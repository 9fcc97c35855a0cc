"""The policy's report.html: tables, plots, and queries before and after their action, in one file."""

from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.stages.evaluate_report import data_uri, thumbnail
from skufp.stages.policy_report_plots import gains_plot, predictions_plot
from skufp.stages.policy_report_table import APART, added_ms, label, lines

ANSWERS = 4


def write_report(
    cfg: DictConfig, out: Path, report: dict[str, Any], outcome: Any, examples: list[dict[str, Any]]
) -> None:
    """Write report.html."""
    import jinja2

    template = (Path(__file__).parent / "policy_report.html.j2").read_text(encoding="utf-8")
    plots = {
        "gains": gains_plot(report["choices"]),
        "predictions": predictions_plot(*best_gains(outcome), report["policy"]["threshold"]),
    }
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template).render(
        title=f"{cfg.data.label} · {cfg.model.name} · {cfg.aggregator.name}", report=report, plots=plots, apart=APART,
        simulated=str(cfg.data.name).startswith("synthetic"), label=label, added_ms=added_ms, examples=examples,
        lines=lines(report), most=max(map(max, report["confusion"])),
    )  # fmt: skip
    (out / "report.html").write_text(page, encoding="utf-8")


def best_gains(outcome: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and realised gain [Q] (utility less price) of the action that promises most, taken or not.

    Identity, which gains nothing by definition, is left out.
    """
    best = outcome.predicted[:, 1:].argmax(axis=1) + 1
    row, realised = np.arange(len(best)), outcome.labels.utilities() - outcome.price
    return outcome.predicted[row, best], realised[row, best]


def examples(engine: Any, outcome: Any, prepared: Path, count: int) -> list[dict[str, Any]]:
    """Return the queries, at most ``count`` each, that the policy helped most and that it hurt most, as pictures."""
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
    """One query photo before and after its action: the ranks of its SKU and the best answers."""
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
        "truth": {"sku": sku[1], "picture": thumbnail(prepared / truth.image_path)},
        "before": {"rank": int(ranks[0]), "answers": first, "picture": data_uri(photo.copy())},
        "after": {
            "rank": int(ranks[chosen]), "answers": then,
            "picture": data_uri(look.edited) if look.edited else None,
        },
    }  # fmt: skip


def _answers(engine: Any, prepared: Path, query: np.ndarray, sku: tuple[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "sku": hit.sku_id, "picture": thumbnail(prepared / hit.view.image_path),
            "right": (hit.split, hit.sku_id) == sku,
        }
        for hit in engine.search(query, ANSWERS)
    ]  # fmt: skip
