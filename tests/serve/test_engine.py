"""The search engine over every form of index, with a real encoder and index folders that stage=index wrote."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from skufp.actions.exposure import Exposure
from skufp.actions.quality import FEATURES
from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.models.adapter import Adapter
from skufp.models.policy import ActionPolicy
from skufp.models.siglip import tiny_siglip
from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks, save_encoder
from skufp.retrieval.representations import mean_of_views, normalise
from skufp.serve.assembly import Sources, assemble
from skufp.serve.bundle import open_bundle
from skufp.serve.engine import SearchEngine
from skufp.serve.query_policy import FixedAction, LearntPolicy
from skufp.stages import index as stage

CONF = Path(__file__).resolve().parents[2] / "conf" / "index"
SKUS, VIEWS, DIM = 300, 4, 16
OF_VIEW = np.repeat(np.arange(SKUS), VIEWS)
SPECS = {
    "identity": {"_target_": "skufp.actions.identity.Identity"},
    "exposure": {"_target_": "skufp.actions.exposure.Exposure"},
}


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny encoder and a catalogue of random vectors: 300 SKUs, the last 50 of another split."""
    folder = tmp_path_factory.mktemp("upstream")
    save_encoder(tiny_siglip(16, 8, DIM, 1, 2, 0), folder / "retriever" / "encoder")
    skus = [
        {"split": "test" if i >= 250 else "validation", "sku_id": f"s{i % 250}", "category_name": f"c{i % 3}"}
        for i in range(SKUS)
    ]
    rows = [
        skus[i] | {"view_id": f"v{n}", "domain": "catalog", "image_path": f"{n}.jpg"} for n, i in enumerate(OF_VIEW)
    ]
    vectors = normalise(np.random.default_rng(0).normal(size=(len(rows), DIM))).astype(np.float32)
    VectorTable(vectors, pa.Table.from_pylist(rows)).save(folder / "embed")
    prints = VectorTable(mean_of_views(vectors, OF_VIEW, SKUS), pa.Table.from_pylist(skus))
    prints.save(folder / "fingerprint", "fingerprints.npy", "skus.parquet")
    return {name: folder / name for name in ("retriever", "embed", "fingerprint")}


def _engine(upstream: dict[str, Path], out: Path, index: str, **changes: object) -> SearchEngine:
    settings = OmegaConf.merge(OmegaConf.load(CONF / f"{index}.yaml"), changes)
    cfg = OmegaConf.create({"index": settings, "data": {"gallery": ["validation", "test"]}})
    out.mkdir(exist_ok=True)
    stage.run(cfg, upstream, out)
    return _assembled({**upstream, "index": out}, out.parent / "bundle")


def _assembled(stages: dict[str, Path], bundle: Path) -> SearchEngine:
    shutil.rmtree(bundle, ignore_errors=True)
    assemble(Sources(stages, ["validation", "test"]), bundle, ["thumbnails", "aggregator"])
    return open_bundle(bundle).engine


def _query() -> np.ndarray:
    return normalise(np.random.default_rng(7).normal(size=(1, DIM))).astype(np.float32)[0]


def _scores_by_hand(upstream: dict[str, Path], index: str, query: np.ndarray, dims: int) -> np.ndarray:
    views = np.load(upstream["embed"] / "vectors.npy")
    vectors = views if index == "views" else mean_of_views(views, OF_VIEW, SKUS)
    scores = normalise(vectors[:, :dims]) @ normalise(query[:dims])
    return scores.reshape(SKUS, VIEWS).max(axis=1) if index == "views" else scores


@pytest.mark.parametrize("index", ["flat", "views"])
@pytest.mark.parametrize("dims", [None, 6])
def test_exact_forms_answer_as_brute_force(
    upstream: dict[str, Path], tmp_path: Path, index: str, dims: int | None
) -> None:
    query = _query()
    hits = _engine(upstream, tmp_path / "index", index, dims=dims).search(query, 20)
    scores = _scores_by_hand(upstream, index, query, dims or DIM)
    best = np.argsort(-scores)[:20]
    assert [(h.split, h.sku_id) for h in hits] == [
        ("test" if i >= 250 else "validation", f"s{i % 250}") for i in best.tolist()
    ]
    assert [h.rank for h in hits] == list(range(1, 21))
    np.testing.assert_allclose([h.score for h in hits], scores[best], atol=1e-5)
    views = np.load(upstream["embed"] / "vectors.npy") @ query
    for hit, i in zip(hits, best.tolist(), strict=True):
        view = VIEWS * i + int(views[VIEWS * i : VIEWS * (i + 1)].argmax())
        assert (hit.view.view_id, hit.view.image_path, hit.category) == (f"v{view}", f"{view}.jpg", f"c{i % 3}")
        assert hit.view.score == pytest.approx(float(views[view]), abs=1e-6)


@pytest.mark.parametrize(
    ("index", "top_k", "expected"),
    [("int8", 1000, SKUS), ("rabitq", 1000, SKUS), ("pq", 1000, SKUS), ("views", 1000, SKUS), ("hnsw", 30, 30)],
)
def test_every_form_answers_each_sku_once(
    upstream: dict[str, Path], tmp_path: Path, index: str, top_k: int, expected: int
) -> None:
    hits = _engine(upstream, tmp_path / "index", index, dims=8).search(_query(), top_k)
    assert len({(h.split, h.sku_id) for h in hits}) == len(hits) == expected
    scores = [h.score for h in hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("index", ["flat", "views", "int8", "pq", "rabitq", "hnsw"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_filter_leaves_the_order_of_those_that_fit(
    upstream: dict[str, Path], tmp_path: Path, index: str, count: int
) -> None:
    engine = _engine(upstream, tmp_path / "index", index, dims=8)
    chosen = np.random.default_rng(count).choice(SKUS, count, replace=False)
    facts = {(engine.skus.splits[i], engine.skus.sku_ids[i]): {"colour": "red"} for i in chosen}
    facts["validation", "s0"] = facts.get(("validation", "s0"), {"colour": "blue"})
    facts["train", "of another gallery"] = {"colour": "red"}
    among = engine.matching(facts, {"colour": "red"})
    assert sorted(among.tolist()) == sorted(chosen.tolist())
    hits = engine.search(_query(), 5, among)
    of_all = [(h.split, h.sku_id) for h in engine.search(_query(), SKUS) if (h.split, h.sku_id) in facts]
    expected = [key for key in of_all if facts[key]["colour"] == "red"][:5]
    assert [(h.split, h.sku_id) for h in hits] == expected
    assert [h.rank for h in hits] == list(range(1, len(expected) + 1))
    assert len(hits) == min(5, count)


def test_a_filtered_search_scores_as_brute_force(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine, query = _engine(upstream, tmp_path / "index", "flat"), _query()
    scores = _scores_by_hand(upstream, "flat", query, DIM)
    among = np.flatnonzero(scores < np.quantile(scores, 0.1))  # the worst tenth: found only at the very depth
    hits = engine.search(query, 4, among)
    np.testing.assert_allclose([h.score for h in hits], np.sort(scores[among])[::-1][:4], atol=1e-5)


def test_what_an_approximate_index_does_not_find_is_left_out(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat", kind="IVF10,Flat")  # searches one list of ten
    hits = engine.search(_query(), SKUS)
    assert 0 < len(hits) < SKUS
    assert [h.rank for h in hits] == list(range(1, len(hits) + 1))
    assert all(np.isfinite(h.score) for h in hits)


def test_photos_and_texts_become_unit_vectors(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    for query in (engine.embed_photo(photo), engine.embed_text("navy tee")):
        assert query.shape == (DIM,)
        assert np.linalg.norm(query) == pytest.approx(1, abs=1e-5)
        assert len(engine.search(query, 3)) == 3
    with pytest.raises(UserError, match="text to search for is empty"):
        engine.embed_text("  ")


def test_the_index_of_another_encoder_is_refused(upstream: dict[str, Path], tmp_path: Path) -> None:
    _engine(upstream, tmp_path / "index", "flat")
    save_encoder(tiny_siglip(16, 8, DIM, 1, 2, 1), tmp_path / "other" / "encoder")
    with pytest.raises(UserError, match="another encoder"):
        _assembled({**upstream, "retriever": tmp_path / "other", "index": tmp_path / "index"}, tmp_path / "bundle")


def test_the_index_of_another_preprocessing_is_refused_as_such(upstream: dict[str, Path], tmp_path: Path) -> None:
    _engine(upstream, tmp_path / "index", "flat")
    marks = read_json(tmp_path / "index" / INDEX_MARKS)
    write_json(tmp_path / "index" / INDEX_MARKS, marks | {"preprocessing": "0123"})
    with pytest.raises(UserError, match=r"another image preprocessing \(0123"):
        _assembled({**upstream, "index": tmp_path / "index"}, tmp_path / "bundle")


def test_without_a_policy_a_photo_is_only_encoded(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    look = engine.look(_photo())
    assert (look.action, look.predicted_gain, look.edited) == ("identity", None, None)
    np.testing.assert_array_equal(look.embedding, engine.embed_photo(_photo()))


def test_a_fixed_image_action_edits_and_encodes_again(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    engine.policy = FixedAction("exposure", SPECS)
    look = engine.look(_photo())
    expected = Exposure()(np.asarray(_photo()))
    assert (look.action, look.predicted_gain) == ("exposure", None)
    np.testing.assert_array_equal(np.asarray(look.edited), expected)
    np.testing.assert_array_equal(look.embedding, engine.embed_photo(Image.fromarray(expected)))
    assert not np.allclose(look.embedding, engine.embed_photo(_photo()))


def test_an_action_that_finds_nothing_to_do_leaves_no_picture(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    engine.policy = FixedAction("exposure", SPECS)
    grey = Image.new("RGB", (20, 30), (90, 90, 90))  # of a single brightness: exposure leaves it alone
    look = engine.look(grey)
    assert (look.action, look.edited) == ("exposure", None)
    np.testing.assert_array_equal(look.embedding, engine.embed_photo(grey))


def test_adapt_moves_the_embedding_alone(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    rng = np.random.default_rng(3)
    adapter = Adapter(rng.normal(size=(DIM, DIM)).astype(np.float32), rng.normal(size=DIM).astype(np.float32))
    engine.policy = FixedAction("adapt", SPECS, adapter)
    look, query = engine.look(_photo()), engine.embed_photo(_photo())
    moved = query + adapter.weight @ query + adapter.bias
    assert (look.action, look.edited) == ("adapt", None)
    np.testing.assert_allclose(look.embedding, moved / np.linalg.norm(moved), atol=1e-5)


def test_large_photos_are_looked_at_in_the_size_of_crops(upstream: dict[str, Path], tmp_path: Path) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    engine.policy, engine.max_side = FixedAction("exposure", SPECS), 40
    large = _photo().resize((120, 160))
    edited = engine.look(large).edited
    assert edited is not None
    assert (edited.size, large.size) == ((30, 40), (120, 160))


@pytest.mark.parametrize(
    ("gains", "threshold", "expected"),
    [
        ({"exposure": 0.5, "adapt": 0.3}, 0.1, ("exposure", 0.5)),
        ({"exposure": 0.2, "adapt": 0.3}, 0.1, ("adapt", 0.3)),
        ({"exposure": 0.2, "adapt": 0.3}, 0.4, ("identity", 0.0)),
        ({"exposure": -0.2, "adapt": -0.3}, -1.0, ("identity", 0.0)),
        ({"exposure": 0.5}, float("inf"), ("identity", 0.0)),
    ],
)
def test_a_learnt_policy_takes_the_best_gain_above_its_threshold(
    upstream: dict[str, Path], tmp_path: Path, gains: dict[str, float], threshold: float, expected: tuple[str, float]
) -> None:
    engine = _engine(upstream, tmp_path / "index", "flat")
    engine.policy = _learnt(upstream, tmp_path / "policy", gains, threshold)
    look = engine.look(_photo())
    assert look.action == expected[0]
    assert look.predicted_gain == pytest.approx(expected[1])
    assert (look.edited is not None) == (look.action == "exposure")


def test_a_policy_of_another_encoder_is_refused(upstream: dict[str, Path], tmp_path: Path) -> None:
    _learnt(upstream, tmp_path / "policy", {}, 0.0)
    with pytest.raises(UserError, match=r"other encoder .*stage=policy"):
        LearntPolicy(tmp_path / "policy", Adapter.unchanged(DIM), "another mark")


def test_an_unknown_action_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"policy\.action=exposre: .* Did you mean 'exposure'\?"):
        FixedAction("exposre", SPECS)
    with pytest.raises(UserError, match="learnt by stage=actions"):
        FixedAction("adapt", SPECS)


def _photo() -> Image.Image:
    """A dark one: there is something for exposure to do."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 90, (40, 30, 3), np.uint8))


def _learnt(upstream: dict[str, Path], folder: Path, gains: dict[str, float], threshold: float) -> LearntPolicy:
    """A saved policy that predicts ``gains`` for every photo: untrained, so that they are prices below 0."""
    names, mark = [*SPECS, "adapt"], encoder_marks(upstream["retriever"] / "encoder")["fingerprint"]
    network = ActionPolicy(names, FEATURES, DIM, SPECS, mark, members=2)
    network.price.copy_(-torch.tensor([0.0, *(gains.get(name, -1.0) for name in names[1:])]))
    network.threshold.fill_(threshold)
    folder.mkdir()
    network.save(folder)
    return LearntPolicy(folder, Adapter.unchanged(DIM), mark)
