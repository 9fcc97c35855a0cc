"""What survives a kill: whole files, the journal with a torn tail, the cache by content."""

import json
from pathlib import Path

import pytest

from skufp.catalogue.described import Described
from skufp.catalogue.facts import Facts
from skufp.catalogue.journal import ContentCache, ProductJournal, always_at_the_end, content_key, write_whole
from skufp.catalogue.metadata import ProductCopy


def _product(sku: str, title: str = "Té 👗") -> Described:
    copy = ProductCopy(
        title=title, bullet_points=["a", "b", "c"], description="d", style_summary="s", seo_tags=list("abcde")
    )
    return Described(Facts(sku, "tee", fields={"file": "caf\udce9.jpg"}), copy)


def _journal(path: Path, count: int) -> list[tuple[str, Described]]:
    rows = [(f"k{number}", _product(f"s{number}")) for number in range(count)]
    ProductJournal(path).append(rows)
    return rows


def test_what_is_done_comes_back_when_its_content_is_the_same(tmp_path: Path) -> None:
    rows = _journal(tmp_path / "p.jsonl", 3)
    journal = ProductJournal(tmp_path / "p.jsonl")
    assert [journal.find(product.sku_id, key) for key, product in rows] == [product for _, product in rows]
    assert (journal.find("s0", "k1"), journal.find("s9", "k0")) == (None, None)
    assert (len(journal), journal.dropped) == (3, [])


def test_the_last_line_of_a_product_counts_and_errors_are_tried_again(tmp_path: Path) -> None:
    journal = ProductJournal(tmp_path / "p.jsonl")
    journal.append([("k", _product("s", "Old")), ("k", _product("s", "New")), ("e", Described.failed("bad", "why"))])
    for one in (journal, ProductJournal(tmp_path / "p.jsonl")):
        assert one.find("s", "k") == _product("s", "New")
        assert (one.find("bad", "e"), len(one)) == (None, 2)


def test_a_tail_torn_anywhere_is_dropped_reported_and_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = _journal(path, 3)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in (*range(last, len(whole) - 1, 13), len(whole) - 1):
        path.write_bytes(whole[:cut])
        journal = ProductJournal(path)
        assert len(journal) == 2
        assert journal.dropped == ([f"line 3: torn after {cut - last} bytes"] if cut > last else [])
        journal.append(rows[2:])
        assert path.read_bytes() == whole


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b"null", b"\xff\x00", b'{"key": "k"}', b"\x00" * 20])
def test_a_line_that_is_no_product_is_passed_over_and_reported(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "p.jsonl"
    _journal(path, 2)
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, line, second]) + b"\n")
    journal = ProductJournal(path)
    assert (len(journal), [text.split(":")[0] for text in journal.dropped]) == (2, ["line 2"])


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.jsonl"
    rows = _journal(path, 2)
    before = path.read_bytes()
    journal = ProductJournal(path)

    def full_disk(handle: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        journal.append([("k9", _product("s9"))])
    assert (path.read_bytes(), journal.find("s9", "k9"), len(rows)) == (before, None, 2)


def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "sub" / "f", b"old")

    def interrupted(source: str, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_whole(tmp_path / "sub" / "f", b"new")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "sub").iterdir()] == [("f", b"old")]
    write_whole(tmp_path / "sub" / "f", b"new")
    assert [(p.name, p.read_bytes()) for p in (tmp_path / "sub").iterdir()] == [("f", b"new")]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_the_end_is_written_also_on_ctrl_c(error: type[BaseException] | None) -> None:
    written: list[int] = []

    def run() -> None:
        with always_at_the_end(lambda: written.append(1)):
            if error:
                raise error

    if error:
        with pytest.raises(error):
            run()
    else:
        run()
    assert written == [1]


def test_the_key_covers_everything_and_nothing_else(tmp_path: Path) -> None:
    one, two, copy_of_one = tmp_path / "1.jpg", tmp_path / "2.jpg", tmp_path / "3.jpg"
    for path, content in ((one, b"one"), (two, b"two"), (copy_of_one, b"one")):
        path.write_bytes(content)
    key = content_key("s", [one, two], {"price": "1"}, {"seed": 0, "tone": "plain"}, "e1")
    assert key == content_key("s", [copy_of_one, two], {"price": "1"}, {"tone": "plain", "seed": 0}, "e1")
    others = [
        content_key("t", [one, two], {"price": "1"}, {"seed": 0, "tone": "plain"}, "e1"),
        content_key("s", [two, one], {"price": "1"}, {"seed": 0, "tone": "plain"}, "e1"),
        content_key("s", [one], {"price": "1"}, {"seed": 0, "tone": "plain"}, "e1"),
        content_key("s", [one, two], {"price": "2"}, {"seed": 0, "tone": "plain"}, "e1"),
        content_key("s", [one, two], {"price": "1"}, {"seed": 1, "tone": "plain"}, "e1"),
        content_key("s", [one, two], {"price": "1"}, {"seed": 0, "tone": "plain"}, "e2"),
    ]
    one.write_bytes(b"onE")
    others.append(content_key("s", [one, two], {"price": "1"}, {"seed": 0, "tone": "plain"}, "e1"))
    assert len({key, *others}) == 8
    with pytest.raises(OSError, match=r"no\.jpg"):
        content_key("s", [tmp_path / "no.jpg"], {}, {}, "e")


def test_the_cache_gives_back_what_it_holds_and_never_an_error(tmp_path: Path) -> None:
    cache = ContentCache(tmp_path / "cache")
    assert cache.get("s", "abc") is None
    cache.put("abc", _product("s"))
    cache.put("bad", Described.failed("b", "why"))
    assert cache.get("s", "abc") == _product("s")
    assert (cache.get("other", "abc"), cache.get("b", "bad")) == (None, None)
    (path,) = (tmp_path / "cache").rglob("*.json")
    json.loads(path.read_bytes())
    path.write_bytes(path.read_bytes()[:50])
    assert cache.get("s", "abc") is None
