"""The dataset preparation: the shell script, the laid-out folder, and reading it back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def rows(folder, split):
    return [json.loads(line) for line in (folder / f"{split}_image_text.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_script_lays_the_dataset_out_and_prepared_reads_it_back(chain, skufp, tmp_path, only, read):
    root = chain.folders["prepare"] / "generated"
    env = os.environ | {"DF2_ROOT": str(root), "SKU_ROOT": str(tmp_path / "sku root"), "PYTHON": sys.executable}
    env["SPLITS"] = "train validation"
    script = REPOSITORY / "scripts" / "prepare_deepfashion2_sku.sh"
    result = subprocess.run(
        ["bash", str(script), "progress=false"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    laid = tmp_path / "sku root"
    for split in ("train", "dev", "validation"):
        metadata = read(laid / f"{split}_sku_metadata.json")
        records = rows(laid, split)
        assert {r["sku_id"] for r in records} == set(metadata)
        assert all((laid / r["image_path"]).is_file() for r in records)
        assert list((laid / "shards").glob(f"{split}-catalog-*.tar"))
    record = rows(laid, "train")[0]
    assert record["orig_image_path"].startswith("train/image/")
    assert record["text"].startswith(("A catalog photo of", "A user photo of"))
    again = skufp("stage=prepare", "data=prepared", f"data.root='{laid}'", "progress=false", cwd=tmp_path / "sku root")
    assert again.returncode == 0, again.stderr
    counted = read(only(laid, "prepare") / "report.json")["splits"]
    assert counted == read(laid / "report.json")["splits"]
