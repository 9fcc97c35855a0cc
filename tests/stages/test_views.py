"""stage=views with classic views on a hand-made catalogue: what it refuses, deals, measures, writes, and resumes."""

import copy
import io
import shutil
from collections import Counter
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from rich.console import Console

from skufp.__main__ import config_folder
from skufp.artifacts.folder import read_json
from skufp.artifacts.records import CATALOG, QUERY, CropRecord, write_records
from skufp.artifacts.views import CONTROL, COUNTERFACTUAL_FILE, FILE, VIEW, ViewRow, read_views
from skufp.data.view_shards import read_view_shards, shard_name
from skufp.errors import UserError
from skufp.models.siglip import tiny_siglip
from skufp.modules.encoder_folder import save_encoder
from skufp.schema import register_schema
from skufp.stages import views
from skufp.stages.views import basis as views_basis
from skufp.stages.views import results as views_results

SIZE = 16
# Split -> pair -> views of each style.
VIEWS = {"train": {1: [1, 3], 2: [2], 3: [4, 2]}, "dev": {4: [2]}, "validation": {5: [1, 2], 6: [3]}}
SETTINGS = {
    "views.generator.size": SIZE, "progress": False, "workers": 0, "threads": 1, "stages.views.part_skus": 2,
    "stages.views.planted": 9, "stages.views.sheet": 3, "views.filter.margin": -0.02, "views.filter.own_floor": -1,
    "views.filter.copy_ceiling": 0.9995, "views.filter.structure_ceiling": 0.9995, "views.mix.cap": 2.0,
    "views.mix.views": 6,
}  # fmt: skip


@cache
def _composed(*choices: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", ["stage=views", "model=siglip_tiny", "judge=siglip_tiny", "trainer=cpu", *choices])


def _settings(**changes: Any) -> DictConfig:
    """Return the settings of small classic views; in names of ``changes`` two underscores stand for a dot."""
    cfg = copy.deepcopy(_composed("views=classic"))
    for name, value in (SETTINGS | {name.replace("__", "."): value for name, value in changes.items()}).items():
        OmegaConf.update(cfg, name, value, force_add=True)
    return cfg


def _records() -> list[CropRecord]:
    """A SKU's catalogue views in a row; every SKU has a query too."""
    result: list[CropRecord] = []
    for split, pairs in VIEWS.items():
        for pair, styles in pairs.items():
            for style, count in enumerate(styles, 1):
                for number, domain in enumerate([CATALOG] * count + [QUERY]):
                    name = f"{split}{pair}{style}{number}"
                    result.append(CropRecord(
                        split=split, sku_id=f"{pair}_{style}", pair_id=pair, style=style, category_id=1 + pair % 2,
                        category_name="skirt", domain=domain, image_path=f"{name}.png", orig_image_path="",
                        image_id=name, item_idx=1, bbox=None, occlusion=1, viewpoint=1 + number % 3,
                        text=f"skirt {pair}", zoom_in=1,
                    ))  # fmt: skip
    return result


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders as prepare and judge leave them: blocks of colours that differ by SKU, and a little by view."""
    folder = tmp_path_factory.mktemp("upstream")
    found = {name: folder / name for name in ("prepare", "judge")}
    found["prepare"].mkdir()
    for record in _records():
        rng = np.random.default_rng([record.pair_id, record.style])
        coarse = rng.integers(40, 200, (3, 3, 3)) + 12 * int(record.image_id[-1])
        Image.fromarray(coarse.astype(np.uint8)).resize((20, 24), 0).save(found["prepare"] / record.image_path)
    for split in VIEWS:
        write_records(found["prepare"] / f"{split}_image_text.jsonl", [r for r in _records() if r.split == split])
    save_encoder(tiny_siglip(16, 8, 32, 2, 2), found["judge"] / "encoder")
    return found


@pytest.fixture(scope="module")
def finished(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("views")
    views.run(_settings(), inputs, folder)
    return folder


# ---- What is refused before anything runs ----


FLIP = "views__actions__flip__"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("views__take", "controls", r"views\.take=controls: write generated, or control"),
        ("views__rounds", 0, r"views\.rounds .* must be 1 or more"),
        ("views__mix__cap", -1, r"views\.mix\.cap 0 or more"),
        ("stages__views__part_skus", 0, r"stages\.views\.part_skus must be 1 or more"),
        (FLIP + "nois", 1, r"views\.actions\.flip has no setting 'nois'\. Did you mean 'noise'\?"),
        (FLIP + "name", "flop", r"views\.actions\.flip has no setting 'name'"),
        (FLIP + "like", "frnt", r"like=frnt: there is no such kind of view\. Did you mean 'front'\?"),
        (FLIP + "toward", "siblings", r"toward=siblings: choose sibling or nearest"),
        (FLIP + "noise", 0, r"noise=0: give a number above 0, at most 1"),
        (FLIP + "noise", 1.1, r"noise=1\.1: give a number above 0"),
        ("views__filter__own_quantile", 2, r"views\.filter\.own_quantile=2\.0: give a quantile"),
    ],
)
def test_settings_that_mean_nothing_are_refused(name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        views.check(_settings(**{name: value}))


def test_no_views_are_refused() -> None:
    with pytest.raises(UserError, match="draws nothing with views=none: write views=dit, classic or img2img"):
        views.check(_composed("views=none"))


@pytest.mark.parametrize("name", ["classic", "dit", "img2img"])
def test_the_choices_that_ship_are_fine(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    views.check(_composed(f"views={name}"))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("name", "warned"), [("dit", True), ("classic", False)])
def test_a_judge_that_also_conditions_the_views_is_warned_of(
    name: str, warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    views.check(_composed(f"views={name}", "model.encoder.seed=1"))
    said = " ".join(capsys.readouterr().err.split())
    assert ("the judge is the encoder that the views were conditioned on" in said) is warned


# ---- How work is dealt ----


def test_splits_are_those_that_are_trained_on_and_searched(inputs: dict[str, Path]) -> None:
    assert views.splits(_settings(), inputs["prepare"]) == ["train", "dev", "validation"]
    assert views.splits(_settings(data__gallery=["test", "train"]), inputs["prepare"]) == [
        "train",
        "dev",
    ]  # test is not there


def test_parts_hold_every_sku_once_siblings_side_by_side(inputs: dict[str, Path]) -> None:
    parts = views.parts(_settings(), inputs)
    assert [(p.number, p.split, p.skus) for p in parts] == [
        (0, "train", ["1_1", "1_2"]), (1, "train", ["2_1", "3_1"]), (2, "train", ["3_2"]), (3, "dev", ["4_1"]),
        (4, "validation", ["5_1", "5_2"]), (5, "validation", ["6_1"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("devices", "count"), [(1, [0]), (2, [0, 1]), ([1, 3], [1, 3])])
def test_devices_are_those_that_were_asked_for(devices: Any, count: list[int]) -> None:
    assert views._devices(_settings(trainer__devices=devices)) == count


# ---- What is measured ----


def test_losses_are_read_in_order_over_all_attempts(tmp_path: Path) -> None:
    for attempt, lines in (("attempt-0", ["1,0.9,", "3,0.7,", "3,,0.5"]), ("attempt-1", ["2,0.8,", "10,0.1,"])):
        folder = tmp_path / "logs" / attempt
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text("\n".join(["step,train/loss,val/loss", *lines]) + "\n")
    assert views_results.train_losses({"augmenter": tmp_path}) == [0.9, 0.8, 0.7, 0.1]
    assert views_results.train_losses({"prepare": tmp_path}) == []


# ---- What is written ----


def _pictures(folder: Path) -> dict[tuple[str, str], tuple[str, ViewRow, np.ndarray]]:
    files = sorted((folder / views.SHARDS).glob("*.tar"))
    return {
        (row.split, row.view_id): (file.name, row, picture)
        for file in files
        for row, picture in read_view_shards([file])
    }


def test_every_row_has_its_picture_in_the_right_shard(finished: Path) -> None:
    rows, pictures = read_views(finished / FILE), _pictures(finished)
    assert len({(r.split, r.view_id) for r in rows}) == len(rows) == len(pictures)
    for row in rows:
        file, kept, picture = pictures[row.split, row.view_id]
        assert file == f"{shard_name(row)}-{row.part:06d}.tar"
        assert asdict(kept) == asdict(row)
        assert picture.shape == (SIZE, SIZE, 3)
    index = read_json(finished / views.SHARDS / "index.json")
    assert {name: entry["samples"] for name, entry in index.items()} == Counter(shard_name(row) for row in rows)


def test_every_action_of_every_sku_is_a_row_and_every_kept_one_has_a_control(finished: Path) -> None:
    rows = read_views(finished / FILE)
    candidates = [r for r in rows if r.kind == VIEW]
    skus = {(r.split, r.sku_id) for r in _records()}
    assert Counter((r.sku, r.action) for r in candidates) == {
        (sku, action): 1 for sku in skus for action in _settings().views.actions
    }
    kept = [r for r in candidates if r.kept]
    assert 10 < len(kept) < len(candidates)
    assert all(bool(r.reason) is not r.kept for r in candidates)
    controls = Counter(r.view_id for r in rows if r.kind == CONTROL)
    assert controls == {f"control-{r.view_id}": 1 for r in kept}
    assert read_views(finished / COUNTERFACTUAL_FILE) == []  # classic views lead nowhere


def test_the_report_is_of_these_rows(finished: Path) -> None:
    rows, report = read_views(finished / FILE), read_json(finished / views.OUTCOME)
    candidates = [r for r in rows if r.kind == VIEW]
    assert report["candidates"] == len(candidates)
    assert report["kept"] == sum(r.kept for r in candidates)
    sources = {(r.split, r.source_view) for r in candidates if r.kept}
    for space in ("distances", "structure"):
        assert report[space]["kept"]["pairs"] == report["kept"] == report[space]["classic"]["pairs"]
        assert report[space]["real"]["pairs"] == 2 * 3 + 6 + 4 * 1  # of SKUs with 3, 4 and 2 views
        assert report[space]["blurred"]["pairs"] == len(sources)
    kept = [r.structure_similarity for r in candidates if r.kept]
    assert report["structure"]["kept"]["median"] == pytest.approx(1 - np.median(kept))
    assert {name: row["skus"] for name, row in report["by_views"].items()} == {"1": 2, "2-3": 6, "4+": 1}
    assert report["planted"]["held_out"]["count"] > 0
    assert report["train_loss"] is None


def test_nothing_of_the_work_in_progress_is_left(finished: Path) -> None:
    assert {p.name for p in finished.iterdir()} == {
        FILE, COUNTERFACTUAL_FILE, views.SHARDS, "thresholds.json", views.OUTCOME, "contact_sheet.html",
        "distances.png",
    }  # fmt: skip


def test_the_outcome_is_printed_with_the_way_to_the_sheet(finished: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    views.show(_settings(), finished, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Why candidates were rejected" in said
    assert str(finished / "contact_sheet.html") in said


def test_a_split_without_catalogue_views_gets_none(inputs: dict[str, Path], tmp_path: Path) -> None:
    prepared = tmp_path / "prepare"
    shutil.copytree(inputs["prepare"], prepared)
    write_records(prepared / "dev_image_text.jsonl", [r for r in _records() if r.split == "dev" and r.domain == QUERY])
    out = tmp_path / "views"
    out.mkdir()
    views.run(_settings(), inputs | {"prepare": prepared}, out)
    assert {r.split for r in read_views(out / FILE)} == {"train", "validation"}


# ---- Killed runs, and several devices ----


def _same(found: Path, expected: Path) -> None:
    """Check tables and shards; scores may differ by how sums were ordered."""
    rows, others = ([asdict(r) for r in read_views(folder / FILE)] for folder in (found, expected))
    assert [r["view_id"] for r in rows] == [r["view_id"] for r in others]
    for row, other in zip(rows, others, strict=True):
        for name, value in other.items():
            assert row[name] == (pytest.approx(value, abs=1e-5) if isinstance(value, float) else value), name
    pictures, expected_pictures = _pictures(found), _pictures(expected)
    assert {k: v[0] for k, v in pictures.items()} == {k: v[0] for k, v in expected_pictures.items()}
    assert all(np.array_equal(pictures[k][2], v[2]) for k, v in expected_pictures.items())
    report, other = (read_json(folder / views.OUTCOME) for folder in (found, expected))
    assert report["kept"] == other["kept"]
    assert report["reasons"] == other["reasons"]


@pytest.fixture
def half_done(inputs: dict[str, Path], tmp_path: Path) -> Path:
    """A run that was killed in its third part: two are whole, of the third there are pictures but no table."""
    out, cfg = tmp_path / "half", _settings()
    out.mkdir()
    views.calibrate_filter(cfg, inputs, out)
    views.make_parts(cfg, inputs, out, views.parts(cfg, inputs)[:3], "cpu")
    (out / views.PARTS / "000002.parquet").unlink()
    for tar in (out / views.SHARDS).glob("*-000002.tar"):
        tar.write_bytes(tar.read_bytes()[:700])
    (out / views.SHARDS / "train-generated-000002.tar.part").write_bytes(b"half of a picture")
    (out / views.PARTS / "000003.part").write_bytes(b"half of a table")
    return out


def test_sources_are_compared_with_themselves_blurred(
    inputs: dict[str, Path], half_done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blurred copy's vector is what the judge kept as its source's structure; in structure it is nearer."""
    cfg = _settings()
    catalogues = {split: views_basis.load_catalogue(inputs, half_done, split) for split in VIEWS}
    rows = [row for file in sorted((half_done / views.PARTS).glob("*.parquet")) for row in read_views(file)]
    kept = {(r.split, r.source_view) for r in rows if r.kind == VIEW and r.kept}
    expected = sorted(
        float(c.real.vectors[i] @ c.real.structure[i])
        for split, c in catalogues.items() for i, r in enumerate(c.records) if (split, r.view_id) in kept
    )  # fmt: skip
    found = views_results.blurred_sources(cfg, inputs, half_done, catalogues, rows)
    assert len(kept) > 2
    assert sorted(found.seen) == pytest.approx(expected, abs=1e-5)
    assert np.median(found.seen) < np.median(found.structure) <= 1 + 1e-5
    monkeypatch.setattr(views_results, "BLURRED", 2)
    few = [views_results.blurred_sources(cfg, inputs, half_done, catalogues, rows) for _ in range(2)]
    assert few[0].seen.tolist() == few[1].seen.tolist()
    assert len(few[0].seen) == len(few[0].structure) == 2
    none = views_results.blurred_sources(cfg, inputs, half_done, catalogues, [r for r in rows if not r.kept])
    assert len(none.seen) == len(none.structure) == 0


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    inputs: dict[str, Path], half_done: Path, finished: Path
) -> None:
    done = [p for p in (half_done / views.SHARDS).glob("*.tar") if p.stem.endswith(("-000000", "-000001"))]
    assert len(done) > 2
    before = {p: p.stat().st_mtime_ns for p in [*done, half_done / "thresholds.json"]}
    views.run(_settings(), inputs, half_done)
    assert {p: p.stat().st_mtime_ns for p in before} == before, "what was done is done again"
    _same(half_done, finished)
    assert {p.name for p in half_done.iterdir()} == {p.name for p in finished.iterdir()}
    assert not list((half_done / views.SHARDS).glob("*.part"))


def test_a_run_that_was_killed_while_it_calibrated_starts_over(
    inputs: dict[str, Path], finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "early"
    (out / views_basis.SEEN).mkdir(parents=True)
    (out / views_basis.SEEN / "train-vectors.npy").write_bytes(b"half of an array")
    views.run(_settings(), inputs, out)
    _same(out, finished)


@pytest.mark.slow
def test_two_devices_make_what_one_makes(inputs: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    out.mkdir()
    views.run(_settings(trainer__devices=2), inputs, out)
    _same(out, finished)


def test_the_schema_names_every_setting_of_the_filter_with_its_default():
    from skufp.generation.filter import FilterSettings
    from skufp.schema.views import ViewFilter

    assert asdict(ViewFilter()) == asdict(FilterSettings())
