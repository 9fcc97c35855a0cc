"""Evidence in scores: every feature by hand, and independent of the catalogue's size."""

import numpy as np
import pytest

from skufp.retrieval.confidence.asking import Gallery, Queries, ask, judged, learn, report
from skufp.retrieval.confidence.evidence import FEATURES, NEIGHBOURS, evidence, reference_rows, without
from skufp.retrieval.confidence.verdict import ABSENT, EXACT, PROBABLY, Judge
from skufp.retrieval.index import SkuIndex

DESIGN = np.array([0, 0, 1, 2])
REFERENCE = np.array([[0.0, 0.2, np.nan]])  # mean 0.1, standard deviation 0.1


def test_features_by_hand() -> None:
    scores, ids = np.array([[0.9, 0.8, 0.5, 0.4]]), np.array([[1, 0, 3, 2]])
    (row,) = evidence(scores, ids, DESIGN, REFERENCE)
    assert dict(zip(FEATURES, row, strict=True)) == pytest.approx(
        {"score": 0.9, "margin": 0.9 - 0.5, "z_score": 8.0, "z_margin": 4.0}
    )


@pytest.mark.parametrize(
    ("scores", "ids", "margin"),
    [
        ([0.9, 0.8], [0, 1], 0.9 - 0.8),  # siblings alone: the last score found stands for another design
        ([0.9, -np.inf], [0, -1], 0.9 - 0.1),  # one SKU: the reference's mean
        ([-np.inf, -np.inf], [-1, -1], np.nan),
    ],
)
def test_without_another_design(scores: list[float], ids: list[int], margin: float) -> None:
    (row,) = evidence(np.array([scores]), np.array([ids]), DESIGN, REFERENCE)
    assert row[1] == pytest.approx(margin, nan_ok=True)


def test_taking_answers_out_moves_the_rest_up() -> None:
    scores, ids = np.array([[0.9, 0.8, 0.5, -np.inf]]), np.array([[1, 0, 3, -1]])
    left, left_ids = without(scores, ids, np.array([[False, True, False, False]]))
    assert left.tolist() == [[0.9, 0.5, -np.inf, -np.inf]]
    assert left_ids.tolist() == [[1, 3, -1, -1]]


def test_the_reference_is_a_fixed_sample() -> None:
    assert reference_rows(5).tolist() == [0, 1, 2, 3, 4]
    rows = reference_rows(10_000)
    assert len(np.unique(rows)) == len(rows) == 256
    assert rows.tolist() == reference_rows(10_000).tolist()


def world(skus: int, noise: float, dim: int = 32, seed: int = 0) -> tuple[Gallery, Queries]:
    """Pairs of siblings around random designs; one noisy query for each SKU."""
    rng = np.random.default_rng(seed)
    unit = lambda v: (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)  # noqa: E731
    designs = unit(rng.normal(size=(skus // 2, dim)))
    vectors = unit(np.repeat(designs, 2, axis=0) + 0.15 * rng.normal(size=(skus, dim)))
    queries = unit(vectors + noise * rng.normal(size=vectors.shape))
    gallery = Gallery(SkuIndex.build(vectors), vectors, np.repeat(np.arange(skus // 2), 2))
    return gallery, Queries(queries, np.arange(skus), np.arange(skus))


def test_three_galleries_as_a_naive_loop_builds_them() -> None:
    gallery, queries = world(60, 0.1)
    found = ask(gallery, queries)
    rows = reference_rows(60)
    for q in (0, 17, 59):
        taken = {
            "whole": np.zeros(60, bool),
            "no_sku": np.arange(60) == q,
            "no_design": gallery.design == gallery.design[q],
        }
        for name, gone in taken.items():
            scores = np.where(gone, -np.inf, gallery.vectors @ queries.vectors[q])
            order = np.argsort(-scores)[: min(NEIGHBOURS, 60 - gone.sum())]
            reference = np.where(gone[rows], np.nan, gallery.vectors[rows] @ queries.vectors[q])
            (row,) = evidence(scores[order][None], order[None], gallery.design, reference[None])
            np.testing.assert_allclose(getattr(found, name)[q], row, atol=1e-5)
        assert found.first[q] == (np.argmax(gallery.vectors @ queries.vectors[q]) == q)


def test_clear_queries_are_told_apart_and_noise_is_not() -> None:
    for noise, low, high in ((0.05, 0.99, 1.0), (50.0, 0.3, 0.7)):
        judge, used, found = learn(ask(*world(200, noise)))
        told = report(judge, used, found, resamples=50)
        assert low <= told["design_absent"]["auroc"]["mean"] <= high
        assert told["design_absent"]["auroc"]["low"] <= told["design_absent"]["auroc"]["mean"]


@pytest.mark.parametrize("size", [100, 1000])
def test_a_judge_serves_galleries_of_other_sizes(size: int) -> None:
    judge, *_ = learn(ask(*world(300, 0.1)))
    other = ask(*world(size, 0.1, seed=1))
    told = report(judge, other, judged(judge, other), resamples=5)
    assert told["design_absent"]["auroc"]["mean"] > 0.97
    assert told["in_catalogue"]["calibration_error"] < 0.08
    assert told["verdicts"]["present"][ABSENT] < 0.15
    assert told["verdicts"]["design_absent"][ABSENT] > 0.85


def test_equal_texts_are_no_mistake() -> None:
    gallery, queries = world(40, 0.01)
    label = np.array([0, 1, 2, 0, *range(4, 40)])  # SKU 0 and SKU 3 have the same text
    asked = ask(gallery, Queries(queries.vectors[[3, 0]], np.array([0, 0]), label))
    assert asked.first.all()
    assert asked.no_sku[0, 0] < 0.9  # SKU 3 went with SKU 0


def test_a_judge_is_kept_as_json_and_says_what_it_means() -> None:
    judge, used, _ = learn(ask(*world(120, 0.05)), accepted=0.95, prior=0.3)
    again = Judge.from_dict(judge.to_dict())
    assert again == judge
    inside = judge.in_catalogue.probability(used.whole, 0.3)
    assert (inside >= judge.threshold).mean() >= 0.95
    assert [judge.verdict(p, 0.9) for p in (judge.threshold, judge.threshold - 1e-6)] == [EXACT, ABSENT]
    assert judge.verdict(1.0, 0.49) == PROBABLY
    (nothing,) = judge.judge(np.full((1, 4), np.nan))
    assert (nothing.in_catalogue, nothing.verdict) == (0.0, ABSENT)


@pytest.mark.parametrize("prior", [0.1, 0.9])
def test_a_prior_moves_probabilities_and_accepts_the_same_queries(prior: float) -> None:
    asked = ask(*world(120, 0.3))
    half, used, found = learn(asked)
    judge, *_ = learn(asked, prior=prior)
    told = [report(each, used, found, resamples=5)["verdicts"] for each in (half, judge)]
    for where in ("present", "design_absent"):
        assert told[0][where][ABSENT] == pytest.approx(told[1][where][ABSENT])
    moved, plain = (each.judge(used.whole) for each in (judge, half))
    assert all((m.in_catalogue < p.in_catalogue) == (prior < 0.5) for m, p in zip(moved, plain, strict=True))
    assert [m.verdict == ABSENT for m in moved] == [p.verdict == ABSENT for p in plain]


def test_one_design_is_too_few() -> None:
    gallery, queries = world(20, 0.1)
    one = Queries(queries.vectors[:2], queries.target[:2], queries.label)
    with pytest.raises(ValueError, match="two designs"):
        learn(ask(gallery, one))
