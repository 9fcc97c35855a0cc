"""Text search by vectors, by words and by both, through the command line."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

DONE = ("prepare", "retriever", "embed", "teacher", "fingerprint", "index")


@pytest.fixture(scope="module")
def place(beside: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("text")
    beside(folder, *DONE)
    return folder


@pytest.fixture(scope="module")
def product(chain: Any) -> dict[str, Any]:
    """A SKU that can be searched for."""
    lines = (chain.folders["prepare"] / "products.jsonl").read_text().splitlines()
    found: dict[str, Any] = next(row for row in map(json.loads, lines) if row["split"] == "validation")
    return found


def answers(place: Path, command: Any, read: Any, chain: Any, *arguments: str) -> list[dict[str, Any]]:
    before = set(place.glob("runs/search/*/results.json"))
    result = command(place, *chain.settings, *arguments)
    assert result.code == 0, result.out + result.err
    (new,) = set(place.glob("runs/search/*/results.json")) - before
    found: list[dict[str, Any]] = read(new)
    return found


def test_each_mode_answers_and_says_so(place: Path, command: Any, read: Any, chain: Any, product: Any) -> None:
    text = f"{product['category_name']} {product['fields']['colour']}"
    for mode, used in ((None, "hybrid"), ("hybrid", "hybrid"), ("words", "words"), ("vector", "vector")):
        given = [] if mode is None else [f"query.mode={mode}"]
        (found,) = answers(place, command, read, chain, "--text", text, "query.top_k=3", *given)
        assert found["mode"] == used
        assert len(found["hits"]) == 3
        if used != "vector":
            assert found["hits"][0]["category"] == product["category_name"]
            assert 0 < found["hits"][0]["score"] <= 1


def test_a_word_that_no_sku_has_is_answered_by_vectors(place: Path, command: Any, read: Any, chain: Any) -> None:
    (found,) = answers(place, command, read, chain, "--text", "zeppelin 42")
    assert found["mode"] == "vector"
    (found,) = answers(place, command, read, chain, "--text", "zeppelin 42", "query.mode=words")
    assert found["hits"] == []


def test_an_unknown_mode_is_refused_before_anything_runs(place: Path, command: Any, chain: Any) -> None:
    result = command(place, *chain.settings, "--text", "red", "query.mode=word")
    assert result.code == 2
    assert "query.mode=word: there is no such mode. Did you mean 'words'?" in result.err


def test_evaluate_compares_the_modes_on_texts_that_are_not_indexed(chain: Any, read: Any) -> None:
    folder = chain.folders["evaluate"]
    found, rows = (
        read(folder / "metrics.json")["word_search"],
        pq.read_table(folder / "ranks_words.parquet").to_pylist(),
    )
    assert set(found["kinds"]) == {"title_part", "typo", "word_order", "synonyms", "labels"}
    assert (found["weight"], found["dev_queries"]) == (0.7, 0)  # one pair of eight is dev: too few SKUs
    for kind, row in found["kinds"].items():
        own = [each for each in rows if each["kind"] == kind]
        assert len(own) == row["texts"] > 0
        for mode in ("vector", "words", "hybrid"):
            ranks = [each[f"rank_{mode}"] for each in own]
            assert row[mode]["mrr"] == pytest.approx(sum(1 / rank for rank in ranks) / len(ranks))
        assert row["best"]["recall@1"] <= row["best"]["mrr"] <= row["best"]["recall@5"] <= 1
    order = found["kinds"]["word_order"]
    assert order["words"]["interval"]["mrr"]["low"] > order["vector"]["mrr"]
    assert "Text → SKU by vectors, by words and by both" in chain.output
