"""The recall-bytes curve, on vectors whose ranks are known, and the forms' names in conf/index/."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from skufp.errors import UserError
from skufp.retrieval.compression import KINDS, size_curve
from skufp.retrieval.metrics import ranks_of_target
from skufp.retrieval.representations import normalise

CONF = Path(__file__).resolve().parents[2] / "conf" / "index"
SINGLE = ("flat", "int8", "rabitq", "pq")


def test_conf_and_code_agree_on_the_forms() -> None:
    files = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
    assert all(file["name"] == stem and file["dims"] is None for stem, file in files.items())
    assert {stem: file["kind"] for stem, file in files.items() if file["vectors"] == "fingerprint"} == KINDS
    assert files["views"] == {"name": "views", "kind": KINDS["flat"], "vectors": "views", "dims": None}


@pytest.fixture(scope="module")
def gallery() -> np.ndarray:
    return normalise(np.random.default_rng(0).normal(size=(300, 32))).astype(np.float32)


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    return np.repeat(np.arange(60), 2)


@pytest.fixture(scope="module")
def queries(gallery: np.ndarray, target: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(120, 32))
    return normalise(gallery[target] + 0.2 * noise).astype(np.float32)


def test_one_row_for_every_combination(gallery: np.ndarray, queries: np.ndarray, target: np.ndarray) -> None:
    matrices = {"fingerprint": gallery, "mean": gallery[:, ::-1].copy()}
    rows = size_curve(matrices, queries, target, [16, 8, 8, 32, 64], SINGLE, 20, 0)
    expected = [(v, d, k) for v in matrices for d in (8, 16, 32) for k in SINGLE]
    assert [(r["vectors"], r["dims"], r["kind"]) for r in rows] == expected
    size = {(r["dims"], r["kind"]): r["bytes_per_sku"] for r in rows}
    assert [size[32, k] for k in SINGLE] == [128, 32, 4 + 8, 4]
    assert [size[8, k] for k in SINGLE] == [32, 8, 1 + 8, 1]
    for row in rows:
        assert row["index_bytes_per_sku"] >= row["bytes_per_sku"] + 8, "ids are 8 bytes"
        for metric in ("recall@1", "mrr"):
            ends = row["interval"][metric]
            assert ends["low"] <= ends["mean"] == row[metric] <= ends["high"]


@pytest.mark.parametrize("dims", [8, 32])
def test_flat_rows_are_the_exact_ranks(gallery: np.ndarray, queries: np.ndarray, target: np.ndarray, dims: int) -> None:
    scores = normalise(queries[:, :dims]) @ normalise(gallery[:, :dims]).T
    by_hand = ranks_of_target(scores, target)
    row = next(r for r in size_curve({"x": gallery}, queries, target, [8], ["flat"], 20, 0) if r["dims"] == dims)
    assert row["mrr"] == pytest.approx((1 / by_hand).mean())
    assert row["recall@1"] == pytest.approx((by_hand == 1).mean())
    assert 0.1 < row["recall@1"] < 1


def test_the_intervals_follow_the_seed(gallery: np.ndarray, queries: np.ndarray, target: np.ndarray) -> None:
    def interval(seed: int) -> dict[str, float]:
        return size_curve({"x": gallery}, queries, target, [], ["rabitq"], 20, seed)[0]["interval"]["mrr"]

    assert interval(0) == interval(0)
    assert interval(0) != interval(1)


def test_what_cannot_be_built_says_why(gallery: np.ndarray, queries: np.ndarray) -> None:
    few, of_few = gallery[:50], np.arange(20)
    rows = size_curve({"few": few}, queries[:20], of_few, [12], ["flat", "pq"], 5, 0)
    skipped = [r for r in rows if "skipped" in r]
    assert [(r["dims"], r["kind"], sorted(r)) for r in skipped] == [
        (dims, "pq", ["dims", "kind", "skipped", "vectors"]) for dims in (12, 32)
    ]
    assert "12 dimensions do not divide by 8" in skipped[0]["skipped"]
    assert "only 50 vectors" in skipped[1]["skipped"]
    assert [r["kind"] for r in rows if "mrr" in r] == ["flat", "flat"]


def test_an_unknown_form_is_refused(gallery: np.ndarray, queries: np.ndarray, target: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"no index form 'rabitk'. Did you mean 'rabitq'\?"):
        size_curve({"x": gallery}, queries, target, [], ["flat", "rabitk"], 5, 0)
