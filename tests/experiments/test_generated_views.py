"""Arms of generated views against each other: every figure by hand from made-up ranks."""

import itertools
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
MODULES = ("collect", "figures", "tables", "generated_views", "views_table")
SINGLE, FEW, MANY = 12, 10, 3  # SKUs with 1, 2 or 3, and 4 or more real views; those with a few have two queries each
REAL = [1] * SINGLE + [2, 3] * (FEW // 2) + [4, 5, 6]
ASKED = [i for i, real in enumerate(REAL) for _ in range(2 if real in (2, 3) else 1)]  # each query's SKU
REPORT = {"candidates": 200, "kept": 90, "share": 0.45, "notes": ["few"], "train_loss": {"first": 1.25, "last": 0.5}}
REPORT |= {
    "distances": {"kept": {"pairs": 90, "p10": 0.1, "median": 0.25, "p90": 0.5}, "classic": None, "real": None},
    "structure": {"kept": {"pairs": 90, "p10": 0.05, "median": 0.125, "p90": 0.25}, "classic": None, "real": None,
                  "blurred": {"pairs": 60, "p10": 0.01, "median": 0.0625, "p90": 0.125}},
    "beyond_classic": {"median": 0.55, "p90": None, "structure_median": 0.4, "structure_p90": 0.1},
    "by_views": {name: {"skus": 9, "with_views": 7, "views": 8} for name in ("1", "2-3", "4+")},
    "planted": {"random": {"count": 400, "rejected": {"mean": 0.97, "low": 0.95, "high": 0.99}},
                "siblings": {"count": 0, "rejected": None}},
}  # fmt: skip


class Arms:
    """Finished evaluations, and what they stand on, with made-up ranks: ``variants`` as collect.sweeps finds them."""

    def __init__(self, root: Path, collect: Any) -> None:
        self.root, self.collect, self.variants = root, collect, {}
        self.count = itertools.count()

    def run(
        self, label: str, seed: int, ranks: list[int], added: list[int], name: str = "dit", take: str = "generated",
        steps: int = 3, real: list[int] = REAL, trained: bool = True,
    ) -> None:  # fmt: skip
        """Add a seed: every query's rank by fingerprint (by the mean one more), every SKU's number of added views."""
        views = {"views.name": name, "views.take": take}
        own = {"fingerprint": {"steps": steps, "stage": {"seed": seed}}, "embed": views}
        stages = (
            ["embed", "fingerprint", "evaluate"] if name == "none" else ["views", "embed", "fingerprint", "evaluate"]
        )
        inputs: dict[str, str] = {}
        folders: dict[str, Path] = {}
        for stage in stages:
            key = f"{next(self.count):012d}"
            folders[stage] = folder = self.root / stage / f"one-{key}"
            folder.mkdir(parents=True)
            Manifest(stage, key, inputs, own.get(stage, {}), "0", 1, 0).write(folder)
            inputs = {stage: key}
        if "views" in folders:
            write_json(folders["views"] / "report.json", REPORT | {"seed": seed})
        write_json(folders["fingerprint"] / "proof.json", {"trained_is_kept": trained})
        self._embed(folders["embed"], added, real)
        self._evaluate(folders["evaluate"], ranks, real, generated=sum(added) > 0, backwards=seed % 2 == 1)
        settings = self.collect.all_settings(folders["evaluate"])
        variant = self.variants.setdefault(label, self.collect.Variant(label, settings))
        variant.folders[f"0/{seed}"] = folders["evaluate"]

    def _embed(self, folder: Path, added: list[int], real: list[int]) -> None:
        rows = [
            (sku, made) for sku, (r, a) in enumerate(zip(real, added, strict=True)) for made in [False] * r + [True] * a
        ]
        table = {"split": ["validation"] * len(rows), "sku_id": [f"s{sku:02d}" for sku, _ in rows]}
        pq.write_table(pa.table(table | {"generated": [made for _, made in rows]}), folder / "rows.parquet")

    def _evaluate(self, folder: Path, ranks: list[int], real: list[int], generated: bool, backwards: bool) -> None:
        methods = {"mean": [rank + 1 for rank in ranks], "fingerprint": ranks} | (
            {"mean_real": ranks} if generated else {}
        )
        row = {"vectors_per_sku": 1.0, "bytes_per_sku": 4.0, "search": None, "note": ""}
        write_json(folder / "metrics.json", {"image": dict.fromkeys(methods, row)})
        table = pa.table({
            "split": ["validation"] * len(ASKED), "sku_id": [f"s{sku:02d}" for sku in ASKED],
            "view_id": [f"q{i:02d}" for i in range(len(ASKED))], "views": [real[sku] for sku in ASKED],
            **{f"rank_{name}": of for name, of in methods.items()},
        })  # fmt: skip
        pq.write_table(table.take(list(range(len(ASKED)))[:: -1 if backwards else 1]), folder / "ranks.parquet")


def _ranks(single: list[int], few: int, many: int) -> list[int]:
    return [*single, *[few] * (2 * FEW), *[many] * MANY]


ADDED = [2] * SINGLE + [1, 0] * (FEW // 2) + [0] * MANY
DRAWN = [_ranks([1] * SINGLE, few=2, many=1), _ranks([1] * 6 + [2] * 6, few=2, many=1)]  # of the two seeds


@pytest.fixture
def arms(scripts: SimpleNamespace, tmp_path: Path) -> Arms:
    """Two seeds of three arms.

    Drawn views bring rank 1 to single-view SKUs in the first seed, to half of them in the second, take it from SKUs
    with a few views, and change nothing of the rest. Classic ones bring it to half of the single-view SKUs.
    """
    made = Arms(tmp_path, scripts.collect)
    for seed in range(2):
        made.run("views=none", seed, _ranks([2] * SINGLE, few=1, many=1), [0] * len(REAL), name="none", trained=False)
    for seed in range(2):
        made.run("views=dit", seed, DRAWN[seed], ADDED, trained=seed == 0)
    for seed in range(2):
        made.run("views=dit_control", seed, _ranks([1] * 6 + [2] * 6, few=1, many=1), ADDED, take="control")
    return made


def test_strata_by_hand(scripts: SimpleNamespace, arms: Arms) -> None:
    found = scripts.generated_views.compared(arms.variants)
    assert (found["seeds"], found["arms"]) == (2, ["none", "dit", "as many classic"])
    sizes = {name: (row["queries"], row["skus"], row["added"]["dit"]) for name, row in found["strata"].items()}
    assert sizes == {"1": (12, 12, 2.0), "2-3": (20, 10, 0.5), "4+": (3, 3, 0.0), "all": (35, 25, 29 / 25)}
    assert {row["added"]["none"] for row in found["strata"].values()} == {0.0}
    single, few = (found["strata"][name]["fingerprint"] for name in ("1", "2-3"))
    assert [single["recall@1"][arm]["mean"] for arm in found["arms"]] == [0.0, 0.75, 0.5]
    assert single["recall@1"]["dit minus none"]["seeds"] == [1.0, 0.5]
    assert single["recall@1"]["dit minus as many classic"]["mean"] == pytest.approx(0.25)
    assert single["mrr"]["dit minus none"]["mean"] == pytest.approx((1 + 3 / 4) / 2 - 1 / 2)
    lost = {key: few["recall@1"]["dit minus none"][key] for key in ("mean", "low", "high")}
    assert lost == {"mean": -1.0, "low": -1.0, "high": -1.0}
    whole = found["strata"]["all"]["fingerprint"]["recall@1"]
    assert whole["dit minus none"]["mean"] == pytest.approx((12 * 0.75 - 20) / 35)
    # The mean of views ranks every query one lower: never first, and 1/2 or 1/3 in place of 1 or 1/2.
    of_mean = found["strata"]["1"]["mean"]
    assert of_mean["recall@1"]["dit"]["mean"] == 0
    assert of_mean["mrr"]["dit minus none"]["mean"] == pytest.approx((1 / 2 + (1 / 2 + 1 / 3) / 2) / 2 - 1 / 3)


def test_intervals_resample_skus_of_the_stratum(scripts: SimpleNamespace, arms: Arms) -> None:
    """Six single-view SKUs gain 1 over both seeds, six gain 1/2: resampled one by one."""
    row = scripts.generated_views.compared(arms.variants)["strata"]["1"]["fingerprint"]["recall@1"]["dit minus none"]
    gains, rng = [1.0] * 6 + [0.5] * 6, np.random.default_rng(0)
    means = [sum(gains[int(i)] for i in rng.integers(0, 12, 12)) / 12 for _ in range(200)]
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))


def test_what_is_passed_on(scripts: SimpleNamespace, arms: Arms) -> None:
    found = scripts.generated_views.compared(arms.variants)
    assert found["drawn"] == {"dit": REPORT | {"seed": 0}}  # the first seed's
    assert found["trained"] == {"none": 0, "dit": 1, "as many classic": 2}
    assert found["as_many"] == {"dit": True}


def test_one_sku_with_another_number_of_views_is_told(scripts: SimpleNamespace, arms: Arms) -> None:
    """Totals are equal, one SKU's view went to another."""
    arms.variants.pop("views=dit_control")
    for seed in range(2):
        arms.run("views=dit_control", seed, DRAWN[0], [3, 1, *ADDED[2:]], take="control")
    found = scripts.generated_views.compared(arms.variants)
    assert found["strata"]["1"]["added"]["dit"] == found["strata"]["1"]["added"]["as many classic"] == 2
    assert found["as_many"] == {"dit": False}
    assert any("**not the same" in line for line in scripts.views_table.verdicts(found))


def test_only_seeds_of_all_arms_count(scripts: SimpleNamespace, arms: Arms) -> None:
    del arms.variants["views=dit_control"].folders["0/0"]
    found = scripts.generated_views.compared(arms.variants)
    assert found["seeds"] == 1
    assert found["strata"]["1"]["fingerprint"]["recall@1"]["dit minus none"]["mean"] == 0.5  # the second seed's
    arms.variants["views=dit_control"].folders.clear()
    assert scripts.generated_views.compared(arms.variants) == {}


def test_a_seed_in_which_no_view_joined(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """Its evaluation has no row of real views alone."""
    arms = Arms(tmp_path, scripts.collect)
    for seed in range(2):
        arms.run("views=none", seed, DRAWN[0], [0] * len(REAL), name="none")
        arms.run("views=dit", seed, DRAWN[0], [[0] * len(REAL), ADDED][1 - seed])
    found = scripts.generated_views.compared(arms.variants)
    assert found["strata"]["1"]["added"] == {"none": 0.0, "dit": 1.0}
    assert found["pairs"] == [("dit", "none")]


def test_other_sweeps_are_left_alone(scripts: SimpleNamespace, tmp_path: Path) -> None:
    """One that varies something else, and one that varies views and something else."""
    arms = Arms(tmp_path, scripts.collect)
    arms.run("ablation=none", 0, DRAWN[0], ADDED)
    arms.run("ablation=no_rank", 0, DRAWN[1], ADDED)
    assert scripts.generated_views.compared(arms.variants) == {}
    arms.run("views=none", 0, DRAWN[1], [0] * len(REAL), name="none")
    assert scripts.generated_views.compared(arms.variants) == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 4}, "not with the same settings of fingerprint"),
        ({"real": [2, *REAL[1:]]}, "the real views of a SKU"),
    ],
)
def test_arms_that_differ_in_more_than_views_are_refused(
    scripts: SimpleNamespace, tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    arms = Arms(tmp_path, scripts.collect)
    arms.run("views=none", 0, DRAWN[0], [0] * len(REAL), name="none")
    arms.run("views=dit", 0, DRAWN[0], ADDED, **changed)
    with pytest.raises(SystemExit, match=said):
        scripts.generated_views.compared(arms.variants)


# ---- What is said ----


def test_the_verdict(scripts: SimpleNamespace, arms: Arms) -> None:
    found = scripts.generated_views.compared(arms.variants)
    single, few, many, every, aim, classic, *rest = scripts.views_table.verdicts(found)
    assert single.startswith("Generated views (dit) **raised** Recall@1 of single-view SKUs by +0.750 [+0.")
    assert single.endswith("(by seed +0.500 to +1.000; 12 queries of 12 SKUs).")
    assert few.startswith(
        "Generated views (dit) **lowered** Recall@1 of SKUs with 2-3 real views by -1.000 [-1.000, -1"
    )
    assert many.startswith("Too few SKUs to tell whether generated views (dit) changed Recall@1 of SKUs with 4 or more")
    assert every.startswith("Generated views (dit) **did not measurably change** Recall@1 of all SKUs: -0.314 [")
    assert aim == "The aim, a gain for single-view SKUs whose interval excludes 0: **met**."
    assert classic.startswith("Recall@1 of the fingerprint, dit minus as many classic: single-view SKUs +0.250 [")
    assert "SKUs with 2-3 real views -1.000 [-1.000, -1.000] (lower)" in classic
    assert rest[-4:] == [
        "Numbers of views added by dit and by as many classic, of every SKU, split and seed: the same.",
        "dit drew with no numbers.",
        "Sets of views drawn for 2 seed(s): dit 2.",
        "Seeds of 2 in which the trained aggregator was kept, not the mean: none 0, dit 1, as many classic 2.",
    ]
    assert [line.partition(": ")[0] for line in scripts.views_table.in_short(found)] == [
        "Recall@1 of the fingerprint, dit minus none"
    ]


@pytest.mark.parametrize(
    ("low", "high", "skus", "verb", "aim"),
    [
        (0.01, 0.03, 10, "**raised** Recall@1 of single-view SKUs by +0.020 [+0.010, +0.030] (", "**met**"),
        (-0.03, -0.01, 10, "**lowered** Recall@1 of single-view SKUs by -0.020 [-0.030, -0.010] (", "**not met**"),
        (0.0, 0.04, 10, "**did not measurably change** Recall@1 of single-view SKUs: +0.020 [+0.000", "**not met**"),
        (-0.04, 0.0, 10, "**did not measurably change** Recall@1 of single-view SKUs: -0.020 [-0.040", "**not met**"),
        (0.01, 0.03, 9, "Too few SKUs to tell whether generated views (dit) changed", "**undecided**"),
    ],
)  # fmt: skip
def test_what_an_interval_says(
    scripts: SimpleNamespace, low: float, high: float, skus: int, verb: str, aim: str
) -> None:
    i = {"mean": (low + high) / 2, "low": low, "high": high, "seeds": [low, high]}
    row = {"queries": 30, "skus": skus, "fingerprint": {"recall@1": {"dit minus none": i}}}
    assert verb in scripts.views_table.sentence("1", row, "dit")
    assert aim in scripts.views_table.aim({"strata": {"1": row}}, "dit")


def test_without_single_view_skus_the_aim_is_not_judged(scripts: SimpleNamespace) -> None:
    assert scripts.views_table.aim({"strata": {"all": {}}}, "dit") == "No query is of a single-view SKU."


def _row(text: str, start: str) -> list[str]:
    line = next(one for one in text.splitlines() if one.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_tables_by_hand(scripts: SimpleNamespace, arms: Arms) -> None:
    found = scripts.generated_views.compared(arms.variants)
    table = scripts.views_table.arms_table(found, "fingerprint")
    head = _row(table, "real views")
    assert head[5:8] == ["R@1 [95 % over SKUs]", "R@1 minus none", "R@1 minus as many classic"]
    drawn = dict(zip(head, _row(table, "2-3 | 20 | 10 | dit"), strict=True))
    assert drawn["added views / SKU"] == "0.50"
    assert drawn["R@1 [95 % over SKUs]"] == "0.000 [0.000, 0.000]"
    assert drawn["R@1 minus none"] == drawn["R@1 minus as many classic"] == "-1.000 [-1.000, -1.000]"
    assert drawn["MRR minus none"] == "-0.500 [-0.500, -0.500]"
    assert _row(table, "1 | 12 | 12 | none")[5:8] == ["0.000 [0.000, 0.000]", "", ""]
    assert len(table.splitlines()) == 2 + 4 * 3


def test_what_was_drawn(scripts: SimpleNamespace) -> None:
    setting = {"data": "one", "model": "tiny", "split": "validation", "generated_views": {"drawn": {"dit": REPORT}}}
    table = scripts.views_table.drawn_table([setting])
    expected = {
        "drawn views, first seed": "one · tiny · validation · dit", "candidates": "200", "kept": "90 (45 %)",
        "augmenter's loss": "1.250, 0.500", "SKUs with 2-3 real views": "7 of 9", "of classic augmentations": "n/a",
        "distance of kept": "0.100, 0.250, 0.500", "in structure (both blurred), distance of": "0.050, 0.125, 0.250",
        "in structure (both blurred), of the source": "0.010, 0.062, 0.125", "of the source itself": "n/a",
        "in structure, kept views beyond the classic median": "40 %",
        "in structure, kept views beyond the classic 90 %": "10 %", "kept views beyond the classic median": "55 %",
        "kept views beyond the classic 90 %": "n/a", "planted: real views of random": "97 % [95, 99] of 400",
        "planted: of sibling": "n/a", "planted: of the SKU itself": "n/a",
    }  # fmt: skip
    assert {start: _row(table, start)[1] for start in expected} == expected
    older = {key: value for key, value in REPORT.items() if key != "structure"}
    older["beyond_classic"] = {"median": 0.55, "p90": None}
    unknown = {label: cell for label, cell in scripts.views_table.drawn_cells(older).items() if "structure" in label}
    assert list(unknown.values()) == ["n/a"] * 6
    assert scripts.views_table.notes(setting["generated_views"]) == ["dit, first seed: few."]


def test_the_figure_shows_every_arm_at_its_stratum(
    scripts: SimpleNamespace, arms: Arms, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(scripts.figures, "_save", lambda figure, name: drawn.append(figure))
    scripts.figures.arms(scripts.generated_views.compared(arms.variants), "views-one")
    (axes,) = drawn[0].axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2-3", "4+", "all"]
    points = {line.get_label(): line.get_xydata() for line in axes.lines if line.get_marker() == "o"}
    assert list(points) == ["none", "dit", "as many classic"]
    assert points["dit"][:, 1].tolist() == pytest.approx([0.75, 0.0, 1.0, (9 + 3) / 35])
    assert all(np.array_equal(np.round(xy[:, 0]), range(4)) for xy in points.values())
    assert len({round(float(xy[0, 0]), 6) for xy in points.values()}) == 3  # side by side


# ---- The sweep itself ----


@pytest.fixture(scope="module")
def keys() -> dict[tuple[str, int], dict[str, str]]:
    """Of each arm and seed of the sweep, every stage's key."""
    register_schema()
    found = {}
    for views, seed in itertools.product(("none", "dit", "dit_control"), (0, 1)):
        with initialize_config_dir(str(REPOSITORY / "experiments"), version_base="1.3"):
            conf = f"hydra.searchpath=[{quote(f'file://{REPOSITORY}/conf')}]"
            cfg = compose("views", [conf, f"views={views}", f"fingerprint_seed={seed}"])
        found[views, seed] = {step.name: step.key for step in plan(cfg)}
    return found


def test_drawn_views_and_their_control_share_the_views_of_their_seed(keys: dict[Any, dict[str, str]]) -> None:
    for seed in (0, 1):
        assert keys["dit", seed]["views"] == keys["dit_control", seed]["views"]
    assert keys["dit", 0]["views"] != keys["dit", 1]["views"]
    assert "views" not in keys["none", 0]


def test_arms_share_retriever_augmenter_and_judge_and_nothing_after_the_views(keys: dict[Any, dict[str, str]]) -> None:
    for stage in ("retriever", "augmenter", "judge"):
        assert len({stages[stage] for stages in keys.values() if stage in stages}) == 1
    assert len({stages["evaluate"] for stages in keys.values()}) == 6
    assert len({stages["embed"] for stages in keys.values()}) == 5  # without views no seed enters it


def test_what_a_generator_was_given(scripts: SimpleNamespace) -> None:
    settings = {
        "views.generator": {"_target_": "skufp.generation.dit.DiTViews", "steps": 12, "temperature": 0.6},
        "views.actions": {"front": {"noise": 0.7}, "flip": {}},
    }
    assert scripts.generated_views.drawn_with(settings) == {"steps": 12, "temperature": 0.6, "noise of front": 0.7}
    assert scripts.generated_views.drawn_with({}) == {}
