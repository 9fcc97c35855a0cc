"""stage=index: which vectors get into the index, and what is refused before and while it is built."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import write_records
from skufp.artifacts.vectors import VectorTable
from skufp.data.sources import whole_image
from skufp.errors import UserError
from skufp.modules.encoder_folder import ENCODER_FILE
from skufp.retrieval.index import SkuIndex
from skufp.retrieval.representations import mean_of_views, multi_vector_scores, normalise
from skufp.stages import index as stage

CONF = Path(__file__).resolve().parents[2] / "conf" / "index"
SPLITS = {"train": 5, "validation": 40, "test": 7}  # SKUs
MARKS = {"fingerprint": "f", "preprocessing": "p"}


def _settings(index: str, gallery: tuple[str, ...] = ("validation",), **changes: object) -> DictConfig:
    chosen = OmegaConf.merge(OmegaConf.load(CONF / f"{index}.yaml"), changes)
    return OmegaConf.create({"stage": "index", "index": chosen, "data": {"gallery": list(gallery)}, "export_to": None})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as embed, fingerprint and retriever leave them; ids repeat between splits, views are not in SKU order."""
    folder, rng = tmp_path_factory.mktemp("upstream"), np.random.default_rng(0)
    skus = [{"split": s, "sku_id": f"sku{i}", "pair_id": i} for s, count in SPLITS.items() for i in range(count)]
    of_view = rng.permutation(np.repeat(np.arange(len(skus)), 3))
    rows = [skus[i] | {"view_id": f"v{n}", "domain": "catalog"} for n, i in enumerate(of_view)]
    rows += [sku | {"view_id": f"q{n}", "domain": "query"} for n, sku in enumerate(skus)]
    vectors = normalise(rng.normal(size=(len(rows), 16))).astype(np.float32)
    VectorTable(vectors, pa.Table.from_pylist(rows)).save(folder / "embed")
    prints = VectorTable(mean_of_views(vectors[: len(of_view)], of_view, len(skus)), pa.Table.from_pylist(skus))
    prints.save(folder / "fingerprint", "fingerprints.npy", "skus.parquet")
    (folder / "retriever" / "encoder").mkdir(parents=True)
    write_json(folder / "retriever" / "encoder" / ENCODER_FILE, MARKS | {"_target_": "unused"})
    return {name: folder / name for name in ("embed", "fingerprint", "retriever")}


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    return normalise(np.random.default_rng(1).normal(size=(20, 16))).astype(np.float32)


def _gallery(inputs: dict[str, Path], splits: list[str]) -> VectorTable:
    return VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet").where(split=splits)


def test_fingerprints_of_the_gallery(inputs: dict[str, Path], queries: np.ndarray, tmp_path: Path) -> None:
    stage.run(_settings("flat", ("validation", "test")), inputs, tmp_path)
    gallery, index = _gallery(inputs, ["validation", "test"]), SkuIndex.load(tmp_path)
    assert len(index) == pq.read_table(tmp_path / "skus.parquet").num_rows == 47
    assert pq.read_table(tmp_path / "skus.parquet").equals(gallery.rows)
    assert np.array_equal(index.search(queries, 1)[1][:, 0], (queries @ gallery.vectors.T).argmax(axis=1))
    assert read_json(tmp_path / "encoder.json") == MARKS


def test_views_point_to_their_sku(inputs: dict[str, Path], queries: np.ndarray, tmp_path: Path) -> None:
    stage.run(_settings("views"), inputs, tmp_path)
    gallery, index = _gallery(inputs, ["validation"]), SkuIndex.load(tmp_path)
    assert pq.read_table(tmp_path / "skus.parquet").equals(gallery.rows)
    assert (len(index), index.vectors_per_sku) == (40, 3)
    views = VectorTable.load(inputs["embed"]).where(split="validation", domain="catalog")
    order = [key[1] for key in gallery.sku_keys()]
    of_view = np.array([order.index(key[1]) for key in views.sku_keys()])
    exact = multi_vector_scores(queries, views.vectors, of_view, 40)
    scores, ids = index.search(queries, 40)
    assert np.array_equal(ids, np.argsort(-exact, axis=1))
    np.testing.assert_allclose(scores, -np.sort(-exact, axis=1), atol=1e-6)


def test_form_and_dims_are_the_settings(inputs: dict[str, Path], tmp_path: Path) -> None:
    for name, changes, size in (("int8", {}, 16), ("int8", {"dims": 4}, 4), ("views", {"kind": "SQfp16"}, 32)):
        stage.run(_settings(name, **changes), inputs, tmp_path)
        assert SkuIndex.load(tmp_path).code_bytes_per_vector == size


def test_too_few_skus_to_train_on(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"256 centroids.*only 40 vectors.*index=flat"):
        stage.run(_settings("pq"), inputs, tmp_path)
    assert not list(tmp_path.iterdir())


def test_few_skus_to_train_on_are_told(
    inputs: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stage.run(_settings("pq", kind="PQ{dim/4}x4"), inputs, tmp_path)
    said = " ".join(capfd.readouterr().err.split())
    assert said == (
        "warning: index=pq learns its centroids from 40 vectors, where 624 are advised: recall may suffer."
        " index=flat, index=int8 and index=rabitq have none"
    )
    stage.run(_settings("int8"), inputs, tmp_path)
    assert capfd.readouterr().err == ""


def test_a_split_without_skus(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.gallery=\['dev'\].*there are test, train, validation"):
        stage.run(_settings("flat", ("dev",)), inputs, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectors": "view"}, r"index.vectors=view: .* Did you mean 'views'\?"),
        ({"dims": 0}, r"index.dims=0: keep at least one dimension"),
        ({"kind": "SQ9"}, r"index.kind=SQ9.*could not parse"),
        ({"kind": "PQ{dim/8}", "dims": 20}, r"20 dimensions do not divide by 8"),
    ],
)
def test_mistakes_are_told_before_anything_runs(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        stage.check(_settings("flat", **changes))


@pytest.mark.parametrize("name", sorted(path.stem for path in CONF.glob("*.yaml")))
def test_every_choice_passes_the_check(name: str) -> None:
    stage.check(_settings(name))
    stage.check(_settings(name, dims=64))


def test_export_to_wants_the_exact_index_and_another_folder_than_the_photos(tmp_path: Path) -> None:
    cfg = _settings("flat")
    cfg.data.root, cfg.export_to = str(tmp_path), str(tmp_path) + " laid out"
    stage.check(cfg)
    cfg.export_to = str(tmp_path / "similar")
    with pytest.raises(UserError, match="choose another folder"):
        stage.check(cfg)
    for index in (_settings("int8"), _settings("flat", dims=8)):
        index.export_to = "similar"
        with pytest.raises(UserError, match="leave these out"):
            stage.check(index)
        index.stage = "bundle"  # whose folder it then is
        stage.check(index)


def test_a_sku_is_named_by_its_first_catalogue_photo(tmp_path: Path) -> None:
    photos = [
        ("train", "a", "a/2.jpg", "catalog"), ("train", "a", "a/1.jpg", "catalog"), ("train", "a", "a/0.jpg", "query"),
        ("train", "b", "b.jpg", "catalog"), ("test", "c", "c.jpg", "catalog"),
    ]  # fmt: skip
    for split in ("train", "test"):
        rows = [whole_image(s, sku, 1, domain, image, 1, "") for s, sku, image, domain in photos if s == split]
        write_records(tmp_path / f"{split}_image_text.jsonl", rows)
    assert stage.first_photos(tmp_path, ["train", "dev"]) == {("train", "a"): "a/1.jpg", ("train", "b"): "b.jpg"}


def test_views_of_skus_without_a_fingerprint_are_an_error(inputs: dict[str, Path]) -> None:
    gallery = _gallery(inputs, ["validation"])
    with pytest.raises(RuntimeError, match="40 SKUs have views but 39 have fingerprints"):
        stage.choose_vectors(_settings("views"), inputs, gallery.take(np.arange(39)))
