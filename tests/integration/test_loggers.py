"""The other loggers write their files where the stage's folder is; on wandb the runs of a sweep stand together."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from skufp.callbacks.wandb_evaluation import figures

DASHBOARD = Path(__file__).resolve().parents[2] / "experiments" / "dashboard.json"


def configs(view_type: str) -> list[dict[str, Any]]:
    """The settings of the dashboard's panels of a type."""
    sections = json.loads(DASHBOARD.read_text())["spec"]["section"]["panelBankConfig"]["sections"]
    return [p["config"] for section in sections for p in section["panels"] if p["viewType"] == view_type]


@pytest.mark.slow
@pytest.mark.parametrize(("logger", "pattern"), [("wandb", "*.wandb"), ("tensorboard", "events*")])
def test_logger_writes_beside_the_checkpoint(skufp, chain, beside, tmp_path, only, logger, pattern):
    beside(tmp_path, "prepare")
    result = skufp(*chain.settings, f"logger={logger}", "stage=retriever", cwd=tmp_path, WANDB_DATA_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert list(only(tmp_path, "retriever").rglob(pattern))


@pytest.mark.slow
def test_a_sweep_is_one_group_and_logs_the_lines_of_the_dashboard(skufp, chain, beside, tmp_path):
    beside(tmp_path, "prepare", "retriever", "embed")
    sweep = ("-m", "stage=fingerprint", "fingerprint_seed=0,1", "stages.fingerprint.steps=10", "logger=wandb")
    result = skufp(*chain.settings, *sweep, cwd=tmp_path, WANDB_DATA_DIR=str(tmp_path))
    assert result.returncode == 0, result.stderr
    (together,) = (tmp_path / "runs" / "sweeps").iterdir()
    trained = tmp_path / "runs" / "fingerprint"
    files = [file.read_bytes() for file in trained.glob("[!.]*/wandb/offline-run-*/*.wandb")]
    assert len(files) == 2, "a run per job"
    lines = configs("Run History Line Plot")
    for number, logged in enumerate(sorted(files, key=lambda f: b"seed 0/1" in f)):
        assert f"sweep-{together.name}".encode() in logged
        assert f"none seed 0/{number}".encode() in logged
        assert [key for config in lines for key in config["metrics"] if key.encode() not in logged] == []
        assert all(re.search(rb"train/\w*loss", logged) for config in lines if "metricRegex" in config)
    assert not list(trained.glob(".*.building")), "wandb wrote into a folder that had moved"


@pytest.mark.slow
def test_the_dashboard_s_bars_of_teachers_are_in_their_report(chain, read):
    logged = figures({"teacher": read(chain.folders["teacher"] / "report.json")})
    bars = {key for config in configs("Bar Chart") for key in config["metrics"] if key.startswith("teacher/")}
    assert bars
    assert bars <= logged.keys()
