"""report.html: the tables, the plots, and example queries as pictures, in one file that needs nothing else."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from skufp.artifacts.vectors import VectorTable
from skufp.stages.evaluate_plots import TELLING, recall_plot, sizes_plot, strata_plot
from skufp.stages.evaluate_table import NAMES, SAME, gain_lines
from skufp.stages.evaluate_texts import TEXTS

THUMB = 168
STRATA = {
    "views": "Catalogue photos of the SKU", "occlusion": "Occlusion of the query",
    "viewpoint": "Viewpoint of the query", "sibling_style_in_gallery": "A sibling style in the gallery",
}  # fmt: skip
LEVELS = {
    "occlusion": {"0": "unknown", "1": "slight", "2": "medium", "3": "heavy"},
    "viewpoint": {"0": "unknown", "1": "not worn", "2": "front", "3": "side or back"},
}


def write_report(cfg: DictConfig, out: Path, metrics: dict[str, Any], examples: list[dict[str, Any]]) -> None:
    """Write report.html."""
    import jinja2

    from skufp.data.captions import ATTRIBUTES

    template = (Path(__file__).parent / "evaluate_report.html.j2").read_text(encoding="utf-8")
    image = metrics["image"]
    plots = {
        "recall": recall_plot(image), "strata": strata_plot(metrics["strata"]["views"]),
        "sizes": sizes_plot(metrics["sizes"], image),
    }  # fmt: skip
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template).render(
        title=f"{cfg.data.label} · {cfg.model.name} · {cfg.aggregator.name}", metrics=metrics, examples=examples,
        plots=plots, commands=try_next(metrics["try_next"]), strata_names=STRATA, labels=NAMES, levels=LEVELS,
        telling=[m for m in TELLING if m in image], simulated=str(cfg.data.name).startswith("synthetic"),
        gains=gain_lines(metrics["gain_of_generated"]), text_kinds=TEXTS, alike=SAME,
        trained="rich_text" if metrics["run"]["text"] == ATTRIBUTES else "text",
        telling_texts=("mean", "fingerprint", "multi_vector"),
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
        vector, found = np.asarray(queries.vectors[query]), [int(sku) for sku in answer if sku >= 0]
        examples.append({
            "rank": int(ranks[query]), "query": thumbnail(inputs["prepare"] / paths[query]),
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
        "picture": thumbnail(inputs["prepare"] / path),
        "right": bool(right),
    }


def thumbnail(path: Path) -> str:
    """Return the picture of a file, made small, as a data URI."""
    from skufp.data.decode import open_prepared

    return data_uri(open_prepared(path))


def data_uri(image: Any) -> str:
    """Return a Pillow picture, made small, as a data URI."""
    image.thumbnail((THUMB, THUMB))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def example_search(cfg: DictConfig, inputs: dict[str, Path], queries: VectorTable) -> dict[str, str]:
    """Return a photo and a text worth searching for, of the kind that the encoder learnt from."""
    from skufp.data.captions import training_text

    row = queries.rows.slice(0, 1).to_pylist()[0]
    return {
        "image": str(inputs["prepare"] / row["image_path"]),
        "text": training_text(row, cfg.data.text) or "navy tee",
    }


def try_next(example: dict[str, str]) -> list[str]:
    """Return a photo search and a text search with this run's settings, ready to paste."""
    import shlex

    from hydra.core.hydra_config import HydraConfig

    task = HydraConfig.get().overrides.task if HydraConfig.initialized() else []
    settings = [shlex.quote(o) for o in task if not o.startswith(("stage=", "query."))]
    start = " ".join(["python -m skufp stage=search", *settings])
    text = example["text"]
    quoted = shlex.quote(text) if set(text) & set('"$`\\!') else f'"{text}"'  # the latter serves every shell
    return [f"{start} --image {shlex.quote(example['image'])}", f"{start} --text {quoted}"]
