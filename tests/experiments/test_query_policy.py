"""Policy reports joined over seeds, and what is said of them: every figure by hand from made-up ranks."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir

from skufp.arguments import quote
from skufp.artifacts.folder import Manifest, write_json
from skufp.pipeline import plan
from skufp.schema import register_schema

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = (
    "collect",
    "figures",
    "tables",
    "generated_views",
    "views_table",
    "query_policy",
    "policy_table",
    "report",
    "summaries",
)
ACTIONS = ["identity", "blur", "exposure", "adapt"]
SKUS = [f"s{i:02d}" for i in (*range(10), 10, 10)]  # of the twelve queries: the last two ask for one SKU
RANKS = {"identity": [2] * 12, "blur": [4] * 12, "exposure": [4] * 6 + [1] * 4 + [4] * 2, "adapt": [1] * 6 + [2] * 6}
ORACLE = ["adapt"] * 6 + ["exposure"] * 4 + ["identity"] * 2  # rank 1 ten times, then rank 2
CHOSEN = [  # by the policy of each seed; MRR 9/12 and 7.5/12, identity's is 6/12
    ["adapt"] * 8 + ["identity"] * 4,
    ["adapt"] * 4 + ["exposure"] * 2 + ["identity"] * 6,
]
GAINS = [0.5] * 4 + [0.125] * 2 + [0.0] * 6  # the policy's over identity, mean of both seeds
FROZEN = ["model.training.steps=0", "aggregator=mean"]
README = "# A title\n\n<!-- results: made by a script -->\nold\n<!-- /results -->\n"


class Runs:
    """A runs/ folder with policy reports and the labels that they stand on, of made-up ranks."""

    def __init__(self, root: Path) -> None:
        self.root, self.count = root, 0

    def report(
        self, seed: int, chosen: list[str], oracle: list[str] = ORACLE, steps: int = 3, ridge: float | None = 10.0,
        share: float = 0.01, queries: list[str] | None = None, threshold: float | None = 0.1, model: str = "tiny",
    ) -> Path:  # fmt: skip
        """A finished policy report; return its folder. The rows of odd seeds are in another order."""
        self.count += 1
        folders = {stage: self.root / stage / f"one-{self.count:012d}" for stage in ("actions", "policy_report")}
        inputs: dict[str, str] = {}
        for stage, folder in folders.items():
            folder.mkdir(parents=True)
            config = {"fingerprint_seed": seed, "stage": {"seed": seed, "steps": steps}}
            Manifest(stage, f"{self.count:012d}", inputs, config, "0", 1, 0).write(folder)
            inputs = {stage: f"{self.count:012d}"}
        write_json(folders["actions"] / "report.json", {"queries": {"train": 120 + seed, "dev": 60}, "ridge": ridge})
        report = {
            "run": {"data": "one", "model": model, "seed": 0, "fingerprint_seed": seed}, "actions": ACTIONS,
            "queries": {"split": "validation", "images": 12, "skus": 11, "gallery": 20},
            "policy": {"threshold": threshold},
            "latency": {"size": [150, 200], "share": {"siglip_encode": share, "encode": 0.125}},
        }  # fmt: skip
        write_json(folders["policy_report"] / "report.json", report)
        picked = {"policy": chosen, "oracle": oracle}
        ranks = RANKS | {who: [RANKS[name][q] for q, name in enumerate(names)] for who, names in picked.items()}
        table = pa.table({
            "split": ["validation"] * 12, "sku_id": SKUS, "view_id": queries or [f"q{q:02d}" for q in range(12)],
            **picked, **{f"rank_{name}": of for name, of in ranks.items()},
        })  # fmt: skip
        pq.write_table(
            table.take(list(range(12))[:: -1 if seed % 2 else 1]), folders["policy_report"] / "ranks.parquet"
        )
        return folders["policy_report"]

    def sweep(self, day: int, folders: dict[int, Path], overrides: list[str]) -> None:
        """A finished multirun over seeds."""
        sweep = self.root / "sweeps" / f"2026-01-{day:02d}_00-00-00-1"
        sweep.mkdir(parents=True)
        for seed, folder in folders.items():
            given = ["data=one", "model=tiny", *overrides, f"fingerprint_seed={seed}"]
            job = {"sweep": "policy", "overrides": given, "stage": "policy_report", "folder": str(folder)}
            write_json(sweep / f"job-{seed:03d}.json", job)


def _two_seeds(runs: Runs, day: int = 1, overrides: list[str] = FROZEN, **changes: Any) -> list[Path]:
    folders = {seed: runs.report(seed, CHOSEN[seed], **changes) for seed in range(2)}
    runs.sweep(day, folders, overrides)
    return list(folders.values())


@pytest.fixture
def found(scripts: SimpleNamespace, tmp_path: Path) -> dict[str, Any]:
    result: dict[str, Any] = scripts.query_policy.joined(_two_seeds(Runs(tmp_path)))
    return result


# ---- Figures ----


def test_figures_by_hand(found: dict[str, Any]) -> None:
    rows = found["choices"]
    assert list(rows) == [*ACTIONS, "random", "policy", "oracle"]
    policy = rows["policy"]
    assert policy["mrr"] == pytest.approx((9 + 7.5) / 24)
    assert (policy["recall@1"], policy["recall@5"], policy["recall@10"]) == pytest.approx((10 / 24, 1, 1))
    assert policy["minus_identity"]["mrr"]["mean"] == pytest.approx(4.5 / 24)
    assert policy["seeds"] == pytest.approx([3 / 12, 1.5 / 12])
    assert (policy["acted"], policy["acted_seeds"]) == (pytest.approx(14 / 24), pytest.approx([8 / 12, 6 / 12]))
    assert policy["gap_closed"]["mrr"]["mean"] == pytest.approx((4.5 / 24) / (5 / 12))
    assert policy["regret"]["mean"] == pytest.approx(5 / 12 - 4.5 / 24)
    assert rows["oracle"]["minus_identity"]["mrr"]["mean"] == pytest.approx(5 / 12)
    assert rows["random"]["mrr"] == pytest.approx((6 + 3 + 6 + 9) / 12 / 4)
    assert (rows["random"]["acted"], rows["adapt"]["acted"], rows["identity"]["acted"]) == (0.75, 1, 0)
    assert rows["oracle"]["acted"] == pytest.approx(10 / 12)


def test_intervals_resample_skus_query_by_query_over_seeds(found: dict[str, Any]) -> None:
    """Two queries of one SKU go together, and both sides of the share are of one resample."""
    numbers = np.unique(SKUS, return_inverse=True)[1]
    gap, rng = [0.5] * 10 + [0.0] * 2, np.random.default_rng(0)
    gains, shares = [], []
    for _ in range(200):
        drawn = [q for sku in rng.integers(0, 11, 11) for q in range(12) if numbers[q] == sku]
        gains.append(sum(GAINS[q] for q in drawn) / len(drawn))
        shares.append(sum(GAINS[q] for q in drawn) / sum(gap[q] for q in drawn))
    policy = found["choices"]["policy"]
    for i, expected in ((policy["minus_identity"]["mrr"], gains), (policy["gap_closed"]["mrr"], shares)):
        assert (i["low"], i["high"]) == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))


def test_what_else_is_kept(found: dict[str, Any]) -> None:
    assert found["best_image"] == "exposure"  # adapt ranks better and is no action on photos
    assert {name: i["mean"] for name, i in found["policy_minus"].items()} == pytest.approx(
        {"exposure": 4.5 / 24, "adapt": 4.5 / 24 - 3 / 12}
    )
    assert found["chosen"]["policy"] == {"identity": [4, 6], "blur": [0, 0], "exposure": [0, 2], "adapt": [8, 4]}
    assert found["chosen"]["oracle"] == {"identity": [2, 2], "blur": [0, 0], "exposure": [4, 4], "adapt": [6, 6]}
    assert (found["seeds"], found["labels"], found["ridge"]) == (2, {"train": [120, 121], "dev": [60, 60]}, [10, 10])
    assert found["latency"] == {"photo": [150, 200], "siglip_encode": [0.01, 0.01], "encode": [0.125, 0.125]}


def test_without_a_gap_no_share_of_it(scripts: SimpleNamespace, tmp_path: Path) -> None:
    found = scripts.query_policy.joined(_two_seeds(Runs(tmp_path), oracle=["identity"] * 12))
    assert found["choices"]["policy"]["gap_closed"]["mrr"] is None
    assert "closed: **undecided**: n/a." in scripts.policy_table.aims(found)[1]
    assert " n/a of the gap to the oracle closed" in scripts.policy_table.in_short(found)


def test_seeds_with_other_queries_are_refused(scripts: SimpleNamespace, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    folders = [runs.report(0, CHOSEN[0]), runs.report(1, CHOSEN[1], queries=[f"r{q:02d}" for q in range(12)])]
    with pytest.raises(SystemExit, match="the seeds of one setting have different queries"):
        scripts.query_policy.joined(folders)


# ---- What counts as one setting ----


@pytest.mark.parametrize(
    ("overrides", "label", "file"),
    [
        (["data=one", "model=tiny", "stage=policy_report", "fingerprint_seed=3", "runs=elsewhere", "threads=1",
          "data.root=/a/place", "policy=default", "stages.policy_report.photos=3", "logger=wandb"],
         "", "policy-one-tiny-validation"),
        (["aggregator=mean", "model.training.steps=0"], "frozen (training.steps 0), aggregator=mean",
         "policy-one-tiny-validation-frozen-training.steps-0-aggregator-mean"),
        (["+policy.price.background=0.05", "model.training.steps=9"],
         "model.training.steps=9, policy.price.background=0.05",
         "policy-one-tiny-validation-model.training.steps-9-policy.price.background-0.05"),
    ],
)  # fmt: skip
def test_a_setting_is_named_by_what_was_given(
    scripts: SimpleNamespace, overrides: list[str], label: str, file: str
) -> None:
    assert scripts.query_policy.differing(overrides) == label
    assert scripts.query_policy.file_name(("one", "tiny", "validation"), label) == file


def test_seeds_join_where_everything_else_is_equal(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """A later run of a seed counts; one with other settings begins anew; what was given beside is apart."""
    runs = Runs(tmp_path)
    first = _two_seeds(runs, day=1)
    again = runs.report(1, CHOSEN[0])
    runs.sweep(2, {1: again}, [*reversed(FROZEN), "threads=2"])
    default = _two_seeds(runs, day=3, overrides=[])
    changed = _two_seeds(runs, day=4, overrides=["actions=few"])
    newer = runs.report(0, CHOSEN[0], steps=4)
    runs.sweep(5, {0: newer}, ["actions=few"])
    variants = scripts.query_policy.policies(runs.root)["one", "tiny", "validation"]
    assert {label: list(v.folders.values()) for label, v in variants.items()} == {
        "frozen (training.steps 0), aggregator=mean": [first[0], again], "": default, "actions=few": [newer],
    }  # fmt: skip
    assert changed[0].exists()
    assert scripts.collect.sweeps(runs.root) == {}  # they are no evaluations


# ---- What is said ----


def test_the_verdicts(scripts: SimpleNamespace, found: dict[str, Any]) -> None:
    said = scripts.policy_table.verdicts(found)
    assert said[0].startswith("The policy **is better** than identity: MRR +0.18")
    assert said[0].endswith(
        "(by seed +0.125 to +0.250; 12 queries of 11 SKUs). It acts on 58 % of the queries (by seed 50 to 67 %)."
    )
    assert said[1] == "The aim, MRR above identity's with an interval that excludes 0: **met**."
    assert said[2].startswith("The aim, 40 % or more of the gap to the oracle (+0.417 [+0.")
    assert "closed: **met**: 45 % [" in said[2]
    assert said[3] == (
        "The aim, features and decision within 5 % of a SigLIP encoding: **met**: 1.0 % (by seed 1.0 to 1.0 %), and"
        " 12.5 % (by seed 12.5 to 12.5 %) of an encoding with this model; medians, photos of 150 x 200."
    )
    assert said[4].startswith(
        "MRR of the policy against actions that are always taken: minus exposure (best fixed on photos) +0.18"
    )
    assert "(no measurable difference), minus adapt -0.06" in said[4]
    assert said[5:] == [
        "Labelled queries of a seed: 120 to 121 of train, 60 of dev. Ridge of adapt: 10.",
        "Seeds of 2 whose policy acts at all: 2.",
    ]


def test_a_policy_that_never_acts(scripts: SimpleNamespace, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    folders = [runs.report(seed, ["identity"] * 12, ridge=None, threshold=None) for seed in range(2)]
    said = scripts.policy_table.verdicts(scripts.query_policy.joined(folders))
    assert said[0].startswith("The policy **is not measurably different** from identity: MRR +0.000 [+0.000, +0.000] (")
    assert "acts on 0 % of the queries (by seed 0 %)" in said[0]
    assert "**not met**: 0 % [0, 0]" in said[2]
    assert said[-2].endswith("Ridge of adapt: no change.")
    assert said[-1] == "Seeds of 2 whose policy acts at all: 0."


@pytest.mark.parametrize(
    ("low", "high", "skus", "closed", "share", "says", "met"),
    [
        (0.01, 0.03, 10, 0.40, [0.05], "**is better** than", ["**met**", "**met**", "**met**"]),
        (0.00, 0.04, 10, 0.39, [0.06], "**is not measurably different** from", ["**not met**"] * 3),
        (-0.03, -0.01, 10, -0.2, [0.01, 0.04, 0.9], "**is worse** than", ["**not met**", "**not met**", "**met**"]),
        (0.01, 0.03, 9, 0.50, [0.01], "Too few SKUs to tell", ["**undecided**", "**undecided**", "**met**"]),
    ],
)
def test_what_figures_say(
    scripts: SimpleNamespace, found: dict[str, Any], low: float, high: float, skus: int, closed: float,
    share: list[float], says: str, met: list[str],
) -> None:  # fmt: skip
    policy = found["choices"]["policy"]
    policy["minus_identity"]["mrr"] = {"mean": (low + high) / 2, "low": low, "high": high}
    policy["gap_closed"]["mrr"] = {"mean": closed, "low": closed, "high": closed}
    found["queries"]["skus"], found["latency"]["siglip_encode"] = skus, share
    assert says in scripts.policy_table.sentence(found)
    assert [line.split("**")[1] for line in scripts.policy_table.aims(found)] == [word.strip("*") for word in met]


def _row(text: str, start: str) -> list[str]:
    line = next(one for one in text.splitlines() if one.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_by_hand(scripts: SimpleNamespace, found: dict[str, Any]) -> None:
    table = scripts.policy_table.choices_table(found)
    names = [line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:9]]
    assert names == [
        "identity", "exposure (best fixed on photos)", "adapt", "blur", "random action", "**policy**", "oracle (twin)",
    ]  # fmt: skip
    policy = dict(zip(_row(table, "choice"), _row(table, "**policy**"), strict=True))
    assert (policy["acts"], policy["R@1"], policy["by seed"]) == ("58 %", "0.417", "+0.125 to +0.250")
    assert policy["gap closed (MRR)"].startswith("45 % [")
    assert policy["regret to the oracle"].startswith("+0.229 [")
    assert _row(table, "adapt")[-2:] == ["12", "12"]
    assert _row(table, "identity")[6:9] == ["", "", ""]
    assert _row(table, "oracle")[8:] == ["", "", "", ""]


# ---- In RESULTS.md and README ----


@pytest.fixture
def place(scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Where report.py is to write: a folder of its own."""
    readme, folder = tmp_path / "README.md", tmp_path / "experiments"
    folder.mkdir()
    readme.write_text(README, encoding="utf-8")
    for name, value in (("HERE", folder), ("SUMMARIES", folder / "results"), ("README", readme)):
        monkeypatch.setattr(scripts.report, name, value)

    def run(runs: Path) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["report.py", str(runs)])
        scripts.report.main()
        return (folder / "RESULTS.md").read_text(encoding="utf-8"), readme.read_text(encoding="utf-8")

    return SimpleNamespace(run=run, folder=folder, load=scripts.summaries.load)


def test_the_section_the_line_and_the_summaries(place: SimpleNamespace, tmp_path: Path) -> None:
    """A frozen encoder stands beside the default, and both stay when their runs are gone."""
    runs = Runs(tmp_path / "runs")
    _two_seeds(runs, day=1)
    _two_seeds(runs, day=2, overrides=[])
    said, readme = place.run(runs.root)
    section = said[said.index("## Query action policy") :]
    titles = [line for line in section.splitlines() if line.startswith("### ")]
    frozen = "one · tiny, frozen (training.steps 0), aggregator=mean · validation"
    assert sorted(titles) == sorted([f"### {frozen}", "### one · tiny · validation"])
    assert "12 photos of 11 SKUs, gallery of 20 SKUs, 2 seed(s)." in section
    assert "- The policy **is better** than identity" in section
    assert _row(section, "**policy**")[2] == "0.417"
    assert f"- {frozen}: MRR minus identity's +0.18" in readme
    assert "old" not in readme
    files = sorted(path.name for path in (place.folder / "results").iterdir())
    assert files == [
        "policy-one-tiny-validation-frozen-training.steps-0-aggregator-mean.parquet",
        "policy-one-tiny-validation.parquet",
    ]
    kept = place.load(place.folder / "results" / files[1])
    assert (kept["data"], kept["model"], kept["split"], kept["differs"]) == ("one", "tiny", "validation", "")
    assert place.run(tmp_path / "no runs any more") == (said, readme)


# ---- The sweep itself ----


def test_seeds_share_the_retriever_and_have_labels_of_their_own() -> None:
    register_schema()
    keys = []
    for seed in (0, 1):
        with initialize_config_dir(str(REPOSITORY / "experiments"), version_base="1.3"):
            conf = f"hydra.searchpath=[{quote(f'file://{REPOSITORY}/conf')}]"
            cfg = compose("policy", [conf, f"fingerprint_seed={seed}"])
        assert cfg.stage == "policy_report"
        keys.append({step.name: step.key for step in plan(cfg)})
    shared = {stage for stage in keys[0] if keys[0][stage] == keys[1][stage]}
    assert {"prepare", "retriever", "embed"} <= shared
    assert not {"actions", "policy", "policy_report"} & shared


# ---- The data's own name ----


def test_data_is_called_as_the_job_calls_it(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """A folder that was made under another label is reused: the job's label stands in tables and file names."""
    _two_seeds(Runs(tmp_path))
    (sweep,) = (tmp_path / "sweeps").iterdir()
    for path in sweep.glob("job-*.json"):
        job = json.loads(path.read_text())
        job["data"] = "Luma 2026/spring"
        path.write_text(json.dumps(job))
    ((name, variants),) = scripts.query_policy.policies(tmp_path).items()
    assert name == ("Luma 2026/spring", "tiny", "validation")
    assert scripts.query_policy.file_name(name, "") == "policy-Luma_2026_spring-tiny-validation"
    assert scripts.query_policy.summarise(name, next(iter(variants.values())))["data"] == "Luma 2026/spring"
