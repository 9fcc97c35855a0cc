"""Confidence through the real command line: learnt, measured, in the bundle, and said above the results."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import skufp
from skufp.retrieval.confidence.verdict import ABSENT, EXACT, PROBABLY

DONE = ("prepare", "retriever", "embed", "teacher", "fingerprint", "index")


def test_it_is_learnt_from_some_queries_and_measured_on_others(
    chain: Any, command: Any, beside: Any, tmp_path: Path, read: Any, only: Any
) -> None:
    beside(tmp_path, *DONE)
    photo = next(iter(sorted((chain.folders["prepare"] / "validation" / "query").rglob("*.jpg"))))
    strangers = tmp_path / "others"
    strangers.mkdir()
    shutil.copy(photo, strangers / "one.jpg")
    (strangers / "broken.jpg").write_text("no photo")
    settings = [*chain.settings, "stages.confidence.queries=test", "stages.confidence.bootstrap=20"]
    result = command(tmp_path, *settings, "stage=confidence", f"stages.confidence.strangers={strangers}")
    assert result.code == 0, result.out + result.err
    assert "photo: calibrated on" in result.out
    assert "measured on validation" in result.out
    assert "of 1 photos of other products" in result.out
    folder = only(tmp_path, "confidence")
    assert (folder / "calibration.png").stat().st_size > 5000
    report = read(folder / "report.json")
    metrics = read(chain.folders["evaluate"] / "metrics.json")
    assert report["photo"]["measured"]["design_absent"]["queries"] == metrics["queries"]["images"]
    assert report["photo"]["measured"]["right_first"] == pytest.approx(metrics["image"]["fingerprint"]["recall@1"])
    found = command(tmp_path, *settings, "--image", str(photo))
    assert found.code == 0, found.out + found.err
    newest = max((tmp_path / "runs" / "search").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    (answer,) = read(newest / "results.json")
    assert answer["confidence"]["verdict"] in (EXACT, PROBABLY, ABSENT)
    assert answer["confidence"]["verdict"].split()[0] in found.out
    (bundle,) = (tmp_path / "runs" / "bundle").glob("*/bundle.json")
    assert "confidence" in skufp.open(bundle.parent).capabilities


def test_a_catalogue_without_user_photos_calibrates_on_simulated_ones(
    chain: Any, command: Any, tmp_path: Path, read: Any
) -> None:
    (tmp_path / "photos").mkdir()
    for i, crop in enumerate(sorted((chain.folders["prepare"] / "train" / "catalog").rglob("*.jpg"))[:10]):
        shutil.copy(crop, tmp_path / "photos" / f"{i}.jpg")
    settings = ["data=folder", "data.root=photos", "aggregator=mean", "model=siglip_tiny", "model.training.steps=0"]
    result = command(tmp_path, *settings, "trainer=cpu", "progress=false", "workers=1", "--image", "photos/3.jpg")
    assert result.code == 0, result.out + result.err
    newest = max((tmp_path / "runs" / "search").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    assert read(newest / "results.json")[0]["confidence"]["simulated"]
    assert "[calibrated on simulated photos]" in result.out.replace("\n", " ")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("stages.confidence.accept=1.5", "give a share above 0 and below 1"),
        ("stages.confidence.prior=0", "give a share above 0 and below 1"),
        ("stages.confidence.folds=1", "give 2 or more"),
        ("stages.confidence.strangers=nowhere", "there is no such folder"),
    ],
)
def test_mistakes_get_a_line(command: Any, tmp_path: Path, setting: str, said: str) -> None:
    result = command(tmp_path, "stage=confidence", setting, "model=siglip_tiny", "progress=false")
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
