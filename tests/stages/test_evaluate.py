"""stage=evaluate on a tiny finished chain: what it writes, and that its parts agree."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hydra.core.hydra_config import HydraConfig
from rich.console import Console

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.output import PlainConsole
from skufp.reports.evaluation.table import SAME
from skufp.retrieval.evaluation.methods import LABELS, fingerprints_of
from skufp.stages import evaluate


@pytest.fixture(scope="module")
def metrics(evaluated: Path) -> dict[str, Any]:
    return json.loads((evaluated / "metrics.json").read_text())


def test_all_methods_are_there_in_order(metrics: dict[str, Any]) -> None:
    assert list(metrics["image"]) == list(metrics["text"]) == list(metrics["rich_text"]) == list(LABELS)
    notes = {name: row["note"] for name, row in metrics["image"].items() if row["note"]}
    assert notes == {"best_view_semi_oracle": "semi-oracle", "best_view_oracle": "oracle"}


def test_keys_that_others_read(metrics: dict[str, Any]) -> None:
    keys = {
        "run",
        "gallery",
        "queries",
        "image",
        "text",
        "strata",
        "item_level",
        "latency",
        "proof",
        "wise_ft",
        "try_next",
    }
    keys |= {"gap", "only_query_share", "sizes", "gain_of_generated", "texts", "rich_text", "relevance", "word_search"}
    assert keys == set(metrics)
    assert metrics["run"]["text"] == "template"
    assert (metrics["run"]["seed"], metrics["run"]["fingerprint_seed"]) == (3, 4)
    assert metrics["gallery"] == {"splits": ["validation"], "skus": 8, "views": 26, "generated": 0}
    assert metrics["gain_of_generated"] == {}
    assert metrics["queries"] == {
        "split": "validation", "images": 15, "skus": 6, "texts": 5, "distinct_texts": 3,
    }  # fmt: skip
    assert metrics["only_query_share"] == {"image": 1 / 6, "text": 1.0, "rich_text": 1.0}
    columns = {"recall@1", "recall@5", "recall@10", "recall@20", "map", "mrr", "ndcg@10", "vectors_per_sku"}
    columns |= {"bytes_per_sku", "search", "note", "interval", "gap_closed"}
    for name, row in metrics["image"].items():
        assert columns <= set(row), name
        assert ("minus_mean" in row) == (name != "mean")
        assert row["search"]["p50_ms"] > 0


def test_costs(metrics: dict[str, Any]) -> None:
    rows = metrics["image"]
    assert (rows["mean"]["vectors_per_sku"], rows["mean"]["bytes_per_sku"]) == (1, 128)
    assert (rows["multi_vector"]["vectors_per_sku"], rows["multi_vector"]["bytes_per_sku"]) == (26 / 8, 416)
    assert rows["two_prototypes"]["vectors_per_sku"] == 15 / 8  # a_1 has one view
    assert rows["fde"]["bytes_per_sku"] == 128


def test_the_fingerprint_is_what_the_index_answers(metrics: dict[str, Any]) -> None:
    # The hand-made fingerprints, and plain attention's in another order, are the means of views.
    for kind in ("image", "text"):
        mean = metrics[kind]["mean"]
        for name in ("fingerprint", "attention_no_distill"):
            assert metrics[kind][name]["mrr"] == pytest.approx(mean["mrr"])
            assert metrics[kind][name]["minus_mean"]["mrr"]["high"] == pytest.approx(0, abs=1e-9)


def test_gap_is_that_of_multi_vector(metrics: dict[str, Any]) -> None:
    for kind in ("image", "text"):
        assert metrics["gap"][kind] == metrics[kind]["multi_vector"]["minus_mean"]


def test_strata_sum_to_all_queries(metrics: dict[str, Any]) -> None:
    assert set(metrics["strata"]) == {"views", "occlusion", "viewpoint", "sibling_style_in_gallery"}
    for strata in metrics["strata"].values():
        assert sum(row["queries"] for row in strata.values()) == 15
        total = sum(row["queries"] * row["two_prototypes"]["mrr"] for row in strata.values())
        assert total / 15 == pytest.approx(metrics["image"]["two_prototypes"]["mrr"])
    assert {name: row["queries"] for name, row in metrics["strata"]["sibling_style_in_gallery"].items()} == {
        "yes": 11, "no": 4,
    }  # fmt: skip
    assert {name: row["queries"] for name, row in metrics["strata"]["views"].items()} == {
        "1": 2, "2-3": 4, "4-5": 5, "6+": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "kind"),
    [("ranks.parquet", "image"), ("ranks_text.parquet", "text"), ("ranks_rich_text.parquet", "rich_text")],
)
def test_ranks_are_kept_for_every_method(evaluated: Path, metrics: dict[str, Any], file: str, kind: str) -> None:
    ranks = pq.read_table(evaluated / file)
    assert {"split", "sku_id", "views", "sibling"} <= set(ranks.column_names)
    for name, row in metrics[kind].items():
        own = ranks[f"rank_{name}"].to_numpy()
        assert own.min() >= 1
        assert own.max() <= 8
        assert (1 / own).mean() == pytest.approx(row["mrr"])


def test_ranks_say_whose_they_are(evaluated: Path, world: SimpleNamespace) -> None:
    queries = VectorTable.load(world.inputs["embed"]).where(domain="query").rows.to_pylist()
    rows = pq.read_table(evaluated / "ranks.parquet").to_pylist()
    assert [(r["sku_id"], r["view_id"]) for r in rows] == [(q["sku_id"], q["view_id"]) for q in queries]
    assert {r["sku_id"]: r["views"] for r in rows} == {"a_1": 1, "a_2": 3, "b_1": 2, "c_1": 6, "c_2": 4, "e_1": 5}
    assert {r["sku_id"] for r in rows if r["sibling"]} == {"a_1", "a_2", "c_1", "c_2"}
    texts = pq.read_table(evaluated / "ranks_text.parquet").to_pylist()
    assert sorted((r["sku_id"], r["text"]) for r in texts) == [
        ("a_1", "a skirt"), ("a_2", "a skirt"), ("c_1", "c skirt"), ("c_2", "c skirt"), ("e_1", "e skirt"),
    ]  # fmt: skip


def test_rich_texts_ask_for_the_skus_that_have_labels(evaluated: Path, metrics: dict[str, Any]) -> None:
    rows = pq.read_table(evaluated / "ranks_rich_text.parquet").to_pylist()
    assert sorted((r["sku_id"], r["text"]) for r in rows) == [
        ("a_1", "red skirt"), ("a_2", "Blue skirt"), ("b_1", "red skirt"), ("c_1", "blue skirt"),
        ("e_1", "green skirt"),
    ]  # fmt: skip
    # d_1 is "RED skirt": nobody asks for it, and it is spelt otherwise; template texts are shared by siblings.
    told = metrics["texts"]["rich_text"]
    assert told == {"texts": 5, "distinct": 4, "skus": 5, "shared": 2 / 5, "best": pytest.approx((3 + 2 / 2) / 5)}
    told = metrics["texts"]["text"]
    assert told == {"texts": 5, "distinct": 3, "skus": 5, "shared": 4 / 5, "best": pytest.approx((1 + 4 / 2) / 5)}


def test_relevance_of_similar_items_is_that_of_a_double_loop(metrics: dict[str, Any], world: SimpleNamespace) -> None:
    table = VectorTable.load(world.inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    skus = table.column("sku_id").tolist()
    colour = {"a_1": "red", "a_2": "blue", "b_1": "red", "c_1": "blue", "d_1": "red", "e_1": "green"}
    alike = {
        "category": (skus, lambda a, b: True),
        "category_and_colour": (list(colour), lambda a, b: colour[a] == colour[b]),
        "style": (skus, lambda a, b: a[0] == b[0]),
    }
    assert list(metrics["relevance"]) == list(alike)
    for name, (known, relevant) in alike.items():
        shares = []
        for sku in known:
            scores = table.vectors @ table.vectors[skus.index(sku)]
            best = sorted((-scores[skus.index(other)], other) for other in known if other != sku)[:5]
            if any(relevant(sku, other) for other in known if other != sku):
                shares.append(np.mean([relevant(sku, other) for _, other in best]))
        row = metrics["relevance"][name]
        assert (row["skus"], row["of"]) == (len(shares), len(known))
        assert row["fingerprint"]["mean"] == pytest.approx(np.mean(shares)), name
        assert row["mean"]["mean"] == pytest.approx(np.mean(shares)), name  # these fingerprints are means of views


def test_sizes_hold_fingerprint_and_mean_at_full_length(metrics: dict[str, Any]) -> None:
    assert {row["vectors"] for row in metrics["sizes"]} == {"fingerprint", "mean"}
    assert {row["dims"] for row in metrics["sizes"]} == {32}  # 64, 128 and 256 are longer than the vectors
    flat = next(r for r in metrics["sizes"] if (r["vectors"], r["kind"]) == ("mean", "flat"))
    assert flat["mrr"] == pytest.approx(metrics["image"]["mean"]["mrr"])


def test_report_stands_alone(evaluated: Path) -> None:
    page = (evaluated / "report.html").read_text()
    assert 'src="http' not in page
    assert page.count("data:image/svg+xml;base64,") == 3
    assert page.count('class="example"') == 3
    assert page.count('class="oracle"') == 6
    assert "no higher than the last column" in page
    assert all(f"<td>{name}</td>" in page for name in SAME.values())
    assert all(label in page for label in LABELS.values())


def test_shown_tables_fit_80_columns(evaluated: Path, world: SimpleNamespace) -> None:
    lines = _shown(evaluated, world)
    assert all(len(line) <= 80 for line in lines if "report" not in line and "python -m" not in line)
    assert not any("…" in line for line in lines)
    assert sum(line.strip().startswith("best view (oracle)") for line in lines) == 3  # texts stand side by side
    assert sum(line.strip().startswith(tuple(SAME.values())) for line in lines) == 3


def _shown(evaluated: Path, world: SimpleNamespace) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    evaluate.show(world.cfg, evaluated, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_what_to_try_next_can_be_pasted(
    evaluated: Path, world: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault: the brackets of data.gallery=[train,validation] were read as a style, and left out."""
    job = SimpleNamespace(overrides=SimpleNamespace(task=["stage=evaluate", "data.gallery=[train,validation]"]))
    monkeypatch.setattr(HydraConfig, "initialized", lambda: True)
    monkeypatch.setattr(HydraConfig, "get", lambda: job)
    metrics = read_json(evaluated / "metrics.json")
    metrics["try_next"] = {"image": "C:\\dir\\[x]\\[red].jpg", "text": "a [/] [bold] :cat:"}
    write_json(tmp_path / "metrics.json", metrics)
    console = PlainConsole(width=80, file=io.StringIO())
    evaluate.show(world.cfg, tmp_path, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    start = "python -m skufp stage=search 'data.gallery=[train,validation]'"
    assert f"{start} --image 'C:\\dir\\[x]\\[red].jpg'" in said
    assert f'{start} query.mode=vector --text "a [/] [bold] :cat:"' in said


def test_without_plain_attention_its_row_is_missing(world: SimpleNamespace) -> None:
    from skufp.retrieval.evaluation.methods import keep_skus

    inputs = {name: path for name, path in world.inputs.items() if name != "plain_attention"}
    gallery = evaluate.load_gallery(world.cfg, inputs, VectorTable.load(inputs["embed"]))
    names = {r.name for r in keep_skus(gallery, 1, 2, 3, inputs.get("plain_attention"))}
    assert names == set(LABELS) - {"attention_no_distill", "best_view_semi_oracle", "best_view_oracle", "fingerprint"}


def test_fingerprints_of_another_folder_are_put_in_order(world: SimpleNamespace) -> None:
    gallery = evaluate.load_gallery(world.cfg, world.inputs, VectorTable.load(world.inputs["embed"]))
    vectors = fingerprints_of(gallery.groups, world.inputs["plain_attention"])
    np.testing.assert_array_equal(vectors, gallery.fingerprints.vectors)


def test_a_sku_that_the_other_folder_lacks_is_named(world: SimpleNamespace, tmp_path: Path) -> None:
    gallery = evaluate.load_gallery(world.cfg, world.inputs, VectorTable.load(world.inputs["embed"]))
    gallery.fingerprints.take(np.arange(1, 8)).save(tmp_path, "fingerprints.npy", "skus.parquet")
    with pytest.raises(RuntimeError, match="1 SKUs of the gallery have no fingerprint"):
        fingerprints_of(gallery.groups, tmp_path)


def test_a_split_without_queries_is_refused(world: SimpleNamespace) -> None:
    table = VectorTable.load(world.inputs["embed"]).where(domain="catalog")
    gallery = evaluate.load_gallery(world.cfg, world.inputs, table)
    with pytest.raises(UserError, match="has no user photos: nothing to measure"):
        evaluate.load_queries(world.cfg, table, gallery)


def test_an_index_of_all_views_answers_as_multi_vector(world: SimpleNamespace) -> None:
    from skufp.retrieval.evaluation.methods import keep_skus, rank_all, search_times
    from skufp.retrieval.index import SkuIndex

    table = VectorTable.load(world.inputs["embed"])
    gallery = evaluate.load_gallery(world.cfg, world.inputs, table)
    gallery.index = SkuIndex.build(gallery.views.vectors, sku_of_vector=gallery.groups.of_row)
    queries, target = evaluate.load_queries(world.cfg, table, gallery)
    kept = keep_skus(gallery, 1, 2, 3, world.inputs["plain_attention"])
    times = search_times(gallery, kept, queries.vectors)
    methods = {m.name: m for m in rank_all(gallery, kept, times, queries.vectors, target)}
    assert methods["fingerprint"].ranks.tolist() == methods["multi_vector"].ranks.tolist()
    assert methods["fingerprint"].vectors_per_sku == methods["multi_vector"].vectors_per_sku == 26 / 8
    assert methods["fingerprint"].ranks.tolist() != methods["mean"].ranks.tolist()
