"""Several processes train what one trains, through the real command line: retriever, fingerprint, faults, torchrun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

ALONE = (
    "stages.fingerprint.keep=last",
    "aggregator.module.dropout=0",
)  # proof and dropout have random numbers of their own
WORKERS = "workers=3"  # the chain has one: neither that number nor that of processes changes what is learnt


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "best.ckpt", weights_only=True)["state_dict"]


def assert_same(one: Path, other: Path, tolerance: float = 1e-4) -> None:
    """Weights as near as Adam leaves them, whose steps of size lr round-off can tip where a gradient is about 0."""
    first, second = weights(one), weights(other)
    assert set(first) == set(second)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=tolerance, atol=tolerance, msg=name)


def measured(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if "_ms" not in name}


def test_two_processes_train_the_retriever_and_fingerprint_of_one(tmp_path, chain, beside, only, read, command) -> None:
    beside(tmp_path, "prepare")
    alone = tmp_path / "alone"
    alone.mkdir()
    beside(alone, "prepare", "retriever", "embed", "teacher")
    settings = [*chain.settings, *ALONE, "stage=fingerprint", WORKERS]
    assert command(alone, *settings).code == 0
    shared = command(tmp_path, *settings, "trainer.devices=2", "trainer.strategy=ddp")
    assert shared.code == 0, shared.err
    assert_same(chain.folders["retriever"], only(tmp_path, "retriever"))
    assert_same(only(alone, "fingerprint"), only(tmp_path, "fingerprint"), 1e-3)
    for stage, one in (("retriever", chain.folders["retriever"]), ("fingerprint", only(alone, "fingerprint"))):
        many = only(tmp_path, stage)
        assert many.name == one.name, "the number of processes is in the key"
        assert measured(read(many / "metrics.json")) == pytest.approx(measured(read(one / "metrics.json")), abs=1e-4)
        assert sorted(p.name for p in many.iterdir()) == sorted(p.name for p in one.iterdir())
        assert [p.name for p in (many / "logs").iterdir()] == ["attempt-0"]
    assert not torch.distributed.is_initialized()
    assert "LOCAL_RANK" not in os.environ


def half_titled(folder: Path) -> list[str]:
    """A table of 14 products of one to three photos; one in seven has a title and a category, the others neither."""
    rng, rows = np.random.default_rng(0), ["sku,image,title,category,domain"]
    for sku in range(14):
        colour = rng.integers(0, 255, 3)
        title, category = (f"shirt number {sku}", "shirt") if sku % 7 == 0 else ("", "")
        for photo in range(1 + sku % 3):
            name = f"{sku}-{photo}.png"
            noisy = np.clip(colour + rng.normal(0, 30, (40, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / name)
            rows.append(f"s{sku},{name},{title},{category},{'query' if photo == 2 else 'catalog'}")
    (folder / "products.csv").write_text("\n".join(rows))
    return [
        "data=catalogue", f"data.manifest={folder / 'products.csv'}", f"data.root={folder}", "data.shard_size=4",
        "model=siglip_tiny", "model.training.steps=5", "model.training.skus_per_batch=7", "trainer=cpu",
        "progress=false", "stage=retriever", "trainer.checks=5",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("image_loss", ["sigmoid", "info_nce"])
def test_three_processes_and_photos_without_text(tmp_path, only, read, command, image_loss) -> None:
    """Uneven shares of 7 SKUs, shards of 4 rows, few dev rows, and batches of which a process has no text at all."""
    settings = [*half_titled(tmp_path), f"model.training.image_loss={image_loss}"]
    for name, devices in (("one", 1), ("three", 3)):
        (tmp_path / name).mkdir()
        result = command(tmp_path / name, *settings, f"trainer.devices={devices}")
        assert result.code == 0, result.err
    one, three = (only(tmp_path / name, "retriever") for name in ("one", "three"))
    assert_same(one, three)
    assert measured(read(three / "metrics.json")) == pytest.approx(measured(read(one / "metrics.json")), abs=1e-4)


def start(folder: Path, *settings: str, **more: Any) -> subprocess.Popen:
    command = [sys.executable, "-m", "skufp", *settings]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def wait_for(pattern: str, folder: Path, process: subprocess.Popen) -> Path:
    deadline = time.monotonic() + 180
    while not (found := sorted(folder.glob(pattern))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found[0]


def other_process(folder: Path, process: subprocess.Popen) -> int:
    """The second process of a fit, once it was started."""
    wait_for("runs/retriever/.*/processes/process-1.log", folder, process)
    deadline = time.monotonic() + 60
    while True:  # its log is there before it is
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for pid in children:
            if b"skufp.stages.fit.process" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_fit_goes_on_with_other_numbers_of_processes_and_workers(tmp_path, chain, beside, only) -> None:
    """And one whose newest checkpoint was cut short goes on from the one before."""
    settings = [*chain.settings, "stage=retriever", "model.training.steps=24", "trainer.checks=12"]
    for name in ("whole", "part"):
        (tmp_path / name).mkdir()
        beside(tmp_path / name, "prepare")
    with start(tmp_path / "whole", *settings) as whole:
        assert whole.wait() == 0
    with start(tmp_path / "part", *settings, "trainer.devices=2", "workers=4", start_new_session=True) as process:
        wait_for("runs/retriever/.*/checkpoints/resume-step=6.ckpt", tmp_path / "part", process)
        os.killpg(process.pid, signal.SIGKILL)
    newest = sorted((tmp_path / "part").glob("runs/retriever/.*/checkpoints/resume-*.ckpt"), key=os.path.getmtime)[-1]
    newest.write_bytes(newest.read_bytes()[:-1000])
    with start(tmp_path / "part", *settings, "workers=1") as process:
        out, err = process.communicate()
        assert process.returncode == 0, err
    assert f"{newest.name} cannot be read" in out.replace("\n", " ")
    folders = [only(tmp_path / name, "retriever") for name in ("whole", "part")]
    assert_same(*folders)


@pytest.mark.slow
def test_a_process_that_fails_ends_the_run_and_says_why(tmp_path, chain, beside) -> None:
    beside(tmp_path, "prepare")
    settings = [*chain.settings, "stage=retriever", "model.training.steps=500", "trainer.devices=2"]
    with start(tmp_path, *settings) as process:
        os.kill(other_process(tmp_path, process), signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "process 1 of the fit failed" in err
    assert not list(tmp_path.glob("runs/retriever/*/manifest.json"))


@pytest.mark.slow
def test_other_processes_end_when_the_first_is_killed(tmp_path, chain, beside) -> None:
    beside(tmp_path, "prepare")
    settings = [*chain.settings, "stage=retriever", "model.training.steps=500", "trainer.devices=2"]
    with start(tmp_path, *settings) as process:
        other = other_process(tmp_path, process)
        process.kill()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{other}").exists() and "Z" not in Path(f"/proc/{other}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_under_torchrun_the_others_follow_the_first(tmp_path, chain, beside, only) -> None:
    beside(tmp_path, "prepare")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "skufp"]
    settings = [*chain.settings, *ALONE, "stage=fingerprint"]
    result = subprocess.run([*command, *settings], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Plan") == 1
    assert_same(chain.folders["retriever"], only(tmp_path, "retriever"))
    assert only(tmp_path, "fingerprint")
