"""Device, precision, threads and batches of a stage that computes outside the Trainer."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

from skufp.compute.progress import worker_count
from skufp.errors import UserError
from skufp.schema import Config


def device(cfg: Config) -> Any:
    """Return the torch device of the trainer settings, which are resolved (see skufp.resolve)."""
    import torch

    if cfg.trainer.accelerator != "cuda":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise UserError("a GPU was found, but torch cannot use it. Type trainer=cpu, or install a torch for its driver")
    chosen = cfg.trainer.devices
    return torch.device("cuda") if isinstance(chosen, int) else torch.device("cuda", chosen[0])


def autocast(cfg: Config) -> AbstractContextManager[Any]:
    """Return an autocast context for bf16 if the settings choose it, else a context without effect."""
    import torch

    if str(cfg.trainer.precision).startswith("bf16"):
        return torch.autocast(device(cfg).type, torch.bfloat16)
    return nullcontext()


def in_batches(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield ``items`` in lists of ``size``; the last may be shorter."""
    while part := list(islice(items, size)):
        yield part


def set_threads(cfg: Config) -> None:
    """Set torch's threads, and keep freed memory in the process."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(int(cfg.threads) if cfg.threads else worker_count(cfg) or 1)


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks; otherwise the activations of every CPU step cause page faults again.

    Source: mallopt(3), M_MMAP_THRESHOLD (-3), M_TRIM_THRESHOLD (-1); measured by experiments/benchmarks/train_step.py.
    """
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
        except OSError:  # another C library, e.g. musl
            return
        libc.mallopt(-3, 1 << 30)
        libc.mallopt(-1, 1 << 30)
