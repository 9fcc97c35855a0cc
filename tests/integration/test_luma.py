"""The real photos in DeepFashion2 layout, where they stand beside the checkout."""

import pytest


@pytest.fixture(scope="session")
def prepared(luma, command, tmp_path_factory, only):
    folder = tmp_path_factory.mktemp("luma")
    result = command(folder, "stage=prepare", "data=deepfashion2", f"data.root={luma}", "progress=false")
    assert result.code == 0, result.err
    return only(folder, "prepare")


def test_the_five_planted_defects_are_reported(prepared, read):
    report = read(prepared / "report.json")
    reasons = report["skipped_by_reason"]
    assert reasons["annotation without an image"] == 1
    assert reasons["broken JSON"] == 1
    assert reasons["empty box"] == 1
    assert reasons["image does not decode"] == 1
    assert sum(report["adjusted_by_reason"].values()) >= 1
    assert all("clamped" in row["reason"] and row["detail"] for row in report["adjusted"])


def test_counts_are_those_of_the_annotations(prepared, read):
    splits = read(prepared / "report.json")["splits"]
    assert splits["validation"] == {"skus": 101, "catalog": 127, "query": 74}
    assert splits["test"]["skus"] == 85
    assert splits["train"]["skus"] + splits["dev"]["skus"] <= 231
    dev_pairs = {r["pair_id"] for r in _rows(prepared, "dev", read)}
    assert not dev_pairs & {r["pair_id"] for r in _rows(prepared, "train", read)}
    assert len(dev_pairs) == 8


def _rows(prepared, split, read):
    import json

    return [json.loads(line) for line in (prepared / f"{split}_image_text.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_trained_lite_finds_real_products(luma, skufp, tmp_path, only, read):
    settings = ["data=deepfashion2", f"data.root={luma}", "model=lite", "trainer=cpu", "progress=false"]
    result = skufp(*settings, cwd=tmp_path, timeout=1800)
    assert result.returncode == 0, result.stderr
    metrics = read(only(tmp_path, "evaluate") / "metrics.json")
    assert metrics["queries"] | {"texts": 0, "distinct_texts": 0} == {
        "split": "validation", "images": 74, "skus": 37, "texts": 0, "distinct_texts": 0,
    }  # fmt: skip
    assert metrics["image"]["mean"]["mrr"] > 0.45
