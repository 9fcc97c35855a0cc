"""From runs/ to RESULTS.md, its figures and README's table: every figure by hand from made-up ranks."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skufp.artifacts.folder import Manifest, write_json
from skufp.reports.teachers import Choice, summary
from skufp.retrieval.comparison import Method, by_stratum, compare, view_count_stratum
from skufp.retrieval.teacher import PairScores

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
MODULES = ("collect", "figures", "tables", "generated_views", "views_table", "query_policy", "policy_table", "report")
NEEDS: dict[str, list[str]] = {
    "prepare": [], "retriever": ["prepare"], "embed": ["prepare", "retriever"], "teacher": ["embed"],
    "fingerprint": ["embed", "teacher"], "index": ["retriever", "embed", "fingerprint"],
    "evaluate": ["prepare", "retriever", "embed", "fingerprint", "index"],
}  # fmt: skip
KINDS = ("image", "text", "rich_text")
SKUS = ["a", "a", "b", "b", "c", "d"]  # of the six queries, q0 to q5
VIEWS = [1, 1, 2, 2, 4, 7]  # real ones
DRAWN = {
    "candidates": 12,
    "kept": 6,
    "share": 0.5,
    "by_views": {},
    "planted": {},
    "train_loss": None,
    "notes": ["few"],
    "distances": {"kept": None, "classic": None, "real": None},
    "beyond_classic": {"median": 0.5, "p90": 0.25},
}
MEAN, MULTI = [2, 2, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1]
README = "# A title\n\n<!-- results: made by a script -->\nold\nrows\n<!-- /results -->\n\nThe rest, \\1 and \\g<0>.\n"
Ranks = dict[str, list[int]]


def _ranks(fingerprint: list[int], mean: list[int] = MEAN, multi_vector: list[int] = MULTI) -> Ranks:
    return {"first_view": [4] * len(mean), "mean": mean, "multi_vector": multi_vector, "fingerprint": fingerprint}


class Runs:
    """A runs/ folder as the pipeline leaves it, with made-up ranks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.count = 0

    def evaluation(
        self, ranks: Ranks, seed: int = 0, data: str = "one", ablation: str = "none", texts: Ranks | None = None,
        queries: list[str] | None = None, version: int = 1, proof: dict[str, Any] | None = None, shuffle: bool = False,
        views: str = "none", take: str = "generated", labels: Ranks | None = None,
    ) -> Path:  # fmt: skip
        """A finished evaluation and all that it stands on; return its folder. Drawn views: one joins each SKU."""
        self.count += 1
        inputs: dict[str, str] = {}
        stages = NEEDS if views == "none" else {"views": []} | NEEDS | {"embed": [*NEEDS["embed"], "views"]}
        for stage, needs in stages.items():
            key = f"{stage[:2]}{self.count:010d}"
            folder = self.root / stage / f"{data}-tiny-{key}"
            folder.mkdir(parents=True)
            config = {"data.name": data, "ablation": ablation, "version": version, "fingerprint_seed": seed}
            own = {need: inputs[need] for need in needs}
            if stage == "embed":
                config |= {"views.name": views, "views.take": take}
                made = pa.table({"split": ["validation"] * 4, "sku_id": [*"abcd"], "generated": [views != "none"] * 4})
                pq.write_table(made, folder / "rows.parquet")
            Manifest(
                stage, key, own, config | {"stage": {"seed": seed, "steps": 3}}, "0", version, 0, wall_seconds=1.25
            ).write(folder)
            inputs[stage] = key
            if stage == "views":
                write_json(folder / "report.json", DRAWN)
            if stage == "teacher":
                write_json(folder / "report.json", {"choose": "best", "folds": 2, "seed": 0} | _teachers())
            if stage == "fingerprint" and proof:
                write_json(folder / "proof.json", proof)
        self._write(folder, ranks, texts, queries or [f"q{i}" for i in range(6)], seed, data, ablation, shuffle, labels)
        return folder

    def _write(
        self, folder: Path, ranks: Ranks, texts: Ranks | None, queries: list[str], seed: int, data: str, ablation: str,
        shuffle: bool, labels: Ranks | None,
    ) -> None:  # fmt: skip
        sku = np.unique(SKUS, return_inverse=True)[1]
        photo, text, rich = (_methods(r) if r else [] for r in (ranks, texts, labels))
        strata = by_stratum(photo, view_count_stratum(np.array(VIEWS)), sku, 10, 0)
        rows = {kind: compare(m, sku, 10, 0) if m else {} for kind, m in zip(KINDS, (photo, text, rich), strict=True)}
        times = {"p50_ms": 20.0 + seed, "p95_ms": 30.0}
        metrics: dict[str, Any] = {
            "run": {
                "data": data, "model": "tiny", "aggregator": "attention", "index": "flat", "ablation": ablation,
                "seed": 0, "fingerprint_seed": seed,
            },
            "gallery": {"splits": ["validation"], "skus": 9, "views": 30},
            "queries": {"split": "validation", "images": 6, "skus": 4, "texts": 6 if text else 0},
            **rows,
            "gap": {kind: row["multi_vector"]["minus_mean"] for kind, row in rows.items() if row},
            "strata": {"views": strata, "sibling_style_in_gallery": strata},
            "sizes": [
                {"vectors": v, "dims": d, "kind": k, "bytes_per_sku": 4 * d, "recall@1": 0.5, "mrr": 0.1 * (1 + seed)}
                for v in ("fingerprint", "mean") for k in ("flat", "int8") for d in (64, 128)
            ] + [{"vectors": "mean", "dims": 64, "kind": "pq", "skipped": "too few vectors"}],
            "latency": {"encode": times, "search": {"p50_ms": 0.125, "p95_ms": 0.25}},
        }  # fmt: skip
        write_json(folder / "metrics.json", metrics)
        columns = {"split": ["validation"] * 6, "sku_id": SKUS, "views": VIEWS, "sibling": [False] * 6}
        order = [3, 0, 5, 1, 4, 2] if shuffle else range(6)
        files = (("ranks", "view_id", ranks), ("ranks_text", "text", texts), ("ranks_rich_text", "text", labels))
        for file, name, of in files:
            if of:
                table = pa.table(columns | {name: queries} | {f"rank_{m}": r for m, r in of.items()})
                pq.write_table(table.take(list(order)), folder / f"{file}.parquet")

    def sweep(self, time: str, name: str, jobs: dict[Path, list[str]], params: dict[str, str] | None = None) -> None:
        """A finished multirun: its jobs' evaluations and overrides."""
        folder = self.root / "sweeps" / time
        folder.mkdir(parents=True)
        (folder / "multirun.yaml").write_text(json.dumps({"hydra": {"sweeper": {"params": params}}}))
        for number, (evaluation, overrides) in enumerate(jobs.items()):
            job = {"sweep": name, "overrides": overrides, "stage": "evaluate", "folder": str(evaluation)}
            write_json(folder / f"job-{number:03d}.json", job)


def _methods(ranks: Ranks) -> list[Method]:
    costs = {"multi_vector": 3.5}
    search = {"p50_ms": 0.5, "p95_ms": 0.75}
    return [Method(m, np.array(r), costs.get(m, 1.0), 256 * costs.get(m, 1.0), search) for m, r in ranks.items()]


def _teachers() -> dict[str, Any]:
    """As the teacher stage reports: SKU 0 has two views and two queries, SKU 1 one of each, SKU 2 no query.

    By the mean both of SKU 0's queries rank 2; cross-fitted the first stays, in sample the second ranks 1.
    """
    pairs = PairScores(
        query=np.array([0, 0, 1, 1, 2]), view=np.array([0, 1, 0, 1, 2]), rank=np.array([1, 2, 5, 1, 4]),
        margin=np.zeros(5), rank_of_mean=np.array([2, 2, 4]),
    )  # fmt: skip
    of_view, viewpoint = np.array([0, 0, 1, 2]), np.array([2, 3, 2, 1])
    teachers = np.array([[1, 2, -1], [1, -1, -1], [0, 2, -1]])
    report: dict[str, Any] = summary(
        Choice(pairs, of_view, viewpoint, np.array([0, 0, 1]), np.array([0, 1, 0]), teachers, np.zeros(4, bool)), 0
    )
    return report


def _place(scripts: SimpleNamespace, root: Path, patch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Where report.py is to write: a folder of its own. ``run`` runs it on a runs/ folder and returns RESULTS.md."""
    readme, folder = root / "README.md", root / "experiments"
    folder.mkdir()
    readme.write_text(README, encoding="utf-8")
    patch.setattr(scripts.report, "HERE", folder)
    patch.setattr(scripts.report, "SUMMARIES", folder / "results")
    patch.setattr(scripts.report, "README", readme)
    patch.setattr(scripts.figures, "FOLDER", folder / "figures")

    def run(runs: Path) -> str:
        patch.setattr(sys, "argv", ["report.py", str(runs)])
        scripts.report.main()
        return (folder / "RESULTS.md").read_text(encoding="utf-8")

    return SimpleNamespace(run=run, readme=readme, folder=folder)


@pytest.fixture
def place(scripts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    return _place(scripts, tmp_path, monkeypatch)


def _summary(collect: ModuleType, runs: Runs, sweep: str = "seeds", data: str = "one") -> dict[str, Any]:
    name = (sweep, data, "tiny", "validation")
    result: dict[str, Any] = collect.summarise(name, collect.sweeps(runs.root)[name])
    return result


def _two_seeds(runs: Runs, first: list[int], second: list[int], **changes: Any) -> None:
    """The sweep `seeds` over two seeds."""
    jobs = {
        runs.evaluation(_ranks(first), 0, **changes): ["fingerprint_seed=0", "data=one", "threads=1"],
        runs.evaluation(_ranks(second), 1, shuffle=True, **changes): ["fingerprint_seed=1", "data=one", "threads=1"],
    }
    runs.sweep("2026-01-01_00-00-00-1", "seeds", jobs, {"fingerprint_seed": "range(2)"})


# ---- Seeds are joined query by query ----


def test_values_are_averaged_over_seeds_query_by_query(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """The second seed's table has another order: rows are matched by query."""
    runs = Runs(tmp_path)
    _two_seeds(runs, [1, 1, 1, 2, 4, 1], [1, 2, 1, 2, 2, 4])
    row = _summary(scripts.collect, runs)["variants"][0]
    assert (row["label"], row["seeds"]) == ("none", 2)
    per_query = [1, 3 / 4, 1, 1 / 2, 3 / 8, 5 / 8]
    found = row["image"]["fingerprint"]
    assert found["mrr"] == pytest.approx(sum(per_query) / 6)
    assert found["recall@1"] == pytest.approx((1 + 1 / 2 + 1 + 0 + 0 + 1 / 2) / 6)
    assert found["recall@5"] == 1
    assert found["minus_mean"]["mrr"]["mean"] == pytest.approx(sum(per_query) / 6 - 1 / 2)
    assert found["gap_closed"]["mrr"]["mean"] == pytest.approx((sum(per_query) / 6 - 1 / 2) / (1 / 2))
    # By number of views: q0, q1 have one, q2, q3 two, q4 four, q5 seven.
    assert {name: (v["queries"], v["fingerprint"]["mrr"]) for name, v in row["views"].items()} == {
        "1": (2, pytest.approx(7 / 8)), "2-3": (2, pytest.approx(3 / 4)), "4-5": (1, pytest.approx(3 / 8)),
        "6+": (1, pytest.approx(5 / 8)),
    }  # fmt: skip
    assert row["views"]["1"]["fingerprint"]["minus_mean"]["mrr"]["mean"] == pytest.approx(3 / 8)
    assert row["wall_seconds_all_stages"] == round(7 * 1.25)
    assert [p["mrr"] for p in row["sizes"]] == pytest.approx([0.15] * 8)  # the one that was skipped is left out


def test_intervals_resample_skus_not_queries(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """Every SKU has a gain of its own, so an interval's ends are SKU means at the most."""
    runs = Runs(tmp_path)
    _two_seeds(runs, [1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2])
    gain = _summary(scripts.collect, runs)["variants"][0]["image"]["fingerprint"]["minus_mean"]["mrr"]
    assert (gain["low"], gain["high"]) == (0.0, 0.5)  # two of four SKUs gain 1/2: a resample may miss them
    assert gain["mean"] == pytest.approx(1 / 3)


def test_the_difference_to_the_reference_is_paired(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """The other variant loses 1/4 in every query, however much queries differ: no interval is left."""
    runs = Runs(tmp_path)
    none = [[1, 1, 1, 2, 2, 1], [1, 2, 1, 2, 2, 2]]  # 1, 3/4, 1, 1/2, 1/2, 3/4
    less = [[1, 2, 1, 4, 4, 2], [2, 2, 2, 4, 4, 2]]  # 3/4, 1/2, 3/4, 1/4, 1/4, 1/2
    jobs = {}
    for ablation, ranks in (("none", none), ("no_rank", less)):
        for seed in range(2):
            folder = runs.evaluation(_ranks(ranks[seed]), seed, ablation=ablation, shuffle=seed == 1)
            jobs[folder] = [f"ablation={ablation}", f"fingerprint_seed={seed}"]
    runs.sweep("2026-01-01_00-00-00-1", "ablations", jobs, {"ablation": "none,no_rank", "fingerprint_seed": "range(2)"})
    reference, other = _summary(scripts.collect, runs, "ablations")["variants"]
    assert [row["label"] for row in (reference, other)] == ["ablation=none", "ablation=no_rank"]
    assert "minus_reference" not in reference
    assert other["minus_reference"]["mrr"] == pytest.approx({"mean": -1 / 4, "low": -1 / 4, "high": -1 / 4})
    assert other["minus_reference"]["recall@1"]["mean"] == pytest.approx(1 / 6 - 6 / 12)
    spread = other["image"]["fingerprint"]["interval"]["mrr"]
    assert spread["high"] - spread["low"] > 0.2


def test_a_share_of_no_gap_is_not_available(scripts: SimpleNamespace, tmp_path: Path, place: SimpleNamespace) -> None:
    runs = Runs(tmp_path / "runs")
    ranks = _ranks([1, 1, 2, 2, 2, 2], multi_vector=[1, 4, 2, 2, 2, 2])  # + 1/2 and - 1/4 in SKU a: no gap to tell
    runs.sweep("2026-01-01_00-00-00-1", "seeds", {runs.evaluation(ranks): ["fingerprint_seed=0"]})
    row = _summary(scripts.collect, runs)["variants"][0]
    assert row["image"]["fingerprint"]["gap_closed"] == {"recall@1": None, "mrr": None}
    said = place.run(runs.root)
    line = next(one for one in said.splitlines() if "**fingerprint**" in one)
    assert line.split(" | ")[6] == "n/a"
    assert "None" not in said
    assert "nan" not in said


def test_different_queries_of_the_seeds_stop_the_report(tmp_path: Path, place: SimpleNamespace) -> None:
    runs = Runs(tmp_path / "runs")
    other = [f"q{i}" for i in (0, 1, 2, 3, 4, 6)]
    folders = [runs.evaluation(_ranks(MULTI), 0), runs.evaluation(_ranks(MULTI), 1, queries=other)]
    jobs = {folder: [f"fingerprint_seed={seed}"] for seed, folder in enumerate(folders)}
    runs.sweep("2026-01-01_00-00-00-1", "seeds", jobs)
    with pytest.raises(SystemExit) as stopped:
        place.run(runs.root)
    said = str(stopped.value)
    assert said.startswith("the seeds of one setting have different queries: ")
    assert all(str(folder) in said for folder in folders)
    assert not (place.folder / "RESULTS.md").exists()


# ---- What counts as one setting ----


def test_a_setting_that_ran_twice_counts_once_and_as_it_ran_last(scripts: SimpleNamespace, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    _two_seeds(runs, [2] * 6, [2] * 6)
    again = runs.evaluation(_ranks([1] * 6), 1)
    runs.sweep("2026-01-02_00-00-00-1", "seeds", {again: ["fingerprint_seed=1", "data=one", "threads=2"]})
    row = _summary(scripts.collect, runs)["variants"][0]
    assert row["seeds"] == 2
    assert row["image"]["fingerprint"]["mrr"] == pytest.approx(3 / 4)


def test_seeds_from_before_a_change_of_settings_are_not_joined(scripts: SimpleNamespace, tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    _two_seeds(runs, [2] * 6, [2] * 6)
    newer = runs.evaluation(_ranks([1] * 6), 1, version=2)
    runs.sweep("2026-01-02_00-00-00-1", "seeds", {newer: ["fingerprint_seed=1"]})
    (row,) = _summary(scripts.collect, runs)["variants"]
    assert row["seeds"] == 1
    assert row["image"]["fingerprint"]["mrr"] == 1


def test_a_sweep_that_was_broken_off_joins_the_one_that_was_not(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """It came to one value of what it goes through: that value names its variant all the same."""
    runs, params = Runs(tmp_path), {"ablation": "none,no_rank", "fingerprint_seed": "range(1)"}
    runs.sweep("2026-01-01_00-00-00-1", "ablations", {runs.evaluation(_ranks([2] * 6)): ["ablation=none"]}, params)
    both = {runs.evaluation(_ranks([1] * 6), ablation=name): [f"ablation={name}"] for name in ("none", "no_rank")}
    runs.sweep("2026-01-02_00-00-00-1", "ablations", both, params)
    rows = _summary(scripts.collect, runs, "ablations")["variants"]
    assert [(row["label"], row["seeds"], row["image"]["fingerprint"]["mrr"]) for row in rows] == [
        ("ablation=none", 1, 1.0), ("ablation=no_rank", 1, 1.0),
    ]  # fmt: skip


def test_data_and_sweeps_are_kept_apart_and_a_plain_multirun_is_named_after_what_it_varies(
    scripts: SimpleNamespace, tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    one, two = (runs.evaluation(_ranks(MULTI), data=name) for name in ("one", "two"))
    runs.sweep("2026-01-01_00-00-00-1", "seeds", {one: ["fingerprint_seed=0"]}, {"fingerprint_seed": "range(1)"})
    runs.sweep("2026-01-02_00-00-00-1", "seeds", {two: ["fingerprint_seed=0"]}, {"fingerprint_seed": "range(1)"})
    plain = {runs.evaluation(_ranks(MULTI), ablation=a): [f"ablation={a}", "~query"] for a in ("none", "mean_pool")}
    runs.sweep("2026-01-03_00-00-00-1", "config", plain)
    found = scripts.collect.sweeps(runs.root)
    assert {name: list(variants) for name, variants in found.items()} == {
        ("seeds", "one", "tiny", "validation"): ["none"],
        ("seeds", "two", "tiny", "validation"): ["none"],
        ("ablation", "one", "tiny", "validation"): ["ablation=none", "ablation=mean_pool"],
    }


def test_a_job_whose_evaluation_is_gone_is_told(
    scripts: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = Runs(tmp_path)
    _two_seeds(runs, MULTI, MULTI)
    (folder,) = (tmp_path / "evaluate").glob("*-ev0000000001")
    (folder / "metrics.json").unlink()
    assert _summary(scripts.collect, runs)["variants"][0]["seeds"] == 1
    assert f"1 of 2 jobs left out, no longer there: {folder}" in capsys.readouterr().err


# ---- What is said ----

KEPT = {"queries": 893, "skus": 450, "gain": 0.0625, "standard_error": 0.011, "trained_is_kept": True}
NOT_KEPT = {"queries": 53, "skus": 41, "gain": -0.0313, "standard_error": 0.0126, "trained_is_kept": False}


@pytest.mark.parametrize(
    ("fingerprint", "proof", "expected"),
    [
        ([1] * 6, KEPT, "MRR +0.500 [+0.500, +0.500]: **better**, and 100 % [100, 100] of the gap to multi-vector is"
                        " closed."),
        ([4] * 6, KEPT, "MRR -0.250 [-0.250, -0.250]: **worse**. The trained aggregator was kept (first seed): training"
                        " changed the reciprocal rank of 893 left-out train and dev queries by +0.062"
                        " (standard error 0.011). 33 % of the queries are of SKUs with one view, whose fingerprint is"
                        " their mean by construction; 2 of 3 train SKUs have a teacher, and the distance from mean to"
                        " multi-vector is +0.500 [+0.500, +0.500]."),
        ([2] * 6, NOT_KEPT, "MRR +0.000 [+0.000, +0.000]: **no measurable difference**. The mean was kept (first"
                            " seed): training changed the reciprocal rank of 53 left-out train and dev queries"
                            " by -0.031 (standard error 0.013). 33 %"),
        ([1, 1, 2, 2, 4, 4], None, "**no measurable difference**. Nothing was trained. 33 %"),
    ],
)  # fmt: skip
def test_the_verdict(
    tmp_path: Path, place: SimpleNamespace, fingerprint: list[int], proof: dict[str, Any] | None, expected: str
) -> None:
    runs = Runs(tmp_path / "runs")
    _two_seeds(runs, fingerprint, fingerprint, proof=proof)
    said = place.run(runs.root)
    (line,) = (one for one in said.splitlines() if one.startswith("- one · tiny · validation: fingerprint minus mean"))
    assert expected in line
    assert line in place.readme.read_text(encoding="utf-8").splitlines()


def test_better_where_there_is_no_gap_to_close(tmp_path: Path, place: SimpleNamespace) -> None:
    runs = Runs(tmp_path / "runs")
    ranks = _ranks([1] * 6, multi_vector=MEAN)
    runs.sweep("2026-01-01_00-00-00-1", "seeds", {runs.evaluation(ranks): ["fingerprint_seed=0"]})
    assert "**better**; the distance from mean to multi-vector is +0.000 [+0.000, +0.000]." in place.run(runs.root)


def _row(text: str, start: str) -> list[str]:
    line = next(one for one in text.splitlines() if one.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Two data sets, one of them with texts; ablations, smaller vectors, and another sweep."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    texts = _ranks([1, 2, 1, 2, 2, 2])
    _two_seeds(runs, [1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2], texts=texts, proof=KEPT)
    jobs = {runs.evaluation(_ranks([2] * 6), s, data="two"): [f"fingerprint_seed={s}", "data=two"] for s in range(2)}
    runs.sweep("2026-01-02_00-00-00-1", "seeds", jobs)
    jobs = {
        runs.evaluation(_ranks(r), s, ablation=a): [f"ablation={a}", f"fingerprint_seed={s}"]
        for a, r in (("none", [1, 1, 1, 1, 2, 2]), ("no_rank", [2, 2, 2, 2, 4, 4])) for s in range(2)
    }  # fmt: skip
    params = {"ablation": "none,no_rank", "fingerprint_seed": "range(2)"}
    runs.sweep("2026-01-03_00-00-00-1", "ablations", jobs, params)
    sizes = {runs.evaluation(_ranks(MULTI)): ["model.training.prefix_dims=[]"],
             runs.evaluation(_ranks(MULTI), ablation="x"): ["model.training.prefix_dims=[64,128]"]}  # fmt: skip
    runs.sweep("2026-01-04_00-00-00-1", "vector_size", sizes, {"model.training.prefix_dims": "[],[64,128]"})
    runs.sweep("2026-01-05_00-00-00-1", "folds", {runs.evaluation(_ranks(MULTI)): ["stages.teacher.folds=3"]})
    jobs = {
        runs.evaluation(_ranks(r), s, views=v, take=t): [f"views={c}", f"fingerprint_seed={s}"]
        for c, v, t, r in (("none", "none", "generated", [2] * 6), ("dit", "dit", "generated", [1, 1, 2, 2, 2, 2]),
                           ("dit_control", "dit", "control", [2] * 6)) for s in range(2)
    }  # fmt: skip
    runs.sweep("2026-01-06_00-00-00-1", "views", jobs, {"views": "none,dit,dit_control"})
    jobs = {
        runs.evaluation(_ranks(MULTI), s, ablation=t, texts=texts, labels=_ranks(r)): [
            f"data.text={t}", f"fingerprint_seed={s}",
        ]
        for t, r in (("template", [4] * 6), ("attributes", [1, 1, 1, 1, 1, 2])) for s in range(2)
    }  # fmt: skip
    runs.sweep("2026-01-07_00-00-00-1", "text", jobs, {"data.text": "template,attributes"})
    return runs


@pytest.fixture(scope="module")
def written(scripts: SimpleNamespace, full: Runs, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What report.py wrote of these: ``said`` in RESULTS.md, ``readme`` and ``folder``."""
    with pytest.MonkeyPatch.context() as patch:
        place = _place(scripts, tmp_path_factory.mktemp("written"), patch)
        said = place.run(full.root)
    return SimpleNamespace(said=said, readme=place.readme.read_text(encoding="utf-8"), folder=place.folder)


def test_the_tables_by_hand(written: SimpleNamespace) -> None:
    said = written.said
    headline = _row(said, "one · tiny · validation | **fingerprint**")
    # MRR (4 + 2/2) / 6, of which 1/3 is gained and the gap is 1/2.
    assert headline[2:4] == ["0.667", "1.000"]
    assert headline[4].startswith("0.833 [")
    assert headline[5] == "+0.333 [+0.000, +0.500]"
    assert headline[6].startswith("67 % [0, 100]")
    assert headline[7] == "1.00"
    assert _row(said, "one · tiny · validation | mean of views")[2:6] == ["0.000", "1.000", "0.500 [0.500, 0.500]", ""]
    assert _row(said, "one · tiny · validation | multi-vector")[7] == "3.50"
    assert "6 photos of 4 SKUs, gallery of 9 SKUs, 2 seed(s)." in said
    first_view = _row(said, "first view")
    assert first_view == [
        "first view", "0.000", "1.000", "1.000", "1.000", "0.250 [0.250, 0.250]", "0.431", "-0.250 [-0.250, -0.250]",
        "-50 % [-50, -50]", "1.00", "256", "0.500 / 0.750",
    ]  # fmt: skip
    assert _row(said, "2-3")[1:] == ["2", "0.500", "1.000", "1.000", "+0.500 [+0.500, +0.500]"]
    no_rank = _row(said, "ablation=no_rank")
    assert no_rank[1:3] == ["2", "0.000"]
    assert no_rank[4].startswith("-0.083 [")
    assert no_rank[6].startswith("-0.417 [")  # - 1/2 in four queries, - 1/4 in two
    assert _row(said, "ablation=none")[6] == ""
    assert "MRR minus ablation=none" in said
    text = said[said.index("## Every method, text → SKU") :]
    assert _row(text, "**fingerprint**")[5].startswith("0.667 [")
    assert "6 texts of 4 SKUs" in text
    assert said.count("### two · tiny · validation") == 2  # photos and views: it has no texts
    assert "all stages 9 s; one query on one CPU thread, medians: encode 20.0 ms, search 0.125 ms" in said
    assert _row(said, "prefix_dims=[64,128] | fingerprint")[2:] == ["64", "flat", "256", "0.500", "0.100"]


def test_texts_of_labels_have_columns_of_their_own(written: SimpleNamespace) -> None:
    said = written.said[written.said.index("## Training texts") :]
    assert "text by labels: R@1 | MRR [95 % over SKUs] |" in said
    assert _row(said, "text=template")[-3:] == ["0.667", "0.000", "0.250 [0.250, 0.250]"]
    assert _row(said, "text=attributes")[-2] == "0.833"
    assert _row(said, "text=attributes")[-1].startswith("0.917 [")  # (5 + 1/2) / 6
    assert written.said.count("text by labels") == 1  # other sweeps were evaluated without


def test_the_section_on_generated_views(written: SimpleNamespace) -> None:
    """Both queries of SKU a, which has one real view, rank first: of the other SKUs nothing changes."""
    said = written.said[written.said.index("## Generated views") : written.said.index("## Ablations")]
    assert "6 photos of 4 SKUs, gallery of 9 SKUs, 2 seed(s)." in said
    assert "tell whether generated views (dit) changed Recall@1 of single-view SKUs: +1.000 [+1.000, +1.000] (" in said
    fingerprint = said[said.index("\nFingerprint:") : said.index("\nMean of all views:")]
    assert _row(fingerprint, "1 | 2 | 1 | dit")[4:8] == [
        "1.00",
        "1.000 [1.000, 1.000]",
        *["+1.000 [+1.000, +1.000]"] * 2,
    ]
    assert _row(fingerprint, "all | 6 | 4 | dit")[6].startswith("+0.333 [")
    assert _row(said, "kept")[1] == "6 (50 %)"
    assert "- one · tiny · validation, dit, first seed: few." in said
    assert "(figures/views-one-tiny-validation.svg)" in said
    assert "Sweep: views" not in written.said
    short = (
        "- one · tiny · validation: Recall@1 of the fingerprint, dit minus none: single-view SKUs +1.000 [+1.000, +1.0"
    )
    assert short in written.readme


def test_the_teacher_table_by_hand(written: SimpleNamespace) -> None:
    said = written.said[written.said.index("## Teachers") : written.said.index("## Ablations")]
    rows = [
        _row(said, start)
        for start in ("SKUs |", "SKUs with teacher |", "SKUs with teacher and", "held-out", "of these")
    ]
    assert [row[1:] for row in rows] == [["3", "3"], ["2", "2"], ["1", "1"], ["3", "3"], ["100 %", "100 %"]]
    first, mean = "gain in reciprocal rank over the first view, ", "gain in reciprocal rank over the mean, "
    # Ranks of the three queries: mean 2, 2, 4; first view 1, 5, 4; cross-fitted 2, 5, 4; in sample 2, 1, 4.
    assert _row(said, mean + "cross-fitted")[1].startswith("-0.100 [")
    assert _row(said, first + "cross-fitted")[1].startswith("-0.167 [")
    assert _row(said, mean + "in sample")[1] == "+0.167"
    assert _row(said, first + "in sample")[1] == "+0.100"


def test_readmes_block_is_replaced_and_the_rest_stays(written: SimpleNamespace) -> None:
    before, rest = written.readme.split("<!-- results: made by a script -->")
    block, after = rest.split("<!-- /results -->")
    assert before == "# A title\n\n"
    assert after == "\n\nThe rest, \\1 and \\g<0>.\n"
    assert "old\nrows" not in block
    assert _row(block, "two · tiny · validation | **fingerprint**")[4] == "0.500 [0.500, 0.500]"
    assert block.endswith("More in [experiments/RESULTS.md](experiments/RESULTS.md).\n")


def test_a_readme_without_the_marks_is_told_and_left_alone(place: SimpleNamespace, tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs")
    _two_seeds(runs, MULTI, MULTI)
    place.readme.write_text("# A title\n", encoding="utf-8")
    with pytest.raises(SystemExit, match=r"README\.md: found 0 blocks <!-- results: … -->"):
        place.run(runs.root)
    assert place.readme.read_text(encoding="utf-8") == "# A title\n"


def _bytes(place: SimpleNamespace) -> dict[str, bytes]:
    files = [place.readme, *(p for p in place.folder.rglob("*") if p.is_file())]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.slow
def test_a_second_run_writes_the_same_bytes_and_so_do_the_summaries_alone(
    full: Runs, place: SimpleNamespace, tmp_path: Path
) -> None:
    place.run(full.root)
    first = _bytes(place)
    assert {"RESULTS.md", "README.md", "seeds-one-tiny-validation.parquet", "views.svg"} <= set(first)
    place.run(full.root)
    assert _bytes(place) == first
    place.run(tmp_path / "no runs any more")
    assert _bytes(place) == first


def test_figures_are_svg_and_every_picture_in_the_text_is_there(written: SimpleNamespace) -> None:
    pictures = re.findall(r"!\[[^\]]*\]\((figures/[^)]+)\)", written.said)
    assert sorted(pictures) == sorted(f"figures/{p.name}" for p in (written.folder / "figures").iterdir())
    assert {"figures/views.svg", "figures/ablations-one-tiny-validation.svg"} <= set(pictures)
    assert "figures/vector_size-one-tiny-validation-bytes.svg" in pictures
    for picture in pictures:
        root = ElementTree.parse(written.folder / picture).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert len(list(root.iter("{http://www.w3.org/2000/svg}path"))) > 10
    drawn = (written.folder / "figures" / "ablations-one-tiny-validation.svg").read_text(encoding="utf-8")
    assert all(f"<!-- {label} -->" in drawn for label in ("ablation=none", "ablation=no_rank", "multi-vector"))


def test_every_stratum_stands_at_its_own_place(
    scripts: SimpleNamespace, place: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A data set that lacks strata is not drawn under those of another."""

    def setting(data: str, gains: dict[str, float]) -> dict[str, Any]:
        row = {n: {"fingerprint": {"minus_mean": {"mrr": {"mean": g, "low": g, "high": g}}}} for n, g in gains.items()}
        return {"data": data, "model": "tiny", "variants": [{"views": row}]}

    figures: list[Any] = []
    monkeypatch.setattr(scripts.figures, "_save", lambda figure, name: figures.append(figure))
    scripts.figures.views([setting("one", {"1": 0.1, "2-3": 0.2, "4-5": 0.3}), setting("two", {"4-5": 0.4})], "views")
    (axes,) = figures[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2-3", "4-5"]
    points = {
        float(y): round(float(x)) for line in axes.lines if line.get_marker() == "o" for x, y in [line.get_xydata()[0]]
    }
    assert points == {0.1: 0, 0.2: 1, 0.3: 2, 0.4: 2}
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one · tiny", "two · tiny"]


def test_without_any_finished_sweep_it_says_what_to_run(tmp_path: Path, place: SimpleNamespace) -> None:
    with pytest.raises(SystemExit, match=r"no finished sweep under .*: python -m skufp -m --config-name seeds"):
        place.run(tmp_path)
    assert place.readme.read_text(encoding="utf-8") == README
