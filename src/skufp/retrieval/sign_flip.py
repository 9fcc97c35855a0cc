"""Sign-flip tests of a gain over groups of queries.

Queries are grouped by SKU or by pair. Under the null hypothesis a group's summed gain is as likely to have the opposite
sign. All sign patterns are then equally likely, and the p-value is the share of patterns whose total reaches the
observed total (Fisher 1935, The Design of Experiments, section 21; for clusters: Canay, Romano and Shaikh 2017,
Econometrica 85). No distribution is assumed, and groups without a change have no effect.
Legend: Q queries, G groups.
"""

from collections.abc import Iterator

import numpy as np

EXACT = 13  # up to so many groups all 2^G patterns are counted; for more, PATTERNS are drawn
PATTERNS = 9999
BLOCK = 1 << 22  # signs drawn at a time


def gain_p(gains: np.ndarray, group: np.ndarray, seed: int = 0) -> float:
    """Return the one-sided p-value of a mean gain above 0, of ``gains`` [Q] in groups ``group`` [Q].

    It is exact where a group's gain is symmetric about 0 under the null hypothesis, and approximate otherwise: if a few
    groups lose much and many gain little, a small sample gives too small a p-value. See ``proof_p``.
    """
    return _share_of_patterns(_sums(gains, group), seed)


def proof_p(gains: np.ndarray, before: np.ndarray, group: np.ndarray, seed: int = 0) -> float:
    """Return gain_p's p-value with one more group that loses everything; ``before`` [Q] are values before the change.

    The added group's loss is the mean over groups of the summed ``before``: a gain is proven only if it persists with
    one unseen typical group whose reciprocal rank falls to 0. This keeps the false positive rate at or below the
    nominal rate also for gains that are skewed to the left (rare large losses, frequent small gains), of which a small
    sample may hold no loss at all. Measured in tests/retrieval/test_sign_flip.py.
    """
    sums, stakes = _sums(gains, group), _sums(before, group)
    if not len(sums):
        return 1.0
    return _share_of_patterns(np.append(sums, -stakes.mean()), seed)


def _sums(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return [G]: the sum of ``values`` [Q] in every group."""
    _, number = np.unique(np.asarray(group), return_inverse=True)
    return np.bincount(number, np.asarray(values, float))


def _share_of_patterns(sums: np.ndarray, seed: int) -> float:
    """Return the share of sign patterns of ``sums`` [G] whose total reaches the observed total, itself included."""
    sizes = np.abs(sums[sums != 0])
    if not len(sizes):
        return 1.0
    observed = sums.sum() - 1e-9 * sizes.sum()  # tolerance for equal totals in another order of addition
    reached = sum(int((signs @ sizes >= observed).sum()) for signs in _patterns(len(sizes), seed))
    if len(sizes) <= EXACT:
        return float(reached / 2 ** len(sizes))
    return (1 + reached) / (1 + PATTERNS)


def _patterns(groups: int, seed: int) -> Iterator[np.ndarray]:
    """Yield blocks [B, G] of patterns of +1 and -1: all patterns, or PATTERNS random patterns."""
    if groups <= EXACT:
        yield 1.0 - 2.0 * (np.arange(2**groups)[:, None] >> np.arange(groups) & 1)
        return
    rng, left = np.random.default_rng(seed), PATTERNS
    while left:
        size = min(left, max(1, BLOCK // groups))
        yield 1.0 - 2.0 * rng.integers(0, 2, (size, groups), dtype=np.int8)
        left -= size
