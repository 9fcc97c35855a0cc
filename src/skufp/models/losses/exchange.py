"""Vectors exchanged between processes, with gradients, so that a loss over shares equals the loss of one big batch.

Each of W processes holds a share of the batch. A loss here returns its process's part, such that the mean over the
processes is the loss of the whole batch; DistributedDataParallel takes the same mean of the gradients. Shares may
differ in size and may be empty. With one process nothing is exchanged.

Legend: N rows of this process's share, M rows of all shares together, D dim.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Return the number of processes; 1 outside distributed training."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def total(value: Tensor) -> Tensor:
    """Return the sum of ``value`` over all processes, without gradient."""
    value = value.detach().clone()
    if world_size() > 1:
        dist.all_reduce(value)
    return value


def mean_over_processes(values: Tensor) -> Tensor:
    """Return this process's part of the mean of ``values`` [N] over all shares; 0 where every share is empty."""
    count = total(torch.tensor(float(len(values)), device=values.device))
    return values.sum() * world_size() / count.clamp_min(1)


def all_gather(x: Tensor) -> Tensor:
    """Return the shares of all processes, [N, ...] each, one after another: [M, ...]. Gradients reach every share."""
    if world_size() == 1:
        return x
    sizes = _sizes(x)
    padded = _padded(x, max(sizes))
    gathered = _AllGather.apply(padded) if x.is_floating_point() else _gather(padded)
    return torch.cat([part[:size] for part, size in zip(gathered, sizes, strict=True)])


def ring(*share: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the process's own ``share``, then that of each other process, passed on from neighbour to neighbour.

    ``share`` are tensors with N rows each; gradients of floating-point tensors go back round the ring. Source: the
    chunked sigmoid loss of SigLIP, arXiv 2303.15343, section 3.3 and figure 1.
    """
    yield share
    if (world := world_size()) == 1:
        return
    sizes, rank = _sizes(share[0]), dist.get_rank()
    held = tuple(_padded(x, max(sizes)) for x in share)
    for step in range(1, world):
        held = tuple(_PassOn.apply(x) if x.is_floating_point() else _send(x, +1) for x in held)
        yield tuple(x[: sizes[(rank - step) % world]] for x in held)


def _sizes(x: Tensor) -> list[int]:
    """Return the number of rows of every process's share."""
    return [int(size) for size in _gather(torch.tensor([len(x)], device=x.device))]


def _padded(x: Tensor, rows: int) -> Tensor:
    """Return ``x`` padded with zeros to ``rows`` rows.

    If gradients are enabled, an empty share requires them too: the backward exchange needs every process.
    """
    padded = torch.cat([x, x.new_zeros(rows - len(x), *x.shape[1:])])
    if torch.is_grad_enabled() and x.is_floating_point() and not padded.requires_grad:
        padded.requires_grad_()
    return padded


def _gather(x: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(x) for _ in range(world_size())]
    dist.all_gather(parts, x.contiguous())
    return parts


def _send(x: Tensor, step: int) -> Tensor:
    """Send ``x`` to the process ``step`` further on in the ring; return the tensor from the process ``step`` behind."""
    rank, world = dist.get_rank(), world_size()
    received = torch.empty_like(x)
    requests = dist.batch_isend_irecv(
        [
            dist.P2POp(dist.isend, x.contiguous(), (rank + step) % world),
            dist.P2POp(dist.irecv, received, (rank - step) % world),
        ]
    )
    for request in requests:
        request.wait()
    return received


class _AllGather(torch.autograd.Function):
    """Gather equal shares; the gradient of a share is summed over all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(_gather(x))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        together = torch.stack([g.contiguous() for g in gradients])
        dist.all_reduce(together)
        return together[dist.get_rank()]


class _PassOn(torch.autograd.Function):
    """Pass vectors on to the next process of the ring; gradients go back to the one before."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _send(x, +1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _send(gradient, -1)
