"""stage=evaluate: fingerprints and every baseline on one gallery with one query set."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CATALOG, QUERY
from skufp.artifacts.vectors import SkuGroups, VectorTable
from skufp.errors import UserError
from skufp.reports.evaluation.example_search import example_search, try_next
from skufp.reports.evaluation.page import example_queries, write_report
from skufp.reports.evaluation.table import gain_lines, relevance_table, tables, texts_table
from skufp.reports.evaluation.words_table import words_table
from skufp.reports.wandb_runs import log_evaluation_if_asked
from skufp.retrieval.evaluation.methods import Gallery, keep_skus, rank_all, search_times
from skufp.retrieval.evaluation.texts import TEXTS, text_queries, told_apart
from skufp.schema import Config
from skufp.stages.evaluate.measures import (
    gain_of_generated,
    has_sibling,
    item_level,
    latency,
    relevance_of_similar,
    sizes,
    strata,
)
from skufp.stages.evaluate.words import text_search
from skufp.stages.fit.retriever_mix import lines as retriever_lines
from skufp.stages.text_queries import load_synonyms

VERSION = 6


def check(cfg: Config) -> None:
    """Say what is wrong with the lists that synonyms come from before anything runs."""
    load_synonyms(cfg)


def run(cfg: Config, inputs: dict[str, Path], out: Path) -> None:
    """Write metrics.json, ranks*.parquet of photos, of texts and of text searches (words), and report.html."""
    table = VectorTable.load(inputs["embed"])
    gallery = load_gallery(cfg, inputs, table)
    queries, target = load_queries(cfg, table, gallery)
    texts = {kind: text_queries(inputs, queries, target, kind) for kind in TEXTS}
    vectors = np.asarray(queries.vectors)
    fde = cfg.stages.evaluate.fde
    kept = keep_skus(gallery, fde.planes, fde.repetitions, cfg.seed, inputs.get("plain_attention"))
    times = search_times(gallery, kept, vectors)
    methods = rank_all(gallery, kept, times, vectors, target)
    kinds = {"image": (methods, target)}
    for kind, (asked, sku) in texts.items():
        kinds[kind] = (rank_all(gallery, kept, times, np.asarray(asked.vectors), sku) if len(asked) else [], sku)
    resamples, means = cfg.stages.evaluate.bootstrap, next(r.vectors for r in kept if r.name == "mean")
    metrics: dict[str, Any] = {
        "run": run_names(cfg),
        "gallery": {
            "splits": list(cfg.data.gallery), "skus": gallery.size, "views": int(gallery.is_real.sum()),
            "generated": int((~gallery.is_real).sum()),
        },
        "queries": {
            "split": cfg.data.queries, "images": len(queries), "skus": len(np.unique(target)),
            "texts": len(texts["text"][0]), "distinct_texts": len(set(texts["text"][0].rows["text"].to_pylist())),
        },
        "texts": {kind: told_apart(*asked, queries, target, gallery, kind) for kind, asked in texts.items()},
        **compared(cfg, kinds),
        "word_search": text_search(cfg, inputs, gallery, texts["rich_text"], out),
        "strata": strata(methods, queries, target, gallery, resamples, cfg.seed),
        "gain_of_generated": gain_of_generated(methods, target, gallery, resamples, cfg.seed),
        "relevance": relevance_of_similar(inputs, gallery, means, resamples, cfg.seed),
        "sizes": sizes(cfg, gallery, means, vectors, target),
        "item_level": item_level(queries, gallery),
        "latency": latency(inputs, queries, gallery),
        "proof": report_of(inputs, "fingerprint", "proof.json"),
        "wise_ft": report_of(inputs, "retriever", "wise_ft.json"),
        "try_next": example_search(cfg, inputs, table, queries),
    }  # fmt: skip
    write_json(out / "metrics.json", metrics)
    photo = ("view_id", "image_path", "occlusion", "viewpoint")
    write_ranks(out / "ranks.parquet", methods, target, gallery, {c: queries.rows[c] for c in photo})
    for kind, (asked, _) in texts.items():
        if len(asked):
            write_ranks(out / f"ranks_{kind}.parquet", *kinds[kind], gallery, {"text": asked.rows["text"]})
    examples = example_queries(cfg, inputs, methods, queries, target, gallery)
    write_report(cfg, out, metrics, examples)
    log_evaluation_if_asked(cfg, inputs, out, metrics, examples)


def run_names(cfg: Config) -> dict[str, Any]:
    """Return the names that identify this run."""
    names = {"data": str(cfg.data.label)} | {
        part: str(getattr(cfg, part).name) for part in ("model", "aggregator", "index")
    }
    seeds = {"seed": int(cfg.seed), "fingerprint_seed": int(cfg.fingerprint_seed)}
    return names | {"text": str(cfg.data.text), "ablation": str(cfg.ablation)} | seeds


def report_of(inputs: dict[str, Path], stage: str, file: str) -> dict[str, Any]:
    """Return a training stage's report on keeping its training; empty if it made none."""
    path = inputs[stage] / file
    return dict(read_json(path)) if path.exists() else {}


def load_gallery(cfg: Config, inputs: dict[str, Path], table: VectorTable) -> Gallery:
    """Read views, fingerprints and index of the gallery's splits and check that they hold the same SKUs."""
    from skufp.retrieval.index import SkuIndex

    fingerprints = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    fingerprints = fingerprints.where(split=list(cfg.data.gallery))
    views = table.where(split=list(cfg.data.gallery), domain=CATALOG)
    groups = SkuGroups.of(fingerprints)
    number = groups.number
    keys = views.sku_keys()
    if set(keys) != set(number):
        raise RuntimeError(f"{len(set(keys))} SKUs have views but {len(number)} have fingerprints")
    of_view = np.array([number[key] for key in keys])
    return Gallery(views, SkuGroups(groups.keys, of_view), fingerprints, SkuIndex.load(inputs["index"]))


def load_queries(cfg: Config, table: VectorTable, gallery: Gallery) -> tuple[VectorTable, np.ndarray]:
    """Return the query rows and each one's SKU number."""
    queries = table.where(split=cfg.data.queries, domain=QUERY)
    if not len(queries):
        raise UserError(
            f"split '{cfg.data.queries}' of data={cfg.data.name} has no user photos: nothing to measure.\n"
            "Mark rows of the manifest with domain=query, or go on to: python -m skufp stage=search --image photo.jpg"
        )
    number = gallery.groups.number
    keys = queries.sku_keys()
    missing = [key for key in keys if key not in number]
    if missing:
        raise UserError(
            f"{len(missing)} queries of split {cfg.data.queries} have no SKU in data.gallery={list(cfg.data.gallery)}"
        )
    return queries, np.array([number[key] for key in keys])


def compared(cfg: Config, kinds: dict[str, tuple[list[Any], np.ndarray]]) -> dict[str, Any]:
    """Return the rows of every kind of query, with each kind's gap between mean and multi-vector and only_query_share.

    The latter is the share of queried SKUs with a single query, which the semi-oracle represents by their mean.
    """
    from skufp.retrieval.comparison import CEILING, compare
    from skufp.retrieval.single_view import only_query_share

    asked = {kind: (methods, target) for kind, (methods, target) in kinds.items() if methods}
    resamples = cfg.stages.evaluate.bootstrap
    rows: dict[str, Any] = {kind: {} for kind in kinds}
    rows |= {kind: compare(methods, target, resamples, cfg.seed) for kind, (methods, target) in asked.items()}
    return rows | {
        "gap": {kind: rows[kind][CEILING]["minus_mean"] for kind in asked},
        "only_query_share": {kind: only_query_share(target) for kind, (_, target) in asked.items()},
    }


def write_ranks(
    path: Path, methods: list[Any], target: np.ndarray, gallery: Gallery, columns: dict[str, pa.ChunkedArray]
) -> None:
    """Write every query's SKU, ``columns`` and rank by every method: enough for intervals over several runs.

    ``views`` counts the SKU's real views.
    """
    split, sku = zip(*gallery.groups.keys, strict=True)
    table: dict[str, Any] = {"split": np.array(split, object)[target], "sku_id": np.array(sku, object)[target]}
    table |= columns | {"views": gallery.real_views[target], "sibling": has_sibling(gallery)[target]}
    pq.write_table(pa.table(table | {f"rank_{m.name}": m.ranks for m in methods}), path)


def show(cfg: Config, folder: Path, console: Console) -> None:
    """Print the result tables and what to try next."""
    metrics = read_json(folder / "metrics.json")
    for kind in ("image",) if metrics["rich_text"] else ("image", "text"):
        if metrics[kind]:
            console.print(*tables(kind, metrics))
    if metrics["rich_text"]:
        console.print(texts_table(metrics))
    if metrics.get("word_search"):
        console.print(words_table(metrics["word_search"]))
    if metrics["relevance"]:
        console.print(relevance_table(metrics))
    for line in gain_lines(metrics.get("gain_of_generated", {})):
        console.print(line, soft_wrap=True)
    for line in retriever_lines(found) if (found := metrics["wise_ft"]) else []:
        console.print(line, soft_wrap=True)
    if found := metrics.get("proof"):
        kept = "the training is kept" if found["trained_is_kept"] else "so the fingerprint stays untrained"
        console.print(
            f"fingerprint: training changed the reciprocal rank of {found['queries']} held-out queries"
            f" by {found['gain']:+.3f} (standard error {found['standard_error']:.3f}, p = {found['p']:.3f}): {kept}"
        )
    encode, search = metrics["latency"]["encode"], metrics["latency"]["search"]
    console.print(
        f"one query, one CPU thread: encode {encode['p50_ms']:.1f} ms, search {search['p50_ms']:.3f} ms (medians)"
    )
    console.print(f"report: {(folder / 'report.html').resolve()}\n", soft_wrap=True)
    console.print("Try next (quotes as shown):")
    for line in try_next(metrics["try_next"]):
        console.print(f"  {line}", soft_wrap=True, style="bold")
