"""Pairs of views: one SKU, two views, every SKU as often, joint flips, right actions, seeds, ranks, resume."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from skufp.artifacts.records import CATALOG, QUERY, CropRecord
from skufp.data.image_datamodule import paired_shards
from skufp.data.shards import write_image_shards
from skufp.data.view_kinds import ViewKinds
from skufp.data.view_pairs import FixedPairs, PairCollate, ViewPair, ViewPairs, spread_pairs
from skufp.errors import UserError
from skufp.models.preprocessing import Preprocessing

ACTIONS = {"front": {"viewpoint": [2]}, "back": {"viewpoint": [3]}, "zoom": {"zoom_in": [2, 3]}}
ENCODER = Preprocessing(4, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
CODES = [(2, 1)] * 7 + [(3, 1), (2, 3), (0, 0)]  # of the views of a SKU with ten
KINDS = [0] * 7 + [1, 0, 0]  # the first kind that fits, or front
VIEWS = {1: 10, 2: 2, 3: 1, 4: 2, 5: 3}  # views of the only SKU of each pair
Batch = dict[str, Any]


@dataclass
class Catalogue:
    """Five SKUs in several shards; view n is 8 x 8 pixels, 2n on its left half and 255 - 2n on its right."""

    root: Path
    records: dict[str, CropRecord]

    @property
    def shards(self) -> list[list[Path]]:
        return paired_shards(self.root / "shards", "train")

    def skus(self, least: int = 2) -> dict[str, list[CropRecord]]:
        found: dict[str, list[CropRecord]] = {}
        for r in self.records.values():
            if r.domain == CATALOG:
                found.setdefault(r.sku_id, []).append(r)
        return {sku: views for sku, views in found.items() if len(views) >= least}


def _picture(number: int) -> np.ndarray:
    picture = np.full((8, 8, 3), 255 - 2 * number, np.uint8)
    picture[:, :4] = 2 * number
    return picture


def _write(root: Path, records: list[CropRecord], shard_size: int = 3) -> Catalogue:
    for r in records:
        (root / r.image_path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture(int(r.image_id))).save(root / r.image_path, "PNG")
    write_image_shards(root, records, shard_size)
    return Catalogue(root, {r.view_id: r for r in records})


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory, record: Callable[..., CropRecord]) -> Catalogue:
    records = []
    for pair, views in VIEWS.items():
        for codes in CODES[-views:]:
            records.append(record("train", pair, 1, CATALOG, len(records) + 1))
            records[-1].viewpoint, records[-1].zoom_in = codes
        records.append(record("train", pair, 1, QUERY, len(records) + 1, "learn"))
    return _write(tmp_path_factory.mktemp("pairs"), records)


def _pairs(catalogue: Catalogue, **changes: Any) -> ViewPairs:
    collate = PairCollate(Preprocessing(8), ENCODER, ViewKinds(ACTIONS))
    settings: dict[str, Any] = {"shards": catalogue.shards, "collate": collate, "batch_size": 4, "steps": 6, "seed": 0,
                                "skus": 4}  # fmt: skip
    return ViewPairs(**(settings | changes))


def _same(a: Batch, b: Batch) -> bool:
    tensors, names = (
        ("source", "target", "draft", "encoder_pixels", "view_kind"),
        ("sku_id", "source_view", "target_view"),
    )
    return all(torch.equal(a[k], b[k]) for k in tensors) and all(a[k] == b[k] for k in names)


def _all_same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))


def _drawn(batches: Any) -> list[tuple[str, str, str]]:
    return [row for b in batches for row in zip(b["sku_id"], b["source_view"], b["target_view"], strict=True)]


def test_batches_have_their_shapes_types_and_range(catalogue: Catalogue) -> None:
    pairs = _pairs(catalogue)
    batches = list(pairs)
    assert len(batches) == len(pairs) == 6
    for batch in batches:
        assert batch["source"].shape == batch["target"].shape == batch["draft"].shape == (4, 3, 8, 8)
        assert batch["encoder_pixels"].shape == (4, 3, 4, 4)
        assert batch["view_kind"].shape == (4,)
        assert batch["view_kind"].dtype == torch.int64
        for name in ("source", "target", "draft"):
            assert batch[name].dtype == torch.float32
            assert -1 <= float(batch[name].min()) < float(batch[name].max()) <= 1


def test_pairs_are_two_catalogue_views_of_one_sku(catalogue: Catalogue) -> None:
    expected = {
        (sku, a.view_id, b.view_id) for sku, views in catalogue.skus().items() for a in views for b in views if a != b
    }
    assert len(expected) == 10 * 9 + 2 + 2 + 3 * 2
    drawn = set(_drawn(_pairs(catalogue, steps=100)))
    assert drawn <= expected
    ten = catalogue.skus(least=10).popitem()[0]
    assert {row for row in expected - drawn if row[0] != ten} == set()
    for i in (1, 2):  # every view of the SKU with ten is a source, and a target
        assert {row[i] for row in drawn} == {row[i] for row in expected}


def test_rows_are_what_they_say(catalogue: Catalogue) -> None:
    for batch in _pairs(catalogue, flip=0.0, steps=20):
        for i in range(4):
            for name in ("source", "target"):
                pixels = _picture(int(catalogue.records[batch[f"{name}_view"][i]].image_id)) / 127.5 - 1
                assert np.allclose(batch[name][i], pixels.transpose(2, 0, 1), atol=1e-6)
            picture = Image.fromarray(_picture(int(catalogue.records[batch["source_view"][i]].image_id)))
            assert np.array_equal(batch["encoder_pixels"][i], ENCODER(picture))


def test_actions_are_those_of_the_target(catalogue: Catalogue) -> None:
    ten = [r.view_id for r in catalogue.skus(least=10).popitem()[1]]
    seen = Counter()
    for batch in _pairs(catalogue, steps=60):
        for sku_id, view, action in zip(
            batch["sku_id"], batch["target_view"], batch["view_kind"].tolist(), strict=True
        ):
            if view in ten:
                assert action == KINDS[ten.index(view)], sku_id
                seen[action] += 1
    assert set(seen) == {0, 1}


def test_every_sku_comes_as_often_however_many_views_it_has(catalogue: Catalogue) -> None:
    counts = Counter(sku for sku, _, _ in _drawn(_pairs(catalogue, steps=100)))
    assert set(counts) == set(catalogue.skus())  # a SKU with one view never comes
    assert max(counts.values()) - min(counts.values()) <= 5  # the buffer's size and one
    assert sum(counts.values()) == 400


def test_views_of_a_sku_are_drawn_evenly(catalogue: Catalogue) -> None:
    three = next(sku for sku, views in catalogue.skus().items() if len(views) == 3)
    counts = Counter(row for row in _drawn(_pairs(catalogue, steps=200)) if row[0] == three)
    assert len(counts) == 6
    assert all(18 <= n <= 50 for n in counts.values()), counts  # 33 expected


@pytest.mark.parametrize(("balance", "low", "high"), [(True, 0.4, 0.6), (False, 0.03, 0.2)])
def test_balanced_actions_come_as_often(catalogue: Catalogue, balance: bool, low: float, high: float) -> None:
    ten = catalogue.skus(least=10).popitem()[0]
    actions = [
        action
        for batch in _pairs(catalogue, steps=120, balance_actions=balance)
        for sku, action in zip(batch["sku_id"], batch["view_kind"].tolist(), strict=True)
        if sku == ten
    ]
    assert low < np.mean(np.array(actions) == 1) < high  # 1 of 10 views is of kind 1, of 2 kinds


def test_both_views_and_the_draft_are_mirrored_by_one_coin(catalogue: Catalogue) -> None:
    plain, mirrored, mixed = (list(_pairs(catalogue, steps=20, flip=flip)) for flip in (0.0, 1.0, 0.5))
    coins = []
    for a, b, c in zip(plain, mirrored, mixed, strict=True):
        for name in ("source", "target", "draft"):
            assert torch.equal(a[name].flip(-1), b[name])
            assert not torch.equal(a[name], b[name])
        for i in range(4):
            coin = torch.equal(c["source"][i], b["source"][i])
            whole = b if coin else a
            for name in ("source", "target", "draft", "encoder_pixels"):
                assert torch.equal(c[name][i], whole[name][i])
            coins.append(coin)
    assert 0.3 < np.mean(coins) < 0.7


def test_the_seed_fixes_the_stream(catalogue: Catalogue) -> None:
    first = list(_pairs(catalogue, seed=3))
    assert _all_same(first, list(_pairs(catalogue, seed=3)))
    assert not _all_same(first, list(_pairs(catalogue, seed=4)))


def test_shards_that_are_read_again_and_again_give_the_same_stream(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = _pairs(catalogue, steps=20)
    monkeypatch.setattr("skufp.data.view_pairs.BUFFER_SKUS", 3)
    streamed = _pairs(catalogue, steps=20)
    assert (held.all_fit, streamed.all_fit) == (True, False)
    assert _all_same(list(held), list(streamed))


@pytest.mark.parametrize("start", [0, 1, 4, 7])
@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_resumed_run_has_the_identical_rest(catalogue: Catalogue, start: int, workers: int) -> None:
    expected = list(_pairs(catalogue, steps=7, balance_actions=True))[start:]
    resumed = _pairs(catalogue, steps=7, balance_actions=True, start=start)
    assert _all_same(list(DataLoader(resumed, batch_size=None, num_workers=workers)), expected)


def test_an_iterator_left_half_way_is_no_resume(catalogue: Catalogue) -> None:
    stream = _pairs(catalogue)
    list(itertools.islice(stream, 2))
    assert _all_same(list(stream), list(_pairs(catalogue)))


@pytest.mark.parametrize("world", [2, 3, 4])
def test_processes_share_the_batches_of_one(catalogue: Catalogue, world: int) -> None:
    whole = list(_pairs(catalogue))
    shares = [list(_pairs(catalogue, rank=rank, world=world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        own = [share[number] for share in shares]
        places = [place for rank in range(world) for place in range(4)[rank::world]]
        assert [sku for o in own for sku in o["sku_id"]] == [batch["sku_id"][place] for place in places]
        for name in ("source", "target", "draft", "encoder_pixels", "view_kind"):
            assert torch.equal(torch.cat([o[name] for o in own]), batch[name][places])
        assert {o["whole"] for o in own} == {4}


def test_more_processes_than_pairs_say_what_to_change(catalogue: Catalogue) -> None:
    with pytest.raises(UserError, match="batch_size=4 cannot be shared by 5 processes"):
        _pairs(catalogue, world=5)


def test_no_sku_with_two_views_is_an_error(tmp_path: Path, record: Callable[..., CropRecord]) -> None:
    catalogue = _write(tmp_path, [record("train", pair, 1, CATALOG, pair) for pair in (1, 2)])
    with pytest.raises(UserError, match="two catalogue views"):
        next(iter(_pairs(catalogue)))


def test_fixed_pairs_read_what_the_shards_hold(catalogue: Catalogue) -> None:
    views = next(views for views in catalogue.skus().values() if len(views) == 3)
    fixed = FixedPairs(catalogue.root, [(views[2], views[0])])
    assert len(fixed) == 1
    assert isinstance(fixed[0], ViewPair)
    batch = PairCollate(Preprocessing(8), ENCODER, ViewKinds(ACTIONS))([fixed[0]])
    wanted = [views[2].view_id], [views[0].view_id]
    streamed = next(
        (b, i)
        for b in _pairs(catalogue, steps=100, flip=0.0)
        for i in range(4)
        if ([b["source_view"][i]], [b["target_view"][i]]) == wanted
    )
    assert (batch["source_view"], batch["target_view"]) == wanted
    for name in ("source", "target", "draft", "encoder_pixels", "view_kind"):
        assert torch.equal(batch[name][0], streamed[0][name][streamed[1]])


# ---- Drafts ----

BEHIND = (10, 20, 30)  # too dark for a studio background: without a mask, all of the picture is garment
BOXES = [(slice(0, 3), slice(1, 7)), (slice(2, 8), slice(0, 2)), (slice(5, 8), slice(3, 8))]
COLOURS = [(200, 0, 0), (0, 160, 0), (0, 0, 240)]


def _boxed(place: int, garment: int) -> np.ndarray:
    """The colour of view ``garment`` where view ``place`` shows its own; mid-grey rows tell the views apart."""
    picture = np.full((8, 8, 3), BEHIND, np.uint8)
    picture[place] = 100
    picture[BOXES[place]] = COLOURS[garment]
    return picture


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory, record: Callable[..., CropRecord]) -> Catalogue:
    """One SKU of three views, each a box of its colour with its mask."""
    root, records = tmp_path_factory.mktemp("masked"), [record("train", 1, 1, CATALOG, n) for n in range(3)]
    for number, r in enumerate(records):
        r.mask_path = f"masks/{number}.png"
        mask = np.zeros((8, 8), np.uint8)
        mask[BOXES[number]] = 255
        for path, picture in ((r.image_path, _boxed(number, number)), (r.mask_path, mask)):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(root / path, "PNG")
    write_image_shards(root, records, shard_size=9)
    return Catalogue(root, {r.view_id: r for r in records})


def _streamed(masked: Catalogue, collate: PairCollate, flip: float) -> list[Batch]:
    return list(_pairs(masked, collate=collate, steps=60, flip=flip, batch_size=1))


def _fixed(masked: Catalogue, collate: PairCollate, flip: float) -> list[Batch]:
    views = list(masked.records.values())
    fixed = FixedPairs(masked.root, list(itertools.permutations(views, 2)))
    return [collate([fixed[i]._replace(mirrored=flip == 1)]) for i in range(len(fixed))]


@pytest.mark.parametrize("flip", [0.0, 1.0])
@pytest.mark.parametrize("read", [_streamed, _fixed])
def test_a_draft_is_the_source_s_garment_in_the_target_s_photo(
    masked: Catalogue, read: Callable[..., list[Batch]], flip: float
) -> None:
    batches = read(masked, PairCollate(Preprocessing(8), ENCODER, ViewKinds(ACTIONS)), flip)
    seen = set()
    for batch in batches:
        ((_, source, target),) = _drawn([batch])
        numbers = tuple(int(masked.records[view].image_id) for view in (source, target))
        expected = torch.from_numpy(_boxed(numbers[1], numbers[0]) / np.float32(127.5) - 1).permute(2, 0, 1)
        torch.testing.assert_close(batch["draft"][0], expected.flip(-1) if flip else expected)
        seen.add(numbers)
    assert seen == set(itertools.permutations(range(3), 2))


@pytest.mark.parametrize("read", [_streamed, _fixed])
def test_without_drafts_the_draft_is_the_source(masked: Catalogue, read: Callable[..., list[Batch]]) -> None:
    for flip in (0.0, 1.0):
        for batch in read(masked, PairCollate(Preprocessing(8), ENCODER, ViewKinds(ACTIONS), drafts=False), flip):
            assert torch.equal(batch["draft"], batch["source"])
            assert not torch.equal(batch["draft"], batch["target"])


def test_without_masks_the_garment_is_what_stands_before_an_even_background(catalogue: Catalogue) -> None:
    """The left half, dark: its colour is the source's, the bright right half the target's, mixed between them."""
    numbers = {view: int(r.image_id) for view, r in catalogue.records.items()}
    assert max(numbers.values()) < 45
    for batch in _pairs(catalogue, flip=0.0, steps=20):
        levels = ((batch["draft"] + 1) * 127.5).permute(0, 2, 3, 1)
        for i in range(4):
            source, target = numbers[batch["source_view"][i]], numbers[batch["target_view"][i]]
            assert torch.allclose(levels[i, :, :2], torch.tensor(2.0 * source), atol=0.5)
            assert torch.allclose(levels[i, :, 6:], torch.tensor(255.0 - 2 * target), atol=0.5)


def test_a_large_picture_s_mask_is_made_as_small_as_its_picture(
    tmp_path: Path, record: Callable[..., CropRecord]
) -> None:
    """40 x 24 pixels become 8 x 8, the garment's box with them; a box that ends within a pixel covers its share."""
    views = [record("train", 1, 1, CATALOG, n) for n in (1, 2)]
    for r, colour, rows in zip(views, ((200, 0, 0), (0, 0, 240)), (slice(0, 20), slice(10, 28)), strict=True):
        picture, mask = np.full((40, 24, 3), BEHIND, np.uint8), np.zeros((40, 24), np.uint8)
        picture[rows, 6:18], mask[rows, 6:18] = colour, 255
        r.mask_path = f"{r.image_id}-mask.png"
        (tmp_path / r.image_path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / r.image_path, "PNG")
        Image.fromarray(mask).save(tmp_path / r.mask_path)
    preprocessing = Preprocessing(8, resample=4)  # box: areas, as masks are
    batch = PairCollate(preprocessing, ENCODER, ViewKinds(ACTIONS))([FixedPairs(tmp_path, [(views[0], views[1])])[0]])
    drafted = ((batch["draft"][0] + 1) * 127.5).permute(1, 2, 0).numpy()
    expected = np.full((8, 8, 3), BEHIND, np.float32)
    expected[2:5, 2:6] = (200, 0, 0)
    mixed = 0.6 * np.array((0, 0, 240)) + 0.4 * np.array(BEHIND)  # the target's photo there, row 5
    expected[5, 2:6] = 0.6 * np.array((200, 0, 0)) + 0.4 * mixed
    np.testing.assert_allclose(drafted, expected, atol=1)


def test_spread_pairs_are_all_of_them_or_one_of_every_sku_first(catalogue: Catalogue) -> None:
    skus = list(catalogue.skus().values())
    everything = spread_pairs(skus, 1000, seed=0)
    expected = [(a.view_id, b.view_id) for views in skus for a in views for b in views if a != b]
    assert sorted((a.view_id, b.view_id) for a, b in everything) == sorted(expected)
    for start in (0, 4):  # every SKU has two ordered pairs at least: two whole rounds
        assert {a.sku_id for a, _ in everything[start : start + 4]} == set(catalogue.skus())
    assert spread_pairs(skus, 7, seed=0) == everything[:7]
    assert spread_pairs(skus, 2, seed=0) == everything[:2]
    assert spread_pairs(skus, 1000, seed=1) != everything
    assert spread_pairs([], 5, seed=0) == []
