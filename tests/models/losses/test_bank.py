"""The SKU bank and its cross-entropy against naive loops and hand-placed angles."""

import math

import pytest
import torch
import torch.nn.functional as F

from skufp.models.losses.bank import bank_cross_entropy, fresh_bank, upweight


def _unit(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees, dtype=torch.float64) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def _random_unit(count: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=1)


QUERY, FINGERPRINT, BANK = _random_unit(5, 6, 1), _random_unit(3, 6, 2), _random_unit(8, 6, 3)
BANK_INDEX = torch.tensor([6, 1, 4])
TARGET = BANK_INDEX[torch.tensor([0, 2, 1, 1, 0])]
TEMPERATURE = 0.2


def _naive(weight: list[list[float]]) -> float:
    """The cross-entropy when each SKU counts ``weight`` times for a query."""
    rows = {int(row): FINGERPRINT[i] for i, row in enumerate(BANK_INDEX)}
    total = 0.0
    for q in range(len(QUERY)):
        scores = [float(QUERY[q] @ rows.get(s, BANK[s])) / TEMPERATURE for s in range(len(BANK))]
        total += math.log(sum(w * math.exp(s) for w, s in zip(weight[q], scores, strict=True)))
        total -= scores[int(TARGET[q])]
    return total / len(QUERY)


def _scores(fingerprint: torch.Tensor, bank: torch.Tensor) -> torch.Tensor:
    return QUERY @ fresh_bank(bank, BANK_INDEX, fingerprint).T


def test_cross_entropy_equals_a_naive_loop_with_the_batch_put_in() -> None:
    value = bank_cross_entropy(_scores(FINGERPRINT, BANK), TARGET, TEMPERATURE)
    assert float(value) == pytest.approx(_naive([[1.0] * 8] * 5), rel=1e-12)


def test_what_the_bank_held_for_the_batch_does_not_count_and_stays() -> None:
    stale = BANK.clone()
    stale[BANK_INDEX] = 100.0
    before = stale.clone()
    assert torch.equal(_scores(FINGERPRINT, stale), _scores(FINGERPRINT, BANK))
    assert torch.equal(stale, before)


def test_a_fingerprint_of_another_dtype_takes_the_banks() -> None:
    fresh = fresh_bank(BANK.float(), BANK_INDEX, FINGERPRINT.bfloat16())
    assert fresh.dtype == torch.float32
    assert torch.equal(fresh[BANK_INDEX], FINGERPRINT.bfloat16().float())


def test_gradient_reaches_positives_and_negatives_but_not_the_bank() -> None:
    fingerprint, bank = FINGERPRINT.clone().requires_grad_(), BANK.clone().requires_grad_()
    query = F.normalize(FINGERPRINT[:1] + 0.1 * QUERY[:1], dim=1)  # of the first SKU; the other two are negatives
    bank_cross_entropy(query @ fresh_bank(bank, BANK_INDEX, fingerprint).T, BANK_INDEX[:1], TEMPERATURE).backward()
    assert bank.grad is None
    assert fingerprint.grad is not None
    along = (fingerprint.grad @ query.T).squeeze(1)
    assert along[0] < 0  # descent pulls the positive towards the query
    assert (along[1:] > 0).all()  # and pushes the negatives away


def test_cross_entropy_of_hand_placed_angles() -> None:
    # Query at 0 degrees, SKUs at 60, 90 and 180: cosines 1/2, 0, -1.
    scores = _unit(0) @ _unit(60, 90, 180).T
    expected = math.log(math.exp(1) + 1 + math.exp(-2)) - 1
    assert float(bank_cross_entropy(scores, torch.tensor([0]), 0.5)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0, 20.0])
def test_upweighted_cross_entropy_is_that_of_weighted_negatives(factor: float) -> None:
    hard = torch.rand(5, 8, generator=torch.Generator().manual_seed(4)) < 0.3
    hard[torch.arange(5), TARGET] = False
    assert hard.any()
    scores = upweight(_scores(FINGERPRINT, BANK), hard, factor, TEMPERATURE)
    weight = [[factor if h else 1.0 for h in row] for row in hard.tolist()]
    assert float(bank_cross_entropy(scores, TARGET, TEMPERATURE)) == pytest.approx(_naive(weight), rel=1e-12)


def test_a_sibling_that_counts_twice_is_two_skus_at_its_angle() -> None:
    query, target = _unit(0), torch.tensor([0])
    hard = torch.tensor([[False, True, False]])
    once = upweight(query @ _unit(20, 30, 100).T, hard, 2.0, 0.1)
    twice = query @ _unit(20, 30, 30, 100).T
    assert float(bank_cross_entropy(once, target, 0.1)) == pytest.approx(
        float(bank_cross_entropy(twice, target, 0.1)), rel=1e-12
    )


def test_upweighting_does_not_drown_in_half_precision() -> None:
    # Scores near 1 are 1/256 apart in bfloat16; half of such a step has to survive.
    scores = torch.ones(1, 2, dtype=torch.bfloat16)
    lifted = upweight(scores, torch.tensor([[False, True]]), math.e, 1 / 512)
    assert float(lifted[0, 1] - lifted[0, 0]) == pytest.approx(1 / 512, rel=1e-3)
