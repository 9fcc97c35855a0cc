"""Markdown tables of summarised sweeps."""

from typing import Any

SHOWN = {
    "first_view": "first view", "medoid": "medoid", "mean": "mean of views", "trimmed_mean": "trimmed mean",
    "gem": "GeM",
    "attention_no_distill": "attention, no teacher", "fingerprint": "**fingerprint**",
    "two_prototypes": "two prototypes", "fde": "MUVERA-style FDE", "multi_vector": "multi-vector",
    "best_view_semi_oracle": "best single view (semi-oracle)", "best_view_oracle": "best single view (oracle)",
    "mean_real": "mean of real views", "multi_vector_real": "multi-vector, real views",
}  # fmt: skip
Row = dict[str, Any]


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *(f"| {' | '.join(r)} |" for r in rows)])


def ranged(i: Row | None, sign: str = "") -> str:
    """A figure with its interval."""
    return f"{i['mean']:{sign}.3f} [{i['low']:{sign}.3f}, {i['high']:{sign}.3f}]" if i else ""


def share(i: Row | None) -> str:
    """A share in per cent with its interval; n/a where there is nothing to close."""
    return f"{100 * i['mean']:.0f} % [{100 * i['low']:.0f}, {100 * i['high']:.0f}]" if i else "n/a"


def setting(s: Row) -> str:
    return f"{s['data']} · {s['model']} · {s['split']}"


def asked(row: Row, kind: str = "image") -> str:
    q = row["queries"]
    what = f"{q['images']} photos" if kind == "image" else f"{q['texts']} texts"
    return f"{what} of {q['skus']} SKUs, gallery of {row['gallery']['skus']} SKUs, {row['seeds']} seed(s)"


def methods_table(row: Row, kind: str = "image") -> str:
    """Every method of one setting."""
    head = ["method", "R@1", "R@5", "R@10", "R@20", "MRR = mAP [95 % over SKUs]", "NDCG@10", "MRR minus the mean's",
            "gap closed (MRR)", "vectors / SKU", "bytes / SKU", "search p50 / p95 ms"]  # fmt: skip
    rows = []
    for name, m in row[kind].items():
        search = f"{m['search']['p50_ms']:.3f} / {m['search']['p95_ms']:.3f}" if m["search"] else ""
        rows.append([
            SHOWN.get(name, name), *(f"{m[f'recall@{k}']:.3f}" for k in (1, 5, 10, 20)), ranged(m["interval"]["mrr"]),
            f"{m['ndcg@10']:.3f}", ranged(m.get("minus_mean", {}).get("mrr"), "+"), share(m["gap_closed"]["mrr"]),
            f"{m['vectors_per_sku']:.2f}", f"{m['bytes_per_sku']:.0f}", search,
        ])  # fmt: skip
    return table(head, rows)


def headline_table(settings: list[Row]) -> str:
    """Mean of views, fingerprint and multi-vector of every setting."""
    head = ["data · model · queries", "method", "R@1", "R@10", "MRR [95 % over SKUs]", "MRR minus the mean's",
            "gap closed", "vectors / SKU"]  # fmt: skip
    rows = []
    for s in settings:
        row = s["variants"][0]
        for name in ("mean", "fingerprint", "multi_vector"):
            m = row["image"][name]
            rows.append([
                setting(s), SHOWN[name], f"{m['recall@1']:.3f}", f"{m['recall@10']:.3f}", ranged(m["interval"]["mrr"]),
                ranged(m.get("minus_mean", {}).get("mrr"), "+"),
                share(m["gap_closed"]["mrr"]) if name == "fingerprint" else "", f"{m['vectors_per_sku']:.2f}",
            ])  # fmt: skip
    return table(head, rows)


def variants_table(s: Row) -> str:
    """The fingerprint of every variant of a sweep."""
    head = ["variant", "seeds", "R@1", "MRR [95 % over SKUs]", "MRR minus the mean's", "gap closed (MRR)",
            f"MRR minus {s['variants'][0]['label']}", "text MRR"]  # fmt: skip
    by_labels = any(row.get("rich_text") for row in s["variants"])
    head += ["text by labels: R@1", "MRR [95 % over SKUs]"] if by_labels else []
    rows = []
    for row in s["variants"]:
        m = row["image"]["fingerprint"]
        text = f"{row['text']['fingerprint']['mrr']:.3f}" if row.get("text") else ""
        rows.append([
            row["label"], str(row["seeds"]), f"{m['recall@1']:.3f}", ranged(m["interval"]["mrr"]),
            ranged(m["minus_mean"]["mrr"], "+"), share(m["gap_closed"]["mrr"]),
            ranged(row.get("minus_reference", {}).get("mrr"), "+"), text,
        ])  # fmt: skip
        if by_labels:
            m = row.get("rich_text", {}).get("fingerprint")
            rows[-1] += [f"{m['recall@1']:.3f}", ranged(m["interval"]["mrr"])] if m else ["", ""]
    return table(head, rows)


def views_table(row: Row) -> str:
    """Fingerprint against mean by the number of catalogue views of the query's SKU."""
    head = ["views of the SKU", "queries", "mean", "fingerprint", "multi-vector", "fingerprint minus mean (MRR)"]
    rows = [
        [name, str(v["queries"]), *(f"{v[m]['mrr']:.3f}" for m in ("mean", "fingerprint", "multi_vector")),
         ranged(v["fingerprint"]["minus_mean"]["mrr"], "+")]
        for name, v in row["views"].items()
    ]  # fmt: skip
    return table(head, rows)


def sizes_table(s: Row) -> str:
    """The fingerprint's recall against bytes, for every variant of a sweep."""
    head = ["variant", "vector", "dimensions", "form", "bytes / SKU", "R@1", "MRR"]
    rows = [
        [row["label"], p["vectors"], str(p["dims"]), p["kind"], f"{p['bytes_per_sku']:.0f}", f"{p['recall@1']:.3f}",
         f"{p['mrr']:.3f}"]
        for row in s["variants"]
        for p in sorted(row["sizes"], key=lambda p: (p["vectors"], p["bytes_per_sku"]))
    ]  # fmt: skip
    return table(head, rows)
