"""A bundle through the real command line: laid out, moved, the runs gone, the same scores."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import skufp
from skufp.artifacts.vectors import VectorTable
from skufp.models.aggregators.folder import META

DONE = ("prepare", "retriever", "embed", "teacher", "fingerprint")


def photos_of(prepared: Path, count: int = 4) -> list[Path]:
    return sorted((prepared / "validation" / "query").rglob("*.jpg"))[:count]


def scores(folder: Path, photos: list[Path]) -> list[list[tuple[str, float, str, bytes]]]:
    answers = skufp.open(folder).search(image=photos, text=["red top", "trousers"], top_k=6)
    assert isinstance(answers, list)
    return [[(r.sku, r.score, r.view.view_id, r.thumbnail) for r in answer] for answer in answers]


@pytest.mark.parametrize("index", ["flat", *(pytest.param(form, marks=pytest.mark.slow) for form in ("views", "int8"))])
def test_a_moved_bundle_answers_as_the_runs_did(
    index: str, chain: Any, command: Any, beside: Any, tmp_path: Path, read: Any, only: Any
) -> None:
    beside(tmp_path, *DONE)
    settings = [*chain.settings, f"index={index}", "data.gallery=[validation,test]"]
    laid = command(tmp_path, *settings, "stage=bundle", "export_to=out/shop bundle")
    assert laid.code == 0, laid.out + laid.err
    assert "laid out in out/shop bundle" in laid.out
    photos = photos_of(chain.folders["prepare"])
    found = command(tmp_path, *settings, "stage=search", "upstream=refuse", "query.top_k=6", "--image", str(photos[0]))
    assert found.code == 0, found.out + found.err
    told = read(only(tmp_path, "search") / "results.json")[0]["hits"]
    before = scores(only(tmp_path, "bundle"), photos)
    assert [(hit["score"], hit["view_id"]) for hit in told] == [answer[1:3] for answer in before[0]]
    away = tmp_path / "elsewhere"
    shutil.move(tmp_path / "out", away)
    shutil.rmtree(tmp_path / "runs")
    assert scores(away / "shop bundle", photos) == before
    assert str(tmp_path).encode() not in b"".join(p.read_bytes() for p in away.rglob("*") if p.is_file())


def test_the_aggregator_makes_the_fingerprints_again(
    chain: Any, command: Any, beside: Any, tmp_path: Path, only: Any
) -> None:
    beside(tmp_path, *DONE, "index")
    result = command(tmp_path, *chain.settings, "stage=bundle")
    assert result.code == 0, result.out + result.err
    assert "policy      is missing" in result.out
    assert "python -m skufp stage=bundle policy=default" in result.out
    parts = skufp.open(only(tmp_path, "bundle"), verify=True).parts
    prints = VectorTable.load(chain.folders["fingerprint"], "fingerprints.npy", "skus.parquet")
    known = dict(zip(prints.sku_keys(), np.asarray(prints.vectors), strict=True))
    for number, key in enumerate(zip(parts.skus.splits, parts.skus.sku_ids, strict=True)):
        own = parts.views.of(number)
        rows = parts.views.views.rows.slice(own.start, own.stop - own.start).to_pylist()
        views = torch.from_numpy(np.array(parts.views.views.vectors[own]))[None]
        meta = torch.tensor([[int(row[name]) for name in META] for row in rows])[None]
        made = parts.aggregator(views, torch.ones(1, len(rows), dtype=torch.bool), meta)[0]
        np.testing.assert_allclose(made, known[key], atol=1e-5)
        assert {(row["split"], row["sku_id"]) for row in rows} == {key}


@pytest.mark.slow
def test_a_filter_brings_what_pictures_say(chain: Any, command: Any, beside: Any, tmp_path: Path, only: Any) -> None:
    beside(tmp_path, *DONE, "index")
    result = command(tmp_path, *chain.settings, "--text", "a top", "query.filter.sleeve=short")
    assert result.code == 0, result.out + result.err
    parts = skufp.open(only(tmp_path, "bundle")).parts
    assert parts.readers.keys() <= {*parts.vocabulary.attributes, "category"}
    assert any(parts.attributes_of(number) for number in range(len(parts.skus)))


@pytest.mark.slow
def test_a_flat_folder_of_photos_trains_nothing(chain: Any, command: Any, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for i, crop in enumerate(sorted((chain.folders["prepare"] / "train" / "catalog").rglob("*.jpg"))[:8]):
        shutil.copy(crop, tmp_path / "photos" / f"shirt #{i} (new).jpg")
    settings = ["data=folder", "data.root=photos", "aggregator=mean", "model=siglip_tiny", "model.training.steps=0"]
    result = command(tmp_path, *settings, *chain.settings[4:], "stage=bundle", "export_to=bundle")
    assert result.code == 0, result.out + result.err
    photo = tmp_path / "photos" / "shirt #3 (new).jpg"
    bundle = skufp.open(tmp_path / "bundle")
    best = bundle.search(image=photo)[0]
    assert (best.sku, best.score) == (photo.name, pytest.approx(1, abs=1e-3))
    assert skufp.search_similar(photo, tmp_path / "bundle", 1)[0]["filename"] == photo.name
    assert isinstance(bundle.parts.aggregator, torch.nn.Module)
    assert set(bundle.missing) == {"words", "word_index", "policy", "attributes"}


@pytest.mark.slow
def test_the_learnt_policy_is_in_the_bundle(chain: Any, command: Any, beside: Any, tmp_path: Path) -> None:
    beside(tmp_path, *DONE, "index")
    settings = [*chain.settings, "policy=default", "policy.training.steps=2"]
    result = command(tmp_path, *settings, "stage=bundle", "export_to=bundle")
    assert result.code == 0, result.out + result.err
    shutil.rmtree(tmp_path / "runs")
    bundle = skufp.open(tmp_path / "bundle")
    assert "policy" in bundle.capabilities
    answer = bundle.search(image=photos_of(chain.folders["prepare"], 1)[0])
    assert answer.action in {"identity", "adapt", *bundle.engine.policy.edits}
    assert answer.predicted_gain is not None
