"""Measures beside the comparison."""

from types import SimpleNamespace

import numpy as np
import pytest

from skufp.artifacts.vectors import VectorTable
from skufp.retrieval.evaluation.methods import Gallery, one_thread
from skufp.stages import evaluate
from skufp.stages.evaluate import measures as evaluate_measures
from skufp.stages.evaluate.measures import has_sibling, item_level


@pytest.fixture(scope="module")
def gallery(world: SimpleNamespace) -> Gallery:
    return evaluate.load_gallery(world.cfg, world.inputs, VectorTable.load(world.inputs["embed"]))


@pytest.fixture(scope="module")
def queries(world: SimpleNamespace) -> VectorTable:
    return VectorTable.load(world.inputs["embed"]).where(domain="query")


def test_item_level_equals_a_naive_loop(
    gallery: Gallery, queries: VectorTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_measures, "BLOCK", 4)
    result = item_level(queries, gallery)
    views = gallery.views.rows.to_pylist()
    for k in (1, 5, 10, 20):
        hits = []
        for vector, row in zip(queries.vectors, queries.rows.to_pylist(), strict=True):
            best = np.argsort(-(gallery.views.vectors @ vector))[:k]
            hits.append(any((views[i]["pair_id"], views[i]["style"]) == (row["pair_id"], row["style"]) for i in best))
        assert result[f"item_hit@{k}"] == pytest.approx(np.mean(hits))


def test_siblings_share_a_pair(gallery: Gallery) -> None:
    siblings = {key[1] for key, found in zip(gallery.groups.keys, has_sibling(gallery), strict=True) if found}
    assert siblings == {"a_1", "a_2", "c_1", "c_2"}


def test_threads_come_back_after_an_error() -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        with pytest.raises(ZeroDivisionError), one_thread():
            _ = 1 / 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
