"""Work in parts: whatever the workers, the results are those of a loop, in order, and a broken run leaves nothing."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from skufp.compute.parts import LocalProcesses, LocalThreads, MapParts

MAPPERS = [
    LocalProcesses(0), LocalProcesses(1), LocalProcesses(2), LocalProcesses(2, chunk=3, ahead=1),
    LocalProcesses(2, start="spawn"), LocalThreads(1, ahead=1), LocalThreads(3, ahead=5),
]  # fmt: skip


def square(number: int) -> int:
    time.sleep(0.02 if number % 3 == 0 else 0)  # the first of each chunk ends last
    return number * number


def fail_at_five(number: int) -> int:
    if number == 5:
        raise ValueError("five")
    return number


def process_of(_: int) -> int:
    return os.getpid()


def marked(_: int) -> str:
    return os.environ.get("SKUFP_TEST_MARK", "")


def mark() -> None:
    os.environ["SKUFP_TEST_MARK"] = "set up"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes import this module by its name."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2])


@pytest.mark.parametrize("mapper", MAPPERS, ids=str)
@pytest.mark.parametrize("count", [0, 1, 10])
def test_results_are_those_of_a_loop(mapper: MapParts, count: int) -> None:
    assert list(mapper.map(square, iter(range(count)))) == [n * n for n in range(count)]


@pytest.mark.parametrize("mapper", MAPPERS, ids=str)
def test_what_a_part_raises_comes_after_the_results_before_it(mapper: MapParts) -> None:
    found: list[int] = []
    with pytest.raises(ValueError, match="five"):
        found.extend(mapper.map(fail_at_five, range(9)))
    assert found == ([0, 1, 2] if getattr(mapper, "chunk", 1) == 3 else [0, 1, 2, 3, 4])


def test_two_workers_are_other_processes_and_one_is_this() -> None:
    assert set(LocalProcesses(1).map(process_of, range(3))) == {os.getpid()}
    assert os.getpid() not in set(LocalProcesses(2).map(process_of, range(8)))


def test_every_process_is_set_up_and_this_one_is_not() -> None:
    assert set(LocalProcesses(2, set_up=mark).map(marked, range(6))) == {"set up"}
    assert marked(0) == ""


@pytest.mark.parametrize("mapper", [LocalThreads(2, ahead=3), LocalProcesses(1)], ids=str)
def test_parts_are_taken_no_further_ahead_than_allowed(mapper: Any) -> None:
    taken: list[int] = []

    def parts() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    with closing(mapper.map(lambda number: number, parts())) as results:
        for used, _ in enumerate(results, 1):
            assert len(taken) <= used + getattr(mapper, "ahead", 0)
            if used == 4:
                break
    assert len(taken) < 20


def test_a_consumer_that_stops_waits_for_begun_parts_only_where_asked() -> None:
    release, ended = threading.Event(), threading.Event()

    def slow(number: int) -> int:
        if number:
            release.wait(10)
            ended.set()
        return number

    started = time.monotonic()
    with closing(LocalThreads(2, ahead=4, waits=False).map(slow, range(9))) as results:
        assert next(results) == 0
    assert time.monotonic() - started < 5
    release.set()
    assert ended.wait(5)


def test_results_are_in_order_whatever_finishes_first() -> None:
    held = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert held.wait(10)  # the first ends only after the third has
        if number == 2:
            held.set()
        return number * number

    assert list(LocalThreads(3, ahead=4).map(work, range(6))) == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize(("concurrency", "look_ahead"), [(1, 1), (3, 5)])
def test_concurrency_and_look_ahead_are_bounded(concurrency: int, look_ahead: int) -> None:
    lock, running, most, begun = threading.Lock(), 0, 0, 0

    def work(number: int) -> int:
        nonlocal running, most, begun
        with lock:
            running, begun, most = running + 1, begun + 1, max(most, running + 1)
        time.sleep(0.002)
        with lock:
            running -= 1
        return number

    for fetched, number in enumerate(LocalThreads(concurrency, look_ahead).map(work, range(20)), 1):
        assert number == fetched - 1
        assert begun <= fetched - 1 + look_ahead
    assert most <= concurrency


def test_what_has_not_begun_is_cancelled_when_the_consumer_stops() -> None:
    begun: list[int] = []
    results = LocalThreads(1, ahead=10, waits=False).map(lambda number: begun.append(number), range(100))
    next(results)
    results.close()
    assert len(begun) <= 10
