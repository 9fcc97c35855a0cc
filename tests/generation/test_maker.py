"""The view maker on SKUs of plain colours: who gets views, what is tried again and how, controls, counterfactuals."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skufp.artifacts.records import CATALOG, CropRecord
from skufp.artifacts.views import CONTROL, COUNTERFACTUAL, VIEW, ViewRow
from skufp.data.view_kinds import ViewKinds
from skufp.data.view_mix import choose_views, room
from skufp.generation.filter import FilterSettings, RealViews, Thresholds
from skufp.generation.judge import Looks, colour_histogram
from skufp.generation.maker import LEAST_NOISE, OTHERS, Catalogue, ViewMaker, stable_seed
from skufp.generation.request import ViewCondition, ViewRequest
from skufp.generation.verdicts import COPY, UNLIKE_SKU

SIZE = 8
MIX = {"cap": 2.0, "views": 6}
KINDS = {
    "zoom": {"zoom_in": [2, 3]},
    "front": {"viewpoint": [2]},
    "back": {"viewpoint": [3]},
    "flat": {"viewpoint": [1]},
}
THRESHOLDS = Thresholds(
    own_floor=0.95, margin=0.001, copy_ceiling=0.9995, structure_ceiling=0.9999, category_floor=0.0,
    colour_ceiling=1.0, hard_floor=0.3,
)  # fmt: skip
# A SKU's pair, category, colour and the viewpoints of its views. Red's sibling is yellow, the SKU most like it is pink.
SKUS: dict[str, tuple[int, int, tuple[int, int, int], list[int]]] = {
    "red": (1, 1, (200, 30, 30), [2]),
    "yellow": (1, 1, (200, 200, 30), [3, 2]),
    "pink": (2, 1, (200, 60, 90), [3, 1, 2]),
    "blue": (3, 2, (30, 40, 200), [2, 2, 3, 3, 1, 1]),
    "green": (4, 2, (30, 180, 40), [1, 3]),
}
Colour = tuple[int, int, int]
Drawn = Callable[[ViewRequest], Any]


class Eye:
    """A judge that sees a picture's mean colour; its structure is the same with more grey."""

    def look(self, pictures: Sequence[np.ndarray]) -> Looks:
        if not len(pictures):
            nothing = np.zeros((0, 3), np.float32)
            return Looks(nothing, nothing, np.zeros((0, 256), np.float32))
        means = np.stack([p.reshape(-1, 3).mean(axis=0) for p in pictures]).astype(np.float32)
        vectors, structure = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (means, means + 50))
        return Looks(vectors, structure, np.stack([colour_histogram(p) for p in pictures]))


class Painter:
    """A generator that paints a request in the colour that ``paint`` says, and remembers all requests."""

    size = SIZE

    def __init__(self, paint: Drawn) -> None:
        self.paint = paint
        self.asked: list[ViewRequest] = []

    def to(self, device: Any) -> "Painter":
        return self

    def draw(self, requests: Sequence[ViewRequest]) -> list[np.ndarray]:
        self.asked += requests
        return [np.full((SIZE, SIZE, 3), self.paint(r), np.float64).clip(0, 255).astype(np.uint8) for r in requests]


def copy(request: ViewRequest) -> np.ndarray:
    return request.picture[0, 0]


def good(request: ViewRequest) -> np.ndarray:
    """The source's colour, shifted too little to be another's and too much to be a copy."""
    return request.picture[0, 0] + np.array([0, 12, 12])


def stray(request: ViewRequest) -> Colour:
    return 120, 0, 120


def by_condition(**paints: Drawn) -> Painter:
    return Painter(lambda request: paints[request.condition.name](request))


def _record(split: str, sku: str, number: int, viewpoint: int, mask: bool) -> CropRecord:
    pair, category, _, _ = SKUS[sku]
    name = f"{split}/{sku}-{number}"
    return CropRecord(
        split=split, sku_id=sku, pair_id=pair, style=1, category_id=category, category_name=f"category {category}",
        domain=CATALOG, image_path=f"{name}.png", orig_image_path="", image_id=f"{sku}{number}", item_idx=1, bbox=None,
        occlusion=2, viewpoint=viewpoint, zoom_in=1, text=f"a {sku} thing",
        mask_path=f"{name}-mask.png" if mask else "",
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of the SKUs' colours, each view a little brighter than the last; red has a mask."""
    root = tmp_path_factory.mktemp("prepared")
    for split in ("train", "dev"):
        (root / split).mkdir()
        for sku, (_, _, colour, viewpoints) in SKUS.items():
            for number in range(len(viewpoints)):
                shade = tuple(int(c) + 8 * number for c in colour)
                Image.new("RGB", (10, 12), shade).save(root / split / f"{sku}-{number}.png")
        mask = np.zeros((12, 10), np.uint8)
        mask[3:9] = 255
        Image.fromarray(mask).save(root / split / "red-0-mask.png")
    return root


def _catalogue(prepared: Path, split: str = "train", skus: Sequence[str] = tuple(SKUS)) -> Catalogue:
    records = [_record(split, sku, i, v, sku == "red") for sku in skus for i, v in enumerate(SKUS[sku][3])]
    rows = {sku: [i for i, r in enumerate(records) if r.sku_id == sku] for sku in skus}
    looks = Eye().look([np.asarray(Image.open(prepared / r.image_path)) for r in records])
    about = [[skus.index(r.sku_id) for r in records], [r.pair_id for r in records], [r.category_id for r in records]]
    real = RealViews(looks.vectors, looks.structure, looks.colours, *(np.array(column) for column in about))
    return Catalogue(split, records, real, list(skus), rows)


def _maker(prepared: Path, generator: Painter, *conditions: ViewCondition, **changes: Any) -> ViewMaker:
    settings = {"mix": MIX, "rounds": 2, "noise_step": 0.15, "seed": 7, "control": Painter(good)} | changes
    return ViewMaker(
        prepared, generator, judge=Eye(), thresholds=THRESHOLDS, settings=FilterSettings(),  # type: ignore[arg-type]
        conditions=list(conditions), kinds=ViewKinds(KINDS), **settings,
    )  # fmt: skip


def _make(maker: ViewMaker, catalogue: Catalogue, skus: Sequence[str] | None = None, part: int = 0) -> list[ViewRow]:
    return [row for row, _ in maker.part(catalogue, catalogue.skus if skus is None else skus, part)]


def _of(rows: list[ViewRow], kind: str, sku: str | None = None) -> list[ViewRow]:
    return [r for r in rows if r.kind == kind and sku in (None, r.sku_id)]


FRONT, BACK = (
    ViewCondition("front", "front", 0.8, viewpoint=2, zoom_in=1),
    ViewCondition("back", "back", 0.8, viewpoint=3),
)
SIBLING, NEAREST = (ViewCondition(toward, noise=0.6, toward=toward) for toward in ("sibling", "nearest"))


def test_every_sku_with_room_is_tried_and_no_other(prepared: Path) -> None:
    generator = by_condition(front=good, back=good)
    rows = _make(_maker(prepared, generator, FRONT, BACK), _catalogue(prepared))
    assert room(6, **MIX) == 0  # blue has six views
    expected = Counter({sku: 2 for sku in SKUS if sku != "blue"})
    assert Counter(r.sku_id for r in _of(rows, VIEW)) == expected
    assert len(generator.asked) == 8
    assert all(r.kept and r.reason == "" for r in rows)


def test_only_what_failed_is_tried_again_and_only_while_there_is_room(prepared: Path) -> None:
    third = ViewCondition("third", noise=0.5)
    generator = by_condition(front=good, back=stray, third=good)
    rows = _of(_make(_maker(prepared, generator, FRONT, BACK, third, rounds=3), _catalogue(prepared)), VIEW)
    tried = {sku: [(r.action, r.round) for r in rows if r.sku_id == sku] for sku in SKUS}
    first = [("front", 0), ("back", 0), ("third", 0)]
    assert room(1, **MIX) == 2
    assert tried["red"] == first  # its two wishes are fulfilled
    assert room(3, **MIX) == 3
    assert tried["pink"] == tried["yellow"] == tried["green"] == [*first, ("back", 1), ("back", 2)]
    assert tried["blue"] == []
    assert all((UNLIKE_SKU in r.reasons) is (r.action == "back") is not r.kept for r in rows)


def test_a_sku_gets_at_most_its_room_however_many_are_kept(prepared: Path) -> None:
    conditions = [ViewCondition(f"a{i}", noise=0.5) for i in range(5)]
    catalogue = _catalogue(prepared)
    rows = _make(_maker(prepared, Painter(good), *conditions), catalogue)
    assert len(_of(rows, VIEW, "red")) == 5
    real = {("train", sku): len(own) for sku, own in catalogue.rows.items()}
    for take in ("generated", "control"):
        got = Counter(r.sku_id for r in choose_views(rows, real, take, **MIX))
        assert got == {"red": 2, "yellow": 4, "pink": 3, "green": 4}


@pytest.mark.parametrize(
    ("paint", "start", "expected", "reason"),
    [
        (stray, 0.8, [0.8, 0.65, 0.5, 0.35, LEAST_NOISE, LEAST_NOISE], UNLIKE_SKU),
        (copy, 0.6, [0.6, 0.75, 0.9, 1.0, 1.0, 1.0], COPY),
        (stray, 0.2, [0.2] * 6, UNLIKE_SKU),  # what begins below the least noise is not given more for straying
        (copy, 0.2, [0.2, 0.35, 0.5, 0.65, 0.8, 0.95], COPY),
    ],
)
def test_noise_falls_where_a_view_strayed_and_rises_where_it_copied(
    prepared: Path, paint: Drawn, start: float, expected: list[float], reason: str
) -> None:
    generator = Painter(paint)
    rows = _make(
        _maker(prepared, generator, ViewCondition("any", noise=start), rounds=6), _catalogue(prepared, "dev"), ["red"]
    )
    assert [r.noise for r in rows] == pytest.approx(expected)
    assert [r.noise for r in generator.asked] == pytest.approx(expected)
    assert [r.round for r in rows] == list(range(6))
    assert all(reason in r.reasons and not r.kept for r in rows)
    assert len({r.seed for r in rows}) == 6


def test_views_that_show_most_are_the_first_sources(prepared: Path) -> None:
    generator = Painter(stray)
    rows = _make(_maker(prepared, generator, FRONT, rounds=4), _catalogue(prepared, "dev"), ["pink", "green"])
    sources = {sku: [r.source_view for r in rows if r.sku_id == sku] for sku in ("pink", "green")}
    assert sources["pink"] == ["pink2_item1", "pink1_item1", "pink0_item1", "pink2_item1"]  # front, flat, back, again
    assert sources["green"] == ["green0_item1", "green1_item1"] * 2
    for row, request in zip(rows, generator.asked, strict=True):
        number = int(row.source_view[len(row.sku_id)])
        assert request.picture[0, 0].tolist() == [c + 8 * number for c in SKUS[row.sku_id][2]]


def test_a_row_says_what_was_asked_and_what_the_new_view_is(prepared: Path) -> None:
    generator = by_condition(front=good, back=good)
    rows = _make(_maker(prepared, generator, FRONT, BACK), _catalogue(prepared, "dev"), ["green"], part=3)
    front, back = _of(rows, VIEW)
    assert (front.split, front.sku_id, front.pair_id, front.category_name) == ("dev", "green", 4, "category 2")
    assert (front.kind, front.action, front.round, front.part, front.toward_sku) == (VIEW, "front", 0, 3, "")
    assert (front.text, front.occlusion, front.source_view) == ("a green thing", 2, "green0_item1")
    assert (front.viewpoint, front.zoom_in) == (2, 1)
    assert (back.viewpoint, back.zoom_in) == (3, 1)  # zoom_in as the source's
    assert [(r.seed, r.noise, r.like, r.category) for r in generator.asked] == [
        (front.seed, 0.8, "front", "category 2"), (back.seed, 0.8, "back", "category 2"),
    ]  # fmt: skip


def test_scores_are_those_of_a_naive_search(prepared: Path) -> None:
    maker, catalogue = _maker(prepared, by_condition(front=good, back=stray), FRONT, BACK), _catalogue(prepared)
    for row, picture in maker.part(catalogue, catalogue.skus, 0):
        looks = Eye().look([picture])
        vector = looks.vectors[0].astype(float)
        structure = {r.view_id: float(looks.structure[0] @ catalogue.real.structure[i])
                     for i, r in enumerate(catalogue.records)}  # fmt: skip
        similarity = {r.view_id: float(vector @ catalogue.real.vectors[i]) for i, r in enumerate(catalogue.records)}
        sku_of = {r.view_id: r.sku_id for r in catalogue.records}
        others = {v: s for v, s in similarity.items() if sku_of[v] != row.sku_id}
        assert row.source_similarity == pytest.approx(similarity[row.source_view], abs=1e-6)
        assert row.structure_similarity == pytest.approx(structure[row.source_view], abs=1e-6)
        assert row.structure_similarity != pytest.approx(row.source_similarity, abs=1e-6)
        assert row.own_similarity == pytest.approx(max(s for v, s in similarity.items() if v not in others), abs=1e-6)
        assert row.other_similarity == pytest.approx(max(others.values()), abs=1e-6)
        assert row.other_sku == sku_of[max(others, key=lambda v: others[v])]
        assert row.margin == pytest.approx(row.own_similarity - row.other_similarity)


def test_the_kind_source_is_that_of_the_source_view(prepared: Path) -> None:
    generator = Painter(stray)
    _make(_maker(prepared, generator, ViewCondition("same"), rounds=3), _catalogue(prepared, "dev"), ["pink"])
    assert [r.like for r in generator.asked] == ["front", "flat", "back"]


def test_backgrounds_come_with_the_garment_s_mask_and_other_skus_photos(prepared: Path) -> None:
    background = ViewCondition("background", keep_garment=True)
    generator = by_condition(front=good, background=good)
    _make(_maker(prepared, generator, FRONT, background), _catalogue(prepared, "dev"), ["red", "pink", "green"])
    for request in generator.asked:
        own = request.picture[0, 0].tolist()
        assert (request.mask is not None) is (own == [200, 30, 30])  # always where the record has one
        if request.condition.name == "front":
            assert request.others == ()
            continue
        colours = [photo[0, 0].tolist() for photo in request.others]
        assert len(colours) == 2
        assert own not in colours
        if request.mask is not None:
            assert request.mask.dtype == np.float32
            assert request.mask[:, 0].tolist() == [0.0] * 3 + [1.0] * 6 + [0.0] * 3
    assert len(SKUS) - 1 < OTHERS


def _shown(photo: Any) -> str:
    """Which view a photo or a request shows, as sku-number."""
    colour = photo.picture[0, 0].tolist()
    return next(f"{sku}-{n}" for sku, (_, _, base, views) in SKUS.items() for n in range(len(views))
                if colour == [c + 8 * n for c in base])  # fmt: skip


def _layouts(prepared: Path, kind: str, seeds: int, skus: Sequence[str] = tuple(SKUS)) -> list[dict[str, ViewRequest]]:
    """What every SKU with room is asked for where it wants a view of ``kind``, for each seed."""
    found = []
    for seed in range(seeds):
        generator = Painter(good)
        _make(_maker(prepared, generator, ViewCondition("any", kind), seed=seed), _catalogue(prepared, "dev", skus))
        found.append({_shown(r).split("-")[0]: r for r in generator.asked})
    return found


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("front", {"red": {"yellow-1", "pink-2"}, "pink": {"red-0", "yellow-1"}, "green": {"blue-0", "blue-1"}}),
        ("back", {"red": {"yellow-0", "pink-0"}, "yellow": {"pink-0"}, "green": {"blue-2", "blue-3"}}),
        ("flat", {"red": {"pink-1"}, "pink": {"blue-4", "blue-5", "green-0"}, "green": {"blue-4", "blue-5"}}),
    ],
)
def test_a_layout_is_another_sku_s_view_of_the_kind_of_its_category_if_there_is_one(
    prepared: Path, kind: str, expected: dict[str, set[str]]
) -> None:
    """Of pink's category nothing else lies flat: then any category will do."""
    rounds = _layouts(prepared, kind, seeds=24)
    for sku, views in expected.items():
        assert {_shown(asked[sku].layout) for asked in rounds} == views


def test_a_layout_comes_with_its_mask_and_is_none_where_no_other_sku_has_the_kind(prepared: Path) -> None:
    masks = {_shown(r.layout): r.layout.mask for asked in _layouts(prepared, "front", 8) for r in asked.values()
             if r.layout is not None}  # fmt: skip
    assert masks["red-0"][:, 0].tolist() == [0.0] * 3 + [1.0] * 6 + [0.0] * 3
    assert all(mask is None for view, mask in masks.items() if view != "red-0")
    assert all(r.layout is None for r in _layouts(prepared, "zoom", 1)[0].values())
    assert _layouts(prepared, "front", 1, skus=["red"])[0]["red"].layout is None
    flat = _layouts(prepared, "flat", 1, skus=["red", "yellow", "green"])[0]
    assert [flat[sku].layout is None for sku in ("red", "yellow", "green")] == [False, False, True]


def test_the_same_seed_gives_the_same_layout_however_skus_are_dealt_into_parts(prepared: Path) -> None:
    def make(*parts: list[str]) -> dict[int, str]:
        generator = Painter(stray)
        maker = _maker(prepared, generator, FRONT, BACK, rounds=3)
        for skus in parts:
            _make(maker, _catalogue(prepared), skus)
        return {r.seed: _shown(r.layout) for r in generator.asked}

    together = make(list(SKUS))
    assert len(together) == 4 * 2 * 3
    assert together == make(list(SKUS)) == make(["pink", "red"], ["green"], ["blue", "yellow"])


def test_splits_lend_each_other_no_layouts(prepared: Path) -> None:
    generator = Painter(good)
    maker = _maker(prepared, generator, ViewCondition("any", "flat"))
    _make(maker, _catalogue(prepared, "train", ["red", "pink"]))
    _make(maker, _catalogue(prepared, "dev", ["red", "green"]))
    train, dev = generator.asked[:2], generator.asked[2:]
    assert [r.layout and _shown(r.layout) for r in train] == ["pink-1", None]
    assert [r.layout and _shown(r.layout) for r in dev] == ["green-0", None]


def test_what_keeps_its_garment_leads_elsewhere_or_is_a_control_has_no_layout(prepared: Path) -> None:
    generator, control = Painter(good), Painter(good)
    maker = _maker(prepared, generator, FRONT, ViewCondition("kept", keep_garment=True), SIBLING, control=control)
    _make(maker, _catalogue(prepared))
    layouts = {name: {r.layout is not None for r in generator.asked if r.condition.name == name}
               for name in ("front", "kept", "sibling")}  # fmt: skip
    assert layouts == {"front": {True}, "kept": {False}, "sibling": {False}}
    assert control.asked
    assert all(r.layout is None and r.toward is None for r in control.asked)


def test_every_kept_view_has_one_control_of_the_same_source(prepared: Path) -> None:
    control = Painter(stray)
    maker = _maker(
        prepared, by_condition(front=good, back=stray, same=good), FRONT, BACK, ViewCondition("same"), control=control
    )
    rows = _make(maker, _catalogue(prepared))
    kept, controls = [r for r in _of(rows, VIEW) if r.kept], _of(rows, CONTROL)
    assert Counter((r.sku_id, r.source_view) for r in kept) == Counter((r.sku_id, r.source_view) for r in controls)
    assert {r.view_id for r in controls} == {f"control-{r.view_id}" for r in kept}
    assert all(r.kept and r.reason == "" for r in controls)  # no filter: classic views are kept whatever they are
    assert all(r.action == "mixed" for r in controls)
    assert len(control.asked) == len(kept) == len({r.seed for r in control.asked}) == 8
    for request, row in zip(control.asked, controls, strict=True):
        assert request.picture[0, 0].tolist() == [
            c + 8 * int(row.source_view[len(row.sku_id)]) for c in SKUS[row.sku_id][2]
        ]


def test_a_control_s_picture_is_no_classic_view_s(prepared: Path) -> None:
    """With views=classic the condition mixed is a view, too: another seed, or it would be its own control."""
    rows = _make(_maker(prepared, Painter(good), ViewCondition("mixed")), _catalogue(prepared, "dev"))
    assert len(rows) == len({r.seed for r in rows}) == 8


def test_counterfactuals_are_of_train_alone(prepared: Path) -> None:
    for split, count in (("train", len(SKUS)), ("dev", 0)):
        rows = _make(_maker(prepared, Painter(good), FRONT, SIBLING), _catalogue(prepared, split))
        assert len(_of(rows, COUNTERFACTUAL)) == count
        assert not any(r.action == "sibling" for r in _of(rows, VIEW))


def test_counterfactuals_lead_to_a_sibling_or_else_to_the_nearest_other_sku(prepared: Path) -> None:
    generator, catalogue = Painter(good), _catalogue(prepared)
    rows = _of(_make(_maker(prepared, generator, SIBLING, NEAREST), catalogue), COUNTERFACTUAL)
    toward = {(r.sku_id, r.action): r.toward_sku for r in rows}
    for sku, (pair, *_) in SKUS.items():
        similarity: dict[str, float] = {}
        for other in SKUS:
            pairs = [(a, b) for a in catalogue.rows[sku] for b in catalogue.rows[other]]
            similarity[other] = max(float(catalogue.real.vectors[a] @ catalogue.real.vectors[b]) for a, b in pairs)
        nearest = max((other for other in SKUS if other != sku), key=lambda other: similarity[other])
        siblings = [other for other in SKUS if other != sku and SKUS[other][0] == pair]
        assert toward[sku, "nearest"] == nearest
        assert toward[sku, "sibling"] == (siblings or [nearest])[0]
    assert toward["red", "nearest"] != toward["red", "sibling"] == "yellow"
    assert all(r.noise == 0.6 and r.round == 0 and r.toward_sku != r.sku_id for r in rows)
    for row, request in zip(rows, generator.asked, strict=True):
        assert request.toward is not None
        shade = request.toward.picture[0, 0].astype(int) - SKUS[row.toward_sku][2]
        assert (shade == shade[0]).all()
        assert shade[0] in range(0, 48, 8)


def test_a_counterfactual_that_is_still_its_own_sku_is_rejected(prepared: Path) -> None:
    """One painted as the SKU that it leads to is kept: nearer to it than to its own."""
    generator = by_condition(sibling=lambda r: 0.7 * r.toward.picture[0, 0] + 0.3 * r.picture[0, 0], nearest=copy)
    rows = _of(_make(_maker(prepared, generator, SIBLING, NEAREST), _catalogue(prepared)), COUNTERFACTUAL)
    verdict = {(r.sku_id, r.action): (r.kept, r.reason) for r in rows}
    assert verdict["red", "sibling"] == (True, "")
    assert verdict["red", "nearest"] == (False, "still its own SKU")


def test_one_sku_alone_leads_nowhere(prepared: Path) -> None:
    rows = _make(_maker(prepared, Painter(good), FRONT, SIBLING), _catalogue(prepared, skus=["yellow"]))
    assert _of(rows, COUNTERFACTUAL) == []
    assert {r.other_sku for r in rows} == {""}


def test_ids_are_unique_and_nothing_depends_on_how_skus_are_dealt_into_parts(prepared: Path) -> None:
    def make(*parts: list[str]) -> dict[str, tuple[Any, ...]]:
        maker = _maker(prepared, by_condition(front=good, back=stray, sibling=good), FRONT, BACK, SIBLING)
        rows = [row for skus in parts for row in _make(maker, _catalogue(prepared), skus)]
        found = {r.view_id: (r.seed, r.noise, r.source_view, r.kept, r.reason, r.toward_sku) for r in rows}
        assert len(found) == len(rows) == len({r.seed for r in rows})
        assert all(0 <= r.seed < 2**63 for r in rows)
        return found

    together = make(list(SKUS))
    assert together == make(list(SKUS))
    assert together == make(["pink", "red"], ["green"], ["blue", "yellow"])


def test_another_seed_gives_other_seeds(prepared: Path) -> None:
    seeds = [
        {r.seed for r in _make(_maker(prepared, Painter(good), FRONT, seed=seed), _catalogue(prepared))}
        for seed in (0, 1)
    ]
    assert not seeds[0] & seeds[1]


def test_a_stable_seed_is_of_its_name_alone() -> None:
    assert (
        stable_seed("0/train/a/b/front/0") == stable_seed("0/train/a/b/front/0") != stable_seed("0/train/a/b/front/1")
    )
    assert stable_seed("") == int("e3b0c44298fc1c14", 16) >> 1  # SHA-256 of nothing begins so


def test_a_part_in_which_nobody_wants_anything_is_empty(prepared: Path) -> None:
    generator = Painter(good)
    assert _make(_maker(prepared, generator, FRONT), _catalogue(prepared), ["blue"]) == []
    assert generator.asked == []
