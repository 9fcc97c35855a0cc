"""report.html: the tables, the plots, and example queries as pictures, in one self-contained file."""

from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.vectors import VectorTable
from skufp.reports.evaluation.example_search import try_next
from skufp.reports.evaluation.plots import TELLING, recall_plot, sizes_plot, strata_plot
from skufp.reports.evaluation.table import NAMES, SAME, gain_lines
from skufp.reports.html import write_html
from skufp.reports.picture import inlined_crop
from skufp.retrieval.evaluation.simulated_texts import NAMES as KIND_NAMES
from skufp.retrieval.evaluation.text_search import ORDER
from skufp.retrieval.evaluation.texts import TEXTS
from skufp.schema import Config

STRATA = {
    "views": "Catalogue photos of the SKU", "occlusion": "Occlusion of the query",
    "viewpoint": "Viewpoint of the query", "sibling_style_in_gallery": "A sibling style in the gallery",
}  # fmt: skip
LEVELS = {
    "occlusion": {"0": "unknown", "1": "slight", "2": "medium", "3": "heavy"},
    "viewpoint": {"0": "unknown", "1": "not worn", "2": "front", "3": "side or back"},
}


def write_report(cfg: Config, out: Path, metrics: dict[str, Any], examples: list[dict[str, Any]]) -> None:
    """Write report.html."""
    from skufp.data.captions import ATTRIBUTES

    image = metrics["image"]
    plots = {
        "recall": recall_plot(image), "strata": strata_plot(metrics["strata"]["views"]),
        "sizes": sizes_plot(metrics["sizes"], image),
    }  # fmt: skip
    write_html(
        out / "report.html", Path(__file__).with_suffix(".html.j2"),
        title=f"{cfg.data.label} · {cfg.model.name} · {cfg.aggregator.name}", metrics=metrics, examples=examples,
        plots=plots, commands=try_next(metrics["try_next"]), strata_names=STRATA, labels=NAMES, levels=LEVELS,
        telling=[m for m in TELLING if m in image], simulated=str(cfg.data.name).startswith("synthetic"),
        gains=gain_lines(metrics["gain_of_generated"]), text_kinds=TEXTS, alike=SAME,
        trained="rich_text" if metrics["run"]["text"] == ATTRIBUTES else "text",
        telling_texts=("mean", "fingerprint", "multi_vector"),
        words=metrics.get("word_search"), word_names=KIND_NAMES, word_modes=ORDER,
    )  # fmt: skip


def example_queries(
    cfg: Config,
    inputs: dict[str, Path],
    methods: list[Any],
    queries: VectorTable,
    target: np.ndarray,
    gallery: Any,
) -> list[dict[str, Any]]:
    """Return queries from the whole range of ranks, with their true SKU and the five best results, as pictures."""
    ranks = next(m.ranks for m in methods if m.name == "fingerprint")
    count = min(int(cfg.stages.evaluate.examples), len(ranks))
    chosen = np.argsort(ranks, kind="stable")[np.linspace(0, len(ranks) - 1, count).astype(int)]
    _, best = gallery.index.search(np.asarray(queries.vectors)[chosen], 5)
    paths = queries.rows["image_path"].to_pylist()
    examples = []
    for query, answer in zip(chosen, best, strict=True):
        vector, found = np.asarray(queries.vectors[query]), [int(sku) for sku in answer if sku >= 0]
        examples.append({
            "rank": int(ranks[query]), "query": inlined_crop(inputs["prepare"] / paths[query]),
            "truth": _sku_card(inputs, gallery, int(target[query]), vector, False),
            "answers": [_sku_card(inputs, gallery, sku, vector, sku == target[query]) for sku in found],
        })  # fmt: skip
    return examples


def _sku_card(inputs: dict[str, Path], gallery: Any, sku: int, query: np.ndarray, right: bool) -> dict[str, Any]:
    views = np.flatnonzero((gallery.groups.of_row == sku) & gallery.is_real)
    best = views[(np.asarray(gallery.views.vectors)[views] @ query).argmax()]
    path = gallery.views.rows["image_path"][int(best)].as_py()
    return {
        "sku": gallery.groups.keys[sku][1],
        "picture": inlined_crop(inputs["prepare"] / path),
        "right": bool(right),
    }
