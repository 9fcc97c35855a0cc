"""Random SKUs with different numbers of views, and every aggregator as conf/aggregator states it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor, nn

from skufp.config import build
from skufp.models.aggregators.tokens import META_SIZES

DIM = 32
CONF = Path(__file__).resolve().parents[3] / "conf" / "aggregator"

Batch = tuple[Tensor, Tensor, Tensor]


def _spec(name: str) -> dict[str, Any]:
    """The plain settings of conf/aggregator/<name>.yaml."""
    return dict(yaml.safe_load((CONF / f"{name}.yaml").read_text())["module"])


@pytest.fixture(scope="session")
def make() -> Callable[..., nn.Module]:
    """Build a configured aggregator with settings changed, in evaluation mode, the same weights every time."""

    def make(name: str, **changes: Any) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(_spec(name) | changes, dim=DIM).eval()

    return make


@pytest.fixture(scope="session")
def shaken(make: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """As make, with every weight random and the gate open."""

    def shaken(name: str, **changes: Any) -> nn.Module:
        model, generator = make(name, **changes), torch.Generator().manual_seed(3)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
            if hasattr(model, "gate"):
                model.gate.fill_(0.7)  # type: ignore[operator,union-attr]
        return model

    return shaken


@pytest.fixture(scope="session")
def batch() -> Callable[..., Batch]:
    """Random unit views [B, V, DIM], mask and metadata of SKUs with ``counts`` views; padding is zero."""

    def batch(counts: list[int], seed: int = 0) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        most = max(counts)
        views = F.normalize(torch.randn(len(counts), most, DIM, generator=generator), dim=-1)
        mask = torch.arange(most)[None, :] < torch.tensor(counts)[:, None]
        meta = [torch.randint(0, size, (len(counts), most), generator=generator) for size in META_SIZES]
        return views * mask[..., None], mask, torch.stack(meta, dim=-1)

    return batch
