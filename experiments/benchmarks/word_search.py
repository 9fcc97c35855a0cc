"""Speed of a search by words against exact vector search in the same process, on generated rows of a catalogue.

python experiments/benchmarks/word_search.py [--skus 100000] [--dim 768]   prints a table and writes
experiments/results/benchmarks/word_search.json. One thread, one query at a time; the index is mapped from the disk as a
bundle's is. Rows are drawn from the shipped vocabulary and from made-up names of which few are frequent (Zipf's law).
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}  # before numpy and faiss are imported

import numpy as np
import yaml

from skufp.catalogue.lexicon import load_lexicon
from skufp.catalogue.synonyms import synonym_pairs
from skufp.catalogue.vocabulary import Vocabulary
from skufp.retrieval.evaluation.simulated_texts import Described, simulate
from skufp.retrieval.faiss_kinds import set_threads
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.latency import percentiles
from skufp.retrieval.representations import normalise
from skufp.retrieval.words.fusion import DEPTH, HYBRID, scores_of
from skufp.retrieval.words.index import WordIndex
from skufp.retrieval.words.query import make_synonyms
from skufp.serve.word_texts import texts_of

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "experiments" / "results" / "benchmarks" / "word_search.json"
LISTS = ROOT / "conf" / "vocabulary" / "starter.lists.yml"
NAMES, TELLING, QUERIES, ROUNDS = 20_000, 30, 200, 5


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skus", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=768)
    options = parser.parse_args()
    set_threads(1)
    rng = np.random.default_rng(0)
    vocabulary = Vocabulary.of(yaml.safe_load(LISTS.read_text(encoding="utf-8")))
    said, rows = catalogue(vocabulary, options.skus, rng)
    start = time.perf_counter()
    built = WordIndex.build(rows, make_synonyms(synonym_pairs(vocabulary, load_lexicon("en"))))
    seconds = time.perf_counter() - start
    vectors = normalise(rng.standard_normal((options.skus, options.dim), np.float32))
    flat = SkuIndex.build(vectors)
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        start = time.perf_counter()
        index = WordIndex.load(Path(folder))
        _ = index.spelling
        opening = time.perf_counter() - start
        found = measure(index, flat, said, rng)
    setting = vars(options) | {"terms": len(built.vocabulary), "queries": QUERIES, "threads": 1}
    result = {
        "setting": setting, "build_seconds": seconds, "open_seconds": opening, "bytes_per_sku": size / options.skus,
        "queries": found,
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    show(result)


def catalogue(
    vocabulary: Vocabulary, skus: int, rng: np.random.Generator
) -> tuple[list[Described], list[list[tuple[str, int]]]]:
    """Return what is said of each SKU, and its texts with weights: title, attributes and a description."""
    names = np.array(["".join(rng.choice(list("abcdefghijklmnoprstuvz"), rng.integers(4, 9))) for _ in range(NAMES)])
    frequency = 1 / np.arange(1, NAMES + 1)
    drawn = names[rng.choice(NAMES, (skus, TELLING + 2), p=frequency / frequency.sum())]
    categories = list(vocabulary.categories.values())
    said, rows = [], []
    for own in drawn:
        category = categories[rng.integers(len(categories))]
        fields = {name: str(rng.choice(a.values)) for name, a in category.attributes.items()}
        title = f"{own[0]} {own[1]} {category.name}"
        others = tuple(value for name, value in fields.items() if name != "colour")
        said.append(Described(title, fields["colour"], category.name, others))
        rows.append(texts_of(category.name, {"title": title, "description": " ".join(own[2:])} | fields))
    return said, rows


def measure(
    index: WordIndex, flat: SkuIndex, said: list[Described], rng: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Return p50 and p95 of one query: exact vector search, words for each kind of text, and hybrid after encoding."""
    chosen = [simulate(said[i], 0) for i in rng.choice(len(said), QUERIES, replace=False)]
    texts = {kind: [own[kind].text for own in chosen if kind in own] for kind in ("title_part", "typo", "synonyms")}
    queries = normalise(rng.standard_normal((QUERIES, flat.dim), np.float32))
    by_number = list(range(QUERIES))
    searches: dict[str, tuple[Callable, list]] = {
        "vector, exact": (lambda i: flat.search(queries[i][None], 5), by_number)
    }
    for kind, asked in texts.items():
        searches[f"words, {kind}"] = (index.search, asked)
    pairs = list(enumerate(texts["typo"]))
    searches["hybrid, typo"] = (lambda pair: hybrid(index, flat, queries[pair[0]], pair[1]), pairs)
    times: dict[str, list[dict[str, float]]] = {name: [] for name in searches}
    for part in range(ROUNDS):  # they take turns, so that a busy machine slows all alike
        for name, (search, asked) in searches.items():
            times[name].append(percentiles(search, asked[part::ROUNDS]))
    found = {name: {key: float(np.median([t[key] for t in own])) for key in own[0]} for name, own in times.items()}
    exact = found["vector, exact"]["p50_ms"]
    return {name: own | {"share_of_exact": own["p50_ms"] / exact} for name, own in found.items()}


def hybrid(index: WordIndex, flat: SkuIndex, query: np.ndarray, text: str) -> np.ndarray:
    """Search as a bundle does, once the text is encoded: the numbers of the five best SKUs."""
    cosines = np.full(index.skus, -np.inf)
    scores, ids = flat.search(query[None], min(DEPTH, index.skus))
    cosines[ids[0]] = scores[0]
    return np.argpartition(-scores_of(HYBRID, cosines, index.search(text), 0.7), 4)[:5]


def show(result: dict) -> None:
    """Print one line per kind of search."""
    setting = result["setting"]
    print(f"{setting['skus']:,} SKUs, {setting['terms']:,} terms: built in {result['build_seconds']:.1f} s, opened in"
          f" {result['open_seconds']:.2f} s, {result['bytes_per_sku']:.0f} bytes per SKU")  # fmt: skip
    print(f"{'search':22}{'p50 ms':>9}{'p95 ms':>9}{'of exact':>10}")
    for name, row in result["queries"].items():
        print(f"{name:22}{row['p50_ms']:9.2f}{row['p95_ms']:9.2f}{row['share_of_exact']:10.2f}")


if __name__ == "__main__":
    main()
