"""The encoder's hash: weights and preprocessing, and nothing else."""

import torch
from torch import nn

from skufp.models.dual_encoder import TrainableEncoder, fingerprint, freeze
from skufp.models.preprocessing import Preprocessing
from skufp.models.siglip import tiny_siglip


def _linear(seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(4, 3)


def test_fingerprint_follows_weights_and_preprocessing() -> None:
    first = fingerprint(_linear(), Preprocessing(64))
    assert first == fingerprint(_linear(), Preprocessing(64))
    assert first != fingerprint(_linear(1), Preprocessing(64))
    assert first != fingerprint(_linear(), Preprocessing(32))
    nudged = _linear()
    with torch.no_grad():
        nudged.bias[2] += 1e-6
    assert first != fingerprint(nudged, Preprocessing(64))


def test_fingerprint_reads_any_dtype_and_scalars() -> None:
    module = _linear().to(torch.bfloat16)
    module.register_buffer("step", torch.tensor(3))
    before = fingerprint(module, Preprocessing(64))
    module.step += 1
    assert fingerprint(module, Preprocessing(64)) != before


def test_freeze_goes_both_ways() -> None:
    module = _linear()
    freeze(module.parameters())
    assert not any(p.requires_grad for p in module.parameters())
    freeze(module.parameters(), False)
    assert all(p.requires_grad for p in module.parameters())


def test_tiny_siglip_is_a_dual_encoder() -> None:
    assert isinstance(tiny_siglip(16, 8, 16, 1, 2), TrainableEncoder)
