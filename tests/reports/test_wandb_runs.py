"""Names and groups on Weights & Biases, from composed settings with Hydra's own record of the job."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from skufp.__main__ import config_folder
from skufp.arguments import quote
from skufp.artifacts.folder import Manifest, building
from skufp.reports.wandb_runs import log_evaluation_if_asked, run_identity, sweep_group
from skufp.schema import register_schema

Job = Callable[..., DictConfig]


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    """Compose a job as Hydra would, of config or the sweep seeds, and leave Hydra's record of it where stages look."""
    register_schema()
    singleton = HydraConfig.instance()
    before = singleton.cfg
    (tmp_path / "seeds.yaml").write_text("defaults: [config, _self_]\n")

    def composed(name: str, *overrides: str, record: bool = True) -> DictConfig:
        with initialize_config_dir(str(tmp_path if name == "seeds" else config_folder()), version_base="1.3"):
            found = f"hydra.searchpath=[{quote(f'file://{config_folder()}')}]"
            cfg = compose(name, [*overrides, found], return_hydra_config=True)
        if record:
            OmegaConf.set_readonly(cfg.hydra, None)
            HydraConfig.instance().set_config(cfg)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    yield composed
    singleton.cfg = before


MULTIRUN = ("hydra.mode=MULTIRUN", "hydra.sweep.dir=runs/sweeps/2026-01-31_12-00-00")


def test_a_multirun_is_grouped_by_its_name_and_time(job):
    assert sweep_group(job("seeds", *MULTIRUN)) == "seeds-2026-01-31_12-00-00"
    assert sweep_group(job("config", *MULTIRUN)) == "sweep-2026-01-31_12-00-00"


def test_outside_a_multirun_the_ablation_is_the_group(job):
    assert sweep_group(job("config", "ablation=no_distill")) == "no_distill"
    HydraConfig.instance().cfg = None
    assert sweep_group(job("config", "ablation=no_distill", record=False)) == "no_distill"


def test_a_run_tells_ablation_and_seeds(job):
    chosen = ("model=siglip_tiny", "ablation=mean_pool", "seed=2", "fingerprint_seed=5", "data.label=autumn")
    cfg = job("config", "stage=evaluate", *chosen)
    told = run_identity(cfg)
    assert told["name"].startswith("autumn-siglip_tiny-mean-validation ")
    assert told["name"] == f"{cfg.stages.evaluate.label} mean_pool seed 2/5"
    assert told["group"] == "mean_pool"
    assert told["config"]["run"] == {
        "data": "autumn", "model": "siglip_tiny", "aggregator": "mean", "loss": "default", "index": "flat",
        "ablation": "mean_pool", "stage": "evaluate", "seed": 2, "fingerprint_seed": 5,
    }  # fmt: skip


def test_an_evaluation_is_logged_under_its_key_only_with_wandb(job, tmp_path: Path, monkeypatch):
    for kind in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"WANDB_{kind}_DIR", str(tmp_path / kind))
    (tmp_path / "report.json").write_text('{"gain": 0.25, "by_views": {"2": {"skus": 7}}, "chosen": "best"}')
    manifest = Manifest("evaluate", "0123456789ab", {}, {}, "", 1, 0)
    for logger in ("csv", "wandb"):
        cfg = job("config", f"logger={logger}")
        with building(tmp_path / logger / "synthetic-lite-0123456789ab", manifest, resume=False) as work:
            log_evaluation_if_asked(cfg, {"teacher": tmp_path}, work, {"image": {"mean": {"mrr": 0.5}}}, [])
    assert not list((tmp_path / "csv").rglob("*.wandb"))
    (file,) = (tmp_path / "wandb").rglob("*.wandb")
    assert file.name == "run-0123456789ab.wandb"
    assert [p.name for p in (tmp_path / "wandb").iterdir()] == ["synthetic-lite-0123456789ab"]
    for key in (b"eval/mean/mrr", b"teacher/gain", b"teacher/by_views/2/skus"):
        assert eventually(file, key)


def eventually(file: Path, key: bytes) -> bool:
    """Whether ``key`` is in the run's file: wandb's own process closes it a moment after the run has finished."""
    for _ in range(500):
        if key in file.read_bytes():
            return True
        time.sleep(0.01)
    return False
