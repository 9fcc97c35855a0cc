"""The whole chain through the real command line, on a small generated catalogue."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from skufp.retrieval.evaluation.methods import LABELS

STAGES = ("prepare", "retriever", "embed", "teacher", "fingerprint", "plain_attention", "index", "evaluate")


def test_plan_is_printed_first_and_commands_last(chain):
    lines = chain.output.splitlines()
    assert lines[0].startswith("Plan")
    assert all(any(line.startswith(stage) for line in lines[:20]) for stage in STAGES)
    assert "--image" in lines[-2]
    assert "--text" in lines[-1]


def test_the_commands_printed_last_find_their_product(chain, read, command):
    """Pasted as they are, with the right SKU where the run says that it ranks: a dev query's, at best the first."""
    rank = read(chain.folders["evaluate"] / "metrics.json")["try_next"]["rank"]
    for kind, line in zip(("image", "text"), chain.output.splitlines()[-2:], strict=True):
        words = shlex.split(line)
        assert words[:3] == ["python", "-m", "skufp"]
        result = command(chain.folder, *words[3:], *chain.settings)
        assert result.code == 0, result.err
        newest = max((chain.folder / "runs" / "search").iterdir(), key=lambda p: p.stat().st_mtime_ns)
        (answer,) = read(newest / "results.json")
        table = pq.read_table(chain.folders["embed"] / "rows.parquet", filters=[("split", "==", "dev")]).to_pylist()
        asked = {
            r["sku_id"] for r in table if r["image_path"] in answer.get("image", "") or r["text"] == answer.get("text")
        }
        hits = [hit["sku_id"] for hit in answer["hits"]]
        assert rank[kind] <= 5
        assert hits[rank[kind] - 1] in asked


def test_every_stage_left_a_manifest(chain, read):
    for stage in STAGES:
        manifest = read(chain.folders[stage] / "manifest.json")
        assert manifest["stage"] == stage
        assert chain.folders[stage].name.endswith(manifest["key"])
        assert not list((chain.folder / "runs" / stage).glob(".*.building"))


def test_methods_share_gallery_and_queries(chain, read):
    folder = chain.folders["evaluate"]
    metrics = read(folder / "metrics.json")
    ranks = pq.read_table(folder / "ranks.parquet")
    assert set(metrics["image"]) == set(LABELS)
    for name, row in metrics["image"].items():
        r = ranks[f"rank_{name}"].to_numpy()
        assert len(r) == metrics["queries"]["images"]
        assert r.min() >= 1
        assert r.max() <= metrics["gallery"]["skus"]
        assert row["mrr"] == pytest.approx((1 / r).mean())
        assert row["interval"]["mrr"]["low"] <= row["mrr"] <= row["interval"]["mrr"]["high"]


def test_report_is_self_contained(chain):
    page = (chain.folders["evaluate"] / "report.html").read_text()
    assert "data:image/jpeg;base64," in page
    assert 'src="http' not in page
    assert "generated catalogue" in page


def test_index_holds_one_vector_per_sku(chain, read):
    from skufp.retrieval.index import SkuIndex

    folder = chain.folders["index"]
    skus = pq.read_table(folder / "skus.parquet")
    assert len(SkuIndex.load(folder)) == skus.num_rows == len(set(skus["sku_id"].to_pylist()))
    assert set(skus["split"].to_pylist()) == {"validation"}


def test_embedding_rows_match_the_records(chain):
    prepared, embedded = chain.folders["prepare"], chain.folders["embed"]
    rows = pq.read_table(embedded / "rows.parquet")
    lines = sum(len(p.read_text().splitlines()) for p in prepared.glob("*_image_text.jsonl"))
    vectors = np.load(embedded / "vectors.npy", allow_pickle=False)
    assert rows.num_rows == len(vectors) == lines
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_teachers_come_from_train_queries_alone(chain):
    table = pq.read_table(chain.folders["teacher"] / "teachers.parquet")
    assert set(table["split"].to_pylist()) == {"train"}


def test_a_done_stage_is_not_done_again(chain, command):
    before = {stage: (chain.folders[stage] / "manifest.json").stat().st_mtime_ns for stage in STAGES}
    result = command(chain.folder, *chain.settings)
    assert result.code == 0
    assert "to run" not in result.out
    assert before == {stage: (chain.folders[stage] / "manifest.json").stat().st_mtime_ns for stage in STAGES}


def test_upstream_refuse_names_the_command(chain, command):
    result = command(chain.folder, *chain.settings, "seed=5", "upstream=refuse")
    assert result.code == 2
    assert "stage=evaluate needs stage=retriever" in result.err
    assert "python -m skufp stage=index" in result.err


def test_every_photo_carries_what_its_sku_was_drawn_with(chain):
    from skufp.artifacts.products import read_products
    from skufp.artifacts.records import read_records

    folder = chain.folders["prepare"]
    products = {p.sku: p for p in read_products(folder)}
    records = [r for path in folder.glob("*_image_text.jsonl") for r in read_records(path)]
    assert {r.sku for r in records} == set(products)
    for r in records:
        assert r.rich_text.startswith(products[r.sku].fields["colour"])
        assert r.category_name in r.rich_text


def test_both_kinds_of_text_ask_for_the_same_skus(chain, read):
    folder = chain.folders["evaluate"]
    metrics = read(folder / "metrics.json")
    asked = {
        name: set(pq.read_table(folder / f"ranks_{name}.parquet")["sku_id"].to_pylist()) for name in metrics["texts"]
    }
    assert asked["text"] == asked["rich_text"]
    assert metrics["texts"]["rich_text"]["texts"] == metrics["queries"]["skus"] == len(asked["text"])
    assert metrics["relevance"]["style"]["skus"] <= metrics["relevance"]["category"]["skus"]


def test_photo_search_with_awkward_names(chain, command, read):
    crop = next((chain.folders["prepare"] / "validation" / "query").rglob("*.jpg"))
    names = ["photo.jpg", 'photo (1), men\'s "best".jpg', "back\\slash.jpg", "a=b [c] {d}.png", "${oc.env:HOME}.jpg"]
    photos = [str(chain.folder / "queries" / name) for name in names]
    (chain.folder / "queries").mkdir()
    for photo in photos:
        Image.open(crop).save(photo)
    flags = [word for photo in photos for word in ("--image", photo)]
    result = command(chain.folder, *chain.settings, "stage=search", *flags)
    assert result.code == 0, result.err
    newest = max((chain.folder / "runs" / "search").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    answers = read(newest / "results.json")
    assert [answer["image"] for answer in answers] == photos
    for answer in answers:
        assert [hit["rank"] for hit in answer["hits"]] == [1, 2, 3, 4, 5]
        assert all(hit["image"].endswith(hit["image_path"]) for hit in answer["hits"])
    assert Image.open(newest / "contact_sheet.png").width > 1000


def test_text_search_answers_with_the_best_view(chain, command, read):
    result = command(chain.folder, *chain.settings, "--text", "men's tee, navy", "--text", "x=[1], ${a}")
    assert result.code == 0, result.err
    newest = max((chain.folder / "runs" / "search").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    answers = read(newest / "results.json")
    assert [a["text"] for a in answers] == ["men's tee, navy", "x=[1], ${a}"]
    scores = [hit["score"] for hit in answers[0]["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_an_index_of_another_encoder_is_refused(chain, command, beside, tmp_path):
    """Where the bundle is made of it; what a bundle holds is checked in tests/serve."""
    beside(tmp_path, *(stage for stage in chain.folders if stage not in ("index", "bundle")))
    index = tmp_path / "runs" / "index" / chain.folders["index"].name
    shutil.copytree(chain.folders["index"], index)
    marks = (index / "encoder.json").read_text()
    (index / "encoder.json").write_text(marks.replace('"fingerprint": "', '"fingerprint": "0'))
    result = command(tmp_path, *chain.settings, "--text", "anything else")
    assert result.code == 2
    assert "another encoder" in result.err


@pytest.mark.slow
def test_multirun_shares_upstream_work(chain, skufp, read):
    result = skufp(*chain.settings, "-m", "ablation=none,mean_pool", cwd=chain.folder)
    assert result.returncode == 0, result.stderr
    runs = chain.folder / "runs"
    assert len(list(runs.glob("retriever/*/manifest.json"))) == 1
    assert len(list(runs.glob("embed/*/manifest.json"))) == 1
    jobs = sorted(runs.glob("sweeps/*/job-*.json"))
    assert len(jobs) == 2
    mean = read(runs.parent / read(jobs[1])["folder"] / "metrics.json")["image"]
    assert mean["fingerprint"]["mrr"] == pytest.approx(mean["mean"]["mrr"], abs=1e-6)


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path, chain, only, read):
    """Kill in the middle of the retriever's training: the next run resumes and redoes no finished stage."""
    (tmp_path / "runs").mkdir()
    prepared = chain.folders["prepare"]
    os.symlink(prepared.parent, tmp_path / "runs" / "prepare")
    stamp = (prepared / "manifest.json").stat().st_mtime_ns
    settings = [*chain.settings, "model.training.steps=60", "trainer.checks=12", "stage=retriever"]
    command = [sys.executable, "-m", "skufp", *settings]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list((tmp_path / "runs").glob("retriever/.*/checkpoints/resume-*.ckpt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert not list((tmp_path / "runs").glob("retriever/*/manifest.json"))
    short = [*settings[:-1], "stage=retriever"]
    result = subprocess.run([sys.executable, "-m", "skufp", *short], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    folder = only(tmp_path, "retriever")
    assert read(folder / "metrics.json")["steps"] == 60
    attempts = sorted(p.name for p in (folder / "logs").iterdir())
    assert attempts == ["attempt-0", "attempt-1"]
    first_logged = (folder / "logs" / "attempt-1" / "metrics.csv").read_text().splitlines()[1].split(",")
    assert int(first_logged[1]) > 4, "the second attempt started from the beginning"
    assert (prepared / "manifest.json").stat().st_mtime_ns == stamp


def test_checkpoint_explains_itself(chain):
    import torch

    from skufp.modules.retriever import Retriever

    path = chain.folders["retriever"] / "best.ckpt"
    torch.load(path, weights_only=True)
    module = Retriever.load_from_checkpoint(path, weights_only=True)
    assert module.encoder.dim == 128


def test_transformers_opens_the_encoder_folder(chain):
    from transformers import AutoModel, AutoTokenizer

    folder = chain.folders["retriever"] / "encoder"
    assert AutoModel.from_pretrained(folder).config.model_type == "siglip"
    assert AutoTokenizer.from_pretrained(folder)("red dress")["input_ids"]


def test_intervals_are_printed_without_an_escape(chain):
    assert re.search(r"\d \[[+-]?\d", chain.output), "a table with intervals"
    assert "\\[" not in chain.output
