"""The result tables that stage=evaluate prints: they fit 80 columns."""

from typing import Any

from rich import box
from rich.table import Table

STYLE: dict[str, Any] = {
    "title_justify": "left",
    "box": box.SIMPLE_HEAD,
    "pad_edge": False,
    "collapse_padding": True,
}


def _title(kind: str, metrics: dict[str, Any]) -> str:
    gallery, queries = metrics["gallery"], metrics["queries"]
    if kind == "image":
        asked = f"Photo → SKU: {queries['images']} photos of {queries['skus']} SKUs"
    else:
        asked = f"Text → SKU: {queries['texts']} texts, {queries['distinct_texts']} distinct"
    return f"{asked}, gallery of {gallery['skus']} SKUs"


def tables(kind: str, metrics: dict[str, Any]) -> list[Table]:
    """Return the figures and their intervals as two tables that fit 80 columns."""
    figures = Table(title=_title(kind, metrics), **STYLE)
    ranges = Table(title="95 % intervals over SKUs", **STYLE)
    shown = ("recall@1", "recall@5", "recall@10", "recall@20", "mrr", "ndcg@10")
    for name in ("method", "R@1", "R@5", "R@10", "R@20", "MRR", "NDCG@10", "vectors", "bytes"):
        figures.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name in ("method", "R@1", "MRR", "MRR minus mean's"):
        ranges.add_column(name, no_wrap=True)
    for name, row in metrics[kind].items():
        cost = (f"{row['vectors_per_sku']:.2f}", f"{row['bytes_per_sku']:.0f}")
        figures.add_row(name, *(f"{row[k]:.3f}" for k in shown), *cost)
        i, difference = row["interval"], row.get("minus_mean")
        gain = f"{difference['mrr']['mean']:+.3f} {_range(difference['mrr'], '+')}" if difference else ""
        ranges.add_row(name, _range(i["recall@1"]), _range(i["mrr"]), gain)
    return [figures, ranges]


def _range(i: dict[str, float], sign: str = "") -> str:
    return f"\\[{i['low']:{sign}.3f}, {i['high']:{sign}.3f}]"
