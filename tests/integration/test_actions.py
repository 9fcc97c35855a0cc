"""Labels of actions through the real command line, beside the small chain."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from skufp.artifacts.actions import ActionLabels
from skufp.artifacts.records import QUERY, read_records
from skufp.artifacts.vectors import VectorTable
from skufp.models.adapter import Adapter

UPSTREAM = ("prepare", "retriever", "embed", "teacher", "fingerprint")


@pytest.fixture(scope="module")
def labelled(chain: Any, beside: Any, command: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The finished stage=actions with two processes: folder, settings, output."""
    folder = tmp_path_factory.mktemp("actions")
    beside(folder, *UPSTREAM)
    settings = (*chain.settings, "stage=actions", "stages.actions.folds=2", "upstream=refuse")
    result = command(folder, *settings, "workers=2")
    assert result.code == 0, result.out + result.err
    return SimpleNamespace(folder=folder, settings=settings, output=result.out)


@pytest.fixture(scope="module")
def labels(labelled: SimpleNamespace, only: Any) -> ActionLabels:
    return ActionLabels.load(only(labelled.folder, "actions"))


def test_every_held_out_dev_and_validation_query_is_asked(labelled: Any, labels: ActionLabels, only: Any) -> None:
    prepared, expected = only(labelled.folder, "prepare"), []
    for split in ("train", "dev", "validation"):
        asked = [r for r in read_records(prepared / f"{split}_image_text.jsonl") if r.domain == QUERY]
        asked = [r for r in asked if split != "train" or r.pool == "held_out"]
        expected += [
            (split, r.view_id, twin) for twin in ((False,) if split == "train" else (False, True)) for r in asked
        ]
    rows = labels.queries.to_pylist()
    assert sorted((r["split"], r["view_id"], r["twin"]) for r in rows) == sorted(expected)
    assert len({r["split"] for r in rows}) == 3


def test_vectors_are_those_that_embed_made(labelled: Any, labels: ActionLabels, only: Any) -> None:
    table = VectorTable.load(only(labelled.folder, "embed")).where(domain=QUERY)
    row_of = {key: i for i, key in enumerate(zip(table.column("split"), table.column("view_id"), strict=True))}
    originals = labels.where(twin=False)
    keys = zip(originals.column("split"), originals.column("view_id"), strict=True)
    np.testing.assert_allclose(originals.vectors, table.vectors[[row_of[key] for key in keys]], atol=1e-5)
    twins = labels.where("validation", twin=True)
    cosine = (labels.where("validation", twin=False).vectors * twins.vectors).sum(axis=1)
    assert 0.9 < cosine.mean() < 1 - 1e-5


def test_all_files_say_the_same(labelled: Any, labels: ActionLabels, only: Any, read: Any) -> None:
    folder = only(labelled.folder, "actions")
    about = read(folder / "actions.json")
    assert about["actions"][0] == "identity"
    assert about["actions"][-1] == "adapt"
    assert len(about["actions"]) == 10
    assert set(about["specs"]) == set(about["actions"]) - {"adapt"}
    assert labels.quality.shape == (len(labels), len(about["features"]))
    assert Adapter.load(folder).weight.shape == (labels.vectors.shape[1],) * 2
    skus = pq.read_table(only(labelled.folder, "fingerprint") / "skus.parquet")["split"].to_pylist()
    for split, size in (("train", skus.count("train") + skus.count("dev")), ("validation", skus.count("validation"))):
        assert 1 <= labels.where(split).ranks().min() <= labels.where(split).ranks().max() <= size
    assert not labels.utilities()[:, 0].any()
    report = read(folder / "report.json")
    assert report["actions"]["exposure"]["dev"]["utility"] == pytest.approx(
        labels.where("dev", twin=False).utilities()[:, about["actions"].index("exposure")].mean()
    )


def test_the_table_names_every_action(labelled: Any, labels: ActionLabels) -> None:
    for name in labels.actions:
        assert labelled.output.count(f" {name} ") >= 2
    assert "GPU available" not in labelled.output


def test_queries_to_report_on_are_no_queries_to_learn_from(chain: Any, command: Any) -> None:
    result = command(chain.folder, *chain.settings, "stage=actions", "data.queries=train")
    assert result.code == 2
    assert "error: data.queries=train: the policy learns from train and dev" in result.err
    assert "Traceback" not in result.err
