"""What a stage reads from outside: contents and relative names in the key, places not."""

import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from skufp.artifacts.ledger import SETTLED_NS, Ledger
from skufp.outside import MARK, Outside, without_place
from skufp.pipeline import plan
from skufp.schema import register_schema


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deep" / "model.bin").write_text("numbers")
    (folder / "dangling").symlink_to("nowhere")
    return folder


def _read(
    path: Any, key: str = "model.pretrained", runs: Path | None = None, **more: Any
) -> tuple[dict[str, str], Any]:
    name = key.rpartition(".")[2]
    cfg = OmegaConf.create({"model": {name: path} | more, "runs": str(runs or "runs"), "cache": "cache"})
    return Outside(cfg, Ledger(None)).read([key], {"model": {name: path} | more, "stage": {"lr": 1}})


def test_a_folder_counts_by_its_files_and_not_by_its_place(weights: Path, tmp_path: Path) -> None:
    found, settings = _read(str(weights))
    assert list(found) == ["model.pretrained:0"]
    assert settings == {"model": {"pretrained": MARK}, "stage": {"lr": 1}}
    shutil.copytree(weights, tmp_path / "copy", symlinks=True)
    assert _read(str(tmp_path / "copy")) == (found, settings)
    (tmp_path / "copy" / "deep" / "model.bin").rename(tmp_path / "copy" / "model.bin")
    assert _read(str(tmp_path / "copy"))[0] != found
    (weights / "deep" / "model.bin").write_text("NUMBERS")
    assert _read(str(weights))[0] != found


def test_a_file_counts_by_its_name_and_content(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text("sku")
    assert _read(str(first)) == _read(str(second))
    second = second.rename(second.parent / "y.csv")
    assert _read(str(first))[0] != _read(str(second))[0]
    found, settings = _read([str(first), str(second), "no/such"])
    assert list(found) == ["model.pretrained:0", "model.pretrained:1"]
    assert settings["model"]["pretrained"] == [MARK, MARK, "no/such"]


def test_names_of_nothing_stay_in_the_settings() -> None:
    for value in ("google/siglip", "", None, []):
        assert _read(value) == ({}, {"model": {"pretrained": value}, "stage": {"lr": 1}})


def test_only_settings_of_that_name_lose_their_place() -> None:
    settings = {"data.root": "train/", "data": {"root": "train", "splits": ["train"]}, "deep": [{"root": "other"}]}
    assert without_place(settings, "root", "train") == {
        "data.root": MARK, "data": {"root": MARK, "splits": ["train"]}, "deep": [{"root": "other"}],
    }  # fmt: skip


def test_stage_folders_inside_are_not_read(weights: Path) -> None:
    before = _read(str(weights), runs=weights / "runs")
    (weights / "runs" / "prepare").mkdir(parents=True)
    (weights / "runs" / "prepare" / "crop.jpg").write_text("crop")
    assert _read(str(weights), runs=weights / "runs") == before
    assert _read(str(weights), runs=weights / "elsewhere") != before


def test_a_source_is_asked_once_for_what_it_reads(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("photo")
    (tmp_path / "products.csv").write_text("sku,image\n1,a.jpg\n")
    source = {"_target_": "skufp.data.sources.Catalogue", "manifest": str(tmp_path / "products.csv"), "root": None}
    cfg = OmegaConf.create({"data": {"source": source, "splits": ["train"]}})
    reader = Outside(cfg, Ledger(None))
    first = reader.read(["data.source"], {"data.source": source})
    assert first[1] == {"data.source": source | {"manifest": MARK}}
    assert reader.read(["data.source"], {}) == (first[0], {})
    assert reader.ledger.files_hashed == 2


def test_the_ledger_lies_in_the_cache_and_serves_the_next_plan(weights: Path, tmp_path: Path) -> None:
    cfg = OmegaConf.create({"pretrained": str(weights), "cache": str(tmp_path / "cache")})
    hashed = []
    for _ in range(2):
        reader = Outside(cfg, Ledger(tmp_path / "cache" / "ledger.sqlite", now=lambda: time.time_ns() + 2 * SETTLED_NS))
        reader.read(["pretrained"], {})
        hashed.append(reader.ledger.bytes_hashed)
    assert hashed == [len("{}numbers"), 0]
    assert Outside.of(cfg).ledger.file == tmp_path / "cache" / "ledger.sqlite"
    database = sqlite3.connect(tmp_path / "cache" / "ledger.sqlite")
    assert database.execute("SELECT count(*) FROM content").fetchone() == (2,)
    database.close()


def test_the_generated_catalogue_depends_on_no_file(tmp_path: Path) -> None:
    register_schema()
    keys = []
    for data in ((), (f"data.root={tmp_path}",)):
        with initialize_config_dir(str(Path(__file__).resolve().parents[1] / "conf"), version_base="1.3"):
            cfg = compose("config", ["stage=prepare", f"cache={tmp_path}/cache", f"runs={tmp_path}/runs", *data])
        step = plan(cfg)[0]
        keys.append(step.key)
        (tmp_path / "new.jpg").touch()
    assert keys[0] == keys[1]
    assert not (tmp_path / "cache").exists()
