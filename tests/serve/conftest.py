"""A small catalogue as finished stages leave it: two splits that share ids, photos, texts, fields and attributes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from skufp.artifacts.folder import write_json
from skufp.artifacts.products import Product, write_products
from skufp.artifacts.vectors import VectorTable
from skufp.catalogue.attributes import Reader
from skufp.catalogue.facts import OVERRIDE, PIXELS, Facts, Value
from skufp.models.aggregators.attention import Attention
from skufp.models.siglip import tiny_siglip
from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks, load_encoder, save_encoder
from skufp.retrieval.confidence.calibration import Calibration
from skufp.retrieval.confidence.verdict import Judge
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.representations import normalise
from skufp.serve.assembly import Sources, assemble

DIM, VIEWS = 16, 3
KEYS = [("validation", f"s{i}") for i in range(6)] + [("test", f"s{i}") for i in range(4, 10)]  # s4, s5: both
COLOURS = ("red", "green", "blue")
TEXTS = ("a red top", "a green top")
SCORES = Calibration((0.9, 0.1, 2.0, 0.5), (0.1, 0.1, 1.0, 0.5), (2.0, 1.0, 0.5, 0.25), 0.1)  # of hand-set weights
JUDGE = Judge(SCORES, replace(SCORES, bias=-0.5), threshold=0.4)
AGGREGATOR = {"_target_": "skufp.models.aggregators.attention.Attention", "heads": 2, "depth": 1, "dropout": 0.1}
VOCABULARY = {
    "attributes": {"colour": {"prompts": ["a {value} {category}"], "values": {colour: {} for colour in COLOURS}}},
    "categories": {"top": {"attributes": ["colour"]}}, "category_prompts": ["a {category}"],
}  # fmt: skip


def picture(seed: int) -> Image.Image:
    """A photo of noise about a colour of its own, larger than a thumbnail."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(40, 216, 3)
    return Image.fromarray((colour + rng.integers(-30, 30, (200, 160, 3))).astype(np.uint8))


def encode(encoder: Any, photo: Image.Image) -> np.ndarray:
    with torch.inference_mode():
        vector: np.ndarray = encoder.encode_image(torch.from_numpy(encoder.preprocessing(photo))[None])[0].numpy()
    return vector


@pytest.fixture(scope="session")
def make_sources(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Sources]:
    """Return what writes the folders of the stages with an encoder of ``seed`` and an index of whole views, or not."""

    def make(seed: int = 0, views: bool = False, gallery: tuple[str, ...] = ("validation", "test")) -> Sources:
        root = tmp_path_factory.mktemp("stages")
        names = ("prepare", "retriever", "embed", "fingerprint", "index", "confidence", "attributes")
        stages = {name: root / name for name in names}
        for folder in stages.values():
            folder.mkdir()
        save_encoder(tiny_siglip(16, 8, DIM, 1, 2, seed), stages["retriever"] / "encoder")
        write_photos(stages["prepare"])
        table = write_embedded(stages)
        prints = write_fingerprints(stages, table).where(split=list(gallery))
        write_index(stages, prints, table.where(split=list(gallery), domain="catalog") if views else None)
        write_json(stages["confidence"] / "confidence.json", {"photo": JUDGE.to_dict()})
        facts = {key: Facts("/".join(key), "top", {"fit": Value("loose", 0.9, PIXELS)}) for key in KEYS}
        facts["validation", "s0"] = Facts("s0", "top", {"colour": Value("blue", 1.0, OVERRIDE)})
        write_json(stages["attributes"] / "readers.json", {"colour": Reader(threshold=0.7).to_dict()})
        photos = {key: f"photos/{key[0]}-{key[1]}.jpg" for key in KEYS}
        return Sources(stages, list(gallery), 100, photos, facts, VOCABULARY)

    return make


def write_photos(prepared: Path) -> None:
    for number, (split, sku) in enumerate(KEYS):
        for view in range(VIEWS):
            path = prepared / f"{split}-{sku}-{view}.png"
            picture(10 * number + view).save(path)
    colours = {key: COLOURS[i % 3] for i, key in enumerate(KEYS)}
    write_products(
        prepared, [Product(*key, "top", {"Color": colours[key], "price": str(i)}) for i, key in enumerate(KEYS)]
    )


def write_embedded(stages: dict[str, Path]) -> VectorTable:
    """Views in turn, not SKU by SKU; and a query of each SKU, which is no view."""
    encoder, rows, vectors = load_encoder(stages["retriever"] / "encoder"), [], []
    for view in range(VIEWS):
        for split, sku in KEYS:
            path = f"{split}-{sku}-{view}.png"
            rows.append({
                "split": split, "sku_id": sku, "view_id": f"{sku}-{view}", "domain": "catalog", "image_path": path,
                "occlusion": 1 + view % 2, "viewpoint": 1 + view, "zoom_in": 1, "generated": False, "text": TEXTS[0],
            })  # fmt: skip
            vectors.append(encode(encoder, Image.open(stages["prepare"] / path).convert("RGB")))
    rows += [rows[i] | {"view_id": f"q{i}", "domain": "query"} for i in range(len(KEYS))]
    table = VectorTable(np.stack([*vectors, *vectors[: len(KEYS)]]), pa.Table.from_pylist(rows))
    table.save(stages["embed"])
    with torch.inference_mode():
        said = encoder.encode_text(list(TEXTS)).numpy()
    VectorTable(said, pa.table({"text": list(TEXTS)})).save(stages["embed"] / "text")
    return table


def write_fingerprints(stages: dict[str, Path], table: VectorTable) -> VectorTable:
    """What an aggregator with an open gate makes of the views, and the checkpoint that stage=fingerprint leaves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        aggregator = Attention(DIM, heads=2).eval()
    torch.nn.init.constant_(aggregator.gate, 0.5)
    weights = {f"aggregator.{name}": value for name, value in aggregator.state_dict().items()}
    saved = {"hyper_parameters": {"aggregator": AGGREGATOR, "dim": DIM}, "state_dict": weights}
    torch.save(saved, stages["fingerprint"] / "best.ckpt")
    views = torch.from_numpy(table.vectors[: VIEWS * len(KEYS)]).reshape(VIEWS, len(KEYS), DIM).transpose(0, 1)
    meta = torch.tensor([[1 + view, 1 + view % 2, 1, 0] for view in range(VIEWS)]).expand(len(KEYS), VIEWS, 4)
    with torch.inference_mode():
        vectors = aggregator(views, torch.ones(len(KEYS), VIEWS, dtype=torch.bool), meta).numpy()
    rows = [{"split": s, "sku_id": k, "pair_id": i, "category_name": "top"} for i, (s, k) in enumerate(KEYS)]
    prints = VectorTable(vectors, pa.Table.from_pylist(rows))
    prints.save(stages["fingerprint"], "fingerprints.npy", "skus.parquet")
    return prints


def write_index(stages: dict[str, Path], prints: VectorTable, views: VectorTable | None) -> None:
    number = {key: i for i, key in enumerate(prints.sku_keys())}
    if views is None:
        SkuIndex.build(prints.vectors).save(stages["index"])
    else:
        owners = np.array([number[key] for key in views.sku_keys()])
        SkuIndex.build(views.vectors, sku_of_vector=owners).save(stages["index"])
    pq.write_table(prints.rows, stages["index"] / "skus.parquet")
    write_json(stages["index"] / INDEX_MARKS, encoder_marks(stages["retriever"] / "encoder"))


@pytest.fixture(scope="session")
def sources(make_sources: Callable[..., Sources]) -> Sources:
    """The stages with fingerprints in the index."""
    return make_sources()


@pytest.fixture(scope="session")
def whole(sources: Sources, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of ``sources``. Tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    assemble(sources, folder)
    return folder


@pytest.fixture(scope="session")
def brute(sources: Sources) -> Callable[..., list[tuple[str, float]]]:
    """Return the search by hand: every SKU's (split/sku_id, score) for a query [D], best first."""

    def search(query: np.ndarray, views: bool = False) -> list[tuple[str, float]]:
        if views:
            table = VectorTable.load(sources.stages["embed"]).where(domain="catalog")
        else:
            table = VectorTable.load(sources.stages["fingerprint"], "fingerprints.npy", "skus.parquet")
        best: dict[str, float] = {}
        for (split, sku), vector in zip(table.sku_keys(), np.asarray(table.vectors), strict=True):
            score = float(sum(float(a) * float(b) for a, b in zip(normalise(vector), query, strict=True)))
            best[f"{split}/{sku}"] = max(best.get(f"{split}/{sku}", -2.0), score)
        return sorted(best.items(), key=lambda item: -item[1])

    return search
