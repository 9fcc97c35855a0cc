"""The fingerprint's loss table: every loss alone against scores made by hand, prefixes, siblings, teachers' scores.

Legend: B SKUs of the batch, V views, Q queries, S SKUs of the bank, D dim.
"""

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skufp.errors import UserError
from skufp.models.losses.bank import bank_cross_entropy, upweight
from skufp.models.losses.distill import score_kl, teacher_cosine
from skufp.models.losses.fingerprint import multi_vector_scores, teacher_scores
from skufp.models.losses.margin import margin_ranking, triplet
from skufp.models.losses.ranking import listnet, recall_at_k, smooth_ap, sup_ap
from skufp.modules.fingerprint import Fingerprint
from skufp.schema.fingerprint import Loss, LossWeights

D = 16
BANK_INDEX = [4, 0, 2]  # the batch's SKUs are these rows of a bank of six
COUNTS = [3, 1, 2]  # their views
QUERY_TARGET = [0, 2, 2, 1, 0]
TARGET = [BANK_INDEX[b] for b in QUERY_TARGET]
PAIRS = [7, 8, 9, 7, 9, 9]
SETTINGS = {"temperature": 0.07, "rank_temperature": 0.02, "margin": 0.3, "sibling_weight": 3.0}


def _unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, D, generator=torch.Generator().manual_seed(seed)), dim=-1)


def _batch() -> dict[str, Any]:
    """Three SKUs; of the first one a view is hidden, and the padding holds vectors that would win."""
    all_views = torch.tensor([[v < n for v in range(3)] for n in COUNTS])
    mask = all_views.clone()
    mask[0, 1] = False
    views, queries = _unit(3, 3, seed=0), _unit(5, seed=1)
    views[1, 1:] = queries[3]
    views[2, 2] = queries[1]
    return {
        "views": views, "mask": mask, "all_views": all_views, "meta": torch.zeros(3, 3, 4, dtype=torch.long),
        "queries": queries, "query_target": torch.tensor(QUERY_TARGET), "bank_index": torch.tensor(BANK_INDEX),
        "teacher": _unit(3, seed=2), "teacher_weight": torch.tensor([0.5, 0.0, 0.25]),
        "query_teacher": _unit(5, seed=3), "query_teacher_weight": torch.tensor([0.1, 0.0, 0.4, 0.2, 0.3]),
    }  # fmt: skip


def _without_queries() -> dict[str, Any]:
    return {k: v[:0] if k.startswith("quer") else v for k, v in _batch().items()}


def _module(weights: dict[str, float], prefix_dims: tuple[int, ...] = (), **changes: float) -> Fingerprint:
    """An untrained attention, whose output is the mean, with a bank, outside a Trainer."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Fingerprint(
            aggregator={"_target_": "skufp.models.aggregators.attention.Attention", "heads": 2, "dropout": 0.0},
            loss={"weights": weights, "prefix_dims": list(prefix_dims), **SETTINGS, **changes},
            lr=1e-3, weight_decay=0.0, warmup=0.1, steps=1, dim=D,
        )  # fmt: skip
    module.register_buffer("bank", _unit(6, seed=4), persistent=False)
    module.register_buffer("bank_pairs", torch.tensor(PAIRS), persistent=False)
    module.log = lambda *rest, **named: None  # type: ignore[method-assign,assignment]
    return module


def _cut(x: Tensor, size: int) -> list[float]:
    """The first ``size`` dimensions of one vector, of unit norm, in double precision."""
    part = [float(value) for value in x.flatten()[:size]]
    return [value / sum(v * v for v in part) ** 0.5 for value in part]


def _dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


class ByHand:
    """Fingerprints, and what the losses get, by loops over queries, SKUs and views; ``size`` dimensions."""

    def __init__(self, size: int = D) -> None:
        self.batch, bank = _batch(), _unit(6, seed=4)
        self.student = []
        for b in range(3):
            seen = [self.batch["views"][b, v] for v in range(3) if self.batch["mask"][b, v]]
            self.student.append(_cut(torch.stack(seen).double().mean(dim=0), size))
        rows = [_cut(row, size) for row in bank]
        for b, row in enumerate(BANK_INDEX):
            rows[row] = self.student[b]
        queries = [_cut(query, size) for query in self.batch["queries"]]
        self.scores = [[_dot(query, row) for row in rows] for query in queries]
        self.teacher = [list(row) for row in self.scores]
        self.multi_vector = [list(row) for row in self.scores]
        for q, query in enumerate(queries):
            self.teacher[q][TARGET[q]] = _dot(query, _cut(self.batch["query_teacher"][q], size))
            for b, row in enumerate(BANK_INDEX):
                views = [_cut(self.batch["views"][b, v], size) for v in range(COUNTS[b])]
                self.multi_vector[q][row] = max(_dot(query, view) for view in views)
        self.siblings = [[s != own and PAIRS[s] == PAIRS[own] for s in range(6)] for own in TARGET]
        self.size = size

    def loss(self, name: str) -> float:
        """The pure function called on these scores."""
        scores, target, hard = torch.tensor(self.scores), torch.tensor(TARGET), torch.tensor(self.siblings)
        taught = torch.tensor([_cut(teacher, self.size) for teacher in self.batch["teacher"]])
        weight, many = self.batch["query_teacher_weight"], torch.tensor(self.multi_vector)
        table: dict[str, Callable[[], Tensor]] = {
            "distill": lambda: teacher_cosine(torch.tensor(self.student), taught, self.batch["teacher_weight"]),
            "contrastive": lambda: bank_cross_entropy(upweight(scores, hard, 3.0, 0.07), target, 0.07),
            "teacher_kl": lambda: score_kl(scores, torch.tensor(self.teacher), 0.07, weight),
            "multi_vector_kl": lambda: score_kl(scores, many, 0.07),
            "margin": lambda: margin_ranking(scores, target, 0.3),
            "triplet": lambda: triplet(scores, target, 0.3),
            "smooth_ap": lambda: smooth_ap(scores, target, 0.02),
            "sup_ap": lambda: sup_ap(scores, target, 0.02),
            "recall_at_k": lambda: recall_at_k(scores, target, (1, 5, 10), 0.02),
            "listnet": lambda: listnet(scores, many, 0.02),
        }
        return float(table[name]())


NAMES = [weight.name for weight in fields(LossWeights)]


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_alone_is_its_pure_function_of_scores_by_hand(name: str) -> None:
    expected = ByHand().loss(name)
    assert expected > 1e-3
    module = _module({name: 2.5})
    fingerprint = module(*(_batch()[k] for k in ("views", "mask", "meta")))
    assert {k: float(v) for k, v in module.losses(_batch(), fingerprint, D).items()} == {
        name: pytest.approx(expected, rel=1e-3)
    }
    assert float(module.training_step(_batch(), 0)) == pytest.approx(2.5 * expected, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_with_prefixes_it_is_the_plain_mean_over_sizes(name: str) -> None:
    module = _module({name: 2.0}, prefix_dims=(4, 8, 99))
    assert module.sizes == [16, 8, 4]
    expected = [ByHand(size).loss(name) for size in (16, 8, 4)]
    assert float(module.training_step(_batch(), 0)) == pytest.approx(2 * sum(expected) / 3, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_moves_the_aggregator(name: str) -> None:
    module = _module({name: 1.0})
    module.training_step(_batch(), 0).backward()
    assert module.aggregator.gate.grad is not None
    assert float(module.aggregator.gate.grad.abs()) > 0


def test_weights_add_up() -> None:
    weights = {name: 0.5 + i for i, name in enumerate(NAMES)}
    expected = sum(weight * ByHand().loss(name) for name, weight in weights.items())
    assert float(_module(weights).training_step(_batch(), 0)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("batch", [_batch(), _without_queries()])
def test_without_weights_the_loss_is_0_and_still_a_graph(batch: dict[str, Any]) -> None:
    module = _module({})
    loss = module.training_step(batch, 0)
    assert loss.item() == 0
    loss.backward()
    assert not any(p.grad.any() for p in module.parameters() if p.grad is not None)


def test_a_batch_without_queries_learns_from_teachers_alone() -> None:
    batch = _without_queries()
    assert len(batch["queries"]) == len(batch["query_teacher"]) == 0
    module = _module(dict.fromkeys(NAMES, 1.0))
    loss = module.training_step(batch, 0)
    loss.backward()
    assert float(loss) == pytest.approx(ByHand().loss("distill"), rel=1e-4)
    assert float(module.aggregator.gate.grad.abs()) > 0


def test_a_batch_without_teachers_or_queries_costs_nothing() -> None:
    batch = _without_queries() | {"teacher_weight": torch.zeros(3)}
    loss = _module(dict.fromkeys(NAMES, 1.0)).training_step(batch, 0)
    assert loss.item() == 0
    loss.backward()


def test_gradients_reach_the_batchs_skus_but_no_memory() -> None:
    module = _module({"contrastive": 1.0})
    module.bank.requires_grad_(True)
    fingerprint = torch.tensor(ByHand().student, requires_grad=True)
    one = {k: v[3:4] if k.startswith("quer") else v for k, v in _batch().items()}  # one query, of the second SKU
    module.losses(one, fingerprint, D)["contrastive"].backward()
    assert module.bank.grad is None
    assert fingerprint.grad is not None
    assert (fingerprint.grad.abs().sum(dim=1) > 0).all()  # its own SKU, and the others as negatives


@pytest.mark.parametrize("prefix_dims", [(), (4, 8)])
def test_a_step_writes_the_fingerprints_into_the_bank(prefix_dims: tuple[int, ...]) -> None:
    module = _module({"contrastive": 1.0}, prefix_dims)
    before = module.bank.clone()
    module.training_step(_batch(), 0)
    assert torch.allclose(module.bank[BANK_INDEX], torch.tensor(ByHand().student), atol=1e-6)
    assert torch.equal(module.bank[[1, 3, 5]], before[[1, 3, 5]])
    assert not module.bank.requires_grad


def test_a_sibling_weight_of_1_changes_nothing() -> None:
    plain, hard = (_module({"contrastive": 1.0}, sibling_weight=w).training_step(_batch(), 0) for w in (1.0, 3.0))
    hand = ByHand()
    expected = bank_cross_entropy(torch.tensor(hand.scores), torch.tensor(TARGET), 0.07)
    assert float(plain) == pytest.approx(float(expected), rel=1e-3)
    assert float(hard) > float(plain)


def test_siblings_are_the_other_skus_of_the_same_pair() -> None:
    siblings = _module({}).siblings(torch.tensor([0, 1, 4, 4]))
    # Pairs: 7 is SKUs 0 and 3, 8 is SKU 1, 9 is SKUs 2, 4 and 5.
    assert [row.nonzero().flatten().tolist() for row in siblings] == [[3], [], [2, 5], [2, 5]]
    assert siblings.dtype == torch.bool


def test_teacher_scores_by_loops() -> None:
    hand, batch = ByHand(), _batch()
    student = torch.tensor(hand.scores, requires_grad=True)
    scores = teacher_scores(student, batch["queries"], torch.tensor(TARGET), batch["query_teacher"])
    assert torch.allclose(scores, torch.tensor(hand.teacher), atol=1e-6)
    assert not scores.requires_grad


@pytest.mark.parametrize("size", [16, 4])
def test_multi_vector_scores_by_loops_and_padding_never_wins(size: int) -> None:
    hand, batch = ByHand(size), _batch()
    student = torch.tensor(hand.scores, requires_grad=True)
    queries = torch.tensor([_cut(query, size) for query in batch["queries"]])
    scores = multi_vector_scores(student, queries, batch, size)
    assert torch.allclose(scores, torch.tensor(hand.multi_vector), atol=1e-6)
    assert not scores.requires_grad
    # The padding of SKUs 1 and 2 equals queries 3 and 1: it would score 1.
    assert float(scores[3, BANK_INDEX[1]]) < 0.99
    assert float(scores[1, BANK_INDEX[2]]) < 0.99


def test_a_hidden_view_counts_for_the_multi_vector_teacher() -> None:
    batch = _batch()
    batch["views"][0, 1] = batch["queries"][0]  # hidden from the student by the mask
    scores = multi_vector_scores(torch.zeros(5, 6), batch["queries"], batch, D)
    assert float(scores[0, BANK_INDEX[0]]) == pytest.approx(1.0, abs=1e-6)


def test_what_is_left_out_of_the_loss_has_the_schemas_default() -> None:
    module = Fingerprint(
        {"_target_": "skufp.models.aggregators.pooling.Mean"}, {"weights": {"margin": 2}}, 1, 0, 0, 1, D
    )
    assert module.loss["weights"] == {name: 2 if name == "margin" else 0 for name in NAMES}
    assert module.loss["temperature"] == Loss().temperature
    assert module.sizes == [D]


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_sibling_weight_that_has_no_logarithm_is_refused(weight: float) -> None:
    with pytest.raises(UserError, match=r"loss\.sibling_weight=.*above 0"):
        _module({"contrastive": 1.0}, sibling_weight=weight)


# ---- Counterfactuals ----

NEGATIVE_TARGET = [2, 0, 2]  # the batch's SKUs that the three counterfactuals were drawn from
RANKING = ("contrastive", "margin", "triplet", "smooth_ap", "sup_ap", "recall_at_k")


def _with_negatives() -> dict[str, Any]:
    return _batch() | {"negatives": _unit(3, seed=5), "negative_target": torch.tensor(NEGATIVE_TARGET)}


def _planar(*degrees: float) -> Tensor:
    """Vectors at the given angles in the plane of the first two of D dimensions."""
    radians = torch.tensor(degrees).deg2rad()
    return F.pad(torch.stack([radians.cos(), radians.sin()], dim=1), (0, D - 2))


@pytest.mark.parametrize("size", [16, 4])
@pytest.mark.parametrize("name", NAMES)
def test_a_query_ranks_its_own_sku_among_its_own_counterfactuals(name: str, size: int) -> None:
    """One query after another, by the pure functions: the bank's scores, then those of its SKU's counterfactuals."""
    batch = _with_negatives()
    module, hand = _module({name: 1.0}, negatives=True), ByHand(size)
    fingerprint = module(*(batch[k] for k in ("views", "mask", "meta")))
    found = float(module.losses(batch, fingerprint, size)[name])
    if name not in RANKING:
        assert found == pytest.approx(hand.loss(name), rel=1e-3)
        return
    queries = [_cut(query, size) for query in batch["queries"]]
    drawn = [_cut(negative, size) for negative in batch["negatives"]]
    one_by_one, pairs = [], []
    for q, query in enumerate(queries):
        own = [_dot(query, drawn[m]) for m, of in enumerate(NEGATIVE_TARGET) if of == QUERY_TARGET[q]]
        scores, target = torch.tensor([hand.scores[q] + own]), torch.tensor([TARGET[q]])
        hard = torch.tensor([hand.siblings[q] + [False] * len(own)])
        table: dict[str, Callable[[], Tensor]] = {
            "contrastive": lambda s=scores, t=target, h=hard: bank_cross_entropy(upweight(s, h, 3.0, 0.07), t, 0.07),
            "margin": lambda s=scores, t=target: margin_ranking(s, t, 0.3),
            "triplet": lambda s=scores, t=target: triplet(s, t, 0.3),
            "smooth_ap": lambda s=scores, t=target: smooth_ap(s, t, 0.02),
            "sup_ap": lambda s=scores, t=target: sup_ap(s, t, 0.02),
            "recall_at_k": lambda s=scores, t=target: recall_at_k(s, t, (1, 5, 10), 0.02),
        }  # type: ignore[dict-item]
        one_by_one.append(float(table[name]()))
        wrong = [value for s, value in enumerate(scores[0].tolist()) if s != TARGET[q]]
        pairs.append(sum(0.3 + value - hand.scores[q][TARGET[q]] > 0 for value in wrong))
    weights = pairs if name == "margin" else [1] * 5  # the margin loss is a mean over violating pairs, not queries
    expected = sum(w * value for w, value in zip(weights, one_by_one, strict=True)) / sum(weights)
    assert found == pytest.approx(expected, rel=1e-3)
    assert found != pytest.approx(hand.loss(name), rel=1e-3)


def test_by_angles_the_contrastive_loss_grows_by_the_right_amount() -> None:
    """A query at 0°, its SKU at 60°, another at 90°; a counterfactual at 0° costs e^(1/t) more in the sum.

    The other SKU asks at 90°, where it stands itself: a counterfactual that is not its own leaves it alone.
    """
    views = _planar(60, 90)[:, None]
    base = {
        "views": views, "mask": torch.ones(2, 1, dtype=torch.bool), "all_views": torch.ones(2, 1, dtype=torch.bool),
        "queries": _planar(0, 90), "query_target": torch.tensor([0, 1]), "bank_index": torch.tensor([0, 1]),
        "teacher": views[:, 0], "teacher_weight": torch.zeros(2), "query_teacher": _planar(0, 90),
        "query_teacher_weight": torch.zeros(2), "negatives": _planar(0), "negative_target": torch.tensor([0]),
    }  # fmt: skip
    values = {}
    for used in (False, True):
        module = _module({"contrastive": 1.0}, temperature=0.5, sibling_weight=1.0, negatives=used)
        module.bank, module.bank_pairs = views[:, 0].clone(), torch.tensor([1, 2])
        values[used] = float(module.losses(base, views[:, 0], D)["contrastive"])
    # Cosines over t = 0.5: the first query has 1 (its own), 0 and, with counterfactuals, 2.
    e = math.exp
    growth = math.log(e(1) + e(0) + e(2)) - math.log(e(1) + e(0))
    assert values[True] - values[False] == pytest.approx(growth / 2, rel=1e-5)  # a mean over two queries


@pytest.mark.parametrize("name", RANKING)
def test_counterfactuals_are_constants_and_gradients_are_finite(name: str) -> None:
    batch = _with_negatives()
    batch["negatives"] = batch["negatives"].requires_grad_()
    module = _module({name: 1.0}, negatives=True)
    module.training_step(batch, 0).backward()
    assert torch.isfinite(module.aggregator.gate.grad).all()
    assert float(module.aggregator.gate.grad.abs()) > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_any_counterfactual_costs_the_very_same(name: str) -> None:
    none = _batch() | {"negatives": torch.zeros(0, D), "negative_target": torch.zeros(0, dtype=torch.long)}
    plain = _module({name: 1.0}).training_step(_batch(), 0)
    assert torch.equal(_module({name: 1.0}, negatives=True).training_step(none, 0), plain)
    assert torch.equal(_module({name: 1.0}).training_step(_with_negatives(), 0), plain)  # not asked for: not used
