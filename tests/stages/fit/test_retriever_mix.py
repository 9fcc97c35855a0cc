"""How much of the retriever's training is kept: known answers by hand, and the real fit on a generated catalogue."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor

from skufp.__main__ import config_folder
from skufp.artifacts.folder import read_json
from skufp.artifacts.records import CATALOG, QUERY, read_records
from skufp.config import build, plain
from skufp.data.shards import decode_sample, raw_samples, shard_files
from skufp.errors import UserError
from skufp.models.siglip import SiglipEncoder, tiny_siglip
from skufp.modules.encoder_folder import load_encoder
from skufp.modules.retriever import Retriever
from skufp.schema import register_schema
from skufp.stages import fit, prepare
from skufp.stages.fit.retriever_mix import QueryPool, choose, lines, measure

ALPHAS = [0.0, 0.25, 0.5, 0.75, 1.0]


def _asked(kind: str, pool: str, *mrr: float, queries: int = 12) -> QueryPool:
    """Equal queries, each of a SKU and a pair of its own, whose reciprocal rank at every alpha is that of ``mrr``."""
    values = np.repeat(np.array(mrr)[:, None], queries, axis=1)
    return QueryPool(kind, pool, values, np.arange(queries).astype(str), np.arange(queries))


# ---- Which alpha is kept ----


@pytest.mark.parametrize(
    ("photo", "kept"),
    [
        ((0.5, 0.4, 0.3, 0.2, 0.1), 0.0), ((0.1, 0.2, 0.3, 0.4, 0.5), 1.0), ((0.3, 0.4, 0.5, 0.4, 0.3), 0.5),
        ((0.3, 0.3, 0.3, 0.3, 0.3), 0.0), ((0.3, 0.5, 0.4, 0.5, 0.3), 0.25),
    ],
)  # fmt: skip
def test_the_best_photo_mrr_is_kept_and_of_equal_ones_the_smallest_alpha(photo: tuple[float, ...], kept: float) -> None:
    report = choose(ALPHAS, [_asked("photo", "dev", *photo)])
    assert report["alpha"] == kept
    assert [row["photo_mrr"] for row in report["tried"]] == pytest.approx(photo)


def test_an_alpha_that_ruins_texts_is_refused_however_good_its_photos() -> None:
    photo = _asked("photo", "dev", 0.1, 0.2, 0.3, 0.4, 0.5)
    text = _asked("text", "dev", 0.3, 0.3, 0.31, 0.2, 0.1)
    report = choose(ALPHAS, [photo, text])
    assert report["alpha"] == 0.5
    assert [row["loses"] for row in report["tried"]] == [[], [], [], ["text, dev"], ["text, dev"]]
    said = lines(report)
    assert said[0] == "retriever: 50 % of the training is kept (model.training.wise_ft)"
    assert said[3].endswith("photo dev 0.300 (+0.200 ± 0.000), text dev 0.310 (+0.010 ± 0.000) <- kept")
    assert said[4].endswith("; refused: worse than the start in text, dev")


def test_products_never_seen_count_as_much_as_the_many_queries_of_products_that_were_learnt() -> None:
    unseen = _asked("photo", "dev", 0.5, 0.6, 0.6, 0.5, 0.45, queries=4)  # a loss of four pairs proves nothing
    learnt = _asked("photo", "held_out", 0.4, 0.45, 0.49, 0.5, 0.51, queries=400)
    report = choose(ALPHAS, [unseen, learnt])
    assert report["alpha"] == 0.5
    assert not any(row["loses"] for row in report["tried"])
    assert choose(ALPHAS, [learnt])["alpha"] == 1
    surely = _asked("photo", "dev", 0.5, 0.49, 0.49, 0.48, 0.47, queries=5)
    assert choose(ALPHAS, [surely, learnt])["alpha"] == 0  # five pairs of five that lose: 1 pattern in 32


def test_the_evidence_of_an_alpha_by_hand() -> None:
    reciprocal = np.array([[0.5, 1.0, 0.5], [1.0, 1.0, 0.25]])
    part = QueryPool("photo", "dev", reciprocal, np.array(["a", "a", "b"]), np.array([1, 1, 2]))
    row = choose([0.0, 1.0], [part])["tried"][1]
    found = row["photo"]["dev"]
    assert {k: found[k] for k in ("queries", "skus", "pairs")} == {"queries": 3, "skus": 2, "pairs": 2}
    assert (found["mrr"], found["recall@1"], found["gain"]) == pytest.approx((0.75, 2 / 3, 1 / 12))
    # Residuals of the gain add up to 1/2 - 2/12 in SKU a and -1/4 - 1/12 in b.
    assert found["gain_standard_error"] == pytest.approx((2 * (1 / 3) ** 2 * 2) ** 0.5 / 3)
    assert found["p_of_loss"] == 3 / 4  # of the totals ±1/2 ±1/4 all but the lowest reach the loss of -1/4
    assert row["text"] == {}


def test_without_a_photo_query_the_training_is_kept() -> None:
    assert choose(ALPHAS, [])["alpha"] == 1
    assert lines(choose(ALPHAS, []))[1] == "  alpha 0: MRR unknown: no queries"


# ---- Through the real fit, from a pretrained start ----

STEPS = 6


@functools.cache
def _composed(start: str, *overrides: str) -> DictConfig:
    register_schema()
    settings = [
        "stage=retriever", "model=siglip", f"model.pretrained={start}", "model.training.towers=full", "trainer=cpu",
        "progress=false", "workers=0", "threads=1", f"model.training.steps={STEPS}", "model.training.skus_per_batch=8",
        "model.training.images_per_sku=2", "model.training.lr=0.001", "model.batch_size=7",
        "data.source.pairs={train: 16, validation: 2, test: 2}", "data.dev_share=0.25", *overrides,
    ]  # fmt: skip
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", settings)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Path]]:
    """A start in a `save_pretrained` folder, and a small generated catalogue as stage=prepare leaves it."""
    folder = tmp_path_factory.mktemp("mix")
    for name in ("start", "prepare"):
        (folder / name).mkdir()
    tiny_siglip(32, 8, 32, 1, 2, seed=3).save(folder / "start")
    prepare.run(_composed(str(folder / "start")), {}, folder / "prepare")
    return str(folder / "start"), {"prepare": folder / "prepare"}


def _fit(world: tuple[str, dict[str, Path]], out: Path, *overrides: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Run the stage; return the weights that it keeps and its metrics."""
    out.mkdir(exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        fit.run(_composed(world[0], *overrides), world[1], out)
    weights = torch.load(out / "best.ckpt", weights_only=True)["state_dict"]
    return weights, read_json(out / "metrics.json")


@pytest.fixture(scope="module")
def trained(
    world: tuple[str, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What training alone ends with."""
    out = tmp_path_factory.mktemp("trained")
    found = _fit(world, out, "ablation=no_wise")
    assert not (out / "wise_ft.json").exists()
    return found


def _start(world: tuple[str, dict[str, Path]]) -> dict[str, Tensor]:
    spec = plain(_composed(world[0]).stages.retriever.module)
    return build(spec, steps=1).state_dict()


def test_no_wise_keeps_the_trained_end(world: Any, trained: Any, tmp_path: Path) -> None:
    weights, metrics = trained
    assert "wise_ft" not in metrics
    start = _start(world)
    assert any((weights[name] - start[name]).abs().max() > 1e-3 for name in start)


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        pytest.param("[0]", 0.0, marks=pytest.mark.slow), ("[0,0.5]", None),
        pytest.param("[0,0.25,0.5,0.75,1]", None, marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_kept_are_the_averaged_weights_and_what_was_measured_of_them(
    world: Any, trained: Any, tmp_path: Path, choices: str, expected: float | None
) -> None:
    weights, metrics = _fit(world, tmp_path / "out", f"model.training.wise_ft={choices}")
    report = read_json(tmp_path / "out" / "wise_ft.json")
    alpha = report["alpha"]
    assert metrics["wise_ft"] == report
    assert expected is None or alpha == expected
    start, end = _start(world), trained[0]
    assert set(weights) == set(start)
    for name, value in weights.items():
        ends = {0.0: start[name], 1.0: end[name]}
        assert torch.equal(value, ends.get(alpha, (1 - alpha) * start[name] + alpha * end[name])), name
    (row,) = (row for row in report["tried"] if row["alpha"] == alpha)
    assert row["photo"]["dev"]["mrr"] == pytest.approx(metrics["val/mrr"])  # ranked by the Trainer's callback
    assert row["photo"]["dev"]["recall@1"] == pytest.approx(metrics["val/recall@1"])
    saved = load_encoder(tmp_path / "out" / "encoder").state_dict()
    assert all(torch.equal(value, weights[f"encoder.{name}"]) for name, value in saved.items())


def _naive(encoder: SiglipEncoder, prepared: Path, split: str, pool: str) -> dict[str, list[float]]:
    """Reciprocal ranks one query at a time, from pictures that are encoded one at a time."""
    records = read_records(prepared / f"{split}_image_text.jsonl")
    files = [f for d in (CATALOG, QUERY) for f in shard_files(prepared / "shards", f"{split}-{d}")]
    vectors = {}
    with torch.inference_mode():
        for picture, meta in map(decode_sample, raw_samples(files)):
            vectors[meta["row"]] = encoder.encode_image(torch.from_numpy(encoder.preprocessing(picture))[None])[0]
        queries = [(i, r) for i, r in enumerate(records) if r.domain == QUERY and r.pool == pool]
        texts = sorted({(r.sku_id, r.text) for _, r in queries})
        asked = {"photo": [(r.sku_id, vectors[i]) for i, r in queries],
                 "text": [(sku, encoder.encode_text([text])[0]) for sku, text in texts]}  # fmt: skip
    gallery: dict[str, Tensor] = {}
    for i, r in enumerate(records):
        if r.domain == CATALOG:
            gallery[r.sku_id] = gallery.get(r.sku_id, torch.zeros(encoder.dim)) + vectors[i]
    gallery = {sku: total / total.norm() for sku, total in gallery.items()}
    return {
        kind: [
            1 / (1 + sum(bool(v @ query >= gallery[sku] @ query) for other, v in gallery.items() if other != sku))
            for sku, query in own
        ]
        for kind, own in asked.items()
    }  # fmt: skip


def test_queries_are_ranked_as_by_a_naive_loop(world: Any) -> None:
    cfg = _composed(world[0])
    spec = plain(cfg.stages.retriever)
    folders = {name: str(path) for name, path in world[1].items()}
    module: Retriever = build(spec["module"], steps=1)
    data = build(spec["datamodule"], inputs=folders, steps=1, workers=1)
    other = {name: value * 1.5 for name, value in module.state_dict().items()}
    found = {(part.kind, part.pool): part for part in measure(cfg, module, [module.state_dict(), other], data)}
    assert len(found) == 4
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for i, state in enumerate((before, other)):
        module.load_state_dict(state)
        for split, pool, name in (("dev", "", "dev"), ("train", "held_out", "held_out")):
            for kind, expected in _naive(module.encoder.eval(), world[1]["prepare"], split, pool).items():
                part = found[kind, name]
                assert sorted(part.reciprocal[i]) == pytest.approx(sorted(expected), abs=1e-6)
                assert len(part.sku) == len(part.pair) == len(expected)
    learnt = {r.sku_id for r in read_records(world[1]["prepare"] / "train_image_text.jsonl") if r.pool == "held_out"}
    assert set(found["photo", "held_out"].sku) == learnt


LITE = ("model=lite", "model.training.steps=2", "model.encoder.image_size=64", "model.training.wise_ft=[0,0.5]")


EMA = ("model.training.ema=0.5",)


@pytest.mark.parametrize(
    "model", [pytest.param(m, marks=pytest.mark.slow) for m in (EMA, LITE)], ids=["siglip", "lite"]
)
def test_a_resumed_fit_is_set_beside_the_same_start(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: tuple[str, ...]
) -> None:
    """Killed after the fit: the module is loaded from the last state. Lite's start is made from data."""
    import skufp.stages.fit.retriever_mix as retriever_mix

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(retriever_mix, "mix_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            _fit(world, tmp_path / "out", *model)
    assert list((tmp_path / "out" / "checkpoints").glob("resume-*.ckpt"))
    resumed, _ = _fit(world, tmp_path / "out", *model)
    whole, _ = _fit(world, tmp_path / "whole", *model)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


@pytest.mark.parametrize("choices", ["[0.5,1]", "[0,2]", "[]"])
def test_choices_that_mean_nothing_are_refused(world: Any, choices: str) -> None:
    with pytest.raises(UserError, match=r"model\.training\.wise_ft=.*: give shares of the training from 0 to 1"):
        fit.check(_composed(world[0], f"model.training.wise_ft={choices}"))


@pytest.mark.parametrize("rate", ["0", "1", "5"])
def test_a_rate_that_is_none_is_refused(world: Any, rate: str) -> None:
    with pytest.raises(UserError, match=rf"fingerprint\.false_positive_rate={rate}: give a share above 0 and below 1"):
        fit.check(_composed(world[0], f"stages.fingerprint.false_positive_rate={rate}"))
