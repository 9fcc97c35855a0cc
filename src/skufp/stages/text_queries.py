"""What stage=evaluate and stage=bundle share of text search: SKUs in words, synonyms, and how much words count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skufp.artifacts.products import Product, read_products, same
from skufp.artifacts.vectors import VectorTable
from skufp.data.captions import attributes_of
from skufp.retrieval.evaluation.simulated_texts import Described
from skufp.retrieval.evaluation.text_search import TextQuery, choose_by, simulated_queries
from skufp.retrieval.words.fusion import DEFAULT_WEIGHT
from skufp.retrieval.words.index import WordIndex
from skufp.retrieval.words.query import Synonyms
from skufp.schema import Config
from skufp.serve.word_texts import texts_of

CHOOSING, BESIDE = "dev", "train"  # the splits whose SKUs are asked for, and stand beside them, to choose the weight
FEWEST, MOST = 20, 200  # SKUs of dev that are asked for
BATCH = 64  # texts encoded at a time
TITLES = ("title", "name", "product name", "product title")


@dataclass(frozen=True)
class Weight:
    """How much words count in a hybrid search, and the number of dev queries that chose it: 0 where none did."""

    value: float = DEFAULT_WEIGHT
    queries: int = 0


def load_synonyms(cfg: Config) -> Synonyms:
    """Return what queries may say instead of a catalogue's words: the vocabulary's and the lexicon's synonyms."""
    from skufp.catalogue.attribute_files import load_vocabulary
    from skufp.catalogue.lexicon import load_lexicon
    from skufp.catalogue.synonyms import synonym_pairs
    from skufp.retrieval.words.query import make_synonyms

    return make_synonyms(synonym_pairs(load_vocabulary(cfg), load_lexicon(str(cfg.llm.language))))


def described(product: Product) -> Described:
    """Return what simulated queries say of a SKU; no words for one of which the source says nothing but a category."""
    columns = {same(name): value for name, value in product.fields.items()}
    known = attributes_of(product.fields)
    title = next((columns[name] for name in TITLES if columns.get(name)), "")
    if not title and not known:
        return Described("", "", "")
    colour = known.pop("colour", "")
    values = tuple(dict.fromkeys(part.strip() for value in known.values() for part in value.split(",")))
    return Described(title, colour, product.category_name or columns.get("category", ""), values)


def build_index(skus: Sequence[Product], synonyms: Synonyms) -> WordIndex:
    """Return the word index of SKUs by their sources' own columns."""
    return WordIndex.build([texts_of(each.category_name, each.fields) for each in skus], synonyms)


def encode_texts(cfg: Config, retriever: Path, texts: Sequence[str]) -> np.ndarray:
    """Return the vectors [Q, D] of ``texts``."""
    import torch

    from skufp.compute.device import device
    from skufp.models.text_vectors import text_vectors
    from skufp.modules.encoder_folder import load_encoder

    encoder = load_encoder(retriever / "encoder").to(device(cfg))
    with torch.inference_mode():
        return text_vectors(encoder, texts, BATCH)


def choose_word_weight(cfg: Config, inputs: Mapping[str, Path], synonyms: Synonyms) -> Weight:
    """Return the weight that ranks simulated queries for dev's SKUs best, among those of dev and train.

    Validation and test are not looked at. With fewer than FEWEST dev SKUs that have words it is DEFAULT_WEIGHT.
    """
    prints = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    prints = prints.where(split=[CHOOSING, BESIDE])
    known = {product.sku: product for product in read_products(inputs["prepare"])}
    skus = [known.get(key, Product(*key, "")) for key in prints.sku_keys()]
    said = [described(product) for product in skus]
    asked = [i for i, own in enumerate(said) if skus[i].split == CHOOSING and own.name]
    if len(asked) < FEWEST:
        return Weight()
    queries = simulated_queries(said, asked[:MOST], int(cfg.seed))
    vectors = encode_texts(cfg, inputs["retriever"], [query.text for query in queries])
    weight = choose_by(build_index(skus, synonyms), np.asarray(prints.vectors), vectors, queries)
    return Weight(weight, len(queries))


def label_queries(texts: VectorTable, target: np.ndarray) -> list[TextQuery]:
    """Return the label queries of stage=evaluate as text queries."""
    rows: list[Any] = texts.rows["text"].to_pylist()
    return [TextQuery("labels", text, text, int(sku)) for text, sku in zip(rows, target, strict=True)]
