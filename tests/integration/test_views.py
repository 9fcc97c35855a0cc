"""Generated views through the real command line: made, filtered, reported, and mixed into the fingerprint."""

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from skufp.artifacts.records import CATALOG, CropRecord, read_records
from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, COUNTERFACTUAL_FILE, FILE, VIEW, ViewRow, read_views
from skufp.data.view_mix import room
from skufp.data.view_shards import read_view_shards, shard_name

pytestmark = pytest.mark.slow
CAP, MOST = 2.0, 5
# Few steps, and a filter that lets near everything pass: what little training draws is not the point here.
SMALL = (
    "judge=siglip_tiny", "judge.training.steps=4", "judge.training.skus_per_batch=8", "augmenter.training.steps=6",
    "augmenter.training.batch_size=8", "stages.augmenter.callbacks.samples={count: 2, steps: 1}", "trainer.checks=1",
    "stages.views.planted=50", "stages.views.part_skus=10", f"views.mix.cap={CAP}", f"views.mix.views={MOST}",
    "+views.filter={own_floor: 0.96, margin: -0.02, colour_ceiling: 1.0, category_floor: 0, hard_floor: -1}",
)  # fmt: skip
FEW = "views.generator.steps=3"
SPLITS = ("train", "dev", "validation")


@pytest.fixture(scope="session")
def drawn(command: Any, chain: Any, beside: Any, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The finished stage=views beside the small chain's catalogue and retriever: folder, settings, output."""
    folder = tmp_path_factory.mktemp("views")
    beside(folder, "prepare", "retriever")
    settings = (*chain.settings, *SMALL)
    result = command(folder, "stage=views", FEW, *settings)  # implies views=dit
    assert result.code == 0, result.out + result.err
    return SimpleNamespace(folder=folder, settings=settings, output=result.out)


@pytest.fixture(scope="session")
def made(drawn: SimpleNamespace, only: Any) -> Path:
    """The folder of stage=views."""
    return only(drawn.folder, "views")


@pytest.fixture(scope="session")
def photos(drawn: SimpleNamespace, only: Any) -> list[CropRecord]:
    """The real catalogue views of the splits that want more."""
    prepared = only(drawn.folder, "prepare")
    records = [r for split in SPLITS for r in read_records(prepared / f"{split}_image_text.jsonl")]
    return [r for r in records if r.domain == CATALOG]


@pytest.fixture(scope="session")
def rows(made: Path) -> list[ViewRow]:
    """The table of views and controls."""
    return read_views(made / FILE)


def test_the_plan_goes_by_judge_and_augmenter(drawn: SimpleNamespace, only: Any) -> None:
    assert only(drawn.folder, "retriever")  # the chain's own: nothing was trained beside it
    plan = [line.split()[0] for line in drawn.output.splitlines()[2:7]]
    assert plan == ["prepare", "retriever", "judge", "augmenter", "views"]
    assert "accelerate" not in drawn.output  # diffusers' advice is not for our users
    assert "contact_sheet.html" in drawn.output.replace("\n", "")


def test_the_augmenter_leaves_a_diffusers_model_and_sample_grids(drawn: SimpleNamespace, only: Any, read: Any) -> None:
    from skufp.models.dit import ViewDiT

    folder = only(drawn.folder, "augmenter")
    about = read(folder / "augmenter.json")
    assert set(about) == {"latents", "actions", "image_size", "drafts", "encoder"}
    assert ViewDiT.from_pretrained(folder / "dit").config["actions"] == len(about["actions"])
    assert list((folder / "samples").glob("step-*.png"))
    assert read(folder / "metrics.json")["steps"] == 6


def test_every_candidate_is_a_row(rows: list[ViewRow], photos: list[CropRecord]) -> None:
    """Every action of every SKU with room; then those that failed, while there is room."""
    actions = {"front", "back", "flat", "zoom", "background"}
    real = Counter(r.sku for r in photos)
    expected = Counter()
    first = {(r.sku, r.action): r.kept for r in rows if r.kind == VIEW and r.round == 0}
    for sku, count in real.items():
        wanted = room(count, CAP, MOST)
        if wanted:
            kept = {action for action in actions if first.get((sku, action))}
            expected.update((sku, action, 0) for action in actions)
            expected.update((sku, action, 1) for action in actions - kept if len(kept) < wanted)
    assert Counter((r.sku, r.action, r.round) for r in rows if r.kind == VIEW) == expected
    assert {sku for sku, count in real.items() if count < MOST} == {r.sku for r in rows if r.kind == VIEW}
    sources = {(*r.sku, r.view_id) for r in photos}
    assert {(*r.sku, r.source_view) for r in rows} <= sources
    assert all(bool(r.reason) is not r.kept for r in rows)


def test_every_kept_view_has_its_control(rows: list[ViewRow]) -> None:
    kept = Counter((r.sku, r.source_view) for r in rows if r.kind == VIEW and r.kept)
    assert kept == Counter((r.sku, r.source_view) for r in rows if r.kind == CONTROL)
    assert kept.total() > 5
    assert all(r.kept for r in rows if r.kind == CONTROL)


def test_counterfactuals_are_a_table_of_their_own_and_of_train_alone(made: Path, photos: list[CropRecord]) -> None:
    rows = read_views(made / COUNTERFACTUAL_FILE)
    pairs = {r.sku_id: r.pair_id for r in photos if r.split == "train"}
    assert Counter(r.sku_id for r in rows) == dict.fromkeys(pairs, 1)
    assert {(r.split, r.kind) for r in rows} == {("train", COUNTERFACTUAL)}
    assert any(r.kept for r in rows)
    for row in rows:
        siblings = {sku for sku, pair in pairs.items() if pair == row.pair_id and sku != row.sku_id}
        assert row.toward_sku in (siblings or set(pairs) - {row.sku_id})


def test_shards_hold_the_pictures_of_the_rows(made: Path, rows: list[ViewRow], read: Any) -> None:
    everything = rows + read_views(made / COUNTERFACTUAL_FILE)
    found = {}
    for file in sorted((made / "shards").glob("*.tar")):
        for row, picture in read_view_shards([file]):
            assert file.name == f"{shard_name(row)}-{row.part:06d}.tar"
            assert picture.shape == (64, 64, 3)
            found[row.split, row.view_id] = row
    assert found == {(r.split, r.view_id): r for r in everything}
    index = {name: entry["samples"] for name, entry in read(made / "shards" / "index.json").items()}
    assert index == Counter(shard_name(r) for r in everything)
    assert len({r.part for r in rows}) > 2


def test_the_report_says_everything_the_issue_asks_for(made: Path, rows: list[ViewRow], read: Any) -> None:
    report = read(made / "report.json")
    assert set(report) == {
        "candidates", "kept", "share", "median_distance", "median_structure", "by_action", "reasons", "by_round",
        "distances", "structure", "beyond_classic", "by_views", "counterfactuals", "planted", "train_loss", "notes",
    }  # fmt: skip
    assert report["kept"] == sum(r.kept for r in rows if r.kind == VIEW)
    assert set(report["distances"]) == set(report["structure"]) == {"kept", "classic", "blurred", "real"}
    assert set(report["planted"]) == {"random", "siblings", "held_out"}
    assert report["planted"]["random"]["count"] == 50
    assert set(report["by_views"]) == {"1", "2-3", "4+"}


def test_the_contact_sheet_needs_no_other_file(made: Path, rows: list[ViewRow]) -> None:
    page = (made / "contact_sheet.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert not re.search(r"url\((?!data:)|@import|<script|<link", page)
    assert page.count('src="data:image/') > 2 * len({r.sku for r in rows if r.kind == VIEW and r.kept})
    for sku in {r.sku_id for r in rows if r.kind == VIEW}:
        assert sku in page


def _generated(command: Any, drawn: SimpleNamespace, *settings: str) -> tuple[Counter[tuple[str, str]], Any]:
    """Embed with ``settings``; return the number of generated views of every SKU, and the table."""
    done = "embed/*/manifest.json"
    before = set((drawn.folder / "runs").glob(done))
    result = command(drawn.folder, *drawn.settings, *settings)
    assert result.code == 0, result.out + result.err
    (manifest,) = set((drawn.folder / "runs").glob(done)) - before
    table = pq.read_table(manifest.parent / "rows.parquet")
    rows = [row for row in table.to_pylist() if row["generated"]]
    return Counter((row["split"], row["sku_id"]) for row in rows), rows


def test_generated_and_classic_views_join_in_equal_numbers(
    command: Any, drawn: SimpleNamespace, rows: list[ViewRow], photos: list[CropRecord]
) -> None:
    kept = Counter(r.sku for r in rows if r.kind == VIEW and r.kept)
    real = Counter(r.sku for r in photos)
    expected = {sku: n for sku, count in kept.items() if (n := min(count, room(real[sku], CAP, MOST)))}
    dit, dit_rows = _generated(command, drawn, "stage=fingerprint", "views=dit", FEW)
    control, control_rows = _generated(command, drawn, "stage=embed", "views=dit", "views.take=control", FEW)
    assert dit == control == expected
    assert {row["view_id"] for row in dit_rows} <= {r.view_id for r in rows if r.kind == VIEW and r.kept}
    assert {row["view_id"] for row in control_rows} <= {r.view_id for r in rows if r.kind == CONTROL}
    assert list((drawn.folder / "runs").glob("fingerprint/*/manifest.json"))


def test_views_none_have_nothing_to_draw(command: Any, drawn: SimpleNamespace) -> None:
    result = command(drawn.folder, "stage=views", "views=none", *drawn.settings)
    assert result.code == 2
    assert "error: stage=views draws nothing with views=none: write views=dit, classic or img2img" in result.err
    assert "Traceback" not in result.err


def test_classic_views_go_the_same_way(command: Any, drawn: SimpleNamespace) -> None:
    got, rows = _generated(command, drawn, "stage=embed", "views=classic")
    assert got
    assert all(row["view_id"].startswith("view-") for row in rows)
    assert all(split in SPLITS for split, _ in got)
