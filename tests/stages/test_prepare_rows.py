"""stage=prepare on tables with odd rows and files: its report accounts for every row, and says so in its last lines."""

import io
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from skufp.artifacts.folder import read_json
from skufp.artifacts.records import read_records
from skufp.data import crops
from skufp.data.accounts import UnaccountedRowsError
from skufp.errors import UserError
from skufp.output import PlainConsole
from skufp.stages import prepare

FILES = ["good.jpg", "good.png", "good.tif", "bad.tif", "cut.png", "empty.jpg", "text.jpg", "gone.jpg", "link.jpg",
         "folder.jpg", "x" * 400 + ".jpg", ""]  # fmt: skip


def _files(folder: Path) -> None:
    picture = Image.effect_noise((40, 30), 60).convert("RGB")
    for name in ("good.jpg", "good.png", "good.tif", "bad.tif", "cut.png"):
        picture.save(folder / name)
    data = bytearray((folder / "bad.tif").read_bytes())
    start = int.from_bytes(data[4:8], "little")
    entries = range(start + 2, start + 2 + 12 * int.from_bytes(data[start : start + 2], "little"), 12)
    strips = next(at for at in entries if int.from_bytes(data[at : at + 2], "little") == 273)
    data[strips + 2] = 2  # the strips lie at a text: Pillow raises TypeError
    (folder / "bad.tif").write_bytes(data)
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:200])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not a picture")
    (folder / "link.jpg").symlink_to("nowhere.jpg")
    (folder / "folder.jpg").mkdir()


def _run(table: Path, out: Path, *splits: str, only_pairs: bool = False) -> tuple[dict[str, Any], str]:
    data = {
        "name": "catalogue", "source": {"_target_": "skufp.data.sources.Catalogue", "manifest": str(table)},
        "splits": list(splits or ("train", "validation")), "dev_share": 0.3, "held_out_share": 0.2, "margin": 0.0,
        "only_pairs": only_pairs, "max_side": 64, "shard_size": 100, "export_to": None,
    }  # fmt: skip
    cfg: DictConfig = OmegaConf.create({"data": data, "workers": 1, "progress": False})
    out.mkdir()
    prepare.run(cfg, {}, out)
    shown = io.StringIO()
    prepare.show(cfg, out, PlainConsole(file=shown, width=100))
    return read_json(out / "report.json"), shown.getvalue()


def _images(out: Path) -> list[int]:
    return [int(r.image_id) for path in out.glob("*_image_text.jsonl") for r in read_records(path)]


def test_usual_spellings_are_read_and_the_rest_is_told(tmp_path: Path) -> None:
    _files(tmp_path)
    rows = ["A,good.jpg,train", "B,good.jpg,val", "C,good.png,Train", "D,good.jpg,test", "E,good.jpg,hold[out]",
            "E,good.tif,hold[out]", "B,good.tif,holdout"]  # fmt: skip
    (tmp_path / "p.csv").write_text("\n".join(["sku,image,split", *rows]))
    report, shown = _run(tmp_path / "p.csv", tmp_path / "out")
    assert report["rows"] == {"read": 7, "kept": 3, "left_out": 4}
    assert {split: row["skus"] for split, row in report["splits"].items()} == {"train": 1, "dev": 1, "validation": 1}
    unknown = "unknown split 'hold[out]': use train, validation or test"
    assert report["skipped_by_reason"] == {
        unknown: 2, "split test is not in data.splits": 1, unknown.replace("[out]", "out"): 1,
    }  # fmt: skip
    assert report["lost_products"] == [{"split": "hold[out]", "id": "E", "reason": unknown}]
    assert "7 rows in the source: 3 photos kept, 4 rows left out" in shown
    assert f"skipped 2 x {unknown}" in shown


def test_a_dev_that_the_table_names_is_kept(tmp_path: Path) -> None:
    _files(tmp_path)
    rows = [f"s{i},good.jpg,{split}" for i, split in enumerate(("train", "dev", "train", "train", "val", "train"))]
    (tmp_path / "p.csv").write_text("\n".join(["sku,image,split", *rows]))
    report, _ = _run(tmp_path / "p.csv", tmp_path / "out")
    assert {split: row["skus"] for split, row in report["splits"].items()} == {"train": 4, "dev": 1, "validation": 1}
    assert [r.sku_id for r in read_records(tmp_path / "out" / "dev_image_text.jsonl")] == ["s1"]
    assert report["rows"] == {"read": 6, "kept": 6, "left_out": 0}


def test_a_sku_in_two_splits_is_told(tmp_path: Path) -> None:
    _files(tmp_path)
    rows = ["A,good.jpg,train", "A,good.png,validation", "B,good.jpg,train", "B,good.tif,validation"]
    (tmp_path / "p.csv").write_text("\n".join(["sku,image,split", *rows]))
    report, shown = _run(tmp_path / "p.csv", tmp_path / "out")
    assert report["adjusted_by_reason"] == {"SKU in several splits: it is a product of its own in each": 2}
    assert "kept 2 x SKU in several splits" in shown


def test_files_that_are_no_photos_are_rows_with_their_reason(tmp_path: Path) -> None:
    _files(tmp_path)
    (tmp_path / "p.csv").write_text("\n".join(["sku,image", *(f"s{i},{name}" for i, name in enumerate(FILES))]))
    report, _ = _run(tmp_path / "p.csv", tmp_path / "out")
    reasons = {row["file"]: row["reason"] for row in report["skipped"] if row["file"] in FILES}
    assert reasons == {
        "bad.tif": "image does not decode", "cut.png": "image does not decode", "empty.jpg": "zero-byte image",
        "text.jpg": "not an image", "gone.jpg": "image file is missing",
        "link.jpg": "image file is a link to a file that is missing", "folder.jpg": "not a file",
        FILES[10]: "image file cannot be read",
    }  # fmt: skip
    assert report["skipped_by_reason"]["no image"] == 1
    assert report["rows"] == {"read": 12, "kept": 3, "left_out": 9}
    assert len(report["lost_products"]) == 9


@pytest.mark.parametrize("seed", range(12))
def test_every_row_of_a_random_table_is_kept_once_or_left_out_once(tmp_path: Path, seed: int) -> None:
    _files(tmp_path)
    draw = random.Random(f"prepare {seed}")
    rows = ["first,good.jpg,,train", "first,good.png,user,train"]
    for _ in range(30):
        cells = (["A", "B", "C", "D", "E", ""], FILES, ["", "shop", "user", "billboard"],
                 ["", "train", "Val", "test", "dev", "foo"])  # fmt: skip
        rows.append(",".join(map(draw.choice, cells)))
    rows += draw.choices(rows, k=5)
    (tmp_path / "p.csv").write_text("\n".join(["sku,image,domain,split", *rows]))
    asked = ["train", *draw.sample(["validation", "test"], draw.randrange(3))]
    report, _ = _run(tmp_path / "p.csv", tmp_path / "out", *asked, only_pairs=bool(seed % 2))
    kept, left_out = Counter(_images(tmp_path / "out")), len(rows) - len(_images(tmp_path / "out"))
    assert max(kept.values()) == 1
    assert report["rows"] == {"read": len(rows), "kept": sum(kept.values()), "left_out": left_out}
    assert sum(report["skipped_by_reason"].values()) == left_out == sum(row["count"] for row in report["skipped"])


def test_a_crop_that_vanishes_is_a_loud_fault_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Damage the last step: a crop fails and nobody says so."""
    _files(tmp_path)
    (tmp_path / "p.csv").write_text("sku,image\nA,good.jpg\nB,good.png\nC,gone.jpg\n")
    cut_all = crops.cut_all
    monkeypatch.setattr(crops, "cut_all", lambda *arguments: cut_all(*arguments) * 2)
    with pytest.raises(UnaccountedRowsError, match=r"stage=prepare: 3 rows came in, 2 are kept and 2 .* counted twice"):
        _run(tmp_path / "p.csv", tmp_path / "out")


def test_a_table_of_unknown_splits_says_so(tmp_path: Path) -> None:
    _files(tmp_path)
    (tmp_path / "p.csv").write_text("sku,image,split\nA,good.jpg,foo\nB,good.png,foo\n")
    with pytest.raises(UserError, match=r"2 x unknown split 'foo': use train, validation or test"):
        _run(tmp_path / "p.csv", tmp_path / "out")
