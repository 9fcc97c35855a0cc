"""Evaluations are logged offline for real, and read back from the run's own file."""

import base64
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.callbacks.wandb_evaluation import caption, columns, decode, figures, flat, log_evaluation, rows, sheet
from skufp.errors import UserError
from skufp.retrieval.comparison import Method, compare

SKU = np.repeat(np.arange(6), 2)
COST = (1.0, 256.0, {"p50_ms": 0.5, "p95_ms": 0.75})
BLOCK, HEADER, WHOLE, LAST = 32768, 7, 1, 4


def uri(colour: str, width: int = 40, height: int = 60) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def example(rank: int, right: int) -> dict[str, Any]:
    answers = [{"sku": f"sku{i}", "picture": uri("blue"), "right": i == right} for i in range(3)]
    truth = {"sku": f"sku{right}", "picture": uri("red"), "right": False}
    return {"rank": rank, "query": uri("black"), "truth": truth, "answers": answers}


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    """Real rows: the mean finds every SKU second, multi-vector first; the oracle says that it is one."""
    ranks = np.full(len(SKU), 2)
    methods = [
        Method("mean", ranks, *COST), Method("multi_vector", ranks // 2, 3.5, 896.0, COST[2]),
        Method("best_view_oracle", ranks, *COST, "oracle"),
    ]  # fmt: skip
    views = {"1": {"queries": 4, "mean": {"recall@1": 0.0, "mrr": 0.5}, "multi_vector": {"recall@1": 1.0, "mrr": 1.0}}}
    curve = {"vectors": "mean", "dims": 64, "kind": "int8", "bytes_per_sku": 64.0, "recall@1": 0.25, "mrr": 0.5}
    return {
        "run": {"seed": 3}, "image": compare(methods, SKU, 20, 0), "text": {}, "strata": {"views": views},
        "latency": {"device": "cpu", "encode": {"p50_ms": 12.5}}, "gallery": {"skus": 6, "splits": ["validation"]},
        "sizes": [
            curve | {"interval": {"recall@1": {"mean": 0.25, "low": 0.0, "high": 0.5}}},
            {"vectors": "mean", "dims": 64, "kind": "pq", "skipped": "too few SKUs"},
        ],
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path / kind))
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", str(tmp_path / "no.netrc"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


def log(folder: Path, metrics: dict[str, Any], examples: list[Any], **changed: Any) -> Path:
    """Log with settings that most tests share; return wandb's folder."""
    told: dict[str, Any] = {
        "project": "shop", "entity": "team", "group": "seeds-12-00", "name": "lite none", "run_id": "0123456789ab",
        "config": {"run": {"ablation": "none"}}, "offline": True, "folder": folder,
    }  # fmt: skip
    log_evaluation(metrics, examples, **(told | changed))
    return folder / "wandb"


def records(wandb_folder: Path) -> list[Any]:
    """Every record of the one offline run; wandb's own process closes its file a moment after the run has finished."""
    (path,) = wandb_folder.glob("offline-run-*/*.wandb")
    for _ in range(500):
        found = list(decoded(path.read_bytes()))
        if found and found[-1].HasField("exit"):
            return found
        time.sleep(0.01)
    raise AssertionError(f"{path} has no end")


def decoded(data: bytes) -> Iterator[Any]:
    """LevelDB's log format with wandb's own header, protobuf inside."""
    from wandb.proto.wandb_internal_pb2 import Record

    at, body = HEADER, b""
    while at + HEADER <= len(data):
        if (left := BLOCK - at % BLOCK) < HEADER:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        if (end := at + HEADER + size) > len(data):
            return
        body += data[at + HEADER : end]
        at = end
        if kind in (WHOLE, LAST):
            yield Record.FromString(body)
            body = b""


def summary(wandb_folder: Path) -> dict[str, Any]:
    """The run's summary, nested keys joined by a dot."""
    updates = [u for record in records(wandb_folder) for u in record.summary.update]
    return {u.key or ".".join(u.nested_key): json.loads(u.value_json) for u in updates}


def table(wandb_folder: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a logged table."""
    (path,) = wandb_folder.glob(f"offline-run-*/files/media/table/{name}_*.table.json")
    content = json.loads(path.read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_an_evaluation_is_read_back_as_it_was_logged(tmp_path, metrics):
    folder = log(tmp_path, metrics, [example(1, 0), example(7, 2)])
    (run,) = [r.run for r in records(folder) if r.WhichOneof("record_type") == "run"]
    assert (run.run_id, run.run_group, run.job_type) == ("0123456789ab", "seeds-12-00", "evaluate")
    assert (run.entity, run.project, run.display_name) == ("team", "shop", "lite none")
    assert {u.key: json.loads(u.value_json) for u in run.config.update}["run"] == {"ablation": "none"}

    told = summary(folder)
    assert told["eval/mean/recall@1"] == 0
    assert told["eval/multi_vector/mrr"] == 1
    assert told["eval/multi_vector/minus_mean/mrr/mean"] == 0.5
    assert told["eval/multi_vector/gap_closed/recall@1/low"] == 1
    assert told["eval/mean/search/p95_ms"] == 0.75
    assert told["latency/encode/p50_ms"] == 12.5
    assert {k: v for k, v in told.items() if k in figures(metrics)} == figures(metrics)

    by_method = {row["method"]: row for row in table(folder, "table/image")}
    assert list(by_method) == ["mean", "multi_vector", "best_view_oracle"]
    assert by_method["multi_vector"]["bytes_per_sku"] == 896
    assert by_method["mean"]["minus_mean/mrr/mean"] is None
    assert by_method["best_view_oracle"]["note"] == "oracle"
    assert list(by_method["mean"])[-1] == "note"
    assert table(folder, "table/strata/views") == [
        {"stratum": "1", "method": "mean", "queries": 4, "recall@1": 0.0, "mrr": 0.5},
        {"stratum": "1", "method": "multi_vector", "queries": 4, "recall@1": 1.0, "mrr": 1.0},
    ]
    assert [row["skipped"] for row in table(folder, "table/sizes")] == [None, "too few SKUs"]
    assert table(folder, "curve/recall_by_bytes_table") == [{"form": "mean int8", "bytes_per_sku": 64, "recall": 0.25}]
    at_2 = {(row["method"], row["k"]): row["recall"] for row in table(folder, "curve/recall_by_cutoff_table")}
    assert (at_2["mean", 1], at_2["mean", 5], at_2["multi_vector", 1]) == (0, 1, 1)

    assert told["examples.captions"] == ["rank 1: sku0; answered sku0, sku1, sku2", caption(example(7, 2))]
    pictures = list(folder.glob("offline-run-*/files/media/images/examples_*.jpg"))
    assert len(pictures) == 2
    assert {Image.open(p).size for p in pictures} == {sheet(example(1, 0)).size}


def test_logging_again_replaces_and_absent_parts_are_left_out(tmp_path, metrics):
    log(tmp_path, metrics, [example(1, 0)])
    folder = log(tmp_path, {"image": {"mean": {"mrr": 0.25}}}, [])
    told = summary(folder)  # of the one run that is there
    assert {k: v for k, v in told.items() if "/" in k} == {"eval/mean/mrr": 0.25} | {
        k: v for k, v in told.items() if k.startswith("table/image.")
    }
    assert table(folder, "table/image") == [{"method": "mean", "mrr": 0.25}]


def test_an_open_training_run_stays_out_of_it(tmp_path):
    import wandb

    training = wandb.init(project="shop", id="training", dir=str(tmp_path), mode="offline", reinit="create_new")
    folder = log(tmp_path / "evaluate", {"image": {"mean": {"mrr": 0.25}}}, [])
    training.finish()
    assert [r.run.run_id for r in records(folder) if r.HasField("run")] == ["0123456789ab"]


def test_online_without_login_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="wandb login"):
        log(tmp_path, {"image": {"mean": {"mrr": 0.25}}}, [], offline=False)


def test_numbers_and_rows():
    found = {
        "image": {"a": {"mrr": 0.5, "gap_closed": {"mrr": None}, "note": "oracle"}},
        "text": {"a": {"mrr": 0.25}}, "gap": {"image": {"mrr": 0.1}}, "strata": {"views": {"1": {"queries": 9}}},
        "sizes": [{"mrr": 0.5}], "run": {"seed": 1},
    }  # fmt: skip
    assert figures(found) == {"eval/a/mrr": 0.5, "eval_text/a/mrr": 0.25, "gap/image/mrr": 0.1}
    assert rows(found) == {
        "image": [{"method": "a", "mrr": 0.5, "note": "oracle"}], "text": [{"method": "a", "mrr": 0.25}],
        "sizes": [{"mrr": 0.5}],
    }  # fmt: skip
    assert flat({"a": {"b": {"c": 1}}, "d": None}) == {"a/b/c": 1}
    assert columns([{"note": "", "x": 1}, {"y": 2, "x": 3}]) == ["x", "y", "note"]


def test_a_sheet_frames_the_right_answer():
    page = sheet(example(2, 1))
    tile = [8 + column * 176 for column in range(5)]  # query, truth, three answers
    assert page.size == (8 + 5 * 176, 168 + 16 + 18)
    frames = [page.getpixel((left - 3, 50)) for left in tile]
    assert frames == [(255, 255, 255)] * 3 + [(0x2A, 0x9D, 0x8F)] + [(255, 255, 255)]
    red, green, blue = page.getpixel((tile[1] + 84, 8 + 84))
    assert red > 200 > 60 > max(green, blue)
    assert decode(uri("red", 400, 200)).size == (400, 200)
    assert sheet(example(2, 1) | {"query": uri("red", 400, 200)}).size == page.size  # larger pictures are shrunk


def test_files_are_where_the_caller_stands(tmp_path, metrics, monkeypatch):
    """Wandb writes from a process of its own, which stands where the first run of this process began."""
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        monkeypatch.chdir(tmp_path / place)
        log(Path("logged"), metrics, [])
        assert list((tmp_path / place / "logged" / "wandb").glob("offline-run-*/*.wandb"))
