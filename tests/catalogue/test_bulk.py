"""Bulk: order, bounds, error rows, and the same bytes after a kill."""

import os
import random
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import skufp
from skufp.catalogue.bulk import Bulk, Item, reason_of
from skufp.catalogue.described import Described
from skufp.catalogue.facts import Facts
from skufp.catalogue.journal import ContentCache, ProductJournal
from skufp.catalogue.metadata import ProductCopy
from skufp.errors import UserError

# A run over 40 products of which one fails: main(folder, pause) does it here, `python run.py folder pause` elsewhere.
RUN = """
import hashlib, sys, time
from pathlib import Path
from skufp.catalogue.bulk import Bulk, Item
from skufp.catalogue.described import Described
from skufp.catalogue.exports import export, write_products_csv
from skufp.catalogue.facts import Facts, Value
from skufp.catalogue.journal import ContentCache, ProductJournal, always_at_the_end
from skufp.catalogue.metadata import ProductCopy

def main(folder, pause):
    photos = folder / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    items = []
    for number in range(40):
        photo = photos / f"{number}.jpg"
        photo.write_bytes(b"photo %d" % (number // 2))  # every photo is there twice, under two products
        items.append(Item(f"नीली-{number}", [photo], {"price": str(number)}))

    def describe(item):
        slow = int(hashlib.sha256(item.sku_id.encode()).hexdigest(), 16) % 3
        time.sleep(pause * slow)
        if item.sku_id.endswith("-17"):
            raise OSError(f"cannot identify image file {object()!r}")
        text = item.photos[0].read_bytes().decode()
        copy = ProductCopy(title=f'={text}, "quoted"', bullet_points=["a", "b", "c\\nd"], description=text,
                           style_summary="s", seo_tags=list("abcde"))
        facts = Facts(item.sku_id, "tee", {"colour": Value("blue", 1 / 3, "pixels")}, dict(item.inputs))
        return Described(facts, copy, {"title": "template"})

    journal = ProductJournal(folder / "products.jsonl")
    bulk = Bulk(describe, journal, ContentCache(folder / "cache"), {"seed": 0}, "encoder", 4, look_ahead=8, batch=3)
    with always_at_the_end(lambda: write_products_csv(bulk.products, folder / "out")):
        bulk.run(items)
    assert export(bulk.products, folder / "out").problems == []
    return bulk

if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "run.py"
    path.write_text(RUN, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def main(script: Path) -> Callable[[Path, float], Bulk]:
    return runpy.run_path(str(script))["main"]


@pytest.fixture(scope="module")
def uninterrupted(main: Callable[[Path, float], Bulk], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    assert main(folder, 0.0).tally == {"described": 39, "failed": 1}
    return _bytes(folder)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in [*(folder / "out").iterdir(), folder / "products.jsonl"]}


def _end_at_a_random_moment(script: Path, folder: Path, seed: int, how: signal.Signals) -> int:
    """Run the script elsewhere, end it when a random number of products are journalled, and a random moment later."""
    chance = random.Random(seed)
    wanted, moment = chance.randrange(1, 25), chance.uniform(0, 0.02)
    environment = os.environ | {"PYTHONPATH": str(Path(skufp.__file__).parents[1])}
    child = subprocess.Popen([sys.executable, str(script), str(folder), "0.1"], env=environment, stderr=subprocess.PIPE)
    journal = folder / "products.jsonl"
    while child.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < wanted):
        time.sleep(0.002)
    time.sleep(moment)
    child.send_signal(how)
    child.communicate(timeout=30)
    return child.returncode


@pytest.mark.parametrize("seed", [0, 1])
def test_after_a_kill_the_rerun_ends_with_the_same_bytes(
    script: Path, main: Callable[[Path, float], Bulk], uninterrupted: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    assert _end_at_a_random_moment(script, tmp_path, seed, signal.SIGKILL) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    bulk = main(tmp_path, 0.0)
    assert bulk.tally["journal"] > 0
    assert bulk.tally["described"] < 39
    files = _bytes(tmp_path)
    journal, first = files.pop("products.jsonl"), uninterrupted["products.jsonl"]
    assert sorted(set(journal.splitlines())) == sorted(first.splitlines())
    assert files == {name: content for name, content in uninterrupted.items() if name != "products.jsonl"}


def test_ctrl_c_leaves_a_products_csv_of_what_is_done(
    script: Path, main: Callable[[Path, float], Bulk], uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    assert _end_at_a_random_moment(script, tmp_path, 2, signal.SIGINT) in (-signal.SIGINT, 130)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["products.csv"]
    partial = (tmp_path / "out" / "products.csv").read_bytes()
    assert 0 < partial.count(b"\n") < uninterrupted["products.csv"].count(b"\n")
    assert uninterrupted["products.csv"].startswith(partial)
    main(tmp_path, 0.0)
    assert _bytes(tmp_path)["products.csv"] == uninterrupted["products.csv"]


def _describe(item: Item) -> Described:
    copy = ProductCopy(
        title=item.sku_id, bullet_points=["a", "b", "c"], description="d", style_summary="s", seo_tags=list("abcde")
    )
    return Described(Facts(item.sku_id, "tee"), copy)


def _bulk(folder: Path, describe: Callable[[Item], Described], **settings: int) -> Bulk:
    journal = ProductJournal(folder / "products.jsonl")
    return Bulk(describe, journal, ContentCache(folder / "cache"), {}, "encoder", **settings)


def test_one_bad_product_is_a_row_with_its_reason(tmp_path: Path) -> None:
    photo = tmp_path / "1.jpg"
    photo.write_bytes(b"x")
    items = [Item("good", [photo]), Item("no photo", [tmp_path / "2.jpg"]), Item("bad", [photo]), Item("last", [photo])]

    def describe(item: Item) -> Described:
        if item.sku_id == "bad":
            raise UserError("bad.jpg: no picture;\n  try another")
        return _describe(item)

    bulk = _bulk(tmp_path, describe)
    told: list[int] = []
    rows = bulk.run(items, told.append)
    assert [row.sku_id for row in rows] == ["good", "no photo", "bad", "last"]
    assert [row.error for row in rows][2:] == ["bad.jpg: no picture; try another", ""]
    assert rows[1].error.startswith("FileNotFoundError:")
    assert (bulk.tally, told) == ({"described": 2, "failed": 2}, [1, 1, 1, 1])


def test_a_rerun_does_only_what_changed_or_failed(tmp_path: Path) -> None:
    items = []
    for sku in "abc":
        (tmp_path / sku).write_bytes(sku.encode())
        items.append(Item(sku, [tmp_path / sku], {"price": "1"}))
    asked: list[str] = []

    def describe(item: Item) -> Described:
        asked.append(item.sku_id)
        if item.sku_id == "c" and len(asked) < 4:
            raise RuntimeError("server down")
        return _describe(item)

    assert _bulk(tmp_path, describe).run(items)[2].error == "RuntimeError: server down"
    (tmp_path / "b").write_bytes(b"another photo")
    bulk = _bulk(tmp_path, describe)
    assert [row.error for row in bulk.run(items)] == ["", "", ""]
    assert asked == ["a", "b", "c", "b", "c"]
    assert bulk.tally == {"journal": 1, "described": 2}
    (tmp_path / "products.jsonl").unlink()
    bulk = _bulk(tmp_path, describe)
    bulk.run([items[0], Item("b", [tmp_path / "b"], {"price": "2"}), items[2]])
    assert (bulk.tally, asked[5:]) == ({"cache": 2, "described": 1}, ["b"])


def test_a_product_twice_and_no_concurrency_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="more than once: a;"):
        _bulk(tmp_path, _describe).run([Item("a", []), Item("b", []), Item("a", [])])
    with pytest.raises(UserError, match="concurrency=0"):
        _bulk(tmp_path, _describe, concurrency=0)


def test_a_row_of_another_product_is_an_error(tmp_path: Path) -> None:
    (row,) = _bulk(tmp_path, lambda item: _describe(Item("other", []))).run([Item("a", [])])
    assert (row.sku_id, row.error) == ("a", "ValueError: described 'other' instead of 'a'")


def test_reasons_are_one_line_without_addresses() -> None:
    assert reason_of(OSError("cannot identify <BytesIO object at 0x7f00aa>\n here")) == (
        "OSError: cannot identify <BytesIO object> here"
    )
    assert reason_of(KeyError()) == "KeyError"
    assert reason_of(UserError("say this")) == "say this"
