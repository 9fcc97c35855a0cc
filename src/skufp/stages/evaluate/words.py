"""Text search in stage=evaluate: vectors, words and both, for queries that are not the indexed text."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skufp.artifacts.products import Product, read_products
from skufp.artifacts.vectors import VectorTable
from skufp.retrieval.evaluation.methods import Gallery
from skufp.retrieval.evaluation.simulated_texts import ambiguity
from skufp.retrieval.evaluation.text_search import ORDER, compare_modes, ranks_by_mode, simulated_queries
from skufp.schema import Config
from skufp.stages.text_queries import (
    build_index,
    choose_word_weight,
    described,
    encode_texts,
    label_queries,
    load_synonyms,
)


def text_search(
    cfg: Config, inputs: dict[str, Path], gallery: Gallery, labels: tuple[VectorTable, np.ndarray], out: Path
) -> dict[str, Any]:
    """Write ranks_words.parquet and return the comparison; {} where the gallery's source says nothing of its SKUs.

    Simulated queries ask for every SKU of the queries' split that has words, at most stages.evaluate.word_skus of them;
    ``labels`` are the texts made of labels, with their SKUs.
    """
    known = {product.sku: product for product in read_products(inputs["prepare"])}
    skus = [known.get(key, Product(*key, "")) for key in gallery.groups.keys]
    said = [described(product) for product in skus]
    asked = [i for i, own in enumerate(said) if skus[i].split == cfg.data.queries and own.name]
    if not asked:
        return {}
    if len(asked) > (most := int(cfg.stages.evaluate.word_skus)):
        asked = sorted(np.random.default_rng(cfg.seed).choice(asked, most, replace=False).tolist())
    queries = simulated_queries(said, asked, int(cfg.seed)) + label_queries(*labels)
    synonyms = load_synonyms(cfg)
    weight, index = choose_word_weight(cfg, inputs, synonyms), build_index(skus, synonyms)
    vectors = encode_texts(cfg, inputs["retriever"], [query.text for query in queries])
    ranks = ranks_by_mode(index, np.asarray(gallery.fingerprints.vectors), vectors, queries, weight.value)
    rows = {
        "split": [skus[query.sku].split for query in queries],
        "sku_id": [skus[query.sku].sku_id for query in queries],
        "kind": [query.kind for query in queries],
        "text": [query.text for query in queries],
    }
    pq.write_table(pa.table(rows | {f"rank_{mode}": ranks[mode] for mode in ORDER}), out / "ranks_words.parquet")
    resamples = cfg.stages.evaluate.bootstrap
    kinds = compare_modes(ranks, queries, ambiguity(said), index, resamples, cfg.seed)
    return {"weight": weight.value, "dev_queries": weight.queries, "kinds": kinds}
