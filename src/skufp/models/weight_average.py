"""The average of a network's weights before and after training.

Source: WiSE-FT, Wortsman et al. 2022, Robust fine-tuning of zero-shot models, arXiv 2109.01903.
"""

from collections.abc import Mapping

from torch import Tensor


def weight_average(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return (1 - alpha) · start + alpha · trained for every floating-point entry of two state dicts of one network.

    ``alpha`` 0 is the start and 1 is trained, both bit for bit. Parameters and buffers are averaged alike, a log scale
    and a bias too: they order no results. Entries of other types (counters, indices) are those of ``trained``, whose
    values have no meaning in between; at ``alpha`` 0 those of ``start``. The running statistics of a batch norm would
    have to be measured anew after averaging; no encoder here trains with one. Raises ValueError if names or shapes
    differ.
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
