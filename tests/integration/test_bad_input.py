"""Mistakes a user makes: one line that says what is wrong and what to type, exit code 2, no traceback."""

import shutil

import pytest
from PIL import Image


def refused(result, *words):
    assert result.code == 2, result.out + result.err
    assert "Traceback" not in result.err + result.out
    error = result.err[result.err.index("error:") :]
    for word in words:
        assert word in error, error
    return error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=siglipp"], ["Did you mean 'siglip'"]),
        (["model.training.step=3"], ["model.training.step", "Did you mean 'steps'"]),
        (["+data.foo=1"], ["data.foo"]),
        (["trainer=gpu", "trainer.devices=99"], ["trainer."]),
        (["trainer.accelerator=tpu"], ["trainer.accelerator=tpu", "Choose auto, cpu, gpu"]),
        (["trainer.checks=0"], ["trainer.checks=0", "1 or more"]),
        (["stage=serch"], ["Did you mean 'search'"]),
        (["serch"], ["name=value"]),
        (["-m", "ablation=none,men_pool"], ["Did you mean 'mean_pool'"]),
        (["stage=search"], ["--image photo.jpg"]),
        (["--text", " "], ["--text needs a value"]),
        (["--image", "nowhere.jpg"], ["nowhere.jpg", "no such file"]),
        (["model.encoder._target_=os.system"], ["os.system"]),
        (["stages.fingerprint.keep=bestt"], ["stages.fingerprint.keep=bestt", "Did you mean 'best'"]),
        (["data.text=attribute"], ["data.text=attribute", "Did you mean 'attributes'"]),
        (["query.filter.=red"], ["query.filter.<field>=<value>"]),
        (["--text", "tee", "query.filtr.colour=red"], ["query.filtr.colour", "Did you mean 'filter'"]),
        (["stages.fingerprint.folds=1"], ["stages.fingerprint.folds=1", "2 or more"]),
        (["loss.weights.smoth_ap=1"], ["Did you mean 'smooth_ap'"]),
        (["-m", "--config-name", "sedes"], ["Did you mean 'seeds'"]),
        (["stage=bundle", "policy=fixed"], ["policy=fixed tries an action in stage=search", "policy=default"]),
        (["stage=bundle", "stages.bundle.leave_out=[index]"], ["without 'index' a bundle answers nothing"]),
        (["stage=bundle", "stages.bundle.leave_out=[thumbnail]"], ["Did you mean 'thumbnails'"]),
        (["stage=bundle", "stages.bundle.leave_out=thumbnails"], ["is no list", "leave_out=[thumbnails]"]),
        (["stage=bundle", "stages.bundle.leave_out=null"], ["is no list"]),
        (["stage=bundle", "stages.bundle.attributes=maybe"], ["choose true or false"]),
        (["stage=bundle", "export_to=/etc"], ["holds something else than a bundle"]),
        (["stage=prepare", "data=deepfashion2"], ["data.root"]),
        (["stage=prepare", "data=deepfashion2", "data.root=nowhere"], ["nowhere", "no such folder"]),
        (["stage=prepare", "data=catalogue", "data.manifest=none.csv"], ["none.csv", "no such file"]),
        (["stage=prepare", "data=folder", "data.root=."], ["no photos there"]),
        (["stage=prepare", "data=deepfashion2", "data.root=."], ["not in DeepFashion2 layout"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes_get_a_line(command, tmp_path, arguments, words):
    refused(command(tmp_path, *arguments, "progress=false"), *words)


def test_a_query_that_is_no_image(chain, command):
    note = chain.folder / "note.jpg"
    note.write_text("this is no picture")
    refused(command(chain.folder, *chain.settings, "--image", str(note)), "note.jpg", "not an image")
    empty = chain.folder / "empty.jpg"
    empty.touch()
    refused(command(chain.folder, *chain.settings, "--image", str(empty)), "empty.jpg", "zero-byte")


def test_a_manifest_without_a_needed_column(command, tmp_path):
    (tmp_path / "products.csv").write_text("id,picture\n1,a.jpg\n")
    settings = ["stage=prepare", "data=catalogue", "data.manifest=products.csv"]
    refused(command(tmp_path, *settings), "no column 'sku'", "id, picture")


def test_missing_weights_name_the_way_out(command, tmp_path, chain, beside):
    beside(tmp_path, "prepare")
    settings = [*chain.settings, "stage=retriever", "model=siglip", "model.pretrained=no/such-model"]
    refused(command(tmp_path, *settings), "model.pretrained=<folder>", "HF_HOME")


def test_missing_and_unlabelled_splits_are_reported(command, tmp_path, chain, only, read):
    root = tmp_path / "df2"
    shutil.copytree(chain.folders["prepare"] / "generated", root)
    shutil.rmtree(root / "test" / "annos")
    shutil.rmtree(root / "validation")
    settings = ["stage=prepare", "data=deepfashion2", f"data.root={root}", "progress=false", "workers=1"]
    result = command(tmp_path, *settings)
    assert result.code == 0, result.err
    assert "split test is skipped" in result.err
    report = read(only(tmp_path, "prepare") / "report.json")
    assert set(report["absent_splits"]) == {"validation", "test"}
    refused(command(tmp_path, *settings, "data.splits=[validation,test]"), "validation", "no labels")


def test_own_catalogue_reports_bad_rows_and_answers(command, tmp_path, chain, only, read):
    crops = sorted((chain.folders["prepare"] / "train" / "catalog").rglob("*.jpg"))[:24]
    photos = tmp_path / "my photos, new"
    photos.mkdir()
    rows = ["sku,image,title"]
    for i, crop in enumerate(crops):
        shutil.copy(crop, photos / f"p {i}.jpg")
        rows.append(f'SKU {i // 2}/x,"my photos, new/p {i}.jpg",red thing {i // 2}')
    (photos / "broken.jpg").write_bytes(crops[0].read_bytes()[:500])
    (photos / "empty.jpg").touch()
    Image.new("RGBA", (40, 50), (255, 0, 0, 0)).save(photos / "clear.png")
    rows += ['B1,"my photos, new/broken.jpg"', 'B2,"my photos, new/empty.jpg"', "B3,gone.jpg", ",x.jpg", "B4,"]
    rows += ['B5,"my photos, new/clear.png",see-through']
    (tmp_path / "products.csv").write_text("\n".join(rows), encoding="utf-8-sig")
    settings = ["data=catalogue", "data.manifest=products.csv", *chain.settings[1:]]
    result = command(tmp_path, *settings, "--text", "red thing")
    assert result.code == 0, result.err
    report = read(only(tmp_path, "prepare") / "report.json")
    assert sum(row["catalog"] for row in report["splits"].values()) == 25
    reasons = report["skipped_by_reason"]
    assert sum(reasons.values()) == 5
    assert (
        reasons["zero-byte image"] == reasons["image file is missing"] == reasons["no sku"] == reasons["no image"] == 1
    )
    refused(command(tmp_path, *settings, "stage=evaluate"), "nothing to measure")


@pytest.mark.slow
def test_flat_folder_of_photos(command, tmp_path, chain, read):
    for i, crop in enumerate(sorted((chain.folders["prepare"] / "train" / "catalog").rglob("*.jpg"))[:10]):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(crop, tmp_path / "photos" / f"shirt #{i} (new).jpg")
    settings = ["data=folder", "data.root=photos", *chain.settings[1:]]
    photo = tmp_path / "photos" / "shirt #3 (new).jpg"
    result = command(tmp_path, *settings, "--image", str(photo))
    assert result.code == 0, result.err
    answer = read(next((tmp_path / "runs" / "search").glob("*/results.json")))[0]
    assert answer["hits"][0]["sku_id"] == photo.name
    assert answer["hits"][0]["score"] == pytest.approx(1, abs=1e-3)
    by_text = command(tmp_path, *settings, "--text", "navy tee")
    assert by_text.code == 0
    assert "has learnt no words" in by_text.err
