"""What the views stage reports, from rows made by hand."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.folder import read_json, write_json
from skufp.artifacts.views import ViewRow
from skufp.generation.judge import Likeness
from skufp.generation.planted import share
from skufp.output import PlainConsole
from skufp.reports.views.report import distances_plot, print_views_report, view_distances, views_report


def make_row(distance: float, sku: str = "s1", **changes: Any) -> ViewRow:
    """Return a row whose distance in structure is half of ``distance``, unless it is given."""
    values = {
        "split": "train", "sku_id": sku, "pair_id": 1, "style": 1, "category_id": 1, "category_name": "skirt",
        "view_id": "v", "kind": "view", "source_view": "real-1", "action": "back", "round": 0, "seed": 0, "noise": 0.5,
        "toward_sku": "", "viewpoint": 3, "zoom_in": 1, "occlusion": 1, "own_similarity": 0.9,
        "source_similarity": 1 - distance, "structure_similarity": 1 - distance / 2,
        "other_similarity": 0.5, "other_sku": "s2", "margin": 0.4, "category_found": 1,
        "colour_distance": 0.1, "kept": True, "reason": "", "text": "a skirt", "part": 0,
    }  # fmt: skip
    return ViewRow(**values | changes)


def rejected(reason: str, **changes: Any) -> ViewRow:
    return make_row(0.9, kept=False, reason=reason, **changes)


def controls(*distances: float, **changes: Any) -> list[ViewRow]:
    return [make_row(d, kind="control", action="flip", **changes) for d in distances]


REAL = {("train", "s1"): 1, ("train", "s2"): 1, ("train", "s3"): 3, ("train", "s4"): 9, ("dev", "s1"): 2}
ROWS = [
    make_row(0.2), make_row(0.4, action="zoom"), make_row(0.6, sku="s3", round=1), make_row(0.5, sku="s4"),
    rejected("too far"), rejected("too far; colours", action="zoom"), rejected("colours", sku="s2"),
    rejected("too far", sku="s2", action="zoom", round=1),
    make_row(0.7, kind="counterfactual", action="sibling", toward_sku="s2"),
    rejected("still its own SKU", kind="counterfactual", action="sibling"),
    *controls(0.1, 0.2, 0.3, 0.5, 0.5),
]  # fmt: skip


PAIRS = {
    "blurred": Likeness(np.array([0.6, 0.5, 0.4]), np.array([0.95, 0.9, 0.8])),
    "real": Likeness(np.array([0.5, 0.7]), np.array([0.75, 0.65])),
}


def planted(rejected_of: int, count: int, kind: str = "random") -> dict[str, Any]:
    """What generation.planted says of a kind."""
    return {kind: {"count": count, "rejected": share(rejected_of, count), "kept": share(count - rejected_of, count)}}


def report(rows: list[ViewRow] = ROWS, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"real_views": REAL, "pairs": PAIRS, "planted": {}}
    return views_report(rows, **settings | changes)


def printed(result: dict[str, Any]) -> str:
    console = PlainConsole(width=80, file=io.StringIO())
    print_views_report(result, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_candidates_are_counted_by_action_and_round_without_controls_and_counterfactuals() -> None:
    result = report()
    assert (result["candidates"], result["kept"], result["share"]) == (8, 4, 0.5)
    counts = {k: (v["candidates"], v["kept"], v["share"]) for k, v in result["by_action"].items()}
    assert counts == {"back": (5, 3, 0.6), "zoom": (3, 1, pytest.approx(1 / 3))}
    assert result["by_action"]["back"]["median_distance"] == pytest.approx(0.5)
    assert result["by_action"]["back"]["median_structure"] == pytest.approx(0.25)
    assert {k: v["share"] for k, v in result["by_round"].items()} == {"0": 0.5, "1": 0.5}
    apart = result["counterfactuals"]
    assert (apart["candidates"], apart["kept"]) == (2, 1)
    assert apart["reasons"] == {"still its own SKU": 1}


def test_every_reason_of_a_row_counts_most_frequent_first() -> None:
    assert list(report()["reasons"].items()) == [("too far", 3), ("colours", 2)]


def test_distances_and_their_percentiles() -> None:
    distances = report()["distances"]
    assert distances["kept"]["pairs"] == 4
    assert distances["kept"]["median"] == pytest.approx(0.45)
    assert distances["classic"] == {
        "pairs": 5, "p10": pytest.approx(0.14), "median": pytest.approx(0.3), "p90": pytest.approx(0.5),
    }  # fmt: skip
    assert distances["real"]["median"] == pytest.approx(0.4)
    assert distances["blurred"]["median"] == pytest.approx(0.5)
    unpaired = report(pairs={})
    for space in ("distances", "structure"):
        assert unpaired[space]["real"] is unpaired[space]["blurred"] is None


def test_structure_has_the_same_groups_with_its_own_distances() -> None:
    result = report()
    structure = result["structure"]
    assert list(structure) == list(result["distances"]) == ["kept", "classic", "blurred", "real"]
    assert structure["kept"] == {
        "pairs": 4, "p10": pytest.approx(0.13), "median": pytest.approx(0.225), "p90": pytest.approx(0.285),
    }  # fmt: skip
    assert structure["classic"]["median"] == pytest.approx(0.15)
    assert structure["blurred"] == {
        "pairs": 3, "p10": pytest.approx(0.06), "median": pytest.approx(0.1), "p90": pytest.approx(0.18),
    }  # fmt: skip
    assert structure["real"]["median"] == pytest.approx(0.3)


def test_the_share_beyond_classic_counts_kept_views_alone() -> None:
    rows = [*ROWS, make_row(0.9, structure_similarity=0.9)]  # far, but only because it is soft
    beyond = report(rows)["beyond_classic"]  # kept: 0.2, 0.4, 0.5, 0.6, 0.9; classic: median 0.3, 90th percentile 0.5
    assert beyond == {"median": 0.8, "p90": 0.4, "structure_median": 0.6, "structure_p90": 0.2}
    nothing = {"median": None, "p90": None, "structure_median": None, "structure_p90": None}
    assert report([r for r in ROWS if r.kind != "control"])["beyond_classic"] == nothing
    assert report([r for r in ROWS if not (r.kind == "view" and r.kept)])["beyond_classic"] == nothing


def test_skus_by_number_of_real_views() -> None:
    assert report()["by_views"] == {
        "1": {"skus": 2, "with_views": 1, "views": 2},
        "2-3": {"skus": 2, "with_views": 1, "views": 1},
        "4+": {"skus": 1, "with_views": 1, "views": 1},
    }
    with pytest.raises(ValueError, match=r"no real view, e.g. \('train', 's4'\)"):
        report(real_views={key: n for key, n in REAL.items() if key != ("train", "s4")})


def test_training_loss_compares_the_first_and_the_last_tenth() -> None:
    assert report(train_losses=[8.0, 6.0, *[5.0] * 16, 1.0, 3.0])["train_loss"] == {"first": 7.0, "last": 2.0}
    assert report(train_losses=[1.0])["train_loss"] is None


def test_near_copies_are_called_so() -> None:
    far, near = make_row(0.4), make_row(0.1)
    few = report([far] * 2 + [near] * 8 + controls(0.2, 0.3))["notes"]  # in structure half of these
    assert len(few) == 1
    assert few[0].startswith("the kept views are near-copies of their source: 20% of them")
    assert "in structure (both blurred) than a classic augmentation is (median distance 0.125)" in few[0]
    assert report([far] * 3 + [near] * 7 + controls(0.2, 0.3))["notes"] == []


def test_softness_does_not_hide_a_near_copy() -> None:
    soft, near = make_row(0.9, structure_similarity=0.95), make_row(0.1, structure_similarity=0.6)
    classic = controls(0.3, structure_similarity=0.8)
    [said] = report([soft] * 10 + classic)["notes"]
    assert ": 0% of them" in said
    assert "0.200" in said
    assert report([near] * 10 + classic)["notes"] == []


def test_a_filter_that_keeps_too_little_or_lets_strangers_in_is_called_so() -> None:
    notes = report([make_row(0.4)] * 2 + [rejected("too far")] * 8)["notes"]
    assert notes == ["few views were kept: 2 of 10 candidates (20%)"]
    assert "rejects 90.0% of 10 real views of random other SKUs" in report(planted=planted(9, 10))["notes"][0]
    assert report(planted=planted(19, 20))["notes"] == []
    assert report(planted=planted(0, 0) | planted(0, 10, "siblings"))["notes"] == []


def test_a_loss_that_does_not_fall_is_called_so() -> None:
    assert "did not fall: 1.0000 to 1.0000" in report(train_losses=[1.0, 1.0])["notes"][0]


def test_nothing_drawn_is_a_report_too(tmp_path: Path) -> None:
    empty = report([], real_views={}, pairs={})
    assert (empty["candidates"], empty["kept"], empty["share"], empty["notes"]) == (0, 0, None, [])
    assert "n/a" in printed(empty)
    distances_plot(tmp_path / "distances.png", view_distances([], {}))
    assert Image.open(tmp_path / "distances.png").format == "PNG"


def test_the_report_survives_json_and_prints_in_80_columns(tmp_path: Path) -> None:
    checked = planted(1, 2) | planted(0, 0, "siblings")
    result = report(planted=checked, train_losses=[2.0, 1.0])
    assert result["planted"] == checked
    write_json(tmp_path / "report.json", result)
    assert read_json(tmp_path / "report.json") == result
    text = printed(read_json(tmp_path / "report.json"))
    assert max(len(line) for line in text.splitlines()) <= 80
    rows = [" ".join(line.split()) for line in text.splitlines()]
    for expected in (
        "augmenter's training loss: 2.0000 to 1.0000",
        "back 5 3 60.0% 0.500 0.250",
        "all 8 4 50.0% 0.450 0.225",
        "too far 3 0",
        "still its own SKU 0 1",
        "classic augmentation 5 0.140 0.300 0.500",
        "classic augmentation 5 0.070 0.150 0.250",
        "the source itself, blurred 3 0.060 0.100 0.180",
        "Distance in structure, both blurred (1 - similarity)",
        "kept views beyond the classic median: 75.0%",
        "1 2 1 2",
        "of random other SKUs 2 50.0% 9.5% to 90.5%",
        "of sibling styles 0 n/a",
    ):
        assert expected in rows
    assert "too lenient" in text


def test_markup_in_a_name_stays_text() -> None:
    text = printed(report([make_row(0.3, action="[red]x[/]"), rejected("[bold]y")]))
    assert "[red]x[/]" in text
    assert "[bold]y" in text


def test_the_plot_shows_what_is_known(tmp_path: Path) -> None:
    distances = view_distances(ROWS, {"blurred": PAIRS["blurred"]})
    assert sorted(distances["distances"]["kept"]) == pytest.approx([0.2, 0.4, 0.5, 0.6])
    assert sorted(distances["structure"]["classic"]) == pytest.approx([0.05, 0.1, 0.15, 0.25, 0.25])
    assert len(distances["distances"]["real"]) == len(distances["structure"]["real"]) == 0
    distances_plot(tmp_path / "distances.png", distances)
    picture = np.asarray(Image.open(tmp_path / "distances.png").convert("RGB")).astype(int)
    for panel in np.array_split(picture, 2, axis=1):
        for colour, drawn in (((230, 57, 70), True), ((224, 159, 62), True), ((141, 153, 174), True),
                              ((69, 123, 157), False)):  # fmt: skip
            assert bool((np.abs(panel - colour).max(axis=2) < 4).any()) == drawn
