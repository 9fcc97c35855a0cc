"""A tiny finished chain made by hand, and its evaluation."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from skufp.artifacts.products import Product, write_products
from skufp.artifacts.vectors import VectorTable

DIM = 32
COLOURS = {"a_1": "red", "a_2": "Blue", "b_1": "red", "c_1": "blue", "d_1": "RED", "e_1": "green"}  # c_2, f_1: none
VIEWS = {"a_1": 1, "a_2": 3, "b_1": 2, "c_1": 6, "c_2": 4, "d_1": 2, "e_1": 5, "f_1": 3}  # pair and style -> views
QUERIES = {"a_1": 2, "a_2": 3, "b_1": 1, "c_1": 4, "c_2": 2, "e_1": 3}  # d_1 and f_1 are in the gallery alone
REPOSITORY = Path(__file__).resolve().parents[2]


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def _row(sku: str, number: int, domain: str) -> dict[str, object]:
    pair, _, style = sku.partition("_")
    return {
        "split": "validation", "sku_id": sku, "view_id": f"{sku}-{domain}-{number}", "domain": domain,
        "pair_id": ord(pair), "style": int(style), "category_name": "skirt", "occlusion": 1 + number % 2,
        "viewpoint": 1 + number % 3, "image_path": f"{domain}-{sku}-{number}.jpg",
        "text": f"{pair} skirt" if number % 2 else "", "generated": False,
        "rich_text": f"{COLOURS[sku]} skirt" if sku in COLOURS else "",
    }  # fmt: skip


def embedded() -> VectorTable:
    """Views scatter about their SKU, queries far around one of its views: hard enough to tell methods apart."""
    rng = np.random.default_rng(0)
    pair = {name: rng.normal(size=DIM) for name in "abcdef"}
    vectors, rows = [], []
    for sku, count in VIEWS.items():
        centre = pair[sku[0]] + 0.6 * rng.normal(size=DIM)
        views = centre + 1.5 * rng.normal(size=(count, DIM))
        queries = views[rng.integers(0, count, QUERIES.get(sku, 0))] + 4 * rng.normal(size=(QUERIES.get(sku, 0), DIM))
        vectors += [views, queries]
        rows += [_row(sku, i, "catalog") for i in range(count)] + [_row(sku, i, "query") for i in range(len(queries))]
    return VectorTable(unit(np.concatenate(vectors)), pa.Table.from_pylist(rows))


def fingerprints(table: VectorTable) -> VectorTable:
    """Means of views, SKUs in another order than the views'."""
    rows = [
        {"split": "validation", "sku_id": sku, "pair_id": ord(sku[0]), "style": int(sku[-1]), "category_name": "skirt"}
        for sku in reversed(VIEWS)
    ]
    views = table.where(domain="catalog")
    names = views.column("sku_id")
    return VectorTable(
        unit(np.stack([views.vectors[names == r["sku_id"]].mean(axis=0) for r in rows])), pa.Table.from_pylist(rows)
    )


def _settings() -> DictConfig:
    stage = OmegaConf.load(REPOSITORY / "conf" / "stages" / "evaluate.yaml")
    own = {key: stage[key] for key in ("fde", "sizes")}
    return OmegaConf.create({
        "seed": 3, "fingerprint_seed": 4, "ablation": "none", "stage": "evaluate",
        "data": {
            "name": "tiny", "label": "tiny", "gallery": ["validation"], "queries": "validation", "text": "template",
        },
        "model": {"name": "siglip_tiny"},
        "aggregator": {"name": "mean"}, "index": {"name": "flat"}, "loss": {"name": "default"},
        "logger": {"_target_": "pytorch_lightning.loggers.CSVLogger"},
        "stages": {"evaluate": own | {"bootstrap": 50, "examples": 3, "word_skus": 500}},
        "vocabulary": {"lists": [str(REPOSITORY / "conf" / "vocabulary" / "starter.lists.yml")], "extend": None},
        "llm": {"language": "en"}, "trainer": {"accelerator": "cpu", "devices": 1},
    })  # fmt: skip


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders that stage=evaluate reads, and the settings: ``cfg`` and ``inputs``."""
    from skufp.models.siglip import tiny_siglip
    from skufp.modules.encoder_folder import save_encoder
    from skufp.retrieval.index import SkuIndex

    folder = tmp_path_factory.mktemp("world")
    inputs = {name: folder / name for name in ("prepare", "retriever", "embed", "fingerprint", "index")}
    inputs["plain_attention"] = folder / "plain_attention"
    for path in inputs.values():
        path.mkdir()
    table = embedded()
    table.save(inputs["embed"])
    rng = np.random.default_rng(1)
    for i, path in enumerate(table.rows["image_path"].to_pylist()):
        Image.new("RGB", (24, 32), (7 * i % 256, 90, 120)).save(inputs["prepare"] / path)
    texts = sorted({*table.rows["text"].to_pylist(), *table.rows["rich_text"].to_pylist()} - {""})
    words = VectorTable(unit(rng.normal(size=(len(texts), DIM))), pa.table({"text": texts}))
    words.save(inputs["embed"] / "text")
    own = {sku: {"Color": COLOURS[sku]} if sku in COLOURS else {} for sku in VIEWS}
    write_products(inputs["prepare"], [Product("validation", sku, "skirt", own[sku]) for sku in VIEWS])
    kept = fingerprints(table)
    kept.save(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    backwards = kept.take(np.arange(len(kept))[::-1])
    backwards.save(inputs["plain_attention"], "fingerprints.npy", "skus.parquet")
    SkuIndex.build(kept.vectors).save(inputs["index"])
    pq.write_table(kept.rows, inputs["index"] / "skus.parquet")
    save_encoder(tiny_siglip(32, 8, 32, 2, 2, 0), inputs["retriever"] / "encoder")
    return SimpleNamespace(cfg=_settings(), inputs=inputs)


@pytest.fixture(scope="session")
def evaluated(world: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stage=evaluate wrote."""
    from skufp.stages import evaluate

    folder = tmp_path_factory.mktemp("evaluate")
    evaluate.run(world.cfg, world.inputs, folder)
    return folder
