"""A views folder's counterfactuals in the retriever's batches, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skufp.artifacts.folder import Manifest
from skufp.artifacts.views import COUNTERFACTUAL, ViewRow
from skufp.data.augment import PhonePhoto
from skufp.data.counterfactuals import decode_png, read_counterfactuals
from skufp.data.image_datamodule import ImageDataModule
from skufp.data.sku_batches import SkuGroup
from skufp.data.view_shards import shard_name, write_view_index, write_view_shard
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

FIRST, SECOND, DEV = "000001_01_01", "000003_02_01", "000002_01_01"
COUNTS = {("train", FIRST): 2, ("train", SECOND): 1, ("dev", DEV): 1}
TRAINING = {"skus_per_batch": 4, "images_per_sku": 2, "siblings": 2}
BASE = ViewRow(
    split="train", sku_id="", pair_id=1, style=1, category_id=1, category_name="skirt", view_id="",
    kind=COUNTERFACTUAL, source_view="v", action="counterfactual", round=0, seed=0, noise=0.7, toward_sku="b",
    viewpoint=2, zoom_in=1, occlusion=1, own_similarity=0.9, source_similarity=0.8, structure_similarity=0.8,
    other_similarity=0.5, other_sku="b", margin=0.0, category_found=1, colour_distance=0.1,
    kept=True, reason="", text="", part=0,
)  # fmt: skip


def _red(level: int) -> np.ndarray:
    """No real photo is red, so a picture says where it came from, and the level which one it is."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = level
    return picture


def _folder(path: Path, counts: dict[tuple[str, str], int], stage: str = "views") -> Path:
    """A finished views folder: counterfactual i of the n-th SKU is red 100 + 40n + 20i; a rejected one 255."""
    items = [
        (replace(BASE, split=split, sku_id=sku, view_id=f"cf-{i}"), _red(100 + 40 * n + 20 * i))
        for n, ((split, sku), count) in enumerate(counts.items())
        for i in range(count)
    ]
    items.append((replace(BASE, sku_id=FIRST, view_id="cf-bad", kept=False, reason="far"), _red(255)))
    for name in {shard_name(row) for row, _ in items}:
        write_view_shard(path / "shards", name, 0, [item for item in items if shard_name(item[0]) == name])
    write_view_index(path / "shards")
    Manifest(stage, "key", {}, {}, "0", 1, 0).write(path)
    return path


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _folder(tmp_path_factory.mktemp("views"), COUNTS)


def _data(prepared: Any, negatives: Path | None, **changes: Any) -> ImageDataModule:
    training: dict[str, Any] = TRAINING | {"negatives": None if negatives is None else str(negatives)}
    settings: dict[str, Any] = {"batch_size": 4, "seed": 0, "steps": 12, "workers": 0} | changes
    data = ImageDataModule({"prepare": str(prepared.root)}, training, **settings)
    data.preprocessing = Preprocessing(8)
    return data


def test_only_kept_ones_of_the_split_are_read(views: Path) -> None:
    found = read_counterfactuals(views, "train", {FIRST, SECOND, "another"})
    assert {sku: [int(np.asarray(decode_png(p))[0, 0, 0]) for p in own] for sku, own in found.items()} == {
        FIRST: [100, 120], SECOND: [140],
    }  # fmt: skip


def test_a_batch_brings_one_of_every_sku_that_has_any_and_is_else_the_same(prepared: Any, views: Path) -> None:
    label = {SkuGroup("train", sku, 1).label: sku for sku in (FIRST, SECOND)}
    seen: dict[str, set[int]] = {FIRST: set(), SECOND: set()}
    with_none = 0
    for batch, plain in zip(_data(prepared, views).train_dataloader(), _data(prepared, None).train_dataloader(),
                            strict=True):  # fmt: skip
        assert set(batch) - set(plain) == {"negative_pixels", "negative_sku"}
        assert all(torch.equal(batch[k], plain[k]) for k in ("pixels", "sku", "pair", "is_query"))
        own = batch["negative_sku"].tolist()
        assert sorted(own) == sorted({n for n in batch["sku"].tolist() if n in label})
        assert batch["negative_pixels"].shape == (len(own), 3, 8, 8)
        assert batch["negative_sku"].dtype == torch.long
        with_none += not own
        for number, picture in zip(own, batch["negative_pixels"], strict=True):
            assert float(picture[1].max()) == -1
            seen[label[number]].add(round((float(picture[0].mean()) + 1) * 127.5))
    assert seen == {FIRST: {100, 120}, SECOND: {140}}
    assert with_none  # so that such a batch was seen too


def test_with_augmentation_they_are_varied_as_catalogue_photos_are(prepared: Any, views: Path) -> None:
    batches = list(_data(prepared, views, augmentation=PhonePhoto()).train_dataloader())
    plain = list(_data(prepared, None, augmentation=PhonePhoto()).train_dataloader())
    assert all(torch.equal(a["pixels"], b["pixels"]) for a, b in zip(batches, plain, strict=True))
    pictures = torch.cat([b["negative_pixels"] for b in batches])
    centre = (pictures[:, :, 4, 4] + 1) * 127.5
    assert {round(v) for v in centre[:, 0].tolist()} == {100, 120, 140}  # colours are the truth
    assert (pictures[:, 1].amax(dim=(1, 2)) == 1).any()  # white comes in from outside


def test_without_a_folder_no_batch_knows_them(prepared: Any) -> None:
    assert _data(prepared, None).counterfactuals is None
    data = ImageDataModule({"prepare": str(prepared.root)}, TRAINING, batch_size=4, seed=0, steps=5)
    assert data.counterfactuals is None


def test_what_is_no_views_folder_is_refused(prepared: Any, views: Path, tmp_path: Path) -> None:
    unfinished = _folder(tmp_path / "unfinished", COUNTS)
    (unfinished / "manifest.json").unlink()
    for folder in (tmp_path / "nowhere", unfinished, _folder(tmp_path / "other", COUNTS, stage="embed")):
        with pytest.raises(
            UserError, match=r"model\.training\.negatives=.*not a finished folder of stage=views"
        ) as error:
            _data(prepared, folder)
        assert "python -m skufp stage=views" in str(error.value)


def test_a_folder_without_counterfactuals_is_refused(prepared: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no counterfactual of split train"):
        _data(prepared, _folder(tmp_path / "views", {("dev", DEV): 3}))


def test_a_folder_of_other_data_is_refused(prepared: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"1 of its 2 SKUs are not in split train, e\.g\. stranger"):
        _data(prepared, _folder(tmp_path / "views", {("train", FIRST): 1, ("train", "stranger"): 1}))
