"""The hard filter's measurements of generated views; verdicts.py compares them with thresholds.

A candidate is a generated view of its own SKU, made from a source view of that SKU. It is measured against the real
catalogue views of its split. The thresholds are measured on real views too (see calibration.py).

Legend: N real views, M candidates, B candidates of a block, D the judge's dim, K colour bins. Similarities are cosines.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from skufp.errors import UserError
from skufp.generation.judge import Looks, colour_distance
from skufp.schema.views import ViewFilter

NONE = -1  # number of an absent SKU or category; also the lowest possible cosine
TILE = 2**22  # similarities held at a time: 16 MiB


@dataclass(frozen=True)
class RealViews:
    """The real catalogue views of one split as the judge saw them.

    ``vectors`` and ``structure`` [N, D] of unit norm, ``colours`` [N, K] that sum to 1; each view's ``sku``, ``pair``
    and ``category`` as whole numbers [N], none negative. All views of a SKU are of one pair.
    """

    vectors: np.ndarray
    structure: np.ndarray
    colours: np.ndarray
    sku: np.ndarray
    pair: np.ndarray
    category: np.ndarray

    def __len__(self) -> int:
        return len(self.sku)

    def looks(self, rows: np.ndarray) -> Looks:
        """Return the judge's features of some rows."""
        return Looks(self.vectors[rows], self.structure[rows], self.colours[rows])


@dataclass
class FilterSettings(ViewFilter):
    """The source of each threshold: a quantile over real views, in which every SKU has the same weight.

    - ``own_quantile``: floor of a view's similarity to its own SKU, over pairs of real views of one SKU.
    - ``margin_quantile`` and ``wrong_quantile``: floor of the margin, which is own similarity less similarity to the
      nearest other SKU. It is the larger of two quantiles: over real views of the SKU, and over wrong pictures, real
      views of a random other SKU. So at least a share ``wrong_quantile`` of wrong pictures is rejected, however weak
      the judge. With a weak judge the floor may be below 0.
    - ``copy_quantile``: ceilings of the similarity to the source, of the pictures as they are and with both blurred,
      over classic augmentations and their sources.
    - ``category_quantile``: floor of the own category's share among the ``neighbours`` nearest real views of other
      SKUs, over real views. It is 0, and rejects nothing, where the judge cannot tell categories apart.
    - ``colour_quantile``: ceiling of the colour distance, over pairs of real views of one SKU.
    - ``hard_quantile``: floor of a counterfactual's similarity to its own SKU, over wrong pictures.

    A threshold set here replaces its quantiles. Raises UserError.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_quantile") and not 0 <= value <= 1:
                raise UserError(f"views.filter.{field.name}={value}: give a quantile, from 0 to 1")
        if self.neighbours < 1:
            raise UserError(f"views.filter.neighbours={self.neighbours}: give 1 or more")


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of the filter; a value equal to a floor or ceiling passes."""

    own_floor: float
    margin: float
    copy_ceiling: float
    structure_ceiling: float
    category_floor: float
    colour_ceiling: float
    hard_floor: float

    def to_dict(self) -> dict[str, float]:
        """Return what from_dict reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Thresholds":
        """Build them from to_dict's result."""
        return cls(**{field.name: float(values[field.name]) for field in fields(cls)})


@dataclass(frozen=True)
class Measures:
    """Measurements of M candidates, each an array [M].

    ``own_similarity`` and ``other_similarity``: similarity to the nearest real view of the own SKU and of any other
    SKU; ``other_sku``: the number of that other SKU. ``structure_similarity``: similarity to the source with both
    blurred. Among the nearest real views of other SKUs, ``category_found`` is the most frequent category and
    ``category_share`` the own category's share. ``colour_distance``: distance to the own SKU's view nearest in colour.
    Without such a view a similarity is -1, a distance 1, a share 0 and a number -1.
    """

    own_similarity: np.ndarray
    source_similarity: np.ndarray
    structure_similarity: np.ndarray
    other_similarity: np.ndarray
    other_sku: np.ndarray
    category_found: np.ndarray
    category_share: np.ndarray
    colour_distance: np.ndarray

    @property
    def margin(self) -> np.ndarray:
        """Own similarity less that to the nearest other SKU."""
        return self.own_similarity - self.other_similarity


def measure(
    looks: Looks, own_sku: np.ndarray, source_row: np.ndarray, real: RealViews, settings: FilterSettings,
    exclude: np.ndarray | None = None,
) -> Measures:  # fmt: skip
    """Measure M candidates against the real views, in blocks; ``looks`` holds the candidates' features.

    ``own_sku`` [M] is each candidate's SKU and ``source_row`` [M] the real view that it was made from. ``exclude`` [M]
    is a real view left out of the comparison: the candidate itself where the candidate is a real view.
    """
    blocks = []
    for part in _blocks(len(own_sku), len(real)):
        row = np.arange(len(own_sku[part]))
        there = np.ones((len(row), len(real)), bool)
        if exclude is not None:
            there[row, exclude[part]] = False
        is_own = own_sku[part, None] == real.sku
        own, other = there & is_own, there & ~is_own
        similarity = looks.vectors[part] @ real.vectors.T  # [B, N]
        nearest = np.where(other, similarity, -np.inf).argmax(axis=1)
        has_other = other[row, nearest]
        found, share = _vote(similarity, other, real.category, real.category[source_row[part]], settings.neighbours)
        block = {
            "own_similarity": np.where(own, similarity, NONE).max(axis=1),
            "source_similarity": similarity[row, source_row[part]],
            "structure_similarity": (looks.structure[part] * real.structure[source_row[part]]).sum(axis=1),
            "other_similarity": np.where(has_other, similarity[row, nearest], NONE),
            "other_sku": np.where(has_other, real.sku[nearest], NONE),
            "category_found": found,
            "category_share": share,
            "colour_distance": _nearest_in_colour(looks.colours[part], real.colours, own),
        }
        blocks.append(block)
    return Measures(**{name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]})


def similarity_to_sku(vectors: np.ndarray, sku: np.ndarray, real: RealViews) -> np.ndarray:
    """Return the similarity [M] of each vector [M, D] to the nearest real view of its ``sku`` [M]; -1 without one."""
    found = [
        np.where(sku[part, None] == real.sku, vectors[part] @ real.vectors.T, NONE).max(axis=1)
        for part in _blocks(len(vectors), len(real))
    ]
    return np.concatenate(found)


def _blocks(rows: int, columns: int) -> Iterator[slice]:
    """Split ``rows`` into blocks so that a block times ``columns`` fits a tile; 0 rows give one empty block."""
    size = max(1, TILE // max(columns, 1))
    yield from (slice(start, start + size) for start in range(0, max(rows, 1), size))


def _vote(
    similarity: np.ndarray, voters: np.ndarray, category: np.ndarray, own: np.ndarray, neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the most frequent category [B] of the nearest ``voters`` [B, N] bool, and the share [B] of the ``own``.

    Of tied categories the one with the nearest view wins.
    """
    score = np.where(voters, similarity, -np.inf)
    last = min(neighbours, score.shape[1]) - 1
    near = np.argpartition(-score, last, axis=1)[:, : last + 1]
    order = np.argsort(-np.take_along_axis(score, near, axis=1), axis=1)
    near = np.take_along_axis(near, order, axis=1)
    choice = np.where(np.take_along_axis(voters, near, axis=1), category[near], NONE)  # [B, k], nearest first
    votes = (choice[:, :, None] == choice[:, None, :]).sum(axis=2) * (choice != NONE)
    found = np.take_along_axis(choice, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
    share = (choice == own[:, None]).sum(axis=1) / np.maximum((choice != NONE).sum(axis=1), 1)
    return found, share


def _nearest_in_colour(colours: np.ndarray, real_colours: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the colour distance [B] to the nearest of each candidate's ``own`` [B, N] bool views; 1 without one."""
    candidate, view = np.nonzero(own)
    found = np.ones(len(colours))
    np.minimum.at(found, candidate, colour_distance(colours[candidate, None], real_colours[view, None])[:, 0, 0])
    return found
