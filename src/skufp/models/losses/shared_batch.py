"""The retriever's losses over a batch that several processes share: each returns its process's part.

The mean of the parts over the processes is the loss of the whole batch in one process (see exchange.py). Rows with
equal labels are positives, so that no matrix of positives is sent.

Legend: N rows and M columns of this process's share, D dim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skufp.models.losses.contrastive import anchor_entropy
from skufp.models.losses.exchange import all_gather, mean_over_processes, ring
from skufp.models.losses.sigmoid import sigmoid_row_losses
from skufp.models.matryoshka import mean_over_sizes, prefix


@dataclass(frozen=True)
class Labelled:
    """Vectors [N, D] of unit norm and the label of each, [N].

    ``distractor`` [N] bool marks counterfactuals: each is a negative of the rows with its label, and takes no
    other part.
    """

    vectors: Tensor
    label: Tensor
    distractor: Tensor

    @classmethod
    def plain(cls, vectors: Tensor, label: Tensor) -> "Labelled":
        """Return vectors without distractors."""
        return cls(vectors, label, torch.zeros_like(label, dtype=torch.bool))

    def with_distractors(self, vectors: Tensor, label: Tensor) -> "Labelled":
        """Return these vectors followed by distractors [K, D] with their labels [K]."""
        distractor = torch.cat([self.distractor, torch.ones_like(label, dtype=torch.bool)])
        return Labelled(torch.cat([self.vectors, vectors]), torch.cat([self.label, label]), distractor)

    def of_all_processes(self) -> "Labelled":
        """Return the vectors of all processes together."""
        return Labelled(all_gather(self.vectors), all_gather(self.label), all_gather(self.distractor.long()).bool())


def pairs(rows: Labelled, columns: Labelled) -> tuple[Tensor, Tensor]:
    """Return positive and counts, [N, M] bool: the pairs that match, and the pairs that take part."""
    same = rows.label[:, None] == columns.label[None, :]
    distractor = rows.distractor[:, None] | columns.distractor[None, :]
    return same & ~distractor, same | ~distractor


def shared_sigmoid(rows: Labelled, columns: Labelled, scale: Tensor, bias: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return this process's part of the sigmoid loss of all rows with all columns, averaged over prefix ``sizes``.

    Columns travel round the ring of processes, so no process ever holds all logits. Equals sigmoid_loss.
    """
    losses = [rows.vectors.new_zeros(len(rows.vectors)) for _ in sizes]
    for vectors, label, distractor in ring(columns.vectors, columns.label, columns.distractor.long()):
        block = Labelled(vectors, label, distractor.bool())
        positive, counts = pairs(rows, block)
        for i, size in enumerate(sizes):
            a, b = prefix(rows.vectors, size), prefix(vectors, size)
            losses[i] = losses[i] + sigmoid_row_losses(a, b, positive, scale, bias, counts)
    return mean_over_sizes(mean_over_processes(values) for values in losses)


def shared_info_nce(rows: Labelled, columns: Labelled, scale: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return this process's part of the symmetric InfoNCE of all rows with all columns, averaged over prefix ``sizes``.

    Vectors of all processes are gathered with gradients. Equals info_nce.
    """
    halves = []
    for anchors, others in ((rows, columns.of_all_processes()), (columns, rows.of_all_processes())):
        positive, counts = pairs(anchors, others)
        for size in sizes:
            a, b = prefix(anchors.vectors, size), prefix(others.vectors, size)
            halves.append(mean_over_processes(anchor_entropy(a, b, positive, scale, counts)))
    return mean_over_sizes(halves)
