"""Parallel maps: one function over many parts, by several workers of this machine, with results in order.

Parts are independent, so the result does not depend on the workers. A map keeps no state: callers that resume after a
kill keep a journal (see crops and descriptions).
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")
AHEAD = 4  # parts per worker that may be finished in advance; they wait in memory


class MapParts(Protocol):
    """The interface of a map over parts: by workers of this machine, or of a cluster."""

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> Generator[R, None, None]:
        """Yield ``work(part)`` of every part, in the order of the parts; exceptions of ``work`` are raised here.

        If the consumer stops early (close() of the iterator), parts that have not begun are cancelled.
        """
        ...


@dataclass(frozen=True)
class LocalProcesses:
    """Processes of this machine; ``work`` and the parts are pickled. With fewer than two workers this process works.

    ``start`` is the start method of multiprocessing, ``set_up`` is called once in every process. ``chunk`` parts are
    sent together, and at most ``ahead`` chunks per worker are queued or done in advance.
    """

    workers: int
    chunk: int = 1
    ahead: int = AHEAD
    start: str = "forkserver"
    set_up: Callable[[], object] | None = None

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> Generator[R, None, None]:
        """See MapParts."""
        if self.workers < 2:
            yield from map(work, parts)
            return
        pool = ProcessPoolExecutor(self.workers, mp_context=get_context(self.start), initializer=self.set_up)
        try:
            chunks = _chunks(iter(parts), self.chunk)
            for results in _in_order(pool, partial(_each, work), chunks, self.ahead * self.workers):
                yield from results
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class LocalThreads:
    """Threads of this process, for work that waits for a disk or a server, or that releases the GIL.

    ``waits``: whether an early stop waits for parts that have begun. Even a single worker is a separate thread, at most
    ``ahead`` parts before the consumer.
    """

    workers: int
    ahead: int
    waits: bool = True
    name: str = "part"

    def map(self, work: Callable[[T], R], parts: Iterable[T]) -> Generator[R, None, None]:
        """See MapParts."""
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix=self.name)
        try:
            yield from _in_order(pool, work, parts, self.ahead)
        finally:
            pool.shutdown(wait=self.waits, cancel_futures=True)


def _in_order(pool: Executor, work: Callable[[T], R], parts: Iterable[T], ahead: int) -> Iterator[R]:
    """Yield results in order with at most ``ahead`` parts in progress; Executor.map would submit all parts at once."""
    waiting: deque[Future[R]] = deque()
    rest = iter(parts)
    waiting.extend(pool.submit(work, part) for part in islice(rest, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(work, part) for part in islice(rest, 1))


def _chunks(parts: Iterator[T], size: int) -> Iterator[list[T]]:
    while chunk := list(islice(parts, size)):
        yield chunk


def _each(work: Callable[[T], R], chunk: list[T]) -> list[R]:
    return [work(part) for part in chunk]
