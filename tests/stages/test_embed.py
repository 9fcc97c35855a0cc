"""stage=embed: what made views add to it, and that without them nothing changes."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.records import CropRecord, sku_metadata, write_records
from skufp.artifacts.vectors import VectorTable
from skufp.artifacts.views import COUNTERFACTUAL_FILE, FILE, ViewRow, write_views
from skufp.data.shards import decode_sku_sample, raw_samples, shard_files, write_image_shards
from skufp.data.sku_datamodule import SkuDataModule
from skufp.data.view_shards import shard_name, write_view_index, write_view_shard
from skufp.errors import UserError
from skufp.modules.encoder_folder import load_encoder, save_encoder
from skufp.stages import embed
from skufp.stages.fit.exports import save_fingerprints

VIEWS = {("train", 1): 1, ("train", 2): 2, ("train", 3): 4, ("dev", 1): 1}  # split and pair -> real views


def _sku(pair: int) -> str:
    return f"{pair:06d}_01_01"


def _records() -> list[CropRecord]:
    result: list[CropRecord] = []
    for (split, pair), count in VIEWS.items():
        for domain, number in [("catalog", i) for i in range(count)] + [("query", 9)]:
            name = f"{split}{pair}-{domain}{number}"
            result.append(CropRecord(
                split=split, sku_id=_sku(pair), pair_id=pair, style=1, category_id=7, category_name="skirt",
                domain=domain, image_path=f"{name}.png", orig_image_path=f"{name}.png", image_id=name, item_idx=1,
                bbox=None, occlusion=1, viewpoint=2, text=f"a skirt {pair}", scale=2,
                rich_text=f"red skirt {pair}" if pair != 2 else "",
                pool="held_out" if (split, domain) == ("train", "query") else "",
            ))  # fmt: skip
    return sorted(result, key=lambda r: (r.split, r.domain, r.pair_id, r.view_id))


def _picture(seed: int, size: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def _made() -> list[tuple[ViewRow, np.ndarray]]:
    """For every SKU four kept views of two actions, one rejected, four controls, two counterfactuals, one rejected."""
    result = []
    for number, (split, pair) in enumerate(VIEWS):
        source = f"{split}{pair}-catalog0_item1"
        base = ViewRow(
            split=split, sku_id=_sku(pair), pair_id=pair, style=1, category_id=7, category_name="skirt", view_id="",
            kind="view", source_view=source, action="", round=0, seed=1, noise=1.0, toward_sku="", viewpoint=3,
            zoom_in=1, occlusion=2, own_similarity=0.9, source_similarity=0.8, structure_similarity=0.8,
            other_similarity=0.1, other_sku="x", margin=0.0, category_found=7, colour_distance=0.1, kept=True,
            reason="", text=f"a skirt {pair}", part=0,
        )  # fmt: skip
        own = [replace(base, view_id=f"gen-{i}", action=("back", "zoom")[i % 2], margin=0.1 * i) for i in range(4)]
        own += [replace(base, view_id="gen-bad", action="back", margin=9.0, kept=False, reason="copy")]
        own += [replace(base, view_id=f"ctl-{i}", action="classic", kind="control") for i in range(4)]
        own += [replace(base, view_id=f"cf-{i}", kind="counterfactual", toward_sku="x") for i in range(2)]
        own += [replace(own[-1], view_id="cf-bad", kept=False, reason="still its own SKU")]
        result += [(row, _picture(100 * number + i)) for i, row in enumerate(own)]
    return result


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as prepare, retriever and views leave them."""
    from skufp.models.siglip import tiny_siglip

    folder, records = tmp_path_factory.mktemp("upstream"), _records()
    found = {name: folder / name for name in ("prepare", "retriever", "views")}
    for path in found.values():
        path.mkdir()
    for i, r in enumerate(records):
        Image.fromarray(_picture(1000 + i)).save(found["prepare"] / r.image_path)
    for split in ("train", "dev"):
        rows = [r for r in records if r.split == split]
        write_records(found["prepare"] / f"{split}_image_text.jsonl", rows)
        write_json(found["prepare"] / f"{split}_sku_metadata.json", sku_metadata(rows))
    write_image_shards(found["prepare"], records, 100)
    save_encoder(tiny_siglip(16, 8, 16, 1, 2, 0), found["retriever"] / "encoder")
    made = _made()
    write_views(found["views"] / FILE, [row for row, _ in made if row.kind != "counterfactual"])
    write_views(found["views"] / COUNTERFACTUAL_FILE, [row for row, _ in made if row.kind == "counterfactual"])
    for name in {shard_name(row) for row, _ in made}:
        write_view_shard(found["views"] / "shards", name, 0, [item for item in made if shard_name(item[0]) == name])
    write_view_index(found["views"] / "shards")
    return found


def _config(take: str = "generated", cap: float = 2.0, views: int = 5, name: str = "dit") -> DictConfig:
    return OmegaConf.create({
        "threads": 1, "workers": 0, "progress": False, "trainer": {"accelerator": "cpu", "precision": "32-true"},
        "model": {"batch_size": 3}, "data": {"shard_size": 2},
        "views": {"name": name, "take": take, "mix": {"cap": cap, "views": views}},
    })  # fmt: skip


def _run(out: Path, inputs: dict[str, Path], with_views: bool = True, **changes: Any) -> VectorTable:
    out.mkdir()
    own = {name: path for name, path in inputs.items() if with_views or name != "views"}
    embed.run(_config(**changes), own, out)
    return VectorTable.load(out)


@pytest.fixture(scope="module")
def plain(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "embed"
    _run(out, inputs, with_views=False)
    return out


@pytest.fixture(scope="module")
def mixed(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mixed") / "embed"
    _run(out, inputs)
    return out


def _samples(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    return [decode_sku_sample(s) for s in raw_samples(shard_files(folder / "shards", f"{split}-sku"))]


def test_real_rows_and_texts_are_the_same_with_and_without_views(plain: Path, mixed: Path) -> None:
    real, both = VectorTable.load(plain), VectorTable.load(mixed)
    assert len(real) == 12
    assert both.rows.slice(0, 12).equals(real.rows)
    assert np.array_equal(both.vectors[:12], real.vectors)
    assert not any(real.rows["generated"].to_pylist())
    assert all(both.rows["generated"].to_pylist()[12:])
    for name in ("rows.parquet", "vectors.npy"):
        assert (plain / "text" / name).read_bytes() == (mixed / "text" / name).read_bytes()


def test_texts_of_both_kinds_are_encoded_once(inputs: dict[str, Path], plain: Path) -> None:
    texts = VectorTable.load(plain / "text")
    expected = [f"a skirt {pair}" for pair in (1, 2, 3)] + ["red skirt 1", "red skirt 3"]
    assert texts.rows["text"].to_pylist() == expected
    with torch.inference_mode():
        encoded = load_encoder(inputs["retriever"] / "encoder").encode_text(expected).numpy()
    np.testing.assert_allclose(texts.vectors, encoded, atol=1e-5)
    rows = VectorTable.load(plain).rows.to_pylist()
    assert all(row["rich_text"] == ("" if row["pair_id"] == 2 else f"red skirt {row['pair_id']}") for row in rows)


def test_without_views_the_shards_hold_no_negatives_and_nothing_is_reported(plain: Path) -> None:
    assert not any("negatives.npy" in s for s in raw_samples(shard_files(plain / "shards", "train-sku")))
    assert all(s["negatives"].shape == (0, 16) for s in _samples(plain))
    assert not (plain / "generated.json").exists()


def test_made_rows_say_what_they_show_and_count_as_the_mix_says(mixed: Path) -> None:
    rows = VectorTable.load(mixed).rows.to_pylist()[12:]
    # Pair 1: 1 real view, cap 2. Pair 2: 2 real, 5 in all. Pair 3: 4 real, so one more.
    assert Counter((r["split"], r["pair_id"]) for r in rows) == {
        ("train", 1): 2, ("train", 2): 3, ("train", 3): 1, ("dev", 1): 2,
    }  # fmt: skip
    for row in rows:
        assert row["view_id"].startswith("gen-")
        assert row["view_id"] != "gen-bad"
        assert (row["domain"], row["pool"], row["viewpoint"], row["occlusion"], row["zoom_in"]) == (
            "catalog",
            "",
            3,
            2,
            1,
        )
        assert (row["category_id"], row["scale"], row["text"]) == (7, 2, f"a skirt {row['pair_id']}")
        assert row["image_path"] == f"{row['split']}{row['pair_id']}-catalog0.png"
    by_sku = [r["view_id"] for r in rows if (r["split"], r["pair_id"]) == ("train", 1)]
    assert set(by_sku) == {"gen-2", "gen-3"}  # the best of either action


def test_made_vectors_are_those_of_their_pictures(mixed: Path, inputs: dict[str, Path]) -> None:
    encoder, table = load_encoder(inputs["retriever"] / "encoder"), VectorTable.load(mixed)
    pictures = {(row.split, row.sku_id, row.view_id): picture for row, picture in _made()}
    with torch.inference_mode():
        for vector, row in zip(table.vectors[12:], table.rows.to_pylist()[12:], strict=True):
            pixels = encoder.preprocessing(Image.fromarray(pictures[row["split"], row["sku_id"], row["view_id"]]))
            alone = encoder.encode_image(torch.from_numpy(pixels)[None])[0].numpy()
            np.testing.assert_allclose(vector, alone, atol=1e-5)


def test_sku_shards_put_made_views_after_real_ones_and_mark_them(mixed: Path, plain: Path) -> None:
    for old, new in zip(_samples(plain), _samples(mixed), strict=True):
        real = len(old["views"])
        assert np.array_equal(new["views"][:real], old["views"])
        assert np.array_equal(new["queries"], old["queries"])
        assert new["meta"]["generated"] == [0] * real + [1] * (len(new["views"]) - real)
        assert new["meta"]["viewpoint"][real:] == [3] * (len(new["views"]) - real)
        assert len(new["meta"]["view_ids"]) == len(new["views"]) > real
        for name in ("sku_id", "pair_id", "style", "category_name", "query_ids", "pools"):
            assert new["meta"][name] == old["meta"][name]


def test_counterfactuals_are_negatives_and_never_views(mixed: Path, inputs: dict[str, Path]) -> None:
    encoder = load_encoder(inputs["retriever"] / "encoder")
    pictures = {(row.split, row.sku_id, row.view_id): picture for row, picture in _made()}
    assert not any(view.startswith("cf-") for view in VectorTable.load(mixed).rows["view_id"].to_pylist())
    for sample in _samples(mixed):
        assert sample["negatives"].shape == (2, 16)
        for i in range(2):
            own = encoder.preprocessing(Image.fromarray(pictures["train", sample["meta"]["sku_id"], f"cf-{i}"]))
            with torch.inference_mode():
                alone = encoder.encode_image(torch.from_numpy(own)[None])[0].numpy()
            np.testing.assert_allclose(sample["negatives"][i], alone, atol=1e-5)


def test_controls_take_their_place_in_equal_numbers(mixed: Path, inputs: dict[str, Path], tmp_path: Path) -> None:
    control = _run(tmp_path / "embed", inputs, take="control")
    rows, dit = control.rows.to_pylist()[12:], VectorTable.load(mixed).rows.to_pylist()[12:]
    assert all(r["view_id"].startswith("ctl-") and r["generated"] for r in rows)
    assert [(r["split"], r["sku_id"]) for r in rows] == [(r["split"], r["sku_id"]) for r in dit]
    assert all(len(s["negatives"]) == 2 for s in _samples(tmp_path / "embed"))


def test_what_joined_is_counted(mixed: Path) -> None:
    assert read_json(mixed / "generated.json") == {
        "train": {"real": 7, "generated": 6, "counterfactuals": 6},
        "dev": {"real": 1, "generated": 2, "counterfactuals": 2},
    }


def test_a_mix_that_adds_nothing_is_told(
    inputs: dict[str, Path], plain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = _run(tmp_path / "embed", inputs, cap=0.2)
    assert table.rows.equals(VectorTable.load(plain).rows)
    assert "no generated view joins" in capsys.readouterr().err


def test_a_picture_that_is_missing_from_the_shards_is_no_silent_loss(inputs: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "views"
    (broken / "shards").mkdir(parents=True)
    write_json(broken / "shards" / "index.json", {})
    for name in (FILE, COUNTERFACTUAL_FILE):
        (broken / name).write_bytes((inputs["views"] / name).read_bytes())
    with pytest.raises(RuntimeError, match="8 of 8 pictures are not in the shards"):
        _run(tmp_path / "embed", inputs | {"views": broken})


def test_a_photo_that_is_missing_from_the_shards_is_no_vector_of_zeros(inputs: dict[str, Path], tmp_path: Path) -> None:
    prepared = tmp_path / "prepare"
    shutil.copytree(inputs["prepare"], prepared)
    shutil.rmtree(prepared / "shards")
    write_image_shards(prepared, [r for r in _records() if (r.split, r.domain) != ("dev", "query")], 100)
    with pytest.raises(RuntimeError, match="dev: 1 of 2 rows were not seen exactly once"):
        _run(tmp_path / "embed", inputs | {"prepare": prepared}, with_views=False)


def test_a_mix_that_makes_no_sense_is_refused_before_anything_runs() -> None:
    embed.check(_config())
    embed.check(_config(name="none", take="nonsense", cap=0.0))
    with pytest.raises(UserError, match=r"views\.take=generatd.*Did you mean 'generated'"):
        embed.check(_config(take="generatd"))
    for change in ({"cap": 0.0}, {"cap": -1.0}, {"views": 1}):
        with pytest.raises(UserError, match="no view could join"):
            embed.check(_config(**change))  # type: ignore[arg-type]


def test_fingerprints_count_real_and_generated_views_apart(mixed: Path, tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, views: torch.Tensor, mask: torch.Tensor, meta: torch.Tensor) -> torch.Tensor:
            return views.sum(dim=1)

    save_fingerprints(Mean(), SkuDataModule({"embed": str(mixed)}, batch_size=2, seed=0), tmp_path)
    rows = pq.read_table(tmp_path / "skus.parquet").to_pylist()
    assert {(r["split"], r["pair_id"]): (r["views"], r["generated"]) for r in rows} == {
        ("train", 1): (1, 2), ("train", 2): (2, 3), ("train", 3): (4, 1), ("dev", 1): (1, 2),
    }  # fmt: skip
