"""Hinges: the query's own SKU has to win by a margin.

Legend: Q queries (at least one), S SKUs of the bank; ``scores`` [Q, S]; ``target`` [Q] long, the column of each
query's own SKU; ``margin`` >= 0 in units of the scores. A bank without wrong SKUs costs 0.
"""

from torch import Tensor

from skufp.models.losses.scores import leads


def margin_ranking(scores: Tensor, target: Tensor, margin: float) -> Tensor:
    """Return the mean of margin + wrong - own over the pairs where that is positive; 0 where there is none.

    The mean is over the violating pairs of all queries together, so wrong SKUs beyond the margin do not dilute the
    gradient ("batch all ≠ 0" of arXiv 1703.07737).
    """
    hinge = (margin + leads(scores, target)).relu()
    return hinge.sum() / (hinge > 0).sum().clamp_min(1)


def triplet(scores: Tensor, target: Tensor, margin: float) -> Tensor:
    """Return the mean over all queries of the hinge against the hardest wrong SKU.

    The hardest negative of "batch hard" (arXiv 1703.07737, eq. 5), over the whole bank.
    """
    return (margin + leads(scores, target).amax(dim=1)).relu().mean()
