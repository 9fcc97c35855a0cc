"""The average of a network's weights before and after training.

Source: WiSE-FT, Wortsman et al. 2022, Robust fine-tuning of zero-shot models, arXiv 2109.01903.
"""

from collections.abc import Mapping

from torch import Tensor


def weight_average(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return (1 - alpha) · start + alpha · trained for every floating-point entry of two state dicts of one network.

    ``alpha`` 0 gives ``start`` and 1 gives ``trained``, both bit for bit. Parameters and buffers are averaged alike,
    including the logit scale and bias, which do not change a ranking. Entries of other types (counters, indices) cannot
    be averaged: they are those of ``trained``, or of ``start`` at ``alpha`` 0. The running statistics of a batch norm
    would have to be measured again after averaging; no encoder here trains with one. Raises ValueError if names or
    shapes differ.
    """
    if {name: value.shape for name, value in start.items()} != {name: value.shape for name, value in trained.items()}:
        raise ValueError("the state dicts are not those of one network: names or shapes differ")
    if alpha in (0, 1):
        return {name: value.detach().clone() for name, value in (trained if alpha else start).items()}
    return {name: _between(start[name].detach(), value.detach(), alpha) for name, value in trained.items()}


def _between(start: Tensor, trained: Tensor, alpha: float) -> Tensor:
    if not trained.is_floating_point():
        return trained.clone()
    return (1 - alpha) * start.to(trained.device) + alpha * trained
