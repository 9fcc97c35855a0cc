"""report.html: the tables, the plots, and example queries as pictures, in one file that needs nothing else."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.vectors import VectorTable

COLOURS = {"multi_vector": "#8d99ae", "mean": "#457b9d", "fingerprint": "#e63946"}
THUMB = 168
STRATA = {
    "views": "Catalogue views of the SKU", "occlusion": "Occlusion of the query", "viewpoint": "Viewpoint of the query",
    "sibling_style_in_gallery": "A sibling style in the gallery",
}  # fmt: skip


def write_report(
    cfg: DictConfig, inputs: dict[str, Path], out: Path, metrics: dict[str, Any], methods: list[Any],
    queries: VectorTable, target: np.ndarray, gallery: Any,
) -> None:  # fmt: skip
    """Write report.html."""
    import jinja2

    template = (Path(__file__).parent / "evaluate_report.html.j2").read_text(encoding="utf-8")
    examples = example_queries(cfg, inputs, methods, queries, target, gallery)
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template).render(
        title=f"{cfg.data.name} · {cfg.model.name} · {cfg.aggregator.name}", metrics=metrics, examples=examples,
        plots={"recall": recall_plot(metrics["image"]), "strata": strata_plot(metrics["strata"]["views"])},
        commands=try_next(metrics["try_next"]), strata_names=STRATA,
        simulated=cfg.data.name == "synthetic",
    )  # fmt: skip
    (out / "report.html").write_text(page, encoding="utf-8")


def example_queries(
    cfg: DictConfig,
    inputs: dict[str, Path],
    methods: list[Any],
    queries: VectorTable,
    target: np.ndarray,
    gallery: Any,
) -> list[dict[str, Any]]:
    """Return queries over the whole range of ranks, with their true SKU and the five best, as pictures."""
    ranks = next(m.ranks for m in methods if m.name == "fingerprint")
    count = min(int(cfg.stages.evaluate.examples), len(ranks))
    chosen = np.argsort(ranks, kind="stable")[np.linspace(0, len(ranks) - 1, count).astype(int)]
    _, best = gallery.index.search(np.asarray(queries.vectors)[chosen], 5)
    paths = queries.rows["image_path"].to_pylist()
    examples = []
    for query, answer in zip(chosen, best, strict=True):
        vector = np.asarray(queries.vectors[query])
        examples.append({
            "rank": int(ranks[query]), "query": thumbnail(inputs["prepare"] / paths[query]),
            "truth": _sku_card(inputs, gallery, int(target[query]), vector, False),
            "answers": [_sku_card(inputs, gallery, int(sku), vector, int(sku) == target[query]) for sku in answer],
        })  # fmt: skip
    return examples


def _sku_card(inputs: dict[str, Path], gallery: Any, sku: int, query: np.ndarray, right: bool) -> dict[str, Any]:
    views = np.flatnonzero(gallery.groups.of_row == sku)
    best = views[(np.asarray(gallery.views.vectors)[views] @ query).argmax()]
    path = gallery.views.rows["image_path"][int(best)].as_py()
    return {
        "sku": gallery.groups.keys[sku][1],
        "picture": thumbnail(inputs["prepare"] / path),
        "right": right,
    }


def thumbnail(path: Path) -> str:
    """Return a picture as a data URI."""
    from skufp.data.crops import open_image

    image = open_image(path)
    image.thumbnail((THUMB, THUMB))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def example_search(inputs: dict[str, Path], queries: VectorTable) -> dict[str, str]:
    """Return a photo and a text worth searching for."""
    row = queries.rows.slice(0, 1).to_pylist()[0]
    return {"image": str(inputs["prepare"] / row["image_path"]), "text": row["text"] or "navy tee"}


def try_next(example: dict[str, str]) -> list[str]:
    """Return a photo search and a text search with this run's settings, ready to paste."""
    import shlex

    from hydra.core.hydra_config import HydraConfig

    task = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    settings = [shlex.quote(o) for o in task if not o.startswith(("stage=", "query."))]
    start = " ".join(["python -m skufp stage=search", *settings])
    return [f"{start} --image {shlex.quote(example['image'])}", f'{start} --text "{example["text"]}"']


def _figure() -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.2, 3.4), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    return figure, axes


def _svg(figure: Any) -> str:
    from matplotlib import pyplot

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg")
    pyplot.close(figure)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode()


def recall_plot(results: dict[str, Any]) -> str:
    """Draw Recall@k of every method."""
    figure, axes = _figure()
    cutoffs = (1, 5, 10, 20)
    for name, row in results.items():
        axes.plot(range(4), [row[f"recall@{k}"] for k in cutoffs], marker="o", label=name, color=COLOURS.get(name))
        i = row["interval"]["recall@1"]
        axes.vlines(0, i["low"], i["high"], color=COLOURS.get(name), alpha=0.6)
    axes.set(xticks=range(4), xticklabels=cutoffs, xlabel="k", ylabel="Recall@k", ylim=(0, 1.02))
    axes.legend(frameon=False)
    return _svg(figure)


def strata_plot(strata: dict[str, Any]) -> str:
    """Draw MRR by number of catalogue views."""
    figure, axes = _figure()
    names = list(strata)
    methods = [m for m in strata[names[0]] if m != "queries"]
    width = 0.8 / len(methods)
    for i, method in enumerate(methods):
        heights = [strata[n][method]["mrr"] for n in names]
        axes.bar(np.arange(len(names)) + i * width, heights, width * 0.92, label=method, color=COLOURS.get(method))
    labels = [f"{n}\n({strata[n]['queries']})" for n in names]
    axes.set(xlabel="catalogue views of the SKU (queries)", ylabel="MRR")
    axes.set_xticks(np.arange(len(names)) + width * (len(methods) - 1) / 2, labels)
    axes.legend(frameon=False)
    return _svg(figure)
