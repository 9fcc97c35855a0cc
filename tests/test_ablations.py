"""Every choice in conf/ and every sweep in experiments/: it composes, and it says what it claims."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from skufp.__main__ import Experiments, check_composition, config_folder
from skufp.config import build, plain
from skufp.pipeline import plan
from skufp.schema import register_schema

Run = Callable[..., subprocess.CompletedProcess[str]]
CONF = config_folder()
EXPERIMENTS = CONF.parent / "experiments"
RANKING = ("smooth_ap", "sup_ap", "recall_at_k", "listnet")
DISTILLATION = ("distill", "teacher_kl", "multi_vector_kl")
# What each ablation stands for, as one would type it.
SAME_AS: dict[str, list[str]] = {
    "none": [],
    "frozen_towers": ["model.training.towers=frozen"],
    "mean_pool": ["aggregator=mean"],
    "multi_vector": ["aggregator=mean", "index=views"],
    "no_distill": [f"loss.weights.{name}=0" for name in DISTILLATION],
    "no_meta": ["aggregator.module.use_meta=false"],
    "no_rank": [f"loss.weights.{name}=0" for name in RANKING],
    "no_siblings": ["loss.sibling_weight=1"],
    "no_proof": ["stages.fingerprint.keep=last"],
    "no_wise": ["model.training.wise_ft=null"],
    "random_teacher": ["stages.teacher.choose=random"],
}
# The first stage that each must run again; what comes before it is shared with every other ablation.
FIRST_CHANGED = {
    "frozen_towers": "retriever", "mean_pool": "fingerprint", "multi_vector": "fingerprint",
    "no_distill": "fingerprint", "no_meta": "fingerprint", "no_rank": "fingerprint", "no_siblings": "fingerprint",
    "no_proof": "fingerprint",
    "no_wise": "retriever",
    "random_teacher": "teacher",
}  # fmt: skip
MODEL = {"no_wise": "model=lite"}  # whose start is a pretrained model; the default has none to average with
ORDER = ["prepare", "retriever", "embed", "teacher", "fingerprint", "index"]
# The ablations that experiments/ablations.yaml must at least compare.
WANTED = {
    "none",
    "mean_pool",
    "multi_vector",
    "random_teacher",
    "no_rank",
    "no_distill",
    "no_meta",
    "no_siblings",
    "no_proof",
}


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@cache
def _composed(*overrides: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", list(overrides))


def _settings(cfg: DictConfig) -> dict[str, Any]:
    """Dotted names and values, interpolations as they are written: one change is one difference."""
    found: dict[str, Any] = {}

    def walk(node: Any, where: str) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                walk(value, f"{where}.{key}".lstrip("."))
        else:
            found[where] = node

    walk(OmegaConf.to_container(cfg, resolve=False), "")
    return found


@cache
def _keys(*overrides: str, stage: str = "index") -> dict[str, str]:
    """The key of every stage that ``stage`` needs: equal keys share a folder."""
    cfg = _composed(*overrides).copy()
    cfg.stage = stage
    return {step.name: step.key for step in plan(cfg)}


def _changed(*overrides: str, model: str = "model=siglip_tiny") -> list[str]:
    """The stages that overrides make run again."""
    before, after = _keys(model), _keys(model, *overrides)
    assert sorted(before) == sorted(after) == sorted(ORDER)
    return [stage for stage in ORDER if before[stage] != after[stage]]


@pytest.mark.parametrize(
    ("group", "choice"), [(g, c) for g in ("ablation", "aggregator", "index", "loss") for c in _choices(g)]
)
def test_a_choice_is_named_as_its_file(group: str, choice: str) -> None:
    cfg = OmegaConf.load(CONF / group / f"{choice}.yaml")
    assert (cfg.ablation if group == "ablation" else cfg.name) == choice


def test_every_ablation_is_described_here() -> None:
    assert set(_choices("ablation")) == set(SAME_AS) == {"none", *FIRST_CHANGED}


@pytest.mark.parametrize("name", sorted(SAME_AS))
def test_an_ablation_is_its_name_and_what_it_stands_for(name: str) -> None:
    model = [MODEL[name]] if name in MODEL else []
    found = _settings(_composed(*model, f"ablation={name}"))
    assert found == _settings(_composed(*model, *SAME_AS[name])) | {"ablation": name}
    changed = {key for key, value in _settings(_composed(*model)).items() if found.get(key) != value}
    assert changed - {"ablation"} or name == "none", f"ablation={name} changes nothing"


@pytest.mark.parametrize(("name", "first"), FIRST_CHANGED.items())
def test_an_ablation_shares_what_comes_before_its_change(name: str, first: str) -> None:
    changed = _changed(f"ablation={name}", model=MODEL.get(name, "model=siglip_tiny"))
    assert changed == ORDER[ORDER.index(first) :]


def test_a_model_from_scratch_has_no_start_to_average_with() -> None:
    assert _changed("ablation=no_wise") == []
    assert [m for m in _choices("model") if _composed(f"model={m}").model.training.wise_ft is None] == ["siglip_tiny"]


@pytest.mark.parametrize("name", sorted(set(SAME_AS) - {"frozen_towers", "no_wise"}))
def test_no_ablation_touches_the_baseline_that_every_evaluation_compares_with(name: str) -> None:
    assert _keys(f"ablation={name}", stage="plain_attention") == _keys(stage="plain_attention")


def test_plain_attention_differs_from_the_fingerprint_in_aggregator_and_loss_alone() -> None:
    for overrides in ([], ["stages.fingerprint.datamodule.view_dropout=0.5", "stages.fingerprint.steps=7"]):
        cfg = _composed("fingerprint_seed=3", *overrides)
        plain_attention, fingerprint = (plain(cfg.stages[name]) for name in ("plain_attention", "fingerprint"))
        assert plain_attention["module"] == fingerprint["module"] | {
            name: plain_attention["module"][name] for name in ("aggregator", "loss")
        }
        wiring = {"needs", "uses", "label", "module"}
        assert {k: v for k, v in plain_attention.items() if k not in wiring} == {
            k: v for k, v in fingerprint.items() if k not in wiring
        }
    weights = plain(_composed().stages.plain_attention.module.loss.weights)
    assert [name for name, weight in weights.items() if weight] == ["contrastive"]
    assert "teacher" not in _keys(stage="plain_attention")


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("fingerprint_seed=1", ["teacher", "fingerprint", "index"]),
        ("seed=1", ["retriever", "embed", "teacher", "fingerprint", "index"]),
        ("stages.teacher.folds=3", ["teacher", "fingerprint", "index"]),
        ("loss.temperature=0.5", ["fingerprint", "index"]),
        ("data.text=attributes", ["retriever", "embed", "teacher", "fingerprint", "index"]),
        ("model.training.prefix_dims=[64]", ["retriever", "embed", "teacher", "fingerprint", "index"]),
    ],
)
def test_a_setting_runs_again_only_what_it_touches(override: str, changed: list[str]) -> None:
    assert _changed(override) == changed


def test_the_judge_of_views_does_not_depend_on_the_texts_that_the_retriever_learns_from() -> None:
    assert _keys("data.text=attributes", stage="judge") == _keys(stage="judge")


@pytest.mark.parametrize("name", _choices("aggregator"))
def test_every_aggregator_is_built_and_pools_views(name: str) -> None:
    spec = plain(_composed(f"aggregator={name}").aggregator.module)
    for dim in (64, 256):
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(0)
            views = torch.nn.functional.normalize(torch.randn(2, 3, dim), dim=-1)
            mask = torch.tensor([[True, True, True], [True, False, False]])
            pooled = build(spec, dim=dim).eval()(views, mask, torch.zeros(2, 3, 4, dtype=torch.long))
        assert pooled.shape == (2, dim)
        assert torch.allclose(pooled.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("name", _choices("loss"))
def test_a_loss_asks_for_something(name: str) -> None:
    assert any(plain(_composed(f"loss={name}").loss.weights).values())


def test_the_loss_serves_the_sizes_that_the_retriever_does() -> None:
    assert list(_composed("model.training.prefix_dims=[64,128]").loss.prefix_dims) == [64, 128]


def _sweep(name: str) -> dict[str, str]:
    """What the sweeper of an experiment goes through."""
    return plain(OmegaConf.load(EXPERIMENTS / f"{name}.yaml").hydra.sweeper.params)


def _values(key: str, text: str) -> list[str]:
    """Every override that one line of a sweep stands for."""
    override = OverridesParser.create().parse_override(f"{key}={text}")
    assert override.is_sweep_override()
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


SWEEPS = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))


def test_the_named_sweeps_are_there() -> None:
    assert {"ablations", "aggregators", "folds", "vector_size", "seeds"} <= set(SWEEPS)
    assert {v.partition("=")[2] for v in _values("ablation", _sweep("ablations")["ablation"])} >= WANTED
    assert {v.partition("=")[2] for v in _values("aggregator", _sweep("aggregators")["aggregator"])} == set(
        _choices("aggregator")
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_composes_by_its_name(name: str) -> None:
    register_schema()
    Plugins.instance().register(Experiments)
    check_composition(["-m", "--config-name", name])


@pytest.mark.slow
def test_the_command_line_finds_a_sweep_by_its_name(skufp: Run, tmp_path: Path) -> None:
    done = skufp("-m", "--config-name", "seeds", "stage=index", "upstream=refuse", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "stage=index needs stage=prepare" in done.stderr  # so far came the first job


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SWEEPS if name != "product_data"])  # which draws no random numbers
def test_a_sweep_has_five_seeds_and_no_job_repeats_another(name: str) -> None:
    sweep = _sweep(name)
    assert len(_values("fingerprint_seed", sweep["fingerprint_seed"])) >= 5
    rest = [value for key, text in sweep.items() if key != "fingerprint_seed" for value in _values(key, text)]
    keys = {value: _keys(value)["index"] for value in rest}
    assert len(set(keys.values())) == len(keys), keys
