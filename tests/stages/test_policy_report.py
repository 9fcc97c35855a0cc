"""stage=policy_report on hand-made labels and a hand-made policy: every figure can be worked out."""

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from skufp.actions.quality import FEATURES
from skufp.artifacts.actions import ActionLabels, ActionNames, answers_table
from skufp.artifacts.folder import write_json
from skufp.artifacts.vectors import VectorTable
from skufp.errors import UserError
from skufp.models.adapter import Adapter
from skufp.models.policy import ActionPolicy
from skufp.modules.encoder_folder import INDEX_MARKS, encoder_marks
from skufp.serve.assembly import Sources, assemble
from skufp.stages import policy_report
from skufp.stages.policy_report.latency import siglip_base

DIM = 32
SPECS = {
    "identity": {"_target_": "skufp.actions.identity.Identity"},
    "exposure": {"_target_": "skufp.actions.exposure.Exposure"},
    "sharpen": {"_target_": "skufp.actions.sharpen.Sharpen"},
}
ACTIONS = [*SPECS, "adapt"]
# The first feature tells the policy what to do: 0 nothing, 1 exposure, 2 adapt. Of 15 queries it acts on 8.
CUE = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2])
# Of what it acts on, exposure helps four from rank 4 to 1 and takes one from 1 to 8; adapt takes three from 4 to 2.
RANKS = np.full((15, 4), 4)
RANKS[7:11, 1] = 1
RANKS[11, :2] = 1, 8
RANKS[12:, 3] = 2
TWINS = RANKS.copy()
TWINS[0, 2] = 1  # the oracle believes its twin, and gets nothing: on the query itself sharpen changes nothing


def _labels(world: SimpleNamespace) -> ActionLabels:
    queries = VectorTable.load(world.inputs["embed"]).where(domain="query")
    rows = queries.rows.select(["split", "sku_id", "pair_id", "view_id", "image_path"]).to_pylist()
    table = [r | {"fold": -1, "twin": twin} for twin in (False, True) for r in rows]
    quality = np.zeros((30, len(FEATURES)), np.float32)
    quality[:, 0] = np.tile(CUE, 2)
    ranks = np.concatenate([RANKS, TWINS])
    about = ActionNames(list(ACTIONS), SPECS, list(FEATURES), _mark(world), 1.0)
    answers = answers_table(ranks, np.zeros(ranks.shape), np.zeros(ranks.shape), ACTIONS)
    numbered = pa.Table.from_pylist([{"number": i} | r for i, r in enumerate(table)])
    return ActionLabels(numbered, np.tile(queries.vectors, (2, 1)), quality, answers, about)


def _mark(world: SimpleNamespace) -> str:
    return encoder_marks(world.inputs["retriever"] / "encoder")["fingerprint"]


def _policy(mark: str) -> ActionPolicy:
    """Has learnt by heart that exposure gains 0.8 where the cue is 1, and adapt where it is 2."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ActionPolicy(ACTIONS, FEATURES, DIM, SPECS, mark, members=1, bottleneck=0, hidden=8, dropout=0.0)
    told = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.8, 0.0, 0.0], [0.0, 0.0, 0.0, 0.8]])
    features = torch.zeros(3, len(FEATURES))
    features[:, 0] = torch.arange(3)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.03)
    for _ in range(300):
        optimiser.zero_grad()
        (network(torch.zeros(3, DIM), features) - told).square().sum().backward()
        optimiser.step()
    network.price.copy_(torch.tensor([0.0, 0.1, 0.1, 0.0]))
    network.threshold.fill_(0.2)
    return network


@pytest.fixture(scope="module")
def inputs(world: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny chain's folders, with photos that an action can change, labels, adapter and policy."""
    folder = tmp_path_factory.mktemp("policy")
    names = {name: folder / name for name in ("prepare", "index", "actions", "policy")}
    shutil.copytree(world.inputs["index"], names["index"])
    write_json(names["index"] / INDEX_MARKS, encoder_marks(world.inputs["retriever"] / "encoder"))
    for path in names.values():
        path.mkdir(exist_ok=True)
    rng = np.random.default_rng(2)
    for path in VectorTable.load(world.inputs["embed"]).rows["image_path"].to_pylist():
        Image.fromarray(rng.integers(0, 100, (48, 40, 3), np.uint8)).save(names["prepare"] / path)
    _labels(world).save(names["actions"])
    Adapter.unchanged(DIM).save(names["actions"])
    _policy(_mark(world)).save(names["policy"])
    stages = {name: (world.inputs | names)[name] for name in ("retriever", "embed", "fingerprint", "index")}
    assemble(Sources(stages, ["validation"]), folder / "bundle", leave_out=["aggregator", "thumbnails"])
    return world.inputs | names | {"bundle": folder / "bundle"}


@pytest.fixture(scope="module")
def cfg(world: SimpleNamespace) -> Any:
    stage = OmegaConf.create({"bootstrap": 200, "photos": 3, "examples": 2})
    added = {"actions": {"name": "tiny"}, "threads": 1, "stages": {"policy_report": stage}, "data": {"max_side": 640}}
    return OmegaConf.merge(world.cfg, added)


@pytest.fixture(scope="module")
def folder(cfg: Any, inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("policy_report")
    policy_report.run(cfg, inputs, out)
    return out


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "report.json").read_text())


def test_what_is_compared(report: dict[str, Any]) -> None:
    assert list(report["choices"]) == [*ACTIONS, "random", "policy", "oracle", "hindsight"]
    assert report["actions"] == ACTIONS
    assert report["queries"] == {"split": "validation", "images": 15, "skus": 6, "gallery": 8}
    assert report["policy"]["threshold"] == pytest.approx(0.2)
    assert report["policy"]["price"] == pytest.approx({"identity": 0, "exposure": 0.1, "sharpen": 0.1, "adapt": 0})


def test_the_name_of_the_data_cannot_become_markup(cfg: Any, inputs: dict[str, Path], tmp_path: Path) -> None:
    evil = "<script>x()</script>"
    policy_report.run(OmegaConf.merge(cfg, {"data": {"label": evil}}), inputs, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert evil not in page
    assert page.count("&lt;script&gt;x()&lt;/script&gt;") == 2


def test_figures_by_hand(report: dict[str, Any]) -> None:
    rows = report["choices"]
    mrr = {name: 15 * row["mrr"] for name, row in rows.items()}
    assert mrr["identity"] == pytest.approx(14 / 4 + 1)
    assert mrr["policy"] == pytest.approx(7 / 4 + 4 + 1 / 8 + 3 / 2)
    assert mrr["oracle"] == mrr["hindsight"] == pytest.approx(7 / 4 + 4 + 1 + 3 / 2)
    assert rows["policy"]["acted"] == pytest.approx(8 / 15)
    assert rows["oracle"]["acted"] == pytest.approx(8 / 15)  # the first by its twin, not the twelfth
    assert rows["hindsight"]["acted"] == pytest.approx(7 / 15)
    assert rows["policy"]["regret"]["mean"] == pytest.approx((1 - 1 / 8) / 15)
    assert rows["policy"]["recall@1"] == pytest.approx(4 / 15)


def test_confusion_is_of_policy_and_oracle(report: dict[str, Any]) -> None:
    assert report["confusion"] == [[6, 0, 1, 0], [1, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 3]]


def test_ranks_are_kept_query_by_query(folder: Path, report: dict[str, Any], world: SimpleNamespace) -> None:
    table = pq.read_table(folder / "ranks.parquet")
    asked = VectorTable.load(world.inputs["embed"]).where(domain="query").rows
    assert table["view_id"].to_pylist() == asked["view_id"].to_pylist()
    assert table["policy"].to_pylist() == ["identity"] * 7 + ["exposure"] * 5 + ["adapt"] * 3
    assert table["oracle"].to_pylist()[0] == "sharpen"
    np.testing.assert_allclose(table["predicted_gain"].to_numpy(), [0] * 7 + [0.7] * 5 + [0.8] * 3, atol=0.02)
    for name, row in report["choices"].items():
        if name != "random":
            assert (1 / table[f"rank_{name}"].to_numpy()).mean() == pytest.approx(row["mrr"])


def test_latency_adds_up(report: dict[str, Any]) -> None:
    times = report["latency"]
    assert (times["photos"], times["size"], times["threads"]) == (3, [40, 48], 1)
    assert set(times["actions"]) == set(times["fixed"]) == {"exposure", "sharpen", "adapt"}
    assert times["fixed"]["exposure"]["p50_ms"] > times["actions"]["exposure"]["p50_ms"]  # encoding again
    assert times["fixed"]["adapt"] == times["actions"]["adapt"]
    assert times["look"]["p50_ms"] >= max(times["features"]["p50_ms"], times["policy"]["p50_ms"])
    for part in ("encode", "siglip_encode"):
        assert times["share"][part] == pytest.approx(times["look"]["p50_ms"] / times[part]["p50_ms"])


def test_siglip_is_timed_at_its_real_size() -> None:
    encoder = siglip_base()
    assert sum(p.numel() for p in encoder.model.vision_model.parameters()) == 92_884_224  # siglip2-base-patch16-224
    assert encoder.preprocessing.size == 224


def test_report_stands_alone_and_shows_help_and_harm(folder: Path) -> None:
    page = (folder / "report.html").read_text()
    assert 'src="http' not in page
    assert page.count("data:image/svg+xml;base64,") == 2
    assert page.count('class="example"') == 3  # two that it helped, one that it hurt
    helped, hurt = page.split("Where it hurt most")
    assert helped.count("<b>exposure</b>: rank 4 → 1") == 2
    assert "<b>exposure</b>: rank 1 → 8" in hurt


def test_shown_tables_fit_80_columns(cfg: Any, folder: Path) -> None:
    console = Console(width=80, file=io.StringIO())
    policy_report.show(cfg, folder, console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    tables = text.split("Identity → oracle")[0].splitlines()
    assert all(len(line) <= 80 and "…" not in line for line in tables)
    assert sum(line.startswith(" policy ") for line in tables) == 2
    assert "upper bound that noise flatters" in text
    assert "model=siglip" in text


@pytest.mark.slow
def test_a_policy_that_never_acts_has_a_report(cfg: Any, inputs: dict[str, Path], world: Any, tmp_path: Path) -> None:
    network = _policy(_mark(world))
    network.threshold.fill_(float("inf"))
    (tmp_path / "policy").mkdir()
    network.save(tmp_path / "policy")
    one = OmegaConf.merge(cfg, {"stages": {"policy_report": {"photos": 1}}})
    policy_report.run(one, inputs | {"policy": tmp_path / "policy"}, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["policy"]["threshold"] is None
    assert report["choices"]["policy"]["acted"] == 0
    assert report["choices"]["policy"]["mrr"] == report["choices"]["identity"]["mrr"]
    assert report["latency"]["added"]["acts"] == {}
    assert "never acts" in (tmp_path / "report.html").read_text()
    policy_report.show(cfg, tmp_path, Console(width=80, file=io.StringIO()))


def test_a_split_without_queries_is_refused(cfg: Any, inputs: dict[str, Path]) -> None:
    other = OmegaConf.merge(cfg, {"data": {"queries": "test"}})
    with pytest.raises(UserError, match="has no user photos: nothing to measure"):
        policy_report.load_labels(other, inputs["actions"])


def test_labels_of_other_actions_are_refused(world: SimpleNamespace) -> None:
    labels = _labels(world)
    labels.about.actions[1:3] = ["sharpen", "exposure"]
    with pytest.raises(UserError, match="other actions"):
        policy_report.decide(_policy(_mark(world)), labels, labels)
