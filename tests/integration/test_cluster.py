"""stage=cluster through the command line: groups, names, pictures and tables of the small generated catalogue."""

import csv

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.vectors import VectorTable


@pytest.fixture(scope="module")
def clustered(chain, beside, command, only, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clustered")
    beside(folder, "prepare", "retriever", "embed", "teacher", "fingerprint")
    settings = ["stage=cluster", *chain.settings, "data.gallery=[train,dev,validation]", "export_to=groups"]
    result = command(folder, *settings)
    assert result.code == 0, result.err
    return only(folder, "cluster"), result.out, folder / "groups"


def test_every_product_is_in_one_group(clustered, chain, read):
    folder, output, _ = clustered
    result = read(folder / "clusters.json")
    skus = VectorTable.load(chain.folders["fingerprint"], "fingerprints.npy", "skus.parquet")
    gallery = skus.where(split=["train", "dev", "validation"])
    listed = [(sku["split"], sku["sku_id"]) for cluster in result["clusters"] for sku in cluster["skus"]]
    assert sorted(listed) == sorted(gallery.sku_keys())
    assert sum(cluster["size"] for cluster in result["clusters"]) == result["products"] == len(gallery)
    assert len({cluster["name"] for cluster in result["clusters"]}) == len(result["clusters"]) >= 2
    assert all(cluster["medoid"]["sku_id"] == cluster["skus"][0]["sku_id"] for cluster in result["clusters"])
    number = {key: i for i, key in enumerate(gallery.sku_keys())}
    for cluster in result["clusters"]:  # the cosines are those to the mean of the group
        own = np.asarray(gallery.vectors)[[number[s["split"], s["sku_id"]] for s in cluster["skus"]]]
        mean = own.mean(axis=0)
        assert [s["cosine"] for s in cluster["skus"]] == pytest.approx(own @ mean / np.linalg.norm(mean), abs=1e-5)
    assert set(result["agreement"]) == {"category", "style", "colour"}
    assert all(cluster["name"].split()[0] in output for cluster in result["clusters"])


def test_the_table_says_the_same(clustered, read):
    folder, _, laid_out = clustered
    result = read(folder / "clusters.json")
    with (folder / "clusters.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [(c["name"], s["split"], s["sku_id"]) for c in result["clusters"] for s in c["skus"]]
    assert [(row["name"], row["split"], row["sku"]) for row in rows] == expected
    assert (laid_out / "clusters.csv").read_bytes() == (folder / "clusters.csv").read_bytes()
    assert not (laid_out / "manifest.json").exists()


def test_the_page_needs_nothing_else_and_pictures_are_there(clustered, read):
    folder, _, _ = clustered
    page = (folder / "clusters.html").read_text(encoding="utf-8")
    clusters = read(folder / "clusters.json")["clusters"]
    assert "http" not in page.replace("data:image", "")
    assert 'src="data:image/jpeg' in page
    assert page.count("<figure") == sum(min(12, cluster["size"]) for cluster in clusters)
    assert page.count("in its middle</b>") == len(clusters)
    for cluster in clusters:
        assert cluster["name"] in page
        with Image.open(folder / cluster["picture"]) as picture:
            assert np.asarray(picture).std() > 5
