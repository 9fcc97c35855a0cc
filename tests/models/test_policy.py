"""The policy network by hand: what it predicts, decides, refuses and saves."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from skufp.errors import UserError
from skufp.models.policy import ActionPolicy, Linears, load_policy, prices

ACTIONS = ["identity", "exposure", "sharpen", "adapt"]
FEATURES = ["brightness", "noise"]
DIM = 5


def _policy(**changes: Any) -> ActionPolicy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings: dict[str, Any] = {"actions": ACTIONS, "features": FEATURES, "dim": DIM, "encoder": "abc",
                                    "specs": {"exposure": {"_target_": "skufp.actions.exposure.Exposure"}}}  # fmt: skip
        return ActionPolicy(**settings | changes).eval()


def _awake(**changes: Any) -> ActionPolicy:
    """A policy whose last layer is not zero, and which would act on any gain."""
    policy = _policy(**changes)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        policy.members.out.weight.normal_()
    policy.threshold.fill_(0.0)
    return policy


def _told(gains: list[list[float]], **changes: Any) -> ActionPolicy:
    """A policy that predicts ``gains`` of queries 0, 1, …, whatever it sees."""
    policy = _policy(**changes)
    table = torch.tensor([[0.0, *row] for row in gains])
    policy.each = lambda embedding, features: table.expand(4, *table.shape)  # type: ignore[method-assign]
    return policy


def _inputs(count: int = 7, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, DIM, generator=generator), torch.randn(count, len(FEATURES), generator=generator)


def test_before_training_it_predicts_nothing_and_never_acts() -> None:
    policy, inputs = _policy(), _inputs()
    assert torch.equal(policy(*inputs), torch.zeros(7, 4))
    assert math.isinf(policy.threshold)
    assert policy.decide(*inputs).tolist() == [0] * 7
    policy.threshold.fill_(0.0)  # even where any gain would do
    assert policy.decide(*inputs).tolist() == [0] * 7


def test_a_trained_one_never_acts_under_an_infinite_threshold() -> None:
    policy, inputs = _awake(), _inputs()
    assert policy.decide(*inputs).any()
    policy.threshold.fill_(math.inf)
    assert not policy.decide(*inputs).any()


def test_members_are_linear_maps_of_their_own() -> None:
    maps = Linears(3, 4, 2)
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    for m in range(3):
        expected = torch.stack([x[m, b] @ maps.weight[m] + maps.bias[m, 0] for b in range(5)])
        assert torch.allclose(maps(x)[m], expected, atol=1e-6)


def test_the_prediction_is_the_mean_of_members_and_identitys_is_zero() -> None:
    policy, inputs = _awake(), _inputs()
    each = policy.each(*inputs)
    assert each.shape == (4, 7, 4)
    assert torch.allclose(policy(*inputs), (each[0] + each[1] + each[2] + each[3]) / 4, atol=1e-6)
    assert not torch.allclose(each[0], each[1])
    assert torch.equal(each[..., 0], torch.zeros(4, 7))


def test_left_out_takes_the_folds_own_member() -> None:
    policy, inputs = _awake(), _inputs()
    fold = torch.tensor([2, 0, -1, 3, 1, -1, 2])
    found, each = policy.left_out(*inputs, fold), policy.each(*inputs)
    for row, number in enumerate(fold.tolist()):
        expected = each[:, row].mean(dim=0) if number < 0 else each[number, row]
        assert torch.allclose(found[row], expected, atol=1e-6)


def test_a_member_starts_from_the_mean_utility_of_other_folds_than_its_own() -> None:
    policy = _policy()
    utility = torch.tensor([[0, 1.0, 0, 0], [0, 3.0, 0, -1.0], [0, -6.0, 0, 0]])
    policy.start_from(utility, torch.tensor([1.0, 1.0, 2.0]), torch.tensor([0, 1, -1]))
    expected = [
        (3 - 12) / 3,
        (1 - 12) / 3,
        (1 + 3 - 12) / 4,
        (1 + 3 - 12) / 4,
    ]  # the mean of 1, 3, -6 and -6 but one's own
    assert policy.base[:, 1].tolist() == pytest.approx(expected)
    assert policy.base[:, 3].tolist() == pytest.approx([-1 / 3, 0, -1 / 4, -1 / 4])
    assert torch.allclose(policy(*_inputs()), policy.base.mean(dim=0).expand(7, 4))  # networks know nothing yet
    policy.start_from(utility, torch.zeros(3), torch.tensor([0, 1, -1]))
    assert not policy.base.any()


def test_networks_are_believed_as_far_as_left_out_queries_bear_them_out() -> None:
    policy, inputs = _awake(), _inputs(200)
    policy.base.copy_(torch.tensor([0.0, 0.2, -0.1, 0.3]))
    fold = torch.arange(200) % 4
    opinion = policy.left_out(*inputs, fold) - policy.base[0]
    truth = policy.base[0] + opinion * torch.tensor([0.0, 0.6, -1.0, 7.0])  # half-true, the contrary, too timid
    policy.shrink(*inputs, fold, truth, torch.ones(200))
    assert policy.strength.tolist() == pytest.approx([0.0, 0.6, 0.0, 1.0], abs=1e-4)
    expected = policy.base[0] + opinion * torch.tensor([0.0, 0.6, 0.0, 1.0])
    assert torch.allclose(policy.left_out(*inputs, fold), expected, atol=1e-4)


def test_the_best_gain_after_prices_decides_and_must_pass_the_threshold() -> None:
    policy = _told([[0.5, 0.4, 0.1], [0.5, 0.4, 0.35], [0.1, 0.2, 0.15], [-1.0, -0.2, -0.1], [math.nan, 0.9, 0.9]])
    policy.price.copy_(torch.tensor([0.0, 0.2, 0.0, 0.0]))
    policy.threshold.fill_(0.25)
    assert policy.decide(*_inputs(5)).tolist() == [2, 2, 0, 0, 0]
    policy.threshold.fill_(0.0)
    assert policy.decide(*_inputs(5)).tolist() == [2, 2, 2, 0, 0]
    assert torch.allclose(policy.gains(*_inputs(5))[0], torch.tensor([0.0, 0.3, 0.4, 0.1]))


def test_a_threshold_below_zero_does_not_let_losses_through() -> None:
    policy = _told([[-0.1, -0.2, -0.3], [0.1, 0.0, 0.0]])
    policy.threshold.fill_(-1.0)
    assert policy.decide(*_inputs(2)).tolist() == [0, 1]


def test_a_batch_is_decided_as_its_queries_one_by_one() -> None:
    policy, (embedding, features) = _awake(), _inputs(20)
    together = policy.decide(embedding, features)
    alone = [int(policy.decide(embedding[i : i + 1], features[i : i + 1])) for i in range(20)]
    assert together.tolist() == alone
    assert len(set(alone)) > 1


def test_inputs_are_standardised_by_train_and_strange_ones_kept_in_bounds() -> None:
    policy, seen = _awake(), []
    policy.members.register_forward_pre_hook(lambda module, given: seen.append(given))
    embedding, features = _inputs(200)
    features = features * torch.tensor([50.0, 0.0]) + torch.tensor([10.0, 7.0])  # the second never changes
    policy.standardise_by(3 * embedding + 1, features)
    policy(3 * embedding + 1, features)
    assert torch.allclose(seen[0][1][:, 0].mean(), torch.zeros(()), atol=0.05)
    assert seen[0][1][:, 0].std() == pytest.approx(1, abs=0.05)
    assert torch.equal(seen[0][1][:, 1], torch.zeros(200))
    assert seen[0][0].std() == pytest.approx(1, abs=0.05)
    policy(embedding * 1e9, features * 1e9)
    assert max(x.abs().max() for x in seen[1]) == 4


def test_features_alone_leave_the_embedding_out() -> None:
    policy, (embedding, features) = _awake(bottleneck=0), _inputs()
    assert torch.equal(policy(embedding, features), policy(-embedding, features))
    assert not torch.equal(_awake()(embedding, features), _awake()(-embedding, features))


def test_nothing_but_identity_is_decided_where_there_is_nothing_else() -> None:
    policy = _policy(actions=["identity"])
    policy.threshold.fill_(0.0)
    assert policy(*_inputs()).shape == (7, 1)
    assert policy.decide(*_inputs()).tolist() == [0] * 7


def test_it_is_small_at_real_sizes() -> None:
    policy = ActionPolicy([str(i) for i in range(12)], [str(i) for i in range(40)], dim=1152)
    assert sum(p.numel() for p in policy.parameters()) < 100_000


def test_saved_and_loaded_it_decides_the_same(tmp_path: Path) -> None:
    policy, inputs = _awake(members=3, hidden=8), _inputs(50)
    policy.standardise_by(*_inputs(30, seed=9))
    policy.price.copy_(torch.tensor([0.0, 0.1, 0.1, 0.0]))
    policy.threshold.fill_(float(policy.gains(*inputs).amax(dim=1).median()))
    policy.save(tmp_path)
    again = load_policy(tmp_path)
    assert torch.equal(again.decide(*inputs), policy.decide(*inputs))
    assert torch.equal(again.gains(*inputs), policy.gains(*inputs))
    assert 0 < int((again.decide(*inputs) > 0).sum()) <= 25
    assert (again.actions, again.features, again.encoder) == (ACTIONS, FEATURES, "abc")
    assert again.specs == policy.specs
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())


def test_an_infinite_threshold_survives_the_disk(tmp_path: Path) -> None:
    _policy().save(tmp_path)
    assert math.isinf(load_policy(tmp_path).threshold)


def test_a_folder_without_a_policy_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no policy in .* stage=policy"):
        load_policy(tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"actions": ["identity", "sharpen", "exposure", "adapt"]}, r"other actions \(identity, exposure, sharpen"),
        ({"actions": ACTIONS[:3]}, "other actions"),
        ({"features": FEATURES[::-1]}, r"other features \(brightness, noise\) than these \(noise, brightness\)"),
        ({"encoder": "abd"}, r"other encoder \(abc\) than these \(abd\)"),
        ({"specs": {"exposure": {"_target_": "skufp.actions.exposure.Exposure", "gamma": 2}}}, "other specs"),
    ],
)
def test_inputs_of_another_kind_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        _policy().check(**given)


def test_inputs_of_its_own_kind_are_not() -> None:
    policy = _policy()
    policy.check(actions=tuple(ACTIONS), features=FEATURES, encoder="abc", specs=dict(policy.specs))


def test_prices_by_hand() -> None:
    encoded = ["exposure", "sharpen"]
    assert prices(ACTIONS, encoded, {"reencode": 0.02}) == [0, 0.02, 0.02, 0]
    assert prices(ACTIONS, encoded, {"reencode": 0.02, "sharpen": 0.05, "adapt": 0.01}) == [0, 0.02, 0.07, 0.01]
    assert prices(ACTIONS, encoded, {}) == [0, 0, 0, 0]
    assert prices(["identity"], [], {"reencode": 0.02}) == [0]


@pytest.mark.parametrize(
    ("price", "message"),
    [
        ({"sharpn": 1.0}, r"policy\.price\.sharpn: there is no such action\. Did you mean 'sharpen'\?"),
        ({"identity": 1.0}, r"policy\.price\.identity"),
        ({"reencode": -0.1}, r"policy\.price\.reencode=-0\.1: give 0 or more"),
        ({"reencode": math.nan}, "give 0 or more"),
    ],
)
def test_prices_that_mean_nothing_are_refused(price: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prices(ACTIONS, ["exposure"], price)
