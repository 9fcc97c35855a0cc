"""stage=actions on a hand-made catalogue: who is asked, what is written, planted actions, folds, and killed runs."""

import copy
import io
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console

from skufp import config, factory
from skufp.__main__ import config_folder
from skufp.actions.quality import FEATURES, quality
from skufp.artifacts.actions import ActionLabels
from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.vectors import VectorTable
from skufp.data.noisy_twin import noisy_twin
from skufp.data.shards import INDEX, write_sku_shards
from skufp.data.sku_collate import META
from skufp.data.splits import fold_of_pair
from skufp.errors import UserError
from skufp.models.adapter import Adapter
from skufp.models.siglip import tiny_siglip
from skufp.modules.encoder_folder import encoder_marks, load_encoder, save_encoder
from skufp.schema import register_schema
from skufp.stages import actions
from skufp.stages.actions import fold_galleries as actions_galleries
from skufp.stages.actions import photos as actions_photos

DIM = 32
SKUS = {"train": 14, "dev": 3, "validation": 5}
FILES = {"queries.parquet", "vectors.npy", "quality.npy", "actions.parquet", "actions.json", "adapter.safetensors",
         "report.json"}  # fmt: skip


class Invert:
    """Gives back the colours of photos that were taken inverted."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return 255 - image


class Spoil:
    """Leaves nothing to see."""

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return np.full_like(image, 128)


class Nothing:
    def __call__(self, image: np.ndarray) -> np.ndarray:
        return image


@pytest.fixture(autouse=True, scope="module")
def planted() -> Iterator[None]:
    """Make this file's actions known under a name that settings may use."""
    module = ModuleType("skufp.actions.planted")
    for one in (Invert, Spoil, Nothing):
        setattr(module, one.__name__, one)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        for one in (config, factory):
            patch.setattr(one, "BUILT", config.BUILT | {f"{module.__name__}.{name}" for name in vars(module)})
        yield


SPECS = {"identity": {"_target_": "skufp.actions.identity.Identity"}}
SPECS |= {name.lower(): {"_target_": f"skufp.actions.planted.{name}"} for name in ("Invert", "Spoil", "Nothing")}


@cache
def _composed() -> DictConfig:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", ["stage=actions", "trainer=cpu", "loss.prefix_dims=[]"])


def _settings(**changes: Any) -> DictConfig:
    """Return small settings; in names of ``changes`` two underscores stand for a dot."""
    cfg = copy.deepcopy(_composed())
    small = {"progress": False, "workers": 0, "threads": 1, "stages.actions.part_photos": 7, "model.batch_size": 10}
    small |= {"actions.actions": SPECS, "stages.actions.folds": 3, "stages.fingerprint.steps": 4}
    for name, value in (small | {name.replace("__", "."): value for name, value in changes.items()}).items():
        OmegaConf.update(cfg, name, value, merge=False, force_add=True)
    return cfg


def _picture(split: str, sku: int) -> np.ndarray:
    coarse = np.random.default_rng([len(split), sku]).integers(0, 255, (4, 4, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((24, 32), 0))


def _rows() -> list[dict[str, Any]]:
    """A catalogue view and two queries of every SKU; of train SKUs one is held out, the other learnt from."""
    found = []
    for split, count in SKUS.items():
        for sku in range(count):
            for number, domain in enumerate(("catalog", "query", "query")):
                pool = ["", "held_out", "learn"][number] if split == "train" else ""
                name = f"{split}{sku}{domain}{number}"
                found.append({
                    "split": split, "sku_id": f"s{sku}", "view_id": name, "domain": domain, "pool": pool,
                    "pair_id": sku // 2, "image_path": f"{name}.png",
                })  # fmt: skip
    return found


def _sku_samples(split: str, vectors: np.ndarray) -> list[dict[str, Any]]:
    rows = [(row, v) for row, v in zip(_rows(), vectors, strict=True) if row["split"] == split]
    samples = []
    for start in range(0, len(rows), 3):
        (first, view), *queries = rows[start : start + 3]
        meta = {"split": split, "sku_id": first["sku_id"], "pair_id": first["pair_id"], "style": 1, "category_id": 1}
        meta |= {"category_name": "skirt", "view_ids": ["a", "b"]} | {name: [0, 0] for name in META}
        meta |= {"query_ids": [q["view_id"] for q, _ in queries], "pools": [q["pool"] for q, _ in queries]}
        views = np.stack([view, np.roll(view, 1)])  # two views: else there is nothing to learn
        samples.append({"views": views, "queries": np.stack([v for _, v in queries]), "meta": meta})
    return samples


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as upstream stages leave them; every query is its SKU's one view in inverted colours."""
    folder = tmp_path_factory.mktemp("upstream")
    found = {name: folder / name for name in ("prepare", "retriever", "embed", "fingerprint")}
    for path in found.values():
        path.mkdir()
    save_encoder(tiny_siglip(16, 8, DIM, 2, 2), found["retriever"] / "encoder")
    encoder, rows = load_encoder(found["retriever"] / "encoder"), _rows()
    pixels = []
    for row in rows:
        picture = _picture(row["split"], int(row["sku_id"][1:]))
        picture = 255 - picture if row["domain"] == "query" else picture
        Image.fromarray(picture).save(found["prepare"] / row["image_path"])
        pixels.append(encoder.preprocessing(Image.fromarray(picture)))
    with torch.inference_mode():
        vectors = encoder.encode_image(torch.from_numpy(np.stack(pixels))).numpy()
    VectorTable(vectors, pa.Table.from_pylist(rows)).save(found["embed"])
    views = [i for i, row in enumerate(rows) if row["domain"] == "catalog"]
    skus = pa.Table.from_pylist([{name: rows[i][name] for name in ("split", "sku_id", "pair_id")} for i in views])
    VectorTable(vectors[views], skus).save(found["fingerprint"], "fingerprints.npy", "skus.parquet")
    write_json(found["fingerprint"] / "metrics.json", {"steps": 0})
    shards = found["embed"] / "shards"
    shards.mkdir()
    write_json(shards / INDEX, {f"{s}-sku": write_sku_shards(shards, s, _sku_samples(s, vectors), 64) for s in SKUS})
    return found


def _run(inputs: dict[str, Path], out: Path, **changes: Any) -> ActionLabels:
    out.mkdir(exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        actions.run(_settings(**changes), inputs, out)
    return ActionLabels.load(out)


@pytest.fixture(scope="module")
def finished(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("actions")
    _run(inputs, folder)
    return folder


# ---- What is refused before anything runs ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages__actions__folds": 1}, r"stages\.actions\.folds=1: give 2 or more"),
        ({"stages__actions__ridges": [1, 0]}, r"stages\.actions\.ridges=\[1, 0\]: give numbers above 0"),
        ({"stages__actions__part_photos": 0}, r"part_photos=0: give 1 or more"),
        ({"data__queries": "dev"}, r"data\.queries=dev: the policy learns from train and dev"),
        ({"actions__actions": {"adapt": SPECS["invert"]}}, r"actions\.actions\.adapt: that is the residual"),
        ({"actions__actions": {"identity": SPECS["invert"]}}, r"actions\.actions\.identity is skufp"),
        ({"actions__actions": {"crop": {"margin": 1}}}, r"actions\.actions\.crop=.* names no class"),
        ({"actions__actions": {"x": {"_target_": "skufp.actions.exposure.Exposure", "z": 1}}}, "has no setting 'z'"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        actions.check(_settings(**changes))


def test_the_actions_that_ship_are_fine_and_identity_is_first() -> None:
    actions.check(_composed())
    assert next(iter(actions.image_actions(_composed()))) == "identity"
    turned = {name: SPECS[name] for name in ("invert", "identity")}
    assert list(actions.image_actions(_settings(actions__actions=turned))) == ["identity", "invert"]
    assert list(actions.image_actions(_settings(actions__actions={"invert": SPECS["invert"]}))) == [
        "identity",
        "invert",
    ]


def test_without_held_out_train_queries_the_error_says_what_to_do(inputs: dict[str, Path], tmp_path: Path) -> None:
    table = VectorTable.load(inputs["embed"])
    for keep, message in (
        (lambda row: row["pool"] != "held_out", r"no train query is held out .*prepare with data\.held_out_share=0\.3"),
        (lambda row: row["split"] != "train" or row["domain"] == "catalog", r"split 'train' .* has no user photos"),
    ):
        table.take(np.flatnonzero([keep(row) for row in table.rows.to_pylist()])).save(tmp_path)
        with pytest.raises(UserError, match=message):
            actions_photos.select_queries(_settings(), tmp_path)


def test_queries_without_a_sku_in_the_gallery_are_told(inputs: dict[str, Path], tmp_path: Path) -> None:
    cfg = _settings(data__gallery=["test"])
    queries = actions_photos.select_queries(cfg, inputs["embed"])
    with pytest.raises(UserError, match=r"20 queries of split validation have no SKU in the gallery, test"):
        actions_galleries.galleries(cfg, inputs, queries, tmp_path)


# ---- Who is asked, and what is written ----


def test_asked_are_held_out_train_queries_then_dev_and_validation_with_their_twins(inputs: dict[str, Path]) -> None:
    rows = actions_photos.select_queries(_settings(), inputs["embed"]).to_pylist()
    expected = [(r["view_id"], fold_of_pair(r["pair_id"], 3, 0), False) for r in _rows() if r["pool"] == "held_out"]
    for split in ("dev", "validation"):
        own = [r["view_id"] for r in _rows() if r["split"] == split and r["domain"] == "query"]
        expected += [(view, -1, twin) for twin in (False, True) for view in own]
    assert [(r["view_id"], r["fold"], r["twin"]) for r in rows] == expected
    assert [r["number"] for r in rows] == list(range(14 + 2 * (6 + 10)))
    assert len({r["fold"] for r in rows}) > 2


def test_every_file_is_there_and_nothing_else(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES
    about = read_json(finished / "actions.json")
    assert about["actions"] == [*SPECS, "adapt"]
    assert about["specs"] == SPECS
    assert about["features"] == list(FEATURES)


def test_the_mark_is_that_of_the_encoder(finished: Path, inputs: dict[str, Path]) -> None:
    mark = encoder_marks(inputs["retriever"] / "encoder")["fingerprint"]
    assert ActionLabels.load(finished).about.encoder == mark


def test_vectors_and_quality_are_those_of_their_photos(finished: Path, inputs: dict[str, Path]) -> None:
    labels, encoder = ActionLabels.load(finished), load_encoder(inputs["retriever"] / "encoder")
    for i, row in enumerate(labels.queries.to_pylist()):
        image = np.asarray(Image.open(inputs["prepare"] / row["image_path"]).convert("RGB"))
        if row["twin"]:
            image = noisy_twin(image, f"{row['split']}/{row['view_id']}")
        pixels = torch.from_numpy(encoder.preprocessing(Image.fromarray(image)))[None]
        with torch.inference_mode():
            np.testing.assert_allclose(labels.vectors[i], encoder.encode_image(pixels)[0], atol=1e-5)
        np.testing.assert_array_equal(labels.quality[i], quality(image))


def _naive(query: np.ndarray, gallery: dict[tuple[str, str], np.ndarray], own: tuple[str, str]) -> int:
    return 1 + sum(float(query @ v) >= float(query @ gallery[own]) - 1e-6 for k, v in gallery.items() if k != own)


def test_ranks_against_a_naive_loop(finished: Path, inputs: dict[str, Path]) -> None:
    """Train and dev among train's and dev's SKUs, validation among its own; every edit encoded by itself."""
    labels, encoder = ActionLabels.load(finished), load_encoder(inputs["retriever"] / "encoder")
    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    kept = dict(zip(table.sku_keys(), np.asarray(table.vectors), strict=True))
    ranks, scores = labels.ranks(), labels.wide("score")
    edits = [lambda x: x, Invert(), Spoil(), Nothing()]
    for i, row in enumerate(labels.queries.to_pylist()):
        if row["twin"]:
            continue
        image = np.asarray(Image.open(inputs["prepare"] / row["image_path"]).convert("RGB"))
        searched = {"train", "dev"} if row["split"] in ("train", "dev") else {"validation"}
        gallery = {key: vector for key, vector in kept.items() if key[0] in searched}
        for a, edit in enumerate(edits):
            pixels = torch.from_numpy(encoder.preprocessing(Image.fromarray(edit(image))))[None]
            with torch.inference_mode():
                query = encoder.encode_image(pixels)[0].numpy()
            own = (row["split"], row["sku_id"])
            assert scores[i, a] == pytest.approx(float(query @ gallery[own]), abs=1e-5)
            assert ranks[i, a] == _naive(query, gallery, own)


def test_a_planted_action_that_always_helps_has_positive_utility_and_one_that_spoils_negative(finished: Path) -> None:
    labels = ActionLabels.load(finished)
    for split in ("train", "dev", "validation"):
        own = labels.where(split, twin=False)
        _, invert, spoil, nothing, _ = own.utilities().T
        assert (own.ranks()[:, 1] == 1).all()
        assert (invert >= 0).all()
        assert invert.mean() > 0.5
        assert spoil.mean() < invert.mean() - 0.5
        assert not nothing.any()
    report = read_json(finished / "report.json")
    assert report["queries"] == {"train": 14, "dev": 6}
    train = labels.where("train")
    row = report["actions"]["invert"]["train"]
    assert row["utility"] == pytest.approx(train.utilities()[:, 1].mean())
    assert row["helps"] == pytest.approx((train.ranks()[:, 1] < train.ranks()[:, 0]).mean())
    assert (row["hurts"], row["acts"], row["mrr"]) == (0, 1, 1)
    assert report["actions"]["nothing"]["dev"]["acts"] == 0


def test_adapt_is_the_chosen_adapter_cross_fitted_on_train_and_the_saved_one_elsewhere(
    finished: Path, inputs: dict[str, Path]
) -> None:
    labels, saved = ActionLabels.load(finished), Adapter.load(finished)
    table = VectorTable.load(inputs["fingerprint"], "fingerprints.npy", "skus.parquet")
    kept = dict(zip(table.sku_keys(), np.asarray(table.vectors), strict=True))
    ridge, tried = labels.about.ridge, read_json(finished / "report.json")["ridges"]
    best = max(tried, key=lambda one: one["train_mrr"])
    assert ridge == best["ridge"] is not None  # inverted colours: that much can be learnt
    rows = labels.queries.to_pylist()
    train = [i for i, row in enumerate(rows) if row["split"] == "train"]
    target = {i: kept[rows[i]["split"], rows[i]["sku_id"]] for i in range(len(rows))}
    expected = Adapter.fit(labels.vectors[train], np.stack([target[i] for i in train]), ridge)
    np.testing.assert_allclose(saved.weight, expected.weight, atol=1e-6)
    for i, row in enumerate(rows):
        adapter = saved
        if row["split"] == "train":
            others = [j for j in train if rows[j]["fold"] != row["fold"]]
            adapter = Adapter.fit(labels.vectors[others], np.stack([target[j] for j in others]), ridge)
        score = float(adapter(np.asarray(labels.vectors[i])) @ target[i])
        assert labels.wide("score")[i, -1] == pytest.approx(score, abs=1e-5)


def test_the_report_is_printed_in_80_columns_with_the_way_to_the_labels(finished: Path) -> None:
    console = Console(file=io.StringIO(), width=80)
    actions.show(_settings(), finished, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "14 train queries" in said
    assert "6 dev queries" in said
    assert str(finished / "actions.parquet") in said
    assert "…" not in said


def test_without_dev_and_validation_there_are_labels_of_train(inputs: dict[str, Path], tmp_path: Path) -> None:
    embed = tmp_path / "embed"
    table = VectorTable.load(inputs["embed"])
    table.take(np.flatnonzero([row["split"] == "train" for row in table.rows.to_pylist()])).save(embed)
    labels = _run(inputs | {"embed": embed}, tmp_path / "out")
    assert set(labels.queries["split"].to_pylist()) == {"train"}
    assert len(labels) == 14
    report = io.StringIO()
    actions.show(_settings(), tmp_path / "out", Console(file=report, width=80))
    assert "dev queries" not in report.getvalue()


# ---- Folds ----


def test_fingerprints_that_no_query_helped_to_build_serve_every_fold(inputs: dict[str, Path], tmp_path: Path) -> None:
    for proof, steps, expected in ((None, 0, False), (False, 9, False), (True, 9, True), (None, 9, True)):
        write_json(tmp_path / "metrics.json", {"steps": steps})
        (tmp_path / "proof.json").unlink(missing_ok=True)
        if proof is not None:
            write_json(tmp_path / "proof.json", {"trained_is_kept": proof})
        assert actions_galleries.learnt(tmp_path) is expected
    queries = actions_photos.select_queries(_settings(), inputs["embed"])
    folds, (dev, _) = actions_galleries.galleries(_settings(), inputs, queries, tmp_path)
    assert all(np.array_equal(fold.vectors, dev.vectors) for fold in folds)
    assert not list(tmp_path.glob("parts/*"))


@pytest.fixture
def trained(inputs: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """As ``inputs``, but the fingerprint is one that was trained and kept."""
    folder = tmp_path / "trained"
    shutil.copytree(inputs["fingerprint"], folder)
    write_json(folder / "metrics.json", {"steps": 4})
    return inputs | {"fingerprint": folder}


def _folds(inputs: dict[str, Path], out: Path, **changes: Any) -> list[VectorTable]:
    out.mkdir()
    with torch.random.fork_rng(devices=[]):
        return actions_galleries.fold_fingerprints(_settings(**changes), inputs, out)


def test_a_folds_fingerprints_are_made_without_its_queries(trained: dict[str, Path], tmp_path: Path) -> None:
    """Turn the held-out queries of one pair: the fingerprints of its own fold stay, those of the others change."""
    turned = tmp_path / "embed" / "shards"
    turned.mkdir(parents=True)
    table, index = VectorTable.load(trained["embed"]), {}
    for split in SKUS:
        samples = _sku_samples(split, np.asarray(table.vectors))
        for s in samples:
            if split == "train" and s["meta"]["pair_id"] == 3:
                s["queries"] = -s["queries"]
        index[f"{split}-sku"] = write_sku_shards(turned, split, samples, 64)
    write_json(turned / INDEX, index)
    before = _folds(trained, tmp_path / "before", stages__actions__folds=2)
    after = _folds(trained | {"embed": turned.parent}, tmp_path / "after", stages__actions__folds=2)
    own = fold_of_pair(3, 2, 0)
    for fold, (one, two) in enumerate(zip(before, after, strict=True)):
        assert one.sku_keys() == two.sku_keys()
        assert np.array_equal(one.vectors, two.vectors) is (fold == own)


def test_train_is_ranked_in_its_folds_fingerprints_and_dev_in_the_kept_ones(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    cfg, out = _settings(), tmp_path / "out"
    tables = _folds(trained, out)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("parts/fold-*/*")}
    queries = actions_photos.select_queries(cfg, trained["embed"])
    folds, (dev, validation) = actions_galleries.galleries(cfg, trained, queries, out)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps, "what was trained is trained again"
    rows, kept = queries.to_pylist(), VectorTable.load(trained["fingerprint"], "fingerprints.npy", "skus.parquet")
    tables = [*tables, kept, kept]
    searched = [("train", "dev")] * 4 + [("validation",)]
    for number, (asked, table, splits) in enumerate(zip([*folds, dev, validation], tables, searched, strict=True)):
        keys = table.where(split=list(splits)).sku_keys()
        for row, own in zip(asked.rows, asked.own, strict=True):
            assert keys[own] == (rows[row]["split"], rows[row]["sku_id"])
            assert rows[row]["fold"] == (number if number < 3 else -1)
            vector = table.vectors[table.sku_keys().index(keys[own])]
            np.testing.assert_allclose(asked.vectors[own], vector, atol=1e-6)
    assert sorted(np.concatenate([a.rows for a in (*folds, dev, validation)]).tolist()) == list(range(len(rows)))
    labels = _run(trained, out)
    assert labels.ranks().min() >= 1
    assert {path.name for path in out.iterdir()} == FILES


# ---- Killed runs and several processes ----


def _same(found: Path, expected: Path) -> None:
    one, two = ActionLabels.load(found), ActionLabels.load(expected)
    assert one.queries.equals(two.queries)
    assert one.answers.equals(two.answers)
    assert one.about == two.about
    np.testing.assert_array_equal(one.vectors, two.vectors)
    np.testing.assert_array_equal(one.quality, two.quality)
    np.testing.assert_array_equal(Adapter.load(found).weight, Adapter.load(expected).weight)
    assert read_json(found / "report.json") == read_json(expected / "report.json")


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    inputs: dict[str, Path], finished: Path, tmp_path: Path
) -> None:
    """A photo in the fourth part cannot be read; later the photos of the first three are gone, and nobody asks."""
    prepared, out = tmp_path / "prepare", tmp_path / "out"
    shutil.copytree(inputs["prepare"], prepared)
    paths = actions_photos.select_queries(_settings(), inputs["embed"])["image_path"].to_pylist()
    broken = prepared / paths[26]
    photo = broken.read_bytes()
    broken.unlink()
    with pytest.raises(UserError, match=r"image file is missing .*stage=prepare"):
        _run(inputs | {"prepare": prepared}, out)
    assert sorted(p.name for p in (out / "parts").glob("*-vectors.npy")) == [
        f"{start:06d}-vectors.npy" for start in (0, 7, 14)
    ]
    (out / "parts" / "000021-quality.npy").write_bytes(b"half of an array")
    (out / "parts" / "000021-vectors.part").write_bytes(b"half of another")
    broken.write_bytes(photo)
    for path in set(paths[:21]) - set(paths[21:]):
        (prepared / path).unlink()
    _run(inputs | {"prepare": prepared}, out)
    _same(out, finished)
    assert {path.name for path in out.iterdir()} == FILES


def test_processes_and_parts_make_no_difference(inputs: dict[str, Path], tmp_path: Path) -> None:
    ships = {"identity": SPECS["identity"], "exposure": {"_target_": "skufp.actions.exposure.Exposure"}}
    alone = _run(inputs, tmp_path / "alone", actions__actions=ships, stages__actions__part_photos=12)
    _run(inputs, tmp_path / "two", actions__actions=ships, stages__actions__part_photos=12, workers=2)
    _same(tmp_path / "two", tmp_path / "alone")
    other = _run(inputs, tmp_path / "other", actions__actions=ships, stages__actions__part_photos=100)
    np.testing.assert_allclose(other.wide("score"), alone.wide("score"), atol=1e-5)


def test_parts_hold_every_photo_once() -> None:
    dealt = actions_photos.parts(_settings(), 17)
    assert [list(part) for part in dealt] == [list(range(7)), list(range(7, 14)), [14, 15, 16]]
    assert actions_photos.parts(_settings(), 0) == []
