"""The result tables that stage=evaluate prints: they fit 80 columns."""

from typing import Any

from rich import box
from rich.table import Table

from skufp.retrieval.evaluation.methods import LABELS, ONLY_REAL
from skufp.retrieval.evaluation.texts import TEXTS

STYLE: dict[str, Any] = {
    "title_justify": "left",
    "caption_justify": "left",
    "box": box.SIMPLE_HEAD,
    "pad_edge": False,
    "collapse_padding": True,
}
SHOWN = ("recall@1", "recall@5", "recall@10", "recall@20", "mrr", "ndcg@10")
WITH_INTERVAL = ("recall@1", "mrr")
NAMES = LABELS | ONLY_REAL
SAME = {"category": "category", "category_and_colour": "category, colour", "style": "design"}


def tables(kind: str, metrics: dict[str, Any]) -> list[Table]:
    """Return the figures, and their paired differences to the mean of views, as two tables that fit 80 columns."""
    return [_figures(kind, metrics), _against_the_mean(kind, metrics)]


def _figures(kind: str, metrics: dict[str, Any]) -> Table:
    table = Table(title=_title(kind, metrics), **STYLE)
    for name in ("method", "R@1", "R@5", "R@10", "R@20", "MRR", "NDCG@10", "vecs", "bytes"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name, row in metrics[kind].items():
        cost = (f"{row['vectors_per_sku']:.2f}", f"{row['bytes_per_sku']:.0f}")
        table.add_row(NAMES.get(name, name), *(f"{row[k]:.3f}" for k in SHOWN), *cost, style=_style(name, row))
    return table


def _against_the_mean(kind: str, metrics: dict[str, Any]) -> Table:
    table = Table(
        title="Against the mean of views: 95 % intervals over SKUs",
        caption="gap closed: how far from mean to multi-vector, in R@1 and in MRR\n"
        "semi, oracle: the view is chosen with evaluation queries\n",
        **STYLE,
    )
    for name in ("method", "R@1 minus mean's", "MRR minus mean's", "gap closed"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for name, row in metrics[kind].items():
        if "minus_mean" in row:
            differences = (difference(row["minus_mean"][k]) for k in WITH_INTERVAL)
            table.add_row(NAMES.get(name, name), *differences, _closed(row), style=_style(name, row))
    return table


def texts_table(metrics: dict[str, Any]) -> Table:
    """Return the figures of texts made of labels beside those of template prompts, on one gallery."""
    table = Table(title=f"Text → SKU, gallery of {metrics['gallery']['skus']} SKUs", **STYLE)
    table.caption = "\n".join([*text_lines(metrics), ""])
    table.add_column("method", no_wrap=True)
    for name in TEXTS.values():
        for figure in (f"{name.split()[0]}: R@1", "R@5", "MRR"):
            table.add_column(figure, justify="right", no_wrap=True)
    for name, row in metrics["rich_text"].items():
        rows = [metrics[kind].get(name) for kind in TEXTS]
        cells = [f"{r[k]:.3f}" if r else "" for r in rows for k in ("recall@1", "recall@5", "mrr")]
        table.add_row(NAMES.get(name, name), *cells, style=_style(name, row))
    return table


def text_lines(metrics: dict[str, Any]) -> list[str]:
    """Return a line per kind of text: its source, its number, and the best possible Recall@1."""
    asked = {kind: t for kind in TEXTS if (t := metrics["texts"][kind])["texts"]}
    return ["labels: ground truth of the query's SKU, read off no photo"] + [
        f"{TEXTS[kind].split()[0]}: {t['texts']} texts of {t['skus']} SKUs, {t['distinct']} distinct: R@1"
        f" {t['best']:.3f} at best"
        for kind, t in asked.items()
    ]


def relevance_table(metrics: dict[str, Any]) -> Table:
    """Return the relevance@5 of similar items."""
    table = Table(title="Relevance@5 of similar items: 95 % intervals over SKUs", **STYLE)
    table.caption = "the share of a SKU's five nearest others that are alike; best: all there are\n"
    for name in ("same", "SKUs", "chance", "best", "mean of views", "fingerprint"):
        table.add_column(name, justify="left" if name == "same" else "right", no_wrap=True)
    for name, row in metrics["relevance"].items():
        shares = (f"{i['mean']:.2f} [{i['low']:.2f}, {i['high']:.2f}]" for i in (row["mean"], row["fingerprint"]))
        table.add_row(SAME[name], str(row["skus"]), f"{row['chance']:.3f}", f"{row['possible']:.2f}", *shares)
    return table


def gain_lines(gain: dict[str, Any]) -> list[str]:
    """A line per number of real views: the effect of generated views on the mean's Recall@1; empty if none joined."""
    lines = []
    for name, row in gain.items():
        mean, low, high = (row["recall@1"][end] for end in ("mean", "low", "high"))
        verdict = "raise it" if low > 0 else "lower it" if high < 0 else "are not shown to change it"
        skus = "all SKUs" if name == "all" else f"SKUs with {name} real view{'' if name == '1' else 's'}"
        asked = f"{row['queries']} queries, {row['generated_views']:.1f} generated views each"
        change = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        lines.append(f"{skus} ({asked}): R@1 of the mean of views {change}; generated views {verdict}")
    return lines


def _title(kind: str, metrics: dict[str, Any]) -> str:
    gallery, queries = metrics["gallery"], metrics["queries"]
    if kind == "image":
        asked = f"Photo → SKU: {queries['images']} photos of {queries['skus']} SKUs"
    else:
        asked = f"Text → SKU: {queries['texts']} texts, {queries['distinct_texts']} distinct"
    return f"{asked}, gallery of {gallery['skus']} SKUs"


def _style(name: str, row: dict[str, Any]) -> str:
    return "dim" if row["note"] else "bold" if name == "fingerprint" else ""


def difference(i: dict[str, float]) -> str:
    """Return a difference with its interval, short enough for a table in the terminal."""
    mean, low, high = (f"{i[end]:+.3f}".replace("0.", ".", 1) for end in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _closed(row: dict[str, Any]) -> str:
    """Both metrics' shares, in per cent."""
    shares = [row["gap_closed"][k] for k in WITH_INTERVAL]
    return ", ".join(f"{round(100 * s['mean'])}%" if s else "n/a" for s in shares) if any(shares) else "n/a"
